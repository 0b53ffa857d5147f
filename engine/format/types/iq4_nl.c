/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* IQ4_NL: 32 nibbles that index a fixed table of unevenly spaced levels, and their scale. x = d · level[q]. Nibbles
 * lie as in Q4_0. The levels are part of the format. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t d[2];                   /* F16 */
        uint8_t q[16];
} Block;
_Static_assert(sizeof(Block) == 18, "the file's layout");

static const int8_t level[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += 32, b++) {
                float d = load_f16(b->d);
                for (unsigned j = 0; j < 16; j++) {
                        out[i + j] = d * level[b->q[j] & 15];
                        out[i + j + 16] = d * level[b->q[j] >> 4];
                }
        }
}

const TensorType tensor_type_iq4_nl = { TENSOR_IQ4_NL, "IQ4_NL", 32, sizeof(Block), dequantize };
