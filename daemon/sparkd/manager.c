/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the whole: one of these per sparkd, and everything else hangs from it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/sparkd/agents.h"
#include "daemon/sparkd/authorize.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/confirm.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/manager.h"
#include "daemon/sparkd/models.h"
#include "daemon/sparkd/session.h"
#include "daemon/sparkd/turn.h"

/* Before the bus closes: everybody is told how what they wait for ends. */
static int on_leave(sd_event_source *s, void *userdata) {
        Manager *m = userdata;
        LIST_FOREACH(&m->users, l)
                user_stop(LIST_OBJECT(l, User, link));
        return 0;
}

static void on_short_of_memory(void *userdata) {
        Manager *m = userdata;
        LIST_FOREACH(&m->users, l)
                worker_unload_idle(LIST_OBJECT(l, User, link)->worker);
}

static void on_power(void *userdata) {
        Manager *m = userdata;
        LIST_FOREACH(&m->users, l)
                turns_hold(LIST_OBJECT(l, User, link));
}

static bool has_workers(void *userdata) {
        Manager *m = userdata;
        LIST_FOREACH(&m->users, l)
                if (worker_pid(LIST_OBJECT(l, User, link)->worker) > 0)
                        return true;
        return false;
}

static const PressureEvents pressure_events = { .short_of_memory = on_short_of_memory, .wanted = has_workers };

/* $STATE_DIRECTORY is systemd's; below the user's own state folder otherwise. -ENOENT: neither is known. In it is a folder
 * for ledgers that is nobody else's to read. */
static int make_state_folder(bool user_mode, char **ret) {
        const char *state = getenv("STATE_DIRECTORY"), *home = getenv("XDG_STATE_HOME"), *below = "";
        char path[4096];

        if (user_mode) {
                state = home;
                below = "/spark";
                if (!state || state[0] != '/') {
                        state = getenv("HOME");
                        below = "/.local/state/spark";
                }
        }
        if (!state || state[0] != '/')
                return -ENOENT;
        if ((size_t) snprintf(path, sizeof path, "%s%s/ledger", state, below) >= sizeof path)
                return -ENAMETOOLONG;
        for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
                char c = *p;
                *p = '\0';
                if (mkdir(path, 0700) < 0 && errno != EEXIST)
                        return -errno;
                *p = c;
        }
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return -errno;
        *strrchr(path, '/') = '\0';
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

int manager_new(sd_event *event, sd_bus *bus, bool user_mode, Config *config, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = calloc(1, sizeof *m);
        int r;

        if (!m)
                return -ENOMEM;
        list_init(&m->users);
        list_init(&m->clients);
        list_init(&m->agents);
        list_init(&m->authorizations);
        list_init(&m->confirms);
        m->event = sd_event_ref(event);
        m->bus = sd_bus_ref(bus);
        m->user_mode = user_mode;
        m->agents_come_until = user_mode ? 0 : manager_now(m) + AGENT_FIND_USEC;
        m->config = *config;
        *config = (Config) {};
        r = digest_key_random(&m->key);
        if (r < 0)
                return r;
        r = pressure_new(event, m->config.pressure_file, &pressure_events, m, &m->pressure);
        if (r < 0)
                log_notice("Nothing tells of memory pressure: an idle model leaves memory by its time alone");
        r = power_new(event, user_mode ? NULL : bus, on_power, m, &m->power);
        if (r < 0)
                log_info("No system bus tells of a battery: %s", strerror(-r));
        r = prompts_new(&m->prompts);
        if (r >= 0)
                r = quota_new(&m->quota);
        if (r >= 0)
                r = gate_load_rules(m);
        if (r < 0)
                return r;
        r = make_state_folder(user_mode, &m->state_folder);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_warning("There is no folder for ledgers (%s): answers are not remembered and uses not written down", strerror(-r));
        r = sd_event_add_exit(event, &m->exit, on_leave, m);
        if (r >= 0)
                r = sd_event_source_set_priority(m->exit, SD_EVENT_PRIORITY_IMPORTANT);
        if (r >= 0)
                r = root_add(m);
        if (r < 0)
                return r;
        r = session_object_add(m);
        if (r >= 0)
                r = permissions_add(m);
        if (r >= 0)
                r = models_add(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;
        sd_event_source_disable_unref(m->exit);
        pressure_free(m->pressure);
        power_free(m->power);
        LIST_FOREACH(&m->clients, l)
                client_free(LIST_OBJECT(l, Client, link));
        LIST_FOREACH(&m->users, l)
                user_free(LIST_OBJECT(l, User, link));
        confirms_done(m);
        authorizations_done(m);
        agents_done(m);
        sd_event_source_disable_unref(m->consents_begin);
        gate_done(m);
        quota_free(m->quota);
        models_done(m);
        free(m->state_folder);
        sd_bus_flush_close_unref(m->bus);
        sd_event_unref(m->event);
        config_done(&m->config);
        free(m);
        return NULL;
}

uint64_t manager_now(const Manager *m) {
        uint64_t now = 0;
        (void) sd_event_now(m->event, CLOCK_MONOTONIC, &now);
        return now;
}
