/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns where each type's scales lie in its block. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "basic/checked.h"
#include "basic/cleanup.h"
#include "tests/engine/format/tiny-weights.h"

uint64_t tiny_random(uint64_t *state) {
        uint64_t z = *state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
}

/* The sum of four uniform numbers: near enough to a normal one, and the same on every machine. */
static float normal(uint64_t *state) {
        float sum = 0;
        for (unsigned i = 0; i < 4; i++)
                sum += (float) (tiny_random(state) >> 40) * 0x1p-24f - 0.5f;
        return sum * 1.7320508f;
}

static const struct {
        TensorTypeId type;
        unsigned d;                     /* where the F16 scale lies */
        int m;                          /* where the F16 minimum, or scale of minima, lies; -1: there is none */
        float ratio;                    /* minimum / scale that puts the mean near 0 */
} layouts[] = {
        { TENSOR_Q4_0, 0, -1, 0 },
        { TENSOR_Q4_1, 0, 2, -7.5f },
        { TENSOR_Q5_0, 0, -1, 0 },
        { TENSOR_Q5_1, 0, 2, -15.5f },
        { TENSOR_Q8_0, 0, -1, 0 },
        { TENSOR_Q2_K, 80, 82, 1.5f },
        { TENSOR_Q3_K, 108, -1, 0 },
        { TENSOR_Q4_K, 0, 2, 7.5f },
        { TENSOR_Q5_K, 0, 2, 15.5f },
        { TENSOR_Q6_K, 208, -1, 0 },
        { TENSOR_IQ4_NL, 0, -1, 0 },
};

static int set_scale(const TensorType *type, uint8_t *block, float d) {
        if (type->id == TENSOR_MXFP4) { /* the exponent's byte */
                block[0] = (uint8_t) lrintf(127 + log2f(d));
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(layouts); i++)
                if (layouts[i].type == type->id) {
                        uint16_t h = f32_to_f16(d), m = f32_to_f16(d * layouts[i].ratio);
                        memcpy(block + layouts[i].d, &h, sizeof h);
                        if (layouts[i].m >= 0)
                                memcpy(block + layouts[i].m, &m, sizeof m);
                        return 0;
                }
        return -EINVAL;
}

/* How far one unit of scale spreads the type's random codes. */
static float unit_deviation(const TensorType *type, const uint8_t *block) {
        uint8_t copy[256];
        float x[256], sum = 0;
        memcpy(copy, block, type->block_bytes);
        set_scale(type, copy, 1);
        type->dequantize(copy, x, type->block_size);
        for (unsigned i = 0; i < type->block_size; i++)
                sum += x[i] * x[i];
        return sqrtf(sum / (float) type->block_size);
}

int tiny_weights(const TensorType *type, uint64_t n, float mean, float deviation, uint64_t *random, void **ret) {
        size_t size, n_blocks = n / type->block_size;
        if (n % type->block_size != 0 || !checked_mul(n_blocks, type->block_bytes, &size))
                return -EINVAL;
        _cleanup_free_ uint8_t *data = malloc(MAX(size, (size_t) 1));
        if (!data)
                return -ENOMEM;
        for (size_t i = 0; i < n_blocks; i++) {
                uint8_t *block = data + i * type->block_bytes;
                if (type->block_size == 1) {
                        float f = mean + deviation * normal(random);
                        uint16_t h = type->id == TENSOR_F16 ? f32_to_f16(f) : f32_to_bf16(f);
                        memcpy(block, type->id == TENSOR_F32 ? (const void *) &f : &h, type->block_bytes);
                        continue;
                }
                for (unsigned j = 0; j < type->block_bytes; j++)
                        block[j] = (uint8_t) tiny_random(random);
                int r = set_scale(type, block, deviation / fmaxf(unit_deviation(type, block), 0.25f));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(data);
        return 0;
}
