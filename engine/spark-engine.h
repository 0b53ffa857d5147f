/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The engine's public boundary; daemon/worker and cli/spark-lm include this and nothing below it.
 *
 *   Model      weights (mapped by the caller, repacked here), tokenizer, template; immutable
 *   Engine     one model, one pool of threads, one budget of KV pages, one step loop
 *   Sequence   one timeline of tokens: a session's turn by turn, or one line of thought
 *
 * The engine opens nothing, starts no process and no network, logs nothing. It is driven: the caller gives sequences
 * work and calls spark_engine_step() until there is none. Every running sequence is one row (or, while its prompt is
 * read, a chunk of rows) of the same step. One thread calls; the engine's own threads live in the Pool that it was
 * given, which exists before so that a sandbox can be closed first. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/kernels/attend.h"
#include "engine/format/gguf.h"
#include "engine/runtime/pool.h"
#include "engine/text/chat-template.h"
#include "engine/text/sampler.h"
#include "engine/text/tokenizer.h"

#define SPARK_SEQUENCES_MAX 1024u       /* alive in one engine */
#define SPARK_ROWS_MAX 64u              /* sequences that decode in one step */
#define SPARK_CHUNK 256u                /* prompt tokens of one step, at most */

typedef struct SparkModel SparkModel;
typedef struct SparkEngine SparkEngine;
typedef struct SparkSequence SparkSequence;

/* ---- model ---- */

typedef struct SparkModelInfo {
        const char *architecture;       /* "llama" */
        const char *name;               /* general.name, or "" */
        const char *kernels;            /* "avx512-vnni" */
        uint32_t n_ctx_train, n_layers, n_embd, n_heads, n_heads_kv, n_vocab;
        uint64_t n_parameters;
        uint64_t weights_bytes;         /* in the file */
        bool has_chat_template;
} SparkModelInfo;

/* Parts stay mapped while the model lives. `kernels` NULL: the best for this CPU. Repacking runs on `pool`. */
int spark_model_new(const GgufPart *parts, size_t n_parts, const char *kernels, Pool *pool, SparkModel **ret, EngineError *reterr);
SparkModel *spark_model_free(SparkModel *m);
DEFINE_CLEANUP(SparkModel, spark_model_free);
void spark_model_info(const SparkModel *m, SparkModelInfo *ret);
const Gguf *spark_model_gguf(const SparkModel *m);
const Tokenizer *spark_model_tokenizer(const SparkModel *m);

/* Gives back the file's resident pages, but for weights that are read where they lie; they come again where needed.
 * Only for parts that are untouched mappings of files: memory of any other kind would lose its contents. */
void spark_model_release_file(SparkModel *m);

/* Messages → ids by the file's own template; data bytes never become control tokens. -ENOTSUP: no template.
 * bos_token and eos_token may be NULL: the tokenizer's own. */
int spark_model_chat(const SparkModel *m, const ChatContext *c, TokenList *list, EngineError *reterr);

/* ---- engine ---- */

typedef struct SparkEngineParams {
        KvType kv_type;
        uint32_t n_ctx;                 /* per sequence; 0: what the model was trained for, at most 8,192 */
        uint64_t kv_budget;             /* bytes of pages, all sequences; 0: for kv_contexts times n_ctx tokens */
        uint32_t kv_contexts;           /* 0: 4 */
        uint32_t chunk;                 /* prompt tokens a step; 0: SPARK_CHUNK */
} SparkEngineParams;

int spark_engine_new(SparkModel *m, Pool *pool, const SparkEngineParams *p, SparkEngine **ret, EngineError *reterr);
SparkEngine *spark_engine_free(SparkEngine *e);   /* every sequence was freed before */
DEFINE_CLEANUP(SparkEngine, spark_engine_free);
uint32_t spark_engine_n_ctx(const SparkEngine *e);

typedef enum SparkEventType {
        SPARK_EVENT_TOKEN,              /* one token more: id, text (whole characters; may be empty) */
        SPARK_EVENT_FINISHED,           /* the sequence is idle again: reason, usage; text: what was still held back */
} SparkEventType;

