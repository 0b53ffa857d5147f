/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every command of sparkctl has in common: how it is called, what it returns. A command's function gets argv from
 * its own name on, after sparkctl's general options, and returns one of the exit codes below; it has then said what went
 * wrong. sparkctl is on sd-bus; it knows nothing of the engine. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ExitCode {
        EXIT_OK = 0,
        EXIT_FAILED = 1,          /* it was tried and did not work */
        EXIT_USAGE = 2,           /* the command line makes no sense */
        EXIT_UNAVAILABLE = 3,     /* no sparkd, or no model */
        EXIT_REFUSED = 4,         /* not allowed, or a limit was reached */
        EXIT_TIMEOUT = 124,       /* --max-time, as timeout(1) says it */
        EXIT_CANCELLED = 130,     /* Ctrl-C, as shells say it */
} ExitCode;

typedef enum BusChoice { BUS_AUTO, BUS_USER, BUS_SYSTEM } BusChoice;

typedef struct Context {
        BusChoice bus;
        bool json;
} Context;

typedef struct Verb {
        const char *name;
        const char *summary;      /* one line of --help */
        int (*run)(Context *c, int argc, char **argv);
} Verb;

int verb_ask(Context *c, int argc, char **argv);
int verb_chat(Context *c, int argc, char **argv);
int verb_status(Context *c, int argc, char **argv);
int verb_verify(Context *c, int argc, char **argv);
int verb_model(Context *c, int argc, char **argv);
int verb_agent(Context *c, int argc, char **argv);
int verb_permission(Context *c, int argc, char **argv);
int verb_policy(Context *c, int argc, char **argv);
int verb_ledger(Context *c, int argc, char **argv);
int verb_monitor(Context *c, int argc, char **argv);

/* Options that every command takes, for its getopt_long() table and its switch. */
#define COMMON_OPTIONS                                          \
        { "help",   no_argument, NULL, 'h'         },           \
        { "user",   no_argument, NULL, OPT_USER    },           \
        { "system", no_argument, NULL, OPT_SYSTEM  },           \
        { "json",   no_argument, NULL, OPT_JSON    }
enum { OPT_USER = 0x1000, OPT_SYSTEM, OPT_JSON, OPT_FIRST_OWN };
/* True where `opt` was one of them (but "help"). */
bool common_option(Context *c, int opt);
#define BUS_HELP                                                                        \
        "      --user           talk to your own sparkd, on the session bus\n"          \
        "      --system         talk to the machine's sparkd, on the system bus\n"      \
        "      --json           print JSON, for programs\n"
#define COMMON_HELP BUS_HELP                                                            \
        "  -h, --help           print this\n"

/* An option of one command's own, and where its value goes: one of the three, which stays as it was where the option is
 * not given. */
typedef struct Option {
        const char *name;
        bool *flag;               /* takes no value */
        const char **text;
        uint32_t *uid;            /* a user's number */
} Option;
#define NO_UID UINT32_MAX

/* Reads the options of `command`, which is what stands after "sparkctl": the common ones and `own`, four at most. `help`:
 * all of its --help. OPTIONS_READ, and optind is at the first argument; else the ExitCode with which the command is over. */
#define OPTIONS_READ (-1)
int options_parse(Context *c, int argc, char **argv, const char *command, const char *help, const Option *own, size_t n_own);

/* "sparkctl: …" to standard error, safe for a terminal. complain() returns `code`; usage_error() adds where help is and
 * returns EXIT_USAGE. `command` is what stands after "sparkctl", or NULL. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* After getopt_long() answered '?' or ':' (opterr is 0, the option string begins with ':'). */
int option_error(const char *command, int answer, char **argv);

/* Dispatches argv[0] over a table; the unknown name is named, with the nearest known one. */
const Verb *verb_find(const Verb *verbs, size_t n, const char *name);
const char *verb_nearest(const Verb *verbs, size_t n, const char *name);

/* A command that has commands of its own: "sparkctl model list". */
typedef struct Family {
        const char *name, *about;                 /* of --help: a sentence */
        const char *options;                      /* of --help: lines */
        const Verb *verbs;
        size_t n_verbs;
} Family;
int family_run(const Family *f, Context *c, int argc, char **argv);
