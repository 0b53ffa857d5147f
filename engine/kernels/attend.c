/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attention over pages (see attend.h and, for the layout, level.h). Compiled once for each vector level.
 *
 * Tiles of queries walk the pages in spans, several to a step: scores (attend-product.h), softmax, weighted sums. A query
 * of KV_I16 is made whole numbers once, its weights for each span. Of the other types a single query converts keys and
 * values in registers, once for the heads of the group; for several queries a page is converted to floats once for all.
 * Both take the same steps for each (query, head). A query's own row never meets a number that nobody stored. */

#include <float.h>
#include <math.h>

#include "engine/kernels/attend-product.h"

#define SPAN_PAGES (ATTEND_SPAN / KV_PAGE_TOKENS)
#define SPAN_VECTORS (ATTEND_SPAN / VF_LANES)
#define LOG2_E 1.44269504088896341f

/* One tile: queries [t0, t0 + n) with the group's heads as rows, query by query. */
typedef struct Tile {
        const AttendArgs *a;
        uint32_t t0, n_rows;
        void **q, **weights;          /* [row], of [dim_k]; of the present span's ATTEND_SPAN */
        float **sums;                 /* [row], of [dim_v] */
        uint32_t *pos, *first;        /* [row]; the lowest position that it sees */
        float *max;                   /* [row] */
        float *factors;               /* [row]: what its sums so far shrink by in the present span */
        float *q_units, *units;       /* [row], KV_I16: what its query's numbers count, and the present span's sums */
        float *scales;                /* [row], KV_I16: what its weights in the present span are multiplied by */
        float *total;                 /* [row][VF_LANES], to be summed at the end */
        float *converted;             /* KV_I16: the queries; else a page's keys, then the span's values */
        uint32_t dim_k, dim_v;        /* padded to KV_LANES */
} Tile;

/* The pages that a tile is at. Where spans begin depends on positions alone. */
typedef struct Span {
        uint32_t p0, lo, hi;          /* where it begins; what some query sees of it */
        uint32_t begin, end;          /* its pages in which that is */
        Block keys[SPAN_PAGES], values[SPAN_PAGES];
        float k_units[ATTEND_SPAN];   /* what a position's scores count, in powers of two; 0 outside [lo, hi) */
        float v_units[ATTEND_SPAN];   /* KV_I16: what its value counts; 0 outside [lo, hi) */
} Span;

static Block block_at(const AttendArgs *a, uint32_t page, size_t offset, uint32_t head_dim, uint32_t lo, uint32_t hi) {
        const uint8_t *numbers = a->pages[page] + offset;

        return (Block) {
                .type = a->type, .lo = lo, .hi = hi, .numbers = numbers,
                .scales = numbers + (size_t) SLICES(head_dim) * KV_LANES * KV_PAGE_TOKENS * number_size(a->type),
        };
}

/* The span at p0, of what a tile sees, [first, last]. */
static void begin_span(const AttendArgs *a, uint32_t p0, uint32_t first, uint32_t last, Span *span) {
        /* Scores are kept in powers of two, exp(x) = 2^(x / ln 2), or as what tanh takes. */
        const float scale = a->softcap > 0 ? 2 * a->scale / a->softcap : a->scale * LOG2_E;

        span->p0 = p0;
        span->lo = MAX(first, p0) - p0;
        span->hi = MIN(last - p0 + 1, ATTEND_SPAN);
        span->begin = span->lo / KV_PAGE_TOKENS;
        span->end = (span->hi - 1) / KV_PAGE_TOKENS + 1;

        const uint8_t *next = p0 + span->hi <= last ? a->pages[(p0 + span->hi) / KV_PAGE_TOKENS] + a->k_offset : NULL;
        for (uint32_t b = span->end; b-- > span->begin; next = span->values[b].numbers) {
                const uint32_t at = b * KV_PAGE_TOKENS, lo = MAX(span->lo, at) - at, hi = MIN(span->hi - at, KV_PAGE_TOKENS);

                span->values[b] = block_at(a, p0 / KV_PAGE_TOKENS + b, a->v_offset, a->head_dim_v, lo, hi);
                span->values[b].next = next;
        }
        for (uint32_t b = span->end; b-- > span->begin; next = span->keys[b].numbers) {
                span->keys[b] = block_at(a, p0 / KV_PAGE_TOKENS + b, a->k_offset, a->head_dim_k, 0, a->head_dim_k);
                span->keys[b].next = next;
        }

        for (uint32_t i = 0; i < ATTEND_SPAN; i += VF_LANES) {
                const Block *k = &span->keys[i / KV_PAGE_TOKENS], *v = &span->values[i / KV_PAGE_TOKENS];
                const size_t at = i % KV_PAGE_TOKENS * sizeof(uint16_t);
                const bool seen = i / KV_PAGE_TOKENS >= span->begin && i / KV_PAGE_TOKENS < span->end;
                vf k_unit = vf_set1(scale), v_unit = vf_set1(0);

                if (a->type == KV_I16 && seen) {
                        k_unit = vf_mul(k_unit, vf_from_f16(k->scales + at));
                        v_unit = vf_from_f16(v->scales + at);
                }
                vf_store(span->k_units + i, vf_in_range(k_unit, vf_set1(0), i, span->lo, span->hi));
                vf_store(span->v_units + i, vf_in_range(v_unit, vf_set1(0), i, span->lo, span->hi));
        }
}

