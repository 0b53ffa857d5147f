/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the runtime promises, on a tiny model of random weights: a reply is a function of its seed and input alone
 * (whatever else is in the batch, however many threads, however the prompt is cut, whether its past was computed,
 * shared, forked or taken away and computed again), and every shortage ends one reply and nothing else. */

#include "engine/spark-engine.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/test.h"

#define REPLY_MAX 512

typedef struct Fixture {
        void *file;
        Pool *pool;
        SparkModel *model;
        SparkEngine *engine;
} Fixture;

typedef struct Reply {
        uint32_t ids[REPLY_MAX];
        size_t n;
        bool finished;
        SparkFinish finish;
        SparkUsage usage;
        char text[8192];
        size_t n_text;
} Reply;

static void open_fixture(Fixture *f, unsigned n_threads, const SparkEngineParams *params) {
        EngineError e = {};
        GgufPart part;
        CHECK_INT(tiny_model(NULL, &f->file, &part.size), 0);
        part.data = f->file;
        CHECK_INT(pool_new(n_threads, &f->pool), 0);
        CHECK_INT(spark_model_new(&part, 1, NULL, f->pool, &f->model, &e), 0);
        CHECK_INT(spark_engine_new(f->model, f->pool, params, &f->engine, &e), 0);
}

static void close_fixture(Fixture *f) {
        spark_engine_free(f->engine);
        spark_model_free(f->model);
        pool_free(f->pool);
        free(f->file);
}

static void prompt(uint32_t *ids, size_t n, uint32_t seed) {
        for (size_t i = 0; i < n; i++) {
                seed = seed * 1664525 + 1013904223;
                ids[i] = TINY_BYTES + (seed >> 16) % 256;
        }
}

static SparkStart start_of(const uint32_t *ids, size_t n, uint32_t max_tokens) {
        SamplerParams sampler = SAMPLER_PARAMS_DEFAULT;
        sampler.temperature = 1.0f;
        sampler.seed = 7;
        return (SparkStart) { .ids = ids, .n_ids = n, .max_tokens = max_tokens, .sampler = sampler, .ignore_end = true };
}

static SparkSequence *sequence(SparkEngine *e, uint64_t domain, Reply *reply) {
        SparkSequence *s = NULL;
        EngineError error = {};
        CHECK_INT(spark_sequence_new(e, &(SparkSequenceParams) { .domain = domain, .userdata = reply }, &s, &error), 0);
        return s;
}

static void begin(SparkSequence *s, Reply *reply, const SparkStart *start) {
        EngineError error = {};
        *reply = (Reply) {};
        CHECK_INT(spark_sequence_start(s, start, &error), 0);
}

static int step(SparkEngine *e) {
        const SparkEvent *events;
        size_t n;
        int left = spark_engine_step(e, &events, &n);
        CHECK(left >= 0);
        for (size_t i = 0; i < n; i++) {
                Reply *r = events[i].userdata;
                if (!r)
                        continue;
                CHECK(!r->finished);
                CHECK(r->n_text + events[i].text_size < sizeof r->text);
                memcpy(r->text + r->n_text, events[i].text, events[i].text_size);
                r->n_text += events[i].text_size;
                if (events[i].type == SPARK_EVENT_TOKEN) {
                        CHECK(r->n < REPLY_MAX);
                        r->ids[r->n++] = events[i].id;
                } else {
                        r->finished = true;
                        r->finish = events[i].finish;
                        r->usage = events[i].usage;
                }
        }
        return left;
}

static void run(SparkEngine *e) {
        while (step(e) > 0)
                ;
}

