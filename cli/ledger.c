/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl ledger: what applications asked for and what became of it, as sparkd keeps it. Never content: there is none. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/permissions.h"
#include "cli/table.h"

#define ROWS_MAX 10000u                   /* shown; more by a later --since */
#define USEC_PER_DAY UINT64_C(86400000000)

typedef struct Wanted {
        uint64_t since;
        uint32_t uid;                     /* NO_UID: one's own */
        const char *app;
} Wanted;

static const char help[] =
        "sparkctl ledger [OPTION…]\n\n"
        "Shows what applications used the assistant for, the oldest first: when, who, what for, what became of it, how\n"
        "many tokens, how long. What was said is not kept. Without --since: the last 24 hours.\n"
        "\nOptions:\n"
        "      --since WHEN     from then on: 90s, 30m, 2h, 3d or 2w ago, today, yesterday, 2026-11-20, '2026-11-20 14:05'\n"
        "      --app APP        of that application alone\n"
        "      --uid UID        another user's; for administrators\n"
        COMMON_HELP;

/* One page after *since, appended to `all`; *since moves on. */
static int fetch_page(const Context *c, Client *client, Wanted *w, json_t *all, bool *ret_more) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *call = NULL;
        _cleanup_(json_dropp) json_t *reply = NULL;
        int r = permissions_new_call(client, "Ledger", &call);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(call, "{sv}", "since", "t", w->since);
        if (r >= 0 && w->app)
                r = sd_bus_message_append(call, "{sv}", "app", "s", w->app);
        if (r >= 0 && w->uid != NO_UID)
                r = sd_bus_message_append(call, "{sv}", "uid", "u", w->uid);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        if ((r = permissions_call(c, client, "read the ledger", r, call, &reply)) != EXIT_OK)
                return r;
        json_t *uses = json_array_get(reply, 0);
        size_t n = json_array_size(uses);
        *ret_more = json_is_true(json_array_get(reply, 1)) && n > 0;
        if (n > 0)
                w->since = entry_number(json_array_get(uses, n - 1), "time") + 1;
        return json_array_extend(all, uses) < 0 ? complain(EXIT_FAILED, "Out of memory.") : EXIT_OK;
}

static int print_uses(const json_t *uses) {
        static const char *const heading[] = { "TIME", "APP", "CERTAINTY", "CAPABILITY", "DECISION", "OUTCOME", "TOKENS", "SECONDS" };
        _cleanup_(table_done) Table t = { .n_columns = ELEMENTSOF(heading) };
        table_row(&t, heading);
        size_t i;
        const json_t *e;
        json_array_foreach(uses, i, e) {
                char when[WHEN_TEXT_MAX], tokens[32] = "-", seconds[32] = "-";
                uint64_t n = entry_number(e, "prompt-tokens") + entry_number(e, "generated-tokens"), usec = entry_number(e, "duration-us");
                if (n > 0)
                        snprintf(tokens, sizeof tokens, "%" PRIu64, n);
                if (usec > 0)
                        snprintf(seconds, sizeof seconds, "%.2f", (double) usec / 1e6);
                const char *outcome = entry_text(e, "outcome");
                const char *const cells[] = {
                        when_text(entry_number(e, "time"), when), entry_text(e, "app"), entry_text(e, "certainty"),
                        entry_text(e, "capability"), entry_text(e, "decision"), outcome[0] ? outcome : entry_text(e, "reason"),
                        tokens, seconds,
                };
                table_row(&t, cells);
        }
        return table_show(stdout, &t);
}

int verb_ledger(Context *c, int argc, char **argv) {
        const char *since = NULL;
        Wanted w = { .uid = NO_UID };
        const Option own[] = { { "since", .text = &since }, { "app", .text = &w.app }, { "uid", .uid = &w.uid } };
        int r = options_parse(c, argc, argv, "ledger", help, own, ELEMENTSOF(own));
        if (r != OPTIONS_READ)
                return r;
        if (optind < argc)
                return usage_error("ledger", "'%s': it takes no arguments but options.", argv[optind]);

        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t now_usec = (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
        w.since = now_usec > USEC_PER_DAY ? now_usec - USEC_PER_DAY : 0;
        if (since && when_parse(since, now_usec, &w.since) < 0)
                return usage_error("ledger", "--since wants a time such as 2h, yesterday or 2026-11-20, not '%s'.", since);

        _cleanup_(client_done) Client client = {};
        _cleanup_(json_dropp) json_t *uses = json_array();
        bool more = true;
        r = client_open(c, &client);
        while (r == EXIT_OK && more && json_array_size(uses) < ROWS_MAX)
                r = fetch_page(c, &client, &w, uses, &more);
        if (r != EXIT_OK)
                return r;
        if (c->json)
                return print_json(json_pack("{s:O, s:b}", "uses", uses, "more", more));
        r = print_uses(uses);
        if (r == EXIT_OK && more) {
                char when[WHEN_TEXT_MAX];
                complain(0, "There are more: go on with --since '%s'.", when_text(w.since, when));
        }
        return r;
}
