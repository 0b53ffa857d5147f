/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the feed-forward block of experts (Shazeer et al., 2017; Fedus et al., 2022): scores, choice, and the products
 * of the chosen alone. Tokens that chose the same expert are gathered, so that its weights are read once a step; what
 * nobody chose is not touched.
 *
 * Threads that share tokens choose for themselves: the same scores give the same choice. A token's experts are summed
 * in the order of their rank, so that its result does not depend on who else is in the batch. */

#include <math.h>
#include <string.h>

#include "engine/models/lane.h"

struct Routed {
        float *scores;                        /* [rows_max][scores_stride] */
        size_t scores_stride;
        uint32_t *chosen;                     /* [rows_max][n_experts_used]: experts by rank */
        float *weights;                       /* the same for their weights */
        uint32_t *pair;                       /* the same for their pairs' numbers: pairs lie by expert, then by token */
        uint32_t *token;                      /* of a pair */
        float *input;                         /* of a pair: what scales the expert's input */
        uint32_t *first;                      /* [n_experts + 1]: first pair of an expert */
        uint8_t *gathered;                    /* [rows_max] activations */
};

typedef struct Layout {
        size_t size;
        uint8_t *base;
} Layout;

static void *piece(Layout *l, size_t bytes) {
        void *p = l->base ? l->base + l->size : NULL;
        l->size += (bytes + KERNELS_ALIGN - 1) & ~(size_t) (KERNELS_ALIGN - 1);
        return p;
}

/* Bounded by architecture.h's limits: rows × experts used, rows × experts. */
static size_t lay_out(struct Routed *r, const Forward *f, uint8_t *base) {
        const Hparams *hp = &f->m->hp;
        const size_t n_pairs = (size_t) f->rows_max * hp->n_experts_used;
        Layout l = { .base = base };
        struct Routed routed = { .scores_stride = (hp->n_experts + 15) & ~15u };

        piece(&l, sizeof routed);
        routed.scores = piece(&l, f->rows_max * routed.scores_stride * sizeof(float));
        routed.chosen = piece(&l, n_pairs * sizeof(uint32_t));
        routed.weights = piece(&l, n_pairs * sizeof(float));
        routed.pair = piece(&l, n_pairs * sizeof(uint32_t));
        routed.token = piece(&l, n_pairs * sizeof(uint32_t));
        routed.input = piece(&l, n_pairs * sizeof(float));
        routed.first = piece(&l, (hp->n_experts + 1) * sizeof(uint32_t));
        routed.gathered = piece(&l, f->rows_max * f->m->kernels->activation_size(hp->n_embd, f->m->unpacked));
        if (r)
                *r = routed;
        return l.size;
}

size_t routed_size(const Forward *f) {
        return lay_out(NULL, f, NULL);
}

void routed_init(struct Routed *r, const Forward *f) {
        lay_out(r, f, (uint8_t *) r);
}

/* The n best of a token's scores, ties to the lower number, and their weights. */
static void choose(const struct SparkModel *m, float *scores, uint32_t *chosen, float *weights) {
        const uint32_t n = m->hp.n_experts, n_used = m->hp.n_experts_used;
        const Routing routing = m->architecture->routing;

        float max = scores[0], sum = 0.0f;
        for (uint32_t i = 1; i < n; i++)
                max = fmaxf(max, scores[i]);
        if (routing != ROUTE_SIGMOID_INPUT) {
                for (uint32_t i = 0; i < n; i++)
                        sum += scores[i] = expf(scores[i] - max);
                for (uint32_t i = 0; i < n; i++)
                        scores[i] /= sum;
        }

        float total = 0.0f;
        for (uint32_t k = 0; k < n_used; k++) {
                uint32_t best = UINT32_MAX;
                for (uint32_t i = 0; i < n; i++) {
                        bool taken = false;
                        for (uint32_t j = 0; j < k; j++)
                                taken = taken || chosen[j] == i;
                        /* Scores that are not numbers choose the first experts rather than none. */
                        if (!taken && (best == UINT32_MAX || scores[i] > scores[best]))
                                best = i;
                }
                chosen[k] = best;
                weights[k] = routing == ROUTE_SIGMOID_INPUT ? 1.0f / (1.0f + expf(-scores[best])) : scores[best];
                total += weights[k];
        }
        for (uint32_t k = 0; routing == ROUTE_SOFTMAX_NORMED && k < n_used; k++)
                weights[k] /= total;
}

