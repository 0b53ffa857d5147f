/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns what was read ahead. Refuses what has cost several workers already, as any other input; says nothing of what
 * comes of it: what could not be read ahead is read with the first turn. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/error.h"
#include "daemon/sparkd/prewarm.h"
#include "daemon/sparkd/session.h"

static void prewarm_drop(User *u, Prewarm *p) {
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

int prewarm_begin(User *u, uint64_t app, const char *instructions, sd_bus_error *reterr) {
        PenaltyKey key = prewarm_key(u, app, instructions);
        Prewarm *p = prewarm_place(u, app);
        char *json;
        size_t size;
        int r;

        if (p->state != PREWARM_NONE && p->key.app == app && digest_equal(p->key.input, key.input))
                return 0;
        if (penalties_refuses(&u->manager->penalties, &key))
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "These instructions were being read when the worker was lost, %u times; they are not tried again",
                                         PENALTY_LOST_MAX);
        r = prewarm_json(instructions, &json, &size);
        if (r < 0)
                return r;
        prewarm_drop(u, p);
        *p = (Prewarm) {
                .state = PREWARM_WAITING, .key = key, .json = json, .size = size, .begun = ++u->manager->last_request,
                .session = ++u->manager->last_session, .request = ++u->manager->last_request,
        };
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

void prewarms_finished(User *u, uint64_t request, bool well) {
        for (size_t i = 0; i < PREWARMS_PER_USER; i++) {
                Prewarm *p = &u->prewarms[i];
                if (p->state != PREWARM_READING || p->request != request)
                        continue;
                penalties_clear(&u->manager->penalties, &p->key);
                p->state = PREWARM_READ;
                if (!well)
                        prewarm_drop(u, p);
        }
}

void prewarms_gone(User *u, bool died) {
        for (size_t i = 0; i < PREWARMS_PER_USER; i++) {
                Prewarm *p = &u->prewarms[i];
                if (died && p->state == PREWARM_READING)
                        penalties_charge(&u->manager->penalties, &p->key);
                if (p->state == PREWARM_READING || p->state == PREWARM_READ)
                        *p = (Prewarm) {};
        }
}

void prewarms_done(User *u) {
        for (size_t i = 0; i < PREWARMS_PER_USER; i++)
                free(u->prewarms[i].json);
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
