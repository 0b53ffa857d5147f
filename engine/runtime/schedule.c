/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the choice of a step's rows: one for every sequence that generates, then a chunk of prompts, those of the app
 * that waited longest first. Background work has the steps that nothing interactive is to be done in.
 *
 * While sequences generate, prompts have a share of the time: steps without them earn it, and a chunk spends it, so that
 * what a long prompt costs the others is bounded whatever the chunk takes. Small chunks are the cheapest, as weights are
 * read for the others anyway. Results do not depend on where a prompt is cut.
 *
 * An app that has much running gives way to one that generates nothing yet, for two thirds of the time: whoever asks
 * one thing has its first token soon, whatever others have running. It is time that is shared, in steps that are large
 * enough to be worth their while, since on a busy machine no single step's length says much.
 *
 * When pages run out, whoever came later, background before interactive, gives its own up and computes them again when
 * there is room. Who came first is never asked, so that something always goes on. */

#include <string.h>

#include "engine/runtime/runtime.h"

#define MIXED_CHUNK_MIN 4u
#define MIXED_TILE 4u                         /* rows that the kernels compute together: one more costs as much again */
#define MIXED_SLOWDOWN 1.4                    /* of tokens beside prompts, aimed at: well below 2, as steps vary */
#define MIXED_STEP 2u                         /* a step's length with a chunk, by that without, aimed at */
#define MIXED_RECOVER_STEPS 8u                /* without prompts, until they are as quick as alone */
#define MIXED_TEACH_STEPS 16u                 /* without prompts … */
#define MIXED_UNTAUGHT_STEPS 128u             /* … after so many */
#define MIXED_EARNED_PART 4                   /* of a step's usual time is earned however slow it was: prompts go on */
#define MIXED_CREDIT_US 25000                 /* at most: a short prompt has its turn at once; and at least */
#define FAVOUR_CHUNK 64u                      /* of prompts alone: fewer tokens are computed at half the speed */
#define FAVOUR_PARTS 2                        /* of the time, to one of the crowd's */
#define FAVOUR_CREDIT_US 100000               /* of newcomers, where nobody gave way for long */
#define FAVOUR_STEPS 2u                       /* the same among prompts: in a row, then one for all */
#define UNDISTURBED 2u                        /* sequences of one app, that never give way */

/* Smaller goes first, and keeps its pages longer. */
static bool before(const SparkSequence *a, const SparkSequence *b) {
        if (a->params.background != b->params.background)
                return b->params.background;
        return a->arrival < b->arrival;
}

static bool served_before(const SparkSequence *a, const SparkSequence *b) {
        return a->served != b->served ? a->served < b->served : a->arrival < b->arrival;
}

/* Prompts: app by app, in steps that favour those who have little running. */
static bool prompt_before(const SparkEngine *e, const SparkSequence *a, const SparkSequence *b) {
        if (e->favours && a->share->n_running != b->share->n_running)
                return a->share->n_running < b->share->n_running;
        if (a->share->served != b->share->served)
                return a->share->served < b->share->served;
        return served_before(a, b);
}

static bool gives_way(const SparkEngine *e, const SparkSequence *s) {
        return e->favours && s->share->n_running > UNDISTURBED;
}

static bool in_step(const SparkEngine *e, const SparkSequence *s) {
        return s->served == e->clock;
}

static bool holds_pages(const SparkSequence *s) {
        return s->kv.n_held > 0;
}

/* Pages of an idle sequence, the one used longest ago; they stay findable until they are needed. */
static bool release_idle(SparkEngine *e) {
        SparkSequence *oldest = NULL;
        for (size_t i = 0; i < e->n_sequences; i++) {
                SparkSequence *s = e->sequences[i];
                if (!sequence_running(s) && holds_pages(s) && (!oldest || s->served < oldest->served))
                        oldest = s;
        }
        if (oldest)
                kv_table_clear(&oldest->kv);
        return oldest != NULL;
}

/* Pages of a running sequence that comes after s and has no row in this step. */
static bool preempt_later(SparkEngine *e, const SparkSequence *s) {
        SparkSequence *last = NULL;
        for (size_t i = 0; i < e->n_sequences; i++) {
                SparkSequence *o = e->sequences[i];
                if (o != s && sequence_running(o) && holds_pages(o) && !in_step(e, o) && before(s, o) && (!last || before(last, o)))
                        last = o;
        }
        if (!last)
                return false;
        kv_table_clear(&last->kv);
        last->state = SEQUENCE_PROMPT;
        last->starved = true;
        e->preemptions++;
        return true;
}

