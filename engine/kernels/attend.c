/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attention over pages (see attend.h and, for the layout, level.h). Compiled once for each vector level.
 *
 * Scores and weighted sums are one loop: rows of numbers times a page's 32 columns, keys being transposed and values
 * cut into slices of 32. KV_I16 is multiplied as it is stored, two whole numbers a lane: a query is made whole numbers
 * once, its weights for each page. Of the other types a single query converts keys and values in registers, once for the
 * heads of the group; several queries walk the pages together, and a page is converted to floats once for all. Both take
 * the same steps for each (query, head). A query's own row never meets a number that nobody stored. */

#include <float.h>
#include <math.h>

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

/* rows[r][i], i in [lo, hi), times 32 columns of numbers: added to sums[r][column … column + 31] times its factor. */
typedef struct ProductArgs {
        void *const *rows;            /* of floats; KV_I16: of int16, even in number */
        const uint8_t *numbers;       /* [i][32]; KV_I16: [i / 2][32][2] */
        const uint8_t *scales;        /* KV_Q8. Keys: [i / 32][32]; values: [i] */
        const uint8_t *next;          /* what to fetch ahead, or NULL */
        uint32_t lo, hi;
        float *const *sums;           /* KV_I16's keys: of int32 */
        size_t column;
        const float *factors;         /* NULL: begin at zero */
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
        vf sum[TILE_ROWS_MAX][VECTORS], scale[VECTORS] = {};

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        sum[r][v] = a->factors ? vf_mul(vf_load(a->sums[r] + a->column + v * VF_LANES), vf_set1(a->factors[r])) : vf_set1(0);

        for (uint32_t i = a->lo; i < a->hi; i++) {
                const uint8_t *numbers = a->numbers + (size_t) i * line;
                vf x[VECTORS];

                if (a->next)
                        _mm_prefetch((const char *) a->next + (size_t) i * line, _MM_HINT_T0);
                if (type == KV_Q8 && !values && i % KV_LANES == 0)
                        UNROLL for (unsigned v = 0; v < VECTORS; v++)
                                scale[v] = vf_from_f16(a->scales + (i + v * VF_LANES) * sizeof(uint16_t));
                UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                        x[v] = load_number(type, numbers + v * VF_LANES * number_size(type));
                        if (type == KV_Q8)
                                x[v] = vf_mul(x[v], values ? vf_set1(load_f16(a->scales, i)) : scale[v]);
                }
                UNROLL for (unsigned r = 0; r < R; r++)
                        UNROLL for (unsigned v = 0; v < VECTORS; v++)
                                sum[r][v] = vf_fma(vf_set1(((const float *) a->rows[r])[i]), x[v], sum[r][v]);
        }

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        vf_store(a->sums[r] + a->column + v * VF_LANES, sum[r][v]);
}

/* Sums of whole numbers have the type that the instruction has: of vi, they would be copied in every round of the loop. */
typedef int32_t vi32 __attribute__((vector_size(sizeof(vi))));

static always_inline_ vi load_pair(const int16_t *row, size_t pair) {
        int32_t two;
        memcpy(&two, row + 2 * pair, sizeof two);
        return vi_set1(two);
}

