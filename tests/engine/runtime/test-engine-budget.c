/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What shortage may do to a reply, on a tiny model of random weights: keep it waiting, have its past taken away and
 * computed again, or end it, and no other. What it says is what it says alone. */

#include "tests/engine/runtime/replies.h"

static uint64_t page_bytes(void) {
        Fixture f = {};
        open_fixture(&f, NULL, 1, &(SparkEngineParams) { .kv_type = KV_F16 });
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
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 6 * page_bytes() });
        SparkSequence *s[2];
        for (uint32_t k = 0; k < 2; k++) {
                noise(ids[k], 200, 30 + k);
                reference(ids[k], 150, 20, &alone[k]);
                s[k] = sequence(f.engine, 0, &reply[k]);
        }
        for (int turn = 0; turn < 3; turn++)
                for (uint32_t k = 0; k < 2; k++) {
                        SparkStart start = start_of(ids[k], 150, 20);
                        say(f.engine, s[k], &reply[k], &start);
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
        noise(ids, 200, 40);
        reference(ids, 60, 20, &alone);

        Fixture f = {};
        open_fixture(&f, NULL, 1, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 3 * page_bytes() });
        SparkSequence *s = sequence(f.engine, 0, &a), *t = sequence(f.engine, 0, &b);
        SparkStart large = start_of(ids, 200, 20), small = start_of(ids, 60, 20);
        begin(s, &a, &large);
        begin(t, &b, &small);
        run(f.engine);
        CHECK_INT(a.finish, SPARK_FINISH_NO_MEMORY);
        CHECK(same(&b, &alone));

        /* Text that outgrows the budget says what it could. */
        SparkStart endless = start_of(ids, 60, 200);
        say(f.engine, t, &b, &endless);
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
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 4 * page_bytes() });
        SparkSequence *s[2];
        for (uint32_t k = 0; k < 2; k++) {
                noise(ids[k], 100, 80 + k);
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

static void test_many(void) {
        static Reply replies[1000], alone;
        static SparkSequence *s[1000];
        uint32_t ids[40];
        noise(ids, 40, 70);
        reference(ids, 40, 3, &alone);

        Fixture f = {};
        EngineError e = {};
        open_fixture(&f, NULL, 2, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = 200 * page_bytes() });
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

TEST_MAIN(
        { "what was evicted is computed again", test_eviction },
        { "two prompts in one step, room for one", test_room_for_one },
        { "an exhausted budget ends one reply", test_exhausted },
        { "a thousand sequences", test_many },
)
