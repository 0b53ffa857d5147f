/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference: weights as their type's dequantize() defines them, float32 activations and sums, the C library's
 * functions. It is always right and never fast; the other levels are measured against it. */

#include <math.h>
#include <string.h>

#include "engine/kernels/level.h"
#include "engine/kernels/scalar.h"

#define DEQUANTIZE_MAX 256u           /* a multiple of every type's block */

static bool supported(void) {
        return true;
}

static size_t packed_size(const Weight *w) {
        return 0;
}

static void pack(const Weight *w, uint32_t row0, uint32_t row1) {
}

static size_t activation_size(uint32_t n_in, bool with_floats) {
        return ((size_t) n_in * sizeof(float) + KERNELS_ALIGN - 1) / KERNELS_ALIGN * KERNELS_ALIGN;
}

static void activation(const float *x, uint32_t n_in, bool with_floats, void *ret) {
        memcpy(ret, x, (size_t) n_in * sizeof(float));
}

/* Eight partial sums: more exact than one, and something that a compiler can put into vectors. */
static float dot(const float *a, const float *b, size_t n) {
        float s[8] = {};
        size_t i = 0;

        for (; i + 8 <= n; i += 8)
                for (size_t k = 0; k < 8; k++)
                        s[k] += a[i + k] * b[i + k];
        for (size_t k = 0; i < n; i++, k++)
                s[k] += a[i] * b[i];
        return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

static void matmul(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                   uint32_t row0, uint32_t row1) {
        float values[DEQUANTIZE_MAX];
        size_t act_size = activation_size(w->n_in, true);

        for (uint32_t row = row0; row < row1; row++) {
                const uint8_t *blocks = w->file + row * w->file_stride;

                for (uint32_t i = 0; i < w->n_in; i += DEQUANTIZE_MAX) {
                        size_t n = MIN(w->n_in - i, DEQUANTIZE_MAX);

                        w->type->dequantize(blocks + i / w->type->block_size * w->type->block_bytes, values, n);
                        for (uint32_t t = 0; t < n_tokens; t++) {
                                const float *x = (const float *) ((const uint8_t *) act + t * act_size) + i;
                                float *ret = &out[t * out_stride + row];

                                *ret = (i == 0 ? 0 : *ret) + dot(values, x, n);
                        }
                }
        }
}

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *ret) {
        float scale = 1.0f / sqrtf(dot(x, x, n) / (float) n + eps);

        for (uint32_t i = 0; i < n; i++)
                ret[i] = x[i] * scale * weight[i];
}

static void add(float *ret, const float *x, uint32_t n) {
        for (uint32_t i = 0; i < n; i++)
                ret[i] += x[i];
}

static void silu_mul(float *gate, const float *up, uint32_t n) {
        for (uint32_t i = 0; i < n; i++)
                gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static void gelu_mul(float *gate, const float *up, uint32_t n) {
        const float sqrt_2_pi = 0.79788456080286535588f;

        for (uint32_t i = 0; i < n; i++) {
                float g = gate[i];
                gate[i] = 0.5f * g * (1.0f + tanhf(sqrt_2_pi * g * (1.0f + 0.044715f * g * g))) * up[i];
        }
}

static void axpy(float *ret, const float *x, float a, uint32_t n) {
        for (uint32_t i = 0; i < n; i++)
                ret[i] += a * x[i];
}

static void rope(float *x, const float *c, const float *s, uint32_t n, bool adjacent) {
        for (uint32_t i = 0; i < n; i++)
                turn_pair(&x[adjacent ? 2 * i : i], &x[adjacent ? 2 * i + 1 : i + n], c[i], s[i]);
}

const Kernels kernels_scalar = {
        .name = "scalar",
        .supported = supported,
        .packed_size = packed_size,
        .pack = pack,
        .activation_size = activation_size,
        .activation = activation,
        .matmul = matmul,
        .rms_norm = rms_norm,
        .add = add,
        .silu_mul = silu_mul,
        .gelu_mul = gelu_mul,
        .axpy = axpy,
        .rope = rope,
        .kv_store = scalar_kv_store,
        .attend = scalar_attend,
};
