/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Attention's one loop: rows of numbers times a page's 32 columns. Keys are transposed, and rows are queries; values are
 * cut into slices of 32, rows are weights, and the pages of a span add to the same sums. KV_I16 is multiplied as it is
 * stored, two whole numbers a lane; numbers of the other types become floats in registers. */

#include "engine/kernels/kv-numbers.h"

#if VF_LANES == 16
#define TILE_ROWS_MAX 8u
#define TILE_HEIGHTS(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(6, __VA_ARGS__) X(8, __VA_ARGS__)
static const unsigned heights[] = { 1, 2, 3, 4, 6, 8 };
#else
#define TILE_ROWS_MAX 2u
#define TILE_HEIGHTS(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__)
static const unsigned heights[] = { 1, 2 };
#endif

_Static_assert(KV_LANES == KV_PAGE_TOKENS, "keys and values share the loops");

/* A page's keys or values as the loop takes them: as stored, or converted. */
typedef struct Block {
        KvType type;
        uint32_t lo, hi;              /* its lines that are multiplied. Keys: elements; values: positions */
        const uint8_t *numbers;       /* [line][32]; KV_I16: [line / 2][32][2] */
        const uint8_t *scales;        /* KV_Q8. Keys: [line / 32][32]; values: [line] */
        const uint8_t *next;          /* numbers to fetch ahead, or NULL */
} Block;

/* rows[r][line] times 32 columns of a block's numbers, to sums[r][column … column + 31]. Keys: of one block. Values: of
 * slice column / 32 of every block, rows going on from one to the next; added to the sums times the row's factor. */
typedef struct ProductArgs {
        void *const *rows;            /* of floats; KV_I16: of int16 */
        const Block *blocks;
        uint32_t begin, end;          /* the blocks that are there */
        bool fetch;                   /* what is next */
        float *const *sums;           /* KV_I16's keys: of int32 */
        uint32_t column;
        const float *factors;
        const float *units;           /* KV_I16's values: what a row's sums of whole numbers count */
} ProductArgs;
typedef void (*Product)(const ProductArgs *a);

static always_inline_ vf load_number(KvType type, const uint8_t *p) {
        return type == KV_F32 ? vf_load((const float *) (const void *) p) : type == KV_F16 ? vf_from_f16(p) : vf_from_i8(p);
}

static always_inline_ float load_f16(const uint8_t *p, size_t i) {
        uint16_t h;
        memcpy(&h, p + i * sizeof h, sizeof h);
        return f16_scalar(h);
}

static always_inline_ void product(const KvType type, const bool values, const unsigned R, const ProductArgs *a) {
        const unsigned line = KV_LANES * number_size(type);
        const size_t slice = values ? a->column / KV_LANES * (size_t) KV_PAGE_TOKENS : 0;
        vf sum[TILE_ROWS_MAX][VECTORS], scale[VECTORS] = {};

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        sum[r][v] = values ? vf_mul(vf_load(a->sums[r] + a->column + v * VF_LANES), vf_set1(a->factors[r])) : vf_set1(0);

        for (uint32_t b = a->begin; b < a->end; b++) {
                const Block *block = &a->blocks[b];
                const uint8_t *numbers = block->numbers + slice * line, *scales = block->scales + slice * sizeof(uint16_t);
                const uint8_t *next = a->fetch && block->next ? block->next + slice * line : NULL;
                const float *row[TILE_ROWS_MAX];

                UNROLL for (unsigned r = 0; r < R; r++)
                        row[r] = (const float *) a->rows[r] + (values ? (size_t) b * KV_PAGE_TOKENS : 0);
                for (size_t i = block->lo; i < block->hi; i++) {
                        vf x[VECTORS];

                        if (next)
                                _mm_prefetch((const char *) next + i * line, _MM_HINT_T0);
                        if (type == KV_Q8 && !values && i % KV_LANES == 0)
                                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                                        scale[v] = vf_from_f16(scales + (i + v * VF_LANES) * sizeof(uint16_t));
                        UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                                x[v] = load_number(type, numbers + i * line + v * VF_LANES * number_size(type));
                                if (type == KV_Q8)
                                        x[v] = vf_mul(x[v], values ? vf_set1(load_f16(scales, i)) : scale[v]);
                        }
                        UNROLL for (unsigned r = 0; r < R; r++)
                                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                                        sum[r][v] = vf_fma(vf_set1(row[r][i]), x[v], sum[r][v]);
                }
        }

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        vf_store(a->sums[r] + a->column + v * VF_LANES, sum[r][v]);
}

