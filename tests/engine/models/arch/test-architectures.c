/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every architecture on a tiny model of its true shape (make-arch-models.py): the scalar kernels agree with
 * transformers' float32 in every logit; every other kernel level that this machine has is no further from it than
 * llama.cpp is on the same file (peer-error.json, made by peer-error.py; its figure is copied into the table, with the
 * llama4-chunks one, which llama.cpp does not read, taken from llama4). */

#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "engine/kernels/kernels.h"
#include "engine/spark-engine.h"
#include "tests/test.h"

#define SCALAR_BOUND 1e-3

typedef struct Architecture {
        const char *name;
        double peer_rms;
} Architecture;

static const Architecture architectures[] = {
        { "llama",         0.00424 },
        { "llama3-rope",   0.00383 },
        { "qwen2",         0.00458 },
        { "qwen3",         0.00248 },
        { "gemma3",        0.00215 },
        { "llama4",        0.00250 },
        { "llama4-chunks", 0.00250 },
        { "qwen3moe",      0.00401 },
        { "olmoe",         0.06416 },
        { "granitemoe",    0.00057 },
};

typedef struct Comparison {
        const float *reference;         /* [n][n_vocab] */
        size_t n_vocab;
        double sum, max;
        size_t n;
} Comparison;

static int compare(void *userdata, size_t position, const float *logits, size_t n_vocab) {
        Comparison *c = userdata;
        for (size_t i = 0; i < c->n_vocab; i++) {
                double d = fabs((double) logits[i] - (double) c->reference[position * c->n_vocab + i]);
                c->sum += d * d;
                c->max = isnan(d) ? INFINITY : MAX(c->max, d);
        }
        c->n += c->n_vocab;
        return 0;
}

static GgufPart map_file(const char *name, const char *suffix) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s%s", ARCH_DATA, name, suffix);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        struct stat st;
        CHECK_INT(fstat(fd, &st), 0);
        void *p = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK(p != MAP_FAILED);
        return (GgufPart) { p, (size_t) st.st_size };
}

static void measure(const char *name, const char *kernels, KvType kv, double *ret_rms, double *ret_max) {
        GgufPart file = map_file(name, ".gguf"), ref = map_file(name, ".ref");
        const uint32_t *head = ref.data;
        size_t n = head[0];
        Comparison c = { .reference = (const float *) (head + 2 + n), .n_vocab = head[1] };
        CHECK_INT(ref.size, 8 + 4 * n + 4 * n * c.n_vocab);

        EngineError e = {};
        _cleanup_(pool_freep) Pool *pool = NULL;
        _cleanup_(spark_model_freep) SparkModel *model = NULL;
        _cleanup_(spark_engine_freep) SparkEngine *engine = NULL;
        CHECK_INT(pool_new(2, &pool), 0);
        int r = spark_model_new(&file, 1, kernels, pool, &model, &e);
        if (r < 0)
                printf("# %s: %s\n", name, e.text);
        CHECK_INT(r, 0);
        CHECK_INT(spark_engine_new(model, pool, &(SparkEngineParams) { .kv_type = kv, .n_ctx = 256, .chunk = 13 }, &engine, &e), 0);
        CHECK_INT(spark_engine_logits(engine, head + 2, n, compare, &c, &e), 0);
        CHECK_INT(c.n, n * c.n_vocab);
        *ret_rms = sqrt(c.sum / (double) c.n);
        *ret_max = c.max;
        munmap((void *) file.data, file.size);
        munmap((void *) ref.data, ref.size);
}

static void test_scalar(void) {
        for (size_t i = 0; i < ELEMENTSOF(architectures); i++) {
                double rms, max;
                measure(architectures[i].name, "scalar", KV_F32, &rms, &max);
                printf("# %-14s scalar: rms %.2g, largest %.2g\n", architectures[i].name, rms, max);
                CHECK(max <= SCALAR_BOUND);
        }
}

static void test_levels(void) {
        for (size_t k = 1; kernels_at(k); k++) {
                if (!kernels_at(k)->supported())
                        continue;
                for (size_t i = 0; i < ELEMENTSOF(architectures); i++) {
                        double rms, max;
                        measure(architectures[i].name, kernels_at(k)->name, KV_F16, &rms, &max);
                        printf("# %-14s %s: rms %.2g (peer %.2g), largest %.2g\n", architectures[i].name, kernels_at(k)->name,
                               rms, architectures[i].peer_rms, max);
                        CHECK(rms <= architectures[i].peer_rms);
                }
        }
}

TEST_MAIN(
        { "scalar: transformers' logits to 1e-3, every architecture", test_scalar },
        { "other levels: no further from float32 than the peer", test_levels },
)
