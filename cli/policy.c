/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl policy: the rule files as sparkd has read them. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/permissions.h"
#include "cli/terminal.h"

enum { OPT_CERTAINTY = OPT_FIRST_OWN };

static int policy_check(Context *c, int argc, char **argv) {
        static const struct option options[] = { COMMON_OPTIONS, {} };
        for (int opt; (opt = getopt_long(argc, argv, ":h", options, NULL)) >= 0;) {
                if (opt == 'h') {
                        printf("sparkctl policy check [OPTION…]\n\n"
                               "Prints what is wrong with the rule files, a line a mistake: file, line, word, and what holds instead. Exit\n"
                               "status 1 where there is any. sparkd reads the files when it starts and by 'systemctl reload sparkd'.\n"
                               "\nOptions:\n"
                               COMMON_HELP);
                        return EXIT_OK;
                }
                if (!common_option(c, opt))
                        return option_error("policy check", opt, argv);
        }
        if (optind < argc)
                return usage_error("policy check", "'%s': it takes no arguments.", argv[optind]);

        _cleanup_(client_done) Client client = {};
        _cleanup_(sd_bus_message_dropp) sd_bus_message *call = NULL;
        _cleanup_(json_dropp) json_t *reply = NULL;
        int r = client_open(c, &client);
        if (r != EXIT_OK)
                return r;
        r = permissions_new_call(&client, "Problems", &call);
        if ((r = permissions_call(c, &client, "check the rules", r, call, &reply)) != EXIT_OK)
                return r;
        json_t *problems = json_array_get(reply, 0);
        bool bad = json_array_size(problems) > 0;
        if (c->json) {
                r = print_json(json_incref(problems));
                return r != EXIT_OK ? r : bad ? EXIT_FAILED : EXIT_OK;
        }
        _cleanup_(table_done) Table t = { .n_columns = 1 };
        size_t i;
        const json_t *p;
        json_array_foreach(problems, i, p)
                if (table_add(&t, json_string_value(p)) < 0)
                        return complain(EXIT_FAILED, "Out of memory.");
        for (i = 0; i < t.n_cells; i++)
                puts(t.cells[i]);
        if (!bad)
                puts("The rules have no mistakes.");
        return bad ? EXIT_FAILED : EXIT_OK;
}

static int policy_explain(Context *c, int argc, char **argv) {
        static const struct option options[] = {
                COMMON_OPTIONS,
                { "certainty", required_argument, NULL, OPT_CERTAINTY },
                {},
        };
        const char *certainty = NULL;
        for (int opt; (opt = getopt_long(argc, argv, ":h", options, NULL)) >= 0;) {
                if (opt == 'h') {
                        printf("sparkctl policy explain [OPTION…] APP CAPABILITY\n\n"
                               "Says what would become of a request of an application of yours, and which line of which file decides.\n"
                               "\nOptions:\n"
                               "      --certainty C    as if the application were that sure: sandboxed, unit, path, unknown\n"
                               "                       (default: as it was last seen)\n"
                               COMMON_HELP);
                        return EXIT_OK;
                }
                if (opt == OPT_CERTAINTY)
                        certainty = optarg;
                else if (!common_option(c, opt))
                        return option_error("policy explain", opt, argv);
        }
        if (argc - optind != 2)
                return usage_error("policy explain", "It takes an APP and a CAPABILITY.");

        _cleanup_(client_done) Client client = {};
        _cleanup_(sd_bus_message_dropp) sd_bus_message *call = NULL;
        _cleanup_(json_dropp) json_t *reply = NULL;
        int r = client_open(c, &client);
        if (r != EXIT_OK)
                return r;
        r = permissions_new_call(&client, "Explain", &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "ss", argv[optind], argv[optind + 1]);
        if (r >= 0)
                r = certainty ? sd_bus_message_append(call, "a{sv}", 1, "certainty", "s", certainty)
                              : sd_bus_message_append(call, "a{sv}", 0);
        if ((r = permissions_call(c, &client, "explain that", r, call, &reply)) != EXIT_OK)
                return r;
        const char *decision = json_string_value(json_array_get(reply, 0)) ?: "",
                   *reason = json_string_value(json_array_get(reply, 1)) ?: "",
                   *text = json_string_value(json_array_get(reply, 2)) ?: "";
        if (c->json)
                return print_json(json_pack("{s:s, s:s, s:s}", "decision", decision, "reason", reason, "text", text));
        _cleanup_(table_done) Table t = { .n_columns = 1 };
        if (table_add(&t, text[0] ? text : decision) < 0)
                return complain(EXIT_FAILED, "Out of memory.");
        puts(t.cells[0]);
        return EXIT_OK;
}

static const Verb verbs[] = {
        { "check",   "print what is wrong with the rule files",       policy_check   },
        { "explain", "say what an application may, and which line decides",  policy_explain },
};

int verb_policy(Context *c, int argc, char **argv) {
        static const Family family = {
                "policy", "The rules of the administrator and the distribution.",
                "      --user           of your own sparkd, on the session bus\n"
                "      --system         of the machine's sparkd, on the system bus\n"
                "      --json           print JSON, for programs\n",
                verbs, ELEMENTSOF(verbs),
        };
        return family_run(&family, c, argc, argv);
}
