/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the engine's life and the step: choose rows, compute them, choose tokens, tell. Nothing in here blocks, and
 * nothing fails for one sequence because of another. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "basic/checked.h"
#include "engine/runtime/runtime.h"

#define EVENTS_MAX (SPARK_ROWS_MAX + SPARK_SEQUENCES_MAX + SPARK_CHUNK)

uint64_t now_us(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

/* ---- life ---- */

int engine_reserve_logits(SparkEngine *e, size_t n_rows) {
        if (n_rows <= e->logits_allocated)
                return 0;
        size_t bytes;
        if (!checked_mul(n_rows, forward_logits_stride(e->model) * sizeof(float), &bytes))
                return -ENOMEM;
        float *logits = aligned_alloc(KERNELS_ALIGN, bytes);
        if (!logits)
                return -ENOMEM;
        free(e->logits);
        e->logits = logits;
        e->logits_allocated = n_rows;
        return 0;
}

int spark_engine_new(SparkModel *m, Pool *pool, const SparkEngineParams *p, SparkEngine **ret, EngineError *reterr) {
        const Hparams *hp = &m->hp;
        if (p->n_ctx > hp->n_ctx_train)
                return engine_fail(reterr, -ERANGE, "a context of %u; the model was trained for %u", p->n_ctx, hp->n_ctx_train);
        if (p->kv_type == KV_Q8 && (hp->head_dim_k % 32 != 0 || hp->head_dim_v % 32 != 0))
                return engine_fail(reterr, -ENOTSUP, "8-bit keys and values need heads of a multiple of 32, not %u and %u",
                                   hp->head_dim_k, hp->head_dim_v);

        _cleanup_(spark_engine_freep) SparkEngine *e = calloc(1, sizeof *e);
        if (!e)
                return engine_fail(reterr, -ENOMEM, "no memory for the engine");
        e->model = m;
        e->pool = pool;
        e->n_ctx = p->n_ctx > 0 ? p->n_ctx : MIN(hp->n_ctx_train, N_CTX_DEFAULT_MAX);
        e->chunk = p->chunk > 0 ? MIN(p->chunk, SPARK_CHUNK) : SPARK_CHUNK;
        e->mixed_chunk = MIXED_CHUNK_FIRST;

        uint64_t context = 0;
        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                e->page_sizes[g] = forward_page_size(m, p->kv_type, g);
                context += e->page_sizes[g] * kv_table_pages(&m->kv_groups[g], e->n_ctx, e->chunk);
        }
        const uint64_t budget = p->kv_budget > 0 ? p->kv_budget : context * (p->kv_contexts > 0 ? p->kv_contexts : KV_CONTEXTS_DEFAULT);

        e->events = calloc(EVENTS_MAX, sizeof *e->events);
        int r = e->events ? kv_cache_new(e->page_sizes, budget, &e->cache) : -ENOMEM;
        if (r >= 0)
                r = forward_new(m, p->kv_type, pool_n_threads(pool), ROWS_MAX, &e->forward);
        if (r >= 0)
                r = engine_reserve_logits(e, 1);
        if (r < 0)
                return engine_fail(reterr, r, "no memory for the engine's buffers");
        *ret = TAKE_PTR(e);
        return 0;
}

SparkEngine *spark_engine_free(SparkEngine *e) {
        if (!e)
                return NULL;
        forward_free(e->forward);
        kv_cache_free(e->cache);
        free(e->logits);
        free(e->events);
        free(e->text);
        free(e);
        return NULL;
}

uint32_t spark_engine_n_ctx(const SparkEngine *e) {
        return e->n_ctx;
}

void spark_engine_stats(const SparkEngine *e, SparkEngineStats *ret) {
        *ret = (SparkEngineStats) {
                .n_sequences = (uint32_t) e->n_sequences,
                .kv_bytes = kv_cache_bytes(e->cache),
                .kv_budget = kv_cache_budget(e->cache),
                .tokens_prefilled = e->tokens_prefilled,
                .tokens_reused = e->tokens_reused,
                .tokens_generated = e->tokens_generated,
                .tokens_drafted = e->tokens_drafted,
                .tokens_kept = e->tokens_kept,
                .evictions = kv_cache_evictions(e->cache) + e->preemptions,
        };
        for (size_t i = 0; i < e->n_sequences; i++) {
                ret->n_running += sequence_running(e->sequences[i]);
                ret->n_waiting += e->sequences[i]->state == SEQUENCE_PROMPT;
        }
}

/* ---- events ---- */

/* Text goes into one buffer; an event holds its offset until the step ends, because the buffer may move. */
static SparkEvent *add_event(SparkEngine *e, SparkSequence *s, SparkEventType type) {
        SparkEvent *event = &e->events[e->n_events++];
        *event = (SparkEvent) { .type = type, .sequence = s, .userdata = s->params.userdata };
        return event;
}

static int add_text(SparkEngine *e, SparkSequence *s, SparkEvent *event, const char *bytes, size_t n, bool last) {
        const size_t most = 3 * (n + 4) + 1;
        if (most > e->text_allocated - e->n_text) {
                const size_t allocated = MAX((size_t) 4096, (e->text_allocated + most) * 2);
                char *text = realloc(e->text, allocated);
                if (!text)
                        return -ENOMEM;
                e->text = text;
                e->text_allocated = allocated;
        }
        event->text = (const char *) (uintptr_t) e->n_text;
        event->text_size = utf8_stream_push(&s->stream, bytes, n, last, e->text + e->n_text);
        e->text[e->n_text + event->text_size] = '\0';
        e->n_text += event->text_size + 1;
        return 0;
}

