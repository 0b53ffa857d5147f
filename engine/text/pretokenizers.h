/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where byte-level BPE may not merge across: each model family cuts text into words by regular expressions of its own,
 * which tokenizer.ggml.pre names. Run by PCRE2's interpreter: its JIT wants memory that is both written and executed,
 * which the worker's sandbox refuses. */

#include <stdbool.h>
#include <stddef.h>

#include "basic/cleanup.h"
#include "engine/error.h"

typedef struct Pretokenizer Pretokenizer;

/* -ENOTSUP: no rule of that name; the text has it. */
int pretokenizer_new(const char *name, size_t n, Pretokenizer **ret, EngineError *reterr);
Pretokenizer *pretokenizer_free(Pretokenizer *p);
DEFINE_CLEANUP(Pretokenizer, pretokenizer_free);

bool pretokenizer_ignores_merges(const Pretokenizer *p);  /* a word that is a token is that token, unmerged */
bool pretokenizer_adds_bos(const Pretokenizer *p);        /* where the file does not say */

/* Called for each word in order; all words joined are the text. Negative ends the splitting, which returns it. */
typedef int (*PretokenizerWord)(void *userdata, const char *word, size_t n);

/* Bytes that are no UTF-8 are words of one byte each. Cost is linear in n for every rule of the table. */
int pretokenizer_split(const Pretokenizer *p, const char *text, size_t n, PretokenizerWord word, void *userdata);
