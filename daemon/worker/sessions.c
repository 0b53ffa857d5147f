/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns sessions and their sequences. A plain array: a few hundred are looked through in less time than a token takes. */

#include <errno.h>

#include "daemon/worker/sessions.h"

static Session *session_free(Session *session) {
        if (!session)
                return NULL;
        spark_sequence_free(session->sequence);
        free(session->pending);
        free(session);
        return NULL;
}
DEFINE_CLEANUP(Session, session_free);

void sessions_done(Sessions *s) {
        while (s->n > 0)
                session_free(s->all[--s->n]);
}

Session *sessions_find(const Sessions *s, uint64_t number) {
        for (size_t i = 0; i < s->n; i++)
                if (s->all[i]->number == number)
                        return s->all[i];
        return NULL;
}

Session *sessions_find_request(const Sessions *s, uint64_t request) {
        for (size_t i = 0; i < s->n; i++)
                if (s->all[i]->running && s->all[i]->request == request)
                        return s->all[i];
        return NULL;
}

void sessions_forget(Sessions *s, Session *session) {
        for (size_t i = 0; i < s->n; i++)
                if (s->all[i] == session) {
                        s->all[i] = s->all[--s->n];
                        session_free(session);
                        return;
                }
}

static int make_room(Sessions *s) {
        Session *oldest = NULL;
        if (s->n < SESSIONS_MAX)
                return 0;
        for (size_t i = 0; i < s->n; i++)
                if (!s->all[i]->running && (!oldest || s->all[i]->last_used < oldest->last_used))
                        oldest = s->all[i];
        if (!oldest)
                return -EBUSY;
        sessions_forget(s, oldest);
        return 0;
}

/* Makes room first: the one that was not used for longest may have to go. */
static int session_new(Sessions *s, Session **ret) {
        int r = make_room(s);
        if (r < 0)
                return r;
        *ret = calloc(1, sizeof **ret);
        return *ret ? 0 : -ENOMEM;
}

static void add(Sessions *s, Session *session, uint64_t number, uint64_t domain) {
        session->number = number;
        session->domain = domain;
        session->last_used = ++s->clock;
        s->all[s->n++] = session;
}

int sessions_get(Sessions *s, SparkEngine *e, uint64_t number, uint64_t domain, bool background, Session **ret, EngineError *reterr) {
        Session *old = sessions_find(s, number);
        if (old) {
                old->last_used = ++s->clock;
                spark_sequence_set_background(old->sequence, background);
                *ret = old;
                return 0;
        }
        _cleanup_(session_freep) Session *session = NULL;
        int r = session_new(s, &session);
        if (r < 0)
                return r;
        SparkSequenceParams p = { .domain = domain, .background = background, .userdata = session };
        r = spark_sequence_new(e, &p, &session->sequence, reterr);
        if (r < 0)
                return r;
        add(s, session, number, domain);
        *ret = TAKE_PTR(session);
        return 0;
}

int sessions_fork(Sessions *s, Session *from, uint64_t number, EngineError *reterr) {
        if (sessions_find(s, number))
                return -EEXIST;
        if (from->running)
                return -EBUSY;
        from->last_used = ++s->clock;      /* so that it is not the one to make room */
        _cleanup_(session_freep) Session *session = NULL;
        int r = session_new(s, &session);
        if (r < 0)
                return r;
        r = spark_sequence_fork(from->sequence, session, &session->sequence, reterr);
        if (r < 0)
                return r;
        add(s, TAKE_PTR(session), number, from->domain);
        return 0;
}

int session_begin(Session *session, uint64_t request, uint64_t seed) {
        session->pending = malloc(SESSION_PENDING_MAX);
        if (!session->pending)
                return -ENOMEM;
        session->n_pending = 0;
        session->running = true;
        session->request = request;
        session->seed = seed;
        return 0;
}

void session_end(Session *session) {
        session->running = false;
        session->n_pending = 0;
        free(session->pending);
        session->pending = NULL;
}
