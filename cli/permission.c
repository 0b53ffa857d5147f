/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl permission: what the user has answered, and changing it. What is set or taken back here is told to the desktop's
 * permission store too, as spark-agent does with what is answered there; sparkd alone decides by it. */

#include <stdio.h>
#include <string.h>

#include "cli/permissions.h"
#include "cli/table.h"

#define STORE_NAME "org.freedesktop.impl.portal.PermissionStore"
#define STORE_PATH "/org/freedesktop/impl/portal/PermissionStore"
#define STORE_TABLE "spark"
#define STORE_USEC 2000000u

/* ---- the desktop's store ---- */

/* `permission` NULL: takes the row back. Where there is no such store, or no session, that is that. */
static void mirror(sd_bus *session, const char *app, const char *capability, const char *permission) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(session, &m, STORE_NAME, STORE_PATH, STORE_NAME,
                                               permission ? "SetPermission" : "DeletePermission");
        if (r >= 0 && permission)
                r = sd_bus_message_append(m, "sbssas", STORE_TABLE, 1, capability, app, 1, permission);
        else if (r >= 0)
                r = sd_bus_message_append(m, "sss", STORE_TABLE, capability, app);
        if (r >= 0)
                sd_bus_call(session, m, STORE_USEC, NULL, NULL);
}

/* ---- list ---- */

static int print_permissions(const json_t *list, const char *app) {
        static const char *const heading[] = { "APP", "CERTAINTY", "CAPABILITY", "ANSWER", "ANSWERED", "LAST USED" };
        _cleanup_(table_done) Table t = { .n_columns = ELEMENTSOF(heading) };
        table_row(&t, heading);
        size_t i;
        const json_t *e;
        json_array_foreach(list, i, e) {
                char answered[WHEN_TEXT_MAX], used[WHEN_TEXT_MAX];
                const char *answer = entry_text(e, "answer");
                if (app && strcmp(entry_text(e, "app"), app) != 0)
                        continue;
                const char *const cells[] = {
                        entry_text(e, "app"), entry_text(e, "certainty"), entry_text(e, "capability"), answer[0] ? answer : "-",
                        answer[0] ? when_text(entry_number(e, "time"), answered) : "-", when_text(entry_number(e, "last-used"), used),
                };
                table_row(&t, cells);
        }
        return table_show(stdout, &t);
}

static int permission_list(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl permission list [OPTION…] [APP]\n\n"
                "Lists applications that were answered about or that used the assistant, with what was answered for each\n"
                "capability: always, never, session, or '-' where the rules alone decide.\n"
                "\nOptions:\n"
                "      --uid UID        another user's; for administrators\n"
                COMMON_HELP;
        uint32_t uid = NO_UID;
        const Option own[] = { { "uid", .uid = &uid } };
        int r = options_parse(c, argc, argv, "permission list", help, own, ELEMENTSOF(own));
        if (r != OPTIONS_READ)
                return r;
        if (argc - optind > 1)
                return usage_error("permission list", "One APP at most.");

        _cleanup_(client_done) Client client = {};
        _cleanup_(json_dropp) json_t *reply = NULL;
        r = permissions_get(c, &client, "list the permissions", "List", &reply, "a{sv}", uid != NO_UID, "uid", "u", uid);
        if (r != EXIT_OK)
                return r;
        const json_t *list = json_array_get(reply, 0);
        if (!c->json)
                return print_permissions(list, argv[optind]);

        _cleanup_(json_dropp) json_t *chosen = json_array();
        size_t i;
        json_t *e;
        json_array_foreach(list, i, e)
                if (!argv[optind] || strcmp(entry_text(e, "app"), argv[optind]) == 0)
                        json_array_append(chosen, e);
        return print_json(TAKE_PTR(chosen));
}

/* ---- set ---- */

