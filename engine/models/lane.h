/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of the forward pass: what its threads share, and each thread's lane through it.
 *
 * Work is split in one of three ways, chosen by the number of rows:
 *   SPLIT_TOKENS  many rows: a thread takes its rows through all of a layer, and meets the others once a layer,
 *                 when keys and values are in their pages
 *   SPLIT_ROWS    some rows: a thread takes its rows of every weight matrix; what belongs to a token (norms,
 *                 quantising) is split by tokens, and each hand-over is a barrier
 *   SPLIT_FEW     one or two rows: as SPLIT_ROWS, but each thread does all tokens' norms and quantising for itself, on
 *                 its own copy of the residual stream, which is cheaper than meeting
 * The arithmetic of a row is the same in all three. */

#include <stdatomic.h>

#include "engine/models/forward.h"

#define FEW_ROWS 3u                           /* SPLIT_FEW up to here */
#define RELEASE_ROWS 64u                      /* so many rows' buffers stay resident between prompts */
#define TOKENS_PER_THREAD 16u                 /* SPLIT_TOKENS from so many rows a thread */
#define OUTPUT_PIECES 32u                     /* of the output matrix, a thread */

typedef enum Split { SPLIT_TOKENS, SPLIT_ROWS, SPLIT_FEW } Split;

typedef struct Row {
        const Segment *segment;
        uint32_t id, pos;
        int logits;                           /* index among the wanted rows, or -1 */
} Row;

struct Forward {
        const struct SparkModel *m;
        KvType kv_type;
        unsigned n_threads_max;
        uint32_t rows_max;
        size_t k_block, v_block;              /* bytes of one layer's one head in a page */
        uint64_t products;                    /* with weights, of one row */

        /* [rows_max][…], strides in floats, multiples of 16 */
        size_t embd_stride, wide_stride, rope_stride, logits_stride;
        float *x;                             /* residual stream */
        float *pending;                       /* what a block adds to it, not added yet */
        float *gate, *up;                     /* [wide_stride] */
        float *q, *k, *v, *attn;              /* parts of gate's rows: a row is in one block or in the other */
        float *rope_cos[MODEL_ROPES_MAX], *rope_sin[MODEL_ROPES_MAX];
        uint8_t *act, *act_out;               /* activations of the batch; of the rows whose logits are wanted */
        size_t act_max;                       /* of the widest input; threads that split tokens start at multiples of it */

        /* [rows_max · n_experts_used][…]: one row a (token, expert) pair */
        size_t pair_ff_stride;
        float *pair_gate, *pair_up, *pair_out;
        uint8_t *act_pairs;

        struct Lane *lanes;                   /* [n_threads_max] */
        void *arena;
        size_t arena_size, batch_size;        /* of the whole; of what single batches use, which comes first */
        uint32_t n_touched;                   /* rows of it that are resident */

        /* this batch */
        Pool *pool;
        Split split;
        const Segment *segments;
        size_t n_segments;
        Row *rows;                            /* [rows_max] */
        uint32_t n_rows, n_logits;
        float *logits;
        _Atomic uint32_t output_next;         /* piece of the output matrix */
};

typedef struct Lane {
        Forward *f;
        unsigned thread, n_threads;
        uint32_t t0, t1;                      /* tokens whose norms and activations this thread computes */
        uint32_t p0, p1;                      /* tokens that its matrix products cover */
        uint32_t own0, own1;                  /* tokens that are this thread's alone in every split */
        float *x;                             /* the shared residual stream, or this thread's own copy */
        uint8_t *act;                         /* activations of tokens from `base` on: the shared ones, or its own */
        uint32_t base;

        /* deal.c, where tokens are split: what it was dealt and when; its pace as told at the last two meetings */
        uint64_t work, dealt_ns;
        double pace[2];
        uint32_t n_told;

        /* its own memory */
        float *x_few;                         /* [FEW_ROWS][embd_stride] */
        uint8_t *act_few;
        float *row;                           /* [widest input] */
        float *attend_scratch;
        struct Routed *routed;                /* experts.c; NULL where no layer has experts */
} __attribute__((aligned(KERNELS_ALIGN))) Lane;

/* This thread's share of n, in multiples of step. */
static inline uint32_t share_begin(uint32_t n, uint32_t step, unsigned thread, unsigned n_threads) {
        const uint64_t n_steps = (n + step - 1) / step;
        const uint64_t begin = n_steps * thread / n_threads * step;
        return begin < n ? (uint32_t) begin : n;
}

static inline uint32_t share_end(uint32_t n, uint32_t step, unsigned thread, unsigned n_threads) {
        return share_begin(n, step, thread + 1, n_threads);
}

/* The rows of a weight matrix that this thread computes: all where tokens are split. */
static inline uint32_t lane_begin(const Lane *l, uint32_t n_out) {
        return l->f->split == SPLIT_TOKENS ? 0 : share_begin(n_out, KERNELS_ROW_TILE, l->thread, l->n_threads);
}

static inline uint32_t lane_end(const Lane *l, uint32_t n_out) {
        return l->f->split == SPLIT_TOKENS ? n_out : share_end(n_out, KERNELS_ROW_TILE, l->thread, l->n_threads);
}

/* Meets the other threads where rows of weights are split; nothing where tokens are. */
static inline void lane_meet(Lane *l) {
        if (l->f->split != SPLIT_TOKENS)
                pool_barrier(l->f->pool, l->thread);
}

/* x ← x + residual_scale · [post_norm](pending) where `absorb`, then norm(x) as an activation, for this thread's
 * tokens; the activations of all tokens from `base` on that its products cover are there on return. */
const uint8_t *lane_input(Lane *l, bool absorb, const float *post_norm, const float *norm);
/* The same for rows of floats as they are. */
const uint8_t *lane_activation(Lane *l, const float *src, size_t stride, uint32_t n);
/* out[t][row0 … row1) for the tokens that this thread's products cover, plus `bias` where there is one. */
void lane_product(Lane *l, const Weight *w, const uint8_t *act, float *out, size_t stride, uint32_t row0, uint32_t row1,
                  const float *bias);
/* gate ← act(gate) · up on [row0, row1) of n rows. */
void lane_activate(Lane *l, float *gate, const float *up, size_t stride, uint32_t n, uint32_t row0, uint32_t row1);

/* deal.c. Sets a lane's tokens where tokens are split; deal_meet() meets the other threads and deals them out anew, of
 * which every lane has the same view. */
uint64_t deal_products(const struct SparkModel *m);
void deal_rows(Lane *l);
void deal_meet(Lane *l);

/* In the last layer: leaves out rows that nobody wants logits of, where that spares work. */
void lane_keep_wanted(Lane *l);

/* The blocks of a layer; each leaves its output in `pending` and meets. */
void forward_attention(Lane *l, uint32_t layer, bool absorb, const float *post_norm);
void forward_dense(Lane *l, uint32_t layer);
void forward_experts(Lane *l, uint32_t layer);

/* experts.c's memory in a lane, for rows_max tokens. */
size_t routed_size(const Forward *f);
void routed_init(struct Routed *r, const Forward *f);
