/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* MXFP4 (OCP Microscaling Formats v1.0): 32 numbers of E2M1 and a shared scale of E8M0. x = 2^(e − 127) · value[q].
 * Nibbles lie as in Q4_0. The table holds twice the values, so that they are whole, and the scale half its own. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t e;
        uint8_t q[16];
} Block;
_Static_assert(sizeof(Block) == 17, "the file's layout");

static const int8_t twice[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

/* 2^(e − 128); the two smallest are subnormal. */
static float half_scale(uint8_t e) {
        return float_of_bits(e < 2 ? 0x00200000u << e : (uint32_t) (e - 1) << 23);
}

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += 32, b++) {
                float d = half_scale(b->e);
                for (unsigned j = 0; j < 16; j++) {
                        out[i + j] = d * twice[b->q[j] & 15];
                        out[i + j + 16] = d * twice[b->q[j] >> 4];
                }
        }
}

const TensorType tensor_type_mxfp4 = { TENSOR_MXFP4, "MXFP4", 32, sizeof(Block), dequantize };
