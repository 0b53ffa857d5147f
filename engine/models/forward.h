/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One step of the transformer over a batch of rows. A row is one token of one sequence; a segment is a run of
 * consecutive positions of one sequence. What a row computes depends on its own sequence alone, whatever else is in
 * the batch, however a prompt is cut into segments and however many threads run. */

#include <stddef.h>
#include <stdint.h>

#include "engine/kernels/attend.h"
#include "engine/models/model.h"
#include "engine/runtime/pool.h"

typedef struct Forward Forward;

typedef struct Segment {
        const uint32_t *ids;                  /* n of them, each below n_vocab */
        uint32_t n, pos0;                     /* 1 … rows_max; position of the first */
        uint32_t n_logits;                    /* logits are wanted for so many of its last rows */
        uint8_t *const *pages[MODEL_KV_GROUPS_MAX];   /* [position / KV_PAGE_TOKENS]; those of this step's positions are the
                                               * segment's own to write */
} Segment;

/* Buffers for batches of at most rows_max rows; touched only as far as batches reach. `m` outlives it. */
int forward_new(const struct SparkModel *m, KvType kv_type, unsigned n_threads, uint32_t rows_max, Forward **ret);
Forward *forward_free(Forward *f);
DEFINE_CLEANUP(Forward, forward_free);

/* Writes keys and values of every row into its pages, and logits[i · n_vocab] of the wanted rows in the order of the
 * segments. `logits` is KERNELS_ALIGNed; n_vocab is padded to forward_logits_stride(). Cannot fail. */
void forward_run(Forward *f, Pool *pool, const Segment *segments, size_t n_segments, float *logits);
size_t forward_logits_stride(const struct SparkModel *m);

/* Bytes of a page of one group of layers; 0 where the model has no layer in it. */
size_t forward_page_size(const struct SparkModel *m, KvType kv_type, unsigned group);