typedef enum SparkFinish {
        SPARK_FINISH_STOP,              /* the model ended its turn */
        SPARK_FINISH_LENGTH,            /* max_tokens */
        SPARK_FINISH_CONTEXT,           /* the context is full */
        SPARK_FINISH_CANCELLED,
        SPARK_FINISH_NO_MEMORY,         /* no page to be had, nothing to evict */
} SparkFinish;

typedef struct SparkUsage {
        uint32_t n_prompt;              /* tokens of the whole context given */
        uint32_t n_cached;              /* of these: not computed again */
        uint32_t n_generated;
        uint64_t first_token_us;        /* from spark_sequence_start() */
        uint64_t generate_us;           /* from the first token to the last */
} SparkUsage;

typedef struct SparkEvent {
        SparkEventType type;
        SparkSequence *sequence;
        void *userdata;                 /* of the sequence */
        uint32_t id;
        const char *text;               /* valid until the next step */
        size_t text_size;
        SparkFinish finish;
        SparkUsage usage;
} SparkEvent;

/* One step of everything that runs: a chunk of waiting prompts and one token of every sequence that generates, or a few
 * where guesses of what comes next held; fair between domains, background sequences where nothing interactive is to be
 * done. Events lie in the engine's own array,
 * a sequence's in their order, FINISHED last. Returns 1 where work is left, 0 where nothing is to be done, negative on a fault of the engine itself. */
int spark_engine_step(SparkEngine *e, const SparkEvent **ret_events, size_t *ret_n);

typedef struct SparkEngineStats {
        uint32_t n_sequences, n_running, n_waiting;
        uint64_t kv_bytes, kv_budget;
        uint64_t tokens_prefilled, tokens_reused, tokens_generated;
        uint64_t tokens_drafted, tokens_kept;   /* guessed ahead; of these: chosen */
        uint64_t evictions;
} SparkEngineStats;
void spark_engine_stats(const SparkEngine *e, SparkEngineStats *ret);

/* ---- sequence ---- */

typedef struct SparkSequenceParams {
        uint64_t domain;                /* prefixes are shared only inside one (an app); 0: with nobody */
        bool background;                /* has the steps that nothing else needs */
        void *userdata;
} SparkSequenceParams;

int spark_sequence_new(SparkEngine *e, const SparkSequenceParams *p, SparkSequence **ret, EngineError *reterr);
SparkSequence *spark_sequence_free(SparkSequence *s);     /* also while it runs */
DEFINE_CLEANUP(SparkSequence, spark_sequence_free);

/* Takes effect with the next step. */
void spark_sequence_set_background(SparkSequence *s, bool background);

/* A second timeline with the same past; pages are shared until either writes. Not while it runs: -EBUSY. */
int spark_sequence_fork(SparkSequence *s, void *userdata, SparkSequence **ret, EngineError *reterr);

typedef struct SparkStart {
        const uint32_t *ids;            /* the whole context; what the sequence already holds of it is not computed again */
        size_t n_ids;
        uint32_t max_tokens;            /* 0: only read the prompt (prewarm); UINT32_MAX: up to the context's end */
        SamplerParams sampler;
        bool ignore_end;                /* benchmarks: generate on past an end token */
        bool no_drafts;                 /* benchmarks: one token a step, whatever could be guessed; the tokens are the same */
} SparkStart;

/* -ENOBUFS: n_ids leaves no room in the context (the text has both numbers); -EBUSY: it runs already. */
int spark_sequence_start(SparkSequence *s, const SparkStart *start, EngineError *reterr);
void spark_sequence_cancel(SparkSequence *s);             /* its FINISHED comes with the next step */
void spark_sequence_hold(SparkSequence *s, bool held);    /* it goes no further until let go; steps do not wait for it */
size_t spark_sequence_n_tokens(const SparkSequence *s);   /* held in the cache */

/* ---- measuring ---- */

/* Logits of every position of one fresh context of n ids, row by row: the callback gets [n_vocab] floats. For
 * perplexity and numerics; not while anything runs. */
typedef int (*SparkLogits)(void *userdata, size_t position, const float *logits, size_t n_vocab);
int spark_engine_logits(SparkEngine *e, const uint32_t *ids, size_t n, SparkLogits callback, void *userdata, EngineError *reterr);
