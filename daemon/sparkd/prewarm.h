/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Instructions that an application will use soon, read ahead: a session of the worker that holds nothing but them. The
 * application's sessions that begin with the same instructions begin as forks of it, and need not read them again.
 * One an application, PREWARMS_PER_USER in all; gone with the worker. */

#include <systemd/sd-bus.h>

#include "daemon/sparkd/limits.h"
#include "daemon/sparkd/penalty.h"

typedef struct User User;
typedef struct Session Session;

typedef enum PrewarmState { PREWARM_NONE, PREWARM_WAITING, PREWARM_READING, PREWARM_READ } PrewarmState;

typedef struct Prewarm {
        PrewarmState state;
        PenaltyKey key;                    /* the application, and a digest of the instructions */
        uint64_t session, request;         /* towards the worker */
        uint64_t begun;                    /* order */
        char *json;                        /* while WAITING */
        size_t size;
} Prewarm;

/* Takes the place of what the application had. The worker was started. */
int prewarm_begin(User *u, uint64_t app, const char *instructions, sd_bus_error *reterr);

void prewarms_give(User *u);                               /* the worker is READY */
void prewarms_finished(User *u, uint64_t request, bool well);
void prewarms_gone(User *u, bool died);                    /* with the worker; `died`: over what it was reading, perhaps */
void prewarms_done(User *u);

/* Before the first turn of s in this worker. */
void prewarm_use(Session *s);
