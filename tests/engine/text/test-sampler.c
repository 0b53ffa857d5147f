/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sampler: its generator against published vectors, each parameter's limits and effect, distributions by chi-square
 * (with fixed seeds: they pass or fail for good), and logits that no model should give. */

#include <math.h>

#include "engine/text/philox.h"
#include "engine/text/sampler.h"
#include "tests/test.h"

static Sampler *make(SamplerParams p, size_t n_vocab) {
        Sampler *s = NULL;
        EngineError e = {};
        int r = sampler_new(&p, n_vocab, &s, &e);
        if (r < 0)
                printf("# %s\n", e.text);
        CHECK_INT(r, 0);
        return s;
}

static uint32_t next(Sampler *s, const float *logits, size_t n, const uint64_t *mask) {
        float copy[4096];
        memcpy(copy, logits, n * sizeof(float));
        return sampler_next(s, copy, mask);
}

/* Known answers: kat_vectors of the authors' Random123. */
static void test_philox(void) {
        static const struct {
                uint32_t counter[4], key[2], expected[4];
        } known[] = {
                { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
                { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
                  { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
                { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
                  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
        };
        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                uint32_t r[4];
                philox_4x32_10(known[i].counter, known[i].key, r);
                CHECK_INT(memcmp(r, known[i].expected, sizeof r), 0);
        }
}

static void test_limits(void) {
        static const struct {
                SamplerParams p;
                const char *named;              /* NULL: fine */
        } cases[] = {
                { { .temperature = 0, .top_p = 1, .repeat_penalty = 1 }, NULL },
                { { .temperature = 5, .top_p = 0, .min_p = 1, .repeat_penalty = 10, .repeat_window = 1024, .top_k = UINT32_MAX }, NULL },
                { { .temperature = -0.1f, .top_p = 1, .repeat_penalty = 1 }, "temperature" },
                { { .temperature = 5.1f, .top_p = 1, .repeat_penalty = 1 }, "temperature" },
                { { .temperature = NAN, .top_p = 1, .repeat_penalty = 1 }, "temperature" },
                { { .top_p = 1.01f, .repeat_penalty = 1 }, "top-p" },
                { { .top_p = -INFINITY, .repeat_penalty = 1 }, "top-p" },
                { { .top_p = 1, .min_p = NAN, .repeat_penalty = 1 }, "min-p" },
                { { .top_p = 1, .min_p = 1.5f, .repeat_penalty = 1 }, "min-p" },
                { { .top_p = 1, .repeat_penalty = 0 }, "penalty" },
                { { .top_p = 1, .repeat_penalty = 10.5f }, "penalty" },
                { { .top_p = 1, .repeat_penalty = 0.1f, .repeat_window = 1024 }, NULL },
                { { .top_p = 1, .repeat_penalty = 1, .repeat_window = 1025 }, "window" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                EngineError e = {};
                Sampler *s = NULL;
                int r = sampler_new(&cases[i].p, 10, &s, &e);
                CHECK_INT(r, cases[i].named ? -EINVAL : 0);
                CHECK(!cases[i].named == !!s);
                if (cases[i].named)
                        CHECK(strstr(e.text, cases[i].named));
                sampler_free(s);
        }
        EngineError e = {};
        Sampler *s = NULL;
        CHECK_INT(sampler_new(&SAMPLER_PARAMS_DEFAULT, 0, &s, &e), -EINVAL);
        CHECK(!s && e.text[0]);
}

static void test_greedy(void) {
        float logits[3000];
        for (size_t n = 1; n <= ELEMENTSOF(logits); n = n * 3 / 2 + 1) {
                _cleanup_(sampler_freep) Sampler *s = make(SAMPLER_PARAMS_DEFAULT, n);
                for (size_t at = 0; at < n; at += n / 7 + 1) {
                        for (size_t i = 0; i < n; i++)
                                logits[i] = -1.0f - (float) (i % 5);
                        logits[at] = 2;
                        logits[n - 1] = 2;      /* a tie: the lowest id */
                        CHECK_INT(next(s, logits, n, NULL), at);
                }
        }
}

static void test_odd_logits(void) {
        enum { N = 40 };
        SamplerParams warm = SAMPLER_PARAMS_DEFAULT;
        warm.temperature = 0.7f;
        for (int pass = 0; pass < 2; pass++) {
                _cleanup_(sampler_freep) Sampler *s = make(pass ? warm : SAMPLER_PARAMS_DEFAULT, N);
                float logits[N];
                for (size_t i = 0; i < N; i++)
                        logits[i] = NAN;
                CHECK_INT(next(s, logits, N, NULL), 0);
                logits[17] = -3;
                CHECK_INT(next(s, logits, N, NULL), 17);
                for (size_t i = 0; i < N; i++)
                        logits[i] = -INFINITY;
                CHECK_INT(next(s, logits, N, NULL), 0);
                uint64_t mask = UINT64_C(1) << 9 | UINT64_C(1) << 11;
                CHECK_INT(next(s, logits, N, &mask), 9);
                logits[5] = NAN;
                logits[6] = -1e30f;
                CHECK_INT(next(s, logits, N, NULL), 6);
                logits[31] = INFINITY;
                CHECK_INT(next(s, logits, N, NULL), 31);
                logits[8] = 3e38f;
                CHECK_INT(next(s, logits, N, NULL), 31);
                mask = UINT64_C(1) << 6 | UINT64_C(1) << 20;
                CHECK_INT(next(s, logits, N, &mask), 6);
        }
}

static void test_mask(void) {
        enum { N = 130 };
        float logits[N];
        uint64_t mask[3] = { 0, UINT64_C(1) << 5, UINT64_C(1) << 1 };     /* 69 and 129 */
        SamplerParams p = SAMPLER_PARAMS_DEFAULT;
        p.temperature = 5;
        _cleanup_(sampler_freep) Sampler *s = make(p, N);
        unsigned seen[2] = {};
        for (size_t i = 0; i < N; i++)
                logits[i] = i == 69 || i == 129 ? 0 : 50;
        for (unsigned i = 0; i < 1000; i++) {
                uint32_t id = next(s, logits, N, mask);
                CHECK(id == 69 || id == 129);
                seen[id == 129]++;
        }
        CHECK(seen[0] > 400 && seen[1] > 400);
}

static void test_penalty(void) {
        enum { N = 10 };
        SamplerParams p = SAMPLER_PARAMS_DEFAULT;
        p.repeat_penalty = 2;
        p.repeat_window = 3;
        float logits[N] = { 4, 3.5f, 3, -1 };
        _cleanup_(sampler_freep) Sampler *s = make(p, N);
        CHECK_INT(next(s, logits, N, NULL), 0);
        sampler_accept(s, 0);
        sampler_accept(s, 0);                           /* counts once */
        sampler_accept(s, 4000000000u);                 /* no such token */
        CHECK_INT(next(s, logits, N, NULL), 1);
        sampler_accept(s, 1);
        CHECK_INT(next(s, logits, N, NULL), 2);
        sampler_accept(s, 2);
        sampler_accept(s, 2);
        sampler_accept(s, 2);                           /* 0 and 1 have left the window */
        CHECK_INT(next(s, logits, N, NULL), 0);

        float negative[N] = { -1, -1.5f, -9, -9, -9, -9, -9, -9, -9, -9 };
        _cleanup_(sampler_freep) Sampler *u = make(p, N);
        sampler_accept(u, 0);                           /* -1 → -2: a penalty is never a reward */
        CHECK_INT(next(u, negative, N, NULL), 1);
}

/* Draws from `p` over logits; compares with `expected` probabilities by chi-square. `bound` is the 99.9 % quantile of
 * the degrees of freedom at hand. */
static void check_distribution(SamplerParams p, const float *logits, const double *expected, size_t n, double bound) {
        enum { DRAWS = 40000 };
        _cleanup_(sampler_freep) Sampler *s = make(p, n);
        unsigned counts[64] = {};
        for (unsigned i = 0; i < DRAWS; i++)
                counts[next(s, logits, n, NULL)]++;
        double chi = 0;
        for (size_t i = 0; i < n; i++) {
                if (expected[i] == 0) {
                        CHECK_INT(counts[i], 0);
                        continue;
                }
                double d = counts[i] - expected[i] * DRAWS;
                chi += d * d / (expected[i] * DRAWS);
        }
        if (chi >= bound)
                printf("# chi-square %g, at most %g expected\n", chi, bound);
        CHECK(chi < bound);
}

static void test_distribution(void) {
        float logits[8];
        double expected[8], total = 0, temperatures[] = { 0.5, 1, 2 };
        for (size_t k = 0; k < 3; k++) {
                total = 0;
                for (size_t i = 0; i < 8; i++) {
                        logits[i] = (float) (i * 3 % 8) * 0.3f;
                        total += expected[i] = exp(logits[i] / temperatures[k]);
                }
                for (size_t i = 0; i < 8; i++)
                        expected[i] /= total;
                SamplerParams p = SAMPLER_PARAMS_DEFAULT;
                p.temperature = (float) temperatures[k];
                p.seed = 7 + k;
                check_distribution(p, logits, expected, 8, 24.3);
        }
}

static void test_cuts(void) {
        /* Probabilities 0.4, 0.3, 0.15, 0.1, 0.05, not in order. */
        static const double probability[5] = { 0.1, 0.4, 0.05, 0.3, 0.15 };
        float logits[5];
        for (size_t i = 0; i < 5; i++)
                logits[i] = (float) log(probability[i]) + 11;
        SamplerParams p = SAMPLER_PARAMS_DEFAULT;
        p.temperature = 1;

        p.top_k = 2;
        check_distribution(p, logits, (const double[]) { 0, 4.0 / 7, 0, 3.0 / 7, 0 }, 5, 10.8);
        p.top_k = 0;
        p.top_p = 0.72f;                                /* 0.4 + 0.3 is short of it */
        check_distribution(p, logits, (const double[]) { 0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85 }, 5, 13.8);
        p.top_p = 0;
        check_distribution(p, logits, (const double[]) { 0, 1, 0, 0, 0 }, 5, 1e-9);
        p.top_p = 1;
        p.min_p = 0.3f;                                 /* of 0.4: 0.12 and above */
        check_distribution(p, logits, (const double[]) { 0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85 }, 5, 13.8);
        p.min_p = 1;
        check_distribution(p, logits, (const double[]) { 0, 1, 0, 0, 0 }, 5, 1e-9);
        p.min_p = 0;
        p.top_k = 3;                                    /* of which top-p then takes 0.4/0.85 + 0.3/0.85 ≥ 0.8 */
        p.top_p = 0.8f;
        check_distribution(p, logits, (const double[]) { 0, 4.0 / 7, 0, 3.0 / 7, 0 }, 5, 10.8);
}

/* Equal logits: a cut takes the lowest ids. */
static void test_cut_ties(void) {
        float logits[6] = { 1, 2, 2, 2, 2, 0 };
        SamplerParams p = SAMPLER_PARAMS_DEFAULT;
        p.temperature = 1;
        p.top_k = 2;
        check_distribution(p, logits, (const double[]) { 0, 0.5, 0.5, 0, 0, 0 }, 6, 10.8);
        p.top_k = 0;
        p.top_p = 0.5f;                                 /* each about 0.23: three of them */
        check_distribution(p, logits, (const double[]) { 0, 1.0 / 3, 1.0 / 3, 1.0 / 3, 0, 0 }, 6, 13.8);
        float zeros[4] = { -0.0f, 0.0f, -0.0f, 0.0f };
        p.top_p = 1;
        p.top_k = 2;
        check_distribution(p, zeros, (const double[]) { 0.5, 0.5, 0, 0 }, 4, 10.8);
}

/* The cut by radix keeps what a sort would: compared on many random sets. */
static void test_cut_against_sort(void) {
        enum { N = 300 };
        for (unsigned round = 0; round < 200; round++) {
                float logits[N];
                for (size_t i = 0; i < N; i++)
                        logits[i] = (float) (int) (philox_uniform(round, i) * 60) * (round % 2 ? 0.25f : -0.25f);
                SamplerParams p = SAMPLER_PARAMS_DEFAULT;
                p.temperature = 5;
                p.top_k = 1 + round % 50;
                p.seed = round;
                _cleanup_(sampler_freep) Sampler *s = make(p, N);
                for (unsigned i = 0; i < 20; i++) {
                        uint32_t id = next(s, logits, N, NULL), better = 0;
                        for (size_t j = 0; j < N; j++)
                                better += logits[j] > logits[id] || (logits[j] == logits[id] && j < id);
                        CHECK(better < p.top_k);
                }
        }
}

static void test_reproducible(void) {
        float logits[1000];
        for (size_t i = 0; i < ELEMENTSOF(logits); i++)
                logits[i] = (float) philox_uniform(3, i) * 4;
        SamplerParams p = SAMPLER_PARAMS_DEFAULT;
        p.temperature = 1;
        p.top_p = 0.9f;
        p.seed = UINT64_C(0xfedcba9876543210);
        _cleanup_(sampler_freep) Sampler *a = make(p, ELEMENTSOF(logits)), *b = make(p, ELEMENTSOF(logits));
        p.seed ^= UINT64_C(1) << 40;
        _cleanup_(sampler_freep) Sampler *c = make(p, ELEMENTSOF(logits));
        unsigned same = 0;
        for (unsigned i = 0; i < 200; i++) {
                uint32_t id = next(a, logits, ELEMENTSOF(logits), NULL);
                CHECK_INT(next(b, logits, ELEMENTSOF(logits), NULL), id);
                same += next(c, logits, ELEMENTSOF(logits), NULL) == id;
        }
        CHECK(same < 20);
}

TEST_MAIN(
        { "the generator's published answers", test_philox },
        { "limits of every parameter", test_limits },
        { "greedy takes the first of the largest", test_greedy },
        { "NaN and infinite logits", test_odd_logits },
        { "a mask allows nothing else", test_mask },
        { "repetition penalty and its window", test_penalty },
        { "distribution by temperature", test_distribution },
        { "top-k, top-p, min-p", test_cuts },
        { "cuts among equal logits", test_cut_ties },
        { "cuts against sorting", test_cut_against_sort },
        { "a seed's draws are its own and the same again", test_reproducible })
