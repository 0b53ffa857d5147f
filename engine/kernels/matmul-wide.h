/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Products for many tokens, whatever multiplies. Weights of two vectors of rows are unpacked once, to bytes and floats
 * that stay in the first cache, and all tokens pass them: what a type is stored as costs next to nothing, and types
 * differ only in what a block adds to a sum. Quants get a zero at 32 or 128, for which activations keep their sums.
 *
 * No sum of products is converted: it is counted from the bits of the float 3 · 2^22 on, whose steps are ones, so that
 * it is that float plus the sum; one fma with -3 · 2^22 · scale, which is exact, makes it scale · sum, rounded once. */

#include "engine/kernels/level.h"
#include "engine/kernels/unpack.h"

#define VECTORS 2u                    /* of rows */
#define WIDE_ROWS (VECTORS * VF_LANES)
#define WIDE_GROUPS (WIDE_ROWS / GROUP_ROWS)
#define WIDE_BLOCKS 24u               /* that are unpacked at once: they and a tile's activations fit in 48 KB */
_Static_assert(WIDE_BLOCKS % SUPER_BLOCKS == 0, "headers are found");

typedef struct WideBlock {
        vi q[8][VECTORS];
        vf scale[2][VECTORS], min[2][VECTORS];        /* [half]; without halves only the first */
        vf base[2][VECTORS];          /* -COUNT_BASE · scale */
} WideBlock;

#define COUNT_BASE 12582912.0f
#define COUNT_BASE_BITS 0x4b400000    /* COUNT_BASE's; sums stay within ±2^22 of it: 32 · 255 · 127 at most */

typedef enum Kind { KIND_ZERO_32, KIND_ZERO_128, KIND_MIN, KIND_HALF_ZERO, KIND_HALF_MIN } Kind;
#define KINDS(X) X(KIND_ZERO_32) X(KIND_ZERO_128) X(KIND_MIN) X(KIND_HALF_ZERO) X(KIND_HALF_MIN)

typedef struct TileArgs {
        const WideBlock *blocks;
        uint32_t n_blocks;
        bool first;                   /* sums begin at 0, else where they were left in `out` */
        const uint8_t *act;
        size_t act_stride;
        float *out;
        size_t out_stride;
        uint32_t n_rows;              /* to be stored: 1 … WIDE_ROWS */
} TileArgs;
typedef void (*Tile)(const TileArgs *a);

static always_inline_ Kind kind_of(Layout l) {
        if (layout_by_half(l))
                return layout_has_min(l) ? KIND_HALF_MIN : KIND_HALF_ZERO;
        return layout_has_min(l) ? KIND_MIN : l.zero_shift == 7 ? KIND_ZERO_128 : KIND_ZERO_32;
}

static always_inline_ bool kind_by_half(const Kind kind) {
        return kind == KIND_HALF_ZERO || kind == KIND_HALF_MIN;
}

static always_inline_ bool kind_has_min(const Kind kind) {
        return kind == KIND_MIN || kind == KIND_HALF_MIN;
}

/* What a block's or a half's sum of products is counted from: the share of the quants' zero. */
static always_inline_ vi dot_start(const Kind kind, const ActivationBlock *x, unsigned half) {
        vi base = vi_set1(COUNT_BASE_BITS);

        return kind == KIND_ZERO_32    ? vi_add32(base, vi_set1(x->sum_32))
               : kind == KIND_ZERO_128  ? vi_add32(base, vi_set1(x->sum_128))
               : kind == KIND_HALF_ZERO ? vi_add32(base, vi_set1(x->half_sum_32[half]))
                                        : base;
}

static always_inline_ vf add_dot(vf sum, vi dot, vf scale, vf base, vf d) {
        return vf_fma(vf_fma(vi_as_vf(dot), scale, base), d, sum);
}

static always_inline_ vf add_min(vf sum, vf min, const Kind kind, const ActivationBlock *x, unsigned half) {
        return vf_fma(min, vf_set1(kind_by_half(kind) ? x->half_sum_d[half] : x->sum_d), sum);
}

/* A row's vector of a tile's sums, of which n_rows - row are there: as they were left in out, and back. */
static always_inline_ vf sum_load(const float *out, uint32_t row, uint32_t n_rows) {
        return row >= n_rows ? vf_set1(0) : n_rows - row >= VF_LANES ? vf_load(out + row) : vf_load_n(out + row, n_rows - row);
}

static always_inline_ void sum_store(float *out, vf sum, uint32_t row, uint32_t n_rows) {
        if (row + VF_LANES <= n_rows)
                vf_store(out + row, sum);
        else if (row < n_rows)
                vf_store_n(out + row, sum, n_rows - row);
}

/* Blocks [k0, k0 + n) of the groups from `group` on. n_groups: that there are; a second one that is not there is the
 * first again, and its results are not stored. */
