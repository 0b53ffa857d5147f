/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Vocabularies written as text, for tests and as fuzzing seeds. A line each, its first character says what:
 *   M MODEL                 tokenizer.ggml.model
 *   P RULE                  tokenizer.ggml.pre
 *   T TYPE SCORE TEXT       a token; TYPE is a digit, SCORE a number; "\n" in TEXT is a line feed
 *   A                       256 tokens, byte-level, one for each byte
 *   H                       256 byte tokens, "<0x00>" …
 *   G LEFT RIGHT            a merge, as it stands
 *   U KEY NUMBER            tokenizer.ggml.KEY, u32
 *   B KEY 0|1               tokenizer.ggml.KEY, bool
 *   Y NUMBER                token_type is written for so many tokens only;   S NUMBER: scores likewise
 *   =                       the end: what follows this line is a text to tokenize
 * Other lines are passed over. The file holds what was said and nothing else. */

#include <stddef.h>

/* *ret: the GGUF, to be freed. *ret_text: in `spec`. -EINVAL: more than the frame holds. */
int vocabulary_file(const char *spec, size_t n, void **ret, size_t *ret_size, const char **ret_text, size_t *ret_n_text);
