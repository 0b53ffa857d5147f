/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attention over pages (see attend.h and, for the layout, level.h). Compiled once for each vector level.
 *
 * Scores and weighted sums are one loop: rows of numbers times a page's 32 columns, keys being transposed and values
 * cut into slices of 32. A single query converts keys and values in registers, once for the heads of the group, and
 * fetches the next page ahead; several queries walk the pages together, and a page is converted to floats once for all.
 * Both take the same steps for each (query, head). A query's own row never meets a number that nobody stored. */

#include <math.h>

#include "engine/kernels/level.h"
#include "engine/kernels/simd.h"

#define VECTORS (KV_LANES / VF_LANES) /* that 32 columns take */
#define SLICES(head_dim) (((head_dim) + KV_LANES - 1) / KV_LANES)

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
        float *const *rows;
        const uint8_t *numbers;       /* [i][32] */
        const uint8_t *scales;        /* KV_Q8. Keys: [i / 32][32]; values: [i] */
        const uint8_t *next;          /* what to fetch ahead, or NULL */
        uint32_t lo, hi;
        float *const *sums;
        size_t column;
        const float *factors;         /* NULL: begin at zero */
} ProductArgs;
typedef void (*Product)(const ProductArgs *a);

static always_inline_ unsigned number_size(KvType type) {
        return type == KV_F32 ? 4 : type == KV_F16 ? 2 : 1;
}

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
                                sum[r][v] = vf_fma(vf_set1(a->rows[r][i]), x[v], sum[r][v]);
        }

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        vf_store(a->sums[r] + a->column + v * VF_LANES, sum[r][v]);
}

#define DEFINE_PRODUCT(R, type, values)                                         \
        static void product_##type##_##values##_##R(const ProductArgs *a) {     \
                product(type, values, R, a);                                    \
        }
#define NAME_PRODUCT(R, type, values) product_##type##_##values##_##R,
#define DEFINE_PRODUCTS(type)                                                   \
        TILE_HEIGHTS(DEFINE_PRODUCT, type, 0) TILE_HEIGHTS(DEFINE_PRODUCT, type, 1)
DEFINE_PRODUCTS(KV_F32)
DEFINE_PRODUCTS(KV_F16)
DEFINE_PRODUCTS(KV_Q8)

#define NAME_PRODUCTS(type)                                                     \
        [type] = { { TILE_HEIGHTS(NAME_PRODUCT, type, 0) }, { TILE_HEIGHTS(NAME_PRODUCT, type, 1) } },
static const Product products[][2][sizeof heights / sizeof heights[0]] = {
        NAME_PRODUCTS(KV_F32) NAME_PRODUCTS(KV_F16) NAME_PRODUCTS(KV_Q8)
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
        float **q, **weights, **sums; /* [row], of [head_dim_k]; of the present page's 32; of [dim_v] */
        uint32_t *pos, *first;        /* [row]; the lowest position that it sees */
        float *max;                   /* [row] */
        float *total;                 /* [row][VF_LANES], to be summed at the end */
        float *converted;
        uint32_t dim_v;               /* padded to KV_LANES */
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
                        .next = row == 0 ? b->next : NULL, .hi = tile->a->head_dim_k, .sums = tile->weights + row,
                });
                row += heights[h];
        }
}

/* Turns a row's scores in a page, of which it sees [lo, hi), into weights; returns what the sums so far shrink by.
 * Scores are kept in powers of two: exp(x) = 2^(x / ln 2). */
