/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Q6_K: a superblock of 256 numbers of 6 bits around 32, in sixteen blocks of 16 with a signed scale each.
 * x = (d · scale) · (q − 32). Each half of 128 elements is four runs of 32: run r takes its low four bits from bytes
 * 32 · (r mod 2) … of the half's 64 (low nibbles for runs 0 and 1, high ones for 2 and 3), its upper two from bits
 * 2r and 2r + 1 of the half's 32 bytes of h. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t l[QK_K / 2];
        uint8_t h[QK_K / 4];
        int8_t scales[QK_K / 16];
        uint8_t d[2];                   /* F16 */
} Block;
_Static_assert(sizeof(Block) == 210, "the file's layout");

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += QK_K, b++) {
                float d = load_f16(b->d);
                for (unsigned run = 0; run < 8; run++) {
                        unsigned half = run / 4, r = run % 4;
                        const uint8_t *l = b->l + 64 * half + 32 * (r & 1), *h = b->h + 32 * half;
                        for (unsigned j = 0; j < 32; j++) {
                                int q = (l[j] >> (4 * (r / 2)) & 15) | (h[j] >> (2 * r) & 3) << 4;
                                float dl = d * b->scales[2 * run + j / 16];
                                out[i + 32 * run + j] = dl * (float) (q - 32);
                        }
                }
        }
}

const TensorType tensor_type_q6_k = { TENSOR_Q6_K, "Q6_K", QK_K, sizeof(Block), dequantize };
