/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the attention block: projections, norms of queries and keys, rope, the store into pages, attention over them,
 * the output projection.
 *
 * A key's and value's head belongs to one thread from its projection to its page, so that no thread waits before
 * storing; rows of the query projection fill up the shares. Query heads are dealt out anew for attention itself. */

#include <math.h>

#include "engine/models/lane.h"

typedef struct QkvShare {
        uint32_t q0, q1;                      /* rows of the query projection */
        uint32_t h0, h1;                      /* key and value heads */
} QkvShare;

/* Threads take whole key/value heads; each then takes query rows up to an equal share of all rows. */
static QkvShare qkv_share(const Lane *l) {
        const Hparams *hp = &l->f->m->hp;
        const uint32_t n_q = hp->n_heads * hp->head_dim_k;
        if (l->f->split == SPLIT_TOKENS)
                return (QkvShare) { 0, n_q, 0, hp->n_heads_kv };

        const uint32_t per_head = hp->head_dim_k + hp->head_dim_v;
        const uint32_t n_all = n_q + hp->n_heads_kv * per_head;
        uint32_t q = 0;
        for (unsigned i = 0;; i++) {
                const uint32_t h0 = share_begin(hp->n_heads_kv, 1, i, l->n_threads), h1 = share_end(hp->n_heads_kv, 1, i, l->n_threads);
                const uint32_t target = n_all / l->n_threads, taken = (h1 - h0) * per_head;
                uint32_t n = target > taken ? (target - taken + KERNELS_ROW_TILE - 1) / KERNELS_ROW_TILE * KERNELS_ROW_TILE : 0;
                if (n > n_q - q || i + 1 == l->n_threads)
                        n = n_q - q;
                if (i == l->thread)
                        return (QkvShare) { q, q + n, h0, h1 };
                q += n;
        }
}

/* One head's vector, from the projection to what is multiplied: norm, rope, norm without weights. */
static void turn_head(Lane *l, uint32_t layer, uint32_t t, float *x, const float *norm) {
        const Forward *f = l->f;
        const Hparams *hp = &f->m->hp;
        const LayerPlan *plan = &hp->layers[layer];
        const QkNorm kind = f->m->hp.qk_norm;

        if (kind == QK_NORM_HEAD)
                f->m->kernels->rms_norm(x, norm, hp->head_dim_k, hp->norm_eps, x);
        if (plan->rope < 0)
                return;
        f->m->kernels->rope(x, f->rope_cos[plan->rope] + t * f->rope_stride, f->rope_sin[plan->rope] + t * f->rope_stride,
                            hp->n_rot / 2, f->m->architecture->rope_style != ROPE_HALVES);
        if (kind == QK_NORM_L2) {
                float sum = 0.0f;
                for (uint32_t i = 0; i < hp->head_dim_k; i++)
                        sum += x[i] * x[i];
                const float scale = 1.0f / sqrtf(sum / (float) hp->head_dim_k + hp->norm_eps);
                for (uint32_t i = 0; i < hp->head_dim_k; i++)
                        x[i] *= scale;
        }
}

static size_t k_offset(const Forward *f, uint32_t layer, uint32_t head) {
        return ((size_t) f->m->layers[layer].kv_index * f->m->hp.n_heads_kv + head) * (f->k_block + f->v_block);
}

static void store(Lane *l, uint32_t layer, uint32_t t0, uint32_t t1, uint32_t h0, uint32_t h1) {
        const Forward *f = l->f;
        const Hparams *hp = &f->m->hp;
        const ModelLayer *w = &f->m->layers[layer];

        for (uint32_t t = t0; t < t1; t++) {
                const Row *row = &f->rows[t];
                uint8_t *page = row->segment->pages[w->kv_group][row->pos / KV_PAGE_TOKENS];
                for (uint32_t h = h0; h < h1; h++) {
                        float *k = f->k + t * f->wide_stride + h * hp->head_dim_k;
                        const float *v = f->v + t * f->wide_stride + h * hp->head_dim_v;
                        const size_t offset = k_offset(f, layer, h);
                        const KvBlock block = { page + offset, page + offset + f->k_block, hp->head_dim_k, hp->head_dim_v };

                        turn_head(l, layer, t, k, w->k_norm);
                        f->m->kernels->kv_store(f->kv_type, &block, row->pos % KV_PAGE_TOKENS, k, v);
                }
        }
}