static float softmax_page(const Tile *tile, uint32_t row, uint32_t lo, uint32_t hi) {
        const AttendArgs *a = tile->a;
        const float log2_e = 1.44269504088896341f;
        float *s = tile->weights[row], *total = tile->total + (size_t) row * VF_LANES;
        float old = tile->max[row], max = old, correction = 1;
        vf x[VECTORS], largest = vf_set1(-INFINITY), sum = vf_set1(0);

        UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                x[v] = vf_load(s + v * VF_LANES);
                if (a->softcap > 0) {
                        /* tanh(u) = 1 - 2 / (1 + exp(2u)) */
                        vf e = vf_exp(vf_mul(x[v], vf_set1(2 * a->scale / a->softcap)));
                        vf t = vf_sub(vf_set1(1), vf_div(vf_set1(2), vf_add(vf_set1(1), e)));
                        x[v] = vf_mul(vf_set1(a->softcap * log2_e), t);
                } else
                        x[v] = vf_mul(x[v], vf_set1(a->scale * log2_e));
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
                vf_store(s + v * VF_LANES, x[v]);
                sum = vf_add(sum, x[v]);
        }
        tile->max[row] = max;
        vf_store(total, vf_fma(vf_load(total), vf_set1(correction), sum));
        return correction;
}

static void weighted_sums(const Tile *tile, const Block *b, const float *factors, uint32_t lo, uint32_t hi) {
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
                                .factors = factors + row,
                        });
                row += heights[h];
        }
}

