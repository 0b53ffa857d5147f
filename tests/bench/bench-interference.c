/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-interference MODEL [REPEAT]: how much a long prompt that arrives slows the tokens of a reply under way, and what
 * the reply costs the prompt. The tokens that the reply has while the prompt is read are generated again without it, which
 * are the same by the engine's promise, and the times of both compared. Once for a reply whose tokens come one a step, once for one that repeats its input, whose
 * tokens are guessed ahead. Prints a table for docs/measurements.md. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "engine/runtime/runtime.h"

#define THREADS 2u
#define PROMPT 2000u
#define FIRST_TOKENS 100u                     /* of the reply, before the prompt comes */
#define PERIOD 40u                            /* tokens after which the reply's input repeats */
#define REPEAT_MAX 25u

typedef struct Run {
        double slower;                        /* time that the reply's tokens take, with the prompt by that without */
        double alone_ms, beside_ms;           /* the prompt's first token */
        double worst_ms;                      /* longest step of the reply, with the prompt */
} Run;

static void fill(const SparkModel *m, uint32_t *ids, uint32_t n, uint32_t seed) {
        SparkModelInfo info;
        spark_model_info(m, &info);
        for (uint32_t i = 0; i < n; i++) {
                seed = seed * 1664525 + 1013904223;
                ids[i] = 1000 + (seed >> 8) % (info.n_vocab - 1000);
        }
}

static SparkSequence *start(SparkEngine *e, const uint32_t *ids, size_t n_ids, uint32_t max_tokens, bool drafts, uint64_t domain) {
        SparkSequence *s = NULL;
        EngineError error = {};
        SparkStart p = { .ids = ids, .n_ids = n_ids, .max_tokens = max_tokens, .sampler = SAMPLER_PARAMS_DEFAULT, .ignore_end = true,
                         .no_drafts = !drafts };
        if (spark_sequence_new(e, &(SparkSequenceParams) { .domain = domain }, &s, &error) < 0 || spark_sequence_start(s, &p, &error) < 0) {
                fprintf(stderr, "bench-interference: %s\n", error.text);
                exit(1);
        }
        return s;
}

/* One step: how many tokens s got. */
static unsigned step(SparkEngine *e, const SparkSequence *s) {
        const SparkEvent *events;
        size_t n;
        unsigned n_tokens = 0;
        if (spark_engine_step(e, &events, &n) < 0)
                exit(1);
        for (size_t i = 0; i < n; i++)
                n_tokens += events[i].sequence == s && events[i].type == SPARK_EVENT_TOKEN;
        return n_tokens;
}

/* Steps until s has said something: milliseconds. Tokens of `other` meanwhile, and its longest step. */
static double until_first(SparkEngine *e, SparkSequence *s, const SparkSequence *other, unsigned *ret_tokens, double *ret_worst_ms) {
        const uint64_t begin = now_us();
        uint64_t last = begin, longest = 0;
        uint64_t before = s->usage.n_generated;
        while (s->usage.n_generated == before) {
                const unsigned n = step(e, other);
                *ret_tokens += n;
                if (n > 0) {
                        const uint64_t now = now_us();
                        longest = MAX(longest, now - last);
                        last = now;
                }
        }
        *ret_worst_ms = (double) longest / 1e3;
        return (double) (now_us() - begin) / 1e3;
}

/* Milliseconds until s has n tokens, as many as it comes to at the end of a step. */
static double until_tokens(SparkEngine *e, const SparkSequence *s, uint64_t n) {
        const uint64_t begin = now_us();
        while (s->usage.n_generated < n)
                step(e, s);
        return (double) (now_us() - begin) / 1e3;
}

static Run measure(const SparkModel *m, SparkEngine *e, bool repeats, uint32_t seed) {
        uint32_t talk[8 * PERIOD], prompt[PROMPT];
        unsigned n_tokens = 0;
        double none;
        Run r = {};

        fill(m, talk, PERIOD, seed);
        for (uint32_t i = PERIOD; i < ELEMENTSOF(talk); i++)
                talk[i] = talk[i - PERIOD];
        fill(m, prompt, PROMPT, seed + 1);

        SparkSequence *p = start(e, prompt, PROMPT, 1, false, 2);
        r.alone_ms = until_first(e, p, p, &n_tokens, &none);
        step(e, p);
        spark_sequence_free(p);

        fill(m, prompt, PROMPT, seed + 2);
        SparkSequence *s = start(e, talk, ELEMENTSOF(talk), UINT32_MAX, repeats, 1);
        until_tokens(e, s, FIRST_TOKENS);
        const uint64_t from = s->usage.n_generated;
        p = start(e, prompt, PROMPT, 1, false, 2);
        r.beside_ms = until_first(e, p, s, &n_tokens, &r.worst_ms);
        const uint64_t to = s->usage.n_generated;
        spark_sequence_free(p);
        spark_sequence_free(s);

        s = start(e, talk, ELEMENTSOF(talk), UINT32_MAX, repeats, 1);
        until_tokens(e, s, from);
        r.slower = r.beside_ms / until_tokens(e, s, to);
        spark_sequence_free(s);
        return r;
}

static int by_slower(const void *a, const void *b) {
        const Run *x = a, *y = b;
        return (x->slower > y->slower) - (x->slower < y->slower);
}

int main(int argc, char **argv) {
        const unsigned repeat = argc > 2 ? MIN((unsigned) atoi(argv[2]), REPEAT_MAX) : 5;
        EngineError error = {};
        struct stat st;
        GgufPart part;
        Pool *pool;
        SparkModel *m;
        SparkEngine *e;
        int fd = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;

        setvbuf(stdout, NULL, _IOLBF, 0);
        if (fd < 0 || fstat(fd, &st) < 0 || repeat == 0) {
                fprintf(stderr, "usage: bench-interference MODEL [REPEAT]\n");
                return 2;
        }
        part.size = (size_t) st.st_size;
        part.data = mmap(NULL, part.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (part.data == MAP_FAILED || pool_new(THREADS, &pool) < 0 || spark_model_new(&part, 1, NULL, pool, &m, &error) < 0 ||
            spark_engine_new(m, pool, &(SparkEngineParams) { .kv_type = KV_I16 }, &e, &error) < 0) {
                fprintf(stderr, "bench-interference: %s\n", error.text);
                return 1;
        }

        printf("| reply under way | its tokens, slower by | its longest wait | prompt of %u tokens, to its first token: alone · beside it |\n"
               "|---|---|---|---|\n", PROMPT);
        for (unsigned repeats = 0; repeats < 2; repeats++) {
                Run runs[REPEAT_MAX];
                for (unsigned i = 0; i < repeat; i++)
                        runs[i] = measure(m, e, repeats, 100 * (2 * i + repeats) + 7);
                qsort(runs, repeat, sizeof *runs, by_slower);
                const Run *mid = &runs[repeat / 2];
                printf("| %s | %.2f × (%.2f–%.2f) | %.0f ms | %.0f · %.0f ms, %.2f × |\n", repeats ? "repeats its input" : "one token a step",
                       mid->slower, runs[0].slower, runs[repeat - 1].slower, mid->worst_ms, mid->alone_ms, mid->beside_ms, mid->beside_ms / mid->alone_ms);
        }
        spark_engine_free(e);
        spark_model_free(m);
        pool_free(pool);
        return 0;
}
