/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns a turn's way from the call to its one end. Refuses what is not allowed, or no longer, what has cost several workers already, and what would wait
 * behind too much; holds at most REPLY_BYTES_MAX of a reply, and lets text wait there when its client does not read. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/sparkd/charge.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/message.h"
#include "daemon/sparkd/session.h"
#include "daemon/sparkd/text.h"
#include "daemon/sparkd/turn-internal.h"

#define REPLACEMENT "\xef\xbf\xbd"         /* U+FFFD, for NUL: the model may write one, the bus cannot carry it */
#define FINISHED_BYTES 512u                /* what one Finished counts as, of the client's window */

static Turn *turn_free(Turn *t) {
        sd_event_source_disable_unref(t->flush);
        ignored_keys_done(&t->ignored);
        free(t->reply);
        free(t);
        return NULL;
}

/* What its next turns wait for, beside their turn. */
static void app_hold(App *a) {
        const Manager *m = a->user->manager;
        queue_hold(&a->lane, a->n_running >= charge_replies_max(a), power_on_battery(m->power) && !rules_on_battery(m->rules, &a->identity));
}

static void turn_runs(Turn *t) {
        App *a = t->session->app;
        a->user->n_running++;
        a->n_running++;
        app_hold(a);
}

/* The worker has done with it, or holds it: what is held was taken off already. */
static void turn_stops(Turn *t) {
        App *a = t->session->app;

        if (t->held) {
                t->held = false;
                return;
        }
        a->user->n_running--;
        a->n_running--;
        queue_ended(&a->user->queue, &a->lane, t->session->priority);
        app_hold(a);
}

static void turn_tell_held(const Turn *t) {
        int r = worker_hold(t->session->user->worker, t->request, t->held);
        if (r < 0)
                log_warning("Cannot tell the worker to %s a turn: %s, ignoring", t->held ? "hold" : "go on with", strerror(-r));
}

/* One that has begun goes on only as its application's next ones may begin. Meanwhile it takes nobody's place, and goes
 * on when there is one. */
static void turn_hold(Turn *t) {
        const Session *s = t->session;
        User *u = s->user;
        const bool full = s->app->n_running >= charge_replies_max(s->app) || u->n_running >= charge_user_replies_max(u);
        const bool held = s->priority == QUEUE_BACKGROUND && (s->app->lane.background_held || (t->held && full));

        if (t->state != TURN_RUNNING || t->held == held)
                return;
        if (held)
                turn_stops(t);
        t->held = held;
        if (!held) {
                queue_resumed(&u->queue, &s->app->lane, s->priority);
                turn_runs(t);
        }
        turn_tell_held(t);
}

/* ---- the end ---- */

