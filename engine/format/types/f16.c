/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* F16: IEEE 754 half precision, and its conversions. Done in integers, so that they say the same on a machine that
 * has no such instructions and under any flush-to-zero mode of the floating-point unit. */

#include "engine/format/types/types.h"

float f16_to_f32(uint16_t h) {
        uint32_t sign = (uint32_t) (h & 0x8000) << 16, magnitude = h & 0x7fff, bits;
        if (magnitude >= 0x7c00)                /* infinity, NaN */
                bits = 0x7f800000 | (magnitude & 0x3ff) << 13;
        else if (magnitude >= 0x400)            /* normal: the exponent's bias goes from 15 to 127 */
                bits = (magnitude << 13) + (112u << 23);
        else                                    /* subnormal: magnitude · 2⁻²⁴, which is exact */
                bits = bits_of_float((float) magnitude * 0x1p-24f);
        return float_of_bits(bits | sign);
}

uint16_t f32_to_f16(float f) {
        uint32_t bits = bits_of_float(f);
        uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;

        if (magnitude > 0x7f800000)             /* NaN: quiet, the payload's upper part kept */
                return (uint16_t) (sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
        if (magnitude >= 0x477ff000)            /* 65520 and above round past the largest half, 65504 */
                return (uint16_t) (sign | 0x7c00);
        if (magnitude < 0x33000000)             /* below 2⁻²⁵, half of the smallest subnormal */
                return (uint16_t) sign;

        uint32_t kept, dropped, half;
        if (magnitude < 0x38800000) {           /* below 2⁻¹⁴: subnormal, in units of 2⁻²⁴ */
                uint32_t shift = 126 - (magnitude >> 23), mantissa = (magnitude & 0x7fffff) | 0x800000;
                kept = mantissa >> shift;
                dropped = mantissa & ((1u << shift) - 1);
                half = 1u << (shift - 1);
        } else {
                kept = (magnitude - (112u << 23)) >> 13;
                dropped = magnitude & 0x1fff;
                half = 0x1000;
        }
        if (dropped > half || (dropped == half && (kept & 1)))
                kept++;                         /* a carry into the exponent is what rounding up means there */
        return (uint16_t) (sign | kept);
}

static void dequantize(const void *blocks, float *out, size_t n) {
        const uint8_t *p = blocks;
        for (size_t i = 0; i < n; i++)
                out[i] = load_f16(p + 2 * i);
}

const TensorType tensor_type_f16 = { TENSOR_F16, "F16", 1, 2, dequantize };