/* The reply that all others are measured against: alone, one thread, whole prompt at once, nothing guessed. */
static void reference(const uint32_t *ids, size_t n, uint32_t max_tokens, Reply *ret) {
        Fixture f = {};
        open_fixture(&f, 1, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkSequence *s = sequence(f.engine, 0, ret);
        SparkStart start = start_of(ids, n, max_tokens);
        start.no_drafts = true;
        begin(s, ret, &start);
        run(f.engine);
        spark_sequence_free(s);
        close_fixture(&f);
        CHECK(ret->finished);
}

static bool same(const Reply *a, const Reply *b) {
        return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0 && a->finish == b->finish &&
               a->n_text == b->n_text && memcmp(a->text, b->text, a->n_text) == 0;
}

static void test_batch(void) {
        enum { N = 40 };
        static Reply alone[3], replies[N];
        uint32_t ids[3][150];
        for (uint32_t k = 0; k < 3; k++) {
                prompt(ids[k], 150, k);
                reference(ids[k], 50 + 50 * k, 40, &alone[k]);
                CHECK_INT(alone[k].n, 40);
        }
        CHECK(!same(&alone[0], &alone[1]));

        Fixture f = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 1u << 30 });
        SparkSequence *s[N];
        for (uint32_t i = 0; i < N; i++) {
                SparkStart start = start_of(ids[i % 3], 50 + 50 * (i % 3), 40);
                s[i] = sequence(f.engine, i % 5, &replies[i]);
                begin(s[i], &replies[i], &start);
                if (i % 4 == 3)
                        step(f.engine);
        }
        run(f.engine);
        for (uint32_t i = 0; i < N; i++) {
                CHECK(same(&replies[i], &alone[i % 3]));
                spark_sequence_free(s[i]);
        }
        close_fixture(&f);
}

static void test_threads(void) {
        static Reply alone, reply;
        uint32_t ids[200];
        prompt(ids, 200, 9);
        reference(ids, 200, 30, &alone);
        for (unsigned n = 2; n <= 5; n++) {
                Fixture f = {};
                open_fixture(&f, n, &(SparkEngineParams) { .kv_type = KV_F16 });
                SparkSequence *s = sequence(f.engine, 0, &reply);
                SparkStart start = start_of(ids, 200, 30);
                begin(s, &reply, &start);
                run(f.engine);
                CHECK(same(&reply, &alone));
                spark_sequence_free(s);
                close_fixture(&f);
        }
}

static void test_chunks(void) {
        static Reply alone, reply;
        static const uint32_t chunks[] = { 1, 2, 3, 7, 16, 31, 33, 64, 100 };
        uint32_t ids[200];
        prompt(ids, 200, 11);
        reference(ids, 200, 20, &alone);
        for (size_t i = 0; i < ELEMENTSOF(chunks); i++) {
                Fixture f = {};
                open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16, .chunk = chunks[i] });
                SparkSequence *s = sequence(f.engine, 0, &reply);
                SparkStart start = start_of(ids, 200, 20);
                begin(s, &reply, &start);
                run(f.engine);
                CHECK(same(&reply, &alone));
                spark_sequence_free(s);
                close_fixture(&f);
        }
}

static void test_turns(void) {
        static Reply alone, reply;
        uint32_t ids[400];
        prompt(ids, 100, 3);
        reference(ids, 100, 30, &reply);
        memcpy(ids + 100, reply.ids, sizeof *ids * reply.n);
        prompt(ids + 130, 50, 4);
        reference(ids, 180, 30, &alone);

        Fixture f = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkSequence *s = sequence(f.engine, 0, &reply);
        SparkStart start = start_of(ids, 100, 30);
        begin(s, &reply, &start);
        run(f.engine);
        CHECK_INT(reply.usage.n_cached, 0);
        CHECK_INT(spark_sequence_n_tokens(s), 129);     /* the last one chosen was not computed */

        start = start_of(ids, 180, 30);
        begin(s, &reply, &start);
        run(f.engine);
        CHECK(same(&reply, &alone));
        CHECK_INT(reply.usage.n_prompt, 180);
        CHECK_INT(reply.usage.n_cached, 129);

        /* Back to a prefix of the first prompt, with another end: what follows is given up. */
        ids[70] ^= 1;
        reference(ids, 90, 30, &alone);
        start = start_of(ids, 90, 30);
        begin(s, &reply, &start);
        run(f.engine);
        CHECK(same(&reply, &alone));
        CHECK_INT(reply.usage.n_cached, 70);

        /* The same again: only the last token is computed. */
        begin(s, &reply, &start);
        run(f.engine);
        CHECK(same(&reply, &alone));
        CHECK_INT(reply.usage.n_cached, 89);
        spark_sequence_free(s);
        close_fixture(&f);
}

