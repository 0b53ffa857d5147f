/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A model file's vocabulary: token texts, what bytes they stand for, types, scores, and a hash from text to id. One
 * arena holds every byte, one open-addressing table every look-up; nothing points into the file afterwards.
 *
 * Texts are hashed by a polynomial, so that the hash of two texts joined follows from theirs without reading them:
 * SentencePiece merging asks for millions of joined texts and finds few. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/format/gguf.h"

typedef enum TokenType {                /* tokenizer.ggml.token_type */
        TOKEN_NORMAL = 1,
        TOKEN_UNKNOWN = 2,
        TOKEN_CONTROL = 3,
        TOKEN_USER_DEFINED = 4,
        TOKEN_UNUSED = 5,
        TOKEN_BYTE = 6,
} TokenType;

typedef enum VocabForm {                /* how a normal token's text stands for bytes */
        VOCAB_BYTE_LEVEL,               /* one character per byte: GPT-2's table */
        VOCAB_SPACE_MARK,               /* U+2581 is a space */
        VOCAB_WORD_MARK,                /* U+2581 begins a word, and stands for the space before it */
} VocabForm;

#define VOCAB_NONE UINT32_MAX           /* no id */

typedef struct VocabToken {
        uint32_t text, piece;           /* offsets in the arena */
        uint16_t text_size, piece_size;
        uint8_t type;                   /* TokenType */
} VocabToken;

typedef struct VocabSlot {
        uint32_t id;                    /* VOCAB_NONE: empty */
        uint32_t tag;                   /* more of the hash */
} VocabSlot;

typedef struct Vocab {
        VocabToken *tokens;             /* [n] */
        float *scores;                  /* [n]; NULL where not asked for */
        size_t n;
        size_t text_max;                /* bytes of the longest text */
        char *arena;
        VocabSlot *slots;
        size_t mask;                    /* number of slots - 1 */
        uint64_t *powers;               /* [text_max + 1] of the hash's base */
        uint32_t bytes[256];            /* id of each byte's own token, or VOCAB_NONE */
} Vocab;

/* -EBADMSG: broken; the text names the token. Where two tokens have one text, the lower id is found. */
int vocab_load(Vocab *v, const Gguf *g, VocabForm form, bool with_scores, EngineError *reterr);
void vocab_done(Vocab *v);

uint64_t vocab_hash(const char *text, size_t n);
static inline uint64_t vocab_hash_join(const Vocab *v, uint64_t left, uint64_t right, size_t n_right) {
        return left * v->powers[n_right] + right;       /* n_right ≤ text_max */
}

/* Of any type; VOCAB_NONE where there is none. */
uint32_t vocab_find(const Vocab *v, const char *text, size_t n, uint64_t hash);

/* Can text become this token by an algorithm alone? Never a control, unknown, unused or byte token; a user-defined one
 * only where it is nothing but white space: others are found, where allowed, as what they are. */
bool vocab_is_plain(const Vocab *v, uint32_t id);

static inline const char *vocab_text(const Vocab *v, uint32_t id, size_t *ret_size) {
        *ret_size = v->tokens[id].text_size;
        return v->arena + v->tokens[id].text;
}

/* Writes the byte-level form of `bytes` (at most 2·n) to out; returns its size. */
size_t vocab_byte_level(const char *bytes, size_t n, char *out);
