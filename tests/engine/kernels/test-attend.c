/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attention of each level that this machine has: against double precision over what the pages were given, and the same
 * bits however the queries are cut. Slots that nobody stored hold NaN, pages that nobody may see are not there. */

#include <math.h>

#include "tests/engine/kernels/kernels-data.h"
#include "tests/test.h"

#define POSITIONS 150u
#define PAGES ((POSITIONS + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS)

typedef struct Shape {
        KvType type;
        uint32_t dim_k, dim_v, n_group, window, chunk, first;
        float softcap;
} Shape;

static const Shape shapes[] = {
        { KV_F32, 64, 64, 1 }, { KV_F32, 80, 80, 2 }, { KV_F32, 96, 64, 3 }, { KV_F32, 64, 64, 8, 40 },
        { KV_F16, 64, 64, 3 }, { KV_F16, 80, 80, 4 }, { KV_F16, 96, 96, 5 }, { KV_F16, 128, 128, 7 },
        { KV_F16, 256, 256, 4 }, { KV_F16, 256, 256, 4, 48 }, { KV_F16, 128, 128, 5, 0, 64 }, { KV_F16, 64, 64, 6, 0, 0, 37 },
        { KV_F16, 64, 64, 2, 0, 0, 0, 30 }, { KV_F16, 64, 64, 40 }, { KV_F16, 72, 40, 2, 5 },
        { KV_I16, 64, 64, 3 }, { KV_I16, 80, 80, 4 }, { KV_I16, 128, 128, 7 }, { KV_I16, 256, 256, 4, 48 }, { KV_I16, 512, 512, 2 },
        { KV_I16, 128, 96, 5, 0, 64 }, { KV_I16, 64, 64, 6, 0, 0, 37 }, { KV_I16, 64, 64, 2, 0, 0, 0, 30 }, { KV_I16, 48, 16, 40, 5 },
        { KV_Q8, 64, 64, 3 }, { KV_Q8, 128, 128, 8, 33, 0, 3 }, { KV_Q8, 256, 256, 1 }, { KV_Q8, 96, 96, 2, 0, 50 },
};

typedef struct Fixture {
        const Shape *s;
        float *q, *k, *v;             /* [position][head][dim], [position][dim] */
        double *stored_k, *stored_v;  /* what storing leaves of k and v */
        uint8_t *memory;
        const uint8_t *pages[PAGES];
        size_t v_offset;
        AttendArgs args;
} Fixture;

/* What storing does to numbers, as attend.h defines the types. */
static double *stored(const Shape *s, const float *x, size_t n) {
        double *ret = buffer(n * sizeof(double));
        float d = 0;

        for (size_t i = 0; i < n; i++) {
                if (s->type == KV_Q8 && i % 32 == 0) {
                        float max = 0;
                        for (size_t j = i; j < i + 32; j++)
                                max = fmaxf(max, fabsf(x[j]));
                        d = f16_to_f32(f32_to_f16(max / 127.0f));
                }
                ret[i] = s->type == KV_F32 || s->type == KV_I16 ? (double) x[i]
                        : s->type == KV_F16 ? (double) f16_to_f32(f32_to_f16(x[i])) : (double) rintf(x[i] * (1.0f / d)) * (double) d;
        }
        return ret;
}

