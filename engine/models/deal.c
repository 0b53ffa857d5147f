/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns which rows are whose where tokens are split: consecutive ones, so that all threads should be through at once.
 *
 * Rows differ, for later ones see more, and so do threads: cores are of two kinds, or share their units with another
 * machine's or process's work, and change by the millisecond. Each thread therefore measures its pace from one meeting
 * to the next, and rows are dealt out anew at the meeting of each layer, where all queries, keys and values are there
 * for everyone. */

#include <time.h>

#include "engine/models/lane.h"

static uint64_t now_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

uint64_t deal_products(const struct SparkModel *m) {
        const Hparams *hp = &m->hp;
        uint64_t n = 0;

        for (uint32_t i = 0; i < hp->n_layers; i++) {
                const ModelLayer *l = &m->layers[i];
                const uint64_t n_ff = hp->layers[i].experts ? (uint64_t) hp->n_experts_used * hp->n_ff_expert + hp->n_ff_shared
                                                            : hp->n_ff;
                n += (uint64_t) hp->n_embd * (l->q.n_out + l->k.n_out + l->v.n_out + l->o.n_in + 3 * n_ff);
        }
        return n;
}

/* What a row takes: its products with weights, and those of attention with what it sees, weighed four times: as
 * floats they took that much longer. What is wrong with it, the paces make up for. */
static uint64_t row_work(const Forward *f, const Row *row) {
        const Hparams *hp = &f->m->hp;
        uint64_t seen = 0;

        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                const KvGroup *group = &f->m->kv_groups[g];
                seen += (uint64_t) group->n_layers * (group->window > 0 ? MIN(row->pos, group->window) : row->pos);
        }
        return f->products + 4 * seen * hp->n_heads * (hp->head_dim_k + hp->head_dim_v);
}

/* The share of all work that lies before a thread's, by the paces that all threads told at the last meeting. */
static double share_before(const Lane *l, unsigned thread) {
        const unsigned last = (l->n_told - 1) % 2;
        double all = 0, before = 0;

        for (unsigned i = 0; i < l->n_threads; i++) {
                all += l->f->lanes[i].pace[last];
                if (i < thread)
                        before += l->f->lanes[i].pace[last];
        }
        return l->n_threads > 1 && l->n_told > 0 && all > 0 ? before / all : (double) thread / l->n_threads;
}

static uint32_t first_row(const Lane *l, unsigned thread) {
        const Forward *f = l->f;
        double all = 0, before = 0;

        if (thread == l->n_threads)
                return f->n_rows;
        for (uint32_t t = 0; t < f->n_rows; t++)
                all += (double) row_work(f, &f->rows[t]);
        const double target = all * share_before(l, thread);
        uint32_t t = 0;
        while (t < f->n_rows && before < target)
                before += (double) row_work(f, &f->rows[t++]);
        return t;
}

void deal_rows(Lane *l) {
        const Forward *f = l->f;

        l->own0 = l->t0 = l->p0 = l->base = first_row(l, l->thread);
        l->own1 = l->t1 = l->p1 = first_row(l, l->thread + 1);
        l->act = f->act + l->base * f->act_max;
        l->work = 0;
        for (uint32_t t = l->own0; t < l->own1; t++)
                l->work += row_work(f, &f->rows[t]);
        l->dealt_ns = 0;
}

/* Of two slots one is read while the other is written: nobody tells twice before all have met once. What lies before a
 * run's first meeting is not what a layer takes, and not measured. */
void deal_meet(Lane *l) {
        if (l->n_threads == 1)
                return;

        double pace = l->n_told > 0 ? l->pace[(l->n_told - 1) % 2] : 0;
        if (l->dealt_ns > 0) {
                const double now = (double) l->work / (double) MAX(now_ns() - l->dealt_ns, 1u);
                pace = pace > 0 ? (pace + now) / 2 : now;
        }
        l->pace[l->n_told++ % 2] = pace;
        pool_barrier(l->f->pool, l->thread);
        deal_rows(l);
        l->dealt_ns = now_ns();
}
