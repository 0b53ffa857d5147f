/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The worker's loop: messages in, steps of the engine, messages out. Between two steps it takes what has come, so that
 * a PING is answered and a CANCEL acts within one step. While sparkd does not read, nothing is generated: what waits to
 * be sent never exceeds SERVE_BACKLOG_PAUSE and one answer. */

#include "daemon/spawn/spawn.h"
#include "daemon/wire/wire.h"
#include "daemon/worker/sandbox.h"
#include "daemon/worker/sessions.h"
#include "engine/spark-engine.h"

#define SERVE_BACKLOG_PAUSE (1u << 20)
#define SERVE_MESSAGES_MAX 64u            /* taken between two steps */

typedef struct Server {
        WireConn *conn;
        SparkModel *model;
        SparkEngine *engine;
        Pool *pool;
        const SandboxFacts *sandbox;
        uint64_t memory_max, filter_digest;
        Sessions sessions;
        bool work;                        /* the engine has something to do */
} Server;

/* Returns when the socket ends or something is broken beyond repair. */
WorkerExit serve(Server *s);

/* Sends what is queued, for at most a second: before an exit. */
void serve_flush(WireConn *conn);