static void test_sharing(void) {
        static Reply alone, a, b, c;
        uint32_t ids[200];
        prompt(ids, 200, 5);
        reference(ids, 150, 20, &alone);

        Fixture f = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkStart start = start_of(ids, 150, 20);
        SparkSequence *s = sequence(f.engine, 1, &a);
        begin(s, &a, &start);
        run(f.engine);

        /* Same domain: whole pages are taken; another, or none: nothing. */
        SparkSequence *t = sequence(f.engine, 1, &b), *u = sequence(f.engine, 2, &c), *v = sequence(f.engine, 0, NULL);
        begin(t, &b, &start);
        begin(u, &c, &start);
        run(f.engine);
        CHECK(same(&a, &alone) && same(&b, &alone) && same(&c, &alone));
        CHECK_INT(a.usage.n_cached, 0);
        CHECK_INT(b.usage.n_cached, 150 / KV_PAGE_TOKENS * KV_PAGE_TOKENS);
        CHECK_INT(c.usage.n_cached, 0);

        /* Pages outlive their sequence. */
        spark_sequence_free(s);
        spark_sequence_free(t);
        t = sequence(f.engine, 1, &b);
        begin(t, &b, &start);
        run(f.engine);
        CHECK(same(&b, &alone));
        CHECK_INT(b.usage.n_cached, 128);

        /* Eight at once, none computed before: each page is computed once. */
        SparkEngineStats before, after;
        prompt(ids, 200, 6);
        start = start_of(ids, 150, 5);
        spark_engine_stats(f.engine, &before);
        static Reply many[8];
        SparkSequence *w[8];
        for (size_t i = 0; i < 8; i++) {
                w[i] = sequence(f.engine, 9, &many[i]);
                begin(w[i], &many[i], &start);
        }
        run(f.engine);
        spark_engine_stats(f.engine, &after);
        for (size_t i = 0; i < 8; i++) {
                CHECK(same(&many[i], &many[0]));
                spark_sequence_free(w[i]);
        }
        CHECK(after.tokens_prefilled - before.tokens_prefilled <= 128 + 8 * (150 - 128));
        spark_sequence_free(t);
        spark_sequence_free(u);
        spark_sequence_free(v);
        close_fixture(&f);
}

static void test_fork(void) {
        static Reply alone_a, alone_b, a, b;
        uint32_t ids[120], other[120];
        prompt(ids, 120, 21);
        memcpy(other, ids, sizeof ids);
        prompt(other + 110, 10, 22);
        reference(ids, 120, 40, &alone_a);
        reference(other, 120, 40, &alone_b);

        Fixture f = {};
        EngineError e = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkSequence *s = sequence(f.engine, 0, &a), *t = NULL;
        SparkStart read = start_of(ids, 110, 0);
        begin(s, &a, &read);
        CHECK(spark_sequence_fork(s, &b, &t, &e) == -EBUSY);
        run(f.engine);
        CHECK(a.finished && a.n == 0);
        CHECK_INT(spark_sequence_n_tokens(s), 110);
        CHECK_INT(spark_sequence_fork(s, &b, &t, &e), 0);

        /* Both write to the page that they share in part. */
        SparkStart start_a = start_of(ids, 120, 40), start_b = start_of(other, 120, 40);
        begin(s, &a, &start_a);
        begin(t, &b, &start_b);
        run(f.engine);
        CHECK(same(&a, &alone_a) && same(&b, &alone_b));
        CHECK_INT(a.usage.n_cached, 110);
        CHECK_INT(b.usage.n_cached, 110);
        spark_sequence_free(s);
        spark_sequence_free(t);
        close_fixture(&f);
}

static uint64_t page_bytes(void) {
        Fixture f = {};
        open_fixture(&f, 1, &(SparkEngineParams) { .kv_type = KV_F16 });
        uint32_t id = TINY_BYTES;
        SparkSequence *s = sequence(f.engine, 0, NULL);
        EngineError e = {};
        SparkStart start = start_of(&id, 1, 0);
        CHECK_INT(spark_sequence_start(s, &start, &e), 0);
        run(f.engine);
        SparkEngineStats stats;
        spark_engine_stats(f.engine, &stats);
        spark_sequence_free(s);
        close_fixture(&f);
        return stats.kv_bytes;
}

