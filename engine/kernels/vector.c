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

#if VF_LANES == 16
/* Each of 8 floats twice; each two floats exchanged; a - b and a + b in turn. */
static always_inline_ vf load_twice(const float *p) {
        const vi which = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
        return _mm512_permutexvar_ps(which, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}
static always_inline_ vf swap(vf a) { return _mm512_permute_ps(a, 0xb1); }
static always_inline_ vf sub_add(vf a, vf b) { return _mm512_mask_sub_ps(vf_add(a, b), 0x5555, a, b); }
#else
static always_inline_ vf load_twice(const float *p) {
        const vf four = _mm256_castps128_ps256(_mm_loadu_ps(p));
        return _mm256_permutevar8x32_ps(four, _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0));
}
static always_inline_ vf swap(vf a) { return _mm256_permute_ps(a, 0xb1); }
static always_inline_ vf sub_add(vf a, vf b) { return _mm256_addsub_ps(a, b); }
#endif

static void rope(float *x, const float *c, const float *s, uint32_t n, bool adjacent) {
        uint32_t i = 0;

        if (adjacent)
                for (; i + VF_LANES / 2 <= n; i += VF_LANES / 2) {
                        const vf v = vf_load(x + 2 * i);
                        vf_store(x + 2 * i, sub_add(vf_mul(v, load_twice(c + i)), vf_mul(swap(v), load_twice(s + i))));
                }
        else
                for (; i + VF_LANES <= n; i += VF_LANES) {
                        const vf a = vf_load(x + i), b = vf_load(x + i + n), cos = vf_load(c + i), sin = vf_load(s + i);
                        vf_store(x + i, vf_sub(vf_mul(a, cos), vf_mul(b, sin)));
                        vf_store(x + i + n, vf_add(vf_mul(a, sin), vf_mul(b, cos)));
                }
        for (; i < n; i++)
                turn_pair(&x[adjacent ? 2 * i : i], &x[adjacent ? 2 * i + 1 : i + n], c[i], s[i]);
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
        .rope = rope,
        .kv_store = LEVEL(kv_store),
        .attend = LEVEL(attend),
};
