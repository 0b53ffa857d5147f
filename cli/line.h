/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lines that a person types, with editing and history on a terminal (libedit), plain where standard input is none. */

#include "basic/cleanup.h"

#define LINE_MAX_BYTES (1u << 20)
#define LINE_HISTORY_MAX 500u

typedef struct LineReader LineReader;

/* `history`: file that keeps typed lines from run to run (made 0600), NULL: none is kept. */
int line_reader_new(const char *prompt, const char *history, LineReader **ret);
LineReader *line_reader_free(LineReader *l);     /* writes the history */
DEFINE_CLEANUP(LineReader, line_reader_free);

/* 1 with *ret (malloc()ed, without its newline); 0 at the end (Ctrl-D); -EINTR after Ctrl-C: the line was given up. */
int line_read(LineReader *l, char **ret);
