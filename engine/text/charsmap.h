/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The normaliser's table that SentencePiece files carry (tokenizer.ggml.precompiled_charsmap): the bytes of a character,
 * or of a few, to what they are replaced by. A double-array trie as Darts-clone writes it, then the replacements, each
 * ended by a NUL; see SentencePiece's normalizer.cc for the layout.
 *
 * The table is the file's and so hostile: every index is checked as it is used, every walk ends with the text. */

#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/format/gguf.h"

#define CHARSMAP_MAX (4u << 20)         /* bytes; T5's has about 240,000 */

typedef struct Charsmap {               /* all 0: nothing is replaced */
        uint32_t *units;                /* [n_units] */
        size_t n_units;
        char *texts;                    /* [n_texts], the last byte is NUL */
        size_t n_texts;
} Charsmap;

/* A file without one is none's fault. -EBADMSG: broken. */
int charsmap_load(Charsmap *c, const Gguf *g, EngineError *reterr);
void charsmap_done(Charsmap *c);

/* What text[0 … n), n > 0, begins with in the table, longest first, and what it becomes; where there is nothing, its first
 * character becomes itself. Returns how many bytes that was, at least one. */
size_t charsmap_replace(const Charsmap *c, const char *text, size_t n, const char **ret, size_t *ret_size);
