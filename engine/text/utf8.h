/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* UTF-8 (RFC 3629): validation, and a stream that never cuts inside a character. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True where all of text is well-formed (no overlong forms, surrogates, or values above U+10FFFF). */
bool utf8_valid(const char *text, size_t n);

/* Length (1 … 4) of the well-formed character at text, writing its code point; 0 where there is none. */
size_t utf8_decode(const char *text, size_t n, uint32_t *ret_rune);

/* Bytes of tokens go in, whole characters come out. What can no longer become a character (a stray byte, a sequence
 * broken off) comes out as U+FFFD at once, so output is always well formed. */
typedef struct Utf8Stream {
        char pending[4];
        uint8_t n_pending;
} Utf8Stream;

/* Writes at most 3·(n + 4) bytes to out; returns how many. `last` flushes an unfinished tail as U+FFFD. */
size_t utf8_stream_push(Utf8Stream *s, const char *bytes, size_t n, bool last, char *out);
