/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns `bench`: prefill of P tokens, on a context of D that the sequence holds already, to the first token chosen; and
 * decode of G tokens on each of N lines that share a context of D tokens, summed over the lines from the moment that
 * all of them speak. Every repetition starts from an empty cache, with room for the contexts of its lines and no more; ids
 * are a fixed sequence of ordinary tokens. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/spark-lm.h"

enum { BENCH_PROMPT, BENCH_GENERATE, BENCH_DEPTH, BENCH_PARALLEL, BENCH_REPEAT, BENCH_CTX, BENCH_JSON };

#define REPEAT_MAX 1000u

typedef struct Bench {
        const LmCall *call;
        Lm lm;
        uint32_t n_prompt, n_generate, n_depth, n_parallel, n_repeat, n_ctx;
        double prefill[REPEAT_MAX], first_ms[REPEAT_MAX], decode[REPEAT_MAX];
        double rss_mb;                        /* largest, with a repetition's context still held */
} Bench;

/* A text that repeats nothing: a linear congruential walk over the vocabulary, without control tokens. */
static int fill(const Bench *b, uint64_t seed, uint32_t n, uint32_t **ret) {
        const Tokenizer *t = spark_model_tokenizer(b->lm.model);
        uint32_t *ids = malloc(n * sizeof *ids + 1);
        if (!ids)
                return -ENOMEM;
        uint64_t x = seed;
        for (uint32_t i = 0; i < n;) {
                x = x * 6364136223846793005u + 1442695040888963407u;
                const uint32_t id = (uint32_t) ((x >> 33) % tokenizer_n_vocab(t));
                if (!tokenizer_is_control(t, id) && !tokenizer_is_end(t, id))
                        ids[i++] = id;
        }
        *ret = ids;
        return 0;
}

static double resident_mb(void) {
        long pages = 0, resident = 0;
        FILE *f = fopen("/proc/self/statm", "re");
        if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
                resident = 0;
        if (f)
                fclose(f);
        return (double) resident * (double) sysconf(_SC_PAGESIZE) / 1e6;
}

/* Runs one start to its end. */
static int run_start(SparkEngine *e, SparkSequence *s, const uint32_t *ids, uint32_t n_ids, SparkUsage *ret) {
        EngineError error = {};
        int r = spark_sequence_start(s, &(SparkStart) { .ids = ids, .n_ids = n_ids, .max_tokens = 1, .ignore_end = true,
                                                        .sampler = SAMPLER_PARAMS_DEFAULT }, &error);
        if (r < 0)
                return lm_print_error(r, "bench", &error);
        const SparkEvent *events;
        size_t n;
        while ((r = spark_engine_step(e, &events, &n)) > 0)
                ;
        if (r < 0 || n == 0 || events[n - 1].finish != SPARK_FINISH_LENGTH)
                return lm_print_error(r < 0 ? r : -EIO, "prefill", NULL);
        *ret = events[n - 1].usage;
        return 0;
}

static int prefill(Bench *b, uint32_t repetition) {
        _cleanup_(spark_engine_freep) SparkEngine *e = NULL;
        _cleanup_(spark_sequence_freep) SparkSequence *s = NULL;
        _cleanup_free_ uint32_t *ids = NULL;
        EngineError error = {};
        SparkUsage usage;

        int r = lm_engine(&b->lm, &b->call->global, b->n_ctx, b->n_parallel, &e);
        if (r < 0)
                return r;
        if ((r = fill(b, repetition, b->n_depth + b->n_prompt, &ids)) < 0 ||
            (r = spark_sequence_new(e, &(SparkSequenceParams) {}, &s, &error)) < 0)
                return lm_print_error(r, "bench", &error);
        if (b->n_depth > 0 && (r = run_start(e, s, ids, b->n_depth, &usage)) < 0)
                return r;

        r = run_start(e, s, ids, b->n_depth + b->n_prompt, &usage);
        if (r < 0)
                return r;
        b->first_ms[repetition] = (double) usage.first_token_us / 1e3;
        b->rss_mb = MAX(b->rss_mb, resident_mb());
        b->prefill[repetition] = (double) b->n_prompt * 1e6 / (double) usage.first_token_us;
        return 0;
}

static int decode_lines(Bench *b, SparkEngine *e, SparkSequence **lines, double *ret) {
        _cleanup_free_ uint32_t *ids = NULL;
        EngineError error = {};
        const uint32_t n_ids = b->n_depth > 0 ? b->n_depth : 1;
        int r = fill(b, REPEAT_MAX, n_ids, &ids);
        if (r < 0)
                return lm_print_error(r, "bench", NULL);

        for (uint32_t i = 0; i < b->n_parallel; i++) {
                SamplerParams sampler = SAMPLER_PARAMS_DEFAULT;
                sampler.seed = i;
                r = spark_sequence_new(e, &(SparkSequenceParams) { .domain = 1 }, &lines[i], &error);
                if (r >= 0)
                        r = spark_sequence_start(lines[i], &(SparkStart) { .ids = ids, .n_ids = n_ids, .sampler = sampler,
                                                                           .max_tokens = UINT32_MAX, .no_drafts = true,
                                                                           .ignore_end = true }, &error);
                if (r < 0)
                        return lm_print_error(r, "bench", &error);
        }

        /* Lines begin to speak one after another, and go on until they are freed: what is counted has all of them. */
        SparkEngineStats stats;
        const SparkEvent *events;
        size_t n;
        do {
                r = spark_engine_step(e, &events, &n);
                spark_engine_stats(e, &stats);
        } while (r > 0 && stats.n_waiting > 0);

        const uint64_t before = stats.tokens_generated, begin = lm_now_us();
        for (uint32_t i = 0; i < b->n_generate && r > 0; i++)
                r = spark_engine_step(e, &events, &n);
        const uint64_t us = lm_now_us() - begin;
        spark_engine_stats(e, &stats);
        if (stats.tokens_generated - before != (uint64_t) b->n_generate * b->n_parallel)
                return lm_print_error(-EIO, "decode: lines ended early (is the context large enough?)", NULL);
        b->rss_mb = MAX(b->rss_mb, resident_mb());
        *ret = (double) (stats.tokens_generated - before) * 1e6 / (double) us;
        return 0;
}