static int turn_send_finished(Turn *t, const TurnEnd *end) {
        Session *s = t->session;
        sd_bus_message *m = NULL;
        int r;

        r = client_signal(s->client, s->path, SPARK_SESSION_INTERFACE, "Finished", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ts", t->number, end->reason);
        if (r >= 0)
                r = usage_append(m, t, end);
        r = message_send(m, r);
        client_sent(s->client, FINISHED_BYTES);
        return r;
}

static int turn_answer_ask(Turn *t, const TurnEnd *end) {
        sd_bus_message *m = NULL;
        int r;

        if (end->error)
                return sd_bus_reply_method_errorf(t->session->ask, end->error, "%s", end->text);
        r = sd_bus_message_new_method_return(t->session->ask, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", t->reply ?: "");
        if (r >= 0)
                r = usage_append(m, t, end);
        return message_send(m, r);
}

/* What was said stays said; what failed never was. */
static void turn_settle_transcript(Turn *t, const TurnEnd *end) {
        Session *s = t->session;

        if (end->error || (strcmp(end->reason, "cancelled") == 0 && t->reply_size == 0)) {
                session_truncate(s, t->n_before);
                return;
        }
        session_drop(s, t->n_skipped);
        t->n_before -= t->n_skipped;
        if (!s->ask && session_append(s, ROLE_ASSISTANT, ORIGIN_MODEL, t->reply ?: "", NULL) < 0)
                session_truncate(s, t->n_before);
}

static void turn_end(Turn *t, const TurnEnd *end) {
        Session *s = t->session;
        User *u = s->user;
        int r = 0;

        consent_leave(&t->consent);
        if (t->state == TURN_WAITING)
                queue_remove(&u->queue, &s->app->lane, &t->link);
        else
                list_remove(&t->link);
        if (t->state == TURN_RUNNING)
                turn_stops(t);
        if (t->state == TURN_ASKING || t->state == TURN_RECORDING)
                turn_left_asking(t);
        turn_account(t, end);

        turn_settle_transcript(t, end);
        if (s->client)
                r = s->ask ? turn_answer_ask(t, end) : turn_send_finished(t, end);
        if (r < 0)
                log_warning("Cannot tell %s the end of a turn: %s, ignoring", s->client->name, strerror(-r));
        s->turn = NULL;
        turn_free(t);
        session_settle(s);
        worker_touch(u->worker);
}

void turn_fail(Turn *t, const char *error, const char *text) {
        turn_end(t, &(TurnEnd) { .reason = "error", .error = error, .text = text });
}

static void turn_end_cancelled(Turn *t, const WorkerFinished *f) {
        TurnEnd end = { .reason = "cancelled", .finished = f };
        if (t->session->ask) {
                end.error = SPARK_ERROR_CANCELLED;
                end.text = "The call was cancelled";
        }
        turn_end(t, &end);
}

/* The worker's words for CONTEXT_FULL. */
static void context_numbers(const char *text, unsigned long long *ret_requested, unsigned long long *ret_available) {
        *ret_requested = *ret_available = 0;
        (void) sscanf(text, "%19llu %19llu", ret_requested, ret_available);
}

/* All text is out: tells the end as the worker gave it. */
static void turn_end_finished(Turn *t) {
        const WorkerFinished *f = &t->finished;
        char text[512], said[384];

        text_printable(f->text ?: "", said, sizeof said);
        TurnEnd end = { .reason = "error", .finished = f, .text = text };
        switch (f->reason) {
        case WIRE_FINISH_STOP:
                end.reason = "stop";
                break;
        case WIRE_FINISH_LENGTH:
                end.reason = "length";
                break;
        case WIRE_FINISH_CANCELLED:
                if (!t->cut) {
                        turn_end_cancelled(t, f);
                        return;
                }
                end.reason = "length";
                break;
        case WIRE_FINISH_CONTEXT_FULL: {
                unsigned long long requested, available;
                context_numbers(said, &requested, &available);
                snprintf(text, sizeof text, "requested %llu tokens, available %llu", requested, available);
                end.error = SPARK_ERROR_CONTEXT_FULL;
                break;
        }
        case WIRE_FINISH_INVALID:
                snprintf(text, sizeof text, "%s", said);
                end.error = SPARK_ERROR_INVALID_INPUT;
                break;
        case WIRE_FINISH_NO_MEMORY:
                snprintf(text, sizeof text, "out-of-memory: %s", said[0] ? said : "no room for this context now; it may be tried again");
                end.error = SPARK_ERROR_UNAVAILABLE;
                break;
        case WIRE_FINISH_FAILED:
                snprintf(text, sizeof text, "%s", said);
                end.error = SPARK_ERROR_FAILED;
                break;
        }
        turn_end(t, &end);
}

/* ---- text on its way out ---- */

static int turn_send_delta(Turn *t, size_t n) {
        Session *s = t->session;
        sd_bus_message *m = NULL;
        char *space;
        int r;

        r = client_signal(s->client, s->path, SPARK_SESSION_INTERFACE, "Delta", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "t", t->number);
        if (r >= 0)
                r = sd_bus_message_append_string_space(m, n, &space);
        if (r >= 0)
                memcpy(space, t->reply + t->n_sent, n);
        return message_send(m, r);
}

static int on_flush(sd_event_source *s, uint64_t usec, void *userdata) {
        turn_flush(userdata);
        return 0;
}

static void turn_flush_later(Turn *t, uint64_t at) {
        int r;
        if (t->flush) {
                r = sd_event_source_set_time(t->flush, at);
                if (r >= 0)
                        r = sd_event_source_set_enabled(t->flush, SD_EVENT_ONESHOT);
        } else
                r = sd_event_add_time(t->session->user->manager->event, &t->flush, CLOCK_MONOTONIC, at, 1000, on_flush, t);
        if (r < 0)
                log_warning("Cannot wait to send text: %s, ignoring", strerror(-r));
}

void turn_flush(Turn *t) {
        Session *s = t->session;
        uint64_t now = manager_now(s->user->manager);
        bool listening = s->client && !s->ask;
        size_t left = t->reply_size - t->n_sent;

        if (listening && left > 0) {
                if (t->sent_usec > 0 && now < t->sent_usec + DELTA_INTERVAL_USEC && t->state == TURN_RUNNING) {
                        turn_flush_later(t, t->sent_usec + DELTA_INTERVAL_USEC);
                        return;
                }
                size_t n = text_cut(t->reply + t->n_sent, left, client_window(s->client));
                if (n == 0) {
                        /* The client's answer brings us back here, or our own queue has to run off. */
                        client_sent(s->client, 0);
                        if (!s->client->ping)
                                turn_flush_later(t, now + DELTA_INTERVAL_USEC);
                        return;
                }
                int r = turn_send_delta(t, n);
                if (r < 0)
                        log_warning("Cannot send text to %s: %s, ignoring", s->client->name, strerror(-r));
                t->n_sent += n;
                t->sent_usec = now;
                client_sent(s->client, n);
                if (n < left) {
                        turn_flush_later(t, now + DELTA_INTERVAL_USEC);
                        return;
                }
        }
        if (t->state == TURN_SENDING)
                turn_end_finished(t);
}

void turn_stalled(Turn *t) {
        if (t->n_sent == t->reply_size)
                return;
        (void) worker_cancel(t->session->user->worker, t->request);
        turn_fail(t, SPARK_ERROR_TIMEOUT, "The reply was not read for 30 s");
}

/* ---- the beginning ---- */

void turn_wait(Turn *t) {
        Session *s = t->session;

        t->state = TURN_WAITING;
        app_hold(s->app);
        queue_push(&s->user->queue, &s->app->lane, s->priority, &t->link);
        user_watch_waiting(s->user);
}

/* What cannot be answered is not asked for either. */
static int check_worker(User *u, Decision d, sd_bus_error *reterr) {
        const char *text, *problem;

        if (d == DECISION_ALLOW)
                return user_start_worker(u, reterr);
        problem = worker_check(u->worker, &text);
        return problem ? sd_bus_error_setf(reterr, SPARK_ERROR_UNAVAILABLE, "%s: %s", problem, text) : 0;
}

int turn_begin(Session *s, const Generation *g, IgnoredKeys *ignored, const RecordingWish *wish, size_t n_before, Turn **ret, sd_bus_error *reterr) {
        User *u = s->user;
        _cleanup_free_ char *json = NULL;
        size_t json_size, n_wants, n_of_app = s->app->lane.n_items + s->app->n_asking;
        const Want *denied;
        Want wants[TURN_WANTS_MAX];
        Ruling ruling;
        int r;

        if (u->queue.n_items >= TURNS_QUEUED_PER_USER || n_of_app >= TURNS_QUEUED_PER_APP)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%zu turns wait, %zu of this application, at most %u: position %zu is not to be had",
                                         u->queue.n_items, n_of_app, TURNS_QUEUED_PER_APP, u->queue.n_items + 1);
        r = charge_waiting(s->app, reterr);
        if (r >= 0)
                r = charge_request(u, &s->app->identity, reterr);
        if (r < 0)
                return r;
        n_wants = turn_wants(s, wish, wants);
        bool once = gate_allowed_once(s->client, wants, n_wants);
        gate_decide_all(u, &s->client->identity, wants, n_wants, once ? ANSWER_ONCE : ANSWER_NONE, &ruling, &denied);
        if (ruling.decision == DECISION_DENY)
                return gate_refuse(u, &s->client->identity, denied, &ruling, reterr);
        r = transcript_json(&s->transcript, 0, &json, &json_size);
        if (r < 0)
                return r;
        PenaltyKey penalty = { .app = s->app->id, .input = digest(&u->manager->key, json, json_size) };
        if (penalties_refuses(&u->manager->penalties, &penalty))
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "This input was being worked on when the worker was lost, %u times; it is not tried again",
                                         PENALTY_LOST_MAX);
        r = check_worker(u, ruling.decision, reterr);
        if (r < 0)
                return r;

        uint64_t seed, charged = charge_guess(json_size, g->max_tokens);
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
                return -EIO;
        r = charge_tokens(s->app, charged, reterr);
        if (r < 0)
                return r;
        Turn *t = malloc(sizeof *t);
        if (!t) {
                charge_correct(s->app, charged, 0);
                return -ENOMEM;
        }
        *t = (Turn) {
                .session = s, .number = ++s->last_turn, .request = ++u->manager->last_request,
                .generation = *g, .ignored = *ignored, .penalty = penalty, .n_before = n_before,
                .called_usec = manager_now(u->manager), .reason = ruling.reason, .once = once, .charged = charged, .n_wants = n_wants,
        };
        memcpy(t->wants, wants, sizeof wants);
        r = wish ? recording_reserve(&t->recording, s->app, wish, reterr) : 0;
        if (r >= 0)
                r = ruling.decision == DECISION_ASK ? turn_ask(t, reterr) : turn_go(t, reterr);
        if (r < 0) {
                const char *dot = reterr->name ? strrchr(reterr->name, '.') : NULL;
                if (t->state == TURN_RECORDING)
                        turn_left_asking(t);
                recording_stop(&t->recording, dot ? dot + 1 : "Failed");
                charge_correct(s->app, charged, 0);
                free(t);
                return r;
        }
        *ignored = (IgnoredKeys) {};
        if (!g->has_seed)
                t->generation.seed = seed;
        t->generation.n_ctx = charge_context(s->app);
        s->turn = t;
        s->client->n_once = 0;
        *ret = t;
        return 0;
}

