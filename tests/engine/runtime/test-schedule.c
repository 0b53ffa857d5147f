/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who has rows of a step, counted in steps and not in time: background work waits for interactive work, and an app that
 * has much running neither keeps another's first token back nor is itself brought to a stand. */

#include "engine/runtime/runtime.h"
#include "tests/engine/runtime/fixture.h"

#define CHUNK 32u
#define CROWD 8u
#define PROMPT_MAX 400u

typedef struct Line {
        SparkSequence *sequence;
        unsigned n_tokens;
        bool finished;
} Line;

static void open_engine(Fixture *f) {
        open_fixture(f, &(TinyModel) { .n_layers = 1 }, 1, &(SparkEngineParams) { .kv_type = KV_F16, .chunk = CHUNK, .kv_budget = 1u << 28 });
}

static void begin(Fixture *f, Line *l, uint64_t domain, bool background, uint32_t n_prompt, uint32_t max_tokens, uint32_t seed) {
        uint32_t ids[PROMPT_MAX];
        EngineError e = {};
        noise(ids, n_prompt, seed);
        *l = (Line) {};
        CHECK_INT(spark_sequence_new(f->engine, &(SparkSequenceParams) { .domain = domain, .background = background, .userdata = l }, &l->sequence, &e), 0);
        CHECK_INT(spark_sequence_start(l->sequence, &(SparkStart) { .ids = ids, .n_ids = n_prompt, .max_tokens = max_tokens, .ignore_end = true,
                                                                    .no_drafts = true, .sampler = SAMPLER_PARAMS_DEFAULT }, &e), 0);
}

static int step(Fixture *f) {
        const SparkEvent *events;
        size_t n;
        int left = spark_engine_step(f->engine, &events, &n);
        CHECK(left >= 0);
        for (size_t i = 0; i < n; i++) {
                Line *l = events[i].userdata;
                if (events[i].type == SPARK_EVENT_TOKEN)
                        l->n_tokens++;
                else
                        l->finished = true;
        }
        return left;
}

static void end(Line *lines, size_t n) {
        for (size_t i = 0; i < n; i++)
                spark_sequence_free(lines[i].sequence);
}

/* What is shared is time, which this test has not to do with: as if every step were as long as any other. */
static void even_steps(Fixture *f, unsigned n_steps) {
        f->engine->mixed_chunk = 4;
        f->engine->decode_us = 0;
        f->engine->favour_debt_us = n_steps % 3 == 2;
}

static void test_background(void) {
        Fixture f = {};
        Line back, front;
        open_engine(&f);
        begin(&f, &back, 1, true, 20, 200, 1);
        while (back.n_tokens < 5)
                step(&f);

        /* It has no row from the next step on, until the other's last token. */
        begin(&f, &front, 1, false, 100, 30, 2);
        const unsigned n = back.n_tokens;
        while (!front.finished)
                CHECK(step(&f) > 0);
        CHECK_INT(front.n_tokens, 30);
        CHECK_INT(back.n_tokens, n);
        while (!back.finished)
                step(&f);
        CHECK_INT(back.n_tokens, 200);

        /* A sequence may change its kind between turns. */
        CHECK_INT(step(&f), 0);
        end(&front, 1);
        begin(&f, &front, 1, true, 20, 10, 3);
        spark_sequence_set_background(front.sequence, false);
        CHECK(!front.sequence->params.background);
        end(&back, 1);
        end(&front, 1);
        close_fixture(&f);
}

/* One that is held has no row, and nobody waits for it; then it says what it would have said. */
static void test_held(void) {
        Fixture f;
        Line line[2];

        open_engine(&f);
        begin(&f, &line[0], 1, false, 40, 20, 1);
        begin(&f, &line[1], 2, false, 40, 20, 2);
        while (line[0].n_tokens < 5)
                step(&f);
        const unsigned n = line[0].n_tokens;
        spark_sequence_hold(line[0].sequence, true);
        while (step(&f))
                ;
        CHECK(line[1].finished);
        CHECK_INT(line[0].n_tokens, n);
        CHECK_INT(step(&f), 0);

        spark_sequence_hold(line[0].sequence, false);
        while (step(&f))
                ;
        CHECK(line[0].finished);
        CHECK_INT(line[0].n_tokens, 20);

        end(line, 2);
        begin(&f, &line[0], 1, false, 40, 20, 1);
        begin(&f, &line[1], 2, false, 40, 20, 3);
        spark_sequence_hold(line[1].sequence, true);
        spark_sequence_cancel(line[1].sequence);
        while (step(&f))
                ;
        CHECK(line[1].finished);
        CHECK_INT(line[1].n_tokens, 0);
        end(line, 2);
        close_fixture(&f);
}

/* One app has many replies under way. Another's prompt is read alone in two steps of three, and the many have each of
 * the others. */
