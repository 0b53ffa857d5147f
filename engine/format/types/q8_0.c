/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Q8_0: 32 signed bytes and their scale. x = d · q. */

#include "engine/format/types/types.h"

typedef struct Block {
        uint8_t d[2];                   /* F16 */
        int8_t q[32];
} Block;
_Static_assert(sizeof(Block) == 34, "the file's layout");

static void dequantize(const void *blocks, float *out, size_t n) {
        const Block *b = blocks;
        for (size_t i = 0; i < n; i += 32, b++) {
                float d = load_f16(b->d);
                for (unsigned j = 0; j < 32; j++)
                        out[i + j] = d * b->q[j];
        }
}

const TensorType tensor_type_q8_0 = { TENSOR_Q8_0, "Q8_0", 32, sizeof(Block), dequantize };