static void setup(const Kernels *k, const Shape *s, Fixture *f) {
        size_t k_size = kv_block_size(s->type, s->dim_k), page = k_size + kv_block_size(s->type, s->dim_v);

        CHECK_INT(page % 64, 0);
        *f = (Fixture) {
                .s = s,
                .q = random_floats((size_t) POSITIONS * s->n_group * s->dim_k),
                .k = random_floats((size_t) POSITIONS * s->dim_k),
                .v = random_floats((size_t) POSITIONS * s->dim_v),
                .memory = buffer(PAGES * page),
        };
        f->stored_k = stored(s, f->k, (size_t) POSITIONS * s->dim_k);
        f->stored_v = stored(s, f->v, (size_t) POSITIONS * s->dim_v);
        memset(f->memory, 0xff, PAGES * page);
        for (uint32_t i = 0; i < PAGES; i++)
                f->pages[i] = (i + 1) * KV_PAGE_TOKENS <= s->first ? NULL : f->memory + i * page;
        for (uint32_t p = s->first; p < POSITIONS; p++) {
                uint8_t *at = f->memory + p / KV_PAGE_TOKENS * page;
                KvBlock block = { .k = at, .v = at + k_size, .head_dim_k = s->dim_k, .head_dim_v = s->dim_v };
                k->kv_store(s->type, &block, p % KV_PAGE_TOKENS, f->k + (size_t) p * s->dim_k, f->v + (size_t) p * s->dim_v);
        }
        f->args = (AttendArgs) {
                .type = s->type, .head_dim_k = s->dim_k, .head_dim_v = s->dim_v, .n_group = s->n_group,
                .first = s->first, .window = s->window, .chunk = s->chunk, .softcap = s->softcap,
                .scale = 2.0f / sqrtf((float) s->dim_k),
                .q_stride = (size_t) s->n_group * s->dim_k, .out_stride = (size_t) s->n_group * s->dim_v,
                .pages = f->pages, .v_offset = k_size,
                .scratch = buffer(attend_scratch(s->dim_k, s->dim_v, s->n_group)),
        };
}

static void teardown(Fixture *f) {
        free(f->q);
        free(f->k);
        free(f->v);
        free(f->stored_k);
        free(f->stored_v);
        free(f->memory);
        free(f->args.scratch);
}

static void run(const Kernels *k, Fixture *f, uint32_t pos, uint32_t n, float *out) {
        AttendArgs a = f->args;

        a.pos0 = pos;
        a.n_queries = n;
        a.q = f->q + pos * a.q_stride;
        a.out = out + pos * a.out_stride;
        k->attend(&a);
}

static void want(const Fixture *f, uint32_t pos, uint32_t head, double *out) {
        const Shape *s = f->s;
        uint32_t first = s->first;
        double weights[POSITIONS], total = 0;

        if (s->window && pos >= s->window)
                first = MAX(first, pos - s->window + 1);
        if (s->chunk)
                first = MAX(first, pos - pos % s->chunk);
        memset(out, 0, s->dim_v * sizeof(double));
        for (uint32_t p = first; p <= pos; p++) {
                double score = 0;
                for (uint32_t d = 0; d < s->dim_k; d++)
                        score += f->stored_k[(size_t) p * s->dim_k + d] * f->q[((size_t) pos * s->n_group + head) * s->dim_k + d];
                score *= (double) f->args.scale;
                if (s->softcap > 0)
                        score = (double) s->softcap * tanh(score / (double) s->softcap);
                weights[p] = exp(score);
                total += weights[p];
        }
        for (uint32_t p = first; p <= pos; p++)
                for (uint32_t d = 0; d < s->dim_v; d++)
                        out[d] += weights[p] / total * f->stored_v[(size_t) p * s->dim_v + d];
}

static void for_each(void (*check)(const Kernels *k, const Shape *s)) {
        const Kernels *k;

        for (size_t level = 0; (k = kernels_at(level)); level++)
                if (kernels_select(k->name))
                        for (size_t i = 0; i < ELEMENTSOF(shapes); i++)
                                check(k, &shapes[i]);
}

static void check_values(const Kernels *k, const Shape *s) {
        /* KV_I16 is compared with what it was given: what it rounds is the kernels' affair. */
        const double bound = s->type == KV_I16 ? 3e-4 : 2e-6;
        Fixture f;
        setup(k, s, &f);
        float *out = buffer(POSITIONS * f.args.out_stride * sizeof(float));

        for (uint32_t pos = s->first; pos < POSITIONS; pos += MIN(POSITIONS - pos, ATTEND_QUERIES_MAX))
                run(k, &f, pos, MIN(POSITIONS - pos, ATTEND_QUERIES_MAX), out);
        for (uint32_t pos = s->first; pos < POSITIONS; pos += 7)
                for (uint32_t head = 0; head < s->n_group; head++) {
                        double w[512];
                        want(&f, pos, head, w);
                        for (uint32_t d = 0; d < s->dim_v; d++)
                                CHECK(fabs(out[pos * f.args.out_stride + head * s->dim_v + d] - w[d]) < bound);
                }
        free(out);
        teardown(&f);
}

