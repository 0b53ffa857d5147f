/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Numerics on the default model, against the independent float32 forward pass that make-reference.py recorded: the
 * scalar path equals it to 1e-3 in every recorded logit; every other level chooses as it does wherever the best two
 * are more than 0.5 apart, and lies no further from the scalar path (mean KL divergence, whole vocabulary, every
 * position) than 1.1 × what llama.cpp lies from the reference on the same text. */

#include <math.h>

#include "engine/kernels/kernels.h"
#include "engine/spark-engine.h"
#include "tests/test-model.h"

#define SCALAR_BOUND 1e-3
#define CLEAR_CHOICE 0.5f
#define KL_BOUND 1.1

static struct {
        const uint8_t *at;
        uint32_t n_prompts, n_vocab, n_top, n_sample;
        float peer_kl;
        const uint32_t *sample;
} ref;

static const void *take(size_t n) {
        const void *p = ref.at;
        ref.at += n;
        return p;
}

static uint32_t take_u32(void) {
        uint32_t v;
        memcpy(&v, take(4), 4);
        return v;
}

static float take_f32(void) {
        float v;
        memcpy(&v, take(4), 4);
        return v;
}

static uint8_t *reference_file;

static void open_reference(void) {
        if (!reference_file) {
                FILE *f = fopen(REFERENCE_DATA "/smollm2-135m-instruct.ref", "rbe");
                CHECK(f);
                fseek(f, 0, SEEK_END);
                size_t n = (size_t) ftell(f);
                rewind(f);
                reference_file = malloc(n);
                CHECK(reference_file && fread(reference_file, 1, n, f) == n);
                fclose(f);
        }
        ref.at = reference_file;
        CHECK(memcmp(take(4), "SPKR", 4) == 0);
        ref.n_prompts = take_u32();
        ref.n_vocab = take_u32();
        ref.n_top = take_u32();
        ref.n_sample = take_u32();
        ref.peer_kl = take_f32();
        take_f32();
        ref.sample = take(4 * ref.n_sample);
}

/* Where the positions of one prompt begin; ref.at stands after them. */
static const uint8_t *take_positions(uint32_t n) {
        return take((size_t) n * (8 + 8 * ref.n_top + 4 * ref.n_sample));
}

typedef struct Rows {
        float *logits;          /* [n][n_vocab] */
        size_t n_vocab;
} Rows;

static int keep(void *userdata, size_t position, const float *logits, size_t n_vocab) {
        Rows *r = userdata;
        memcpy(r->logits + position * n_vocab, logits, n_vocab * sizeof(float));
        return 0;
}

typedef struct Level {
        Pool *pool;
        SparkModel *model;
        SparkEngine *engine;
} Level;

static void level_open(Level *l, const TestModelFile *file, const char *kernels, KvType kv) {
        EngineError e = {};
        GgufPart part = { file->data, file->size };
        CHECK_INT(pool_new(2, &l->pool), 0);
        CHECK_INT(spark_model_new(&part, 1, kernels, l->pool, &l->model, &e), 0);
        CHECK_INT(spark_engine_new(l->model, l->pool, &(SparkEngineParams) { .kv_type = kv, .n_ctx = 512 }, &l->engine, &e), 0);
}

static void level_done(Level *l) {
        spark_engine_free(l->engine);
        spark_model_free(l->model);
        pool_free(l->pool);
}

static double log_sum_exp(const float *x, size_t n) {
        double m = x[0], s = 0;
        for (size_t i = 1; i < n; i++)
                m = MAX(m, (double) x[i]);
        for (size_t i = 0; i < n; i++)
                s += exp((double) x[i] - m);
        return m + log(s);
}

static double divergence(const float *p, const float *q, size_t n) {
        double lp = log_sum_exp(p, n), lq = log_sum_exp(q, n), kl = 0;
        for (size_t i = 0; i < n; i++) {
                double a = (double) p[i] - lp;
                kl += exp(a) * (a - ((double) q[i] - lq));
        }
        return kl;
}

static size_t best_of(const float *x, size_t n) {
        size_t b = 0;
        for (size_t i = 1; i < n; i++)
                if (x[i] > x[b])
                        b = i;
        return b;
}