void turn_cancel(Turn *t) {
        switch (t->state) {
        case TURN_ASKING:
        case TURN_RECORDING:
        case TURN_WAITING:
                turn_end_cancelled(t, NULL);
                break;
        case TURN_RUNNING:
                if (!t->cancelled)
                        (void) worker_cancel(t->session->user->worker, t->request);
                t->cancelled = true;
                break;
        case TURN_SENDING:
                turn_end_cancelled(t, &t->finished);
                break;
        }
}

/* ---- the user's turns ---- */

/* Whether there are turns before this one that could be left out. */
static bool turn_can_drop(const Turn *t) {
        const Session *s = t->session;
        return s->drop_oldest && transcript_n_instructions(&s->transcript) + t->n_skipped < t->n_before;
}

/* Leaves out whole turns, the oldest first, until about half of the context is free by a guess from their bytes: so
 * that not every turn from now on begins anew. What is left out is forgotten when the reply is there. */
static void turn_drop_oldest(Turn *t, const char *numbers) {
        const Transcript *transcript = &t->session->transcript;
        const size_t first = transcript_n_instructions(transcript);
        unsigned long long requested, available;
        size_t bytes = 0, dropped = 0, i = first + t->n_skipped;

        context_numbers(numbers, &requested, &available);
        for (size_t k = 0; k < transcript->n_messages; k++)
                bytes += k < first || k >= i ? transcript->messages[k].json_size : 0;
        do {
                const size_t end = transcript_turn_end(transcript, i);
                for (; i < end; i++)
                        dropped += transcript->messages[i].json_size;
                t->n_dropped++;
        } while (i < t->n_before && (double) requested * (double) (bytes - dropped) > (double) bytes * (double) available / 2);
        t->n_skipped = i - first;
}

