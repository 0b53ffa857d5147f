/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the sessions and the table that finds them. Refuses to tell of a session to anybody but its owner: a path that
 * is another's and one that never was take the same way through here. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/charge.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/session.h"
#include "daemon/sparkd/turn.h"

/* The id is random, so any of its bits will do. */
static Session **bucket(Manager *m, sd_id128_t id) {
        return m->buckets + id.qwords[0] % SESSION_BUCKETS;
}

static Session *session_free(Session *s) {
        Client *c = s->client;

        (void) worker_forget(s->user->worker, s->number);
        list_remove(&s->link);
        s->user->transcript_bytes -= s->accounted;
        transcript_done(&s->transcript);
        ignored_keys_done(&s->ignored);
        if (s->ask) {
                s->user->n_asks--;
                if (c)
                        c->n_asks--;
                sd_bus_message_unref(s->ask);
        }
        app_unref(s->app);
        user_unref(s->user);
        free(s);
        if (c)
                client_settle(c);
        return NULL;
}

static int session_check_caps(Client *c, bool ask, sd_bus_error *reterr) {
        User *u = c->user;
        const struct { bool ask; size_t n; unsigned max; const char *what; } caps[] = {
                { false, c->n_sessions, SESSIONS_PER_CLIENT, "sessions of this connection are open; close one" },
                { false, u->n_sessions, SESSIONS_PER_USER, "sessions of this user are open; close one" },
                { false, u->manager->n_sessions, SESSIONS_MAX, "sessions are open; come back later" },
                { true, c->n_asks, ASKS_PER_CLIENT, "questions of this connection wait for their answer; come back when one has it" },
                { true, u->n_asks, ASKS_PER_USER, "questions of this user wait for their answer; come back when one has it" },
        };
        for (size_t i = 0; i < ELEMENTSOF(caps); i++)
                if (caps[i].ask == ask && caps[i].n >= caps[i].max)
                        return sd_bus_error_setf(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "%zu of %u %s", caps[i].n, caps[i].max, caps[i].what);
        return ask ? 0 : charge_session(c->app, reterr);
}

/* Gives it a path that nobody can guess. */
static int session_publish(Session *s) {
        Manager *m = s->user->manager;
        char id[SD_ID128_STRING_MAX];
        int r = sd_id128_randomize(&s->id);
        if (r < 0)
                return r;
        stpcpy(stpcpy(s->path, SPARK_SESSION_PREFIX "/"), sd_id128_to_string(s->id, id));
        Session **b = bucket(m, s->id);
        s->next = *b;
        *b = s;
        s->client->n_sessions++;
        s->app->n_sessions++;
        s->user->n_sessions++;
        m->n_sessions++;
        return 0;
}

int session_new(Client *c, const SessionParams *p, Session **ret, sd_bus_error *reterr) {
        int r;

        r = session_check_caps(c, p->ask, reterr);
        Session *s = r < 0 ? NULL : calloc(1, sizeof *s);
        if (!s) {
                client_settle(c);
                return r < 0 ? r : -ENOMEM;
        }
        s->user = c->user;
        s->user->n_refs++;
        s->app = app_ref(c->app);
        s->client = c;
        list_append(&c->sessions, &s->link);
        s->number = ++c->user->manager->last_session;
        s->generation = p->generation;
        s->priority = rules_priority(s->user->manager->rules, &s->app->identity) == PRIORITY_BACKGROUND ? QUEUE_BACKGROUND : p->priority;
        s->asks_background = p->priority == QUEUE_BACKGROUND;
        s->drop_oldest = p->drop_oldest;
        if (p->ask) {
                s->ask = sd_bus_message_ref(p->ask);
                s->closed = true;
                c->n_asks++;
                c->user->n_asks++;
        } else
                r = session_publish(s);
        if (r >= 0 && p->ignored)
                r = ignored_keys_add_all(&s->ignored, p->ignored);
        if (r >= 0 && p->instructions && p->instructions[0])
                r = session_append(s, ROLE_SYSTEM, ORIGIN_APP, p->instructions, reterr);
        if (r < 0) {
                session_close(s);
                return r;
        }
        *ret = s;
        return 0;
}