/* Queries [t0, t1) of one segment, query heads [h0, h1) of one key/value head. */
static void attend(Lane *l, uint32_t layer, uint32_t t0, uint32_t t1, uint32_t h0, uint32_t h1) {
        const Forward *f = l->f;
        const Hparams *hp = &f->m->hp;
        const LayerPlan *plan = &hp->layers[layer];
        const ModelLayer *w = &f->m->layers[layer];
        const uint32_t head_kv = h0 / (hp->n_heads / hp->n_heads_kv);
        const uint32_t pos0 = f->rows[t0].pos;
        const size_t offset = k_offset(f, layer, head_kv);

        for (uint32_t t = t0; t < t1; t++) {
                const uint32_t pos = f->rows[t].pos;
                for (uint32_t h = h0; h < h1; h++) {
                        float *q = f->q + t * f->wide_stride + h * hp->head_dim_k;
                        turn_head(l, layer, t, q, w->q_norm);
                        if (hp->attn_temp_scale > 0 && plan->rope < 0) {
                                const float a = 1.0f + hp->attn_temp_scale * logf(1.0f + (float) ((pos + 1) / hp->attn_temp_floor));
                                for (uint32_t i = 0; i < hp->head_dim_k; i++)
                                        q[i] *= a;
                        }
                }
        }

        uint32_t first = 0;
        if (plan->window > 0 && pos0 + 1 > plan->window)
                first = pos0 + 1 - plan->window;
        if (plan->chunk > 0)
                first = MAX(first, pos0 - pos0 % plan->chunk);

        f->m->kernels->attend(&(AttendArgs) {
                .type = f->kv_type,
                .head_dim_k = hp->head_dim_k,
                .head_dim_v = hp->head_dim_v,
                .n_group = h1 - h0,
                .n_queries = t1 - t0,
                .pos0 = pos0,
                .first = first,
                .window = plan->window,
                .chunk = plan->chunk,
                .scale = hp->attn_scale,
                .q = f->q + t0 * f->wide_stride + h0 * hp->head_dim_k,
                .q_stride = f->wide_stride,
                .out = f->attn + t0 * f->wide_stride + h0 * hp->head_dim_v,
                .out_stride = f->wide_stride,
                .pages = (const uint8_t *const *) f->rows[t0].segment->pages[w->kv_group],
                .k_offset = offset,
                .v_offset = offset + f->k_block,
                .scratch = l->attend_scratch,
        });
}

/* Heads [h0, h1) of queries [t0, t1) of one segment, cut where the key/value head or the kernels' limit ends. */
static void attend_heads(Lane *l, uint32_t layer, uint32_t t0, uint32_t t1, uint32_t h0, uint32_t h1) {
        const uint32_t n_group = l->f->m->hp.n_heads / l->f->m->hp.n_heads_kv;
        for (uint32_t t = t0; t < t1; t += ATTEND_QUERIES_MAX)
                for (uint32_t h = h0; h < h1;) {
                        const uint32_t end = MIN(h1, (h / n_group + 1) * n_group);
                        attend(l, layer, t, MIN(t1, t + ATTEND_QUERIES_MAX), h, end);
                        h = end;
                }
}

/* What one head of a segment's queries takes: pages walked, and begun. */
static uint64_t head_work(const Segment *segment, const LayerPlan *plan) {
        const uint64_t seen = segment->pos0 + segment->n;
        return segment->n * ((plan->window > 0 ? MIN(seen, (uint64_t) plan->window) : seen) + KV_PAGE_TOKENS);
}

/* How many of n heads of the given work lie before a place in all work, at which a head begins at `at`. */
static uint32_t heads_before(uint64_t place, uint64_t at, uint64_t work, uint32_t n) {
        return place <= at ? 0 : (uint32_t) MIN((place - at + work / 2) / work, (uint64_t) n);
}

