/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One user's worker process: started when there is work, watched, replaced when it dies or hangs, stopped when it has
 * been idle. Knows requests by number and nothing of sessions, clients or the bus.
 *
 *   IDLE ──start──▶ STARTING ──HELLO──▶ LOADING ──READY──▶ READY ──idle──▶ IDLE
 *     ▲                │ died              │ died            │ died, hung
 *     │                ▼                   ▼                 ▼
 *     └──nothing to do── LOST ──pause over, work waits──▶ STARTING
 *   BROKEN: the model is missing or cannot be loaded; the next start tries again, after a pause */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#include "basic/cleanup.h"
#include "basic/model-store.h"
#include "daemon/sparkd/config.h"
#include "daemon/sparkd/options.h"
#include "daemon/wire/messages.h"

typedef struct Worker Worker;

typedef enum WorkerState {
        WORKER_IDLE,
        WORKER_STARTING,
        WORKER_LOADING,
        WORKER_READY,
        WORKER_LOST,
        WORKER_BROKEN,
} WorkerState;

typedef struct WorkerFinished {
        uint64_t request;
        WireFinish reason;
        uint32_t n_prompt, n_cached, n_generated;
        uint64_t first_token_us, generate_us, seed;
        const char *text;                  /* of the event's duration */
} WorkerFinished;

typedef struct WorkerEvents {
        void (*changed)(void *userdata);                         /* state, or what is known of the model */
        void (*lost)(void *userdata, const char *why);           /* all requests given to it are gone; before changed() */
        void (*delta)(void *userdata, uint64_t request, const char *text, size_t size);
        void (*finished)(void *userdata, const WorkerFinished *f);
        void (*counted)(void *userdata, uint64_t request, uint32_t n_tokens);
        void (*facts)(void *userdata, uint64_t request, const char *json, size_t size);
        bool (*busy)(void *userdata);                            /* is there work for it, running or waiting? */
} WorkerEvents;

typedef struct WorkerInfo {                /* of the model in memory, or the last one; strings live as long as the worker */
        const char *model, *sha256, *architecture, *title, *kernels, *build;
        uint32_t n_ctx, threads;
        uint64_t parameters, weights_bytes, load_us;
} WorkerInfo;

int worker_new(sd_event *event, const Config *config, ModelStoreScope scope, const WorkerEvents *events, void *userdata, Worker **ret);
Worker *worker_free(Worker *w);

WorkerState worker_state(const Worker *w);
void worker_info(const Worker *w, WorkerInfo *ret);
pid_t worker_pid(const Worker *w);                         /* 0: there is none */
const ModelEntry *worker_model(const Worker *w);           /* NULL: was never loaded */
uint64_t worker_model_inode(const Worker *w, uint64_t *ret_device);   /* of the first part as opened; 0: never */
uint32_t worker_n_lost(const Worker *w);
uint64_t worker_generation(const Worker *w);               /* grows with every process */

/* Why it is BROKEN: the reason of Unavailable, e.g. "model-missing", and the text. */
const char *worker_problem(const Worker *w, const char **ret_text);

/* Whether a start now would come to nothing, and why: NULL where not. Looks whether the model is there. */
const char *worker_check(Worker *w, const char **ret_text);

/* Sees to it that the worker is there or on its way. -EHOSTUNREACH: it is BROKEN, see worker_problem(). */
int worker_start(Worker *w);
/* Work was given or taken back: (re)arms the idle timer. */
void worker_touch(Worker *w);
/* Memory is short: the model leaves it where there is nothing to do. */
/* Another model than the one in memory is to answer, or none: the worker goes as soon as nothing runs or waits. */
void worker_outdated(Worker *w);
void worker_unload_idle(Worker *w);

/* Requests; of a READY worker. -ENOTCONN otherwise; -ENOBUFS: its backlog is full. */
int worker_respond(Worker *w, uint64_t session, uint64_t request, uint64_t domain, uint64_t flags,
                   const Generation *g, const char *transcript, size_t size, uint64_t *ret_receipt);
/* Whether the worker has shown to have read the request of that receipt. */
bool worker_has_read(const Worker *w, uint64_t receipt);
int worker_cancel(Worker *w, uint64_t request);
int worker_hold(Worker *w, uint64_t request, bool held);   /* it goes no further until it is let go */
int worker_forget(Worker *w, uint64_t session);
int worker_fork(Worker *w, uint64_t session, uint64_t new_session);
int worker_count(Worker *w, uint64_t request, const char *text, size_t size);
int worker_inspect(Worker *w, uint64_t request);
