/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns line editing. libedit and not readline, which is under the GPL. Ctrl-C must neither end the program nor leave the
 * terminal in raw mode: while a line is read SIGINT has a handler that does nothing but interrupt the read. */

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/line.h"
#include "cli/terminal.h"

struct LineReader {
        EditLine *el;             /* NULL: no terminal */
        History *history;
        char *prompt, *file;
        char *buffer;             /* of getline() */
        size_t room;
};

static char *prompt_of(EditLine *el) {
        LineReader *l = NULL;
        el_get(el, EL_CLIENTDATA, &l);
        return l->prompt;
}

static int open_editor(LineReader *l) {
        HistEvent ev;
        l->el = el_init("sparkctl", stdin, stdout, stderr);
        l->history = history_init();
        if (!l->el || !l->history)
                return -ENOMEM;
        el_set(l->el, EL_CLIENTDATA, l);
        el_set(l->el, EL_PROMPT, prompt_of);
        el_set(l->el, EL_EDITOR, "emacs");
        el_set(l->el, EL_SIGNAL, 0);
        el_set(l->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
        history(l->history, &ev, H_SETSIZE, LINE_HISTORY_MAX);
        history(l->history, &ev, H_SETUNIQUE, 1);
        el_set(l->el, EL_HIST, history, l->history);
        el_source(l->el, NULL);
        /* One that cannot be read is as good as none. */
        if (l->file)
                history(l->history, &ev, H_LOAD, l->file);
        return 0;
}

int line_reader_new(const char *prompt, const char *history_file, LineReader **ret) {
        _cleanup_(line_reader_freep) LineReader *l = calloc(1, sizeof *l);
        if (!l || !(l->prompt = strdup(prompt)) || (history_file && !(l->file = strdup(history_file))))
                return -ENOMEM;
        if (terminal_is(stdin) && terminal_is(stdout)) {
                int r = open_editor(l);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

static void save_history(LineReader *l) {
        HistEvent ev;
        /* Made before libedit does, so that nobody else may read it at any time. */
        _cleanup_close_ int fd = open(l->file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && fchmod(fd, 0600) == 0)
                history(l->history, &ev, H_SAVE, l->file);
}

LineReader *line_reader_free(LineReader *l) {
        if (!l)
                return NULL;
        if (l->history && l->file)
                save_history(l);
        if (l->el)
                el_end(l->el);
        if (l->history)
                history_end(l->history);
        free(l->prompt);
        free(l->file);
        free(l->buffer);
        free(l);
        return NULL;
}

static void interrupted(int signo) {
}

static int edit_line(LineReader *l, char **ret) {
        const struct sigaction catch = { .sa_handler = interrupted };
        struct sigaction before;
        sigaction(SIGINT, &catch, &before);
        int n = 0;
        errno = 0;
        const char *line = el_gets(l->el, &n);
        int error = errno;
        sigaction(SIGINT, &before, NULL);

        if (!line || n <= 0) {
                if (n < 0 && error == EINTR) {
                        el_reset(l->el);
                        fputs("^C\n", stdout);
                        return -EINTR;
                }
                return n < 0 && error ? -error : 0;
        }
        if ((size_t) n > LINE_MAX_BYTES)
                return -EMSGSIZE;
        char *copy = strndup(line, strcspn(line, "\r\n"));
        if (!copy)
                return -ENOMEM;
        /* As shells have it: what begins with a blank is not remembered. */
        HistEvent ev;
        if (copy[0] && copy[0] != ' ')
                history(l->history, &ev, H_ENTER, copy);
        *ret = copy;
        return 1;
}

int line_read(LineReader *l, char **ret) {
        if (l->el)
                return edit_line(l, ret);
        ssize_t n = getline(&l->buffer, &l->room, stdin);
        if (n < 0)
                return feof(stdin) ? 0 : -errno;
        if ((size_t) n > LINE_MAX_BYTES)
                return -EMSGSIZE;
        char *copy = strndup(l->buffer, strcspn(l->buffer, "\r\n"));
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 1;
}
