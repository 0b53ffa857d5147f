/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the traffic between the wire and the engine. The wire has checked a message's form; here its sense is: what only
 * sparkd can have got wrong (an unknown flag, a message of the wrong time) ends the worker, what an app may have caused
 * (a transcript that cannot be rendered, too long, a sampler out of range) ends the turn with a reason and numbers. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "daemon/worker/facts.h"
#include "daemon/worker/serve.h"
#include "daemon/worker/transcript.h"

#define FLUSH_MS 1000
#define ROOM_SHARE 4u                     /* of the context: WIRE_RESPOND_KEEP_ROOM */
#define BROKEN (-EPROTO)                  /* sparkd's fault, for a handler to return */

/* ---- out ---- */

static int send_pending(Server *s, Session *session) {
        if (session->n_pending == 0)
                return 0;
        int r = wire_send(s->conn, WIRE_DELTA, NULL, 0, session->request, session->pending, session->n_pending);
        session->n_pending = 0;
        return r;
}

static int append_text(Server *s, Session *session, const char *text, size_t size) {
        if (size > SESSION_PENDING_MAX)
                return -EMSGSIZE;         /* one event's text is a few tokens' */
        if (size > SESSION_PENDING_MAX - session->n_pending) {
                int r = send_pending(s, session);
                if (r < 0)
                        return r;
        }
        if (size > 0)
                memcpy(session->pending + session->n_pending, text, size);
        session->n_pending += size;
        return 0;
}

static int send_finished(Server *s, uint64_t request, uint64_t seed, WireFinish reason, const SparkUsage *u, const char *text) {
        return wire_send(s->conn, WIRE_FINISHED, NULL, 0, request, (uint32_t) reason, u->n_prompt, u->n_cached, u->n_generated,
                         u->first_token_us, u->generate_us, seed, text, strlen(text));
}

/* ---- in ---- */

static const struct {
        int error;
        WireFinish reason;
} start_errors[] = {
        { -ENOMEM,  WIRE_FINISH_NO_MEMORY },
        { -EBUSY,   WIRE_FINISH_NO_MEMORY },
        { -EINVAL,  WIRE_FINISH_INVALID },
        { -EBADMSG, WIRE_FINISH_INVALID },
        { -EPROTO,  WIRE_FINISH_INVALID },
        { -E2BIG,   WIRE_FINISH_INVALID },
        { -EILSEQ,  WIRE_FINISH_INVALID },
};

static int refuse(Server *s, const WireMessage *m, int error, SparkUsage *u, const EngineError *e) {
        WireFinish reason = WIRE_FINISH_FAILED;
        for (size_t i = 0; i < ELEMENTSOF(start_errors); i++)
                if (start_errors[i].error == error)
                        reason = start_errors[i].reason;
        return send_finished(s, m->fields[1].t, m->fields[12].t, reason, u, e->text[0] ? e->text : strerror(-error));
}

/* Tokens that this turn may have in all. */
static uint32_t context_of(const Server *s, const WireMessage *m) {
        uint32_t n_ctx = spark_engine_n_ctx(s->engine), asked = m->fields[13].u;
        return asked > 0 ? MIN(asked, n_ctx) : n_ctx;
}

static int context_full(Server *s, const WireMessage *m, SparkUsage *u) {
        char numbers[32];
        snprintf(numbers, sizeof numbers, "%u %u", u->n_prompt, context_of(s, m));
        return send_finished(s, m->fields[1].t, m->fields[12].t, WIRE_FINISH_CONTEXT_FULL, u, numbers);
}

static bool has_room(uint32_t n_ctx, size_t n_ids, uint32_t max_tokens) {
        const uint32_t wanted = MIN(max_tokens, n_ctx / ROOM_SHARE);
        return n_ids <= n_ctx && n_ctx - n_ids >= wanted;
}

