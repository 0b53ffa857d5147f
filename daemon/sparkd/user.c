/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns what belongs to one user: the worker, its queue, the applications. Here a worker's events become the ends of
 * turns and calls. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/allow.h"
#include "daemon/sparkd/calls.h"
#include "daemon/sparkd/consent.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/kept.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/manager.h"
#include "daemon/sparkd/turn.h"

#define TICK_USEC (1ull * 1000000)

static const char *const state_names[] = {
        [WORKER_IDLE] = "available", [WORKER_STARTING] = "loading", [WORKER_LOADING] = "loading",
        [WORKER_READY] = "ready", [WORKER_LOST] = "recovering", [WORKER_BROKEN] = "unavailable",
};

const char *user_state(const User *u) {
        return state_names[worker_state(u->worker)];
}

static bool user_busy(void *userdata) {
        User *u = userdata;
        return u->queue.n_items > 0 || u->n_running > 0 || u->n_calls > 0;
}

static void user_changed(void *userdata) {
        User *u = userdata;
        WorkerInfo info;

        worker_info(u->worker, &info);
        bool state = strcmp(u->state, user_state(u)) != 0, context = u->n_ctx != info.n_ctx;
        snprintf(u->state, sizeof u->state, "%s", user_state(u));
        u->n_ctx = info.n_ctx;
        if (state || context)
                root_changed(u, state, context);

        if (worker_state(u->worker) == WORKER_READY) {
                pressure_wake(u->manager->pressure);
                prewarms_give(u);
                calls_give(u);
                turns_schedule(u);
        } else if (worker_state(u->worker) == WORKER_IDLE) {
                prewarms_gone(u, false);
        } else if (worker_state(u->worker) == WORKER_BROKEN) {
                const char *text, *reason = worker_problem(u->worker, &text);
                char full[1280];
                snprintf(full, sizeof full, "%s: %s", reason, text);
                turns_fail_waiting(u, SPARK_ERROR_UNAVAILABLE, full);
                calls_lost(u, SPARK_ERROR_UNAVAILABLE, full);
        }
}

static void user_worker_lost(void *userdata, const char *why) {
        User *u = userdata;
        turns_lost(u);
        prewarms_gone(u, true);
        calls_lost(u, NULL, NULL);
}

static void user_delta(void *userdata, uint64_t request, const char *text, size_t size) {
        turns_delta(userdata, request, text, size);
}

static void user_finished(void *userdata, const WorkerFinished *f) {
        turns_finished(userdata, f);
        prewarms_finished(userdata, f);
}

static void user_counted(void *userdata, uint64_t request, uint32_t n_tokens) {
        call_counted(userdata, request, n_tokens);
}

static void user_facts(void *userdata, uint64_t request, const char *json, size_t size) {
        call_facts(userdata, request, json, size);
}