/* A row in this step has pages, though what they are to hold is not computed yet. */
static bool others_hold_pages(const SparkEngine *e, const SparkSequence *s) {
        for (size_t i = 0; i < e->n_sequences; i++) {
                const SparkSequence *o = e->sequences[i];
                if (o != s && sequence_running(o) && (holds_pages(o) || in_step(e, o)))
                        return true;
        }
        return false;
}

/* Pages for n more positions of s. False: not in this step, or (SEQUENCE_DONE) never. */
static bool reserve(SparkEngine *e, SparkSequence *s, size_t n) {
        while (kv_table_reserve(&s->kv, n) < 0) {
                if (release_idle(e) || preempt_later(e, s))
                        continue;
                if (!others_hold_pages(e, s)) {
                        sequence_end(s, SPARK_FINISH_NO_MEMORY);
                        return false;
                }
                /* Whoever came before will finish. What is held meanwhile could be what it needs. */
                if (s->state == SEQUENCE_GENERATE || s->starved) {
                        kv_table_clear(&s->kv);
                        s->state = SEQUENCE_PROMPT;
                        s->starved = true;
                        e->preemptions++;
                }
                return false;
        }
        return true;
}

static void add_row(SparkEngine *e, SparkSequence *s, uint32_t n, bool logits) {
        s->served = e->clock;
        e->rows[e->n_rows++] = (StepRow) { .sequence = s, .n = n, .n_logits = logits };
}

/* The next of a kind and state that is not in this step and was not passed over in it. */
static SparkSequence *next_of(SparkEngine *e, bool background, SequenceState state, const uint64_t *passed) {
        SparkSequence *best = NULL;
        for (size_t i = 0; i < e->n_sequences; i++) {
                SparkSequence *s = e->sequences[i];
                if (s->state != state || s->held || s->params.background != background || in_step(e, s) || (passed[i / 64] >> (i % 64) & 1))
                        continue;
                if (!best || (state == SEQUENCE_PROMPT ? prompt_before(e, s, best) : served_before(s, best)))
                        best = s;
        }
        return best;
}

static void pass_over(SparkEngine *e, const SparkSequence *s, uint64_t *passed) {
        for (size_t i = 0; i < e->n_sequences; i++)
                if (e->sequences[i] == s)
                        passed[i / 64] |= (uint64_t) 1 << (i % 64);
}

static void add_generating(SparkEngine *e, bool background) {
        uint64_t passed[SPARK_SEQUENCES_MAX / 64] = {};
        SparkSequence *s;
        while (e->n_rows < SPARK_ROWS_MAX && (s = next_of(e, background, SEQUENCE_GENERATE, passed))) {
                if (!gives_way(e, s) && reserve(e, s, 1))
                        add_row(e, s, 1, true);
                else
                        pass_over(e, s, passed);
        }
}

/* Whether a sequence that lost its pages may try again: alone, or with room for all of its context. */
static bool may_return(const SparkEngine *e, const SparkSequence *s) {
        if (!s->starved || !others_hold_pages(e, s))
                return true;
        uint64_t need = 0, held = 0;
        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++)
                need += (uint64_t) e->page_sizes[g] * (s->n_ids / KV_PAGE_TOKENS + 1);
        for (size_t i = 0; i < e->n_sequences; i++)
                if (sequence_running(e->sequences[i]))
                        held += (e->sequences[i]->kv.n_held / KV_PAGE_TOKENS + 1) * (e->page_sizes[0] + e->page_sizes[1]);
        return need <= kv_cache_budget(e->cache) && held <= kv_cache_budget(e->cache) - need;
}

/* Whether the next page of s is computed in this step for a sequence that it can take it from. */
static bool is_under_way(const SparkEngine *e, const SparkSequence *s) {
        const size_t n = s->kv.n_held, page = n / KV_PAGE_TOKENS;

        if (n % KV_PAGE_TOKENS != 0 || s->n_ids <= n + KV_PAGE_TOKENS)
                return false;
        for (size_t i = 0; i < e->n_rows; i++) {
                const SparkSequence *o = e->rows[i].sequence;
                if (o->kv.n_held == n && e->rows[i].n >= KV_PAGE_TOKENS &&
                    memcmp(&o->kv.domain, &s->kv.domain, sizeof o->kv.domain) == 0 &&
                    memcmp(o->ids + n, s->ids + n, KV_PAGE_TOKENS * sizeof *s->ids) == 0 &&
                    (page == 0 || memcmp(&o->kv.digests[page - 1], &s->kv.digests[page - 1], sizeof *o->kv.digests) == 0))
                        return true;
        }
        return false;
}