static int start_turn(Server *s, const WireMessage *m, Session *session, const TokenList *list, EngineError *e) {
        const WireField *f = m->fields;
        const uint32_t n_ctx = context_of(s, m);
        bool prewarm = f[3].t & WIRE_RESPOND_PREWARM;
        SparkStart start = {
                .ids = list->ids, .n_ids = list->n,
                .max_tokens = prewarm ? 0 : f[4].u > 0 ? f[4].u : UINT32_MAX,
                .sampler = {
                        .temperature = f[6].f, .top_p = f[7].f, .min_p = f[8].f, .repeat_penalty = f[9].f,
                        .top_k = f[10].u, .repeat_window = f[11].u, .seed = f[12].t,
                },
        };
        if ((f[3].t & WIRE_RESPOND_KEEP_ROOM) && !has_room(n_ctx, start.n_ids, start.max_tokens))
                return -ENOBUFS;
        if (f[13].u > 0) {
                if (start.n_ids > n_ctx)
                        return -ENOBUFS;
                start.max_tokens = MIN(start.max_tokens, n_ctx - (uint32_t) start.n_ids);
        }
        int r = session_begin(session, f[1].t, f[12].t);
        if (r < 0)
                return r;
        r = spark_sequence_start(session->sequence, &start, e);
        if (r < 0)
                session_end(session);
        else
                s->work = true;
        return r;
}

static int on_respond(Server *s, const WireMessage *m) {
        const WireField *f = m->fields;
        if ((f[3].t & ~WIRE_RESPOND_FLAGS_ALL) || f[5].s.size > WIRE_TRANSCRIPT_MAX || sessions_find_request(&s->sessions, f[1].t))
                return BROKEN;

        _cleanup_(transcript_freep) Transcript *transcript = NULL;
        _cleanup_(token_list_done) TokenList list = {};
        EngineError e = {};
        SparkUsage u = {};
        int r = transcript_new(f[5].s.data, f[5].s.size, &transcript, &e);
        if (r >= 0)
                r = transcript_tokens(transcript, s->model, &list, &e);
        if (r < 0)
                return refuse(s, m, r, &u, &e);
        u.n_prompt = (uint32_t) MIN(list.n, (size_t) UINT32_MAX);
        if (list.n == 0) {
                engine_fail(&e, -EINVAL, "the model's template makes nothing of this transcript");
                return refuse(s, m, -EINVAL, &u, &e);
        }

        Session *session;
        r = sessions_get(&s->sessions, s->engine, f[0].t, f[2].t, f[3].t & WIRE_RESPOND_BACKGROUND, &session, &e);
        if (r < 0)
                return refuse(s, m, r, &u, &e);
        if (session->running || session->domain != f[2].t)
                return BROKEN;
        r = start_turn(s, m, session, &list, &e);
        if (r == -ENOBUFS)
                return context_full(s, m, &u);
        return r < 0 ? refuse(s, m, r, &u, &e) : 0;
}

static int on_cancel(Server *s, const WireMessage *m) {
        Session *session = sessions_find_request(&s->sessions, m->fields[0].t);
        if (session) {                    /* else it has just ended: FINISHED is on its way */
                spark_sequence_cancel(session->sequence);
                s->work = true;
        }
        return 0;
}

static int on_hold(Server *s, const WireMessage *m) {
        Session *session = sessions_find_request(&s->sessions, m->fields[0].t);
        if (m->fields[1].u > 1)
                return BROKEN;
        if (session) {
                spark_sequence_hold(session->sequence, m->fields[1].u);
                s->work = true;
        }
        return 0;
}

static int on_forget(Server *s, const WireMessage *m) {
        Session *session = sessions_find(&s->sessions, m->fields[0].t);
        int r = 0;
        if (!session)
                return 0;
        if (session->running)
                r = send_finished(s, session->request, session->seed, WIRE_FINISH_CANCELLED, &(SparkUsage) {}, "");
        sessions_forget(&s->sessions, session);
        return r;
}

/* Without an answer: a fork that cannot be had now costs the new session's first turn some time. */
static int on_fork(Server *s, const WireMessage *m) {
        Session *session = sessions_find(&s->sessions, m->fields[0].t);
        if (session && sessions_fork(&s->sessions, session, m->fields[1].t, NULL) == -EEXIST)
                return BROKEN;
        return 0;
}

static int on_count(Server *s, const WireMessage *m) {
        _cleanup_(token_list_done) TokenList list = {};
        int r = tokenizer_encode_data(spark_model_tokenizer(s->model), m->fields[1].s.data, m->fields[1].s.size, &list);
        return wire_send(s->conn, WIRE_COUNTED, NULL, 0, m->fields[0].t, r < 0 ? UINT32_MAX : (uint32_t) list.n);
}

static int on_ping(Server *s, const WireMessage *m) {
        return wire_send(s->conn, WIRE_PONG, NULL, 0, m->fields[0].t);
}

static int on_inspect(Server *s, const WireMessage *m) {
        _cleanup_free_ char *text = facts_json(s);
        if (!text)
                return -ENOMEM;
        return wire_send(s->conn, WIRE_FACTS, NULL, 0, m->fields[0].t, text, strlen(text));
}

