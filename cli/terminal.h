/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is written to a terminal. A model's reply, an error's text, a name out of a file: none of it may steer the
 * terminal. Text goes through terminal_print(), which lets characters through and no control. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Writes text: as it is where f is no terminal; else control characters (C0 but newline and tab, DEL, C1), marks that
 * reorder text (U+202A–E, U+2066–9) and bytes that are not UTF-8 appear as U+FFFD. */
void terminal_print(FILE *f, const char *text, size_t size);
/* The filter alone. Returns malloc()ed text, NUL-terminated; *ret_size without that NUL. NULL: no memory. */
char *terminal_filter(const char *text, size_t size, size_t *ret_size);

/* Offset of the first byte that is not UTF-8 text (RFC 3629, and no NUL, which D-Bus cannot carry); size where all is. */
size_t text_valid_until(const char *text, size_t size);

bool terminal_is(FILE *f);
/* Colours, where f is a terminal that wants them ($NO_COLOR, $TERM); else "". */
typedef enum Style { STYLE_NORMAL, STYLE_BOLD, STYLE_DIM, STYLE_GOOD, STYLE_BAD, STYLE_WARN } Style;
const char *terminal_style(FILE *f, Style s);
/* Columns of f; 80 where it has none. */
size_t terminal_columns(FILE *f);
/* Columns that a text takes (wide characters: two). */
size_t text_columns(const char *text);

/* "98.4 MB": decimal, as shops and disks count. */
#define SIZE_TEXT_MAX 16
const char *size_text(uint64_t bytes, char buffer[SIZE_TEXT_MAX]);
