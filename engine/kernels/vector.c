/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vectors. Compiled once for each vector level; this file holds the level's table. */

#include <math.h>

#include "engine/kernels/cpu.h"
#include "engine/kernels/layout.h"
#include "engine/kernels/level.h"
#include "engine/kernels/simd.h"

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *ret) {
        vf sum = vf_set1(0);
        uint32_t i = 0;

        for (; i + VF_LANES <= n; i += VF_LANES)
                sum = vf_fma(vf_load(x + i), vf_load(x + i), sum);
        if (i < n)
                sum = vf_fma(vf_load_n(x + i, n - i), vf_load_n(x + i, n - i), sum);

        vf scale = vf_set1(1.0f / sqrtf(vf_sum(sum) / (float) n + eps));
        for (i = 0; i + VF_LANES <= n; i += VF_LANES)
                vf_store(ret + i, vf_mul(vf_mul(vf_load(x + i), scale), vf_load(weight + i)));
        if (i < n)
                vf_store_n(ret + i, vf_mul(vf_mul(vf_load_n(x + i, n - i), scale), vf_load_n(weight + i, n - i)), n - i);
}

#if VF_LANES == 16
/* An approximation to 2^-14, and Newton's step: a division occupies the unit for longer. */
static always_inline_ vf inverse(vf x) {
        const vf y = _mm512_rcp14_ps(x);
        return vf_fma(vf_fnma(x, y, vf_set1(1)), y, y);
}
#else
static always_inline_ vf inverse(vf x) {
        return vf_div(vf_set1(1), x);
}
#endif

#define SIGMOID_MAX 86.0f             /* e to this and to its negative are normal numbers */

/* 1 / (1 + exp(-x)). exp(-x) is 2^n · p(r), n whole and n + r = -x / ln 2, and p the polynomial of degree 5 whose largest
 * relative error in ±1/2 is least; n is counted in the last bits of 3 · 2^22, and added to p's exponent. */
static always_inline_ vf sigmoid(vf x) {
        const vf to_two = vf_set1(-1.44269504088896341f), origin = vf_set1(12582912.0f);
        const vf y = vf_max(vf_min(x, vf_set1(SIGMOID_MAX)), vf_set1(-SIGMOID_MAX));
        const vf n = vf_fma(y, to_two, origin), r = vf_fma(y, to_two, vf_sub(origin, n));

        vf p = vf_set1(1.32779389e-3f);
        p = vf_fma(p, r, vf_set1(9.67575764e-3f));
        p = vf_fma(p, r, vf_set1(5.5507096e-2f));
        p = vf_fma(p, r, vf_set1(2.40221143e-1f));
        p = vf_fma(p, r, vf_set1(6.93146968e-1f));
        p = vf_fma(p, r, vf_set1(1.00000007f));
        const vf e = vi_as_vf(vi_add32(vf_as_vi(p), vi_shl32(vf_as_vi(n), 23)));
        return inverse(vf_add(vf_set1(1), e));
}

typedef enum Op { OP_ADD, OP_AXPY, OP_SILU, OP_GELU } Op;

static always_inline_ vf op(const Op o, vf a, vf b, vf c) {
        switch (o) {
        case OP_ADD:
                return vf_add(a, b);
        case OP_AXPY:
                return vf_fma(b, c, a);
        case OP_SILU:
                return vf_mul(vf_mul(a, sigmoid(a)), b);
        case OP_GELU:
                /* (1 + tanh(u)) / 2 is the sigmoid of 2u, u = sqrt(2/π) · (a + 0.044715 a³) (Hendrycks & Gimpel, 2016) */
                return vf_mul(vf_mul(a, sigmoid(vf_mul(vf_fma(vf_mul(vf_mul(a, a), a), vf_set1(0.044715f), a),
                                                       vf_set1(2 * 0.79788456080286535588f)))), b);
        }
        return a;
}

static always_inline_ void each(const Op o, float *ret, const float *x, float c, uint32_t n) {
        uint32_t i = 0;

        for (; i + VF_LANES <= n; i += VF_LANES)
                vf_store(ret + i, op(o, vf_load(ret + i), vf_load(x + i), vf_set1(c)));
        if (i < n)
                vf_store_n(ret + i, op(o, vf_load_n(ret + i, n - i), vf_load_n(x + i, n - i), vf_set1(c)), n - i);
}

static void add(float *ret, const float *x, uint32_t n) {
        each(OP_ADD, ret, x, 0, n);
}

static void axpy(float *ret, const float *x, float a, uint32_t n) {
        each(OP_AXPY, ret, x, a, n);
}

static void silu_mul(float *gate, const float *up, uint32_t n) {
        each(OP_SILU, gate, up, 0, n);
}

static void gelu_mul(float *gate, const float *up, uint32_t n) {
        each(OP_GELU, gate, up, 0, n);
}

const Kernels LEVEL(kernels) = {
        .name = LEVEL_NAME,
        .supported = LEVEL(cpu_has),
        .packed_size = layout_packed_size,
        .pack = layout_pack,
        .activation_size = layout_activation_size,
        .activation = LEVEL(activation),
        .matmul = LEVEL(matmul),
        .rms_norm = rms_norm,
        .add = add,
        .silu_mul = silu_mul,
        .gelu_mul = gelu_mul,
        .axpy = axpy,
        .kv_store = LEVEL(kv_store),
        .attend = LEVEL(attend),
};