static int permission_set(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl permission set [OPTION…] APP CAPABILITY always|never\n\n"
                "Answers for an application, before it asks or instead of what was answered. APP is an id as 'sparkctl\n"
                "permission list' shows it. What the rules deny stays denied. 'never' ends replies under way at once.\n"
                "\nOptions:\n"
                "      --certainty C    'always' holds where the application is at least that sure: sandboxed, unit, path,\n"
                "                       unknown (default: as it was last seen)\n"
                COMMON_HELP;
        const char *certainty = NULL;
        const Option own[] = { { "certainty", .text = &certainty } };
        int r = options_parse(c, argc, argv, "permission set", help, own, ELEMENTSOF(own));
        if (r != OPTIONS_READ)
                return r;
        if (argc - optind != 3)
                return usage_error("permission set", "It takes an APP, a CAPABILITY, and 'always' or 'never'.");
        const char *app = argv[optind], *capability = argv[optind + 1], *answer = argv[optind + 2];
        bool always = strcmp(answer, "always") == 0;
        if (!always && strcmp(answer, "never") != 0)
                return usage_error("permission set", "The answer is 'always' or 'never', not '%s'.", answer);

        _cleanup_(client_done) Client client = {};
        _cleanup_(json_dropp) json_t *reply = NULL;
        _cleanup_(sd_bus_dropp) sd_bus *session = NULL;
        r = permissions_get(c, &client, "set that", "Set", &reply, "sssa{sv}", app, capability, answer, certainty != NULL,
                            "certainty", "s", certainty);
        if (r != EXIT_OK)
                return r;
        if (sd_bus_open_user(&session) >= 0)
                mirror(session, app, capability, always ? "yes" : "no");
        return c->json ? print_json(json_pack("{s:s, s:s, s:s}", "app", app, "capability", capability, "answer", answer)) : EXIT_OK;
}

/* ---- reset ---- */

/* What is about to be forgotten, for the desktop's store; an empty list where it cannot be had. */
static json_t *answered(Client *client) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *call = NULL, *reply = NULL;
        json_t *list = NULL;
        if (permissions_new_call(client, "List", &call) >= 0 && sd_bus_message_append(call, "a{sv}", 0) >= 0 &&
            sd_bus_call(client->bus, call, 0, NULL, &reply) >= 0)
                message_to_json(reply, &list);
        return list;
}

static int permission_reset(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl permission reset [OPTION…] APP [CAPABILITY]\n"
                "sparkctl permission reset [OPTION…] --all\n\n"
                "Takes answers back: the rules decide again, and where they say so you will be asked. Replies under way that\n"
                "only the answer allowed end at once.\n"
                "\nOptions:\n"
                "      --all            of all applications\n"
                COMMON_HELP;
        bool all = false;
        const Option own[] = { { "all", .flag = &all } };
        int r = options_parse(c, argc, argv, "permission reset", help, own, ELEMENTSOF(own));
        if (r != OPTIONS_READ)
                return r;
        int n = argc - optind;
        if (all ? n > 0 : n < 1 || n > 2)
                return usage_error("permission reset", "It takes an APP and perhaps a CAPABILITY, or --all.");
        const char *app = n > 0 ? argv[optind] : "", *capability = n > 1 ? argv[optind + 1] : "";

        _cleanup_(client_done) Client client = {};
        _cleanup_(json_dropp) json_t *reply = NULL, *before = NULL;
        _cleanup_(sd_bus_dropp) sd_bus *session = NULL;
        r = client_open(c, &client);
        if (r != EXIT_OK)
                return r;
        if (sd_bus_open_user(&session) >= 0)
                before = answered(&client);
        r = permissions_get(c, &client, "take that back", "Reset", &reply, "ssa{sv}", app, capability, 0);
        if (r != EXIT_OK)
                return r;

        size_t i;
        const json_t *e;
        json_array_foreach(before, i, e) {
                const char *answer = entry_text(e, "answer");
                if ((strcmp(answer, "always") == 0 || strcmp(answer, "never") == 0) &&
                    (!app[0] || strcmp(app, entry_text(e, "app")) == 0) &&
                    (!capability[0] || strcmp(capability, entry_text(e, "capability")) == 0))
                        mirror(session, entry_text(e, "app"), entry_text(e, "capability"), NULL);
        }
        json_int_t forgotten = json_integer_value(json_array_get(reply, 0));
        if (c->json)
                return print_json(json_pack("{s:I}", "forgotten", forgotten));
        printf("%lld answer%s taken back.\n", (long long) forgotten, forgotten == 1 ? "" : "s");
        return EXIT_OK;
}

static const Verb verbs[] = {
        { "list",  "list applications and what was answered about them",  permission_list  },
        { "set",   "answer for an application: always or never",          permission_set   },
        { "reset", "take answers back",                                   permission_reset },
};

int verb_permission(Context *c, int argc, char **argv) {
        static const Family family = {
                "permission", "What applications may use the assistant for, by your own answers.",
                BUS_HELP, verbs, ELEMENTSOF(verbs),
        };
        return family_run(&family, c, argc, argv);
}
