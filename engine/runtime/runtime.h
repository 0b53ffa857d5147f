/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of SparkEngine and SparkSequence, for the files of this folder: engine.c owns both lives and the step,
 * schedule.c chooses the step's rows, sequence.c starts and ends work, measure.c reads logits. */

#include <stdatomic.h>

#include "engine/models/forward.h"
#include "engine/runtime/draft.h"
#include "engine/runtime/kv-table.h"
#include "engine/spark-engine.h"
#include "engine/text/utf8.h"

#define N_CTX_DEFAULT_MAX 8192u
#define KV_CONTEXTS_DEFAULT 4u                /* budget where none is given, in full contexts */
#define MIXED_CHUNK_FIRST 8u                  /* prompt tokens beside generating sequences, until steps were measured */
#define ROWS_MAX (SPARK_ROWS_MAX + SPARK_CHUNK)
#define DRAFT_ROWS_MAX (DRAFT_MAX + 1)      /* rows of a step up to which more are added by guessing */

typedef enum SequenceState {
        SEQUENCE_IDLE,
        SEQUENCE_PROMPT,                      /* positions n_held … n_ids - 1 are to be computed */
        SEQUENCE_GENERATE,                    /* the last id is to be computed, and the next chosen */
        SEQUENCE_DONE,                        /* its FINISHED comes with this step's events */
} SequenceState;

/* What the sequences of one app have together, for a fair choice of rows. */
typedef struct Share {
        uint64_t domain;                      /* 0: of one sequence and its forks */
        uint32_t n_sequences;                 /* that refer to it */
        uint32_t n_running, n_generating;     /* of the kind that this step is for */
        uint64_t served;                      /* order of steps that computed prompts of it */
} Share;

struct SparkSequence {
        SparkEngine *engine;
        Share *share;
        SparkSequenceParams params;
        KvTable kv;

        uint32_t *ids;                        /* the whole context, generated tokens included */
        size_t n_ids, n_allocated;

        SequenceState state;
        SparkFinish finish;                   /* of SEQUENCE_DONE */
        bool cancelled;
        bool held;                            /* has no rows, keeps its pages while nobody needs them */
        bool starved;                         /* lost its pages to others; waits until all of its context has room */
        bool generating;                      /* has chosen its first token: prompts are then read again, not anew */
        uint32_t max_tokens;
        bool ignore_end;
        Sampler *sampler;
        bool drafts;                          /* guesses ahead */
        Draft draft;
        Utf8Stream stream;

        uint64_t arrival;                     /* order of starts */
        uint64_t served;                      /* order of steps that had rows of it */
        uint64_t start_us, first_us, last_us;
        SparkUsage usage;
};

typedef struct StepRow {                      /* one segment of this step */
        SparkSequence *sequence;
        uint32_t n;                           /* of these the last n_drafted are guesses */
        uint32_t n_drafted;
        uint32_t n_logits, first_logits;      /* 0, or 1 + n_drafted; place of the first in the step's logits */
        uint32_t n_chosen;                    /* the next tokens, as far as guesses held */
        uint32_t chosen[DRAFT_MAX + 1];
} StepRow;

struct SparkEngine {
        SparkModel *model;
        Pool *pool;
        uint32_t n_ctx, chunk;
        size_t page_sizes[MODEL_KV_GROUPS_MAX];
        KvCache *cache;
        Forward *forward;

        SparkSequence *sequences[SPARK_SEQUENCES_MAX];
        size_t n_sequences;
        Share *shares[SPARK_SEQUENCES_MAX];
        size_t n_shares;
        uint64_t clock;                       /* orders starts, steps and domains */

        StepRow rows[SPARK_ROWS_MAX + SPARK_CHUNK];
        Segment segments[SPARK_ROWS_MAX + SPARK_CHUNK];
        size_t n_rows;
        uint32_t n_logits;
        float *logits;
        size_t logits_allocated;              /* rows */
        _Atomic uint32_t sample_next;

        uint64_t decode_us, drafted_us;       /* what a step without prompts takes, averaged; and one that guesses */
        uint32_t mixed_chunk;                 /* prompt tokens beside generating sequences */
        int64_t mixed_credit_us;              /* that these may take */
        uint32_t steps_alone;                 /* since then */
        uint32_t steps_untaught;              /* since decode_us or drafted_us was last sure */
        uint32_t n_favours;                   /* steps so far, in a row, that favoured newcomers */
        int64_t favour_debt_us;               /* time that crowds have given to newcomers, less what they were owed */
        bool crowded;                         /* an app has much running, and generates */
        bool newcomers;                       /* an app that generates nothing yet waits for its first token */
        bool favours;                         /* this step is for newcomers, crowds are left out of it */

        SparkEvent *events;
        size_t n_events;
        char *text;                           /* of the events; grows, so events hold offsets until the step's end */
        size_t n_text, text_allocated;

        uint64_t tokens_prefilled, tokens_reused, tokens_generated, tokens_drafted, tokens_kept, preemptions;
};

uint64_t now_us(void);

/* schedule.c: fills rows and segments; sequences that cannot go on become SEQUENCE_DONE. */
void schedule_step(SparkEngine *e);
void schedule_learn(SparkEngine *e, uint64_t step_us);

/* sequence.c */
int sequence_append(SparkSequence *s, uint32_t id);
/* Guesses what comes next, at most `most` tokens, after the ids: how many. */
uint32_t sequence_draft(SparkSequence *s, uint32_t most);
void sequence_end(SparkSequence *s, SparkFinish finish);
bool sequence_running(const SparkSequence *s);

/* engine.c */
int engine_reserve_logits(SparkEngine *e, size_t n_rows);