/* Lines of 32 numbers as floats, to `to`, where the block then has them. Keys: a line is an element, 32 positions wide. */
static void convert_keys(Block *b, float *to) {
        for (uint32_t i = b->lo; i < b->hi; i++)
                UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                        vf x = load_number(b->type, b->numbers + ((size_t) i * KV_LANES + v * VF_LANES) * number_size(b->type));
                        if (b->type == KV_Q8)
                                x = vf_mul(x, vf_from_f16(b->scales + (i / KV_LANES * KV_LANES + v * VF_LANES) * sizeof(uint16_t)));
                        vf_store(to + (size_t) i * KV_LANES + v * VF_LANES, x);
                }
        *b = (Block) { .type = KV_F32, .lo = b->lo, .hi = b->hi, .numbers = (const uint8_t *) to };
}

/* Values: a line is a position in a slice. What is not multiplied stays as it was. */
static void convert_values(Block *b, uint32_t slices, float *to) {
        for (uint32_t slice = 0; slice < slices; slice++)
                for (uint32_t i = b->lo; i < b->hi; i++) {
                        const size_t line = (size_t) slice * KV_PAGE_TOKENS + i;
                        UNROLL for (unsigned v = 0; v < VECTORS; v++) {
                                vf x = load_number(b->type, b->numbers + (line * KV_LANES + v * VF_LANES) * number_size(b->type));
                                if (b->type == KV_Q8)
                                        x = vf_mul(x, vf_set1(load_f16(b->scales, line)));
                                vf_store(to + line * KV_LANES + v * VF_LANES, x);
                        }
                }
        *b = (Block) { .type = KV_F32, .lo = b->lo, .hi = b->hi, .numbers = (const uint8_t *) to };
}

static uint32_t first_seen(const AttendArgs *a, uint32_t pos) {
        uint32_t first = a->first;

        if (a->window > 0 && pos >= a->window)
                first = MAX(first, pos - a->window + 1);
        if (a->chunk > 0)
                first = MAX(first, pos - pos % a->chunk);
        return first;
}

static void scores(const Tile *tile, const Block *b, uint32_t column) {
        for (uint32_t row = 0; row < tile->n_rows;) {
                unsigned h = height_for(tile->n_rows - row);

                products[b->type][0][h](&(ProductArgs) {
                        .rows = tile->q + row, .blocks = b, .end = 1, .fetch = row == 0,
                        .sums = (float **) tile->weights + row, .column = column,
                });
                row += heights[h];
        }
}

/* A row's scores in the first n vectors of a span, of which it sees [lo, hi), as powers of two. Returns the largest. */
static always_inline_ float scale_scores(const Tile *tile, const Span *span, const bool pairs, const unsigned n, uint32_t row,
                                         uint32_t lo, uint32_t hi) {
        const AttendArgs *a = tile->a;
        float *s = tile->weights[row];
        const vf unit = vf_set1(pairs ? tile->q_units[row] : 1);
        vf x[SPAN_VECTORS], largest = vf_set1(-INFINITY);

        UNROLL for (unsigned v = 0; v < n; v++) {
                x[v] = pairs ? vf_mul(vf_from_i32(vi_load(s + v * VF_LANES)), unit) : vf_load(s + v * VF_LANES);
                x[v] = vf_mul(x[v], vf_load(span->k_units + v * VF_LANES));
        }
        if (a->softcap > 0)
                UNROLL for (unsigned v = 0; v < n; v++) {
                        /* tanh(u) = 1 - 2 / (1 + exp(2u)) */
                        vf t = vf_sub(vf_set1(1), vf_div(vf_set1(2), vf_add(vf_set1(1), vf_exp(x[v]))));
                        x[v] = vf_mul(vf_set1(a->softcap * LOG2_E), t);
                }
        if (lo > 0 || hi < n * VF_LANES)
                UNROLL for (unsigned v = 0; v < n; v++)
                        x[v] = vf_in_range(x[v], vf_set1(-INFINITY), v * VF_LANES, lo, hi);
        UNROLL for (unsigned v = 0; v < n; v++) {
                vf_store(s + v * VF_LANES, x[v]);
                largest = vf_max(largest, x[v]);
        }
        return vf_hmax(largest);
}