static const WorkerEvents user_events = {
        .changed = user_changed,
        .lost = user_worker_lost,
        .delta = user_delta,
        .finished = user_finished,
        .counted = user_counted,
        .facts = user_facts,
        .busy = user_busy,
};

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata) {
        User *u = userdata;

        turns_expire(u);
        calls_expire(u);
        if (u->queue.n_items > 0 || u->n_calls > 0) {
                (void) sd_event_source_set_time_relative(s, TICK_USEC);
                (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        }
        return 0;
}

void user_watch_waiting(User *u) {
        int enabled = SD_EVENT_OFF;
        if (sd_event_source_get_enabled(u->tick, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(u->tick, TICK_USEC);
        (void) sd_event_source_set_enabled(u->tick, SD_EVENT_ONESHOT);
}

static int user_new(Manager *m, uid_t uid, User **ret) {
        User *u = calloc(1, sizeof *u);
        int r;

        if (!u)
                return -ENOMEM;
        u->manager = m;
        u->uid = uid;
        queue_init(&u->queue);
        list_init(&u->link);
        list_init(&u->turns);
        list_init(&u->calls);
        list_init(&u->apps);
        list_init(&u->asking);
        list_init(&u->captures);
        list_init(&u->consents);
        list_init(&u->kept);
        r = worker_new(m->event, &m->config, m->user_mode ? MODEL_STORE_USER : MODEL_STORE_SYSTEM, &user_events, u, &u->worker);
        if (r >= 0)
                r = sd_event_add_time_relative(m->event, &u->tick, CLOCK_MONOTONIC, TICK_USEC, 0, on_tick, u);
        if (r >= 0)
                r = sd_event_source_set_enabled(u->tick, SD_EVENT_OFF);
        if (r < 0) {
                user_free(u);
                return r;
        }
        snprintf(u->state, sizeof u->state, "%s", user_state(u));
        list_append(&m->users, &u->link);
        m->n_users++;
        *ret = u;
        return 0;
}

/* Somebody who needs nothing now gives way to somebody who does. */
static bool user_make_room(Manager *m) {
        LIST_FOREACH(&m->users, l) {
                User *u = LIST_OBJECT(l, User, link);
                if (u->n_refs == 0 && !user_busy(u)) {
                        user_free(u);
                        return true;
                }
        }
        return false;
}

int user_get(Manager *m, uid_t uid, User **ret) {
        User *u = NULL;

        LIST_FOREACH(&m->users, l)
                if (LIST_OBJECT(l, User, link)->uid == uid)
                        u = LIST_OBJECT(l, User, link);
        if (!u) {
                if (m->n_users >= WORKERS_MAX && !user_make_room(m))
                        return -EUSERS;
                int r = user_new(m, uid, &u);
                if (r < 0)
                        return r;
        }
        u->n_refs++;
        *ret = u;
        return 0;
}

User *user_unref(User *u) {
        if (u)
                u->n_refs--;
        return NULL;
}

void user_stop(User *u) {
        turns_fail_waiting(u, SPARK_ERROR_CANCELLED, "sparkd stops");
        turns_stop(u, "sparkd stops");
        allow_stop(u);
        consents_stop(u);
        calls_lost(u, SPARK_ERROR_CANCELLED, "sparkd stops");
}

/* Without clients, sessions and work: all that could refer to it is gone. */
User *user_free(User *u) {
        if (!u)
                return NULL;
        if (u->link.next != &u->link)
                u->manager->n_users--;
        list_remove(&u->link);
        prewarms_done(u);
        LIST_FOREACH(&u->apps, l)
                free(LIST_OBJECT(l, App, link));
        kept_done(u);
        ledger_free(u->ledger);
        sd_event_source_disable_unref(u->tick);
        worker_free(u->worker);
        free(u);
        return NULL;
}

/* Who only claims to be an app shares nothing with those who are. */
uint64_t user_app_id(const User *u, const Identity *identity) {
        char key[APP_ID_MAX + 64];
        int n = snprintf(key, sizeof key, "%u:%u:%u:%s", (unsigned) u->uid, (unsigned) identity->kind, (unsigned) identity->certainty, identity->app);
        return digest(&u->manager->key, key, (size_t) n).d[0] ?: 1;           /* 0 would share with nobody */
}

int user_get_app(User *u, const Identity *identity, App **ret) {
        uint64_t id = user_app_id(u, identity);

        LIST_FOREACH(&u->apps, l)
                if (LIST_OBJECT(l, App, link)->id == id) {
                        *ret = app_ref(LIST_OBJECT(l, App, link));
                        return 0;
                }
        App *a = calloc(1, sizeof *a);
        if (!a)
                return -ENOMEM;
        a->user = u;
        a->id = id;
        a->identity = *identity;
        a->identity.unit[0] = '\0';
        a->n_refs = 1;
        queue_lane_init(&a->lane);
        list_append(&u->apps, &a->link);
        *ret = a;
        return 0;
}

App *app_ref(App *a) {
        a->n_refs++;
        return a;
}

App *app_unref(App *a) {
        if (!a || --a->n_refs > 0)
                return NULL;
        list_remove(&a->link);
        free(a);
        return NULL;
}

int user_start_worker(User *u, sd_bus_error *reterr) {
        if (worker_start(u->worker) >= 0)
                return 0;
        const char *text, *reason = worker_problem(u->worker, &text);
        return sd_bus_error_setf(reterr, SPARK_ERROR_UNAVAILABLE, "%s: %s", reason, text);
}
