/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the command line of spark-lm: which commands there are, their options from their own tables, help. Exit
 * status: 0 done, 1 it failed, 2 the command line was wrong, 130 interrupted. */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/spark-lm.h"

static const LmCommand *const commands[] = { &lm_inspect, &lm_tokenize, &lm_generate, &lm_perplexity, &lm_bench };

static const LmOption global_options[] = {
        { "kernels", "NAME", "scalar, or another instruction set's; default: the best here" },
        { "threads", "N", "default: one for each CPU that may be used" },
        { "kv", "TYPE", "keys and values as i16 (the default), f16, q8 or f32" },
        { "help", NULL, "print this", 'h' },
};

enum { GLOBAL_KERNELS, GLOBAL_THREADS, GLOBAL_KV, GLOBAL_HELP };

#define OPTIONS_MAX ELEMENTSOF(((LmCall *) NULL)->values)
#define GLOBAL_BASE 1000

static void print_option(const LmOption *o) {
        char text[64];
        snprintf(text, sizeof text, "%s%c%s--%s%s%s", o->letter ? "-" : "   ", o->letter ?: ' ', o->letter ? ", " : "", o->name,
                 o->argument ? " " : "", o->argument ?: "");
        printf("  %-26s %s\n", text, o->help);
}

static void help(const LmCommand *c) {
        if (c) {
                printf("spark-lm %s %s\n\n%s\n\n", c->name, c->arguments, c->summary);
                for (const LmOption *o = c->options; o && o->name; o++)
                        print_option(o);
        } else {
                printf("spark-lm COMMAND MODEL …: the engine by hand. MODEL is a path or an installed model's name.\n\n");
                for (size_t i = 0; i < ELEMENTSOF(commands); i++)
                        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
                printf("\n");
        }
        for (size_t i = 0; i < ELEMENTSOF(global_options); i++)
                print_option(&global_options[i]);
}

static bool take_global(LmOptions *o, int which, const char *value) {
        static const char *const types[] = { [KV_F32] = "f32", [KV_F16] = "f16", [KV_Q8] = "q8", [KV_I16] = "i16" };
        double n;

        switch (which) {
        case GLOBAL_KERNELS:
                o->kernels = value;
                return true;
        case GLOBAL_THREADS:
                if (!lm_number("threads", value, 1, POOL_THREADS_MAX, &n))
                        return false;
                o->n_threads = (unsigned) n;
                return true;
        default:
                for (size_t i = 0; i < ELEMENTSOF(types); i++)
                        if (strcmp(types[i], value) == 0) {
                                o->kv_type = (KvType) i;
                                return true;
                        }
                fprintf(stderr, "spark-lm: --kv is i16, f16, q8 or f32, not '%s'\n", value);
                return false;
        }
}

/* One table for getopt_long() from the command's and the global options; option values are places in them. */
static size_t build_options(const LmCommand *c, struct option *ret, char *letters) {
        size_t n = 0;
        *letters++ = 'h';
        for (size_t i = 0; c && c->options && c->options[i].name && i < OPTIONS_MAX; i++) {
                const LmOption *o = &c->options[i];
                ret[n++] = (struct option) { o->name, o->argument ? required_argument : no_argument, NULL, GLOBAL_BASE / 2 + (int) i };
                if (o->letter) {
                        *letters++ = o->letter;
                        if (o->argument)
                                *letters++ = ':';
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(global_options); i++)
                ret[n++] = (struct option) { global_options[i].name, global_options[i].argument ? required_argument : no_argument,
                                             NULL, GLOBAL_BASE + (int) i };
        ret[n] = (struct option) {};
        *letters = 0;
        return n;
}

/* 0: run it; else the exit status, plus one. */
static int parse(const LmCommand *c, int argc, char **argv, LmCall *ret) {
        struct option options[OPTIONS_MAX + ELEMENTSOF(global_options) + 1];
        char letters[2 * OPTIONS_MAX + 2];
        build_options(c, options, letters);

        *ret = (LmCall) { .command = c, .global.kv_type = KV_I16 };
        optind = 1;
        for (int o; (o = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
                for (int i = 0; o < GLOBAL_BASE / 2 && c->options && c->options[i].name; i++)
                        if (c->options[i].letter == o)
                                o = GLOBAL_BASE / 2 + i;
                if (o == 'h' || o == GLOBAL_BASE + GLOBAL_HELP) {
                        help(c);
                        return 1;
                }
                if (o >= GLOBAL_BASE) {
                        if (!take_global(&ret->global, o - GLOBAL_BASE, optarg))
                                return 3;
                } else if (o >= GLOBAL_BASE / 2)
                        ret->values[o - GLOBAL_BASE / 2] = optarg ?: "";
                else
                        return 3;
        }
        ret->arguments = argv + optind;
        ret->n_arguments = argc - optind;
        if (ret->n_arguments != c->n_arguments) {
                fprintf(stderr, "spark-lm: usage: spark-lm %s %s\n", c->name, c->arguments);
                return 3;
        }
        return 0;
}

int main(int argc, char **argv) {
        signal(SIGPIPE, SIG_IGN);
        if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
                help(NULL);
                return argc < 2 ? 2 : 0;
        }
        if (strcmp(argv[1], "--version") == 0) {
                printf("spark-lm %s\n", SPARK_VERSION);
                return 0;
        }

        /* Global options may stand before the command: the command is the first word that is neither one of them nor
         * its value, and moves to the front. */
        int at = 1;
        while (at < argc && argv[at][0] == '-')
                at += strchr(argv[at], '=') ? 1 : 2;
        if (at >= argc) {
                fprintf(stderr, "spark-lm: no command; see spark-lm --help\n");
                return 2;
        }
        char *name = argv[at];
        memmove(argv + 2, argv + 1, (size_t) (at - 1) * sizeof *argv);
        argv[1] = argv[0];

        for (size_t i = 0; i < ELEMENTSOF(commands); i++)
                if (strcmp(commands[i]->name, name) == 0) {
                        LmCall call;
                        int r = parse(commands[i], argc - 1, argv + 1, &call);
                        return r > 0 ? r - 1 : call.command->run(&call);
                }
        fprintf(stderr, "spark-lm: no command '%s'; see spark-lm --help\n", name);
        return 2;
}
