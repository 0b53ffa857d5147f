/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the runtime promises, on a tiny model of random weights: a reply is a function of its seed and input alone
 * (whatever else is in the batch, however many threads, however the prompt is cut, whether its past was computed,
 * shared or forked), and a start that cannot be, a full context and a cancellation touch one reply and nothing else.
 * What a budget does to replies: test-engine-budget.c. */

#include "tests/engine/runtime/replies.h"

static void test_batch(void) {
        enum { N = 40 };
        static Reply alone[3], replies[N];
        uint32_t ids[3][150];
        for (uint32_t k = 0; k < 3; k++) {
                noise(ids[k], 150, k);
                reference(ids[k], 50 + 50 * k, 40, &alone[k]);
                CHECK_INT(alone[k].n, 40);
        }
        CHECK(!same(&alone[0], &alone[1]));

        Fixture f = {};
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 1u << 30 });
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

/* The same start on an engine made otherwise. */
static void check_on(unsigned n_threads, const SparkEngineParams *params, const SparkStart *start, const Reply *expected) {
        static Reply reply;
        Fixture f = {};
        open_fixture(&f, NULL, n_threads, params);
        SparkSequence *s = sequence(f.engine, 0, &reply);
        say(f.engine, s, &reply, start);
        CHECK(same(&reply, expected));
        spark_sequence_free(s);
        close_fixture(&f);
}

static void test_threads(void) {
        static Reply alone;
        uint32_t ids[200];
        noise(ids, 200, 9);
        reference(ids, 200, 30, &alone);
        SparkStart start = start_of(ids, 200, 30);
        for (unsigned n = 2; n <= 5; n++)
                check_on(n, &(SparkEngineParams) { .kv_type = KV_F16 }, &start, &alone);
}

static void test_chunks(void) {
        static Reply alone;
        static const uint32_t chunks[] = { 1, 2, 3, 7, 16, 31, 33, 64, 100 };
        uint32_t ids[200];
        noise(ids, 200, 11);
        reference(ids, 200, 20, &alone);
        SparkStart start = start_of(ids, 200, 20);
        for (size_t i = 0; i < ELEMENTSOF(chunks); i++)
                check_on(2, &(SparkEngineParams) { .kv_type = KV_F16, .chunk = chunks[i] }, &start, &alone);
}

static void test_turns(void) {
        static Reply alone, reply;
        uint32_t ids[400];
        noise(ids, 100, 3);
        reference(ids, 100, 30, &reply);
        memcpy(ids + 100, reply.ids, sizeof *ids * reply.n);
        noise(ids + 130, 50, 4);
        reference(ids, 180, 30, &alone);

        Fixture f = {};
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkSequence *s = sequence(f.engine, 0, &reply);
        SparkStart start = start_of(ids, 100, 30);
        say(f.engine, s, &reply, &start);
        CHECK_INT(reply.usage.n_cached, 0);
        CHECK_INT(spark_sequence_n_tokens(s), 129);     /* the last one chosen was not computed */

        start = start_of(ids, 180, 30);
        say(f.engine, s, &reply, &start);
        CHECK(same(&reply, &alone));
        CHECK_INT(reply.usage.n_prompt, 180);
        CHECK_INT(reply.usage.n_cached, 129);

        /* Back to a prefix of the first prompt, with another end: what follows is given up. */
        ids[70] ^= 1;
        reference(ids, 90, 30, &alone);
        start = start_of(ids, 90, 30);
        say(f.engine, s, &reply, &start);
        CHECK(same(&reply, &alone));
        CHECK_INT(reply.usage.n_cached, 70);

        /* The same again: only the last token is computed. */
        say(f.engine, s, &reply, &start);
        CHECK(same(&reply, &alone));
        CHECK_INT(reply.usage.n_cached, 89);
        spark_sequence_free(s);
        close_fixture(&f);
}

