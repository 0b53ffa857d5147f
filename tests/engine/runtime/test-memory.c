/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every allocation of the engine fails once, one after another: what asked for it says so, nothing else is lost, and
 * with memory back the same reply comes as ever. */

#include "engine/spark-engine.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/test.h"

#define FAIL_MAX 100000

static long countdown = -1;             /* allocations until the one that fails; -1: none does */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

static bool fails(void) {
        return countdown >= 0 && countdown-- == 0;
}

void *__wrap_malloc(size_t size) {
        return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
        return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size) {
        return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size) {
        return fails() ? NULL : __real_aligned_alloc(align, size);
}

typedef struct Reply {
        uint32_t ids[64];
        size_t n;
        SparkFinish finish;
} Reply;

static uint32_t ids[100];

static void take(const SparkEvent *events, size_t n, Reply *reply) {
        for (size_t i = 0; i < n; i++)
                if (events[i].type == SPARK_EVENT_TOKEN)
                        reply->ids[reply->n++] = events[i].id;
                else
                        reply->finish = events[i].finish;
}

/* 0, or the first error. A reply cut short is -ENOMEM. */
static int say(SparkEngine *e, SparkSequence *s, Reply *reply) {
        EngineError error = {};
        *reply = (Reply) {};
        int r = spark_sequence_start(s, &(SparkStart) { .ids = ids, .n_ids = 100, .max_tokens = 40, .ignore_end = true,
                                                        .sampler = SAMPLER_PARAMS_DEFAULT }, &error);
        if (r < 0)
                return r;
        do {
                const SparkEvent *events;
                size_t n;
                r = spark_engine_step(e, &events, &n);
                take(events, n, reply);
        } while (r > 0);
        return r < 0 ? r : reply->finish == SPARK_FINISH_NO_MEMORY ? -ENOMEM : 0;
}

/* Says it; where that fails, says it again, which must not: the one allocation has failed already. */
static int insist(SparkEngine *e, SparkSequence *s, Reply *reply, int *first) {
        int r = say(e, s, reply);
        if (r < 0 && *first == 0) {
                *first = r;
                r = say(e, s, reply);
        }
        return r;
}

static int converse(SparkModel *m, Pool *pool, Reply *ret) {
        _cleanup_(spark_engine_freep) SparkEngine *e = NULL;
        _cleanup_(spark_sequence_freep) SparkSequence *s = NULL, *fork = NULL;
        EngineError error = {};
        Reply reply;
        int r, first = 0;

        if ((r = spark_engine_new(m, pool, &(SparkEngineParams) { .kv_type = KV_F16 }, &e, &error)) < 0 ||
            (r = spark_sequence_new(e, &(SparkSequenceParams) { .domain = 1 }, &s, &error)) < 0)
                return r;
        for (int i = 0; i < 2; i++)
                if (insist(e, s, &reply, &first) < 0)
                        return -EIO;
        r = spark_sequence_fork(s, NULL, &fork, &error);
        if (r < 0) {
                if (first < 0 || spark_sequence_fork(s, NULL, &fork, &error) < 0)
                        return -EIO;
                first = r;
        }
        if (insist(e, fork, &reply, &first) < 0)
                return -EIO;
        *ret = reply;
        return first;
}

static void test_runtime(void) {
        EngineError e = {};
        _cleanup_free_ void *file = NULL;
        _cleanup_(pool_freep) Pool *pool = NULL;
        _cleanup_(spark_model_freep) SparkModel *m = NULL;
        GgufPart part;
        CHECK_INT(tiny_model(NULL, &file, &part.size), 0);
        part.data = file;
        CHECK_INT(pool_new(1, &pool), 0);
        CHECK_INT(spark_model_new(&part, 1, NULL, pool, &m, &e), 0);
        for (uint32_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = TINY_BYTES + i * 7 % 256;

        static Reply expected, reply;
        CHECK_INT(converse(m, pool, &expected), 0);
        CHECK_INT(expected.n, 40);

        long n = 0;
        for (;; n++) {
                CHECK(n < FAIL_MAX);
                countdown = n;
                int r = converse(m, pool, &reply);
                const bool failed = countdown < 0;
                countdown = -1;
                if (!failed) {
                        CHECK_INT(r, 0);
                        break;
                }
                /* A page that is not to be had may be had by giving up another one: then nothing is noticed. */
                CHECK(r == 0 || r == -ENOMEM);
                if (reply.n > 0)
                        CHECK(reply.n == expected.n && memcmp(reply.ids, expected.ids, sizeof *ids * reply.n) == 0);
        }
        printf("# %ld allocations failed in turn\n", n);
        CHECK(n > 10);
}

static void test_model(void) {
        EngineError e = {};
        _cleanup_free_ void *file = NULL;
        _cleanup_(pool_freep) Pool *pool = NULL;
        GgufPart part;
        CHECK_INT(tiny_model(&(TinyModel) { .n_layers = 1 }, &file, &part.size), 0);
        part.data = file;
        CHECK_INT(pool_new(1, &pool), 0);

        long n = 0;
        for (;; n++) {
                _cleanup_(spark_model_freep) SparkModel *m = NULL;
                CHECK(n < FAIL_MAX);
                countdown = n;
                int r = spark_model_new(&part, 1, "scalar", pool, &m, &e);
                const bool failed = countdown < 0;
                countdown = -1;
                if (r < 0)
                        CHECK_INT(r, -ENOMEM);
                else if (!failed)
                        break;
        }
        printf("# %ld allocations failed in turn\n", n);
        CHECK(n > 10);
}

TEST_MAIN(
        { "replies: no allocation is indispensable for the next try", test_runtime },
        { "loading: every allocation that fails is an error that says so", test_model },
)
