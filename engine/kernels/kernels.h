/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The arithmetic, behind one table per instruction set: scalar (the reference: dequantised weights, float32
 * throughout, always right), AVX2, AVX-512, AVX-512 VNNI, AMX, chosen by CPUID at run time.
 *
 * Order of operations is part of the contract: the result for one (token, row), one (query, head) or one vector is a
 * function of its inputs alone. It is the same bits whether one token or many are computed in the call, whichever rows
 * the call covers, wherever a thread's share begins. Replies are therefore equal whatever else is in the batch.
 *
 * All float pointers are 64-byte aligned unless noted; functions neither allocate nor fail. Callers guarantee shapes
 * (the model loader has checked them). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/format/tensor-type.h"
#include "engine/kernels/attend.h"

#define KERNELS_ROW_TILE 16u          /* row ranges given to pack() and matmul() begin at multiples of this */
#define KERNELS_ALIGN 64u

/* One weight matrix W [n_out][n_in], as the file has it and as this level's kernels want it. */
typedef struct Weight {
        const TensorType *type;
        uint32_t n_in, n_out;         /* n_in: a multiple of the type's block size */
        const uint8_t *file;          /* mapped rows; row stride file_stride bytes */
        size_t file_stride;
        uint8_t *packed;              /* NULL where packed_size() is 0: the kernels read the file's layout */
        bool floats;                  /* its activations have floats: they must, where it is not packed */
} Weight;

/* One row as floats [n_in], from the packed form where there is one. */
void weight_row(const Weight *w, uint32_t row, float *ret);

typedef struct Kernels {
        const char *name;             /* "scalar", "avx2", "avx512", "avx512-vnni", "amx", … */
        bool (*supported)(void);      /* by this CPU and kernel, after cpu_prepare() */

        /* Repacking. Bytes that `packed` needs (0: none), including tail padding; pack() fills rows [row0, row1). */
        size_t (*packed_size)(const Weight *w);
        void (*pack)(const Weight *w, uint32_t row0, uint32_t row1);

        /* Activations: one float row [n_in] into the form that matmul() reads, with `floats` as the weights have it. size
         * is a multiple of KERNELS_ALIGN. */
        size_t (*activation_size)(uint32_t n_in, bool floats);
        void (*activation)(const float *x, uint32_t n_in, bool floats, void *ret);

        /* out[t · out_stride + row] = Σ_i W[row][i] · x_t[i] for row in [row0, row1), t in [0, n_tokens).
         * `act` holds n_tokens rows of activation_size() bytes, one after another. out is not accumulated into. */
        void (*matmul)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                       uint32_t row0, uint32_t row1);

        /* Vectors. In place where ret == x is given. */
        void (*rms_norm)(const float *x, const float *weight, uint32_t n, float eps, float *ret);
        void (*add)(float *ret, const float *x, uint32_t n);                     /* ret += x */
        void (*silu_mul)(float *gate, const float *up, uint32_t n);              /* gate = silu(gate) · up */
        void (*gelu_mul)(float *gate, const float *up, uint32_t n);              /* tanh approximation */
        void (*axpy)(float *ret, const float *x, float a, uint32_t n);           /* ret += a · x (experts) */
        /* Turns pair i of x by the angle whose cosine is c[i] and sine s[i], without fused steps: the same bits in every
         * level. Pairs are (x[i], x[i + n]), or, where `adjacent`, (x[2i], x[2i + 1]). */
        void (*rope)(float *x, const float *c, const float *s, uint32_t n, bool adjacent);

        /* Attention over pages: see attend.h. */
        void (*kv_store)(KvType type, const KvBlock *block, uint32_t slot, const float *k, const float *v);
        void (*attend)(const AttendArgs *a);
} Kernels;

/* The best that this CPU supports, or the named one; NULL where the name is unknown or the CPU lacks it. */
const Kernels *kernels_select(const char *name);
const Kernels *kernels_at(size_t i);   /* the table, scalar first; NULL past its end */
