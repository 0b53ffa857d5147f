/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products for many tokens by AMX tiles, in the place of matmul-wide.c.
 *
 * A vector of layout.h, 4 columns of 16 rows, is a row of the tile that is multiplied by, so weights need no other order:
 * a block is 8 such rows (a half 4), and up to 16 tokens' 32 bytes of it are the tile on the left. A tile operation is
 * therefore a block, half of what a tile can hold, because the next block has other scales. Its 16 · 16 sums go through
 * the first cache to the vectors, which count and add them as matmul-wide.c does: sums are exact, so all bits are equal.
 *
 * The vectors' part takes about twice the tiles' time. Tiles are a block ahead, in two sets, so that the shorter part
 * hides behind the longer one. Rows are taken by 16, so that all tokens' float sums stay in registers.
 *
 * A thread's tiles are configured for the time of a call only: else they would be saved whenever it is switched. */

#include "engine/kernels/matmul-wide.h"
#include "engine/kernels/tiles.h"

#define WIDTHS(X, kind) X(kind, 10) X(kind, 11) X(kind, 12) X(kind, 13) X(kind, 14) X(kind, 15) X(kind, 16)
#define WIDTH_MIN 10u                 /* the least that WIDE_TOKENS and more come to */
#define WIDTH_MAX TILE_ROWS_MAX

/* A call has tiles of one width or of two neighbouring ones: an even and an odd one, each with tiles of its own. */
#define TILE_SUM(width, set) ((width) % 2 * 2 + (set))
#define TILE_ACT(width) (4 + (width) % 2)
#define TILE_WEIGHT(set) (6 + (set))

typedef int32_t Sums[WIDTH_MAX][GROUP_ROWS];

/* A block's, or one of its halves', products of 16 rows and T tokens. */
static always_inline_ void multiply(const bool by_half, const unsigned T, const unsigned set, const unsigned half,
                                    const WideBlock *b, unsigned group, const uint8_t *act, size_t stride, Sums *ret) {
        const unsigned sum = TILE_SUM(T, set), weight = TILE_WEIGHT(set);

        tile_zero(sum);
        tile_load(TILE_ACT(T), act + (by_half ? BLOCK_COLUMNS / 2 * half : 0), stride);
        tile_load(weight, &b->q[by_half ? 4 * half : 0][group * PARTS], sizeof b->q[0]);
        tile_dot(sum, TILE_ACT(T), weight);
        tile_store(sum, *ret, sizeof (*ret)[0]);
}

static always_inline_ void multiply_block(const Kind kind, const unsigned T, const unsigned set,
                                          const WideBlock *b, unsigned group, const uint8_t *act, size_t stride, Sums ret[2]) {
        if (kind_by_half(kind))
                UNROLL for (unsigned half = 0; half < 2; half++)
                        multiply(true, T, half, half, b, group, act, stride, &ret[half]);
        else
                multiply(false, T, set, 0, b, group, act, stride, &ret[0]);
}

static always_inline_ void add_half(const Kind kind, const unsigned T, const unsigned half, const WideBlock *b, unsigned group,
                                    const uint8_t *act, size_t stride, const Sums *dots, vf sum[PARTS][WIDTH_MAX]) {
        UNROLL for (unsigned t = 0; t < T; t++) {
                const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                const vi start = dot_start(kind, x, half);

                UNROLL for (unsigned part = 0; part < PARTS; part++) {
                        const unsigned v = group * PARTS + part;
                        vi dot = vi_add32(start, vi_load(&(*dots)[t][part * VF_LANES]));
                        vf s = add_dot(sum[part][t], dot, b->scale[half][v], b->base[half][v], vf_set1(x->d));
                        sum[part][t] = kind_has_min(kind) ? add_min(s, b->min[half][v], kind, x, half) : s;
                }
        }
}

static always_inline_ void tile_group(const Kind kind, const unsigned T, const TileArgs *a, const unsigned group) {
        _Alignas(64) Sums dots[2][2];
        const WideBlock *b = a->blocks;
        const uint8_t *act = a->act;
        vf sum[PARTS][WIDTH_MAX];

        UNROLL for (unsigned t = 0; t < T; t++)
                UNROLL for (unsigned part = 0; part < PARTS; part++) {
                        const uint32_t row = group * GROUP_ROWS + part * VF_LANES;
                        sum[part][t] = a->first ? vf_set1(0) : sum_load(a->out + t * a->out_stride, row, a->n_rows);
                }

        multiply_block(kind, T, 0, b, group, act, a->act_stride, dots[0]);
        for (uint32_t k = 0; k < a->n_blocks; k += 2)
                UNROLL for (unsigned set = 0; set < 2; set++) {
                        if (k + set >= a->n_blocks)
                                break;
                        if (k + set + 1 < a->n_blocks)
                                multiply_block(kind, T, !set, b + 1, group, act + sizeof(ActivationBlock), a->act_stride, dots[!set]);
                        add_half(kind, T, 0, b, group, act, a->act_stride, &dots[set][0], sum);
                        if (kind_by_half(kind))
                                add_half(kind, T, 1, b, group, act, a->act_stride, &dots[set][1], sum);
                        b++;
                        act += sizeof(ActivationBlock);
                }

        UNROLL for (unsigned t = 0; t < T; t++)
                UNROLL for (unsigned part = 0; part < PARTS; part++)
                        sum_store(a->out + t * a->out_stride, sum[part][t], group * GROUP_ROWS + part * VF_LANES, a->n_rows);
}

