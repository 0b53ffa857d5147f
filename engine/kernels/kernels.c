/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the table of levels and the choice among them: the last one that the CPU supports, or the one asked for. A new
 * instruction set is one more line here, one in meson.build and cpu.c, and its operations in simd.h. */

#include <string.h>

#include "engine/kernels/kernels.h"
#include "engine/kernels/level.h"

static const Kernels *const levels[] = {
        &kernels_scalar,
#if defined(__x86_64__)
        &kernels_avx2, &kernels_avx2_vnni, &kernels_avx512, &kernels_avx512_vnni, &kernels_amx,
#endif
};

const Kernels *kernels_at(size_t i) {
        return i < sizeof levels / sizeof levels[0] ? levels[i] : NULL;
}

const Kernels *kernels_select(const char *name) {
        for (size_t i = sizeof levels / sizeof levels[0]; i-- > 0;)
                if ((!name || strcmp(levels[i]->name, name) == 0) && levels[i]->supported())
                        return levels[i];
        return NULL;
}

size_t kv_block_size(KvType type, uint32_t head_dim) {
        size_t lanes = (head_dim + KV_LANES - 1) / KV_LANES * KV_LANES;
        size_t values = lanes * KV_PAGE_TOKENS;

        switch (type) {
        case KV_F32:
                return values * sizeof(float);
        case KV_F16:
                return values * sizeof(uint16_t);
        case KV_Q8:
                return values + values / KV_LANES * sizeof(uint16_t);
        case KV_I16:
                return values * sizeof(int16_t) + KV_PAGE_TOKENS * sizeof(uint16_t);
        case KV_TYPES:
                break;
        }
        return 0;
}

size_t attend_scratch(uint32_t head_dim_k, uint32_t head_dim_v, uint32_t n_group) {
        size_t dim_k = (head_dim_k + KV_LANES - 1) / KV_LANES * KV_LANES, dim_v = (head_dim_v + KV_LANES - 1) / KV_LANES * KV_LANES;
        size_t rows = ATTEND_ROWS + n_group;

        /* For each row of a tile: its sums, its weights for one page, four numbers of its softmax and up to 16 parts of
         * the total. Then a page's keys, later its values, as floats, or the rows' queries as int16. Then each row's two
         * positions and three addresses. */
        return (rows * (dim_v + KV_PAGE_TOKENS + 20) + MAX(MAX(dim_k, dim_v) * KV_PAGE_TOKENS, rows * dim_k / 2)) * sizeof(float)
                + rows * (2 * sizeof(uint32_t) + 3 * sizeof(float *));
}
