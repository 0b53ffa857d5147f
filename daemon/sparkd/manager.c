/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the whole: one of these per sparkd, and everything else hangs from it. */

#include <errno.h>
#include <time.h>

#include "daemon/sparkd/log.h"
#include "daemon/sparkd/manager.h"
#include "daemon/sparkd/session.h"

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

static bool has_workers(void *userdata) {
        Manager *m = userdata;
        LIST_FOREACH(&m->users, l)
                if (worker_pid(LIST_OBJECT(l, User, link)->worker) > 0)
                        return true;
        return false;
}

static const PressureEvents pressure_events = { .short_of_memory = on_short_of_memory, .wanted = has_workers };

int manager_new(sd_event *event, sd_bus *bus, bool user_mode, Config *config, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = calloc(1, sizeof *m);
        int r;

        if (!m)
                return -ENOMEM;
        list_init(&m->users);
        list_init(&m->clients);
        m->event = sd_event_ref(event);
        m->bus = sd_bus_ref(bus);
        m->user_mode = user_mode;
        m->config = *config;
        *config = (Config) {};
        r = digest_key_random(&m->key);
        if (r < 0)
                return r;
        r = pressure_new(event, m->config.pressure_file, &pressure_events, m, &m->pressure);
        if (r < 0)
                log_notice("Nothing tells of memory pressure: an idle model leaves memory by its time alone");
        r = sd_event_add_exit(event, &m->exit, on_leave, m);
        if (r >= 0)
                r = sd_event_source_set_priority(m->exit, SD_EVENT_PRIORITY_IMPORTANT);
        if (r >= 0)
                r = root_add(m);
        if (r < 0)
                return r;
        r = session_object_add(m);
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
        LIST_FOREACH(&m->clients, l)
                client_free(LIST_OBJECT(l, Client, link));
        LIST_FOREACH(&m->users, l)
                user_free(LIST_OBJECT(l, User, link));
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