static void attend_tile(const Tile *tile, float *factors) {
        const AttendArgs *a = tile->a;
        uint32_t n_queries = tile->n_rows / a->n_group;

        for (uint32_t r = 0; r < tile->n_rows; r++) {
                uint32_t t = tile->t0 + r / a->n_group;
                tile->q[r] = (float *) a->q + t * a->q_stride + (size_t) (r % a->n_group) * a->head_dim_k;
                tile->pos[r] = a->pos0 + t;
                tile->first[r] = first_seen(a, tile->pos[r]);
                tile->max[r] = -INFINITY;
        }
        memset(tile->total, 0, (size_t) tile->n_rows * VF_LANES * sizeof(float));
        memset(tile->sums[0], 0, (size_t) tile->n_rows * tile->dim_v * sizeof(float));

        uint32_t first = tile->first[0], last = tile->pos[tile->n_rows - 1], last_page = last / KV_PAGE_TOKENS;

        for (uint32_t page = first / KV_PAGE_TOKENS; page <= last_page; page++) {
                uint32_t p0 = page * KV_PAGE_TOKENS;
                uint32_t lo = MAX(first, p0) - p0, hi = MIN(last - p0 + 1, KV_PAGE_TOKENS);
                Block k = block_at(a, page, last_page, a->k_offset, a->head_dim_k);
                Block v = block_at(a, page, last_page, a->v_offset, a->head_dim_v);
                Block floats = { .type = KV_F32, .numbers = (const uint8_t *) tile->converted };

                if (n_queries > 1)
                        convert_keys(&k, a->head_dim_k, tile->converted);
                scores(tile, n_queries > 1 ? &floats : &k);

                for (uint32_t r = 0; r < tile->n_rows; r++) {
                        uint32_t pos = tile->pos[r], begin = MAX(tile->first[r], p0) - p0;
                        uint32_t end = pos < p0 ? 0 : MIN(pos - p0 + 1, KV_PAGE_TOKENS);

                        if (begin < end)
                                factors[r] = softmax_page(tile, r, begin, end);
                        else {
                                memset(tile->weights[r], 0, KV_PAGE_TOKENS * sizeof(float));
                                factors[r] = 1;
                        }
                }

                if (n_queries > 1)
                        convert_values(&v, tile->dim_v, lo, hi, tile->converted);
                weighted_sums(tile, n_queries > 1 ? &floats : &v, factors, lo, hi);
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
        uint32_t dim_v = SLICES(a->head_dim_v) * KV_LANES;
        float *factors = a->scratch, *weights, *sums;
        Tile tile = { .a = a, .dim_v = dim_v };

        tile.max = factors + rows;
        tile.total = tile.max + rows;
        weights = tile.total + (size_t) rows * VF_LANES;
        sums = weights + (size_t) rows * KV_PAGE_TOKENS;
        tile.converted = sums + (size_t) rows * dim_v;
        tile.pos = (uint32_t *) (tile.converted + (size_t) MAX(a->head_dim_k, dim_v) * KV_PAGE_TOKENS);
        tile.first = tile.pos + rows;
        tile.q = (float **) (tile.first + rows);
        tile.weights = tile.q + rows;
        tile.sums = tile.weights + rows;
        for (uint32_t r = 0; r < rows; r++) {
                tile.weights[r] = weights + (size_t) r * KV_PAGE_TOKENS;
                tile.sums[r] = sums + (size_t) r * dim_v;
        }

        for (uint32_t t = 0; t < a->n_queries; t += queries) {
                tile.t0 = t;
                tile.n_rows = MIN(queries, a->n_queries - t) * a->n_group;
                attend_tile(&tile, factors);
        }
}

/* Up to 32 numbers as a line of the type, padded with zeros. Stored numbers are finite, so that a weight of zero hides
 * them from a query that does not see them. */
static void encode(KvType type, const float *x, uint32_t n, uint8_t line[KV_LANES * sizeof(float)], uint8_t *scale) {
        vf v[VECTORS], largest = vf_set1(0);
        vi q[VECTORS];

        UNROLL for (unsigned i = 0; i < VECTORS; i++) {
                uint32_t at = i * VF_LANES;
                v[i] = at + VF_LANES <= n ? vf_load(x + at) : at < n ? vf_load_n(x + at, n - at) : vf_set1(0);
                v[i] = vf_max(vf_min(v[i], vf_set1(KV_MAX)), vf_set1(-KV_MAX));
                largest = vf_max(largest, vf_abs(v[i]));
        }

        if (type == KV_Q8) {
                uint16_t h = f16_from_scalar(vf_hmax(largest) / 127.0f);
                float d = f16_scalar(h);
                UNROLL for (unsigned i = 0; i < VECTORS; i++)
                        q[i] = vi_from_f32(vf_mul(v[i], vf_set1(d > 0 ? 1.0f / d : 0)));
                _mm256_storeu_si256((__m256i *) (void *) line, vi_bytes(q));
                memcpy(scale, &h, sizeof h);
                return;
        }
        UNROLL for (unsigned i = 0; i < VECTORS; i++)
                if (type == KV_F16)
                        vf_to_f16(line + i * VF_LANES * sizeof(uint16_t), v[i]);
                else
                        vf_store((float *) (void *) line + i * VF_LANES, v[i]);
}

void LEVEL(kv_store)(KvType type, const KvBlock *block, uint32_t slot, const float *k, const float *v) {
        _Alignas(64) uint8_t line[KV_LANES * sizeof(float)];
        const unsigned size = number_size(type);
        uint8_t *k_scales = block->k + (size_t) SLICES(block->head_dim_k) * KV_LANES * KV_PAGE_TOKENS;
        uint8_t *v_scales = block->v + (size_t) SLICES(block->head_dim_v) * KV_LANES * KV_PAGE_TOKENS;

        for (uint32_t d = 0; d < block->head_dim_k; d += KV_LANES) {
                uint32_t n = MIN(block->head_dim_k - d, KV_LANES);

                encode(type, k + d, n, line, k_scales + (d + slot) * sizeof(uint16_t));
                for (uint32_t i = 0; i < n; i++)
                        memcpy(block->k + ((size_t) (d + i) * KV_PAGE_TOKENS + slot) * size, line + i * size, size);
        }
        for (uint32_t d = 0; d < block->head_dim_v; d += KV_LANES) {
                encode(type, v + d, MIN(block->head_dim_v - d, KV_LANES), line, v_scales + (d + slot) * sizeof(uint16_t));
                memcpy(block->v + ((size_t) d * KV_PAGE_TOKENS + (size_t) slot * KV_LANES) * size, line, KV_LANES * size);
        }
}
