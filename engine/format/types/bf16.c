/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* BF16: the upper half of a single-precision number. */

#include "engine/format/types/types.h"

float bf16_to_f32(uint16_t h) {
        return float_of_bits((uint32_t) h << 16);
}

uint16_t f32_to_bf16(float f) {
        uint32_t bits = bits_of_float(f);
        if ((bits & 0x7fffffff) > 0x7f800000)   /* NaN: stays one, quiet */
                return (uint16_t) (bits >> 16 | 0x40);
        return (uint16_t) ((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void dequantize(const void *blocks, float *out, size_t n) {
        const uint8_t *p = blocks;
        for (size_t i = 0; i < n; i++)
                out[i] = bf16_to_f32(load_u16(p + 2 * i));
}

const TensorType tensor_type_bf16 = { TENSOR_BF16, "BF16", 1, 2, dequantize };
