/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernels by themselves, on random weights in the shapes of two small models, beside a read of as many bytes from
 * memory: what the arithmetic leaves of the machine. Not a test: built, and run by hand.
 *
 *   bench-kernels [LEVEL [THREADS [ROUNDS [NAME]]]]     NAME: only measurements whose name begins so
 *
 * Every line is the median and the best of the rounds, which alternate between all measurements. One thread is timed by
 * the processor time that it had, so that a figure can be had on a busy machine too. */

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "engine/runtime/pool.h"
#include "tests/engine/kernels/kernels-data.h"

#define CONTEXT 2048u
#define ROUNDS_MAX 99u

typedef struct MatrixShape {
        TensorTypeId id;
        uint32_t n_in, n_out, count;
} MatrixShape;

typedef struct ModelShape {
        const char *name;
        MatrixShape matrices[10];
        uint32_t n_layers, n_kv_heads, n_group, head_dim;
} ModelShape;

static const ModelShape models[] = {
        { "SmolLM2-135M Q4_1",
          { { TENSOR_Q4_1, 576, 960, 30 }, { TENSOR_Q4_1, 576, 576, 30 }, { TENSOR_Q4_1, 576, 3072, 30 },
            { TENSOR_Q4_1, 1536, 576, 30 }, { TENSOR_Q8_0, 576, 49152, 1 } }, 30, 3, 3, 64 },
        { "Gemma-3-270M Q4_K_M",
          { { TENSOR_Q5_0, 640, 1408, 18 }, { TENSOR_Q8_0, 640, 128, 18 }, { TENSOR_Q4_K, 1024, 640, 18 },
            { TENSOR_Q5_0, 640, 4096, 18 }, { TENSOR_Q4_K, 2048, 640, 9 }, { TENSOR_Q6_K, 2048, 640, 9 },
            { TENSOR_Q8_0, 640, 262144, 1 } }, 18, 1, 4, 256 },
        { "SmolLM2-135M BF16",
          { { TENSOR_BF16, 576, 960, 30 }, { TENSOR_BF16, 576, 576, 30 }, { TENSOR_BF16, 576, 3072, 30 },
            { TENSOR_BF16, 1536, 576, 30 }, { TENSOR_BF16, 576, 49152, 1 } }, 30, 3, 3, 64 },
};

typedef struct Bench {
        const Kernels *k;
        Pool *pool;
        const ModelShape *model;
        Weight weights[200];
        size_t n_weights, bytes;
        double products;              /* of one token */
        uint32_t n_tokens;            /* of the present measurement */
        bool head;                    /* with the output matrix */
        uint8_t *act;
        float *x, *out;

        uint8_t *kv;                  /* [layer][head][page] */
        const uint8_t **pages;
        float *scratch[POOL_THREADS_MAX];
        uint64_t sums[POOL_THREADS_MAX];
        _Atomic uint32_t counter;
} Bench;

typedef struct Measurement {
        const char *name;
        PoolJob job;
        uint32_t n_tokens;
        bool head;
        double seconds[ROUNDS_MAX];
} Measurement;