static always_inline_ void widen(const Layout l, const uint8_t *group, size_t group_size, uint32_t n_groups,
                                 uint32_t k0, uint32_t n, WideBlock *ret) {
        const size_t at = (size_t) k0 * layout_block(l) + k0 / SUPER_BLOCKS * layout_header(l);
        const int32_t lift = l.zero_shift < 5 ? (32 - (1 << l.zero_shift)) * 0x01010101 : 0;

        for (unsigned g = 0; g < WIDE_GROUPS; g++) {
                const uint8_t *block = group + (g < n_groups ? g : 0) * group_size + at, *header = block;

                for (uint32_t k = 0; k < n; k++, block += layout_block(l)) {
                        if (layout_header(l) > 0 && k % SUPER_BLOCKS == 0) {
                                header = block;
                                block += layout_header(l);
                        }
                        UNROLL for (unsigned part = 0; part < PARTS; part++) {
                                const unsigned to = g * PARTS + part;
                                UNROLL for (unsigned v = 0; v < 8; v++)
                                        ret[k].q[v][to] = vi_add8(unpack(l, block, v, part), vi_set1(lift));
                                for (unsigned half = 0; half < (layout_by_half(l) ? 2 : 1); half++) {
                                        ret[k].scale[half][to] = load_scale(l, header, block, half, part);
                                        ret[k].base[half][to] = vf_mul(ret[k].scale[half][to], vf_set1(-COUNT_BASE));
                                        if (layout_has_min(l))
                                                ret[k].min[half][to] = load_min(l, header, block, half, part);
                                }
                        }
                }
        }
}

typedef void (*Widen)(const uint8_t *group, size_t group_size, uint32_t n_groups, uint32_t k0, uint32_t n, WideBlock *ret);

#define DEFINE_WIDEN(type)                                                      \
        static void widen_##type(const uint8_t *group, size_t group_size, uint32_t n_groups, uint32_t k0, uint32_t n, WideBlock *ret) { \
                Layout l = {};                                                  \
                layout_of(TENSOR_##type, &l);                                   \
                widen(l, group, group_size, n_groups, k0, n, ret);              \
        }
LAYOUT_TYPES(DEFINE_WIDEN)

#define NAME_WIDEN(type) [TENSOR_##type] = widen_##type,
static const Widen wideners[] = { LAYOUT_TYPES(NAME_WIDEN) };

static uint32_t wide_tiles(uint32_t n_tokens, uint32_t width_max) {
        return (n_tokens + width_max - 1) / width_max;
}

/* Tiles as even as can be: n_tokens / wide_tiles() tokens, or one more. widths: the tile functions, from width_min on. */
static always_inline_ void wide_walk(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                                     uint32_t row0, uint32_t row1, const Tile *widths, uint32_t width_min, uint32_t width_max) {
        _Alignas(64) WideBlock blocks[WIDE_BLOCKS];
        const size_t act_size = layout_activation_size(w->n_in, w->floats);
        const uint32_t n_blocks = w->n_in / BLOCK_COLUMNS, n_tiles = wide_tiles(n_tokens, width_max);
        Layout l = {};

        layout_of(w->type->id, &l);
        const size_t group_size = layout_group(l, w->n_in);

        /* What comes next lies behind, in the order of execution: each tile fetches its part into the second cache. */
        const uint32_t n_ranges = (n_blocks + WIDE_BLOCKS - 1) / WIDE_BLOCKS;
        const size_t ahead = (WIDE_GROUPS * group_size / (n_ranges * n_tiles) + 63) / 64 * 64;

        for (uint32_t row = row0; row < row1; row += WIDE_ROWS) {
                const uint8_t *group = w->packed + row / GROUP_ROWS * group_size, *next = group + WIDE_GROUPS * group_size;
                const uint32_t n_rows = MIN(row1 - row, WIDE_ROWS), n_groups = (n_rows + GROUP_ROWS - 1) / GROUP_ROWS;

                for (uint32_t k = 0; k < n_blocks; k += WIDE_BLOCKS) {
                        const uint32_t n = MIN(n_blocks - k, WIDE_BLOCKS);

                        wideners[w->type->id](group, group_size, n_groups, k, n, blocks);
                        for (uint32_t i = 0, t = 0; i < n_tiles; i++) {
                                const uint32_t width = (n_tokens - t) / (n_tiles - i);

                                for (size_t at = 0; at < ahead; at += 64)
                                        _mm_prefetch((const char *) next + at, _MM_HINT_T1);
                                next += ahead;
                                widths[width - width_min](&(TileArgs) {
                                        .blocks = blocks,
                                        .n_blocks = n,
                                        .first = k == 0,
                                        .act = (const uint8_t *) act + t * act_size + k * sizeof(ActivationBlock),
                                        .act_stride = act_size,
                                        .out = out + t * out_stride + row,
                                        .out_stride = out_stride,
                                        .n_rows = n_rows,
                                });
                                t += width;
                        }
                }
        }
}
