/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What worker.c (the process) and worker-messages.c (what is said to it) share; nobody else includes this. */

#include "daemon/sparkd/backoff.h"
#include "daemon/sparkd/worker.h"
#include "daemon/wire/wire.h"

#define PROBLEM_MAX 1024

typedef struct Child Child;

struct Worker {
        sd_event *event;
        const Config *config;
        ModelStoreScope scope;
        WorkerEvents events;
        void *userdata;

        WorkerState state;
        uint64_t generation;
        bool outdated;
        Child *child;
        WireConn *conn;
        sd_event_source *io, *tick, *restart, *idle;
        Backoff backoff;
        uint32_t n_lost, n_load_lost;
        uint64_t started_usec, pong_usec, ping, pong;

        const char *problem_reason;        /* a literal; NULL: none yet */
        char problem_text[PROBLEM_MAX];
        uint64_t retry_usec;

        int model_fds[MODEL_PARTS_MAX];    /* until LOAD has been sent */
        size_t n_model_fds;
        ModelEntry *model;
        uint64_t model_device, model_inode;

        char *architecture, *title, *kernels, *build;
        uint32_t n_ctx, threads;
        uint64_t parameters, weights_bytes, load_us;
};

void worker_lose(Worker *w, const char *why);
void worker_fail_load(Worker *w, int error, const char *text);   /* error: negative errno */
void worker_is_ready(Worker *w);
void worker_close_model(Worker *w);
int worker_flush(Worker *w);

/* Reads and handles what is there. Negative: the peer is lost, or broke the table; w->conn may be gone after. */
int worker_receive(Worker *w);