/* Room for one sequence: each turn of one takes the other's pages away, and both go on as if nothing had happened. */
static void test_eviction(void) {
        static Reply alone[2], reply[2];
        uint32_t ids[2][200];
        Fixture f = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 6 * page_bytes() });
        SparkSequence *s[2];
        for (uint32_t k = 0; k < 2; k++) {
                prompt(ids[k], 200, 30 + k);
                reference(ids[k], 150, 20, &alone[k]);
                s[k] = sequence(f.engine, 0, &reply[k]);
        }
        for (int turn = 0; turn < 3; turn++)
                for (uint32_t k = 0; k < 2; k++) {
                        SparkStart start = start_of(ids[k], 150, 20);
                        begin(s[k], &reply[k], &start);
                        run(f.engine);
                        CHECK(same(&reply[k], &alone[k]));
                }
        SparkEngineStats stats;
        spark_engine_stats(f.engine, &stats);
        CHECK(stats.evictions > 0);
        CHECK(stats.kv_bytes <= stats.kv_budget);

        /* Both at once: the later one waits for, or gives way to, the earlier. */
        for (uint32_t k = 0; k < 2; k++) {
                SparkStart start = start_of(ids[k], 150, 20);
                begin(s[k], &reply[k], &start);
        }
        run(f.engine);
        for (uint32_t k = 0; k < 2; k++)
                CHECK(same(&reply[k], &alone[k]));

        /* Short prompts that grow until they do not fit together. */
        static Reply grown[2];
        for (uint32_t k = 0; k < 2; k++) {
                reference(ids[k], 10, 120, &grown[k]);
                SparkStart start = start_of(ids[k], 10, 120);
                begin(s[k], &reply[k], &start);
        }
        run(f.engine);
        for (uint32_t k = 0; k < 2; k++) {
                CHECK(same(&reply[k], &grown[k]));
                spark_sequence_free(s[k]);
        }
        close_fixture(&f);
}

static void test_exhausted(void) {
        static Reply alone, a, b;
        uint32_t ids[200];
        prompt(ids, 200, 40);
        reference(ids, 60, 20, &alone);

        Fixture f = {};
        open_fixture(&f, 1, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 3 * page_bytes() });
        SparkSequence *s = sequence(f.engine, 0, &a), *t = sequence(f.engine, 0, &b);
        SparkStart large = start_of(ids, 200, 20), small = start_of(ids, 60, 20);
        begin(s, &a, &large);
        begin(t, &b, &small);
        run(f.engine);
        CHECK_INT(a.finish, SPARK_FINISH_NO_MEMORY);
        CHECK(same(&b, &alone));

        /* Text that outgrows the budget says what it could. */
        SparkStart endless = start_of(ids, 60, 200);
        begin(t, &b, &endless);
        run(f.engine);
        CHECK_INT(b.finish, SPARK_FINISH_NO_MEMORY);
        CHECK(b.n >= 20 && memcmp(b.ids, alone.ids, 20 * sizeof *b.ids) == 0);
        spark_sequence_free(s);
        spark_sequence_free(t);
        close_fixture(&f);
}

/* Two prompts in one step, of which the first takes all the room: the second waits, and is not told that there is none. */
static void test_room_for_one(void) {
        static Reply alone[2], reply[2];
        uint32_t ids[2][100];
        Fixture f = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 4 * page_bytes() });
        SparkSequence *s[2];
        for (uint32_t k = 0; k < 2; k++) {
                prompt(ids[k], 100, 80 + k);
                reference(ids[k], 100, 20, &alone[k]);
                s[k] = sequence(f.engine, 0, &reply[k]);
        }
        for (uint32_t k = 0; k < 2; k++) {
                SparkStart start = start_of(ids[k], 100, 20);
                begin(s[k], &reply[k], &start);
        }
        run(f.engine);
        for (uint32_t k = 0; k < 2; k++) {
                CHECK(same(&reply[k], &alone[k]));
                spark_sequence_free(s[k]);
        }
        close_fixture(&f);
}

