/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns what was read ahead. Refuses what has cost several workers already, as any other input; says nothing of what
 * comes of it: what could not be read ahead is read with the first turn. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/charge.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/prewarm.h"
#include "daemon/sparkd/record.h"
#include "daemon/sparkd/session.h"

static void record_prewarm(const App *a, Reason reason, const char *outcome, uint64_t n_tokens, uint64_t usec) {
        LedgerUse use = use_of(a, CAPABILITY_GENERATE, reason, outcome);
        use.n_prompt = n_tokens;
        use.duration_us = usec;
        record_use(a->user, &use);
}

/* Once: what it came to. */
static void prewarm_settle(User *u, Prewarm *p, const char *outcome, uint64_t cost) {
        if (!p->app)
                return;
        charge_correct(p->app, p->charged, cost);
        record_prewarm(p->app, p->reason, outcome, cost, manager_now(u->manager) - p->called_usec);
        p->app = app_unref(p->app);
}

static void prewarm_drop(User *u, Prewarm *p) {
        prewarm_settle(u, p, "cancelled", p->state == PREWARM_READING ? p->charged : 0);
        if (p->state == PREWARM_READING || p->state == PREWARM_READ)
                (void) worker_forget(u->worker, p->session);
        free(p->json);
        *p = (Prewarm) {};
}

/* The application's own, a free one, or the one that was begun longest ago. */
static Prewarm *prewarm_place(User *u, uint64_t app) {
        Prewarm *place = u->prewarms;

        for (size_t i = 0; i < PREWARMS_PER_USER; i++)
                if (u->prewarms[i].state != PREWARM_NONE && u->prewarms[i].key.app == app)
                        return &u->prewarms[i];
        for (size_t i = 0; i < PREWARMS_PER_USER; i++)
                if (u->prewarms[i].begun < place->begun)
                        place = &u->prewarms[i];
        return place;
}

static PenaltyKey prewarm_key(const User *u, uint64_t app, const char *instructions) {
        return (PenaltyKey) { .app = app, .input = digest(&u->manager->key, instructions, strlen(instructions)) };
}

/* Templates begin a conversation with what the user says: with nothing, here. */
static int prewarm_json(const char *instructions, char **ret, size_t *ret_size) {
        _cleanup_(transcript_done) Transcript t = {};
        int r;

        r = transcript_append(&t, ROLE_SYSTEM, ORIGIN_APP, instructions);
        if (r >= 0)
                r = transcript_append(&t, ROLE_USER, ORIGIN_APP, "");
        return r < 0 ? r : transcript_json(&t, 0, ret, ret_size);
}

static int prewarm_charge(App *a, const char *instructions, const PenaltyKey *key, Prewarm *ret, sd_bus_error *reterr) {
        Manager *m = a->user->manager;
        int r;

        if (penalties_refuses(&m->penalties, key))
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "These instructions were being read when the worker was lost, %u times; they are not tried again",
                                         PENALTY_LOST_MAX);
        *ret = (Prewarm) { .state = PREWARM_WAITING, .key = *key, .called_usec = manager_now(m) };
        r = prewarm_json(instructions, &ret->json, &ret->size);
        if (r < 0)
                return r;
        ret->charged = charge_guess(ret->size, 0);
        r = charge_tokens(a, ret->charged, reterr);
        if (r < 0)
                free(ret->json);
        return r;
}

int prewarm_begin(const Caller *caller, const char *instructions, sd_bus_error *reterr) {
        User *u = caller->user;
        Prewarm fresh;
        App *a;
        int r;

        r = user_get_app(u, &caller->identity, &a);
        if (r < 0)
                return r;
        PenaltyKey key = prewarm_key(u, a->id, instructions);
        Prewarm *p = prewarm_place(u, a->id);
        const bool there = p->state != PREWARM_NONE && p->key.app == a->id && digest_equal(p->key.input, key.input);

        if (!instructions[0] || there) {
                record_prewarm(a, caller->allowed_by, "prewarmed", 0, 0);
                app_unref(a);
                return 0;
        }
        r = prewarm_charge(a, instructions, &key, &fresh, reterr);
        if (r < 0) {
                app_unref(a);
                return r;
        }
        prewarm_drop(u, p);
        *p = fresh;
        p->app = a;
        p->reason = caller->allowed_by;
        p->begun = ++u->manager->last_request;
        p->session = ++u->manager->last_session;
        p->request = ++u->manager->last_request;
        prewarms_give(u);
        return 0;
}

void prewarms_give(User *u) {
        const Generation g = GENERATION_DEFAULT;
        uint64_t receipt;

        if (worker_state(u->worker) != WORKER_READY)
                return;
        for (size_t i = 0; i < PREWARMS_PER_USER; i++) {
                Prewarm *p = &u->prewarms[i];
                if (p->state != PREWARM_WAITING)
                        continue;
                if (worker_respond(u->worker, p->session, p->request, p->key.app, WIRE_RESPOND_PREWARM | WIRE_RESPOND_BACKGROUND,
                                   &g, p->json, p->size, &receipt) < 0) {
                        prewarm_drop(u, p);
                        continue;
                }
                free(p->json);
                p->json = NULL;
                p->state = PREWARM_READING;
        }
}

static const char *const outcomes[] = {
        [WIRE_FINISH_STOP] = "prewarmed", [WIRE_FINISH_LENGTH] = "prewarmed", [WIRE_FINISH_CANCELLED] = "cancelled",
        [WIRE_FINISH_CONTEXT_FULL] = "ContextFull", [WIRE_FINISH_INVALID] = "InvalidInput",
        [WIRE_FINISH_NO_MEMORY] = "Unavailable", [WIRE_FINISH_FAILED] = "Failed",
};

void prewarms_finished(User *u, const WorkerFinished *f) {
        for (size_t i = 0; i < PREWARMS_PER_USER; i++) {
                Prewarm *p = &u->prewarms[i];
                if (p->state != PREWARM_READING || p->request != f->request)
                        continue;
                penalties_clear(&u->manager->penalties, &p->key);
                p->state = PREWARM_READ;
                prewarm_settle(u, p, outcomes[f->reason], charge_due(f) ? f->n_prompt : 0);
                if (f->reason != WIRE_FINISH_LENGTH)
                        prewarm_drop(u, p);
        }
}

void prewarms_gone(User *u, bool died) {
        for (size_t i = 0; i < PREWARMS_PER_USER; i++) {
                Prewarm *p = &u->prewarms[i];
                if (p->state != PREWARM_READING && p->state != PREWARM_READ)
                        continue;
                if (died && p->state == PREWARM_READING)
                        penalties_charge(&u->manager->penalties, &p->key);
                prewarm_settle(u, p, died ? "WorkerLost" : "cancelled", p->charged);
                *p = (Prewarm) {};
        }
}

void prewarms_done(User *u) {
        for (size_t i = 0; i < PREWARMS_PER_USER; i++) {
                app_unref(u->prewarms[i].app);
                free(u->prewarms[i].json);
        }
}

void prewarm_use(Session *s) {
        const Transcript *t = &s->transcript;
        User *u = s->user;

        if (t->n_messages == 0 || t->messages[0].role != ROLE_SYSTEM)
                return;
        const PenaltyKey key = prewarm_key(u, s->app->id, t->messages[0].text);
        for (size_t i = 0; i < PREWARMS_PER_USER; i++) {
                const Prewarm *p = &u->prewarms[i];
                if (p->state == PREWARM_READ && p->key.app == key.app && digest_equal(p->key.input, key.input))
                        (void) worker_fork(u->worker, p->session, s->number);
        }
}
