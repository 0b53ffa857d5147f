/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a sequence's life and what a start checks: ids inside the vocabulary, room in the context, sampler parameters. */

#include <errno.h>
#include <string.h>

#include "engine/runtime/runtime.h"

bool sequence_running(const SparkSequence *s) {
        return s->state != SEQUENCE_IDLE;
}

/* The domain's share, made where there is none, with one sequence more. NULL: no memory. */
static Share *share_get(SparkEngine *e, uint64_t domain) {
        for (size_t i = 0; domain > 0 && i < e->n_shares; i++)
                if (e->shares[i]->domain == domain) {
                        e->shares[i]->n_sequences++;
                        return e->shares[i];
                }
        Share *share = calloc(1, sizeof *share);
        if (!share)
                return NULL;
        share->domain = domain;
        share->n_sequences = 1;
        share->served = e->clock;             /* or to come and go would be to come first */
        e->shares[e->n_shares++] = share;     /* there are no more than sequences */
        return share;
}

static void share_put(SparkEngine *e, Share *share) {
        if (!share || --share->n_sequences > 0)
                return;
        for (size_t i = 0; i < e->n_shares; i++)
                if (e->shares[i] == share) {
                        e->shares[i] = e->shares[--e->n_shares];
                        break;
                }
        free(share);
}

static int sequence_new(SparkEngine *e, const SparkSequenceParams *p, Share *share, SparkSequence **ret, EngineError *reterr) {
        if (e->n_sequences >= SPARK_SEQUENCES_MAX)
                return engine_fail(reterr, -EMFILE, "there are %u sequences already", SPARK_SEQUENCES_MAX);

        SparkSequence *s = calloc(1, sizeof *s);
        if (!s)
                return engine_fail(reterr, -ENOMEM, "no memory for a sequence");
        s->engine = e;
        s->params = *p;
        if (share)
                share->n_sequences++;
        s->share = share ?: share_get(e, p->domain);
        if (!s->share) {
                free(s);
                return engine_fail(reterr, -ENOMEM, "no memory for a sequence");
        }
        KvDomain domain = { .app = p->domain };
        if (p->domain == 0)
                domain.sequence = ++e->clock;
        kv_table_init(&s->kv, e->cache, e->model->kv_groups, domain);

        e->sequences[e->n_sequences++] = s;
        *ret = s;
        return 0;
}

int spark_sequence_new(SparkEngine *e, const SparkSequenceParams *p, SparkSequence **ret, EngineError *reterr) {
        return sequence_new(e, p, NULL, ret, reterr);
}

SparkSequence *spark_sequence_free(SparkSequence *s) {
        if (!s)
                return NULL;
        SparkEngine *e = s->engine;
        for (size_t i = 0; i < e->n_sequences; i++)
                if (e->sequences[i] == s) {
                        e->sequences[i] = e->sequences[--e->n_sequences];
                        break;
                }
        share_put(e, s->share);
        kv_table_done(&s->kv);
        sampler_free(s->sampler);
        free(s->ids);
        free(s);
        return NULL;
}

void spark_sequence_set_background(SparkSequence *s, bool background) {
        s->params.background = background;
}

static int reserve_ids(SparkSequence *s, size_t n) {
        if (n <= s->n_allocated)
                return 0;
        const size_t allocated = MAX(n, s->n_allocated * 2 + 64);
        uint32_t *ids = realloc(s->ids, allocated * sizeof *ids);
        if (!ids)
                return -ENOMEM;
        s->ids = ids;
        s->n_allocated = allocated;
        return 0;
}

int sequence_append(SparkSequence *s, uint32_t id) {
        int r = reserve_ids(s, s->n_ids + 1);
        if (r < 0)
                return r;
        s->ids[s->n_ids++] = id;
        return 0;
}

uint32_t sequence_draft(SparkSequence *s, uint32_t most) {
        if (most == 0 || reserve_ids(s, s->n_ids + most) < 0)
                return 0;
        return draft_find(s->ids, s->n_ids, most);
}

