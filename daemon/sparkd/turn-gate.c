/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns whether a turn may go its way: what it has to be allowed, the user's answer while it is ASKING, what it cost in the
 * end, and its end where the rules or the answers change meanwhile. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/charge.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/record.h"
#include "daemon/sparkd/session.h"
#include "daemon/sparkd/turn-internal.h"

size_t turn_wants(const Session *s, const RecordingWish *wish, Want ret[TURN_WANTS_MAX]) {
        size_t n = 0;

        ret[n++] = (Want) { CAPABILITY_GENERATE };
        if (s->asks_background)
                ret[n++] = (Want) { CAPABILITY_BACKGROUND };
        if (wish)
                ret[n++] = (Want) { wish->device };
        return n;
}

/* Not allowed after all, or no longer. */
static void turn_refuse(Turn *t, const Want *w, const Ruling *ruling) {
        sd_bus_error error = SD_BUS_ERROR_NULL;

        if (t->state == TURN_RUNNING)
                (void) worker_cancel(t->session->user->worker, t->request);
        if (gate_refuse(t->session->user, &t->session->app->identity, w, ruling, &error) == -ENOMEM)
                turn_fail(t, SPARK_ERROR_NOT_ALLOWED, "It is not allowed");
        else
                turn_fail(t, error.name, error.message);
        sd_bus_error_free(&error);
}

static void turn_enter_asking(Turn *t) {
        list_append(&t->session->user->asking, &t->link);
        t->session->app->n_asking++;
        t->session->user->n_asking++;
}

void turn_left_asking(Turn *t) {
        list_remove(&t->link);
        t->session->app->n_asking--;
        t->session->user->n_asking--;
}

static void turn_answered(ConsentWaiter *w, Answer answer, Reason reason) {
        Turn *t = LIST_OBJECT(w, Turn, consent);
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Session *s = t->session;
        User *u = s->user;
        const Want *denied;
        Ruling ruling;

        if (!gate_answered(u, &s->app->identity, t->wants, t->n_wants, answer, reason, &ruling, &denied)) {
                turn_refuse(t, denied, &ruling);
                return;
        }
        t->once = answer == ANSWER_ONCE;
        t->reason = reason;
        if (user_start_worker(u, &error) < 0) {
                turn_fail(t, error.name ?: SPARK_ERROR_FAILED, error.message ?: "The worker cannot be started");
                return;
        }
        turn_left_asking(t);
        if (turn_go(t, &error) < 0)
                turn_fail(t, error.name ?: SPARK_ERROR_FAILED, error.message ?: "The device cannot be opened");
        turns_schedule(u);
}

int turn_ask(Turn *t, sd_bus_error *reterr) {
        Session *s = t->session;
        const ConsentAsker asker = { .identity = &s->client->identity, .pid = s->client->pid };

        t->state = TURN_ASKING;
        t->consent.answered = turn_answered;
        int r = consent_ask(s->user, &asker, t->wants, t->n_wants, &t->consent, reterr);
        if (r < 0)
                return r;
        turn_enter_asking(t);
        return 0;
}

/* ---- what it hears or sees first ---- */

/* There it would go on to a model that hears. */
static void turn_heard(Recording *r, uint64_t usec, const char *error, const char *text) {
        Turn *t = LIST_OBJECT(r, Turn, recording);
        const bool camera = t->wants[t->n_wants - 1].capability == CAPABILITY_CAMERA;
        char said[256];

        snprintf(said, sizeof said, "The %s was open for %.1f s, and the model '%s' cannot %s; none is here that can",
                 camera ? "camera" : "microphone", (double) usec / 1e6, t->session->user->manager->config.model, camera ? "see" : "hear");
        turn_fail(t, error ?: SPARK_ERROR_UNSUPPORTED_CAPABILITY, error ? text : said);
}

int turn_go(Turn *t, sd_bus_error *reterr) {
        if (t->recording.state == RECORDING_NONE) {
                turn_wait(t);
                return 0;
        }
        t->state = TURN_RECORDING;
        t->recording.ended = turn_heard;
        turn_enter_asking(t);
        return recording_open(&t->recording, &t->session->client->identity, t->reason, reterr);
}

/* ---- what it cost ---- */

/* Where the worker has not said what it cost: what was guessed, had it begun. */
static void turn_settle_charge(Turn *t, const WorkerFinished *f) {
        uint64_t cost = t->given_usec > 0 ? MAX(t->charged, t->n_tokens) : 0;
        if (f)
                cost = charge_due(f) ? (uint64_t) f->n_prompt + f->n_generated : 0;
        charge_correct(t->session->app, t->charged, cost);
}

static const char *outcome_of(const TurnEnd *end) {
        const char *dot = end->error ? strrchr(end->error, '.') : NULL;
        return dot ? dot + 1 : end->reason;
}

static void turn_record(const Turn *t, const WorkerFinished *f, const char *outcome) {
        LedgerUse use = use_of(t->session->app, CAPABILITY_GENERATE, t->reason, outcome);

        use.n_prompt = f && charge_due(f) ? f->n_prompt : 0;
        use.n_generated = f ? f->n_generated : t->n_tokens;
        use.duration_us = manager_now(t->session->user->manager) - t->called_usec;
        record_use(t->session->user, &use);
}

void turn_account(Turn *t, const TurnEnd *end) {
        const char *outcome = outcome_of(end);

        if (t->state != TURN_ASKING)
                turn_record(t, end->finished, outcome);
        turn_settle_charge(t, end->finished);
        recording_stop(&t->recording, outcome);
}

/* ---- when the rules or the answers change ---- */

static Turn *next_in(Link *head, uint64_t round) {
        LIST_FOREACH(head, l) {
                Turn *t = LIST_OBJECT(l, Turn, link);
                if (t->checked != round) {
                        t->checked = round;
                        return t;
                }
        }
        return NULL;
}

/* From the start each time: the end of one may change every list. */
Turn *turns_next(User *u, uint64_t round) {
        Turn *t = next_in(&u->turns, round) ?: next_in(&u->asking, round);

        LIST_FOREACH(&u->apps, a)
                for (size_t p = 0; p < QUEUE_PRIORITIES && !t; p++)
                        t = next_in(&LIST_OBJECT(a, App, link)->lane.priorities[p].items, round);
        return t;
}

void turns_recheck(User *u) {
        uint64_t round = ++u->recheck;
        const Want *denied;
        Ruling ruling;

        for (Turn *t; (t = turns_next(u, round)); ) {
                const Session *s = t->session;
                gate_decide_all(u, s->client ? &s->client->identity : &s->app->identity, t->wants, t->n_wants,
                                t->once ? ANSWER_ONCE : ANSWER_NONE, &ruling, &denied);
                if (ruling.decision == DECISION_DENY || (ruling.decision == DECISION_ASK && t->state != TURN_ASKING))
                        turn_refuse(t, denied, &ruling);
        }
        turns_hold(u);
}

void turns_forget_once(User *u, const char *app) {
        uint64_t round = ++u->recheck;

        for (Turn *t; (t = turns_next(u, round)); )
                if (!app || strcmp(t->session->app->identity.app, app) == 0)
                        t->once = false;
}
