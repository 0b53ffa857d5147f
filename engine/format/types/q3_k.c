/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Q3_K: a superblock of 256 numbers of 3 bits in sixteen blocks of 16 with a scale of 6 bits around 32 each.
 * x = (d · (scale − 32)) · (q − 4). The low two bits lie as in Q2_K; bit r of h[j] is the third one of element j of
 * run r (0 … 7). Scale k has its low nibble in byte k mod 8 (low nibbles: the first eight) and its upper two bits in
 * byte 8 + k mod 4, at 2 · (k / 4). */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t h[QK_K / 8];
        uint8_t q[QK_K / 4];
        uint8_t scales[12];
        uint8_t d[2];                   /* F16 */
} Block;
_Static_assert(sizeof(Block) == 110, "the file's layout");

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += QK_K, b++) {
                float d = load_f16(b->d);
                for (unsigned k = 0; k < 16; k++) {
                        unsigned run = k / 2, shift = 2 * (run % 4);
                        const uint8_t *q = b->q + 32 * (run / 4) + 16 * (k & 1), *h = b->h + 16 * (k & 1);
                        int scale = (b->scales[k % 8] >> (4 * (k / 8)) & 15) |
                                    (b->scales[8 + k % 4] >> (2 * (k / 4)) & 3) << 4;
                        float dl = d * (float) (scale - 32);
                        for (unsigned j = 0; j < 16; j++) {
                                int v = (q[j] >> shift & 3) | (h[j] >> run & 1) << 2;
                                out[i + 16 * k + j] = dl * (float) (v - 4);
                        }
                }
        }
}

const TensorType tensor_type_q3_k = { TENSOR_Q3_K, "Q3_K", QK_K, sizeof(Block), dequantize };
