/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the repacked weights: one anonymous mapping, filled once by all threads, in the order in which a token reads
 * them, so that a step walks memory forwards. */

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/checked.h"
#include "engine/models/model.h"
#include "engine/spark-engine.h"

#define HUGE_PAGE (2u << 20)

int model_each_weight(struct SparkModel *m, int (*f)(void *userdata, Weight *w), void *userdata) {
        int r = 0;
        for (uint32_t i = 0; i < m->hp.n_layers; i++) {
                ModelLayer *l = &m->layers[i];
                Weight *dense[] = { &l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down,
                                    &l->experts.router, &l->experts.shared_gate, &l->experts.shared_up,
                                    &l->experts.shared_down };
                for (size_t k = 0; k < ELEMENTSOF(dense) && r >= 0; k++)
                        if (dense[k]->type)
                                r = f(userdata, dense[k]);
                for (uint32_t e = 0; m->hp.layers[i].experts && e < m->hp.n_experts && r >= 0; e++)
                        if ((r = f(userdata, &l->experts.gate[e])) >= 0 && (r = f(userdata, &l->experts.up[e])) >= 0)
                                r = f(userdata, &l->experts.down[e]);
                if (r < 0)
                        return r;
        }
        return f(userdata, &m->output);
}

typedef struct Packing {
        const Kernels *kernels;
        uint8_t *next;                        /* NULL while sizes are summed */
        size_t size;
        unsigned thread, n_threads;
        struct SparkModel *m;
} Packing;

static int add_size(void *userdata, Weight *w) {
        Packing *p = userdata;
        size_t size;
        if (!checked_align(p->kernels->packed_size(w), KERNELS_ALIGN, &size) || !checked_add(p->size, size, &p->size))
                return -ENOMEM;
        return 0;
}

static int assign(void *userdata, Weight *w) {
        Packing *p = userdata;
        const size_t size = p->kernels->packed_size(w);
        if (size > 0) {
                w->packed = p->next;
                p->next += (size + KERNELS_ALIGN - 1) & ~(size_t) (KERNELS_ALIGN - 1);
        } else
                p->m->unpacked = true;
        return 0;
}

static int set_floats(void *userdata, Weight *w) {
        const struct SparkModel *m = userdata;
        w->floats = m->unpacked;
        return 0;
}

static int pack_share(void *userdata, Weight *w) {
        Packing *p = userdata;
        if (!w->packed)
                return 0;
        const uint64_t n_tiles = (w->n_out + KERNELS_ROW_TILE - 1) / KERNELS_ROW_TILE;
        const uint32_t first = (uint32_t) (n_tiles * p->thread / p->n_threads) * KERNELS_ROW_TILE;
        const uint32_t end = (uint32_t) (n_tiles * (p->thread + 1) / p->n_threads) * KERNELS_ROW_TILE;
        if (first < end)
                p->kernels->pack(w, first, MIN(end, w->n_out));
        return 0;
}

static void pack_job(void *userdata, unsigned thread, unsigned n_threads) {
        Packing p = *(const Packing *) userdata;
        p.thread = thread;
        p.n_threads = n_threads;
        model_each_weight(p.m, pack_share, &p);
}

int model_pack(struct SparkModel *m, Pool *pool, EngineError *reterr) {
        Packing p = { .kernels = m->kernels, .m = m };
        int r = model_each_weight(m, add_size, &p);
        if (r < 0)
                return engine_fail(reterr, r, "the repacked weights would not fit in the address space");
        if (p.size == 0) {
                m->unpacked = true;
                return model_each_weight(m, set_floats, m);
        }

        size_t size;
        if (!checked_align(p.size, HUGE_PAGE, &size))
                return engine_fail(reterr, -ENOMEM, "the repacked weights would not fit in the address space");
        void *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (a == MAP_FAILED)
                return engine_fail(reterr, -ENOMEM, "no memory for %zu MB of repacked weights", size >> 20);
        m->packed = a;
        m->packed_size = size;
        madvise(a, size, MADV_HUGEPAGE);      /* fewer TLB misses where the kernel grants it; nothing lost where not */

        p.next = m->packed;
        model_each_weight(m, assign, &p);
        model_each_weight(m, set_floats, m);
        pool_run(pool, pack_job, &p);
        if (m->token_embd.file == m->output.file)
                m->token_embd.packed = m->output.packed;
        return 0;
}

void model_pack_done(struct SparkModel *m) {
        if (m->packed)
                munmap(m->packed, m->packed_size);
        m->packed = NULL;
}

static void release(const void *data, size_t size) {
        const uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
        const uintptr_t begin = ((uintptr_t) data + page - 1) & ~(page - 1);
        const uintptr_t end = ((uintptr_t) data + size) & ~(page - 1);
        if (begin < end)
                madvise((void *) begin, end - begin, MADV_DONTNEED);
}

static int release_packed(void *userdata, Weight *w) {
        if (w->packed)
                release(w->file, w->file_stride * w->n_out);
        return 0;
}

void spark_model_release_file(SparkModel *m) {
        if (m->unpacked)
                model_each_weight(m, release_packed, NULL);
        for (size_t i = 0; i < m->n_parts && !m->unpacked; i++)
                release(m->parts[i].data, m->parts[i].size);
}
