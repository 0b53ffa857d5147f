/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guessing ahead by look-up: text that repeats its input (a correction, a rewriting, code with one change) goes on as
 * it went on before (Saxena, "Prompt Lookup Decoding", 2023). The guessed tokens are rows of the same step, and stay
 * where the sampler, asked in the same order and with the same draws, would have chosen them: the reply is the same
 * with and without (after Leviathan, Kalman, Matias, 2023, for a draft without probabilities).
 *
 * How many are guessed follows what the last guesses were worth; where they were worth nothing, guessing pauses. */

#include <stddef.h>
#include <stdint.h>

#define DRAFT_MIN 3u                          /* tokens; with the row before them a tile of the kernels: fewer cost as much */
#define DRAFT_MAX 11u                         /* the widest tile */
#define DRAFT_PAUSE_MAX 64u                   /* steps */

typedef struct Draft {                        /* init with DRAFT_INIT */
        uint32_t length;                      /* to guess next */
        uint32_t pause, pause_next;           /* steps still to go without; how many the next time */
} Draft;

#define DRAFT_INIT ((Draft) { .length = DRAFT_MIN, .pause_next = 1 })

/* What may follow the n ids, guessed from where their longest ending was before, the latest of these; writes it to
 * ids[n] onwards, at most `most` of them, and returns how many. */
uint32_t draft_find(uint32_t *ids, size_t n, uint32_t most);

/* Of a step: how many may be guessed. */
uint32_t draft_length(Draft *d);
/* Of n_guessed (> 0), so many stayed. */
void draft_learn(Draft *d, uint32_t n_guessed, uint32_t n_kept);
