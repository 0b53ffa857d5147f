/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl ask: one question in a session of its own, which is closed after the reply. What comes through a pipe is a
 * part of its own with the origin "file", so that sparkd can tell the user's words from what they are about. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/conversation.h"
#include "cli/terminal.h"

#define STDIN_MAX (16u << 20)             /* bytes; sparkd's own limit is lower and names itself */

static int help(void) {
        printf("sparkctl ask [OPTION…] [TEXT…]\n\n"
               "Asks one question and prints the reply as it comes. Standard input is joined to TEXT where it is a pipe or a\n"
               "file:\n\n"
               "  sparkctl ask \"What is a D-Bus signal?\"\n"
               "  cat notes | sparkctl ask \"Summarise this.\"\n"
               "\nOptions:\n"
               REPLY_HELP
               COMMON_HELP
               "\nCtrl-C ends the reply; what was said until then stays printed, the exit status is 130 (124 after --max-time).\n");
        return EXIT_OK;
}

/* Terminals and /dev/null hold nothing that was meant to be asked. */
static bool stdin_has_text(void) {
        struct stat st;
        return fstat(STDIN_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));
}

static int read_stdin(char **ret, size_t *ret_size) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0, room = 0;
        for (;;) {
                if (room - n < 2) {
                        room = room ? room * 2 : 4096;
                        char *more = realloc(text, room);
                        if (!more)
                                return -ENOMEM;
                        text = more;
                }
                size_t k = fread(text + n, 1, room - n - 1, stdin);
                n += k;
                if (n > STDIN_MAX)
                        return -EMSGSIZE;
                if (k == 0)
                        break;
        }
        if (ferror(stdin))
                return -EIO;
        text[n] = 0;
        *ret = TAKE_PTR(text);
        *ret_size = n;
        return 0;
}

static int join_words(int n, char **words, char **ret) {
        size_t size = 1;
        for (int i = 0; i < n; i++)
                size += strlen(words[i]) + 1;
        char *text = calloc(1, size), *p = text;
        if (!text)
                return -ENOMEM;
        for (int i = 0; i < n; i++)
                p += sprintf(p, "%s%s", i > 0 ? " " : "", words[i]);
        *ret = text;
        return 0;
}

static int check_text(const char *what, const char *text, size_t size) {
        size_t good = text_valid_until(text, size);
        if (good == size)
                return EXIT_OK;
        return complain(EXIT_FAILED, "%s is not text in UTF-8: byte %zu is 0x%02x.", what, good, (unsigned char) text[good]);
}

/* 1 or 2 parts into parts[2]; the texts are the caller's. */
static int gather(int argc, char **argv, char **ret_words, char **ret_input, Part parts[2], size_t *ret_n) {
        size_t size = 0;
        int r = join_words(argc, argv, ret_words);
        if (r >= 0 && stdin_has_text())
                r = read_stdin(ret_input, &size);
        if (r == -EMSGSIZE)
                return complain(EXIT_REFUSED, "Standard input is longer than %u bytes.", STDIN_MAX);
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot read standard input: %s.", strerror(-r));

        if ((r = check_text("TEXT", *ret_words, strlen(*ret_words))) != EXIT_OK ||
            (*ret_input && (r = check_text("Standard input", *ret_input, size)) != EXIT_OK))
                return r;
        *ret_n = 0;
        if ((*ret_words)[0])
                parts[(*ret_n)++] = (Part) { *ret_words, "user" };
        if (*ret_input && (*ret_input)[strspn(*ret_input, " \t\r\n")]) {
                /* Alone it is the question itself. */
                parts[*ret_n] = (Part) { *ret_input, *ret_n > 0 ? "file" : "user" };
                (*ret_n)++;
        }
        if (*ret_n == 0)
                return usage_error("ask", "There is nothing to ask: give TEXT, or pipe some in.");
        return EXIT_OK;
}

int verb_ask(Context *c, int argc, char **argv) {
        static const struct option options[] = { COMMON_OPTIONS, REPLY_OPTIONS, {} };
        ReplyOptions o = {};
        for (int opt; (opt = getopt_long(argc, argv, ":h", options, NULL)) >= 0;) {
                if (opt == 'h')
                        return help();
                if (opt == '?' || opt == ':')
                        return option_error("ask", opt, argv);
                if (!common_option(c, opt) && reply_option(&o, "ask", opt, optarg) < 0)
                        return EXIT_USAGE;
        }

        _cleanup_free_ char *words = NULL, *input = NULL;
        Part parts[2];
        size_t n_parts;
        int r = gather(argc - optind, argv + optind, &words, &input, parts, &n_parts);
        if (r != EXIT_OK)
                return r;

        _cleanup_(client_done) Client client = {};
        if ((r = client_open(c, &client)) != EXIT_OK)
                return r;
        _cleanup_(session_done) Session session = {};
        if ((r = session_open(c, &client, &o, &session)) != EXIT_OK)
                return r;

        _cleanup_(turn_done) Turn turn = {};
        bool lost;
        if ((r = session_turn(&session, parts, n_parts, &o, &turn, &lost)) != EXIT_OK)
                return r;
        if (c->json && (r = print_json(turn_to_json(&turn))) != EXIT_OK)
                return r;
        if (o.stats)
                turn_print_stats(&turn);
        if (turn.reason && strcmp(turn.reason, "cancelled") == 0)
                return turn.timed_out ? EXIT_TIMEOUT : EXIT_CANCELLED;
        return EXIT_OK;
}
