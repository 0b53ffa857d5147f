/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The step loop on several threads, for ThreadSanitizer as much as for its own checks: on each architecture's tiny
 * model, each of the three ways to split a step's rows, and sampling by many threads, say what one thread says.
 *
 * The pool is told to stay together: by itself it would go on alone where three threads share two cores. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "engine/spark-engine.h"
#include "tests/test.h"

#define THREADS 3u
#define SEQUENCES 6u
#define PROMPT 72u              /* tokens: enough for each thread to take its own */
#define REPLY 8u

typedef struct Fixture {
        GgufPart part;
        Pool *pool;
        SparkModel *model;
        SparkEngine *engine;
        uint32_t n_vocab;
} Fixture;

typedef struct Reply {
        uint32_t ids[REPLY];
        size_t n;
} Reply;

static void open_fixture(Fixture *f, const char *name, unsigned n_threads) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.gguf", ARCH_DATA, name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        struct stat st;
        CHECK_INT(fstat(fd, &st), 0);
        f->part.size = (size_t) st.st_size;
        f->part.data = mmap(NULL, f->part.size, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK(f->part.data != MAP_FAILED);

        EngineError e = {};
        SparkModelInfo info;
        CHECK_INT(pool_new(n_threads, &f->pool), 0);
        pool_stay_together(f->pool);
        CHECK_INT(spark_model_new(&f->part, 1, NULL, f->pool, &f->model, &e), 0);
        CHECK_INT(spark_engine_new(f->model, f->pool, &(SparkEngineParams) { .kv_type = KV_F16 }, &f->engine, &e), 0);
        spark_model_info(f->model, &info);
        f->n_vocab = info.n_vocab;
}

static void close_fixture(Fixture *f) {
        spark_engine_free(f->engine);
        spark_model_free(f->model);
        pool_free(f->pool);
        munmap((void *) f->part.data, f->part.size);
}

static void run(Fixture *f) {
        for (int left = 1; left > 0;) {
                const SparkEvent *events;
                size_t n;
                left = spark_engine_step(f->engine, &events, &n);
                CHECK(left >= 0);
                for (size_t i = 0; i < n; i++) {
                        Reply *r = events[i].userdata;
                        if (events[i].type == SPARK_EVENT_TOKEN)
                                r->ids[r->n++] = events[i].id;
                        else
                                CHECK_INT(events[i].finish, SPARK_FINISH_LENGTH);
                }
        }
}

/* n sequences at once, their prompts of n_prompt tokens first. */
static void converse(Fixture *f, unsigned n, uint32_t n_prompt, Reply replies[SEQUENCES]) {
        SparkSequence *s[SEQUENCES] = {};
        for (uint32_t i = 0; i < n; i++) {
                uint32_t ids[PROMPT], x = i + 1;
                for (uint32_t k = 0; k < n_prompt; k++) {
                        x = x * 1664525 + 1013904223;
                        ids[k] = (x >> 8) % f->n_vocab;
                }
                EngineError e = {};
                SparkStart start = { .ids = ids, .n_ids = n_prompt, .max_tokens = REPLY, .sampler = SAMPLER_PARAMS_DEFAULT, .ignore_end = true };
                start.sampler.temperature = 1.0f;
                start.sampler.seed = i;
                replies[i] = (Reply) {};
                CHECK_INT(spark_sequence_new(f->engine, &(SparkSequenceParams) { .userdata = &replies[i] }, &s[i], &e), 0);
                CHECK_INT(spark_sequence_start(s[i], &start, &e), 0);
        }
        run(f);
        for (uint32_t i = 0; i < n; i++)
                spark_sequence_free(s[i]);
}

static const struct {
        unsigned n;
        uint32_t n_prompt;
} works[] = {
        { 1, 2 },               /* few rows: every thread with its own copy of the residual stream */
        { SEQUENCES, 4 },       /* some: rows of weights shared out, tokens sampled by many */
        { 2, PROMPT },          /* many: tokens shared out */
};

static void same_on_threads(const char *name) {
        Reply alone[ELEMENTSOF(works)][SEQUENCES], replies[SEQUENCES];
        Fixture one = {}, many = {};

        open_fixture(&one, name, 1);
        for (size_t i = 0; i < ELEMENTSOF(works); i++)
                converse(&one, works[i].n, works[i].n_prompt, alone[i]);
        close_fixture(&one);

        open_fixture(&many, name, THREADS);
        CHECK_INT(pool_n_threads(many.pool), THREADS);
        for (size_t k = 0; k < ELEMENTSOF(works); k++) {
                converse(&many, works[k].n, works[k].n_prompt, replies);
                for (unsigned j = 0; j < works[k].n; j++) {
                        CHECK_INT(replies[j].n, REPLY);
                        CHECK(memcmp(replies[j].ids, alone[k][j].ids, sizeof replies[j].ids) == 0);
                }
        }
        close_fixture(&many);
}

static void test_dense(void) {
        same_on_threads("llama");
}

static void test_window(void) {
        same_on_threads("gemma3");
}

static void test_whole_norms(void) {
        same_on_threads("olmoe");
}

static void test_shared_expert(void) {
        same_on_threads("llama4");
}

static void test_experts(void) {
        same_on_threads("qwen3moe");
}

TEST_MAIN(
        { "dense layers", test_dense },
        { "layers of a window", test_window },
        { "experts, and norms over all heads", test_whole_norms },
        { "experts, one of them shared", test_shared_expert },
        { "experts", test_experts },
)
