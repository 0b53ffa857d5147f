/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Q4_0: 32 nibbles around 8 and their scale. x = d · (q − 8). Low nibbles are elements 0–15, high ones 16–31. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t d[2];                   /* F16 */
        uint8_t q[16];
} Block;
_Static_assert(sizeof(Block) == 18, "the file's layout");

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += 32, b++) {
                float d = load_f16(b->d);
                for (unsigned j = 0; j < 16; j++) {
                        out[i + j] = d * ((b->q[j] & 15) - 8);
                        out[i + j + 16] = d * ((b->q[j] >> 4) - 8);
                }
        }
}

const TensorType tensor_type_q4_0 = { TENSOR_Q4_0, "Q4_0", 32, sizeof(Block), dequantize };
