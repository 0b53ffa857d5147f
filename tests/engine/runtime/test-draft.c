/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is guessed, how much, and that a reply is the same with and without: greedy and drawn, alone and in a batch,
 * up to its last token, its context's last, and the model's own end. */

#include "engine/runtime/draft.h"
#include "tests/engine/runtime/fixture.h"

/* ---- what is guessed ---- */

static const struct {
        const char *name, *text, *guess;        /* one letter a token */
        uint32_t most;
} finds[] = {
        { "nothing was there before",    "abcdef",         "",      8 },
        { "one token is too little",     "abcxa",          "",      8 },
        { "two are enough",              "abcdexab",       "cdexa", 5 },
        { "no more than asked",          "abcdexab",       "cd",    2 },
        { "the longest ending",          "xabc yabd xab",  "c",     1 },
        { "of equal ones the latest",    "abcd abef ab",   "ef",    2 },
        { "a period goes on",            "xyxy",           "xyxyx", 5 },
        { "one token over and over",     "aaa",            "aaaa",  4 },
        { "nothing asked",               "abab",           "",      0 },
        { "one token in all",            "a",              "",      8 },
};

static void test_find(void) {
        for (size_t i = 0; i < ELEMENTSOF(finds); i++) {
                uint32_t ids[64] = {};
                const size_t n = strlen(finds[i].text), n_guess = strlen(finds[i].guess);
                for (size_t k = 0; k < n; k++)
                        ids[k] = (uint8_t) finds[i].text[k];
                const uint32_t found = draft_find(ids, n, finds[i].most);
                bool same = found == n_guess;
                for (size_t k = 0; same && k < n_guess; k++)
                        same = ids[n + k] == (uint8_t) finds[i].guess[k];
                if (!same)
                        printf("# %s: %u guessed\n", finds[i].name, found);
                CHECK(same);
        }
}

static void test_learn(void) {
        Draft d = DRAFT_INIT;
        uint32_t most = 0, steps = 0, tried = 0;

        for (int i = 0; i < 10; i++) {
                const uint32_t n = draft_length(&d);
                CHECK(n > most || n == DRAFT_MAX);
                most = n;
                draft_learn(&d, n, n);
        }
        CHECK_INT(most, DRAFT_MAX);
        draft_learn(&d, DRAFT_MAX, 4);
        CHECK_INT(draft_length(&d), 7);
        draft_learn(&d, 2, 2);
        CHECK_INT(draft_length(&d), DRAFT_MIN);

        /* Guesses that never hold cost ever fewer steps. */
        for (; steps < 10000; steps++) {
                const uint32_t n = draft_length(&d);
                if (n > 0) {
                        CHECK_INT(n, DRAFT_MIN);
                        draft_learn(&d, n, 0);
                        tried++;
                }
        }
        CHECK(tried < 2 * steps / DRAFT_PAUSE_MAX);
        while (draft_length(&d) == 0)
                CHECK(++steps < 20000);
        draft_learn(&d, DRAFT_MIN, DRAFT_MIN);
        CHECK_INT(draft_length(&d), 7);
}

/* ---- the same reply ---- */

#define REPLY_MAX 400
#define SEQUENCES 5u

typedef struct Reply {
        uint32_t ids[REPLY_MAX];
        size_t n;
        SparkFinish finish;
        SparkUsage usage;
        size_t n_held;
} Reply;

typedef struct Work {
        const char *name;
        SamplerParams sampler;
        uint32_t max_tokens;
        bool ignore_end;
} Work;

/* A text that repeats itself, of two halves with one difference. */
static void prompt(uint32_t *ids, size_t n, uint32_t seed) {
        noise(ids, n / 2, seed);
        memcpy(ids + n / 2, ids, n / 2 * sizeof *ids);
        ids[n / 2] ^= 1;
}

