/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl chat: turns of one session, a line of the user's each. Reads from a terminal with editing and history, or
 * from a pipe, a line a turn, so that a script can hold a conversation too. Where sparkd loses the session the next line
 * begins a new one, and that is said. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/conversation.h"
#include "cli/line.h"
#include "cli/terminal.h"

static int help(void) {
        printf("sparkctl chat [OPTION…]\n\n"
               "Holds a conversation: every line is a turn, what was said before is remembered. Standard input may be a pipe,\n"
               "the conversation then ends with it. Where it grows too long for the model, what was said first is forgotten.\n\n"
               "Ctrl-C ends the reply under way, Ctrl-D the conversation. Lines that begin with '/' are commands:\n"
               "  /new    forget everything, begin anew\n"
               "  /help   print these\n"
               "  /quit   leave\n"
               "\nOptions:\n"
               "      --no-history         keep no file of what was typed ($XDG_STATE_HOME/spark/history)\n"
               REPLY_HELP
               COMMON_HELP
               "\nWith --json every turn is one line of JSON.\n");
        return EXIT_OK;
}

/* $XDG_STATE_HOME/spark/history, its folder made; NULL where there can be none, which is no reason not to chat. */
static char *history_file(void) {
        const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
        char *path = NULL;
        int n = state && state[0] == '/' ? asprintf(&path, "%s/spark/history", state) :
                home && home[0] == '/' ? asprintf(&path, "%s/.local/state/spark/history", home) : -1;
        if (n < 0)
                return NULL;
        for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
                *p = 0;
                mkdir(path, 0700);
                *p = '/';
        }
        return path;
}

typedef struct Chat {
        Context *context;
        Client *client;
        const ReplyOptions *options;
        Session session;
        int worst;                /* exit code of the last turn that failed */
} Chat;

static void say_line(Chat *c, const char *line) {
        _cleanup_(turn_done) Turn turn = {};
        bool lost = false;
        size_t size = strlen(line), good = text_valid_until(line, size);
        if (good < size) {
                c->worst = complain(EXIT_FAILED, "That is not text in UTF-8: byte %zu is 0x%02x.", good, (unsigned char) line[good]);
                return;
        }
        int r = EXIT_OK;
        if (!c->session.path)
                r = session_open(c->context, c->client, c->options, &c->session);
        if (r == EXIT_OK)
                r = session_turn(&c->session, &(Part) { line, "user" }, 1, c->options, &turn, &lost);
        if (lost) {
                session_done(&c->session);
                complain(0, "The conversation is lost; the next line begins a new one.");
        }
        if (r != EXIT_OK) {
                c->worst = r;
                return;
        }
        if (turn_dropped(&turn) > 0)
                complain(0, "The conversation has grown too long for the model; what was said first is forgotten.");
        if (c->context->json)
                print_json(turn_to_json(&turn));
        else if (terminal_is(stdout) && turn.reason && strcmp(turn.reason, "cancelled") == 0)
                printf("%s(cancelled)%s\n", terminal_style(stdout, STYLE_DIM), terminal_style(stdout, STYLE_NORMAL));
        if (c->options->stats)
                turn_print_stats(&turn);
}

/* 1: go on, 0: leave. */
static int command(Chat *c, const char *line) {
        if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0)
                return 0;
        if (strcmp(line, "/new") == 0) {
                session_done(&c->session);
                fprintf(stderr, "A new conversation.\n");
        } else {
                if (strcmp(line, "/help") != 0)
                        complain(0, "There is no command '%s'.", line);
                fprintf(stderr, "/new begins anew, /quit (or Ctrl-D) leaves, Ctrl-C ends a reply. Anything else is said to the model.\n");
        }
        return 1;
}

int verb_chat(Context *c, int argc, char **argv) {
        enum { OPT_NO_HISTORY = OPT_REPLY_END };
        static const struct option options[] = {
                COMMON_OPTIONS, REPLY_OPTIONS, { "no-history", no_argument, NULL, OPT_NO_HISTORY }, {},
        };
        ReplyOptions o = { .drop_oldest = true };
        bool keep = true;
        for (int opt; (opt = getopt_long(argc, argv, ":h", options, NULL)) >= 0;) {
                if (opt == 'h')
                        return help();
                if (opt == '?' || opt == ':')
                        return option_error("chat", opt, argv);
                if (opt == OPT_NO_HISTORY)
                        keep = false;
                else if (!common_option(c, opt) && reply_option(&o, "chat", opt, optarg) < 0)
                        return EXIT_USAGE;
        }
        if (optind < argc)
                return usage_error("chat", "'%s': chat takes no text, 'sparkctl ask' does.", argv[optind]);

        _cleanup_(client_done) Client client = {};
        int r = client_open(c, &client);
        if (r != EXIT_OK)
                return r;
        Chat chat = { .context = c, .client = &client, .options = &o };
        /* Opened now, so that what is wrong shows before the first line is typed. */
        if ((r = session_open(c, &client, &o, &chat.session)) != EXIT_OK)
                return r;

        _cleanup_free_ char *file = keep && terminal_is(stdin) ? history_file() : NULL;
        _cleanup_(line_reader_freep) LineReader *reader = NULL;
        if ((r = line_reader_new("> ", file, &reader)) < 0) {
                session_done(&chat.session);
                return complain(EXIT_FAILED, "Cannot set up line editing: %s.", strerror(-r));
        }
        if (terminal_is(stdin) && terminal_is(stdout))
                printf("%sCtrl-C ends a reply, Ctrl-D leaves, /help says more.%s\n", terminal_style(stdout, STYLE_DIM),
                       terminal_style(stdout, STYLE_NORMAL));

        for (;;) {
                _cleanup_free_ char *line = NULL;
                r = line_read(reader, &line);
                if (r == -EINTR)
                        continue;
                if (r == -EMSGSIZE) {
                        chat.worst = complain(EXIT_FAILED, "A line may have %u bytes.", LINE_MAX_BYTES);
                        continue;
                }
                if (r <= 0)
                        break;
                const char *text = line + strspn(line, " \t");
                if (!text[0])
                        continue;
                if (text[0] == '/' && command(&chat, text) == 0)
                        break;
                if (text[0] != '/')
                        say_line(&chat, text);
        }
        if (r == 0 && terminal_is(stdin) && terminal_is(stdout))
                putchar('\n');
        session_done(&chat.session);
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot read: %s.", strerror(-r));
        return chat.worst;
}
