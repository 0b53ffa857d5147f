/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the order of a step: embedding, the layers' two blocks, logits of the rows that want them; and the buffers and
 * shares of work that the blocks use. One job of the pool from the first to the last; see lane.h for how it is split. */

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "basic/checked.h"
#include "engine/models/lane.h"

static size_t padded(size_t n_floats) {
        return (n_floats + 15) & ~(size_t) 15;
}

size_t forward_logits_stride(const struct SparkModel *m) {
        return padded(m->hp.n_vocab);
}

size_t forward_page_size(const struct SparkModel *m, KvType kv_type, unsigned group) {
        return (kv_block_size(kv_type, m->hp.head_dim_k) + kv_block_size(kv_type, m->hp.head_dim_v)) * m->hp.n_heads_kv *
               m->kv_groups[group].n_layers;
}

/* ---- buffers ---- */

typedef struct Carve {                        /* sums sizes first, hands out pieces of the arena then */
        uint8_t *base;
        size_t size;
        bool overflow;
} Carve;

static void *carve(Carve *c, size_t n, size_t each) {
        size_t bytes, end;
        if (!checked_mul(n, each, &bytes) || !checked_align(bytes, KERNELS_ALIGN, &bytes) || !checked_add(c->size, bytes, &end)) {
                c->overflow = true;
                return NULL;
        }
        void *p = c->base ? c->base + c->size : NULL;
        c->size = end;
        return p;
}

static size_t widest_input(const Hparams *hp) {
        size_t n = MAX(hp->n_embd, hp->n_heads * hp->head_dim_v);
        n = MAX(n, (size_t) hp->n_ff);
        n = MAX(n, (size_t) hp->n_ff_expert);
        return MAX(n, (size_t) hp->n_ff_shared);
}

static void carve_buffers(Forward *f, Carve *c) {
        const Hparams *hp = &f->m->hp;
        const size_t act = f->act_max;
        const size_t rows = f->rows_max;

        f->x = carve(c, rows, f->embd_stride * sizeof(float));
        f->pending = carve(c, rows, f->embd_stride * sizeof(float));
        f->gate = carve(c, rows, f->wide_stride * sizeof(float));
        f->up = carve(c, rows, f->wide_stride * sizeof(float));
        if (c->base) {
                f->q = f->gate;
                f->k = f->q + padded((size_t) hp->n_heads * hp->head_dim_k);
                f->v = f->k + padded((size_t) hp->n_heads_kv * hp->head_dim_k);
                f->attn = f->v + padded((size_t) hp->n_heads_kv * hp->head_dim_v);
        }
        for (uint32_t i = 0; i < hp->n_ropes; i++) {
                f->rope_cos[i] = carve(c, rows, f->rope_stride * sizeof(float));
                f->rope_sin[i] = carve(c, rows, f->rope_stride * sizeof(float));
        }
        f->act = carve(c, rows, act);
        f->act_out = carve(c, rows, act);
        const size_t pairs = rows * hp->n_experts_used;
        f->pair_gate = carve(c, pairs, f->pair_ff_stride * sizeof(float));
        f->pair_up = carve(c, pairs, f->pair_ff_stride * sizeof(float));
        f->pair_out = carve(c, pairs, f->embd_stride * sizeof(float));
        f->act_pairs = carve(c, pairs, act);
        f->batch_size = c->size;
        f->rows = carve(c, rows, sizeof(Row));
        f->lanes = carve(c, f->n_threads_max, sizeof(Lane));
        for (unsigned i = 0; i < f->n_threads_max; i++) {
                float *x_few = carve(c, FEW_ROWS, f->embd_stride * sizeof(float));
                uint8_t *act_few = carve(c, FEW_ROWS, act);
                float *row = carve(c, padded(widest_input(hp)), sizeof(float));
                float *scratch = carve(c, 1, attend_scratch(hp->head_dim_k, hp->head_dim_v, hp->n_heads / hp->n_heads_kv));
                struct Routed *routed = pairs > 0 ? carve(c, 1, routed_size(f)) : NULL;
                if (c->base && routed)
                        routed_init(routed, f);
                if (c->base)
                        f->lanes[i] = (Lane) { .f = f, .thread = i, .x_few = x_few, .act_few = act_few, .row = row,
                                               .attend_scratch = scratch, .routed = routed };
        }
}