static void finish(SparkEngine *e, SparkSequence *s) {
        s->state = SEQUENCE_IDLE;
        s->usage.generate_us = s->usage.n_generated > 0 ? s->last_us - s->first_us : 0;
        SparkEvent *event = add_event(e, s, SPARK_EVENT_FINISHED);
        event->finish = s->finish;
        event->usage = s->usage;
        add_text(e, s, event, "", 0, true);
        s->sampler = sampler_free(s->sampler);
}

/* ---- the step ---- */

/* Tokens one after another, for as long as what was guessed is what is chosen. */
static void choose(SparkEngine *e, StepRow *row) {
        SparkSequence *s = row->sequence;
        const uint32_t *drafted = s->ids + s->kv.n_held + 1;

        for (uint32_t i = 0; i < row->n_logits; i++) {
                float *logits = e->logits + (row->first_logits + i) * forward_logits_stride(e->model);
                const uint32_t id = sampler_next(s->sampler, logits, NULL);
                row->chosen[row->n_chosen++] = id;
                if (tokenizer_is_end(e->model->tokenizer, id) && !s->ignore_end)
                        return;
                sampler_accept(s->sampler, id);
                if (i + 1 < row->n_logits && id != drafted[i])
                        return;
        }
}

static void sample_job(void *userdata, unsigned thread, unsigned n_threads) {
        SparkEngine *e = userdata;
        uint32_t i;
        (void) thread;
        (void) n_threads;
        while ((i = pool_next(&e->sample_next, (uint32_t) e->n_rows)) != UINT32_MAX)
                choose(e, &e->rows[i]);
}

static void take_token(SparkEngine *e, SparkSequence *s, uint32_t id, uint64_t now) {
        const Tokenizer *t = e->model->tokenizer;

        if (!s->generating) {
                s->generating = true;
                s->first_us = now;
                s->usage.first_token_us = now - s->start_us;
        }
        s->last_us = now;
        s->state = SEQUENCE_GENERATE;
        if (tokenizer_is_end(t, id) && !s->ignore_end) {
                sequence_end(s, SPARK_FINISH_STOP);
                return;
        }

        s->usage.n_generated++;
        e->tokens_generated++;

        size_t n = 0;
        const char *piece = tokenizer_is_control(t, id) ? NULL : tokenizer_piece(t, id, &n);
        SparkEvent *event = add_event(e, s, SPARK_EVENT_TOKEN);
        event->id = id;
        if (sequence_append(s, id) < 0 || add_text(e, s, event, piece ?: "", piece ? n : 0, false) < 0)
                sequence_end(s, SPARK_FINISH_NO_MEMORY);
        else if (s->usage.n_generated >= s->max_tokens)
                sequence_end(s, SPARK_FINISH_LENGTH);
        else if (s->n_ids >= e->n_ctx)
                sequence_end(s, SPARK_FINISH_CONTEXT);
}

static void compute(SparkEngine *e) {
        const uint64_t begin = now_us();
        forward_run(e->forward, e->pool, e->segments, e->n_rows, e->logits);
        atomic_store(&e->sample_next, 0);
        if (e->n_rows > 1 && e->n_logits > 1)
                pool_run(e->pool, sample_job, e);
        else
                sample_job(e, 0, 1);

        const uint64_t now = now_us();
        schedule_learn(e, now - begin);
        for (size_t i = 0; i < e->n_rows; i++) {
                const StepRow *row = &e->rows[i];
                SparkSequence *s = row->sequence;
                if (s->state == SEQUENCE_PROMPT)
                        e->tokens_prefilled += row->n;
                /* The first of a guess's rows computes what was there before it. */
                const uint32_t n_kept = row->n_drafted > 0 ? row->n_chosen - 1 : 0;
                kv_table_advance(&s->kv, s->ids, row->n - row->n_drafted + n_kept);
                if (row->n_drafted > 0) {
                        draft_learn(&s->draft, row->n_drafted, n_kept);
                        e->tokens_drafted += row->n_drafted;
                        e->tokens_kept += n_kept;
                }
                for (uint32_t k = 0; k < row->n_chosen && s->state != SEQUENCE_DONE; k++)
                        take_token(e, s, row->chosen[k], now);
                if (row->n_logits > 0)
                        continue;
                if (s->kv.n_held == s->n_ids)
                        sequence_end(s, SPARK_FINISH_LENGTH);
        }
}

int spark_engine_step(SparkEngine *e, const SparkEvent **ret_events, size_t *ret_n) {
        e->n_events = e->n_text = 0;

        for (size_t i = 0; i < e->n_sequences; i++)
                if (e->sequences[i]->cancelled && sequence_running(e->sequences[i]))
                        sequence_end(e->sequences[i], SPARK_FINISH_CANCELLED);

        schedule_step(e);
        int r = engine_reserve_logits(e, e->n_logits);
        if (r < 0)
                for (size_t i = 0; i < e->n_rows; i++)
                        sequence_end(e->rows[i].sequence, SPARK_FINISH_NO_MEMORY);
        else if (e->n_rows > 0)
                compute(e);

        bool left = false;
        for (size_t i = 0; i < e->n_sequences; i++) {
                SparkSequence *s = e->sequences[i];
                if (s->state == SEQUENCE_DONE)
                        finish(e, s);
                left = left || (sequence_running(s) && !s->held);
        }
        for (size_t i = 0; i < e->n_events; i++)
                e->events[i].text = e->text ? e->text + (uintptr_t) e->events[i].text : "";

        *ret_events = e->events;
        *ret_n = e->n_events;
        return left;
}