/* Sums of whole numbers have the type that the instruction has: those of vi would be copied in every round of the loop. */
typedef int32_t vi32 __attribute__((vector_size(sizeof(vi))));

static always_inline_ vi load_pair(const int16_t *row, size_t pair) {
        int32_t two;
        memcpy(&two, row + 2 * pair, sizeof two);
        return vi_set1(two);
}

/* The same for KV_I16. */
static always_inline_ void product_pairs(const bool values, const unsigned R, const ProductArgs *a) {
        const unsigned line = KV_LANES * 2 * sizeof(int16_t);
        const size_t slice = values ? a->column / KV_LANES * (size_t) KV_PAGE_TOKENS / 2 * line : 0;  /* in bytes */
        vi32 dot[TILE_ROWS_MAX][VECTORS];

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        dot[r][v] = (vi32) vi_zero();

        for (uint32_t b = a->begin; b < a->end; b++) {
                const Block *block = &a->blocks[b];
                const uint8_t *numbers = block->numbers + slice, *next = a->fetch && block->next ? block->next + slice : NULL;
                const int16_t *row[TILE_ROWS_MAX];

                UNROLL for (unsigned r = 0; r < R; r++)
                        row[r] = (const int16_t *) a->rows[r] + (values ? (size_t) b * KV_PAGE_TOKENS : 0);
                for (size_t i = block->lo / 2; i < (block->hi + 1) / 2; i++) {
                        vi x[VECTORS];

                        if (next)
                                UNROLL for (unsigned at = 0; at < line; at += 64)
                                        _mm_prefetch((const char *) next + i * line + at, _MM_HINT_T0);
                        UNROLL for (unsigned v = 0; v < VECTORS; v++)
                                x[v] = vi_load(numbers + i * line + v * sizeof(vi));
                        UNROLL for (unsigned r = 0; r < R; r++) {
                                vi pair = load_pair(row[r], i);
                                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                                        dot[r][v] = (vi32) vi_dot2((vi) dot[r][v], x[v], pair);
                        }
                }
        }

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                        float *to = a->sums[r] + a->column + v * VF_LANES;
                        if (values)
                                vf_store(to, vf_fma(vf_from_i32((vi) dot[r][v]), vf_set1(a->units[r]),
                                                    vf_mul(vf_load(to), vf_set1(a->factors[r]))));
                        else
                                vi_store(to, (vi) dot[r][v]);
                }
}

#define DEFINE_PRODUCT(R, type, values)                                         \
        static void product_##type##_##values##_##R(const ProductArgs *a) {     \
                if (type == KV_I16)                                             \
                        product_pairs(values, R, a);                            \
                else                                                            \
                        product(type, values, R, a);                            \
        }
#define NAME_PRODUCT(R, type, values) product_##type##_##values##_##R,
#define DEFINE_PRODUCTS(type)                                                   \
        TILE_HEIGHTS(DEFINE_PRODUCT, type, 0) TILE_HEIGHTS(DEFINE_PRODUCT, type, 1)
DEFINE_PRODUCTS(KV_F32)
DEFINE_PRODUCTS(KV_F16)
DEFINE_PRODUCTS(KV_Q8)
DEFINE_PRODUCTS(KV_I16)

#define NAME_PRODUCTS(type)                                                     \
        [type] = { { TILE_HEIGHTS(NAME_PRODUCT, type, 0) }, { TILE_HEIGHTS(NAME_PRODUCT, type, 1) } },
static const Product products[][2][sizeof heights / sizeof heights[0]] = {
        NAME_PRODUCTS(KV_F32) NAME_PRODUCTS(KV_F16) NAME_PRODUCTS(KV_Q8) NAME_PRODUCTS(KV_I16)
};

static unsigned height_for(uint32_t n_rows) {
        unsigned h = sizeof heights / sizeof heights[0] - 1;
        while (heights[h] > n_rows)
                h--;
        return h;
}