/* This thread's part where weights are split: counted over segments and heads, an equal share of all work. */
static void attend_share(Lane *l, uint32_t layer) {
        const Forward *f = l->f;
        const LayerPlan *plan = &f->m->hp.layers[layer];
        const uint32_t n_heads = f->m->hp.n_heads;
        uint64_t all = 0, at = 0;

        for (size_t s = 0; s < f->n_segments; s++)
                all += head_work(&f->segments[s], plan) * n_heads;
        const uint64_t begin = all * l->thread / l->n_threads, end = all * (l->thread + 1) / l->n_threads;

        uint32_t t = 0;
        for (size_t s = 0; s < f->n_segments; s++) {
                const uint64_t work = head_work(&f->segments[s], plan);
                const uint32_t h0 = heads_before(begin, at, work, n_heads), h1 = heads_before(end, at, work, n_heads);
                if (h0 < h1)
                        attend_heads(l, layer, t, t + f->segments[s].n, h0, h1);
                t += f->segments[s].n;
                at += work * n_heads;
        }
}

/* … where tokens are: its tokens with all heads. */
static void attend_own(Lane *l, uint32_t layer) {
        const Forward *f = l->f;

        uint32_t t = 0;
        for (size_t s = 0; s < f->n_segments; s++) {
                const uint32_t end = t + f->segments[s].n, t0 = MAX(t, l->t0), t1 = MIN(end, l->t1);
                if (t0 < t1)
                        attend_heads(l, layer, t0, t1, 0, f->m->hp.n_heads);
                t = end;
        }
}

/* Norms over all heads together need whole rows: where rows of weights are split, meet, then go by tokens. */
static void norm_whole(Lane *l, uint32_t layer) {
        const Forward *f = l->f;
        const Hparams *hp = &f->m->hp;
        const ModelLayer *w = &f->m->layers[layer];

        lane_meet(l);
        for (uint32_t t = l->own0; t < l->own1; t++) {
                float *q = f->q + t * f->wide_stride, *k = f->k + t * f->wide_stride;
                f->m->kernels->rms_norm(q, w->q_norm, w->q.n_out, hp->norm_eps, q);
                f->m->kernels->rms_norm(k, w->k_norm, w->k.n_out, hp->norm_eps, k);
        }
        lane_meet(l);
}

void forward_attention(Lane *l, uint32_t layer, bool absorb, const float *post_norm) {
        Forward *f = l->f;
        const Hparams *hp = &f->m->hp;
        const ModelLayer *w = &f->m->layers[layer];
        const QkvShare mine = qkv_share(l);

        const uint8_t *act = lane_input(l, absorb, post_norm, w->attn_norm);
        lane_product(l, &w->q, act, f->q, f->wide_stride, mine.q0, mine.q1, w->q_bias);
        lane_product(l, &w->k, act, f->k, f->wide_stride, mine.h0 * hp->head_dim_k, mine.h1 * hp->head_dim_k, w->k_bias);
        lane_product(l, &w->v, act, f->v, f->wide_stride, mine.h0 * hp->head_dim_v, mine.h1 * hp->head_dim_v, w->v_bias);
        if (f->m->hp.qk_norm == QK_NORM_WHOLE)
                norm_whole(l, layer);
        store(l, layer, l->p0, l->p1, mine.h0, mine.h1);
        if (f->split == SPLIT_TOKENS)
                deal_meet(l);
        else
                pool_barrier(f->pool, l->thread);

        if (layer + 1 == hp->n_layers)
                lane_keep_wanted(l);
        if (f->split == SPLIT_TOKENS)
                attend_own(l, layer);
        else
                attend_share(l, layer);
        lane_meet(l);

        act = lane_activation(l, f->attn, f->wide_stride, w->o.n_in);
        lane_product(l, &w->o, act, f->pending, f->embd_stride, lane_begin(l, hp->n_embd), lane_end(l, hp->n_embd), w->o_bias);
        lane_meet(l);
}
