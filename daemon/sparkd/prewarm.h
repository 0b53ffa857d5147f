/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Instructions that an application will use soon, read ahead: a session of the worker that holds nothing but them. The
 * application's sessions that begin with the same instructions begin as forks of it, and need not read them again.
 * One an application, PREWARMS_PER_USER in all; gone with the worker. */

#include <systemd/sd-bus.h>

#include "daemon/sparkd/limits.h"
#include "daemon/sparkd/penalty.h"
#include "daemon/sparkd/worker.h"
#include "policy/decision.h"

typedef struct User User;
typedef struct App App;
typedef struct Caller Caller;
typedef struct Session Session;

typedef enum PrewarmState { PREWARM_NONE, PREWARM_WAITING, PREWARM_READING, PREWARM_READ } PrewarmState;

typedef struct Prewarm {
        PrewarmState state;
        PenaltyKey key;                    /* the application, and a digest of the instructions */
        uint64_t session, request;         /* towards the worker */
        uint64_t begun;                    /* order */
        App *app;                          /* a reference, until the ledger knows what it cost */
        Reason reason;
        uint64_t charged, called_usec;
        char *json;                        /* while WAITING */
        size_t size;
} Prewarm;

/* Takes the place of what the application had, where there are instructions. The worker was started. Tokens are charged
 * as a turn's are, and the ledger hears the end. */
int prewarm_begin(const Caller *caller, const char *instructions, sd_bus_error *reterr);

void prewarms_give(User *u);                               /* the worker is READY */
void prewarms_finished(User *u, const WorkerFinished *f);
void prewarms_gone(User *u, bool died);                    /* with the worker; `died`: over what it was reading, perhaps */
void prewarms_done(User *u);

/* Before the first turn of s in this worker. */
void prewarm_use(Session *s);