static void test_cancel(void) {
        static Reply alone, a, b;
        uint32_t ids[300];
        prompt(ids, 300, 50);
        reference(ids, 100, 30, &alone);

        Fixture f = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16, .chunk = 16 });
        SparkSequence *s = sequence(f.engine, 0, &a), *t = sequence(f.engine, 0, &b);
        spark_sequence_cancel(s);                       /* idle: nothing */
        SparkStart start = start_of(ids, 100, 30), longer = start_of(ids, 300, 30);
        begin(s, &a, &start);
        begin(t, &b, &longer);
        for (int i = 0; i < 12; i++)
                step(f.engine);
        CHECK(!b.finished);
        spark_sequence_cancel(t);
        step(f.engine);
        CHECK(b.finished && b.finish == SPARK_FINISH_CANCELLED);
        run(f.engine);
        CHECK(same(&a, &alone));

        /* Freed while it runs; the other goes on. */
        begin(s, &a, &start);
        begin(t, &b, &longer);
        step(f.engine);
        spark_sequence_free(t);
        run(f.engine);
        CHECK(same(&a, &alone));
        spark_sequence_free(s);
        close_fixture(&f);
}

static void test_context_full(void) {
        static Reply a;
        uint32_t ids[65];
        EngineError e = {};
        prompt(ids, 65, 60);

        Fixture f = {};
        open_fixture(&f, 1, &(SparkEngineParams) { .kv_type = KV_F16, .n_ctx = 64 });
        CHECK_INT(spark_engine_n_ctx(f.engine), 64);
        SparkSequence *s = sequence(f.engine, 0, &a);
        SparkStart start = start_of(ids, 64, 1);
        CHECK_INT(spark_sequence_start(s, &start, &e), -ENOBUFS);
        CHECK(strstr(e.text, "64"));
        start = start_of(ids, 65, 0);
        CHECK_INT(spark_sequence_start(s, &start, &e), -ENOBUFS);

        start = start_of(ids, 50, UINT32_MAX);
        begin(s, &a, &start);
        run(f.engine);
        CHECK_INT(a.finish, SPARK_FINISH_CONTEXT);
        CHECK_INT(a.n, 14);
        spark_sequence_free(s);
        close_fixture(&f);
}

