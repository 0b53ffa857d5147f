/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tables of what others wrote: each cell is one line that cannot steer the terminal. */

#include <stddef.h>
#include <stdio.h>

#include "basic/cleanup.h"

/* Rows of n_columns texts, which it owns; the first row is the heading. */
typedef struct Table {
        char **cells;
        size_t n_columns, n_cells;
        int error;                        /* the first that adding a row came to; table_show() says it */
} Table;

/* Copies n_columns cells. */
void table_row(Table *t, const char *const *cells);
/* Columns as wide as their widest cell, two blanks apart. ExitCode; has said what went wrong. */
int table_show(FILE *f, const Table *t);
void table_done(Table *t);

/* One cell by itself, without the line's end, to standard output. ExitCode, as above. */
int print_cell(const char *text);