static void say(Fixture *f, const Work *w, unsigned n, bool drafts, Reply *replies) {
        SparkSequence *s[SEQUENCES] = {};
        EngineError e = {};
        for (uint32_t i = 0; i < n; i++) {
                uint32_t ids[80];
                prompt(ids, 80, i);
                SparkStart start = { .ids = ids, .n_ids = 80, .max_tokens = w->max_tokens, .sampler = w->sampler,
                                     .ignore_end = w->ignore_end, .no_drafts = !drafts };
                replies[i] = (Reply) {};
                CHECK_INT(spark_sequence_new(f->engine, &(SparkSequenceParams) { .userdata = &replies[i] }, &s[i], &e), 0);
                CHECK_INT(spark_sequence_start(s[i], &start, &e), 0);
        }
        int left;
        do {
                const SparkEvent *events;
                size_t n_events;
                left = spark_engine_step(f->engine, &events, &n_events);
                CHECK(left >= 0);
                for (size_t i = 0; i < n_events; i++) {
                        Reply *r = events[i].userdata;
                        if (events[i].type == SPARK_EVENT_TOKEN) {
                                CHECK(r->n < REPLY_MAX);
                                r->ids[r->n++] = events[i].id;
                        } else {
                                r->finish = events[i].finish;
                                r->usage = events[i].usage;
                        }
                }
        } while (left > 0);
        for (uint32_t i = 0; i < n; i++) {
                replies[i].n_held = spark_sequence_n_tokens(s[i]);
                spark_sequence_free(s[i]);
        }
}

static void test_same(void) {
        const SamplerParams greedy = SAMPLER_PARAMS_DEFAULT;
        SamplerParams drawn = greedy, penalised = greedy;
        drawn.temperature = 1.0f;
        drawn.seed = 3;
        penalised.temperature = 0.2f;
        penalised.repeat_penalty = 1.1f;
        const Work works[] = {
                { "greedy",                greedy,    100,        true },
                { "greedy, one token",     greedy,    1,          true },
                { "greedy, two tokens",    greedy,    2,          true },
                { "greedy to the end",     greedy,    UINT32_MAX, true },
                { "greedy, the end seen",  greedy,    UINT32_MAX, false },
                { "drawn",                 drawn,     100,        true },
                { "drawn, the end seen",   drawn,     UINT32_MAX, false },
                { "penalised",             penalised, 100,        true },
        };
        static Reply alone[SEQUENCES], guessed[SEQUENCES];
        static const unsigned together[] = { 1, 2, SEQUENCES };
        uint64_t n_kept = 0, n_lost = 0;

        for (size_t i = 0; i < ELEMENTSOF(works); i++)
                for (size_t k = 0; k < ELEMENTSOF(together); k++) {
                        Fixture f = {};
                        SparkEngineStats before, after;
                        open_fixture(&f, &(TinyModel) { .untied = true }, 2, &(SparkEngineParams) { .kv_type = KV_F16, .n_ctx = 400, .kv_budget = 1u << 28 });
                        say(&f, &works[i], together[k], false, alone);
                        spark_engine_stats(f.engine, &before);
                        CHECK_INT(before.tokens_drafted, 0);
                        say(&f, &works[i], together[k], true, guessed);
                        spark_engine_stats(f.engine, &after);
                        for (unsigned j = 0; j < together[k]; j++) {
                                const Reply *a = &alone[j], *b = &guessed[j];
                                const bool same = a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0 && a->finish == b->finish &&
                                                  a->n_held == b->n_held && a->usage.n_generated == b->usage.n_generated;
                                if (!same)
                                        printf("# %s, %u of %u: %zu tokens for %zu, %zu held for %zu, finish %d for %d\n", works[i].name, j, together[k],
                                               b->n, a->n, b->n_held, a->n_held, (int) b->finish, (int) a->finish);
                                CHECK(same);
                        }
                        CHECK(after.tokens_drafted >= after.tokens_kept);
                        CHECK_INT(after.tokens_generated, 2 * before.tokens_generated);
                        n_kept += after.tokens_kept;
                        n_lost += after.tokens_drafted - after.tokens_kept;
                        close_fixture(&f);
                }
        printf("# %llu guessed tokens kept, %llu lost\n", (unsigned long long) n_kept, (unsigned long long) n_lost);
        CHECK(n_kept > 100 && n_lost > 100);
}

TEST_MAIN(
        { "what followed the longest ending is guessed", test_find },
        { "guesses grow while they hold, and pause where they do not", test_learn },
        { "a reply is the same with guesses and without", test_same },
)