static int turn_give(Turn *t) {
        Session *s = t->session;
        User *u = s->user;
        _cleanup_free_ char *json = NULL;
        size_t size;

        int r = transcript_json(&s->transcript, t->n_skipped, &json, &size);
        if (r < 0)
                return r;
        if (s->generation_of_worker != worker_generation(u->worker))
                prewarm_use(s);
        t->given_usec = manager_now(u->manager);
        r = worker_respond(u->worker, s->number, t->request, s->app->id,
                           (s->priority == QUEUE_BACKGROUND ? WIRE_RESPOND_BACKGROUND : 0) | (turn_can_drop(t) ? WIRE_RESPOND_KEEP_ROOM : 0),
                           &t->generation, json, size, &t->receipt);
        if (r >= 0)
                s->generation_of_worker = worker_generation(u->worker);
        return r;
}

void turns_schedule(User *u) {
        const size_t max = charge_user_replies_max(u);

        LIST_FOREACH(&u->turns, l)
                if (LIST_OBJECT(l, Turn, link)->held)
                        turn_hold(LIST_OBJECT(l, Turn, link));
        while (worker_state(u->worker) == WORKER_READY && u->n_running < max) {
                Link *l = queue_pop(&u->queue, u->manager->config.turns_running, TURNS_RUNNING_EXTRA);
                if (!l)
                        break;
                Turn *t = LIST_OBJECT(l, Turn, link);
                t->state = TURN_RUNNING;
                list_append(&u->turns, &t->link);
                turn_runs(t);
                if (turn_give(t) < 0)
                        turn_fail(t, SPARK_ERROR_WORKER_LOST, "The worker cannot be reached; the call may be made again");
        }
        worker_touch(u->worker);
}