/* The same for KV_I16. Factors begin at one: weighted sums are always added. */
static always_inline_ void product_pairs(const bool values, const unsigned R, const ProductArgs *a) {
        const unsigned line = KV_LANES * 2 * sizeof(int16_t);
        const int16_t *row[TILE_ROWS_MAX];
        vi32 dot[TILE_ROWS_MAX][VECTORS];

        UNROLL for (unsigned r = 0; r < R; r++) {
                row[r] = a->rows[r];
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        dot[r][v] = (vi32) vi_zero();
        }

        for (size_t i = a->lo / 2; i < (a->hi + 1) / 2; i++) {
                const uint8_t *numbers = a->numbers + i * line;
                vi x[VECTORS];

                if (a->next)
                        UNROLL for (unsigned at = 0; at < line; at += 64)
                                _mm_prefetch((const char *) a->next + i * line + at, _MM_HINT_T0);
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        x[v] = vi_load(numbers + v * sizeof(vi));
                UNROLL for (unsigned r = 0; r < R; r++) {
                        vi pair = load_pair(row[r], i);
                        UNROLL for (unsigned v = 0; v < VECTORS; v++)
                                dot[r][v] = (vi32) vi_dot2((vi) dot[r][v], x[v], pair);
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

/* A page's block as the loops take it: as stored, or converted. */
typedef struct Block {
        KvType type;
        const uint8_t *numbers, *scales, *next;
} Block;

static Block block_at(const AttendArgs *a, uint32_t page, uint32_t last_page, size_t offset, uint32_t head_dim) {
        size_t numbers = (size_t) SLICES(head_dim) * KV_LANES * KV_PAGE_TOKENS * number_size(a->type);

        return (Block) {
                .type = a->type,
                .numbers = a->pages[page] + offset,
                .scales = a->pages[page] + offset + numbers,
                .next = page < last_page ? a->pages[page + 1] + offset : NULL,
        };
}

/* `lines` lines of 32 numbers as floats, to `to`. Keys: a line is an element, 32 positions wide. */
static void convert_keys(const Block *b, uint32_t lines, float *to) {
        for (uint32_t i = 0; i < lines; i++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                        vf x = load_number(b->type, b->numbers + ((size_t) i * KV_LANES + v * VF_LANES) * number_size(b->type));
                        if (b->type == KV_Q8)
                                x = vf_mul(x, vf_from_f16(b->scales + (i / KV_LANES * KV_LANES + v * VF_LANES) * sizeof(uint16_t)));
                        vf_store(to + (size_t) i * KV_LANES + v * VF_LANES, x);
                }
}

/* Values: a line is a position in a slice. Positions outside [lo, hi) may hold anything and become zero. */
static void convert_values(const Block *b, uint32_t lines, uint32_t lo, uint32_t hi, float *to) {
        for (uint32_t i = 0; i < lines; i++) {
                bool seen = i % KV_PAGE_TOKENS >= lo && i % KV_PAGE_TOKENS < hi;
                UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                        vf x = vf_set1(0);
                        if (seen) {
                                x = load_number(b->type, b->numbers + ((size_t) i * KV_LANES + v * VF_LANES) * number_size(b->type));
                                if (b->type == KV_Q8)
                                        x = vf_mul(x, vf_set1(load_f16(b->scales, i)));
                        }
                        vf_store(to + (size_t) i * KV_LANES + v * VF_LANES, x);
                }
        }
}

/* One tile: queries [t0, t0 + n) with the group's heads as rows, query by query. */
typedef struct Tile {
        const AttendArgs *a;
        uint32_t t0, n_rows;
        void **q, **weights;          /* [row], of [dim_k]; of the present page's 32 */
        float **sums;                 /* [row], of [dim_v] */
        uint32_t *pos, *first;        /* [row]; the lowest position that it sees */
        float *max;                   /* [row] */
        float *factors;               /* [row]: what its sums so far shrink by in the present page */
        float *q_units, *units;       /* [row], KV_I16: what its query's numbers count, and the present page's sums */
        float *total;                 /* [row][VF_LANES], to be summed at the end */
        float *converted;             /* KV_I16: the queries; else the present page's keys, then its values */
        uint32_t dim_k, dim_v;        /* padded to KV_LANES */
} Tile;

static uint32_t first_seen(const AttendArgs *a, uint32_t pos) {
        uint32_t first = a->first;

        if (a->window > 0 && pos >= a->window)
                first = MAX(first, pos - a->window + 1);
        if (a->chunk > 0)
                first = MAX(first, pos - pos % a->chunk);
        return first;
}

static unsigned height_for(uint32_t n_rows) {
        unsigned h = sizeof heights / sizeof heights[0] - 1;
        while (heights[h] > n_rows)
                h--;
        return h;
}

static void scores(const Tile *tile, const Block *b) {
        for (uint32_t row = 0; row < tile->n_rows;) {
                unsigned h = height_for(tile->n_rows - row);

                products[b->type][0][h](&(ProductArgs) {
                        .rows = tile->q + row, .numbers = b->numbers, .scales = b->scales,
                        .next = row == 0 ? b->next : NULL, .hi = tile->a->head_dim_k, .sums = (float **) tile->weights + row,
                });
                row += heights[h];
        }
}

/* A row's weights in a page as whole numbers, each times its value's unit: the sums' own unit follows from their total,
 * so that no sum of products overflows. */
static void weights_to_pairs(const Tile *tile, uint32_t row, vf x[], const Block *values, uint32_t lo, uint32_t hi) {
        vf sum = vf_set1(0);
        vi whole[VECTORS];

        UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                x[v] = vf_mul(x[v], vf_from_f16(values->scales + v * VF_LANES * sizeof(uint16_t)));
                if (lo > 0 || hi < KV_PAGE_TOKENS)
                        x[v] = vf_in_range(x[v], vf_set1(0), v * VF_LANES, lo, hi);
                sum = vf_add(sum, x[v]);
        }

        const float total = vf_sum(sum);
        const bool any = total > FLT_MIN * I16_WEIGHTS;       /* else all that was seen here is as good as zero */
        const float scale = any ? I16_WEIGHTS / total : 0;

        UNROLL for (unsigned v = 0; v < VECTORS; v++)
                whole[v] = vi_from_f32(vf_mul(x[v], vf_set1(scale)));
        vi_store_i16(tile->weights[row], whole);
        tile->units[row] = any ? total * (1.0f / (I16_WEIGHTS * I16_LARGEST)) : 0;
}

/* Turns a row's scores in a page, of which it sees [lo, hi), into weights, and says what its sums so far shrink by.
 * Scores are kept in powers of two: exp(x) = 2^(x / ln 2). */
static void softmax_page(const Tile *tile, uint32_t row, const Block *keys, const Block *values, uint32_t lo, uint32_t hi) {
        const AttendArgs *a = tile->a;
        const float log2_e = 1.44269504088896341f, scale = a->softcap > 0 ? 2 * a->scale / a->softcap : a->scale * log2_e;
        float *s = tile->weights[row], *total = tile->total + (size_t) row * VF_LANES;
        float old = tile->max[row], max = old, correction = 1;
        vf x[VECTORS], largest = vf_set1(-INFINITY), sum = vf_set1(0);

        UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                vf unit = vf_set1(scale);

                if (a->type == KV_I16) {
                        x[v] = vf_from_i32(vi_load(s + v * VF_LANES));
                        unit = vf_mul(vf_set1(scale * tile->q_units[row]), vf_from_f16(keys->scales + v * VF_LANES * sizeof(uint16_t)));
                } else
                        x[v] = vf_load(s + v * VF_LANES);
                x[v] = vf_mul(x[v], unit);
                if (a->softcap > 0) {
                        /* tanh(u) = 1 - 2 / (1 + exp(2u)) */
                        vf e = vf_exp(x[v]);
                        vf t = vf_sub(vf_set1(1), vf_div(vf_set1(2), vf_add(vf_set1(1), e)));
                        x[v] = vf_mul(vf_set1(a->softcap * log2_e), t);
                }
                if (lo > 0 || hi < KV_PAGE_TOKENS)
                        x[v] = vf_in_range(x[v], vf_set1(-INFINITY), v * VF_LANES, lo, hi);
                largest = vf_max(largest, x[v]);
        }

        if (vf_any_gt(largest, vf_set1(old))) {
                float lanes[VF_LANES];
                max = vf_hmax(largest);
                vf_store(lanes, vf_exp2(vf_set1(old - max)));
                correction = lanes[0];
        }
        UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                x[v] = vf_exp2(vf_sub(x[v], vf_set1(max)));
                sum = vf_add(sum, x[v]);
        }
        tile->max[row] = max;
        tile->factors[row] = correction;
        vf_store(total, vf_fma(vf_load(total), vf_set1(correction), sum));

        if (a->type == KV_I16)
                weights_to_pairs(tile, row, x, values, lo, hi);
        else
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        vf_store(s + v * VF_LANES, x[v]);
}

