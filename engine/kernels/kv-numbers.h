/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a level's attend.c and kv-store.c share: vectors of 32 columns, and the numbers of KV_I16. */

#include "engine/kernels/level.h"
#include "engine/kernels/simd.h"

#define VECTORS (KV_LANES / VF_LANES) /* that 32 columns take */
#define SLICES(head_dim) (((head_dim) + KV_LANES - 1) / KV_LANES)

static always_inline_ unsigned number_size(KvType type) {
        return type == KV_F32 ? 4 : type == KV_Q8 ? 1 : 2;
}

/* x[at … at + VF_LANES - 1], zero from n on. */
static always_inline_ vf load_padded(const float *x, uint32_t at, uint32_t n) {
        return at + VF_LANES <= n ? vf_load(x + at) : at < n ? vf_load_n(x + at, n - at) : vf_set1(0);
}

/* The Euclidean length of x[n]. */
static always_inline_ float vector_norm(const float *x, uint32_t n) {
        vf sum = vf_set1(0);

        for (uint32_t at = 0; at < n; at += VF_LANES) {
                vf v = load_padded(x, at, n);
                sum = vf_fma(v, v, sum);
        }
        return sqrtf(vf_sum(sum));
}
