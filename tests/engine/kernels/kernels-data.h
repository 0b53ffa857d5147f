/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Random weights, vectors and buffers for the kernels' tests. The same numbers on every machine. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels/kernels.h"

static uint64_t random_state = 88172645463325252u;

static inline uint32_t random_u32(void) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return (uint32_t) (random_state >> 16);
}

static inline float random_float(void) {                  /* in [-1, 1) */
        return (float) (int32_t) random_u32() / 2147483648.0f;
}

static inline void *buffer(size_t size) {
        void *p = aligned_alloc(KERNELS_ALIGN, (size + KERNELS_ALIGN - 1) / KERNELS_ALIGN * KERNELS_ALIGN + KERNELS_ALIGN);
        if (!p)
                abort();
        return p;
}

static inline float *random_floats(size_t n) {
        float *p = buffer(n * sizeof(float));
        for (size_t i = 0; i < n; i++)
                p[i] = random_float();
        return p;
}

/* Every type, and where a block keeps its float16 numbers: random bytes there would be infinities. -1: none. */
typedef struct TypeCase {
        TensorTypeId id;
        int half[2];
} TypeCase;

static const TypeCase type_cases[] = {
        { TENSOR_F32, { -1, -1 } }, { TENSOR_F16, { 0, -1 } }, { TENSOR_BF16, { -1, -1 } },
        { TENSOR_Q4_0, { 0, -1 } }, { TENSOR_Q4_1, { 0, 2 } }, { TENSOR_Q5_0, { 0, -1 } }, { TENSOR_Q5_1, { 0, 2 } },
        { TENSOR_Q8_0, { 0, -1 } }, { TENSOR_Q2_K, { 80, 82 } }, { TENSOR_Q3_K, { 108, -1 } },
        { TENSOR_Q4_K, { 0, 2 } }, { TENSOR_Q5_K, { 0, 2 } }, { TENSOR_Q6_K, { 208, -1 } },
        { TENSOR_IQ4_NL, { 0, -1 } }, { TENSOR_MXFP4, { -1, -1 } },
};

/* A matrix of random blocks; .file and .packed are the caller's to free. */
static inline Weight random_weight(const Kernels *k, const TypeCase *c, uint32_t n_in, uint32_t n_out) {
        Weight w = { .type = tensor_type(c->id), .n_in = n_in, .n_out = n_out };
        size_t n_blocks = (size_t) n_in / w.type->block_size * n_out;
        uint8_t *file = buffer(n_blocks * w.type->block_bytes);

        w.file_stride = n_in / w.type->block_size * w.type->block_bytes;
        for (size_t i = 0; i < n_blocks; i++) {
                uint8_t *b = file + i * w.type->block_bytes;
                for (unsigned j = 0; j < w.type->block_bytes; j++)
                        b[j] = (uint8_t) random_u32();
                for (unsigned j = 0; j < 2; j++)
                        if (c->half[j] >= 0) {
                                uint16_t h = f32_to_f16(random_float());
                                memcpy(b + c->half[j], &h, sizeof h);
                        }
                if (c->id == TENSOR_MXFP4)
                        b[0] = (uint8_t) (120 + b[0] % 10);
                if (c->id == TENSOR_F32 || c->id == TENSOR_BF16) {
                        float f = random_float();
                        uint16_t h = f32_to_bf16(f);
                        memcpy(b, c->id == TENSOR_F32 ? (void *) &f : (void *) &h, w.type->block_bytes);
                }
        }
        w.file = file;
        w.floats = k->packed_size(&w) == 0;
        if (!w.floats) {
                w.packed = buffer(k->packed_size(&w));
                k->pack(&w, 0, n_out);
        }
        return w;
}

static inline void weight_done(Weight *w) {
        free((void *) w->file);
        free(w->packed);
}