static void weighted_sums(const Tile *tile, const Block *b, uint32_t lo, uint32_t hi) {
        size_t slice = (size_t) KV_PAGE_TOKENS * KV_LANES * number_size(b->type);

        for (uint32_t row = 0; row < tile->n_rows;) {
                unsigned h = height_for(tile->n_rows - row);

                for (uint32_t c = 0; c < tile->dim_v / KV_LANES; c++)
                        products[b->type][1][h](&(ProductArgs) {
                                .rows = tile->weights + row,
                                .numbers = b->numbers + c * slice,
                                .scales = b->scales + (size_t) c * KV_PAGE_TOKENS * sizeof(uint16_t),
                                .next = row == 0 && b->next ? b->next + c * slice : NULL,
                                .lo = lo, .hi = hi, .sums = tile->sums + row, .column = (size_t) c * KV_LANES,
                                .factors = tile->factors + row, .units = tile->units + row,
                        });
                row += heights[h];
        }
}

/* One head's query as whole numbers [dim_k], by its length, and what they count. */
static float query_to_pairs(const float *q, uint32_t head_dim, uint32_t dim_k, int16_t *ret) {
        float norm, scale;
        vi whole[VECTORS];

        norm = vector_norm(q, head_dim);
        scale = norm > FLT_MIN * I16_NORM ? I16_NORM / norm : 0;
        for (uint32_t d = 0; d < dim_k; d += KV_LANES) {
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        whole[v] = vi_from_f32(vf_mul(load_padded(q, d + v * VF_LANES, head_dim), vf_set1(scale)));
                vi_store_i16(ret + d, whole);
        }
        return norm * (I16_KEY_UNIT / I16_NORM / I16_NORM);
}

static void begin_tile(const Tile *tile) {
        const AttendArgs *a = tile->a;

        for (uint32_t r = 0; r < tile->n_rows; r++) {
                uint32_t t = tile->t0 + r / a->n_group;
                const float *q = a->q + t * a->q_stride + (size_t) (r % a->n_group) * a->head_dim_k;

                tile->q[r] = (float *) q;
                if (a->type == KV_I16) {
                        tile->q[r] = (int16_t *) tile->converted + (size_t) r * tile->dim_k;
                        tile->q_units[r] = query_to_pairs(q, a->head_dim_k, tile->dim_k, tile->q[r]);
                }
                tile->pos[r] = a->pos0 + t;
                tile->first[r] = first_seen(a, tile->pos[r]);
                tile->max[r] = -INFINITY;
        }
        memset(tile->total, 0, (size_t) tile->n_rows * VF_LANES * sizeof(float));
        memset(tile->sums[0], 0, (size_t) tile->n_rows * tile->dim_v * sizeof(float));
}