/* The largest distance from the recorded logits of one prompt. */
static double distance(const uint8_t *positions, uint32_t n, const float *rows) {
        double worst = 0;
        for (uint32_t t = 0; t < n; t++, rows += ref.n_vocab) {
                double lse;
                memcpy(&lse, positions, 8);
                positions += 8;
                worst = fmax(worst, fabs(log_sum_exp(rows, ref.n_vocab) - lse));
                for (uint32_t i = 0; i < ref.n_top; i++, positions += 8) {
                        uint32_t id;
                        float v;
                        memcpy(&id, positions, 4);
                        memcpy(&v, positions + 4, 4);
                        worst = fmax(worst, fabs((double) rows[id] - (double) v));
                }
                for (uint32_t i = 0; i < ref.n_sample; i++, positions += 4) {
                        float v;
                        memcpy(&v, positions, 4);
                        worst = fmax(worst, fabs((double) rows[ref.sample[i]] - (double) v));
                }
        }
        float low = take_f32(), step = take_f32();
        const uint8_t *full = take(2 * ref.n_vocab);
        rows -= ref.n_vocab;
        for (uint32_t i = 0; i < ref.n_vocab; i++) {
                uint16_t v;
                memcpy(&v, full + 2 * i, 2);
                worst = fmax(worst, fabs((double) rows[i] - ((double) low + (double) v * (double) step)) - (double) step / 2);
        }
        return worst;
}

static void test_numerics(void) {
        TestModelFile file;
        test_model_map("smollm2-135m-instruct", &file);
        open_reference();
        Level scalar = {}, fast[8] = {};
        const char *names[8];
        size_t n_fast = 0;
        level_open(&scalar, &file, "scalar", KV_F32);
        for (size_t k = 1; kernels_at(k) && n_fast < ELEMENTSOF(fast); k++)
                if (kernels_at(k)->supported()) {
                        names[n_fast] = kernels_at(k)->name;
                        level_open(&fast[n_fast++], &file, kernels_at(k)->name, KV_F16);
                }

        double worst = 0, kl[8] = {};
        size_t n_all = 0, n_clear = 0, n_wrong = 0;
        for (uint32_t p = 0; p < ref.n_prompts; p++) {
                uint32_t n = take_u32();
                const uint32_t *ids = take(4 * n);
                const uint8_t *positions = take_positions(n);
                EngineError e = {};
                Rows a = { malloc((size_t) n * ref.n_vocab * sizeof(float)), ref.n_vocab };
                Rows b = { malloc((size_t) n * ref.n_vocab * sizeof(float)), ref.n_vocab };
                CHECK(a.logits && b.logits);
                CHECK_INT(spark_engine_logits(scalar.engine, ids, n, keep, &a, &e), 0);
                worst = fmax(worst, distance(positions, n, a.logits));
                for (size_t k = 0; k < n_fast; k++) {
                        CHECK_INT(spark_engine_logits(fast[k].engine, ids, n, keep, &b, &e), 0);
                        const uint8_t *at = positions + 8;
                        for (uint32_t t = 0; t < n; t++, at += 8 + 8 * ref.n_top + 4 * ref.n_sample) {
                                const float *x = a.logits + (size_t) t * ref.n_vocab, *y = b.logits + (size_t) t * ref.n_vocab;
                                uint32_t id;
                                float first, second;
                                memcpy(&id, at, 4);
                                memcpy(&first, at + 4, 4);
                                memcpy(&second, at + 12, 4);
                                kl[k] += divergence(x, y, ref.n_vocab);
                                if (first - second > CLEAR_CHOICE) {
                                        n_clear++;
                                        n_wrong += best_of(y, ref.n_vocab) != id;
                                }
                        }
                }
                n_all += n;
                free(a.logits);
                free(b.logits);
        }
        printf("# %zu positions; scalar: largest distance in any recorded logit %.2g\n", n_all, worst);
        for (size_t k = 0; k < n_fast; k++)
                printf("# %s: mean KL %.3g (peer's %.3g)\n", names[k], kl[k] / (double) n_all, (double) ref.peer_kl);
        printf("# %zu clear choices, %zu missed\n", n_clear, n_wrong);
        level_done(&scalar);
        for (size_t k = 0; k < n_fast; k++)
                level_done(&fast[k]);
        CHECK(worst <= SCALAR_BOUND);
        CHECK_INT(n_wrong, 0);
        for (size_t k = 0; k < n_fast; k++)
                CHECK(kl[k] / (double) n_all <= KL_BOUND * (double) ref.peer_kl);
}

TEST_MAIN(
        { "scalar equals float32 to 1e-3; the other levels choose alike and stay as close as the peer", test_numerics },
)