static void add_prompts(SparkEngine *e, bool background, uint32_t room) {
        uint64_t passed[SPARK_SEQUENCES_MAX / 64] = {};
        SparkSequence *s;

        while (room > 0 && (s = next_of(e, background, SEQUENCE_PROMPT, passed))) {
                if (!may_return(e, s) || (e->crowded && !e->favours && s->share->n_generating == 0)) {
                        pass_over(e, s, passed);
                        continue;
                }
                /* The last token is always computed where its logits are wanted. */
                const size_t n_logits = s->max_tokens > 0;
                const size_t held = s->kv.n_held;
                if (kv_table_adopt(&s->kv, s->ids, s->n_ids - n_logits) >= 0 && s->kv.n_held > held) {
                        e->tokens_reused += s->kv.n_held - held;
                        if (!s->generating)
                                s->usage.n_cached += (uint32_t) (s->kv.n_held - held);
                }

                if (is_under_way(e, s)) {
                        pass_over(e, s, passed);
                        continue;
                }

                const size_t left = s->n_ids - s->kv.n_held;
                const uint32_t n = (uint32_t) MIN(left, (size_t) room);
                if (n == 0) {
                        sequence_end(s, SPARK_FINISH_LENGTH);
                        continue;
                }
                if (!reserve(e, s, n)) {
                        pass_over(e, s, passed);
                        continue;
                }
                s->starved = false;
                s->share->served = e->clock;
                add_row(e, s, n, n == left && n_logits);
                room -= n;
        }
}

/* Guesses ride along where few rows are computed: the weights are read once for all of them. They stay inside the page
 * that the row before them has, so that a guess takes no memory from anybody. */
static void add_drafts(SparkEngine *e) {
        const size_t n_generating = e->n_rows;
        uint32_t spare = n_generating < DRAFT_ROWS_MAX ? DRAFT_ROWS_MAX - (uint32_t) n_generating : 0;

        for (size_t i = 0; i < n_generating && spare > 0; i++) {
                StepRow *row = &e->rows[i];
                SparkSequence *s = row->sequence;
                if (!s->drafts)
                        continue;
                uint32_t most = MIN(draft_length(&s->draft), spare);
                most = MIN(most, s->max_tokens - s->usage.n_generated - 1);
                most = MIN(most, e->n_ctx - (uint32_t) s->n_ids - 1);
                most = MIN(most, KV_PAGE_TOKENS - 1 - (uint32_t) (s->kv.n_held % KV_PAGE_TOKENS));
                row->n_drafted = sequence_draft(s, most);
                row->n += row->n_drafted;
                row->n_logits += row->n_drafted;
                spare -= row->n_drafted;
        }
}

/* Counts who runs what, and whether this step is for those who generate nothing yet. */
static void count_shares(SparkEngine *e, bool background) {
        e->newcomers = e->crowded = false;
        for (size_t i = 0; i < e->n_shares; i++)
                e->shares[i]->n_running = e->shares[i]->n_generating = 0;
        for (size_t i = 0; i < e->n_sequences; i++) {
                const SparkSequence *s = e->sequences[i];
                if (!sequence_running(s) || s->held || s->params.background != background)
                        continue;
                s->share->n_running++;
                s->share->n_generating += s->state == SEQUENCE_GENERATE;
        }
        for (size_t i = 0; i < e->n_shares; i++) {
                const Share *share = e->shares[i];
                e->newcomers = e->newcomers || (share->n_running > 0 && share->n_generating == 0);
                e->crowded = e->crowded || (share->n_running > UNDISTURBED && share->n_generating > 0);
        }
        e->n_favours = e->newcomers && e->n_favours < FAVOUR_STEPS ? e->n_favours + 1 : 0;
        e->favours = e->newcomers && (e->crowded ? e->favour_debt_us <= 0 : e->n_favours > 0);
}

