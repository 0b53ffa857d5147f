/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What tokenizer.c and the algorithms share. An algorithm is one table; a new one is one file and one line in
 * tokenizer.c. It sees text between control tokens only, and may produce plain tokens, byte tokens and the unknown
 * token, so that no text can become a control token by way of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/text/prefix-index.h"
#include "engine/text/tokenizer.h"
#include "engine/text/vocab.h"

typedef struct TokenizerAlgorithm {
        const char *model;              /* tokenizer.ggml.model */
        VocabForm form;
        bool scores;                    /* tokenizer.ggml.scores is needed */
        bool adds_bos, adds_eos;        /* where the file does not say */
        const char *bos_key, *eos_key;
        uint32_t bos, eos, unknown;     /* where the file does not say; VOCAB_NONE: none */

        int (*load)(Tokenizer *t, const Gguf *g, EngineError *reterr);  /* sets t->state */
        void (*free)(void *state);
        /* All of what stands between two control tokens, or the text's ends. n > 0. */
        int (*encode)(const Tokenizer *t, const char *text, size_t n, TokenList *list);
} TokenizerAlgorithm;

extern const TokenizerAlgorithm bpe_algorithm, sentencepiece_algorithm, unigram_algorithm, wordpiece_algorithm;

struct Tokenizer {
        const TokenizerAlgorithm *algorithm;
        void *state;
        Vocab vocab;
        PrefixIndex special;            /* control, unknown and user-defined tokens */
        uint8_t *ends;                  /* [n_vocab] bits */
        uint32_t bos, eos, unknown;     /* or VOCAB_NONE */
        bool adds_bos, adds_eos;
};