#define DEFINE_TILE(kind, T)                                                    \
        static void tile_##kind##_##T(const TileArgs *a) {                      \
                for (unsigned g = 0; g * GROUP_ROWS < a->n_rows; g++)           \
                        tile_group(kind, T, a, g);                              \
        }
#define DEFINE_TILES(kind) WIDTHS(DEFINE_TILE, kind)
KINDS(DEFINE_TILES)

#define NAME_TILE(kind, T) tile_##kind##_##T,
#define NAME_TILES(kind) [kind] = { WIDTHS(NAME_TILE, kind) },
static const Tile tiles[][WIDTH_MAX - WIDTH_MIN + 1] = { KINDS(NAME_TILES) };

/* Tiles for `width` tokens by `columns` bytes of each, beside those that c has. */
static void add_width(TileConfig *c, unsigned width, unsigned columns) {
        for (unsigned set = 0; set < 2; set++) {
                c->rows[TILE_SUM(width, set)] = (uint8_t) width;
                c->row_bytes[TILE_SUM(width, set)] = GROUP_ROWS * sizeof(int32_t);
                c->rows[TILE_WEIGHT(set)] = (uint8_t) (columns / 4);
                c->row_bytes[TILE_WEIGHT(set)] = GROUP_ROWS * 4;
        }
        c->rows[TILE_ACT(width)] = (uint8_t) width;
        c->row_bytes[TILE_ACT(width)] = (uint16_t) columns;
}

void LEVEL(matmul_wide)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                        uint32_t row0, uint32_t row1) {
        const uint32_t n_tiles = wide_tiles(n_tokens, WIDTH_MAX), width = n_tokens / n_tiles;
        TileConfig c = { .palette = 1 };
        Layout l = {};

        layout_of(w->type->id, &l);
        for (uint32_t i = width; i <= width + (n_tokens % n_tiles > 0); i++)
                add_width(&c, i, layout_by_half(l) ? BLOCK_COLUMNS / 2 : BLOCK_COLUMNS);
        tiles_configure(&c);
        wide_walk(w, act, n_tokens, out, out_stride, row0, row1, tiles[kind_of(l)], WIDTH_MIN, WIDTH_MAX);
        tiles_release();
}

/* One product of every sign, of the largest numbers too, beside the plain answer. */
bool LEVEL(tiles_work)(void) {
        _Alignas(64) uint8_t weight[BLOCK_COLUMNS / 4][GROUP_ROWS][4];
        _Alignas(64) int8_t act[WIDTH_MAX][BLOCK_COLUMNS];
        _Alignas(64) Sums sums;
        TileConfig c = { .palette = 1 };
        bool right = true;

        for (unsigned i = 0; i < sizeof weight; i++)
                ((uint8_t *) weight)[i] = (uint8_t) (255 - 37 * i);
        for (unsigned i = 0; i < sizeof act; i++)
                ((int8_t *) act)[i] = (int8_t) (uint8_t) (129 + 91 * i);

        add_width(&c, WIDTH_MAX, BLOCK_COLUMNS);
        tiles_configure(&c);
        tile_zero(TILE_SUM(WIDTH_MAX, 0));
        tile_load(TILE_ACT(WIDTH_MAX), act, sizeof act[0]);
        tile_load(TILE_WEIGHT(0), weight, sizeof weight[0]);
        tile_dot(TILE_SUM(WIDTH_MAX, 0), TILE_ACT(WIDTH_MAX), TILE_WEIGHT(0));
        tile_store(TILE_SUM(WIDTH_MAX, 0), sums, sizeof sums[0]);
        tiles_release();

        for (unsigned t = 0; t < WIDTH_MAX; t++)
                for (unsigned row = 0; row < GROUP_ROWS; row++) {
                        int32_t want = 0;
                        for (unsigned i = 0; i < BLOCK_COLUMNS; i++)
                                want += weight[i / 4][row][i % 4] * act[t][i];
                        right = right && sums[t][row] == want;
                }
        return right;
}