static void test_crowd(void) {
        Fixture f = {};
        Line crowd[CROWD], one;
        open_engine(&f);
        for (uint32_t i = 0; i < CROWD; i++)
                begin(&f, &crowd[i], 1, false, 10, 450, i);
        while (crowd[CROWD - 1].n_tokens < 2)
                step(&f);

        begin(&f, &one, 2, false, 160, 1, 99);
        unsigned n_steps = 0, before[CROWD];
        for (uint32_t i = 0; i < CROWD; i++)
                before[i] = crowd[i].n_tokens;
        for (; !one.finished; n_steps++) {
                even_steps(&f, n_steps);
                CHECK(step(&f) > 0);
        }
        CHECK_INT(n_steps, 160 / CHUNK * 3 / 2);
        for (uint32_t i = 0; i < CROWD; i++) {
                CHECK_INT(crowd[i].n_tokens - before[i], n_steps / 3);
        }
        end(&one, 1);

        /* The app's own next prompt is none of a newcomer's: all of its rows go on. */
        begin(&f, &one, 1, false, 60, 1, 98);
        for (uint32_t i = 0; i < CROWD; i++)
                before[i] = crowd[i].n_tokens;
        for (n_steps = 0; !one.finished; n_steps++)
                CHECK(step(&f) > 0);
        for (uint32_t i = 0; i < CROWD; i++)
                CHECK_INT(crowd[i].n_tokens - before[i], n_steps);
        end(crowd, CROWD);
        end(&one, 1);
        close_fixture(&f);
}

/* The time is kept account of, and what is owed has an end. */
static void test_debt(void) {
        Fixture f = {};
        open_engine(&f);
        SparkEngine *e = f.engine;
        e->crowded = e->favours = true;
        schedule_learn(e, 30000);
        schedule_learn(e, 10000);
        CHECK_INT(e->favour_debt_us, 40000);
        e->favours = false;
        schedule_learn(e, 15000);
        CHECK_INT(e->favour_debt_us, 10000);
        schedule_learn(e, 15000);
        CHECK_INT(e->favour_debt_us, -20000);
        for (int i = 0; i < 100; i++)
                schedule_learn(e, 15000);
        CHECK_INT(e->favour_debt_us, -100000);
        e->crowded = false;
        schedule_learn(e, 15000);
        CHECK_INT(e->favour_debt_us, -100000);
        close_fixture(&f);
}

/* A reply or two of an app are never left out of a step. */
static void test_undisturbed(void) {
        Fixture f = {};
        Line few[2], one;
        open_engine(&f);
        for (uint32_t i = 0; i < 2; i++)
                begin(&f, &few[i], 1, false, 10, 450, i);
        while (few[1].n_tokens < 2)
                step(&f);
        begin(&f, &one, 2, false, 160, 1, 99);
        const unsigned before[] = { few[0].n_tokens, few[1].n_tokens };
        unsigned n_steps = 0;
        for (; !one.finished; n_steps++)
                CHECK(step(&f) > 0);
        for (uint32_t i = 0; i < 2; i++)
                CHECK_INT(few[i].n_tokens - before[i], n_steps);
        end(few, 2);
        end(&one, 1);
        close_fixture(&f);
}

/* Many prompts of one app wait: another's comes in between, and takes two of three steps. */
static void test_prompts(void) {
        Fixture f = {};
        Line crowd[CROWD], one;
        unsigned n_steps = 0;
        open_engine(&f);
        for (uint32_t i = 0; i < CROWD; i++)
                begin(&f, &crowd[i], 1, false, 320, 1, i);
        step(&f);
        begin(&f, &one, 2, false, 4 * CHUNK, 1, 99);
        const uint64_t prefilled = f.engine->tokens_prefilled;
        for (; !one.finished; n_steps++)
                CHECK(step(&f) > 0);
        printf("# %u steps, in which the others had %llu tokens\n", n_steps,
               (unsigned long long) (f.engine->tokens_prefilled - prefilled - 4 * CHUNK));
        CHECK(n_steps >= 4 && n_steps <= 6);
        CHECK(f.engine->tokens_prefilled - prefilled - 4 * CHUNK >= CHUNK);

        /* Whoever comes with one prompt after another, without a pause, leaves the others a share. */
        unsigned n_turns = 0;
        const uint64_t before = f.engine->tokens_prefilled;
        for (n_steps = 0; n_steps < 60; n_steps++) {
                if (one.finished) {
                        end(&one, 1);
                        begin(&f, &one, 2, false, 2 * CHUNK, 1, 100 + n_turns++);
                }
                step(&f);
        }
        const uint64_t theirs = f.engine->tokens_prefilled - before - 2 * CHUNK * n_turns;
        printf("# %u turns of one, %llu tokens of the others\n", n_turns, (unsigned long long) theirs);
        CHECK(n_turns >= 10);
        CHECK(theirs >= 60 * CHUNK / 4);
        end(crowd, CROWD);
        end(&one, 1);
        close_fixture(&f);
}

/* Shares come and go with their sequences. */
static void test_shares(void) {
        Fixture f = {};
        EngineError e = {};
        SparkSequence *s[6];
        open_engine(&f);
        for (unsigned i = 0; i < 5; i++)
                CHECK_INT(spark_sequence_new(f.engine, &(SparkSequenceParams) { .domain = i % 3 }, &s[i], &e), 0);
        CHECK_INT(f.engine->n_shares, 4);                       /* 0 is each one's own */
        CHECK_INT(spark_sequence_fork(s[0], NULL, &s[5], &e), 0);
        CHECK_INT(f.engine->n_shares, 4);
        CHECK(s[5]->share == s[0]->share && s[1]->share == s[4]->share && s[0]->share != s[3]->share);
        for (unsigned i = 0; i < 6; i++)
                spark_sequence_free(s[i]);
        CHECK_INT(f.engine->n_shares, 0);
        close_fixture(&f);
}

TEST_MAIN({ "background waits for interactive", test_background }, { "held", test_held }, { "many replies give way to a first one", test_crowd },
          { "what they gave is counted", test_debt },
          { "few replies do not", test_undisturbed }, { "many prompts let another's in", test_prompts }, { "shares", test_shares })
