/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this folder share: the entry that each one contributes to the table in tensor-type.c, and the few
 * ways in which blocks store numbers. Layouts are written as structs of bytes, so that a block needs no alignment. */

#include <stdint.h>
#include <string.h>

#include "engine/format/tensor-type.h"

extern const TensorType tensor_type_f32, tensor_type_f16, tensor_type_bf16;
extern const TensorType tensor_type_q4_0, tensor_type_q4_1, tensor_type_q5_0, tensor_type_q5_1, tensor_type_q8_0;
extern const TensorType tensor_type_q2_k, tensor_type_q3_k, tensor_type_q4_k, tensor_type_q5_k, tensor_type_q6_k;
extern const TensorType tensor_type_iq4_nl, tensor_type_mxfp4;

#define QK_K 256                        /* elements of a K-quant's superblock */

static inline uint16_t load_u16(const uint8_t p[static 2]) {
        return (uint16_t) (p[0] | p[1] << 8);
}

static inline uint32_t load_u32(const uint8_t p[static 4]) {
        return p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static inline float float_of_bits(uint32_t bits) {
        float f;
        memcpy(&f, &bits, sizeof f);
        return f;
}

static inline uint32_t bits_of_float(float f) {
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        return bits;
}

static inline float load_f16(const uint8_t p[static 2]) {
        return f16_to_f32(load_u16(p));
}

/* Q4_K and Q5_K keep eight scales and eight minima of 6 bits in 12 bytes: bytes 0–3 and 4–7 hold the low six bits of
 * the first four of each; their top two bits and bytes 8–11 (a nibble each) make the last four. */
static inline void k_scale_min(const uint8_t s[static 12], unsigned i, unsigned *scale, unsigned *min) {
        if (i < 4) {
                *scale = s[i] & 63u;
                *min = s[i + 4] & 63u;
        } else {
                *scale = (s[i + 4] & 15u) | (unsigned) (s[i - 4] >> 6) << 4;
                *min = (unsigned) (s[i + 4] >> 4) | (unsigned) (s[i] >> 6) << 4;
        }
}
