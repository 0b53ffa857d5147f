/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A real spark-worker for tests: the binary that gets installed, started by worker_spawn(), spoken to over the wire.
 * All of it stands in this header because a failed CHECK jumps inside one file. Waiting ends after HARNESS_PATIENCE_MS with a failed CHECK: a guard against hangs, no measurement. */

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "daemon/spawn/spawn.h"
#include "daemon/wire/wire.h"
#include "tests/test.h"

#define HARNESS_PATIENCE_MS 120000
#define HARNESS_TEXT_MAX 65536

typedef struct Harness {
        WorkerProcess process;
        WireConn *conn;
        bool reaped;
        char model[128], kernels[64];     /* of READY */
        uint32_t n_ctx, n_threads;
} Harness;

typedef struct Reply {
        WireFinish reason;
        uint32_t n_prompt, n_cached, n_generated;
        uint64_t seed;
        size_t n_deltas, size;
        char text[HARNESS_TEXT_MAX];      /* all deltas */
        char why[1024];
} Reply;

typedef struct Ask {
        uint64_t session, request, domain, flags, seed;
        uint32_t max_tokens, n_ctx;
        float temperature;
} Ask;

/* Sends; arguments as for wire_send(). */
#define harness_send(h, type, ...) CHECK_INT(wire_send((h)->conn, type, NULL, 0, __VA_ARGS__), 0)

static inline void harness_wait(Harness *h, short events) {
        struct pollfd p = { .fd = wire_conn_fd(h->conn), .events = events };
        CHECK_INT(poll(&p, 1, HARNESS_PATIENCE_MS), 1);
}

static inline void harness_flush(Harness *h) {
        int r;
        while ((r = wire_flush(h->conn)) == 1)
                harness_wait(h, POLLOUT);
        CHECK_INT(r, 0);
}

/* The next message, whatever it is; 0 at the end of the stream. */
static inline int harness_receive(Harness *h, WireMessage *ret) {
        for (;;) {
                int r = wire_receive(h->conn, ret);
                if (r == 1)
                        return 1;
                if (r == -ECONNRESET)
                        return 0;
                CHECK_INT(r, 0);
                harness_wait(h, POLLIN);
        }
}

static inline void harness_expect(Harness *h, WireType type, WireMessage *ret) {
        CHECK_INT(harness_receive(h, ret), 1);
        if (ret->type != type && (ret->type == WIRE_FAILED || ret->type == WIRE_FINISHED))
                printf("# %s: %s\n", wire_type_name(ret->type), ret->fields[ret->n_fields - 1].s.data);
        CHECK_STR(wire_type_name(ret->type), wire_type_name(type));
}

/* Starts a worker and waits for its HELLO. */
static inline void harness_start(Harness *h) {
        WorkerSpawnParams p = { .binary = WORKER_BINARY, .memory_max = UINT64_C(2) << 30 };
        WireMessage m;
        *h = (Harness) { .reaped = true };
        CHECK_INT(worker_spawn(&p, &h->process), 0);
        h->reaped = false;
        CHECK_INT(wire_conn_new(h->process.socket, WIRE_TO_DAEMON, &h->conn), 0);
        harness_expect(h, WIRE_HELLO, &m);
        CHECK_INT(m.fields[0].u, WIRE_VERSION);
        CHECK_STR(m.fields[1].s.data, SPARK_VERSION);
}

static inline void harness_load(Harness *h, int fd, uint32_t n_threads, uint32_t n_ctx) {
        CHECK(fd >= 0);
        CHECK_INT(wire_send(h->conn, WIRE_LOAD, &fd, 1, WIRE_VERSION, n_threads, n_ctx, UINT64_C(0), "", (size_t) 0, 1u), 0);
        harness_flush(h);
}

static inline void harness_ready(Harness *h) {
        WireMessage m;
        harness_expect(h, WIRE_READY, &m);
        snprintf(h->model, sizeof h->model, "%s", m.fields[0].s.data);
        snprintf(h->kernels, sizeof h->kernels, "%s", m.fields[2].s.data);
        h->n_ctx = m.fields[3].u;
        h->n_threads = m.fields[4].u;
}

/* Exit status, or a negative signal. */
static inline int harness_end(Harness *h) {
        siginfo_t si = {};
        CHECK_INT(waitid(P_PIDFD, (id_t) h->process.pidfd, &si, WEXITED), 0);
        h->reaped = true;
        return si.si_code == CLD_EXITED ? si.si_status : -si.si_status;
}

/* Kills it where it still lives. */
static inline void harness_stop(Harness *h) {
        if (!h->reaped) {
                kill(h->process.pid, SIGKILL);
                harness_end(h);
        }
        h->conn = wire_conn_free(h->conn);
        h->process.pidfd = safe_close(h->process.pidfd);
}

static inline void harness_respond(Harness *h, const Ask *a, const char *transcript) {
        harness_send(h, WIRE_RESPOND, a->session, a->request, a->domain, a->flags, a->max_tokens, transcript, strlen(transcript),
                     (double) a->temperature, 1.0, 0.0, 1.0, 0u, 64u, a->seed, a->n_ctx);
}

/* Up to its FINISHED; anything but its DELTAs in between is an error. */
static inline void harness_reply(Harness *h, uint64_t request, Reply *ret) {
        harness_flush(h);
        memset(ret, 0, sizeof *ret);
        for (;;) {
                WireMessage m;
                CHECK_INT(harness_receive(h, &m), 1);
                const WireField *f = m.fields;
                if (m.type == WIRE_FINISHED) {
                        CHECK_INT(f[0].t, request);
                        ret->reason = (WireFinish) f[1].u;
                        ret->n_prompt = f[2].u;
                        ret->n_cached = f[3].u;
                        ret->n_generated = f[4].u;
                        ret->seed = f[7].t;
                        snprintf(ret->why, sizeof ret->why, "%s", f[8].s.data);
                        return;
                }
                CHECK_STR(wire_type_name(m.type), "DELTA");
                CHECK_INT(f[0].t, request);
                CHECK(f[1].s.size > 0 && f[1].s.size < sizeof ret->text - ret->size);
                memcpy(ret->text + ret->size, f[1].s.data, f[1].s.size);
                ret->size += f[1].s.size;
                ret->n_deltas++;
        }
}

/* Frozen, it finds everything that was sent in between at once. */
static inline void harness_freeze(Harness *h) {
        siginfo_t si;
        CHECK_INT(kill(h->process.pid, SIGSTOP), 0);
        CHECK_INT(waitid(P_PIDFD, (id_t) h->process.pidfd, &si, WSTOPPED), 0);
}

static inline void harness_thaw(Harness *h) {
        CHECK(wire_flush(h->conn) >= 0);
        CHECK_INT(kill(h->process.pid, SIGCONT), 0);
        harness_flush(h);
}
