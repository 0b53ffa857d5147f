/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as what clients may do to the step loop, three bytes an act: new, start, step, cancel, fork, free, over a
 * budget of few pages. Every start ends in exactly one FINISHED; a reply that was not cut short is the one that the
 * same start gave before; the budget holds; nothing runs for ever. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/spark-engine.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/fuzz/promise.h"

#define SEQUENCES 6u
#define TEXTS 4u
#define TEXT_MAX 96u
#define LENGTHS 8u
#define REPLY 6u
#define PAGES 6u
#define ACTS_MAX 64u
#define STEPS_MAX 20000u

int LLVMFuzzerInitialize(int *argc, char ***argv);

typedef struct Line {
        SparkSequence *sequence;
        bool running;
        unsigned text, length;
        uint32_t ids[REPLY];
        size_t n;
} Line;

static struct {
        Pool *pool;
        SparkModel *model;
        uint64_t budget;
        uint32_t texts[TEXTS][TEXT_MAX];
        /* What each start says, once one has said all of it. */
        bool known[TEXTS][LENGTHS];
        uint32_t replies[TEXTS][LENGTHS][REPLY];
} world;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        (void) argc;
        (void) argv;
        GgufPart part;
        void *file;
        EngineError e = {};
        PROMISE(tiny_model(&(TinyModel) { .n_layers = 1 }, &file, &part.size) == 0);
        part.data = file;
        PROMISE(pool_new(1, &world.pool) == 0);
        PROMISE(spark_model_new(&part, 1, NULL, world.pool, &world.model, &e) == 0);

        /* Two texts with one beginning, two of their own. */
        uint32_t x = 1;
        for (unsigned t = 0; t < TEXTS; t++)
                for (unsigned i = 0; i < TEXT_MAX; i++) {
                        x = x * 1664525 + 1013904223;
                        world.texts[t][i] = t == 1 && i < TEXT_MAX / 2 ? world.texts[0][i] : TINY_BYTES + (x >> 16) % 256;
                }

        SparkEngine *engine;
        SparkSequence *s;
        const SparkEvent *events;
        size_t n;
        SparkEngineStats stats;
        PROMISE(spark_engine_new(world.model, world.pool, &(SparkEngineParams) { .n_ctx = 32 }, &engine, &e) == 0);
        PROMISE(spark_sequence_new(engine, &(SparkSequenceParams) {}, &s, &e) == 0);
        PROMISE(spark_sequence_start(s, &(SparkStart) { .ids = world.texts[0], .n_ids = 1 }, &e) == 0);
        PROMISE(spark_engine_step(engine, &events, &n) == 0);
        spark_engine_stats(engine, &stats);
        world.budget = stats.kv_bytes * PAGES;
        spark_sequence_free(s);
        spark_engine_free(engine);
        return 0;
}

static int step(SparkEngine *e) {
        const SparkEvent *events;
        size_t n;
        SparkEngineStats stats;
        const int left = spark_engine_step(e, &events, &n);
        PROMISE(left >= 0);
        for (size_t i = 0; i < n; i++) {
                Line *l = events[i].userdata;
                PROMISE(l->running && l->sequence == events[i].sequence);
                if (events[i].type == SPARK_EVENT_TOKEN) {
                        PROMISE(l->n < REPLY);
                        l->ids[l->n++] = events[i].id;
                        continue;
                }
                l->running = false;
                uint32_t *reply = world.replies[l->text][l->length];
                if (world.known[l->text][l->length])
                        PROMISE(memcmp(reply, l->ids, l->n * sizeof *reply) == 0);
                else if (l->n == REPLY) {
                        memcpy(reply, l->ids, sizeof l->ids);
                        world.known[l->text][l->length] = true;
                }
        }
        spark_engine_stats(e, &stats);
        PROMISE(stats.kv_bytes <= stats.kv_budget);
        return left;
}

static void act(SparkEngine *e, Line *lines, const uint8_t *b) {
        Line *l = &lines[b[1] % SEQUENCES], *other = &lines[b[2] % SEQUENCES];
        EngineError error = {};
        int r;

        switch (b[0] % 8) {
        case 0:
                if (!l->sequence)
                        PROMISE(spark_sequence_new(e, &(SparkSequenceParams) { .domain = b[2] % 3, .background = b[2] & 64,
                                                                               .userdata = l }, &l->sequence, &error) == 0);
                break;
        case 1:
        case 2:
                if (!l->sequence)
                        break;
                const unsigned text = b[2] % TEXTS, length = b[2] / TEXTS % LENGTHS;
                r = spark_sequence_start(l->sequence, &(SparkStart) { .ids = world.texts[text], .n_ids = (length + 1) * TEXT_MAX / LENGTHS,
                                                                      .max_tokens = REPLY, .ignore_end = true,
                                                                      .sampler = SAMPLER_PARAMS_DEFAULT }, &error);
                PROMISE(r == (l->running ? -EBUSY : 0));
                if (r == 0) {
                        l->running = true;
                        l->text = text;
                        l->length = length;
                        l->n = 0;
                }
                break;
        case 3:
        case 4:
                for (unsigned i = 0; i <= b[2] % 16u; i++)
                        step(e);
                break;
        case 5:
                if (l->sequence)
                        spark_sequence_cancel(l->sequence);
                break;
        case 6:
                if (!l->sequence || other->sequence)
                        break;
                r = spark_sequence_fork(l->sequence, other, &other->sequence, &error);
                PROMISE(r == (l->running ? -EBUSY : 0));
                break;
        case 7:
                spark_sequence_free(l->sequence);
                *l = (Line) {};
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Line lines[SEQUENCES] = {};
        SparkEngine *e;
        EngineError error = {};
        PROMISE(spark_engine_new(world.model, world.pool, &(SparkEngineParams) { .kv_type = KV_F16, .kv_budget = world.budget,
                                                                                .chunk = 24 }, &e, &error) == 0);
        for (size_t i = 0; i + 3 <= size && i < 3 * ACTS_MAX; i += 3)
                act(e, lines, data + i);
        for (unsigned n = 0; step(e) > 0; n++)
                PROMISE(n < STEPS_MAX);
        for (unsigned i = 0; i < SEQUENCES; i++) {
                PROMISE(!lines[i].running);
                spark_sequence_free(lines[i].sequence);
        }
        spark_engine_free(e);
        return 0;
}
