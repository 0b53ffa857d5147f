/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* spark-worker: one model, in a process that can reach nothing. Owns the order of things, which is the point of it:
 *
 *   sandbox → HELLO → LOAD → limits → map the files → threads → seccomp → parse the model → READY → serve
 *
 * Files are only mapped, not looked into, until the filter is on. Refuses to go on where a step fails. Writes nothing
 * but one line to standard error when it ends early. */

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "basic/checked.h"
#include "daemon/spawn/spawn.h"
#include "daemon/wire/wire.h"
#include "daemon/worker/filter.h"
#include "daemon/worker/sandbox.h"
#include "daemon/worker/sanitizers.h"
#include "daemon/worker/serve.h"
#include "engine/spark-engine.h"

#define ARENAS_MAX 2                      /* the allocator's: threads compute in memory that they were given */

#if SANITIZERS
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
        /* The leak checker is a second process; a mapped file cut short ends the worker as it does without ASan. */
        return "detect_leaks=0:handle_sigbus=0";
}
#endif

typedef struct Load {
        GgufPart parts[WIRE_FDS_MAX];
        size_t n_parts, size;
        uint32_t threads;
        SparkEngineParams engine;
        char kernels[64];
} Load;

/* write(2) of a finished line: stdio would ask the kernel about the descriptor first. */
static _Noreturn void quit(WorkerExit status, const char *what, int error) {
        char line[256];
        int n = snprintf(line, sizeof line, "spark-worker: %s: %s%s%s\n", worker_exit_name((int) status), what,
                         error < 0 ? ": " : "", error < 0 ? strerror(-error) : "");
        if (n > 0)
                (void) !write(STDERR_FILENO, line, MIN((size_t) n, sizeof line - 1));
        _exit((int) status);
}

static _Noreturn void fail_load(WireConn *conn, int error, const EngineError *e) {
        const char *text = e->text[0] ? e->text : strerror(-error);
        (void) wire_send(conn, WIRE_FAILED, NULL, 0, (uint32_t) -error, text, strlen(text));
        serve_flush(conn);
        _exit(WORKER_EXIT_LOAD);
}

