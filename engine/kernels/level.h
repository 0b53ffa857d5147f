/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the levels share among themselves; users include kernels.h.
 *
 * The layout of a KV block, the same for every level. K is transposed: element d of the head's vector of position p
 * stands at [d][p]; V is cut into slices of 32 elements: element d of position p stands at [d / 32][p][d % 32]. In both,
 * 32 numbers of the same kind lie side by side, and scores and weighted sums are the same loop. KV_Q8 has its float16
 * scales behind the numbers, [d / 32][p]. What head_dim lacks to a multiple of 32 is not read in K and zero in V.
 *
 * KV_I16 has two whole numbers that are multiplied and added together in a 32-bit lane: K's of elements d and d + 1 at
 * [d / 2][p][2], V's of positions p and p + 1 at [d / 32][p / 2][d % 32][2]; both padded with zeros; behind them [p], a
 * float16 for each vector. A key counts I16_NORM to its Euclidean length, which stands there over I16_KEY_UNIT; so does
 * a query, so that no part of their product exceeds I16_NORM squared (Cauchy and Schwarz). A value counts I16_LARGEST to
 * its largest element; a page's weights, I16_WEIGHTS to their sum. */

#include "basic/cleanup.h"
#include "engine/kernels/kernels.h"

#define KV_LANES 32u                  /* V's slices */
#define KV_MAX 65504.0f               /* float16's largest; what is stored is clamped to it */
#define I16_NORM 32000.0f
#define I16_KEY_UNIT 16.0f            /* 256 elements of KV_MAX still have a length in float16 */
#define I16_LARGEST 32767.0f
#define I16_WEIGHTS 32700.0f          /* rounding up may add 16 */
#define WIDE_TOKENS 20u               /* from so many on, weights are unpacked once for all */
#define ATTEND_ROWS 48u               /* (query, head) pairs that walk the pages together, or one query's */

/* One pair of rope(), by the steps that every level takes. */
static inline void turn_pair(float *x, float *y, float c, float s) {
        const float a = *x, b = *y;

        *x = a * c - b * s;
        *y = a * s + b * c;
}

extern const Kernels kernels_scalar, kernels_avx2, kernels_avx2_vnni, kernels_avx512, kernels_avx512_vnni, kernels_amx;

/* The files that are compiled once for each vector level get its name as LEVEL_ID and "name" as LEVEL_NAME. */
#ifdef LEVEL_ID
#define LEVEL_JOIN(f, id) f##_##id
#define LEVEL_EXPAND(f, id) LEVEL_JOIN(f, id)
#define LEVEL(f) LEVEL_EXPAND(f, LEVEL_ID)

void LEVEL(matmul)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                   uint32_t row0, uint32_t row1);
void LEVEL(matmul_wide)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                        uint32_t row0, uint32_t row1);
bool LEVEL(tiles_work)(void);         /* matmul-amx.c */
void LEVEL(matmul_float)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                         uint32_t row0, uint32_t row1);
void LEVEL(activation)(const float *x, uint32_t n_in, bool with_floats, void *ret);
void LEVEL(kv_store)(KvType type, const KvBlock *block, uint32_t slot, const float *k, const float *v);
void LEVEL(attend)(const AttendArgs *a);
#endif
