/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Q2_K: a superblock of 256 numbers of 2 bits in sixteen blocks of 16, each with a scale (low nibble) and a minimum
 * (high nibble) that are scaled themselves. x = (d · scale) · q − (dmin · min). Each half of 128 elements is four runs
 * of 32 that share 32 bytes: run r is bits 2r and 2r + 1. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t scales[QK_K / 16];
        uint8_t q[QK_K / 4];
        uint8_t d[2];                   /* F16 */
        uint8_t dmin[2];                /* F16 */
} Block;
_Static_assert(sizeof(Block) == 84, "the file's layout");

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += QK_K, b++) {
                float d = load_f16(b->d), dmin = load_f16(b->dmin);
                for (unsigned k = 0; k < 16; k++) {
                        unsigned run = k / 2, shift = 2 * (run % 4);
                        const uint8_t *q = b->q + 32 * (run / 4) + 16 * (k & 1);
                        float dl = d * (float) (b->scales[k] & 15), ml = dmin * (float) (b->scales[k] >> 4);
                        for (unsigned j = 0; j < 16; j++)
                                out[i + 16 * k + j] = dl * (float) (q[j] >> shift & 3) - ml;
                }
        }
}

const TensorType tensor_type_q2_k = { TENSOR_Q2_K, "Q2_K", QK_K, sizeof(Block), dequantize };