static int (*const handlers[WIRE_TYPE_MAX])(Server *s, const WireMessage *m) = {
        [WIRE_RESPOND] = on_respond,
        [WIRE_CANCEL]  = on_cancel,
        [WIRE_HOLD]    = on_hold,
        [WIRE_FORGET]  = on_forget,
        [WIRE_FORK]    = on_fork,
        [WIRE_COUNT]   = on_count,
        [WIRE_PING]    = on_ping,
        [WIRE_INSPECT] = on_inspect,
};

static int take_messages(Server *s) {
        for (unsigned i = 0; i < SERVE_MESSAGES_MAX; i++) {
                WireMessage m;
                int r = wire_receive(s->conn, &m);
                if (r <= 0)
                        return r;
                r = handlers[m.type] ? handlers[m.type](s, &m) : BROKEN;
                wire_message_done(&m);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the engine ---- */

static const WireFinish finishes[] = {
        [SPARK_FINISH_STOP]      = WIRE_FINISH_STOP,
        [SPARK_FINISH_LENGTH]    = WIRE_FINISH_LENGTH,
        [SPARK_FINISH_CONTEXT]   = WIRE_FINISH_LENGTH,      /* the prompt fitted; the reply was cut */
        [SPARK_FINISH_CANCELLED] = WIRE_FINISH_CANCELLED,
        [SPARK_FINISH_NO_MEMORY] = WIRE_FINISH_NO_MEMORY,
};

static int on_event(Server *s, const SparkEvent *event) {
        Session *session = event->userdata;
        if (!session->running)
                return 0;
        int r = append_text(s, session, event->text, event->text_size);
        if (r < 0 || event->type != SPARK_EVENT_FINISHED)
                return r;

        r = send_pending(s, session);
        if (r >= 0)
                r = send_finished(s, session->request, session->seed, finishes[event->finish], &event->usage, "");
        session_end(session);
        return r;
}

static int step(Server *s) {
        const SparkEvent *events;
        size_t n;
        int r = spark_engine_step(s->engine, &events, &n);
        if (r < 0)
                return r;
        s->work = r > 0;
        if (!s->work)                     /* embedding rows that prompts touched: page cache again, not ours */
                spark_model_release_file(s->model);
        for (size_t i = 0; i < n; i++) {
                r = on_event(s, events + i);
                if (r < 0)
                        return r;
        }

        /* While the socket still holds what came before, text gathers, and goes as one message later. */
        if (wire_backlog(s->conn) > 0 && wire_flush(s->conn) != 0)
                return 0;
        for (size_t i = 0; i < s->sessions.n; i++) {
                r = send_pending(s, s->sessions.all[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void fail_turns(Server *s, int error) {
        char text[ENGINE_ERROR_MAX];
        snprintf(text, sizeof text, "engine: %s", strerror(-error));
        for (size_t i = 0; i < s->sessions.n; i++)
                if (s->sessions.all[i]->running)
                        (void) send_finished(s, s->sessions.all[i]->request, s->sessions.all[i]->seed, WIRE_FINISH_FAILED, &(SparkUsage) {}, text);
}

static void wait_for(WireConn *conn, short events, int timeout_ms) {
        struct pollfd p = { .fd = wire_conn_fd(conn), .events = events };
        (void) poll(&p, 1, timeout_ms);
}

void serve_flush(WireConn *conn) {
        for (int i = 0; i < 10 && wire_flush(conn) == 1; i++)
                wait_for(conn, POLLOUT, FLUSH_MS / 10);
}

WorkerExit serve(Server *s) {
        for (;;) {
                int r = take_messages(s);
                if (r < 0)
                        return r == -ECONNRESET ? WORKER_EXIT_OK : r == -ENOMEM ? WORKER_EXIT_ENGINE : WORKER_EXIT_PROTOCOL;
                if (wire_flush(s->conn) < 0)
                        return WORKER_EXIT_OK;

                size_t backlog = wire_backlog(s->conn);
                if (s->work && backlog <= SERVE_BACKLOG_PAUSE) {
                        r = step(s);
                        if (r < 0) {
                                fail_turns(s, r);
                                serve_flush(s->conn);
                                return WORKER_EXIT_ENGINE;
                        }
                } else
                        wait_for(s->conn, POLLIN | (backlog > 0 ? POLLOUT : 0), -1);
        }
}
