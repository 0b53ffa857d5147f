/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns tables. Cells are made fit when they are added, with the filter that questions for consent use, so that a name
 * looks the same wherever it is shown and columns are counted of what will stand there. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sparkctl.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "daemon/consent/text.h"

#define CELL_MAX 300u                     /* characters */

static int out_of_memory(void) {
        return complain(EXIT_FAILED, "Out of memory.");
}

void table_row(Table *t, const char *const *cells) {
        char **more = reallocarray(t->cells, t->n_cells + t->n_columns, sizeof *more);
        if (!more) {
                t->error = -ENOMEM;
                return;
        }
        t->cells = more;
        for (size_t i = 0; i < t->n_columns; i++) {
                t->cells[t->n_cells + i] = consent_text(cells[i], CELL_MAX);
                if (!t->cells[t->n_cells + i])
                        t->error = -ENOMEM;
        }
        t->n_cells += t->n_columns;
}

int table_show(FILE *f, const Table *t) {
        _cleanup_free_ size_t *widths = calloc(t->n_columns, sizeof *widths);
        if (!widths || t->error < 0)
                return out_of_memory();
        for (size_t i = 0; i < t->n_cells; i++)
                widths[i % t->n_columns] = MAX(widths[i % t->n_columns], text_columns(t->cells[i]));

        for (size_t i = 0; i < t->n_cells; i++) {
                size_t column = i % t->n_columns;
                bool last = column + 1 == t->n_columns;
                if (i == 0)
                        fputs(terminal_style(f, STYLE_BOLD), f);
                terminal_print(f, t->cells[i], strlen(t->cells[i]));
                if (!last)
                        fprintf(f, "%*s", (int) (widths[column] - text_columns(t->cells[i]) + 2), "");
                if (i + 1 == t->n_columns)
                        fputs(terminal_style(f, STYLE_NORMAL), f);
                if (last)
                        fputc('\n', f);
        }
        return EXIT_OK;
}

void table_done(Table *t) {
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        free(t->cells);
        *t = (Table) {};
}

int print_cell(const char *text) {
        _cleanup_free_ char *copy = consent_text(text, CELL_MAX);
        if (!copy)
                return out_of_memory();
        fputs(copy, stdout);
        return EXIT_OK;
}
