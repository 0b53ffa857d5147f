/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Q5_K: Q4_K with a fifth bit: bit k of h[j] belongs to element j of block k. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t d[2];                   /* F16 */
        uint8_t dmin[2];                /* F16 */
        uint8_t scales[12];             /* k_scale_min() */
        uint8_t h[QK_K / 8];
        uint8_t q[QK_K / 2];
} Block;
_Static_assert(sizeof(Block) == 176, "the file's layout");

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += QK_K, b++) {
                float d = load_f16(b->d), dmin = load_f16(b->dmin);
                for (unsigned k = 0; k < 8; k++) {
                        unsigned scale, min, shift = 4 * (k & 1);
                        k_scale_min(b->scales, k, &scale, &min);
                        const uint8_t *q = b->q + 32 * (k / 2);
                        float dl = d * (float) scale, ml = dmin * (float) min;
                        for (unsigned j = 0; j < 32; j++) {
                                int v = (q[j] >> shift & 15) | (b->h[j] >> k & 1) << 4;
                                out[i + 32 * k + j] = dl * (float) v - ml;
                        }
                }
        }
}

const TensorType tensor_type_q5_k = { TENSOR_Q5_K, "Q5_K", QK_K, sizeof(Block), dequantize };
