/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl monitor: who uses the assistant now. sparkd is asked once a second: a table that stays in its place on a
 * terminal, else a line for each use that begins, changes its state or ends. */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/interrupt.h"
#include "cli/permissions.h"
#include "cli/table.h"
#include "cli/terminal.h"

#define PERIOD_USEC 1000000u

static const char help[] =
        "sparkctl monitor [OPTION…]\n\n"
        "Shows which applications are using the assistant, until Ctrl-C: on a terminal a table once a second, through a\n"
        "pipe a line for each use that begins, changes its state or ends.\n"
        "\nOptions:\n"
        "      --all            of all users; for administrators\n"
        COMMON_HELP
        "\nWith --json every event is one line of JSON: event (\"begin\", \"change\", \"end\") and what sparkd tells of the use.\n";

typedef struct Monitor {
        const Context *context;
        Client *client;
        json_t *before;                   /* array, as it was seen last */
        bool all, table;
        int code;
} Monitor;

static int get_uses(Monitor *m, json_t **ret) {
        _cleanup_(json_dropp) json_t *reply = NULL;
        int r = permissions_get(m->context, m->client, "see what runs", "Monitor", &reply, "a{sv}", m->all, "all", "b", true);
        if (r == EXIT_OK)
                *ret = json_incref(json_array_get(reply, 0));
        return r;
}

/* ---- a table ---- */

static const char *const columns[] = { "app", "certainty", "capability", "state", "priority" };

static int show_table(const json_t *uses) {
        static const char *const heading[] = { "UID", "APP", "CERTAINTY", "CAPABILITY", "STATE", "PRIORITY", "SECONDS", "TOKENS" };
        _cleanup_(table_done) Table t = { .n_columns = ELEMENTSOF(heading) };
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        table_row(&t, heading);
        size_t i;
        const json_t *e;
        json_array_foreach(uses, i, e) {
                char uid[32], seconds[32], tokens[32];
                double since = (double) now.tv_sec - (double) entry_number(e, "started") / 1e6;
                snprintf(seconds, sizeof seconds, "%.0f", since > 0 ? since : 0);
                snprintf(tokens, sizeof tokens, "%" PRIu64, entry_number(e, "tokens"));
                snprintf(uid, sizeof uid, "%" PRIu64, entry_number(e, "uid"));
                const char *cells[ELEMENTSOF(heading)] = { uid, [ELEMENTSOF(heading) - 2] = seconds, tokens };
                for (size_t k = 0; k < ELEMENTSOF(columns); k++)
                        cells[1 + k] = entry_text(e, columns[k]);
                table_row(&t, cells);
        }
        fputs("\033[H\033[J", stdout);
        int r = table_show(stdout, &t);
        if (r == EXIT_OK && json_array_size(uses) == 0)
                puts("Nobody uses the assistant now.");
        fflush(stdout);
        return r;
}

/* ---- events ---- */

static bool same_use(const json_t *a, const json_t *b) {
        return entry_number(a, "started") == entry_number(b, "started") && entry_number(a, "uid") == entry_number(b, "uid") &&
               strcmp(entry_text(a, "app"), entry_text(b, "app")) == 0 &&
               strcmp(entry_text(a, "capability"), entry_text(b, "capability")) == 0;
}

static const json_t *find_use(const json_t *uses, const json_t *use) {
        size_t i;
        const json_t *e;
        json_array_foreach(uses, i, e)
                if (same_use(e, use))
                        return e;
        return NULL;
}

static int tell(const Monitor *m, const char *event, const json_t *use) {
        if (m->context->json) {
                json_t *j = json_pack("{s:s}", "event", event);
                if (!j || json_object_update(j, (json_t *) use) < 0) {
                        json_decref(j);
                        return complain(EXIT_FAILED, "Out of memory.");
                }
                return print_json(j);
        }
        char when[WHEN_TEXT_MAX];
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        printf("%s %s %" PRIu64, when_text((uint64_t) now.tv_sec * 1000000, when), event, entry_number(use, "uid"));
        for (size_t k = 0; k < ELEMENTSOF(columns); k++) {
                putchar(' ');
                int r = print_cell(entry_text(use, columns[k]));
                if (r != EXIT_OK)
                        return r;
        }
        printf(" %" PRIu64 "\n", entry_number(use, "tokens"));
        fflush(stdout);
        return EXIT_OK;
}

static int tell_changes(const Monitor *m, const json_t *now) {
        size_t i;
        const json_t *e, *was;
        int r = EXIT_OK;
        json_array_foreach(m->before, i, e)
                if (r == EXIT_OK && !find_use(now, e))
                        r = tell(m, "end", e);
        json_array_foreach(now, i, e) {
                if (r != EXIT_OK)
                        break;
                if (!(was = find_use(m->before, e)))
                        r = tell(m, "begin", e);
                else if (strcmp(entry_text(was, "state"), entry_text(e, "state")) != 0)
                        r = tell(m, "change", e);
        }
        /* Nobody reads any more: that is the end, not a fault of ours. */
        if (ferror(stdout))
                return EXIT_FAILED;
        return r;
}

/* ---- the loop ---- */

static int look(Monitor *m) {
        _cleanup_(json_dropp) json_t *uses = NULL;
        int r = get_uses(m, &uses);
        if (r == EXIT_OK)
                r = m->table ? show_table(uses) : tell_changes(m, uses);
        if (r != EXIT_OK)
                return r;
        json_decref(m->before);
        m->before = TAKE_PTR(uses);
        return EXIT_OK;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Monitor *m = userdata;
        m->code = look(m);
        if (m->code != EXIT_OK)
                return sd_event_exit(m->client->event, 0);
        int r = sd_event_source_set_time_relative(source, PERIOD_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int run(Monitor *m) {
        sigset_t ours = interrupts();
        sigprocmask(SIG_BLOCK, &ours, NULL);
        sd_event *event = m->client->event;
        int r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, 0, on_time, m);
        if (r >= 0)
                r = sd_event_loop(event);
        return r < 0 ? complain(EXIT_FAILED, "Cannot wait: %s.", strerror(-r)) : m->code;
}

int verb_monitor(Context *c, int argc, char **argv) {
        bool all = false;
        const Option own[] = { { "all", .flag = &all } };
        int r = options_parse(c, argc, argv, "monitor", help, own, ELEMENTSOF(own));
        if (r != OPTIONS_READ)
                return r;
        if (optind < argc)
                return usage_error("monitor", "'%s': it takes no arguments but options.", argv[optind]);

        _cleanup_(client_done) Client client = {};
        r = client_open(c, &client);
        if (r != EXIT_OK)
                return r;
        Monitor m = { .context = c, .client = &client, .all = all, .table = terminal_is(stdout) && !c->json };
        r = run(&m);
        json_decref(m.before);
        return r;
}