static void test_sharing(void) {
        static Reply alone, a, b, c;
        uint32_t ids[200];
        noise(ids, 200, 5);
        reference(ids, 150, 20, &alone);

        Fixture f = {};
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkStart start = start_of(ids, 150, 20);
        SparkSequence *s = sequence(f.engine, 1, &a);
        say(f.engine, s, &a, &start);

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
        say(f.engine, t, &b, &start);
        CHECK(same(&b, &alone));
        CHECK_INT(b.usage.n_cached, 128);

        /* Eight at once, none computed before: each page is computed once. */
        SparkEngineStats before, after;
        noise(ids, 200, 6);
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
        noise(ids, 120, 21);
        memcpy(other, ids, sizeof ids);
        noise(other + 110, 10, 22);
        reference(ids, 120, 40, &alone_a);
        reference(other, 120, 40, &alone_b);

        Fixture f = {};
        EngineError e = {};
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16 });
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

static void test_cancel(void) {
        static Reply alone, a, b;
        uint32_t ids[300];
        noise(ids, 300, 50);
        reference(ids, 100, 30, &alone);

        Fixture f = {};
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16, .chunk = 16 });
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
        noise(ids, 65, 60);

        Fixture f = {};
        open_fixture(&f, NULL, 1, &(SparkEngineParams) { .kv_type = KV_F16, .n_ctx = 64 });
        CHECK_INT(spark_engine_n_ctx(f.engine), 64);
        SparkSequence *s = sequence(f.engine, 0, &a);
        SparkStart start = start_of(ids, 64, 1);
        CHECK_INT(spark_sequence_start(s, &start, &e), -ENOBUFS);
        CHECK(strstr(e.text, "64"));
        start = start_of(ids, 65, 0);
        CHECK_INT(spark_sequence_start(s, &start, &e), -ENOBUFS);

        start = start_of(ids, 50, UINT32_MAX);
        say(f.engine, s, &a, &start);
        CHECK_INT(a.finish, SPARK_FINISH_CONTEXT);
        CHECK_INT(a.n, 14);
        spark_sequence_free(s);
        close_fixture(&f);
}

static void test_refusals(void) {
        uint32_t bad[] = { TINY_BYTES, 1u << 30 }, good[] = { TINY_BYTES };
        EngineError e = {};
        Fixture f = {};
        open_fixture(&f, NULL, 1, &(SparkEngineParams) { .kv_type = KV_F16 });
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
        open_fixture(&f, NULL, 1, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkSequence *s = sequence(f.engine, 0, &a);
        bool ended = false;
        for (uint32_t seed = 0; seed < 200 && !ended; seed++) {
                uint32_t ids[8];
                noise(ids, 8, seed);
                SparkStart start = start_of(ids, 8, 60);
                start.sampler.seed = seed;
                start.ignore_end = false;
                say(f.engine, s, &a, &start);
                for (size_t i = 0; i < a.n; i++)
                        CHECK(!tokenizer_is_end(spark_model_tokenizer(f.model), a.ids[i]));
                if (a.finish != SPARK_FINISH_STOP)
                        continue;
                ended = true;
                const size_t n = a.n;
                start.ignore_end = true;
                shown = a;
                say(f.engine, s, &a, &start);
                CHECK(a.n == 60 && tokenizer_is_end(spark_model_tokenizer(f.model), a.ids[n]));
                CHECK(memcmp(shown.ids, a.ids, n * sizeof *a.ids) == 0);
        }
        CHECK(ended);
        spark_sequence_free(s);
        close_fixture(&f);
}

/* Background work waits while a prompt of a person is read, and goes on after. */
static void test_priority(void) {
        static Reply back, front;
        uint32_t ids[256];
        noise(ids, 256, 80);
        Fixture f = {};
        EngineError e = {};
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16, .chunk = 32 });
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
        { "cancelling ends one reply", test_cancel },
        { "a full context ends the reply", test_context_full },
        { "bad starts are refused by name", test_refusals },
        { "an end token is never shown", test_end_token },
        { "interactive goes before background", test_priority },
)