/* Prompt tokens beside what generates: as many as fill tiles up, when it is their turn. */
static uint32_t mixed_room(const SparkEngine *e) {
        uint32_t n = 0;
        if (e->mixed_credit_us < 0 || e->steps_untaught > MIXED_UNTAUGHT_STEPS)
                return 0;
        for (size_t i = 0; i < e->n_rows; i++)
                n += e->rows[i].n;
        return e->mixed_chunk - (n + e->mixed_chunk) % MIXED_TILE;
}

static void add_kind(SparkEngine *e, bool background) {
        count_shares(e, background);
        add_generating(e, background);
        add_drafts(e);
        add_prompts(e, background, MIN(e->chunk, e->n_rows > 0 ? mixed_room(e) : e->crowded ? FAVOUR_CHUNK : e->chunk));
        /* Nothing came of it: no page was to be had. */
        if (e->favours && e->n_rows == 0) {
                e->favours = false;
                add_generating(e, background);
        }
}

void schedule_step(SparkEngine *e) {
        e->clock++;
        e->n_rows = 0;
        add_kind(e, false);
        if (e->n_rows == 0)
                add_kind(e, true);

        e->n_logits = 0;
        for (size_t i = 0; i < e->n_rows; i++) {
                StepRow *row = &e->rows[i];
                const SparkSequence *s = row->sequence;
                e->segments[i] = (Segment) {
                        .ids = s->ids + s->kv.n_held,
                        .n = row->n,
                        .pos0 = (uint32_t) s->kv.n_held,
                        .n_logits = row->n_logits,
                };
                for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++)
                        e->segments[i].pages[g] = s->kv.data[g];
                row->first_logits = e->n_logits;
                e->n_logits += row->n_logits;
        }
}

/* Only a step that was as large as it might be says something of the size. */
static void adapt(uint32_t *chunk, uint32_t n, bool too_long, uint32_t least, uint32_t most) {
        if (n + MIXED_TILE <= *chunk)
                return;
        const uint32_t part = (*chunk + 7) / 8;
        *chunk = too_long ? MAX(least, *chunk - part) : MIN(most, *chunk + part);
}

/* Steps of generating alone teach what is normal; mixed ones whether their chunk was too large. Steps after mixed ones are
 * slower than alone, for which prompts pay, and teach nothing: from time to time prompts wait until some can. */
void schedule_learn(SparkEngine *e, uint64_t step_us) {
        uint32_t n_prompt = 0, n_generate = 0, n_drafted = 0;
        for (size_t i = 0; i < e->n_rows; i++) {
                *(e->rows[i].sequence->state == SEQUENCE_GENERATE ? &n_generate : &n_prompt) += e->rows[i].n;
                n_drafted += e->rows[i].n_drafted;
        }

        if (e->crowded && e->favours)
                e->favour_debt_us += (int64_t) step_us;
        else if (e->crowded)
                e->favour_debt_us = MAX(e->favour_debt_us - FAVOUR_PARTS * (int64_t) step_us, (int64_t) -FAVOUR_CREDIT_US);

        if (n_generate == 0)
                return;
        uint64_t *usual_us = n_drafted > 0 ? &e->drafted_us : &e->decode_us;
        e->steps_alone = n_prompt > 0 ? 0 : e->steps_alone + 1;
        if (*usual_us == 0 && n_prompt == 0)
                *usual_us = step_us;
        else if (e->steps_alone > MIXED_RECOVER_STEPS)
                *usual_us = (7 * *usual_us + step_us) / 8;
        if (*usual_us == 0)
                return;
        e->steps_untaught = e->steps_alone >= MIXED_TEACH_STEPS ? 0 : e->steps_untaught + 1;

        int64_t earned_us = (int64_t) (MIXED_SLOWDOWN * (double) *usual_us) - (int64_t) step_us;
        if (n_prompt == 0)
                earned_us = MAX(earned_us, (int64_t) *usual_us / MIXED_EARNED_PART);
        e->mixed_credit_us = MIN(e->mixed_credit_us + earned_us, (int64_t) MIXED_CREDIT_US);
        e->mixed_credit_us = MAX(e->mixed_credit_us, (int64_t) -MIXED_CREDIT_US);
        if (n_prompt > 0)
                adapt(&e->mixed_chunk, n_prompt, step_us > MIXED_STEP * *usual_us, MIXED_CHUNK_MIN, e->chunk);
}
