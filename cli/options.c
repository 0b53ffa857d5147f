/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reading of options: those that every command takes, a command's own by its table, and how a wrong one is
 * named. What a value means is the command's, but for a user's number, which several want. */

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "basic/cleanup.h"
#include "cli/number.h"
#include "cli/sparkctl.h"

#define OWN_MAX 4u

int option_error(const char *command, int answer, char **argv) {
        /* The word that getopt_long() has just passed; inside a bundle like -xy it has not passed it yet, but then
         * optopt says enough. */
        const char *word = argv[optind - 1];
        bool is_long = strncmp(word, "--", 2) == 0;
        if (answer == ':')
                return usage_error(command, "Option '%s' needs a value.", word);
        if (optopt >= OPT_USER || (optopt && is_long && strchr(word, '=')))
                return usage_error(command, "Option '%s' takes no value.", word);
        if (optopt)
                return usage_error(command, "There is no option '-%c'.", optopt);
        return usage_error(command, "There is no option '%s'.", word);
}

bool common_option(Context *c, int opt) {
        switch (opt) {
        case OPT_USER:
                c->bus = BUS_USER;
                return true;
        case OPT_SYSTEM:
                c->bus = BUS_SYSTEM;
                return true;
        case OPT_JSON:
                c->json = true;
                return true;
        default:
                return false;
        }
}

/* ExitCode. */
static int take(const char *command, const Option *o, const char *value) {
        uint64_t uid;
        if (o->flag)
                *o->flag = true;
        else if (o->text)
                *o->text = value;
        else if (parse_u64(value, &uid) < 0 || uid >= NO_UID)
                return usage_error(command, "--%s wants the number of a user, not '%s'.", o->name, value);
        else
                *o->uid = (uint32_t) uid;
        return EXIT_OK;
}

int options_parse(Context *c, int argc, char **argv, const char *command, const char *help, const Option *own, size_t n_own) {
        static const struct option common[] = { COMMON_OPTIONS };
        struct option options[ELEMENTSOF(common) + OWN_MAX + 1] = { COMMON_OPTIONS };
        assert(n_own <= OWN_MAX);
        for (size_t i = 0; i < n_own; i++)
                options[ELEMENTSOF(common) + i] = (struct option) {
                        own[i].name, own[i].flag ? no_argument : required_argument, NULL, OPT_FIRST_OWN + (int) i,
                };

        for (int opt; (opt = getopt_long(argc, argv, ":h", options, NULL)) >= 0;) {
                int r = EXIT_OK;
                if (opt == 'h') {
                        fputs(help, stdout);
                        return EXIT_OK;
                }
                if (opt >= OPT_FIRST_OWN)
                        r = take(command, &own[opt - OPT_FIRST_OWN], optarg);
                else if (!common_option(c, opt))
                        r = option_error(command, opt, argv);
                if (r != EXIT_OK)
                        return r;
        }
        return OPTIONS_READ;
}
