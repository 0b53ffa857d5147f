/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Q5_0: 32 numbers of 5 bits around 16 and their scale. x = d · (q − 16). Nibbles lie as in Q4_0; bit j of the 32-bit
 * word h is the fifth bit of element j. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t d[2];                   /* F16 */
        uint8_t h[4];
        uint8_t q[16];
} Block;
_Static_assert(sizeof(Block) == 22, "the file's layout");

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += 32, b++) {
                float d = load_f16(b->d);
                uint32_t h = load_u32(b->h);
                for (unsigned j = 0; j < 16; j++) {
                        int low = (b->q[j] & 15) | (int) (h >> j & 1) << 4;
                        int high = (b->q[j] >> 4) | (int) (h >> (j + 16) & 1) << 4;
                        out[i + j] = d * (low - 16);
                        out[i + j + 16] = d * (high - 16);
                }
        }
}

const TensorType tensor_type_q5_0 = { TENSOR_Q5_0, "Q5_0", 32, sizeof(Block), dequantize };