/* Choices of this lane's tokens, and its pairs sorted by expert. */
static void route(Lane *l, const ModelExperts *e, const uint8_t *act) {
        const Hparams *hp = &l->f->m->hp;
        struct Routed *r = l->routed;
        const uint32_t n = l->p1 - l->p0, n_used = hp->n_experts_used;

        memset(r->first, 0, (hp->n_experts + 1) * sizeof *r->first);
        if (n == 0)
                return;
        const Kernels *kernels = l->f->m->kernels;
        kernels->matmul(&e->router, act + (l->p0 - l->base) * kernels->activation_size(hp->n_embd, e->router.floats), n,
                        r->scores, r->scores_stride, 0, hp->n_experts);
        for (uint32_t t = 0; t < n; t++) {
                choose(l->f->m, r->scores + t * r->scores_stride, r->chosen + t * n_used, r->weights + t * n_used);
                for (uint32_t k = 0; k < n_used; k++)
                        r->first[r->chosen[t * n_used + k] + 1]++;
        }
        for (uint32_t i = 0; i < hp->n_experts; i++)
                r->first[i + 1] += r->first[i];
        for (uint32_t t = 0; t < n; t++)
                for (uint32_t k = 0; k < n_used; k++) {
                        const uint32_t i = t * n_used + k, pair = r->first[r->chosen[i]]++;
                        r->pair[i] = pair;
                        r->token[pair] = t;
                        r->input[pair] = 1.0f;
                        if (l->f->m->architecture->routing == ROUTE_SIGMOID_INPUT) {
                                r->input[pair] = r->weights[i];
                                r->weights[i] = 1.0f;
                        }
                }
        for (uint32_t i = hp->n_experts; i > 0; i--)
                r->first[i] = r->first[i - 1];
        r->first[0] = 0;
}

/* Activations of an expert's tokens, one after another. */
static const uint8_t *gather(Lane *l, const uint8_t *act, uint32_t pair0, uint32_t pair1) {
        const struct Routed *r = l->routed;
        const size_t size = l->f->m->kernels->activation_size(l->f->m->hp.n_embd, l->f->m->unpacked);
        const uint8_t *from = act + (l->p0 - l->base) * size;

        if (pair1 - pair0 == 1)
                return from + r->token[pair0] * size;
        for (uint32_t p = pair0; p < pair1; p++)
                memcpy(r->gathered + (p - pair0) * size, from + r->token[p] * size, size);
        return r->gathered;
}

static void scale(float *x, float a, uint32_t n) {
        for (uint32_t i = 0; a != 1.0f && i < n; i++)
                x[i] *= a;
}

/* pairs' act(gate) · up, this lane's share of each expert's rows */
static void expand(Lane *l, const ModelExperts *e, const uint8_t *act, size_t base) {
        const Forward *f = l->f;
        const Kernels *k = f->m->kernels;
        const struct Routed *r = l->routed;
        const uint32_t n_ff = f->m->hp.n_ff_expert, row0 = lane_begin(l, n_ff), row1 = lane_end(l, n_ff);

        for (uint32_t i = 0; i < f->m->hp.n_experts && row0 < row1; i++) {
                const uint32_t p0 = r->first[i], n = r->first[i + 1] - p0;
                float *gate = f->pair_gate + (base + p0) * f->pair_ff_stride, *up = f->pair_up + (base + p0) * f->pair_ff_stride;
                if (n == 0)
                        continue;
                const uint8_t *in = gather(l, act, p0, p0 + n);
                k->matmul(&e->gate[i], in, n, gate, f->pair_ff_stride, row0, row1);
                k->matmul(&e->up[i], in, n, up, f->pair_ff_stride, row0, row1);
                for (uint32_t p = 0; p < n; p++) {
                        scale(gate + p * f->pair_ff_stride + row0, r->input[p0 + p], row1 - row0);
                        scale(up + p * f->pair_ff_stride + row0, r->input[p0 + p], row1 - row0);
                }
                lane_activate(l, gate, up, f->pair_ff_stride, n, row0, row1);
        }
}