int session_fork(Session *s, Session **ret, sd_bus_error *reterr) {
        SessionParams p = { .generation = s->generation, .priority = s->asks_background ? QUEUE_BACKGROUND : QUEUE_INTERACTIVE,
                            .drop_oldest = s->drop_oldest, .ignored = &s->ignored };
        size_t n = s->turn ? s->turn->n_before : s->transcript.n_messages;
        Session *fork;
        int r;

        r = session_new(s->client, &p, &fork, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const TranscriptMessage *m = s->transcript.messages + i;
                r = session_append(fork, m->role, m->origin, m->text, reterr);
                if (r < 0) {
                        session_close(fork);
                        return r;
                }
        }
        /* The worker may share what it has computed; where it cannot, it computes again. */
        if (!s->turn && s->generation_of_worker == worker_generation(s->user->worker) &&
            worker_fork(s->user->worker, s->number, fork->number) >= 0)
                fork->generation_of_worker = s->generation_of_worker;
        *ret = fork;
        return 0;
}

static void session_unpublish(Session *s) {
        if (s->path[0] == '\0' || s->closed)
                return;
        for (Session **b = bucket(s->user->manager, s->id); *b; b = &(*b)->next)
                if (*b == s) {
                        *b = s->next;
                        break;
                }
        if (s->client)
                s->client->n_sessions--;
        s->app->n_sessions--;
        s->user->n_sessions--;
        s->user->manager->n_sessions--;
}

void session_close(Session *s) {
        session_unpublish(s);
        s->closed = true;
        if (s->turn)
                turn_cancel(s->turn);
        else
                session_free(s);
}

void session_settle(Session *s) {
        if (s->closed && !s->turn)
                session_free(s);
}

Session *session_find(Manager *m, const char *path, const char *sender) {
        sd_id128_t id;

        if (!sender || strncmp(path, SPARK_SESSION_PREFIX "/", strlen(SPARK_SESSION_PREFIX "/")) != 0)
                return NULL;
        const char *text = path + strlen(SPARK_SESSION_PREFIX "/");
        if (strlen(text) != SD_ID128_STRING_MAX - 1 || sd_id128_from_string(text, &id) < 0)
                return NULL;
        for (Session *s = *bucket(m, id); s; s = s->next)
                if (sd_id128_equal(s->id, id) && s->client && strcmp(s->client->name, sender) == 0 && strcmp(s->path, path) == 0)
                        return s;
        return NULL;
}

static void session_account(Session *s) {
        s->user->transcript_bytes += s->transcript.json_size - s->accounted;
        s->accounted = s->transcript.json_size;
}

int session_append(Session *s, Role role, Origin origin, const char *text, sd_bus_error *reterr) {
        size_t size = strlen(text);

        if (s->user->transcript_bytes + size > TRANSCRIPT_BYTES_PER_USER)
                return sd_bus_error_setf(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "All sessions of this user hold %zu bytes, at most %u; close one",
                                         s->user->transcript_bytes, TRANSCRIPT_BYTES_PER_USER);
        int r = transcript_append(&s->transcript, role, origin, text);
        if (r == -E2BIG)
                return sd_bus_error_setf(reterr, SPARK_ERROR_CONTEXT_FULL, "requested %zu bytes in %zu messages, available %u bytes in %u messages: start a new session",
                                         s->transcript.json_size + size, s->transcript.n_messages + 1, TRANSCRIPT_BYTES_MAX, TRANSCRIPT_MESSAGES_MAX);
        session_account(s);
        return r;
}

void session_truncate(Session *s, size_t n_messages) {
        transcript_truncate(&s->transcript, n_messages);
        session_account(s);
}

void session_drop(Session *s, size_t n_messages) {
        transcript_drop(&s->transcript, n_messages);
        session_account(s);
}
