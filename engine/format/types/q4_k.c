/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Q4_K: a superblock of 256 nibbles in eight blocks of 32, each with a scale and a minimum of 6 bits that are scaled
 * themselves. x = (d · scale) · q − (dmin · min). A run of 32 bytes holds two blocks: low nibbles, then high ones. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t d[2];                   /* F16 */
        uint8_t dmin[2];                /* F16 */
        uint8_t scales[12];             /* k_scale_min() */
        uint8_t q[QK_K / 2];
} Block;
_Static_assert(sizeof(Block) == 144, "the file's layout");

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += QK_K, b++) {
                float d = load_f16(b->d), dmin = load_f16(b->dmin);
                for (unsigned k = 0; k < 8; k++) {
                        unsigned scale, min, shift = 4 * (k & 1);
                        k_scale_min(b->scales, k, &scale, &min);
                        const uint8_t *q = b->q + 32 * (k / 2);
                        float dl = d * (float) scale, ml = dmin * (float) min;
                        for (unsigned j = 0; j < 32; j++)
                                out[i + 32 * k + j] = dl * (float) (q[j] >> shift & 15) - ml;
                }
        }
}

const TensorType tensor_type_q4_k = { TENSOR_Q4_K, "Q4_K", QK_K, sizeof(Block), dequantize };
