/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Choosing the next token from logits: repetition penalty (Keskar et al., CTRL, 2019) → temperature → top-k → top-p
 * (Holtzman et al., 2020) → min-p (Nguyen et al., 2024) → one draw from a counter-based generator (Philox 4x32-10,
 * Salmon et al., 2011) keyed by the seed and counted by the draw's number, so that a reply depends on its seed and
 * input alone. Temperature 0 is greedy; ties go to the lowest id. */

#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"

#define SAMPLER_PENALTY_WINDOW_MAX 1024u

typedef struct SamplerParams {
        float temperature;      /* 0 … 5; 0: greedy */
        uint32_t top_k;         /* 0: all */
        float top_p;            /* 0 … 1; 1: all */
        float min_p;            /* 0 … 1; 0: all */
        float repeat_penalty;   /* 0.1 … 10; 1: none */
        uint32_t repeat_window; /* last tokens that are penalised, prompt included; at most SAMPLER_PENALTY_WINDOW_MAX */
        uint64_t seed;
} SamplerParams;

#define SAMPLER_PARAMS_DEFAULT ((SamplerParams) { .temperature = 0.0f, .top_p = 1.0f, .repeat_penalty = 1.0f, .repeat_window = 64 })

typedef struct Sampler Sampler;

/* -EINVAL names the parameter that is out of range or not finite. */
int sampler_new(const SamplerParams *p, size_t n_vocab, Sampler **ret, EngineError *reterr);
Sampler *sampler_free(Sampler *s);
DEFINE_CLEANUP(Sampler, sampler_free);

/* Tell it of a token that is now in the context (prompt tokens too). */
void sampler_accept(Sampler *s, uint32_t id);

/* `logits` is [n_vocab] and is overwritten. `mask` is NULL or a bit per id, 1 where allowed (grammars); at least one
 * bit is set. NaN counts as -inf; where all are, the first allowed id is the answer. */
uint32_t sampler_next(Sampler *s, float *logits, const uint64_t *mask);