static Turn *turns_find(User *u, uint64_t request) {
        LIST_FOREACH(&u->turns, l) {
                Turn *t = LIST_OBJECT(l, Turn, link);
                if (t->request == request && t->state == TURN_RUNNING)
                        return t;
        }
        return NULL;
}

static int turn_keep_text(Turn *t, const char *text, size_t size) {
        size_t n = 0;
        for (size_t i = 0; i < size; i++)
                n += text[i] ? 1 : strlen(REPLACEMENT);
        if (n > REPLY_BYTES_MAX - t->reply_size)
                return -E2BIG;
        char *reply = realloc(t->reply, t->reply_size + n + 1);
        if (!reply)
                return -ENOMEM;
        t->reply = reply;
        char *p = reply + t->reply_size;
        for (size_t i = 0; i < size; i++)
                if (text[i])
                        *p++ = text[i];
                else
                        p = stpcpy(p, REPLACEMENT);
        *p = '\0';
        t->reply_size += n;
        return 0;
}

void turns_delta(User *u, uint64_t request, const char *text, size_t size) {
        Turn *t = turns_find(u, request);

        if (!t || t->cut || size == 0)
                return;
        t->n_tokens++;
        if (t->first_usec == 0)
                t->first_usec = manager_now(u->manager);
        if (turn_keep_text(t, text, size) < 0) {
                t->cut = true;
                (void) worker_cancel(u->worker, t->request);
                return;
        }
        turn_flush(t);
}

