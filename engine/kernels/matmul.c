/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products of quantised weights in layout.h's form with int8 activations. Compiled once for each vector level.
 *
 * A tile is 16 rows by up to 12 tokens: sums of products stay in registers, a block of weights is unpacked once for all
 * its tokens, activations are broadcast from memory. For each (token, row) the blocks are taken in ascending order and
 * each adds first (dot · scale) · d, then min · sum, in one float: the same for every tile size, so that a result does not
 * depend on which other tokens are computed with it. */

#include "engine/kernels/layout.h"
#include "engine/kernels/level.h"
#include "engine/kernels/unpack.h"

#define FETCH_AHEAD 4096u             /* bytes; the hardware's own prefetch stops at each page */
#define CHUNK_BYTES (192u << 10)      /* of weights that all tokens pass before the next ones: half of a small L2 */

#if VF_LANES == 16
#define TILE_TOKENS_MAX 12u
#define TILE_WIDTHS(X, type) X(type, 1) X(type, 2) X(type, 4) X(type, 8) X(type, 12)
static const unsigned widths[] = { 1, 2, 4, 8, 12 };
#else
#define TILE_TOKENS_MAX 4u
#define TILE_WIDTHS(X, type) X(type, 1) X(type, 2) X(type, 4)
static const unsigned widths[] = { 1, 2, 4 };
#endif

typedef struct TileArgs {
        const uint8_t *weights;       /* one group */
        uint32_t n_blocks;
        const uint8_t *act;
        size_t act_stride;
        float *out;                   /* of the group's first row and the first token */
        size_t out_stride;
        uint32_t n_rows;              /* to be stored: 1 … 16 */
} TileArgs;
typedef void (*Tile)(const TileArgs *a);

/* Rows of one vector, T tokens. Everything but *a and `part` is a constant where this is expanded. */
static always_inline_ void tile(const Layout l, const unsigned T, const TileArgs *a, unsigned part) {
        const uint8_t *block = a->weights, *header = block, *act = a->act;
        const bool by_half = layout_by_half(l);
        const size_t stride = a->act_stride;
        vf sum[TILE_TOKENS_MAX];

        UNROLL for (unsigned t = 0; t < T; t++)
                sum[t] = vf_set1(0);

        for (uint32_t k = 0; k < a->n_blocks; k++) {
                vi dot[TILE_TOKENS_MAX];

                if (layout_header(l) > 0 && k % SUPER_BLOCKS == 0) {
                        header = block;
                        block += layout_header(l);
                }
                UNROLL for (unsigned i = 0; i < layout_block(l); i += 64)
                        _mm_prefetch((const char *) block + FETCH_AHEAD + i, _MM_HINT_T0);

                UNROLL for (unsigned half = 0; half < 2; half++) {
                        if (half == 0 || by_half)
                                UNROLL for (unsigned t = 0; t < T; t++) {
                                        const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                        vi s = vi_set1(by_half ? x->half_sum_32[half] : x->sum_32);
                                        dot[t] = l.zero_shift == NO_ZERO ? vi_zero()
                                                 : l.zero_shift == 7     ? vi_set1(x->sum_128)
                                                                         : vi_sra32(s, 5 - l.zero_shift);
                                }
                        UNROLL for (unsigned v = 4 * half; v < 4 * half + 4; v++) {
                                vi w = unpack(l, block, v, part);
                                UNROLL for (unsigned t = 0; t < T; t++) {
                                        const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                        vi q = load_q4(x->q + 4 * v);
                                        dot[t] = l.bits == 8 || l.table ? vi_dot4_wide(dot[t], w, q) : vi_dot4(dot[t], w, q);
                                }
                        }
                        if (half == 0 && !by_half)
                                continue;

                        vf scale = load_scale(l, header, block, half, part);
                        UNROLL for (unsigned t = 0; t < T; t++) {
                                const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                sum[t] = vf_fma(vf_mul(vf_from_i32(dot[t]), scale), vf_set1(x->d), sum[t]);
                        }
                        if (!layout_has_min(l))
                                continue;
                        vf min = load_min(l, header, block, half, part);
                        UNROLL for (unsigned t = 0; t < T; t++) {
                                const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                sum[t] = vf_fma(min, vf_set1(by_half ? x->half_sum_d[half] : x->sum_d), sum[t]);
                        }
                }
                block += layout_block(l);
                act += sizeof(ActivationBlock);
        }

        uint32_t row = part * VF_LANES;
        if (row >= a->n_rows)
                return;
        UNROLL for (unsigned t = 0; t < T; t++) {
                float *out = a->out + t * a->out_stride + row;
                if (a->n_rows - row >= VF_LANES)
                        vf_store(out, sum[t]);
                else
                        vf_store_n(out, sum[t], a->n_rows - row);
        }
}

#define DEFINE_TILE(type, T)                                                    \
        static void tile_##type##_##T(const TileArgs *a) {                      \
                Layout l = {};                                                  \
                layout_of(TENSOR_##type, &l);                                   \
                for (unsigned part = 0; part < PARTS; part++)                   \
                        tile(l, T, a, part);                                    \
        }
#define DEFINE_TILES(type) TILE_WIDTHS(DEFINE_TILE, type)
LAYOUT_TYPES(DEFINE_TILES)

#define NAME_TILE(type, T) tile_##type##_##T,
#define NAME_TILES(type) [TENSOR_##type] = { TILE_WIDTHS(NAME_TILE, type) },
static const Tile tiles[][sizeof widths / sizeof widths[0]] = { LAYOUT_TYPES(NAME_TILES) };

/* All tokens over the rows of one chunk of weights, then the next chunk. */
static void matmul_packed(const Weight *w, Layout l, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                          uint32_t row0, uint32_t row1) {
        size_t group_size = layout_group(l, w->n_in), act_size = layout_activation_size(w->n_in, w->floats);
        uint32_t chunk = (uint32_t) MAX(CHUNK_BYTES / group_size, (size_t) 1) * GROUP_ROWS;

        for (uint32_t begin = row0; begin < row1; begin += MIN(chunk, row1 - begin)) {
                uint32_t end = begin + MIN(chunk, row1 - begin);
                unsigned width = sizeof widths / sizeof widths[0] - 1;

                for (uint32_t t = 0; t < n_tokens; t += widths[width]) {
                        while (widths[width] > n_tokens - t)
                                width--;
                        for (uint32_t row = begin; row < end; row += GROUP_ROWS)
                                tiles[w->type->id][width](&(TileArgs) {
                                        .weights = w->packed + row / GROUP_ROWS * group_size,
                                        .n_blocks = w->n_in / BLOCK_COLUMNS,
                                        .act = (const uint8_t *) act + t * act_size,
                                        .act_stride = act_size,
                                        .out = out + t * out_stride + row,
                                        .out_stride = out_stride,
                                        .n_rows = MIN(end - row, GROUP_ROWS),
                                });
                }
        }
}

void LEVEL(matmul)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                   uint32_t row0, uint32_t row1) {
        Layout l;

        if (w->packed && n_tokens >= WIDE_TOKENS)
                LEVEL(matmul_wide)(w, act, n_tokens, out, out_stride, row0, row1);
        else if (w->packed && layout_of(w->type->id, &l))
                matmul_packed(w, l, act, n_tokens, out, out_stride, row0, row1);
        else
                LEVEL(matmul_float)(w, act, n_tokens, out, out_stride, row0, row1);
}