/* pending ← (the shared expert's, or 0) + Σ weight · down(pair), this lane's share of the rows */
static void contract(Lane *l, const ModelExperts *e, const uint8_t *shared, size_t base) {
        const Forward *f = l->f;
        const Kernels *k = f->m->kernels;
        const Hparams *hp = &f->m->hp;
        const struct Routed *r = l->routed;
        const size_t act_size = k->activation_size(hp->n_ff_expert, f->m->unpacked);
        const uint32_t row0 = lane_begin(l, hp->n_embd), row1 = lane_end(l, hp->n_embd);

        if (row0 >= row1)
                return;
        for (uint32_t i = 0; i < hp->n_experts; i++) {
                const uint32_t p0 = r->first[i], n = r->first[i + 1] - p0;
                if (n > 0)
                        k->matmul(&e->down[i], f->act_pairs + (base + p0) * act_size, n, f->pair_out + (base + p0) * f->embd_stride,
                                  f->embd_stride, row0, row1);
        }
        if (shared)
                lane_product(l, &e->shared_down, shared, f->pending, f->embd_stride, row0, row1, NULL);
        for (uint32_t t = l->p0; t < l->p1; t++) {
                float *out = f->pending + t * f->embd_stride + row0;
                if (!shared)
                        memset(out, 0, (row1 - row0) * sizeof *out);
                for (uint32_t i = 0; i < hp->n_experts_used; i++) {
                        const uint32_t at = (t - l->p0) * hp->n_experts_used + i;
                        k->axpy(out, f->pair_out + (base + r->pair[at]) * f->embd_stride + row0, r->weights[at], row1 - row0);
                }
        }
}

void forward_experts(Lane *l, uint32_t layer) {
        Forward *f = l->f;
        const Kernels *k = f->m->kernels;
        const Hparams *hp = &f->m->hp;
        const ModelLayer *w = &f->m->layers[layer];
        const ModelExperts *e = &w->experts;
        const bool shared = e->shared_gate.type != NULL;

        const uint8_t *act = lane_input(l, true, w->post_attn_norm, w->ffn_norm);
        route(l, e, act);

        /* Where tokens are split, so are pairs; else every lane has the same pairs and its own rows of them. */
        const bool split = f->split == SPLIT_TOKENS;
        const size_t base = split ? (size_t) l->base * hp->n_experts_used : 0;
        expand(l, e, act, base);
        if (shared) {
                const uint32_t row0 = lane_begin(l, hp->n_ff_shared), row1 = lane_end(l, hp->n_ff_shared);
                lane_product(l, &e->shared_gate, act, f->gate, f->wide_stride, row0, row1, NULL);
                lane_product(l, &e->shared_up, act, f->up, f->wide_stride, row0, row1, NULL);
                lane_activate(l, f->gate + l->p0 * f->wide_stride, f->up + l->p0 * f->wide_stride, f->wide_stride, l->p1 - l->p0, row0, row1);
        }
        lane_meet(l);

        const uint32_t n_pairs = (l->p1 - l->p0) * hp->n_experts_used;
        const uint32_t pair0 = split ? 0 : share_begin(n_pairs, 1, l->thread, l->n_threads);
        const uint32_t pair1 = split ? n_pairs : share_end(n_pairs, 1, l->thread, l->n_threads);
        const size_t act_size = k->activation_size(hp->n_ff_expert, f->m->unpacked);
        for (uint32_t p = pair0; p < pair1; p++)
                k->activation(f->pair_gate + (base + p) * f->pair_ff_stride, hp->n_ff_expert, f->m->unpacked,
                              f->act_pairs + (base + p) * act_size);
        const uint8_t *shared_act = shared ? lane_activation(l, f->gate, f->wide_stride, hp->n_ff_shared) : NULL;
        lane_meet(l);

        contract(l, e, shared_act, base);
        lane_meet(l);
}