int spark_sequence_fork(SparkSequence *s, void *userdata, SparkSequence **ret, EngineError *reterr) {
        if (sequence_running(s))
                return engine_fail(reterr, -EBUSY, "the sequence runs");

        SparkSequenceParams p = s->params;
        p.userdata = userdata;
        _cleanup_(spark_sequence_freep) SparkSequence *f = NULL;
        int r = sequence_new(s->engine, &p, s->share, &f, reterr);
        if (r < 0)
                return r;
        f->kv.domain = s->kv.domain;
        f->served = s->served;
        r = reserve_ids(f, s->n_ids);
        if (r >= 0)
                r = kv_table_fork(&s->kv, &f->kv);
        if (r < 0)
                return engine_fail(reterr, r, "no memory for a fork of %zu tokens", s->n_ids);
        if (s->n_ids > 0)
                memcpy(f->ids, s->ids, s->n_ids * sizeof *s->ids);
        f->n_ids = s->n_ids;
        *ret = TAKE_PTR(f);
        return 0;
}

int spark_sequence_start(SparkSequence *s, const SparkStart *start, EngineError *reterr) {
        SparkEngine *e = s->engine;
        const uint32_t n_vocab = e->model->hp.n_vocab;

        if (sequence_running(s))
                return engine_fail(reterr, -EBUSY, "the sequence runs already");
        if (start->n_ids == 0)
                return engine_fail(reterr, -EINVAL, "a context without a token");
        if (start->n_ids + (start->max_tokens > 0) > e->n_ctx)
                return engine_fail(reterr, -ENOBUFS, "%zu tokens leave no room in a context of %u", start->n_ids, e->n_ctx);
        for (size_t i = 0; i < start->n_ids; i++)
                if (start->ids[i] >= n_vocab)
                        return engine_fail(reterr, -EINVAL, "token id %u is outside a vocabulary of %u", start->ids[i], n_vocab);

        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        int r = 0;
        if (start->max_tokens > 0)
                r = sampler_new(&start->sampler, n_vocab, &sampler, reterr);
        if (r < 0)
                return r;
        r = reserve_ids(s, start->n_ids);
        if (r < 0)
                return engine_fail(reterr, r, "no memory for %zu tokens", start->n_ids);

        size_t same = 0;
        while (same < s->kv.n_held && same < start->n_ids && s->ids[same] == start->ids[same])
                same++;
        kv_table_truncate(&s->kv, MIN(same, start->n_ids - (start->max_tokens > 0)));

        memcpy(s->ids, start->ids, start->n_ids * sizeof *s->ids);
        s->n_ids = start->n_ids;
        if (sampler)
                for (size_t i = s->n_ids - MIN(s->n_ids, (size_t) SAMPLER_PENALTY_WINDOW_MAX); i < s->n_ids; i++)
                        sampler_accept(sampler, s->ids[i]);
        sampler_free(s->sampler);
        s->sampler = TAKE_PTR(sampler);
        s->state = SEQUENCE_PROMPT;
        s->cancelled = s->held = s->starved = s->generating = false;
        s->max_tokens = start->max_tokens;
        s->ignore_end = start->ignore_end;
        s->drafts = !start->no_drafts;
        s->draft = DRAFT_INIT;
        s->stream = (Utf8Stream) {};
        s->arrival = ++e->clock;
        s->start_us = now_us();
        s->usage = (SparkUsage) { .n_prompt = (uint32_t) s->n_ids, .n_cached = (uint32_t) s->kv.n_held };
        e->tokens_reused += s->kv.n_held;
        return 0;
}

void spark_sequence_cancel(SparkSequence *s) {
        if (sequence_running(s))
                s->cancelled = true;
}

void spark_sequence_hold(SparkSequence *s, bool held) {
        s->held = held;
}

size_t spark_sequence_n_tokens(const SparkSequence *s) {
        return s->kv.n_held;
}

void sequence_end(SparkSequence *s, SparkFinish finish) {
        s->state = SEQUENCE_DONE;
        s->finish = finish;
}