static uint64_t now_us(void) {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

static void wait_message(WireConn *conn, WireMessage *ret) {
        for (;;) {
                int r = wire_flush(conn);
                if (r >= 0)
                        r = wire_receive(conn, ret);
                if (r == 1)
                        return;
                if (r == -ECONNRESET)
                        _exit(WORKER_EXIT_OK);
                if (r < 0)
                        quit(WORKER_EXIT_PROTOCOL, "before LOAD", r);
                struct pollfd p = { .fd = wire_conn_fd(conn), .events = (short) (POLLIN | (wire_backlog(conn) > 0 ? POLLOUT : 0)) };
                (void) poll(&p, 1, -1);
        }
}

/* The fields, and the sizes of the files. */
static int read_load(const WireMessage *m, Load *load, EngineError *e) {
        const WireField *f = m->fields;
        if (m->type != WIRE_LOAD || f[0].u != WIRE_VERSION)
                quit(WORKER_EXIT_PROTOCOL, "LOAD of this version expected", 0);
        if (f[1].u == 0 || f[1].u > POOL_THREADS_MAX)
                return engine_fail(e, -EINVAL, "%u threads, 1 to %u expected", f[1].u, POOL_THREADS_MAX);
        if (f[4].s.size >= sizeof load->kernels || strlen(f[4].s.data) != f[4].s.size)
                return engine_fail(e, -EINVAL, "no such kernels");
        if (f[5].u >= KV_TYPES)
                return engine_fail(e, -EINVAL, "no KV type %u", f[5].u);
        load->threads = f[1].u;
        load->engine = (SparkEngineParams) { .n_ctx = f[2].u, .kv_budget = f[3].t, .kv_type = (KvType) f[5].u };
        memcpy(load->kernels, f[4].s.data, f[4].s.size + 1);

        for (size_t i = 0; i < m->n_fds; i++) {
                struct stat st;
                if (fstat(m->fds[i], &st) < 0)
                        return -errno;
                if (!S_ISREG(st.st_mode) || st.st_size <= 0)
                        return engine_fail(e, -EINVAL, "part %zu of the model is not a file with something in it", i + 1);
                load->parts[i].size = (size_t) st.st_size;
                if (!checked_add(load->size, load->parts[i].size, &load->size))
                        return engine_fail(e, -EFBIG, "the model is too large");
        }
        load->n_parts = m->n_fds;
        return 0;
}

static int map_parts(const WireMessage *m, Load *load, EngineError *e) {
        for (size_t i = 0; i < load->n_parts; i++) {
                void *p = mmap(NULL, load->parts[i].size, PROT_READ, MAP_PRIVATE, m->fds[i], 0);
                if (p == MAP_FAILED)
                        return engine_fail(e, -errno, "part %zu of the model cannot be mapped: %s", i + 1, strerror(errno));
                load->parts[i].data = p;
        }
        return 0;
}

/* A file's bytes in a message that goes out on the bus: printable, short. */
static size_t printable(const char *text, char *buffer, size_t size) {
        size_t n = 0;
        for (; n + 1 < size && text[n]; n++)
                buffer[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
        return n;
}

static int send_ready(WireConn *conn, const SparkModel *m, const SparkEngine *engine, const Pool *pool, uint64_t load_us) {
        SparkModelInfo i;
        char name[128], architecture[128];
        spark_model_info(m, &i);
        size_t n_name = printable(i.name, name, sizeof name), n_architecture = printable(i.architecture, architecture, sizeof architecture);
        return wire_send(conn, WIRE_READY, NULL, 0, architecture, n_architecture, name, n_name, i.kernels, strlen(i.kernels),
                         spark_engine_n_ctx(engine), (uint32_t) pool_n_threads(pool), i.n_parameters, i.weights_bytes, load_us);
}

static void parse_arguments(int argc, char *argv[], SandboxParams *ret) {
        struct stat st;
        if (argc < 2 || sscanf(argv[1], "--memory=%lu", &ret->memory_max) != 1 || argc > 3 || (argc == 3 && strcmp(argv[2], "--drop-root") != 0) ||
            fstat(WORKER_SOCKET_FD, &st) < 0 || !S_ISSOCK(st.st_mode))
                quit(WORKER_EXIT_USAGE, "it is given its work over an inherited socket", 0);
        ret->drop_root = argc == 3;
}

int main(int argc, char *argv[]) {
        SandboxParams params = {};
        SandboxFacts sandbox;
        const char *layer;
        parse_arguments(argc, argv, &params);

        /* While there are files: the zone of templates that tell the date, and the hash seed of the JSON reader. */
        tzset();
        json_object_seed(0);
        mallopt(M_ARENA_MAX, ARENAS_MAX);

        int r = sandbox_enter(&params, &sandbox, &layer);
        if (r < 0)
                quit(WORKER_EXIT_SANDBOX, layer, r);

        Server s = { .sandbox = &sandbox, .memory_max = params.memory_max };
        r = wire_conn_new(WORKER_SOCKET_FD, WIRE_TO_WORKER, &s.conn);
        if (r >= 0)
                r = wire_send(s.conn, WIRE_HELLO, NULL, 0, WIRE_VERSION, SPARK_VERSION, strlen(SPARK_VERSION));
        if (r < 0)
                quit(WORKER_EXIT_ENGINE, "socket", r);

        WireMessage m;
        Load load = {};
        EngineError e = {};
        wait_message(s.conn, &m);
        uint64_t began = now_us();
        r = read_load(&m, &load, &e);
        if (r >= 0)
                r = map_parts(&m, &load, &e);
        wire_message_done(&m);
        if (r >= 0)
                r = pool_new(load.threads, &s.pool);
        if (r < 0)
                fail_load(s.conn, r, &e);

        r = sandbox_close_limits(params.memory_max, load.size);
        if (r < 0)
                quit(WORKER_EXIT_SANDBOX, "limits", r);
        r = filter_install(&filter_worker, &s.filter_digest);
        if (r < 0)
                quit(WORKER_EXIT_SECCOMP, "worker", r);

        r = spark_model_new(load.parts, load.n_parts, load.kernels[0] ? load.kernels : NULL, s.pool, &s.model, &e);
        if (r >= 0)
                r = spark_engine_new(s.model, s.pool, &load.engine, &s.engine, &e);
        if (r >= 0)
                r = send_ready(s.conn, s.model, s.engine, s.pool, now_us() - began);
        if (r < 0)
                fail_load(s.conn, r, &e);
        spark_model_release_file(s.model);

        /* Nothing is freed: the process ends with its work, and with it all that it had. */
        WorkerExit status = serve(&s);
        if (status != WORKER_EXIT_OK)
                quit(status, "while serving", 0);
        _exit(WORKER_EXIT_OK);
}