/* A row's weights in the first n vectors of a span, from its scores; those of pairs times their values' units. Adds to
 * the row's total. Returns the sum of pairs. */
static always_inline_ float weigh(const Tile *tile, const Span *span, const bool pairs, const unsigned n, uint32_t row) {
        float *s = tile->weights[row], *total = tile->total + (size_t) row * VF_LANES;
        const vf max = vf_set1(tile->max[row]), factor = vf_set1(tile->factors[row]);
        vf sum = vf_set1(0), weighted = vf_set1(0);

        UNROLL for (unsigned v = 0; v < n; v++) {
                vf x = vf_exp2(vf_sub(vf_load(s + v * VF_LANES), max));
                sum = vf_add(sum, x);
                if (pairs) {
                        x = vf_mul(x, vf_load(span->v_units + v * VF_LANES));
                        weighted = vf_add(weighted, x);
                }
                vf_store(s + v * VF_LANES, x);
        }
        vf_store(total, vf_fma(vf_load(total), factor, sum));
        return pairs ? vf_sum(weighted) : 0;
}

/* A row's weights as whole numbers. */
static always_inline_ void weights_to_pairs(const Tile *tile, const unsigned n, uint32_t row) {
        const float *x = tile->weights[row];
        const vf scale = vf_set1(tile->scales[row]);
        vi whole[SPAN_VECTORS];

        UNROLL for (unsigned v = 0; v < n; v++)
                whole[v] = vi_from_f32(vf_mul(vf_load(x + v * VF_LANES), scale));
        UNROLL for (unsigned v = 0; v < n; v += VECTORS)
                vi_store_i16((int16_t *) tile->weights[row] + v * VF_LANES, whole + v);
}

/* Turns rows' scores in a span into weights, and says what their sums so far shrink by. In passes, so short that rows
 * overlap in each: a row's way through all of them is mostly waiting. What is one number a row is done by vectors. */
static always_inline_ void softmax_rows(const Tile *tile, const Span *span, const bool pairs, const unsigned n) {
        const uint32_t n_rows = tile->n_rows;

        for (uint32_t r = 0; r < n_rows; r++) {
                const uint32_t pos = tile->pos[r], lo = MAX(tile->first[r], span->p0) - span->p0;
                const uint32_t hi = pos < span->p0 ? 0 : MIN(pos - span->p0 + 1, ATTEND_SPAN);
                tile->factors[r] = scale_scores(tile, span, pairs, n, r, lo, hi);
        }
        for (uint32_t r = 0; r < n_rows; r += VF_LANES) {
                const vf old = vf_load(tile->max + r), max = vf_max(old, vf_load(tile->factors + r));
                const vf one = vf_keep_ge(vf_set1(1), old, max);      /* exactly, for rows that see nothing here */

                vf_store(tile->max + r, max);
                vf_store(tile->factors + r, vf_max(vf_exp2(vf_sub(old, max)), one));
        }
        for (uint32_t r = 0; r < n_rows; r++)
                tile->units[r] = weigh(tile, span, pairs, n, r);
        if (!pairs)
                return;

        /* The sums' unit follows from the weights' total, so that no sum of products overflows. */
        for (uint32_t r = 0; r < n_rows; r += VF_LANES) {
                const vf total = vf_load(tile->units + r), least = vf_set1(FLT_MIN * I16_WEIGHTS);  /* below, as good as zero */
                vf_store(tile->scales + r, vf_keep_ge(vf_div(vf_set1(I16_WEIGHTS), total), total, least));
                vf_store(tile->units + r, vf_keep_ge(vf_mul(total, vf_set1(1.0f / (I16_WEIGHTS * I16_LARGEST))), total, least));
        }
        for (uint32_t r = 0; r < n_rows; r++)
                weights_to_pairs(tile, n, r);
}

