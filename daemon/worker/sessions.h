/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* sparkd's sessions as this worker knows them: a number, the sequence that holds what was read and said so far, and the
 * turn that runs, if one does. A session that is not here costs nothing but time: its transcript comes whole with every
 * turn. So when there is no room, the idle one that was used longest ago goes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/cleanup.h"
#include "engine/spark-engine.h"

#define SESSIONS_MAX 512u
#define SESSION_PENDING_MAX (32u << 10)   /* bytes of a reply that wait to be sent together */

typedef struct Session {
        uint64_t number, domain;
        uint64_t last_used;               /* in turns */
        SparkSequence *sequence;

        bool running;
        uint64_t request, seed;
        char *pending;                    /* whole characters; room for SESSION_PENDING_MAX while running */
        size_t n_pending;
} Session;

typedef struct Sessions {                 /* init with {} */
        Session *all[SESSIONS_MAX];
        size_t n;
        uint64_t clock;
} Sessions;

void sessions_done(Sessions *s);

Session *sessions_find(const Sessions *s, uint64_t number);
Session *sessions_find_request(const Sessions *s, uint64_t request);   /* the one whose turn it is; NULL */

/* The session of that number, made where there is none; marked as used. -EBUSY: all SESSIONS_MAX are running. */
int sessions_get(Sessions *s, SparkEngine *e, uint64_t number, uint64_t domain, bool background, Session **ret, EngineError *reterr);

/* `from` must not be running: -EBUSY. Its domain is the new one's too. -EEXIST: the number is taken. */
int sessions_fork(Sessions *s, Session *from, uint64_t number, EngineError *reterr);
void sessions_forget(Sessions *s, Session *session);

/* Around a turn. */
int session_begin(Session *session, uint64_t request, uint64_t seed);
void session_end(Session *session);
