/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text to token ids and back, as the model's own file says: byte-level BPE (tokenizer.ggml.model "gpt2", with the
 * pre-tokenizer rule that tokenizer.ggml.pre names, run by PCRE2 without JIT), SentencePiece BPE ("llama", with byte
 * fall-back), SentencePiece unigram ("t5"), WordPiece ("bert"). Immutable once built, and independent of the Gguf; safe to
 * use from several threads.
 *
 * Control tokens (types control, unknown and user-defined) are found only where the caller allows it: text that came
 * from a person, an app, a page or a tool can never become `<|im_start|>`. User-defined runs of white space, which some
 * models have, are found everywhere. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/format/gguf.h"

#define TOKENIZER_VOCAB_MAX (2u << 20)
#define TOKENIZER_PIECE_MAX 4096u         /* bytes of one vocabulary entry */
#define TOKENIZER_TEXT_MAX (16u << 20)    /* bytes of one text; longer is -E2BIG. Cost is O(n log n) for any text */

typedef struct Tokenizer Tokenizer;

typedef struct TokenList {                /* init with {}; token_list_done() frees */
        uint32_t *ids;
        size_t n, allocated;
} TokenList;

int tokenizer_new(const Gguf *g, Tokenizer **ret, EngineError *reterr);
Tokenizer *tokenizer_free(Tokenizer *t);
DEFINE_CLEANUP(Tokenizer, tokenizer_free);

/* Appends the ids of text[0 … n) to `list`. `data` is NULL where control tokens may match everywhere, or n bytes, 1
 * where a byte is data: a control token matches only where all its bytes are 0. Invalid UTF-8 is tokenized byte by
 * byte, as bytes. Nothing is replaced; a byte is dropped only where a byte-level vocabulary has no token for it, as the
 * field does. No BOS or EOS is added. On error `list` is as it was. -E2BIG, -ENOMEM. */
int tokenizer_encode(const Tokenizer *t, const char *text, size_t n, const uint8_t *data, TokenList *list);

/* As above, and no control token anywhere. */
int tokenizer_encode_data(const Tokenizer *t, const char *text, size_t n, TokenList *list);

void token_list_done(TokenList *list);
int token_list_append(TokenList *list, const uint32_t *ids, size_t n);

/* The bytes that a token stands for (byte-level and byte-fallback tokens resolved; control tokens give their text).
 * Valid while t lives. An id that is out of range gives NULL. */
const char *tokenizer_piece(const Tokenizer *t, uint32_t id, size_t *ret_size);
bool tokenizer_is_control(const Tokenizer *t, uint32_t id);   /* never shown to a person */
bool tokenizer_is_end(const Tokenizer *t, uint32_t id);       /* end of text, of turn, of message: any ends a reply */
int tokenizer_find(const Tokenizer *t, const char *piece, uint32_t *ret_id);  /* exact vocabulary text; -ENOENT */

size_t tokenizer_n_vocab(const Tokenizer *t);
bool tokenizer_bos(const Tokenizer *t, uint32_t *ret_id);     /* false: the model has none */
bool tokenizer_eos(const Tokenizer *t, uint32_t *ret_id);
bool tokenizer_adds_bos(const Tokenizer *t);                  /* the file wants BOS before raw text */
bool tokenizer_adds_eos(const Tokenizer *t);
