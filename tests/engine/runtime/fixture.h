/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An engine on a tiny model, for a test's while, and noise to prompt it with. */

#include "engine/spark-engine.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/test.h"

typedef struct Fixture {
        void *file;
        Pool *pool;
        SparkModel *model;
        SparkEngine *engine;
} Fixture;

static inline void open_fixture(Fixture *f, const TinyModel *tiny, unsigned n_threads, const SparkEngineParams *params) {
        EngineError e = {};
        GgufPart part;
        CHECK_INT(tiny_model(tiny, &f->file, &part.size), 0);
        part.data = f->file;
        CHECK_INT(pool_new(n_threads, &f->pool), 0);
        CHECK_INT(spark_model_new(&part, 1, NULL, f->pool, &f->model, &e), 0);
        CHECK_INT(spark_engine_new(f->model, f->pool, params, &f->engine, &e), 0);
}

static inline void close_fixture(Fixture *f) {
        spark_engine_free(f->engine);
        spark_model_free(f->model);
        pool_free(f->pool);
        free(f->file);
}

/* n tokens of one byte each. */
static inline void noise(uint32_t *ids, size_t n, uint32_t seed) {
        for (size_t i = 0; i < n; i++) {
                seed = seed * 1664525 + 1013904223;
                ids[i] = TINY_BYTES + (seed >> 16) % 256;
        }
}
