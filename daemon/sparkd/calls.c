/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the method calls that wait for the worker and belong to no session: each is answered once, by the worker, by
 * its loss, or by time. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/calls.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/message.h"
#include "daemon/sparkd/record.h"

#define VERIFY_WAIT_USEC (3ull * 1000000)

typedef struct Call {
        User *user;
        App *app;                          /* CALL_COUNT: who counts */
        Reason reason;
        Link link;                         /* in user->calls */
        CallKind kind;
        sd_bus_message *message;
        const char *text;                  /* in the message */
        uint64_t request, called_usec;
        bool given;                        /* the worker has it */
        bool again;                        /* the second worker: the first one died over it, or before */
} Call;

static void call_free(Call *c) {
        list_remove(&c->link);
        c->user->n_calls--;
        app_unref(c->app);
        sd_bus_message_unref(c->message);
        worker_touch(c->user->worker);
        free(c);
}

static void call_record(const Call *c, const char *outcome) {
        if (!c->app)
                return;
        LedgerUse use = use_of(c->app, CAPABILITY_GENERATE, c->reason, outcome);
        use.duration_us = manager_now(c->user->manager) - c->called_usec;
        record_use(c->user, &use);
}

static void call_fail(Call *c, const char *name, const char *text) {
        call_record(c, strrchr(name, '.') + 1);
        int r = sd_bus_reply_method_errorf(c->message, name, "%s", text);
        if (r < 0)
                log_warning("Cannot answer a call: %s, ignoring", strerror(-r));
        call_free(c);
}

static void call_answer_verify(Call *c, const char *json) {
        sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(c->message, &reply);
        if (r >= 0)
                r = verify_append(c->user, reply, json);
        r = message_send(reply, r);
        if (r < 0)
                call_fail(c, SPARK_ERROR_FAILED, "The facts cannot be told");
        else
                call_free(c);
}

static void call_give(Call *c) {
        Worker *w = c->user->worker;
        int r;

        r = c->kind == CALL_COUNT ? worker_count(w, c->request, c->text, strlen(c->text)) : worker_inspect(w, c->request);
        if (r >= 0)
                c->given = true;
        else
                call_fail(c, SPARK_ERROR_WORKER_LOST, "The worker cannot be reached; the call may be made again");
}

int call_begin(const Caller *caller, CallKind kind, sd_bus_message *message, const char *text, sd_bus_error *reterr) {
        User *u = caller->user;

        if (u->n_calls >= COUNTS_PER_USER)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%zu of %u calls of this user wait already", u->n_calls, COUNTS_PER_USER);
        Call *c = malloc(sizeof *c);
        if (!c)
                return -ENOMEM;
        *c = (Call) {
                .user = u, .reason = caller->allowed_by, .kind = kind, .message = sd_bus_message_ref(message), .text = text,
                .request = ++u->manager->last_request, .called_usec = manager_now(u->manager),
        };
        int r = kind == CALL_COUNT ? user_get_app(u, &caller->identity, &c->app) : 0;
        if (r < 0) {
                sd_bus_message_unref(c->message);
                free(c);
                return r;
        }
        list_append(&u->calls, &c->link);
        u->n_calls++;

        if (kind == CALL_VERIFY && worker_state(u->worker) != WORKER_READY)
                call_answer_verify(c, "");
        else if (worker_state(u->worker) == WORKER_READY)
                call_give(c);
        user_watch_waiting(u);
        return 1;
}

void calls_give(User *u) {
        LIST_FOREACH(&u->calls, l)
                if (!LIST_OBJECT(l, Call, link)->given)
                        call_give(LIST_OBJECT(l, Call, link));
}

void calls_lost(User *u, const char *name, const char *text) {
        LIST_FOREACH(&u->calls, l) {
                Call *c = LIST_OBJECT(l, Call, link);
                if (c->kind == CALL_VERIFY)
                        call_answer_verify(c, "");
                else if (name)
                        call_fail(c, name, text);
                else if (c->given && c->again)
                        call_fail(c, SPARK_ERROR_WORKER_LOST, "The worker was lost; the call may be made again");
                else if (c->given) {
                        c->given = false;
                        c->again = true;
                }
        }
}

void calls_expire(User *u) {
        uint64_t now = manager_now(u->manager);

        LIST_FOREACH(&u->calls, l) {
                Call *c = LIST_OBJECT(l, Call, link);
                if (c->kind == CALL_VERIFY && now - c->called_usec > VERIFY_WAIT_USEC)
                        call_answer_verify(c, "");
                else if (now - c->called_usec > TURN_WAIT_USEC)
                        call_fail(c, SPARK_ERROR_TIMEOUT, "The call waited for 180 s; it may be made again");
        }
}

static Call *calls_find(User *u, CallKind kind, uint64_t request) {
        LIST_FOREACH(&u->calls, l) {
                Call *c = LIST_OBJECT(l, Call, link);
                if (c->given && c->kind == kind && c->request == request)
                        return c;
        }
        return NULL;
}

void call_counted(User *u, uint64_t request, uint32_t n_tokens) {
        Call *c = calls_find(u, CALL_COUNT, request);
        if (!c)
                return;
        int r = sd_bus_reply_method_return(c->message, "u", n_tokens);
        if (r < 0)
                log_warning("Cannot answer a call: %s, ignoring", strerror(-r));
        call_record(c, "counted");
        call_free(c);
}

void call_facts(User *u, uint64_t request, const char *json, size_t size) {
        Call *c = calls_find(u, CALL_VERIFY, request);
        if (c)
                call_answer_verify(c, strlen(json) == size ? json : "");
}
