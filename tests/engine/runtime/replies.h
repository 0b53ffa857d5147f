/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Replies of the tiny model, gathered from the engine's events and held against what the same start says alone. */

#include "tests/engine/runtime/fixture.h"

#define REPLY_MAX 512

typedef struct Reply {
        uint32_t ids[REPLY_MAX];
        size_t n;
        bool finished;
        SparkFinish finish;
        SparkUsage usage;
        char text[8192];
        size_t n_text;
} Reply;

static inline SparkStart start_of(const uint32_t *ids, size_t n, uint32_t max_tokens) {
        SamplerParams sampler = SAMPLER_PARAMS_DEFAULT;
        sampler.temperature = 1.0f;
        sampler.seed = 7;
        return (SparkStart) { .ids = ids, .n_ids = n, .max_tokens = max_tokens, .sampler = sampler, .ignore_end = true };
}

static inline SparkSequence *sequence(SparkEngine *e, uint64_t domain, Reply *reply) {
        SparkSequence *s = NULL;
        EngineError error = {};
        CHECK_INT(spark_sequence_new(e, &(SparkSequenceParams) { .domain = domain, .userdata = reply }, &s, &error), 0);
        return s;
}

static inline void begin(SparkSequence *s, Reply *reply, const SparkStart *start) {
        EngineError error = {};
        *reply = (Reply) {};
        CHECK_INT(spark_sequence_start(s, start, &error), 0);
}

static inline int step(SparkEngine *e) {
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

static inline void run(SparkEngine *e) {
        while (step(e) > 0)
                ;
}

/* begin() and run(). */
static inline void say(SparkEngine *e, SparkSequence *s, Reply *reply, const SparkStart *start) {
        begin(s, reply, start);
        run(e);
}

/* The reply that all others are measured against: alone, one thread, whole prompt at once, nothing guessed. */
static inline void reference(const uint32_t *ids, size_t n, uint32_t max_tokens, Reply *ret) {
        Fixture f = {};
        open_fixture(&f, NULL, 1, &(SparkEngineParams) { .kv_type = KV_F16 });
        SparkSequence *s = sequence(f.engine, 0, ret);
        SparkStart start = start_of(ids, n, max_tokens);
        start.no_drafts = true;
        say(f.engine, s, ret, &start);
        spark_sequence_free(s);
        close_fixture(&f);
        CHECK(ret->finished);
}

static inline bool same(const Reply *a, const Reply *b) {
        return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0 && a->finish == b->finish &&
               a->n_text == b->n_text && memcmp(a->text, b->text, a->n_text) == 0;
}