int forward_new(const struct SparkModel *m, KvType kv_type, unsigned n_threads, uint32_t rows_max, Forward **ret) {
        _cleanup_(forward_freep) Forward *f = calloc(1, sizeof *f);
        if (!f)
                return -ENOMEM;
        const Hparams *hp = &m->hp;
        f->m = m;
        f->kv_type = kv_type;
        f->n_threads_max = n_threads;
        f->rows_max = rows_max;
        f->k_block = kv_block_size(kv_type, hp->head_dim_k);
        f->v_block = kv_block_size(kv_type, hp->head_dim_v);
        f->embd_stride = padded(hp->n_embd);
        const size_t attention = padded((size_t) hp->n_heads * hp->head_dim_k) + padded((size_t) hp->n_heads_kv * hp->head_dim_k)
                                 + padded((size_t) hp->n_heads_kv * hp->head_dim_v) + padded((size_t) hp->n_heads * hp->head_dim_v);
        f->wide_stride = MAX(attention, padded(MAX(hp->n_ff, hp->n_ff_shared)));
        f->pair_ff_stride = padded(hp->n_ff_expert);
        f->rope_stride = padded(hp->n_rot / 2);
        f->act_max = m->kernels->activation_size((uint32_t) widest_input(hp), m->unpacked);
        f->logits_stride = forward_logits_stride(m);

        f->products = deal_products(m);

        Carve c = {};
        carve_buffers(f, &c);
        if (c.overflow)
                return -ENOMEM;
        f->arena_size = c.size;
        f->arena = mmap(NULL, c.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (f->arena == MAP_FAILED) {
                f->arena = NULL;
                return -ENOMEM;
        }
        c = (Carve) { .base = f->arena };
        carve_buffers(f, &c);

        *ret = TAKE_PTR(f);
        return 0;
}

Forward *forward_free(Forward *f) {
        if (!f)
                return NULL;
        if (f->arena)
                munmap(f->arena, f->arena_size);
        free(f);
        return NULL;
}

/* ---- what the blocks share ---- */

static void absorb_row(Lane *l, uint32_t t, const float *post_norm) {
        const Forward *f = l->f;
        const Kernels *k = f->m->kernels;
        const Hparams *hp = &f->m->hp;
        float *x = l->x + t * f->embd_stride;
        const float *add = f->pending + t * f->embd_stride;

        if (post_norm) {
                k->rms_norm(add, post_norm, hp->n_embd, hp->norm_eps, l->row);
                add = l->row;
        }
        if (hp->residual_scale != 1.0f)
                k->axpy(x, add, hp->residual_scale, hp->n_embd);
        else
                k->add(x, add, hp->n_embd);
}

const uint8_t *lane_input(Lane *l, bool absorb, const float *post_norm, const float *norm) {
        const Forward *f = l->f;
        const Kernels *k = f->m->kernels;
        const uint32_t n = f->m->hp.n_embd;
        const size_t act_size = k->activation_size(n, f->m->unpacked);

        for (uint32_t t = l->t0; t < l->t1; t++) {
                if (absorb)
                        absorb_row(l, t, post_norm);
                k->rms_norm(l->x + t * f->embd_stride, norm, n, f->m->hp.norm_eps, l->row);
                k->activation(l->row, n, f->m->unpacked, l->act + (t - l->base) * act_size);
        }
        if (f->split == SPLIT_ROWS)
                lane_meet(l);
        return l->act;
}

const uint8_t *lane_activation(Lane *l, const float *src, size_t stride, uint32_t n) {
        const Forward *f = l->f;
        const Kernels *k = f->m->kernels;
        const size_t act_size = k->activation_size(n, f->m->unpacked);

        for (uint32_t t = l->t0; t < l->t1; t++)
                k->activation(src + t * stride, n, f->m->unpacked, l->act + (t - l->base) * act_size);
        if (f->split == SPLIT_ROWS)
                lane_meet(l);
        return l->act;
}

void lane_product(Lane *l, const Weight *w, const uint8_t *act, float *out, size_t stride, uint32_t row0, uint32_t row1,
                  const float *bias) {
        const Kernels *k = l->f->m->kernels;
        if (row0 >= row1 || l->p0 >= l->p1)
                return;
        k->matmul(w, act + (l->p0 - l->base) * k->activation_size(w->n_in, w->floats), l->p1 - l->p0, out + l->p0 * stride, stride, row0, row1);
        for (uint32_t t = l->p0; bias && t < l->p1; t++)
                k->add(out + t * stride + row0, bias + row0, row1 - row0);
}

void lane_activate(Lane *l, float *gate, const float *up, size_t stride, uint32_t n, uint32_t row0, uint32_t row1) {
        const struct SparkModel *m = l->f->m;
        void (*f)(float *, const float *, uint32_t) =
                m->architecture->activation == ACTIVATION_GELU ? m->kernels->gelu_mul : m->kernels->silu_mul;
        for (uint32_t t = 0; t < n && row0 < row1; t++)
                f(gate + t * stride + row0, up + t * stride + row0, row1 - row0);
}

/* ---- the step ---- */

static void embed(Lane *l) {
        const Forward *f = l->f;
        const Hparams *hp = &f->m->hp;

        for (uint32_t t = l->t0; t < l->t1; t++) {
                float *x = l->x + t * f->embd_stride;
                weight_row(&f->m->token_embd, f->rows[t].id, x);
                for (uint32_t i = 0; hp->embd_scale != 1.0f && i < hp->n_embd; i++)
                        x[i] *= hp->embd_scale;
        }
}

/* Angles in double: at position 100,000 a float's product is off by 0.004 radians. */
static void rope_angles(Lane *l) {
        const Forward *f = l->f;
        for (uint32_t k = 0; k < f->m->hp.n_ropes; k++)
                for (uint32_t t = l->own0; t < l->own1; t++)
                        for (uint32_t i = 0; i < f->m->hp.n_rot / 2; i++) {
                                double s, c;
                                sincos((double) f->rows[t].pos * f->m->rope_freqs[k][i], &s, &c);
                                f->rope_cos[k][t * f->rope_stride + i] = (float) c;
                                f->rope_sin[k][t * f->rope_stride + i] = (float) s;
                        }
}

/* The last layer's output is wanted only for the rows that want logits; where tokens are split, rows before the first
 * of these stop once their keys and values are stored. */
void lane_keep_wanted(Lane *l) {
        const Forward *f = l->f;
        if (f->split != SPLIT_TOKENS)
                return;
        while (l->t0 < l->t1 && f->rows[l->t0].logits < 0)
                l->t0++;
        l->p0 = l->t0;
}

static void output_rows(const Forward *f, const uint8_t *act, uint32_t row0, uint32_t row1) {
        const struct SparkModel *m = f->m;

        m->kernels->matmul(&m->output, act, f->n_logits, f->logits, f->logits_stride, row0, row1);
        for (uint32_t j = 0; m->hp.logit_scale != 1.0f && j < f->n_logits; j++)
                for (uint32_t i = row0; i < row1; i++)
                        f->logits[j * f->logits_stride + i] *= m->hp.logit_scale;
}

static void output(Lane *l, const float *post_norm) {
        Forward *f = l->f;
        const struct SparkModel *m = f->m;
        const Kernels *k = m->kernels;
        const uint32_t n = m->hp.n_embd;
        const size_t act_size = k->activation_size(n, f->m->unpacked);
        uint8_t *act = f->split == SPLIT_FEW ? l->act_few : f->act_out;

        for (uint32_t t = l->t0; t < l->t1; t++) {
                if (f->rows[t].logits < 0)
                        continue;
                absorb_row(l, t, post_norm);
                k->rms_norm(l->x + t * f->embd_stride, m->output_norm, n, m->hp.norm_eps, l->row);
                k->activation(l->row, n, m->unpacked, act + (size_t) f->rows[t].logits * act_size);
        }
        if (f->split != SPLIT_FEW)
                pool_barrier(f->pool, l->thread);

        /* The largest matrix by far: dealt out in pieces, so that a slower core holds nobody up. */
        const unsigned n_pieces = l->n_threads * OUTPUT_PIECES;
        for (uint32_t i; (i = pool_next(&f->output_next, n_pieces)) != UINT32_MAX;) {
                const uint32_t row0 = share_begin(m->hp.n_vocab, KERNELS_ROW_TILE, i, n_pieces);
                const uint32_t row1 = share_end(m->hp.n_vocab, KERNELS_ROW_TILE, i, n_pieces);
                if (row0 < row1)
                        output_rows(f, act, row0, row1);
        }
}

static void forward_job(void *userdata, unsigned thread, unsigned n_threads) {
        Forward *f = userdata;
        Lane *l = &f->lanes[thread];
        const struct SparkModel *m = f->m;

        l->n_threads = n_threads;
        l->x = f->split == SPLIT_FEW ? l->x_few : f->x;
        if (f->split == SPLIT_TOKENS)
                deal_rows(l);
        else {
                l->own0 = share_begin(f->n_rows, 1, thread, n_threads);
                l->own1 = share_end(f->n_rows, 1, thread, n_threads);
                l->t0 = f->split == SPLIT_FEW ? 0 : l->own0;
                l->t1 = f->split == SPLIT_FEW ? f->n_rows : l->own1;
                l->p0 = 0;
                l->p1 = f->n_rows;
                l->base = 0;
                l->act = f->split == SPLIT_FEW ? l->act_few : f->act;
        }

        embed(l);
        rope_angles(l);
        pool_barrier(f->pool, thread);

        const float *post_norm = NULL;
        for (uint32_t i = 0; i < m->hp.n_layers; i++) {
                forward_attention(l, i, i > 0, post_norm);
                if (m->hp.layers[i].experts)
                        forward_experts(l, i);
                else
                        forward_dense(l, i);
                post_norm = m->layers[i].post_ffn_norm;
        }
        if (f->n_logits > 0)
                output(l, post_norm);
}

/* What a prompt's batches touched is given back when single tokens follow: nothing in it outlives a batch. */
static void release_batch(Forward *f) {
        if (f->n_rows <= FEW_ROWS && f->n_touched > RELEASE_ROWS) {
                madvise(f->arena, f->batch_size & ~((size_t) sysconf(_SC_PAGESIZE) - 1), MADV_DONTNEED);
                f->n_touched = 0;
        }
        f->n_touched = MAX(f->n_touched, f->n_rows);
}

void forward_run(Forward *f, Pool *pool, const Segment *segments, size_t n_segments, float *logits) {
        f->pool = pool;
        f->segments = segments;
        f->n_segments = n_segments;
        f->logits = logits;
        f->n_rows = f->n_logits = 0;
        atomic_store_explicit(&f->output_next, 0, memory_order_relaxed);
        for (size_t s = 0; s < n_segments; s++)
                for (uint32_t i = 0; i < segments[s].n; i++)
                        f->rows[f->n_rows++] = (Row) {
                                .segment = &segments[s],
                                .id = segments[s].ids[i],
                                .pos = segments[s].pos0 + i,
                                .logits = i + segments[s].n_logits >= segments[s].n ? (int) f->n_logits++ : -1,
                        };

        release_batch(f);
        f->split = f->n_rows <= FEW_ROWS                              ? SPLIT_FEW
                   : f->n_rows < TOKENS_PER_THREAD * f->n_threads_max ? SPLIT_ROWS
                                                                      : SPLIT_TOKENS;
        pool_run(pool, forward_job, f);
}