static void attend_tile(const Tile *tile) {
        const AttendArgs *a = tile->a;
        const bool convert = a->type != KV_I16 && tile->n_rows > a->n_group;

        begin_tile(tile);
        uint32_t first = tile->first[0], last = tile->pos[tile->n_rows - 1], last_page = last / KV_PAGE_TOKENS;

        for (uint32_t page = first / KV_PAGE_TOKENS; page <= last_page; page++) {
                uint32_t p0 = page * KV_PAGE_TOKENS;
                uint32_t lo = MAX(first, p0) - p0, hi = MIN(last - p0 + 1, KV_PAGE_TOKENS);
                Block k = block_at(a, page, last_page, a->k_offset, a->head_dim_k);
                Block v = block_at(a, page, last_page, a->v_offset, a->head_dim_v);
                Block floats = { .type = KV_F32, .numbers = (const uint8_t *) tile->converted };

                if (convert)
                        convert_keys(&k, a->head_dim_k, tile->converted);
                scores(tile, convert ? &floats : &k);

                for (uint32_t r = 0; r < tile->n_rows; r++) {
                        uint32_t pos = tile->pos[r], begin = MAX(tile->first[r], p0) - p0;
                        uint32_t end = pos < p0 ? 0 : MIN(pos - p0 + 1, KV_PAGE_TOKENS);

                        if (begin < end)
                                softmax_page(tile, r, &k, &v, begin, end);
                        else {
                                memset(tile->weights[r], 0, KV_PAGE_TOKENS * sizeof(float));
                                tile->factors[r] = 1;
                                tile->units[r] = 0;
                        }
                }

                if (convert)
                        convert_values(&v, tile->dim_v, lo, hi, tile->converted);
                weighted_sums(tile, convert ? &floats : &v, lo, hi);
        }

        for (uint32_t r = 0; r < tile->n_rows; r++) {
                const float *sums = tile->sums[r];
                float *out = a->out + (tile->t0 + r / a->n_group) * a->out_stride + (size_t) (r % a->n_group) * a->head_dim_v;
                vf inverse = vf_set1(1.0f / vf_sum(vf_load(tile->total + (size_t) r * VF_LANES)));

                /* Adding zero makes a negative zero positive: whether one stands there depends on the tile. */
                uint32_t d = 0;
                for (; d + VF_LANES <= a->head_dim_v; d += VF_LANES)
                        vf_store(out + d, vf_add(vf_mul(vf_load(sums + d), inverse), vf_set1(0)));
                if (d < a->head_dim_v)
                        vf_store_n(out + d, vf_add(vf_mul(vf_load(sums + d), inverse), vf_set1(0)), a->head_dim_v - d);
        }
}

void LEVEL(attend)(const AttendArgs *a) {
        uint32_t queries = MAX(ATTEND_ROWS / a->n_group, 1u), rows = queries * a->n_group;
        uint32_t dim_k = SLICES(a->head_dim_k) * KV_LANES, dim_v = SLICES(a->head_dim_v) * KV_LANES;
        float *weights, *sums;
        Tile tile = { .a = a, .dim_k = dim_k, .dim_v = dim_v };

        tile.factors = a->scratch;
        tile.max = tile.factors + rows;
        tile.q_units = tile.max + rows;
        tile.units = tile.q_units + rows;
        tile.total = tile.units + rows;
        weights = tile.total + (size_t) rows * VF_LANES;
        sums = weights + (size_t) rows * KV_PAGE_TOKENS;
        tile.converted = sums + (size_t) rows * dim_v;
        tile.pos = (uint32_t *) (tile.converted + MAX((size_t) MAX(dim_k, dim_v) * KV_PAGE_TOKENS, (size_t) rows * dim_k / 2));
        tile.first = tile.pos + rows;
        tile.q = (void **) (tile.first + rows);
        tile.weights = tile.q + rows;
        tile.sums = (float **) (tile.weights + rows);
        for (uint32_t r = 0; r < rows; r++) {
                tile.weights[r] = weights + (size_t) r * KV_PAGE_TOKENS;
                tile.sums[r] = sums + (size_t) r * dim_v;
        }

        for (uint32_t t = 0; t < a->n_queries; t += queries) {
                tile.t0 = t;
                tile.n_rows = MIN(queries, a->n_queries - t) * a->n_group;
                attend_tile(&tile);
        }
}
