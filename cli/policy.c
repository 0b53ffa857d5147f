/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl policy: the rule files as sparkd has read them. */

#include <stdio.h>
#include <string.h>

#include "cli/permissions.h"
#include "cli/table.h"

static int policy_check(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl policy check [OPTION…]\n\n"
                "Prints what is wrong with the rule files, a line a mistake: file, line, word, and what holds instead. Exit\n"
                "status 1 where there is any. sparkd reads the files when it starts and by 'systemctl reload sparkd'.\n"
                "\nOptions:\n"
                COMMON_HELP;
        int r = options_parse(c, argc, argv, "policy check", help, NULL, 0);
        if (r != OPTIONS_READ)
                return r;
        if (optind < argc)
                return usage_error("policy check", "'%s': it takes no arguments.", argv[optind]);

        _cleanup_(client_done) Client client = {};
        _cleanup_(json_dropp) json_t *reply = NULL;
        r = permissions_get(c, &client, "check the rules", "Problems", &reply, "");
        if (r != EXIT_OK)
                return r;
        json_t *problems = json_array_get(reply, 0);
        bool bad = json_array_size(problems) > 0;
        if (c->json) {
                r = print_json(json_incref(problems));
                return r != EXIT_OK ? r : bad ? EXIT_FAILED : EXIT_OK;
        }
        size_t i;
        const json_t *p;
        json_array_foreach(problems, i, p) {
                if ((r = print_cell(json_string_value(p))) != EXIT_OK)
                        return r;
                putchar('\n');
        }
        if (!bad)
                puts("The rules have no mistakes.");
        return bad ? EXIT_FAILED : EXIT_OK;
}

static int policy_explain(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl policy explain [OPTION…] APP CAPABILITY\n\n"
                "Says what would become of a request of an application of yours, and which line of which file decides.\n"
                "\nOptions:\n"
                "      --certainty C    as if the application were that sure: sandboxed, unit, path, unknown\n"
                "                       (default: as it was last seen)\n"
                COMMON_HELP;
        const char *certainty = NULL;
        const Option own[] = { { "certainty", .text = &certainty } };
        int r = options_parse(c, argc, argv, "policy explain", help, own, ELEMENTSOF(own));
        if (r != OPTIONS_READ)
                return r;
        if (argc - optind != 2)
                return usage_error("policy explain", "It takes an APP and a CAPABILITY.");

        _cleanup_(client_done) Client client = {};
        _cleanup_(json_dropp) json_t *reply = NULL;
        r = permissions_get(c, &client, "explain that", "Explain", &reply, "ssa{sv}", argv[optind], argv[optind + 1],
                            certainty != NULL, "certainty", "s", certainty);
        if (r != EXIT_OK)
                return r;
        const char *decision = json_string_value(json_array_get(reply, 0)) ?: "",
                   *reason = json_string_value(json_array_get(reply, 1)) ?: "",
                   *text = json_string_value(json_array_get(reply, 2)) ?: "";
        if (c->json)
                return print_json(json_pack("{s:s, s:s, s:s}", "decision", decision, "reason", reason, "text", text));
        r = print_cell(text[0] ? text : decision);
        putchar('\n');
        return r;
}

static const Verb verbs[] = {
        { "check",   "print what is wrong with the rule files",             policy_check   },
        { "explain", "say what an application may, and which line decides", policy_explain },
};

int verb_policy(Context *c, int argc, char **argv) {
        static const Family family = {
                "policy", "The rules of the administrator and the distribution.",
                BUS_HELP, verbs, ELEMENTSOF(verbs),
        };
        return family_run(&family, c, argc, argv);
}