void turns_finished(User *u, const WorkerFinished *f) {
        Turn *t = turns_find(u, f->request);

        if (!t)
                return;
        penalties_clear(&u->manager->penalties, &t->penalty);
        if (f->reason == WIRE_FINISH_CONTEXT_FULL && !t->cancelled && turn_can_drop(t)) {
                turn_drop_oldest(t, f->text);
                if (turn_give(t) < 0) {
                        turn_fail(t, SPARK_ERROR_WORKER_LOST, "The worker cannot be reached; the call may be made again");
                        return;
                }
                if (t->held)
                        turn_tell_held(t);
                return;
        }
        t->finished = *f;
        t->state = TURN_SENDING;
        turn_stops(t);
        if (f->reason > WIRE_FINISH_CANCELLED)
                turn_end_finished(t);      /* its text is the event's, and there is nothing more to send */
        else {
                t->finished.text = NULL;
                turn_flush(t);
        }
        turns_schedule(u);
}

/* The worker was dead already when it was given this, and nobody knew: that is nobody's reply under way. Once. */
static bool turn_give_back(Turn *t) {
        Session *s = t->session;
        User *u = s->user;

        if (t->cancelled || t->given_back || worker_has_read(u->worker, t->receipt))
                return false;
        t->given_back = true;
        t->state = TURN_WAITING;
        list_remove(&t->link);
        turn_stops(t);
        queue_push(&u->queue, &s->app->lane, s->priority, &t->link);
        user_watch_waiting(u);
        return true;
}

void turns_lost(User *u) {
        LIST_FOREACH(&u->turns, l) {
                Turn *t = LIST_OBJECT(l, Turn, link);
                if (t->state != TURN_RUNNING)
                        continue;
                if (turn_give_back(t))
                        continue;
                penalties_charge(&u->manager->penalties, &t->penalty);
                if (t->cancelled)
                        turn_end_cancelled(t, NULL);
                else
                        turn_fail(t, SPARK_ERROR_WORKER_LOST, "The worker was lost while it replied; the call may be made again");
        }
}

static bool waits_for_mains(const App *a, QueuePriority p) {
        return p == QUEUE_BACKGROUND && a->lane.background_held;
}

static void waiting_fail(User *u, uint64_t called_before, const char *error, const char *text) {
        LIST_FOREACH(&u->apps, a)
                for (size_t p = 0; p < QUEUE_PRIORITIES; p++) {
                        /* The end of its last turn may be the end of the application. */
                        App *app = app_ref(LIST_OBJECT(a, App, link));
                        LIST_FOREACH(&app->lane.priorities[p].items, l) {
                                Turn *t = LIST_OBJECT(l, Turn, link);
                                if (t->called_usec < called_before && (called_before == UINT64_MAX || !waits_for_mains(app, p)))
                                        turn_fail(t, error, text);
                        }
                        bool last = app->n_refs == 1;
                        app_unref(app);
                        if (last)
                                break;
                }
}

void turns_fail_waiting(User *u, const char *error, const char *text) {
        waiting_fail(u, UINT64_MAX, error, text);
        LIST_FOREACH(&u->asking, l)
                turn_fail(LIST_OBJECT(l, Turn, link), error, text);
}

void turns_expire(User *u) {
        uint64_t now = manager_now(u->manager);
        if (now > TURN_WAIT_USEC)
                waiting_fail(u, now - TURN_WAIT_USEC, SPARK_ERROR_TIMEOUT, "The turn waited for 180 s; the call may be made again");
}

void turns_stop(User *u, const char *text) {
        LIST_FOREACH(&u->turns, l)
                turn_fail(LIST_OBJECT(l, Turn, link), SPARK_ERROR_CANCELLED, text);
}

void turns_hold(User *u) {
        LIST_FOREACH(&u->apps, l)
                app_hold(LIST_OBJECT(l, App, link));
        LIST_FOREACH(&u->turns, l)
                turn_hold(LIST_OBJECT(l, Turn, link));
        turns_schedule(u);
}