static void softmax(const Tile *tile, const Span *span) {
        const bool pairs = tile->a->type == KV_I16, all = span->end > SPAN_PAGES / 2;

        if (pairs && all)
                softmax_rows(tile, span, true, SPAN_VECTORS);
        else if (pairs)
                softmax_rows(tile, span, true, SPAN_VECTORS / 2);
        else if (all)
                softmax_rows(tile, span, false, SPAN_VECTORS);
        else
                softmax_rows(tile, span, false, SPAN_VECTORS / 2);
}

static void weighted_sums(const Tile *tile, const Span *span) {
        for (uint32_t row = 0; row < tile->n_rows;) {
                unsigned h = height_for(tile->n_rows - row);

                for (uint32_t column = 0; column < tile->dim_v; column += KV_LANES)
                        products[span->values[span->begin].type][1][h](&(ProductArgs) {
                                .rows = tile->weights + row, .blocks = span->values, .begin = span->begin, .end = span->end,
                                .fetch = row == 0, .sums = tile->sums + row, .column = column,
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
        }
        for (uint32_t r = 0; r < tile->n_rows; r += VF_LANES)
                vf_store(tile->max + r, vf_set1(-FLT_MAX));   /* finite: a row that sees nothing yet shrinks by one */
        memset(tile->total, 0, (size_t) tile->n_rows * VF_LANES * sizeof(float));
        memset(tile->sums[0], 0, (size_t) tile->n_rows * tile->dim_v * sizeof(float));
}

static void attend_tile(const Tile *tile) {
        const AttendArgs *a = tile->a;
        const bool convert = a->type != KV_I16 && tile->n_rows > a->n_group;
        const size_t page = (size_t) tile->dim_v * KV_PAGE_TOKENS;
        Span span;

        begin_tile(tile);
        const uint32_t first = tile->first[0], last = tile->pos[tile->n_rows - 1];
        for (uint32_t p0 = first / ATTEND_SPAN * ATTEND_SPAN; p0 <= last; p0 += ATTEND_SPAN) {
                begin_span(a, p0, first, last, &span);
                for (uint32_t b = span.begin; b < span.end; b++) {
                        if (convert)
                                convert_keys(&span.keys[b], tile->converted);
                        scores(tile, &span.keys[b], b * KV_PAGE_TOKENS);
                }
                softmax(tile, &span);
                for (uint32_t b = span.begin; convert && b < span.end; b++)
                        convert_values(&span.values[b], tile->dim_v / KV_LANES, tile->converted + b * page);
                weighted_sums(tile, &span);
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
        const uint32_t queries = MAX(ATTEND_ROWS / a->n_group, 1u), rows = ATTEND_PADDED(queries * a->n_group);
        uint32_t dim_k = SLICES(a->head_dim_k) * KV_LANES, dim_v = SLICES(a->head_dim_v) * KV_LANES;
        float *weights, *sums;
        Tile tile = { .a = a, .dim_k = dim_k, .dim_v = dim_v };

        tile.factors = a->scratch;
        tile.max = tile.factors + rows;
        tile.q_units = tile.max + rows;
        tile.units = tile.q_units + rows;
        tile.scales = tile.units + rows;
        tile.total = tile.scales + rows;
        weights = tile.total + (size_t) rows * VF_LANES;
        sums = weights + (size_t) rows * ATTEND_SPAN;
        tile.converted = sums + (size_t) rows * dim_v;
        tile.pos = (uint32_t *) (tile.converted + MAX(MAX(dim_k * KV_PAGE_TOKENS, dim_v * ATTEND_SPAN), rows * dim_k / 2));
        tile.first = tile.pos + rows;
        tile.q = (void **) (tile.first + rows);
        tile.weights = tile.q + rows;
        tile.sums = (float **) (tile.weights + rows);
        for (uint32_t r = 0; r < rows; r++) {
                tile.weights[r] = weights + (size_t) r * ATTEND_SPAN;
                tile.sums[r] = sums + (size_t) r * dim_v;
        }

        for (uint32_t t = 0; t < a->n_queries; t += queries) {
                tile.t0 = t;
                tile.n_rows = MIN(queries, a->n_queries - t) * a->n_group;
                attend_tile(&tile);
        }
}