static void test_values(void) {
        for_each(check_values);
}

static void check_cuts(const Kernels *k, const Shape *s) {
        Fixture f;
        setup(k, s, &f);
        size_t size = POSITIONS * f.args.out_stride * sizeof(float);
        float *one = buffer(size), *cut = buffer(size);

        memset(one, 0, size);
        memset(cut, 0, size);
        for (uint32_t pos = s->first; pos < POSITIONS; pos++)
                run(k, &f, pos, 1, one);
        for (uint32_t round = 0; round < 4; round++) {
                for (uint32_t pos = s->first, n; pos < POSITIONS; pos += n) {
                        n = MIN(1 + random_u32() % (round < 2 ? 100 : 10), POSITIONS - pos);
                        run(k, &f, pos, n, cut);
                }
                CHECK(memcmp(one, cut, size) == 0);
        }
        free(one);
        free(cut);
        teardown(&f);
}

static void test_cuts(void) {
        for_each(check_cuts);
}

/* What does not fit float16 is clamped: an infinity behind a weight of zero would be no number. */
static void check_overflow(const Kernels *k, const Shape *s) {
        Fixture f;
        setup(k, s, &f);
        float huge[512], *out = buffer(POSITIONS * f.args.out_stride * sizeof(float));

        for (size_t i = 0; i < ELEMENTSOF(huge); i++)
                huge[i] = i % 3 == 0 ? 1e30f : i % 3 == 1 ? -INFINITY : NAN;
        KvBlock block = { .k = f.memory, .v = f.memory + f.args.v_offset, .head_dim_k = s->dim_k, .head_dim_v = s->dim_v };
        if (s->first == 0 && s->type != KV_F32) {
                k->kv_store(s->type, &block, 20, huge, huge);
                run(k, &f, 0, 20, out);
                for (size_t i = 0; i < 20 * f.args.out_stride; i++)
                        CHECK(isfinite(out[i]));
        }
        free(out);
        teardown(&f);
}

static void test_overflow(void) {
        for_each(check_overflow);
}

/* Where every product of a query with a key, and of a weight with a value, has the same sign, sums are as large as they
 * can be: those of whole numbers must not go round. Keys of odd positions are the opposite, their values nothing. */
static void check_extremes(const Kernels *k, const Shape *s) {
        Fixture f;
        setup(k, s, &f);
        float same[512], opposite[512], nothing[512] = { 0 }, *out = buffer(POSITIONS * f.args.out_stride * sizeof(float));

        for (uint32_t one_element = 0; one_element < 2 && s->first == 0; one_element++) {
                for (size_t i = 0; i < ELEMENTSOF(same); i++) {
                        same[i] = i == 0 || !one_element ? 60000.0f : 0.0f;
                        opposite[i] = -same[i];
                }
                for (uint32_t p = 0; p < POSITIONS; p++) {
                        uint8_t *at = (uint8_t *) f.pages[p / KV_PAGE_TOKENS];
                        KvBlock block = { .k = at, .v = at + f.args.v_offset, .head_dim_k = s->dim_k, .head_dim_v = s->dim_v };
                        k->kv_store(s->type, &block, p % KV_PAGE_TOKENS, p % 2 ? opposite : same, p % 2 ? nothing : same);
                        for (uint32_t i = 0; i < s->n_group * s->dim_k; i++)
                                f.q[p * f.args.q_stride + i] = same[i % s->dim_k];
                }
                f.args.scale = 1e-8f;
                run(k, &f, 0, ATTEND_QUERIES_MAX, out);
                for (uint32_t p = 0; p < ATTEND_QUERIES_MAX; p++)
                        for (uint32_t i = 0; i < f.args.out_stride; i++)
                                CHECK(fabsf(out[p * f.args.out_stride + i] - same[i % s->dim_v]) <= 60000.0f * 0.001f);
        }
        free(out);
        teardown(&f);
}

static void test_extremes(void) {
        for_each(check_extremes);
}

TEST_MAIN(
        { "values", test_values },
        { "however cut", test_cuts },
        { "overflow", test_overflow },
        { "extremes", test_extremes },
)
