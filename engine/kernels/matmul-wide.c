/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products for many tokens. Compiled once for each vector level.
 *
 * Weights of two vectors of rows are unpacked once, to bytes and floats that stay in the first cache, and all tokens
 * pass them: what a type is stored as costs next to nothing, and types differ only in what a block adds to a sum. A
 * tile is two vectors of rows by up to 6 tokens, so that an activation that was broadcast serves twice. Quants get a
 * zero at 32 or 128, for which activations keep their sums. Whole numbers are exact, and floats take the steps of
 * matmul.c: the same bits.
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

#if VF_LANES == 16
#define TILE_TOKENS_MAX 6u
#define TILE_WIDTHS(X, kind) X(kind, 5) X(kind, 6)
#define TILE_WIDTH_MIN 5u              /* the least that WIDE_TOKENS and more come to */
#else
#define TILE_TOKENS_MAX 2u
#define TILE_WIDTHS(X, kind) X(kind, 1) X(kind, 2)
#define TILE_WIDTH_MIN 1u
#endif

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

static always_inline_ void tile(const Kind kind, const unsigned T, const TileArgs *a) {
        const bool by_half = kind == KIND_HALF_ZERO || kind == KIND_HALF_MIN, has_min = kind == KIND_MIN || kind == KIND_HALF_MIN;
        const uint8_t *act = a->act;
        const size_t stride = a->act_stride;
        vf sum[VECTORS][TILE_TOKENS_MAX];

        UNROLL for (unsigned t = 0; t < T; t++)
                UNROLL for (unsigned g = 0; g < VECTORS; g++) {
                        uint32_t row = g * VF_LANES;
                        sum[g][t] = vf_set1(0);
                        if (!a->first && row < a->n_rows)
                                sum[g][t] = a->n_rows - row >= VF_LANES ? vf_load(a->out + t * a->out_stride + row)
                                            : vf_load_n(a->out + t * a->out_stride + row, a->n_rows - row);
                }

        for (const WideBlock *b = a->blocks, *end = b + a->n_blocks; b < end; b++) {
                vi dot[VECTORS][TILE_TOKENS_MAX];

                UNROLL for (unsigned half = 0; half < 2; half++) {
                        if (half == 0 || by_half)
                                UNROLL for (unsigned t = 0; t < T; t++) {
                                        const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                        vi s = vi_set1(COUNT_BASE_BITS);
                                        if (kind == KIND_ZERO_32)
                                                s = vi_add32(s, vi_set1(x->sum_32));
                                        else if (kind == KIND_ZERO_128)
                                                s = vi_add32(s, vi_set1(x->sum_128));
                                        else if (kind == KIND_HALF_ZERO)
                                                s = vi_add32(s, vi_set1(x->half_sum_32[half]));
                                        UNROLL for (unsigned g = 0; g < VECTORS; g++)
                                                dot[g][t] = s;
                                }
                        UNROLL for (unsigned v = 4 * half; v < 4 * half + 4; v++)
                                UNROLL for (unsigned t = 0; t < T; t++) {
                                        const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                        int32_t four;
                                        memcpy(&four, x->q + 4 * v, sizeof four);
                                        vi q = vi_set1(four);
                                        UNROLL for (unsigned g = 0; g < VECTORS; g++)
                                                dot[g][t] = kind == KIND_ZERO_128 ? vi_dot4_wide(dot[g][t], b->q[v][g], q)
                                                                                  : vi_dot4(dot[g][t], b->q[v][g], q);
                                }
                        if (half == 0 && !by_half)
                                continue;

                        const unsigned h = by_half ? half : 0;
                        UNROLL for (unsigned t = 0; t < T; t++) {
                                const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                vf d = vf_set1(x->d);
                                UNROLL for (unsigned g = 0; g < VECTORS; g++)
                                        sum[g][t] = vf_fma(vf_fma(vi_as_vf(dot[g][t]), b->scale[h][g], b->base[h][g]), d, sum[g][t]);
                        }
                        if (!has_min)
                                continue;
                        UNROLL for (unsigned t = 0; t < T; t++) {
                                const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                vf s = vf_set1(by_half ? x->half_sum_d[half] : x->sum_d);
                                UNROLL for (unsigned g = 0; g < VECTORS; g++)
                                        sum[g][t] = vf_fma(b->min[h][g], s, sum[g][t]);
                        }
                }
                act += sizeof(ActivationBlock);
        }

        UNROLL for (unsigned t = 0; t < T; t++)
                UNROLL for (unsigned g = 0; g < VECTORS; g++) {
                        uint32_t row = g * VF_LANES;
                        float *out = a->out + t * a->out_stride + row;
                        if (row + VF_LANES <= a->n_rows)
                                vf_store(out, sum[g][t]);
                        else if (row < a->n_rows)
                                vf_store_n(out, sum[g][t], a->n_rows - row);
                }
}

#define DEFINE_TILE(kind, T)                                                    \
        static void tile_##kind##_##T(const TileArgs *a) {                      \
                tile(kind, T, a);                                               \
        }
#define DEFINE_TILES(kind) TILE_WIDTHS(DEFINE_TILE, kind)
KINDS(DEFINE_TILES)

#define NAME_TILE(kind, T) tile_##kind##_##T,
#define NAME_TILES(kind) [kind] = { TILE_WIDTHS(NAME_TILE, kind) },
static const Tile tiles[][TILE_TOKENS_MAX - TILE_WIDTH_MIN + 1] = { KINDS(NAME_TILES) };

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

void LEVEL(matmul_wide)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                        uint32_t row0, uint32_t row1) {
        _Alignas(64) WideBlock blocks[WIDE_BLOCKS];
        const size_t act_size = layout_activation_size(w->n_in, w->floats);
        const uint32_t n_blocks = w->n_in / BLOCK_COLUMNS, n_tiles = (n_tokens + TILE_TOKENS_MAX - 1) / TILE_TOKENS_MAX;
        Layout l = {};

        layout_of(w->type->id, &l);
        const size_t group_size = layout_group(l, w->n_in);
        const Tile *widths = tiles[kind_of(l)];

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
                                const uint32_t width = (n_tokens - t) / (n_tiles - i);        /* as even as can be */

                                for (size_t at = 0; at < ahead; at += 64)
                                        _mm_prefetch((const char *) next + at, _MM_HINT_T1);
                                next += ahead;
                                widths[width - TILE_WIDTH_MIN](&(TileArgs) {
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
