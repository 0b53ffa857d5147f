/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the command line's first word: a table of verbs, the options that all of them take, and how a mistake is named.
 * A command lives in a file of its own family; what it prints and asks is its own business. */

#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/cleanup.h"
#include "cli/sparkctl.h"
#include "cli/terminal.h"

static const Verb verbs[] = {
        { "ask",        "ask one question, print the reply",                    verb_ask        },
        { "chat",       "hold a conversation",                                  verb_chat       },
        { "status",     "say what runs and which model answers",                verb_status     },
        { "verify",     "show how the worker is contained, fact by fact",       verb_verify     },
        { "model",      "list, install, verify, remove and describe models",    verb_model      },
        { "permission", "list, set and reset what applications may do",         verb_permission },
        { "policy",     "check the rule files, explain a decision",             verb_policy     },
        { "ledger",     "show what applications used the assistant for",        verb_ledger     },
        { "monitor",    "show who is using the assistant now",                  verb_monitor    },
        { "agent",      "ask for consent on this terminal",                     verb_agent      },
};

static void help(void) {
        printf("sparkctl [OPTION…] COMMAND …\n\n"
               "Asks and looks after Spark, the assistant of this machine.\n\nCommands:\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                printf("  %-20s %s\n", verbs[i].name, verbs[i].summary);
        printf("\nOptions:\n"
               COMMON_HELP
               "      --version        print the version\n"
               "\n"
               "Without --user and --system it is the bus where sparkd runs, the session bus first; where it runs on neither, the\n"
               "system bus where it can be started there, else the session bus.\n"
               "'sparkctl COMMAND --help' describes a command, sparkctl(1) all of them.\n"
               "\n"
               "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no sparkd or no model, 4 not allowed or a limit reached,\n"
               "124 the time of --max-time was over, 130 cancelled.\n");
}

int complain(int code, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                fputs("sparkctl: Out of memory.\n", stderr);
                return code;
        }
        fputs("sparkctl: ", stderr);
        terminal_print(stderr, text, (size_t) n);
        fputc('\n', stderr);
        return code;
}

int usage_error(const char *command, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        complain(EXIT_USAGE, "%s", n < 0 ? "Wrong usage." : text);
        fprintf(stderr, "Try 'sparkctl %s%s--help'.\n", command ?: "", command ? " " : "");
        return EXIT_USAGE;
}

const Verb *verb_find(const Verb *table, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(table[i].name, name) == 0)
                        return &table[i];
        return NULL;
}

/* Levenshtein's distance of two short words; long ones are simply far apart. */
static size_t distance(const char *a, const char *b) {
        size_t row[32], n = strlen(b);
        if (n >= ELEMENTSOF(row) || strlen(a) >= ELEMENTSOF(row))
                return SIZE_MAX;
        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t diagonal = row[0];
                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
                        size_t other = MIN(row[j], row[j - 1]) + 1;
                        diagonal = row[j];
                        row[j] = MIN(replaced, other);
                }
        }
        return row[n];
}

const char *verb_nearest(const Verb *table, size_t n, const char *name) {
        const char *best = NULL;
        size_t least = 3;
        for (size_t i = 0; i < n; i++) {
                size_t d = distance(name, table[i].name);
                if (d < least) {
                        least = d;
                        best = table[i].name;
                }
        }
        return best;
}

static int family_help(const Family *f) {
        printf("sparkctl %s [OPTION…] COMMAND …\n\n%s\n\nCommands:\n", f->name, f->about);
        for (size_t i = 0; i < f->n_verbs; i++)
                printf("  %-20s %s\n", f->verbs[i].name, f->verbs[i].summary);
        printf("\nOptions:\n%s"
               "  -h, --help           print this; 'sparkctl %s COMMAND --help' says more\n", f->options, f->name);
        return EXIT_OK;
}

static int family_names(const Family *f) {
        char names[256];
        int n = 0;
        for (size_t i = 0; i < f->n_verbs; i++)
                n += snprintf(names + n, sizeof names - (size_t) n, "%s%s", i > 0 ? ", " : "", f->verbs[i].name);
        return usage_error(f->name, "What shall be done? There are: %s.", names);
}

int family_run(const Family *f, Context *c, int argc, char **argv) {
        static const struct option options[] = { COMMON_OPTIONS, {} };
        for (int opt; (opt = getopt_long(argc, argv, "+:h", options, NULL)) >= 0;) {
                if (opt == 'h')
                        return family_help(f);
                if (!common_option(c, opt))
                        return option_error(f->name, opt, argv);
        }
        if (optind >= argc)
                return family_names(f);
        argv += optind;
        argc -= optind;
        const Verb *v = verb_find(f->verbs, f->n_verbs, argv[0]);
        if (!v) {
                const char *near = verb_nearest(f->verbs, f->n_verbs, argv[0]);
                return near ? usage_error(f->name, "There is no command '%s %s'. Did you mean '%s'?", f->name, argv[0], near)
                            : usage_error(f->name, "There is no command '%s %s'.", f->name, argv[0]);
        }
        optind = 0;
        return v->run(c, argc, argv);
}

static int run(int argc, char **argv) {
        enum { OPT_VERSION = OPT_FIRST_OWN };
        static const struct option options[] = {
                COMMON_OPTIONS,
                { "version", no_argument, NULL, OPT_VERSION },
                {},
        };
        Context c = {};
        opterr = 0;
        /* '+': what stands after the command is the command's. */
        for (int opt; (opt = getopt_long(argc, argv, "+:h", options, NULL)) >= 0;) {
                if (common_option(&c, opt))
                        continue;
                if (opt == 'h') {
                        help();
                        return EXIT_OK;
                }
                if (opt == OPT_VERSION) {
                        printf("spark " SPARK_VERSION "\n");
                        return EXIT_OK;
                }
                return option_error(NULL, opt, argv);
        }
        if (optind >= argc)
                return usage_error(NULL, "What shall be done? There are: ask, chat, status, verify, model, permission, policy, ledger, "
                                   "monitor, agent.");
        argv += optind;
        argc -= optind;
        if (strcmp(argv[0], "help") == 0) {
                help();
                return EXIT_OK;
        }

        const Verb *v = verb_find(verbs, ELEMENTSOF(verbs), argv[0]);
        if (!v) {
                const char *near = verb_nearest(verbs, ELEMENTSOF(verbs), argv[0]);
                if (near)
                        return usage_error(NULL, "There is no command '%s'. Did you mean '%s'?", argv[0], near);
                return usage_error(NULL, "There is no command '%s'.", argv[0]);
        }
        optind = 0;
        return v->run(&c, argc, argv);
}

int main(int argc, char **argv) {
        /* Line editing and column widths want UTF-8 whatever the environment forgot to say. */
        setlocale(LC_ALL, "");
        if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
                setlocale(LC_CTYPE, "C.UTF-8");
        /* Figures are printed for programs too: always with a point. */
        setlocale(LC_NUMERIC, "C");

        int r = run(argc, argv);
        /* A full disk must not look like success. */
        if (fflush(stdout) != 0 && r == EXIT_OK)
                return complain(EXIT_FAILED, "Cannot write the output: %s.", strerror(errno));
        return r;
}
