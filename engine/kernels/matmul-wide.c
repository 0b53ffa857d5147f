/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products for many tokens. Compiled once for each vector level.
 *
 * A tile is two vectors of rows by up to 6 tokens, so that an activation that was broadcast serves twice. Whole numbers
 * are exact, and floats take the steps of matmul.c: the same bits. */

#include "engine/kernels/matmul-wide.h"

#if VF_LANES == 16
#define TILE_TOKENS_MAX 6u
#define TILE_WIDTHS(X, kind) X(kind, 5) X(kind, 6)
#define TILE_WIDTH_MIN 5u              /* the least that WIDE_TOKENS and more come to */
#else
#define TILE_TOKENS_MAX 2u
#define TILE_WIDTHS(X, kind) X(kind, 1) X(kind, 2)
#define TILE_WIDTH_MIN 1u
#endif

static always_inline_ void tile(const Kind kind, const unsigned T, const TileArgs *a) {
        const bool by_half = kind_by_half(kind);
        const uint8_t *act = a->act;
        const size_t stride = a->act_stride;
        vf sum[VECTORS][TILE_TOKENS_MAX];

        UNROLL for (unsigned t = 0; t < T; t++)
                UNROLL for (unsigned g = 0; g < VECTORS; g++)
                        sum[g][t] = a->first ? vf_set1(0) : sum_load(a->out + t * a->out_stride, g * VF_LANES, a->n_rows);

        for (const WideBlock *b = a->blocks, *end = b + a->n_blocks; b < end; b++) {
                vi dot[VECTORS][TILE_TOKENS_MAX];

                UNROLL for (unsigned half = 0; half < 2; half++) {
                        if (half == 0 || by_half)
                                UNROLL for (unsigned t = 0; t < T; t++) {
                                        const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                        vi s = dot_start(kind, x, half);
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
                                        sum[g][t] = add_dot(sum[g][t], dot[g][t], b->scale[h][g], b->base[h][g], d);
                        }
                        if (!kind_has_min(kind))
                                continue;
                        UNROLL for (unsigned t = 0; t < T; t++) {
                                const ActivationBlock *x = (const ActivationBlock *) (act + t * stride);
                                UNROLL for (unsigned g = 0; g < VECTORS; g++)
                                        sum[g][t] = add_min(sum[g][t], b->min[h][g], kind, x, half);
                        }
                }
                act += sizeof(ActivationBlock);
        }

        UNROLL for (unsigned t = 0; t < T; t++)
                UNROLL for (unsigned g = 0; g < VECTORS; g++)
                        sum_store(a->out + t * a->out_stride, sum[g][t], g * VF_LANES, a->n_rows);
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

void LEVEL(matmul_wide)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                        uint32_t row0, uint32_t row1) {
        Layout l = {};

        layout_of(w->type->id, &l);
        wide_walk(w, act, n_tokens, out, out_stride, row0, row1, tiles[kind_of(l)], TILE_WIDTH_MIN, TILE_TOKENS_MAX);
}
