/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns what sparkd says to a worker and what it makes of the answers. The wire has checked each frame against the
 * table; what a message means in the state at hand is checked here, by a table again. */

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "daemon/sparkd/cpu-quota.h"
#include "daemon/sparkd/text.h"
#include "daemon/sparkd/worker-internal.h"

#define REPEAT_WINDOW 64u
#define THREADS_MAX 64u            /* the engine's own bound */

static int keep_string(char **s, const WireField *f) {
        if (!text_valid(f->s.data, f->s.size))
                return -EBADMSG;
        char *copy = strndup(f->s.data, f->s.size);
        if (!copy)
                return -ENOMEM;
        free(*s);
        *s = copy;
        return 0;
}

/* KvType of the engine, by the name that sparkd.conf uses; the default for any other. */
static uint32_t kv_type(const char *name) {
        static const char *const names[] = { "f32", "f16", "q8", "i16" };

        for (uint32_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(name, names[i]) == 0)
                        return i;
        return ELEMENTSOF(names) - 1;
}

/* As many threads as CPUs that sparkd may run on, where nobody said; in either case no more than its cgroup, which is
 * the worker's, may use the time of. */
static uint32_t n_threads(const Config *c) {
        const uint32_t quota = MIN(cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup"), THREADS_MAX);
        cpu_set_t cpus;

        if (c->threads > 0)
                return MIN(c->threads, quota);
        if (sched_getaffinity(0, sizeof cpus, &cpus) < 0)
                return 1;
        return MIN((uint32_t) CPU_COUNT(&cpus), quota);
}

static int on_hello(Worker *w, const WireMessage *m) {
        const Config *c = w->config;
        int r;

        if (m->fields[0].u != WIRE_VERSION)
                return -EBADMSG;
        r = keep_string(&w->build, m->fields + 1);
        if (r < 0)
                return r;
        r = wire_send(w->conn, WIRE_LOAD, w->model_fds, w->n_model_fds, WIRE_VERSION, n_threads(c), c->context, c->kv_bytes,
                      c->kernels, strlen(c->kernels), kv_type(c->kv_type));
        worker_close_model(w);
        if (r < 0)
                return r;
        w->state = WORKER_LOADING;
        w->events.changed(w->userdata);
        return 0;
}

static int on_ready(Worker *w, const WireMessage *m) {
        const WireField *f = m->fields;
        int r;

        if ((r = keep_string(&w->architecture, f)) < 0 || (r = keep_string(&w->title, f + 1)) < 0 ||
            (r = keep_string(&w->kernels, f + 2)) < 0)
                return r;
        w->n_ctx = f[3].u;
        w->threads = f[4].u;
        w->parameters = f[5].t;
        w->weights_bytes = f[6].t;
        w->load_us = f[7].t;
        worker_is_ready(w);
        return 0;
}

static int on_failed(Worker *w, const WireMessage *m) {
        char text[PROBLEM_MAX / 2];

        /* The text goes out on the bus, and a broken file had its say in it. */
        text_printable(m->fields[1].s.data, text, sizeof text);
        worker_fail_load(w, m->fields[0].u <= 4095 ? -(int) m->fields[0].u : -EIO, text);
        return 0;
}

static int on_delta(Worker *w, const WireMessage *m) {
        if (!text_valid(m->fields[1].s.data, m->fields[1].s.size))
                return -EBADMSG;
        w->events.delta(w->userdata, m->fields[0].t, m->fields[1].s.data, m->fields[1].s.size);
        return 0;
}

static int on_finished(Worker *w, const WireMessage *m) {
        const WireField *f = m->fields;
        WorkerFinished finished = {
                .request = f[0].t, .reason = f[1].u, .n_prompt = f[2].u, .n_cached = f[3].u, .n_generated = f[4].u,
                .first_token_us = f[5].t, .generate_us = f[6].t, .seed = f[7].t, .text = f[8].s.data,
        };
        if (f[1].u > WIRE_FINISH_FAILED)
                return -EBADMSG;
        w->events.finished(w->userdata, &finished);
        return 0;
}

static int on_counted(Worker *w, const WireMessage *m) {
        w->events.counted(w->userdata, m->fields[0].t, m->fields[1].u);
        return 0;
}

static int on_pong(Worker *w, const WireMessage *m) {
        if (m->fields[0].t > w->ping)
                return -EBADMSG;
        w->pong = m->fields[0].t;
        return sd_event_now(w->event, CLOCK_MONOTONIC, &w->pong_usec);
}

static int on_facts(Worker *w, const WireMessage *m) {
        if (!text_valid(m->fields[1].s.data, m->fields[1].s.size))
                return -EBADMSG;
        w->events.facts(w->userdata, m->fields[0].t, m->fields[1].s.data, m->fields[1].s.size);
        return 0;
}

static const struct {
        WorkerState state;                 /* the only one in which it may come */
        int (*handle)(Worker *w, const WireMessage *m);
} handlers[WIRE_TYPE_MAX] = {
        [WIRE_HELLO]    = { WORKER_STARTING, on_hello },
        [WIRE_READY]    = { WORKER_LOADING,  on_ready },
        [WIRE_FAILED]   = { WORKER_LOADING,  on_failed },
        [WIRE_DELTA]    = { WORKER_READY,    on_delta },
        [WIRE_FINISHED] = { WORKER_READY,    on_finished },
        [WIRE_COUNTED]  = { WORKER_READY,    on_counted },
        [WIRE_PONG]     = { WORKER_READY,    on_pong },
        [WIRE_FACTS]    = { WORKER_READY,    on_facts },
};

int worker_receive(Worker *w) {
        for (;;) {
                WireMessage m;
                int r = wire_receive(w->conn, &m);
                if (r <= 0)
                        return r;
                if (!handlers[m.type].handle || handlers[m.type].state != w->state)
                        r = -EBADMSG;
                else
                        r = handlers[m.type].handle(w, &m);
                wire_message_done(&m);
                if (r < 0 || !w->conn)
                        return r;
        }
}

/* Whether the peer is still there is told by its process or its socket, and that settles what it was given: it is no
 * fault of this request. */
static int sent(Worker *w, int r) {
        if (r >= 0)
                r = worker_flush(w);
        return r == -ECONNRESET ? 0 : r;
}

int worker_respond(Worker *w, uint64_t session, uint64_t request, uint64_t domain, uint64_t flags,
                   const Generation *g, const char *transcript, size_t size, uint64_t *ret_receipt) {
        if (w->state != WORKER_READY)
                return -ENOTCONN;
        int r = wire_send(w->conn, WIRE_RESPOND, NULL, 0, session, request, domain, flags, g->max_tokens, transcript, size,
                          g->temperature, g->top_p, g->min_p, g->repeat_penalty, g->top_k, REPEAT_WINDOW, g->seed, g->n_ctx);
        if (r >= 0)
                r = wire_send(w->conn, WIRE_PING, NULL, 0, ++w->ping);
        if (r >= 0)
                *ret_receipt = w->ping;
        return sent(w, r);
}

bool worker_has_read(const Worker *w, uint64_t receipt) {
        return w->pong >= receipt;
}

int worker_cancel(Worker *w, uint64_t request) {
        return w->state == WORKER_READY ? sent(w, wire_send(w->conn, WIRE_CANCEL, NULL, 0, request)) : -ENOTCONN;
}

int worker_hold(Worker *w, uint64_t request, bool held) {
        return w->state == WORKER_READY ? sent(w, wire_send(w->conn, WIRE_HOLD, NULL, 0, request, (uint32_t) held)) : -ENOTCONN;
}

int worker_forget(Worker *w, uint64_t session) {
        return w->state == WORKER_READY ? sent(w, wire_send(w->conn, WIRE_FORGET, NULL, 0, session)) : -ENOTCONN;
}

int worker_fork(Worker *w, uint64_t session, uint64_t new_session) {
        return w->state == WORKER_READY ? sent(w, wire_send(w->conn, WIRE_FORK, NULL, 0, session, new_session)) : -ENOTCONN;
}

int worker_count(Worker *w, uint64_t request, const char *text, size_t size) {
        return w->state == WORKER_READY ? sent(w, wire_send(w->conn, WIRE_COUNT, NULL, 0, request, text, size)) : -ENOTCONN;
}

int worker_inspect(Worker *w, uint64_t request) {
        return w->state == WORKER_READY ? sent(w, wire_send(w->conn, WIRE_INSPECT, NULL, 0, request)) : -ENOTCONN;
}