static int decode(Bench *b, uint32_t repetition) {
        _cleanup_(spark_engine_freep) SparkEngine *e = NULL;
        SparkSequence *lines[SPARK_ROWS_MAX] = {};

        int r = lm_engine(&b->lm, &b->call->global, b->n_ctx, b->n_parallel, &e);
        if (r < 0)
                return r;
        r = decode_lines(b, e, lines, &b->decode[repetition]);
        for (uint32_t i = 0; i < b->n_parallel; i++)
                spark_sequence_free(lines[i]);
        return r;
}

static void print_list(const char *name, const double *values, uint32_t n) {
        printf("\"%s\": [", name);
        for (uint32_t i = 0; i < n; i++)
                printf("%s%.2f", i > 0 ? ", " : "", values[i]);
        printf("], ");
}

static bool take_u32(const LmCall *call, int which, uint32_t min, uint32_t max, uint32_t *ret) {
        double v;
        if (!call->values[which])
                return true;
        if (!lm_number(call->command->options[which].name, call->values[which], min, max, &v))
                return false;
        *ret = (uint32_t) v;
        return true;
}

static int bench(const LmCall *call) {
        _cleanup_free_ Bench *b = calloc(1, sizeof *b);
        if (!b)
                return 1;
        *b = (Bench) { .call = call, .n_prompt = 512, .n_generate = 128, .n_parallel = 1, .n_repeat = 5 };
        if (!take_u32(call, BENCH_PROMPT, 0, 131072, &b->n_prompt) || !take_u32(call, BENCH_GENERATE, 0, 131072, &b->n_generate) ||
            !take_u32(call, BENCH_DEPTH, 0, 131072, &b->n_depth) || !take_u32(call, BENCH_PARALLEL, 1, SPARK_ROWS_MAX, &b->n_parallel) ||
            !take_u32(call, BENCH_REPEAT, 1, REPEAT_MAX, &b->n_repeat) || !take_u32(call, BENCH_CTX, 1, 131072, &b->n_ctx))
                return 2;
        if (lm_open(call->arguments[0], &call->global, &b->lm) < 0)
                return 1;

        int r = 0;
        for (uint32_t i = 0; i < b->n_repeat && r >= 0; i++) {
                if (b->n_prompt > 0)
                        r = prefill(b, i);
                if (r >= 0 && b->n_generate > 0)
                        r = decode(b, i);
        }
        if (r >= 0 && call->values[BENCH_JSON]) {
                printf("{");
                if (b->n_prompt > 0) {
                        print_list("prefill_tps", b->prefill, b->n_repeat);
                        print_list("first_token_ms", b->first_ms, b->n_repeat);
                }
                if (b->n_generate > 0)
                        print_list("decode_tps", b->decode, b->n_repeat);
                printf("\"rss_mb\": %.1f}\n", b->rss_mb);
        } else if (r >= 0) {
                SparkModelInfo info;
                spark_model_info(b->lm.model, &info);
                printf("kernels %s, %u threads\n", info.kernels, pool_n_threads(b->lm.pool));
                for (uint32_t i = 0; i < b->n_repeat; i++)
                        printf("prefill %.1f tokens a second, decode %.1f\n", b->prefill[i], b->decode[i]);
                printf("resident %.1f MB\n", b->rss_mb);
        }
        lm_done(&b->lm);
        return r < 0 ? 1 : 0;
}

const LmCommand lm_bench = {
        .name = "bench",
        .arguments = "MODEL [--prompt P] [--generate G] [--depth D] [--parallel N] [--repeat R] [--json]",
        .summary = "measure prefill and decode",
        .n_arguments = 1,
        .options = (const LmOption[]) {
                [BENCH_PROMPT] = { "prompt", "P", "tokens to prefill; default 512; 0: leave out" },
                [BENCH_GENERATE] = { "generate", "G", "tokens to decode; default 128; 0: leave out" },
                [BENCH_DEPTH] = { "depth", "D", "tokens of context before either; default 0" },
                [BENCH_PARALLEL] = { "parallel", "N", "lines that decode together; default 1" },
                [BENCH_REPEAT] = { "repeat", "R", "repetitions; default 5" },
                [BENCH_CTX] = { "ctx", "N", "context; default: the model's, at most 8192" },
                [BENCH_JSON] = { "json", NULL, "one JSON object" },
                {},
        },
        .run = bench,
};
