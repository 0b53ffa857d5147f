/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the levels share among themselves; users include kernels.h.
 *
 * The layout of a KV block, the same for every level. K is transposed: element d of the head's vector of position p
 * stands at [d][p]; V is cut into slices of 32 elements: element d of position p stands at [d / 32][p][d % 32]. In both,
 * 32 numbers of the same kind lie side by side, and scores and weighted sums are the same loop. KV_Q8 has its float16
 * scales behind the numbers, [d / 32][p]. What head_dim lacks to a multiple of 32 is not read in K and zero in V. */

#include "basic/cleanup.h"
#include "engine/kernels/kernels.h"

#define KV_LANES 32u                  /* V's slices */
#define KV_MAX 65504.0f               /* float16's largest; what is stored is clamped to it */
#define WIDE_TOKENS 20u               /* from so many on, weights are unpacked once for all */
#define ATTEND_ROWS 96u               /* (query, head) pairs that walk the pages together, or one query's */

extern const Kernels kernels_scalar, kernels_avx2, kernels_avx2_vnni, kernels_avx512, kernels_avx512_vnni;

/* The files that are compiled once for each vector level get its name as LEVEL_ID and "name" as LEVEL_NAME. */
#ifdef LEVEL_ID
#define LEVEL_JOIN(f, id) f##_##id
#define LEVEL_EXPAND(f, id) LEVEL_JOIN(f, id)
#define LEVEL(f) LEVEL_EXPAND(f, LEVEL_ID)

void LEVEL(matmul)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                   uint32_t row0, uint32_t row1);
void LEVEL(matmul_wide)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                        uint32_t row0, uint32_t row1);
void LEVEL(matmul_float)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                         uint32_t row0, uint32_t row1);
void LEVEL(kv_store)(KvType type, const KvBlock *block, uint32_t slot, const float *k, const float *v);
void LEVEL(attend)(const AttendArgs *a);
#endif