static void test_refusals(void) {
        uint32_t bad[] = { TINY_BYTES, 1u << 30 }, good[] = { TINY_BYTES };
        EngineError e = {};
        Fixture f = {};
        open_fixture(&f, 1, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkSequence *s = sequence(f.engine, 0, NULL);

        SparkStart start = start_of(bad, 2, 1);
        CHECK_INT(spark_sequence_start(s, &start, &e), -EINVAL);
        CHECK(strstr(e.text, "1073741824"));
        start = start_of(good, 0, 1);
        CHECK_INT(spark_sequence_start(s, &start, &e), -EINVAL);
        start = start_of(good, 1, 1);
        start.sampler.top_p = 2.0f;
        CHECK_INT(spark_sequence_start(s, &start, &e), -EINVAL);
        start = start_of(good, 1, 1);
        CHECK_INT(spark_sequence_start(s, &start, &e), 0);
        CHECK_INT(spark_sequence_start(s, &start, &e), -EBUSY);
        run(f.engine);

        SparkEngine *other = NULL;
        CHECK_INT(spark_engine_new(f.model, f.pool, &(SparkEngineParams) { .n_ctx = 1u << 30 }, &other, &e), -ERANGE);
        spark_sequence_free(s);
        close_fixture(&f);
}

static void test_end_token(void) {
        /* Greedy from many starts until one ends by itself: the end token is neither shown nor counted. */
        static Reply shown, a;
        Fixture f = {};
        open_fixture(&f, 1, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkSequence *s = sequence(f.engine, 0, &a);
        bool ended = false;
        for (uint32_t seed = 0; seed < 200 && !ended; seed++) {
                uint32_t ids[8];
                prompt(ids, 8, seed);
                SparkStart start = start_of(ids, 8, 60);
                start.sampler.seed = seed;
                start.ignore_end = false;
                begin(s, &a, &start);
                run(f.engine);
                for (size_t i = 0; i < a.n; i++)
                        CHECK(!tokenizer_is_end(spark_model_tokenizer(f.model), a.ids[i]));
                if (a.finish != SPARK_FINISH_STOP)
                        continue;
                ended = true;
                const size_t n = a.n;
                start.ignore_end = true;
                shown = a;
                begin(s, &a, &start);
                run(f.engine);
                CHECK(a.n == 60 && tokenizer_is_end(spark_model_tokenizer(f.model), a.ids[n]));
                CHECK(memcmp(shown.ids, a.ids, n * sizeof *a.ids) == 0);
        }
        CHECK(ended);
        spark_sequence_free(s);
        close_fixture(&f);
}

static void test_many(void) {
        static Reply replies[1000], alone;
        static SparkSequence *s[1000];
        uint32_t ids[40];
        prompt(ids, 40, 70);
        reference(ids, 40, 3, &alone);

        Fixture f = {};
        EngineError e = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 200 * page_bytes() });
        SparkStart start = start_of(ids, 40, 3);
        for (size_t i = 0; i < 1000; i++) {
                s[i] = sequence(f.engine, i % 2 ? i : 0, &replies[i]);
                begin(s[i], &replies[i], &start);
        }
        run(f.engine);
        for (size_t i = 0; i < 1000; i++)
                CHECK(same(&replies[i], &alone));
        SparkSequence *rest[24];
        for (size_t i = 0; i < 24; i++)
                rest[i] = sequence(f.engine, 0, NULL);
        SparkSequence *more = NULL;
        CHECK_INT(spark_sequence_new(f.engine, &(SparkSequenceParams) {}, &more, &e), -EMFILE);
        SparkEngineStats stats;
        spark_engine_stats(f.engine, &stats);
        CHECK_INT(stats.n_sequences, SPARK_SEQUENCES_MAX);
        CHECK_INT(stats.n_running, 0);
        for (size_t i = 0; i < 1000; i++)
                spark_sequence_free(s[i]);
        spark_engine_stats(f.engine, &stats);
        CHECK_INT(stats.n_sequences, 24);
        for (size_t i = 0; i < 24; i++)
                spark_sequence_free(rest[i]);
        close_fixture(&f);
}

/* Background work waits while a prompt of a person is read, and goes on after. */
static void test_priority(void) {
        static Reply back, front;
        uint32_t ids[256];
        prompt(ids, 256, 80);
        Fixture f = {};
        EngineError e = {};
        open_fixture(&f, 2, &(SparkEngineParams) { .kv_type = KV_F16, .chunk = 32 });
        SparkSequence *b = NULL, *s = sequence(f.engine, 0, &front);
        CHECK_INT(spark_sequence_new(f.engine, &(SparkSequenceParams) { .background = true, .userdata = &back }, &b, &e), 0);
        SparkStart start = start_of(ids, 256, 1);
        begin(b, &back, &start);
        begin(s, &front, &start);
        while (!front.finished)
                CHECK(step(f.engine) > 0);
        CHECK(!back.finished);
        CHECK_INT(spark_sequence_n_tokens(b), 0);
        run(f.engine);
        CHECK(back.finished && back.n == 1 && back.ids[0] == front.ids[0]);
        spark_sequence_free(b);
        spark_sequence_free(s);
        close_fixture(&f);
}

TEST_MAIN(
        { "a reply is the same alone and among forty", test_batch },
        { "a reply is the same on any number of threads", test_threads },
        { "a reply is the same however its prompt is cut", test_chunks },
        { "a later turn computes only what is new", test_turns },
        { "prefixes are shared inside a domain, and nowhere else", test_sharing },
        { "a fork's past is shared until it writes", test_fork },
        { "what was evicted is computed again", test_eviction },
        { "two prompts in one step, room for one", test_room_for_one },
        { "an exhausted budget ends one reply", test_exhausted },
        { "cancelling ends one reply", test_cancel },
        { "a full context ends the reply", test_context_full },
        { "bad starts are refused by name", test_refusals },
        { "an end token is never shown", test_end_token },
        { "a thousand sequences", test_many },
        { "interactive goes before background", test_priority },
)