static double now(const Pool *pool) {
        struct timespec t;
        clock_gettime(pool_n_threads(pool) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* The same bytes as the weights, by plain loads. */
static void read_job(void *userdata, unsigned thread, unsigned n_threads) {
        Bench *b = userdata;

        for (size_t i = 0; i < b->n_weights; i++) {
                const Weight *w = &b->weights[i];
                size_t n = b->k->packed_size(w) / 64, begin = n * thread / n_threads, end = n * (thread + 1) / n_threads;
                uint64_t s[4] = {};
                const uint64_t *p = (const uint64_t *) (const void *) w->packed;
                for (size_t j = begin; j < end; j++)
                        for (unsigned l = 0; l < 4; l++)
                                s[l] += p[j * 8 + l] ^ p[j * 8 + l + 4];
                b->sums[thread] += s[0] + s[1] + s[2] + s[3];
        }
}

static void matmul_job(void *userdata, unsigned thread, unsigned n_threads) {
        Bench *b = userdata;

        for (size_t i = 0; i < b->n_weights; i++) {
                const Weight *w = &b->weights[i];
                uint32_t tiles = (w->n_out + KERNELS_ROW_TILE - 1) / KERNELS_ROW_TILE;
                uint32_t begin = tiles * thread / n_threads * KERNELS_ROW_TILE;
                uint32_t end = MIN(tiles * (thread + 1) / n_threads * KERNELS_ROW_TILE, w->n_out);

                if (i + 1 == b->n_weights && !b->head)
                        break;
                for (uint32_t t = thread; t < b->n_tokens; t += n_threads)
                        b->k->activation(b->x + (size_t) t * w->n_in, w->n_in, w->floats, b->act + t * b->k->activation_size(w->n_in, w->floats));
                pool_barrier(b->pool, thread);
                b->k->matmul(w, b->act, b->n_tokens, b->out, w->n_out, begin, end);
                pool_barrier(b->pool, thread);
        }
}

static void attend_job(void *userdata, unsigned thread, unsigned n_threads) {
        Bench *b = userdata;
        const ModelShape *m = b->model;
        size_t block = kv_block_size(KV_I16, m->head_dim);
        uint32_t n_pages = CONTEXT / KV_PAGE_TOKENS, n_heads = m->n_kv_heads * m->n_group;
        bool decode = b->n_tokens == 1;
        uint32_t cuts = decode ? 1 : b->n_tokens / 32, jobs = m->n_layers * m->n_kv_heads * cuts;

        for (uint32_t i; (i = pool_next(&b->counter, jobs)) != UINT32_MAX;) {
                uint32_t head = i / cuts % m->n_kv_heads, cut = cuts - 1 - i % cuts;
                size_t width = (size_t) n_heads * m->head_dim;
                b->k->attend(&(AttendArgs) {
                        .type = KV_I16, .head_dim_k = m->head_dim, .head_dim_v = m->head_dim, .n_group = m->n_group,
                        .n_queries = decode ? 1 : 32, .pos0 = decode ? CONTEXT - 1 : cut * 32, .scale = 0.1f,
                        .q = b->x + cut * 32 * width + (size_t) head * m->n_group * m->head_dim, .q_stride = width,
                        .out = b->out + cut * 32 * width + (size_t) head * m->n_group * m->head_dim, .out_stride = width,
                        .pages = b->pages + (size_t) (i / cuts) * n_pages, .v_offset = block, .scratch = b->scratch[thread],
                });
        }
}

static void activation_job(void *userdata, unsigned thread, unsigned n_threads) {
        Bench *b = userdata;

        for (size_t i = 0; i + 1 < b->n_weights; i++) {
                const Weight *w = &b->weights[i];
                for (uint32_t t = thread; t < b->n_tokens; t += n_threads)
                        b->k->activation(b->x + (size_t) t * w->n_in, w->n_in, w->floats, b->act + t * b->k->activation_size(w->n_in, w->floats));
        }
}

static void pack_job(void *userdata, unsigned thread, unsigned n_threads) {
        Bench *b = userdata;

        for (size_t i = 0; i < b->n_weights; i++) {
                const Weight *w = &b->weights[i];
                uint32_t tiles = (w->n_out + KERNELS_ROW_TILE - 1) / KERNELS_ROW_TILE;
                b->k->pack(w, tiles * thread / n_threads * KERNELS_ROW_TILE,
                           MIN(tiles * (thread + 1) / n_threads * KERNELS_ROW_TILE, w->n_out));
        }
}

static int by_value(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return (x > y) - (x < y);
}

static void run_model(Bench *b, unsigned rounds, const char *only) {
        const ModelShape *m = b->model;
        size_t block = kv_block_size(KV_I16, m->head_dim), n_blocks = (size_t) m->n_layers * m->n_kv_heads * CONTEXT / KV_PAGE_TOKENS;
        Measurement all[] = {
                { "read", read_job, 1, true }, { "decode 1", matmul_job, 1, true }, { "decode 4", matmul_job, 4, true },
                { "decode 8", matmul_job, 8, true }, { "decode 12", matmul_job, 12, true },
                { "prefill 128", matmul_job, 128, false }, { "activations 128", activation_job, 128, false },
                { "attend at 2048", attend_job, 1, false }, { "attend 0-511", attend_job, 512, false }, { "pack", pack_job, 1, true },
        };

        b->x = random_floats(512 * 4096);
        b->out = buffer((size_t) 16 * 262144 * sizeof(float));
        b->act = buffer(128 * b->k->activation_size(4096, true));
        b->n_weights = 0;
        b->products = 0;
        b->bytes = 0;
        for (const MatrixShape *s = m->matrices; s->count > 0; s++)
                for (uint32_t i = 0; i < s->count; i++) {
                        const TypeCase *c = type_cases;
                        while (c->id != s->id)
                                c++;
                        Weight *w = &b->weights[b->n_weights++];
                        *w = random_weight(b->k, c, s->n_in, s->n_out);
                        b->bytes += w->packed ? b->k->packed_size(w) : w->file_stride * w->n_out;
                }
        b->kv = buffer(n_blocks * 2 * block);
        memset(b->kv, 0, n_blocks * 2 * block);
        b->pages = calloc(n_blocks, sizeof *b->pages);
        for (size_t i = 0; i < n_blocks; i++)
                b->pages[i] = b->kv + i * 2 * block;
        for (unsigned i = 0; i < pool_n_threads(b->pool); i++)
                b->scratch[i] = buffer(attend_scratch(m->head_dim, m->head_dim, m->n_group));

        for (unsigned r = 0; r < rounds; r++)
                for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                        b->n_tokens = all[i].n_tokens;
                        b->head = all[i].head;
                        atomic_store(&b->counter, 0);
                        if (strncmp(all[i].name, only, strlen(only)) != 0)
                                continue;
                        if (b->weights[0].packed == NULL && (all[i].job == read_job || all[i].job == pack_job))
                                continue;
                        double begin = now(b->pool);
                        pool_run(b->pool, all[i].job, b);
                        all[i].seconds[r] = now(b->pool) - begin;
                }

        printf("%s, %s, %u threads, %.1f MB\n", m->name, b->k->name, pool_n_threads(b->pool), (double) b->bytes * 1e-6);
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                double products = 0;
                if (strncmp(all[i].name, only, strlen(only)) != 0)
                        continue;
                qsort(all[i].seconds, rounds, sizeof(double), by_value);
                double s = all[i].seconds[rounds / 2], best = all[i].seconds[0];
                for (size_t j = 0; j < b->n_weights; j++)
                        if (all[i].head || j + 1 < b->n_weights)
                                products += (double) b->weights[j].n_in * b->weights[j].n_out * all[i].n_tokens;
                printf("  %-16s %9.3f ms (%9.3f)", all[i].name, 1e3 * s, 1e3 * best);
                if (all[i].job == read_job || all[i].job == matmul_job)
                        printf("  %8.1f tok/s (%8.1f)  %6.1f GB/s  %7.1f GOPS", all[i].n_tokens / s, all[i].n_tokens / best,
                               (double) b->bytes / s * 1e-9, 2 * products / s * 1e-9);
                if (all[i].job == attend_job && all[i].n_tokens == 1)
                        printf("  %6.1f GB/s", (double) (n_blocks * 2 * block) / s * 1e-9);
                printf("\n");
        }

        for (size_t i = 0; i < b->n_weights; i++)
                weight_done(&b->weights[i]);
        for (unsigned i = 0; i < pool_n_threads(b->pool); i++)
                free(b->scratch[i]);
        free(b->pages);
        free(b->kv);
        free(b->x);
        free(b->out);
        free(b->act);
}

int main(int argc, char **argv) {
        _cleanup_(pool_freep) Pool *pool = NULL;
        const Kernels *k = kernels_select(argc > 1 && *argv[1] ? argv[1] : NULL);
        unsigned rounds = argc > 3 ? (unsigned) atoi(argv[3]) : 7;

        if (!k || pool_new(argc > 2 ? (unsigned) atoi(argv[2]) : 2, &pool) < 0) {
                fprintf(stderr, "no such level on this CPU\n");
                return 1;
        }
        for (size_t i = 0; i < ELEMENTSOF(models); i++) {
                Bench *b = calloc(1, sizeof *b);
                if (!b)
                        return 1;
                b->k = k;
                b->pool = pool;
                b->model = &models[i];
                run_model(b, rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds, argc > 4 ? argv[4] : "");
                free(b);
        }
        return 0;
}
