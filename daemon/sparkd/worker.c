/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns one worker process and the socket to it: start, watchdog, replacement with growing pauses, idle stop. Refuses
 * to believe anything that the worker says beyond the table of messages; a worker that breaks it is killed and
 * replaced like one that died. Requests and answers are in worker-messages.c. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "daemon/sparkd/log.h"
#include "daemon/sparkd/worker-internal.h"
#include "daemon/spawn/spawn.h"

#define LOAD_LOST_MAX 3u           /* workers that die while they load, in a row, before the model counts as broken */
#define MEMORY_CACHE_DEFAULT (UINT64_C(1) << 30)
#define MEMORY_ROOM (UINT64_C(512) << 20)

/* A process that may outlive its Worker by the time that it takes to die. Belongs to its event source, and that to the
 * loop. */
struct Child {
        Worker *worker;            /* NULL: nobody cares any more */
        int pidfd;
        pid_t pid;
        sd_event_source *source;   /* not a reference */
};

static void child_destroy(void *userdata) {
        Child *c = userdata;
        safe_close(c->pidfd);
        free(c);
}

static int on_child(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Child *c = userdata;
        siginfo_t si = {};

        if (waitid(P_PIDFD, (id_t) fd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
                return 0;
        if (si.si_code == CLD_EXITED)
                log_notice("Worker %d exited with status %d (%s)", (int) c->pid, si.si_status, worker_exit_name(si.si_status) ?: "unknown");
        else
                log_notice("Worker %d was killed by signal %d (%s)", (int) c->pid, si.si_status, strsignal(si.si_status));

        Worker *w = c->worker;
        if (w) {
                w->child = NULL;
                worker_lose(w, "The worker died");
        }
        (void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
        return sd_event_source_set_floating(s, false);     /* and that was its last reference */
}

/* Takes the pidfd over. */
static int child_new(Worker *w, pid_t pid, int pidfd, Child **ret) {
        Child *c = malloc(sizeof *c);
        if (!c)
                return -ENOMEM;
        *c = (Child) { .worker = w, .pidfd = pidfd, .pid = pid };

        int r = sd_event_add_io(w->event, &c->source, pidfd, EPOLLIN, on_child, c);
        if (r >= 0)
                r = sd_event_source_set_floating(c->source, true);
        if (r < 0) {
                sd_event_source_unref(c->source);
                free(c);
                return r;
        }
        (void) sd_event_source_set_destroy_callback(c->source, child_destroy);
        sd_event_source_unref(c->source);
        *ret = c;
        return 0;
}

static uint64_t worker_now(const Worker *w) {
        uint64_t now = 0;
        (void) sd_event_now(w->event, CLOCK_MONOTONIC, &now);
        return now;
}

static void worker_set_state(Worker *w, WorkerState state) {
        if (w->state == state)
                return;
        w->state = state;
        w->events.changed(w->userdata);
}

static void _printf_(4, 5) worker_set_problem(Worker *w, const char *reason, uint64_t retry_usec, const char *format, ...) {
        va_list ap;
        w->problem_reason = reason;
        w->retry_usec = retry_usec;
        va_start(ap, format);
        (void) vsnprintf(w->problem_text, sizeof w->problem_text, format, ap);
        va_end(ap);
}

/* The process and its connection go, whatever state they are in. */
static void worker_drop_process(Worker *w) {
        sd_event_source_disable_unref(w->io);
        w->io = NULL;
        sd_event_source_disable_unref(w->tick);
        w->tick = NULL;
        w->conn = wire_conn_free(w->conn);
        if (w->child) {
                (void) syscall(SYS_pidfd_send_signal, w->child->pidfd, SIGKILL, NULL, 0);
                w->child->worker = NULL;
                w->child = NULL;
        }
}

static int arm(Worker *w, sd_event_source **source, uint64_t delay, sd_event_time_handler_t handler) {
        int r;
        if (*source) {
                r = sd_event_source_set_time_relative(*source, delay);
                if (r >= 0)
                        r = sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
                return r;
        }
        return sd_event_add_time_relative(w->event, source, CLOCK_MONOTONIC, delay, 0, handler, w);
}

static int on_restart(sd_event_source *s, uint64_t usec, void *userdata) {
        Worker *w = userdata;
        if (w->state != WORKER_LOST)
                return 0;
        if (!w->events.busy(w->userdata)) {
                worker_set_state(w, WORKER_IDLE);
                return 0;
        }
        w->state = WORKER_IDLE;
        (void) worker_start(w);
        return 0;
}

void worker_lose(Worker *w, const char *why) {
        bool loading = w->state == WORKER_STARTING || w->state == WORKER_LOADING;

        if (w->state == WORKER_IDLE || w->state == WORKER_LOST || w->state == WORKER_BROKEN)
                return;
        log_warning("%s; %s", why, loading ? "the model was being loaded" : "replies under way fail");
        worker_drop_process(w);
        w->n_lost++;
        uint64_t delay = backoff_lost(&w->backoff, worker_now(w));

        if (loading && ++w->n_load_lost >= LOAD_LOST_MAX) {
                w->n_load_lost = 0;
                worker_set_problem(w, "loading", worker_now(w) + delay,
                                   "%s while it loaded '%s', %u times in a row", why, w->config->model, LOAD_LOST_MAX);
                w->state = WORKER_BROKEN;
        } else {
                w->state = WORKER_LOST;
                if (arm(w, &w->restart, delay, on_restart) < 0)
                        w->state = WORKER_IDLE;
        }
        w->events.lost(w->userdata, why);
        w->events.changed(w->userdata);
}

void worker_fail_load(Worker *w, int error, const char *text) {
        worker_drop_process(w);
        worker_set_problem(w, error == -ENOMEM ? "out-of-memory" : "model-broken",
                           worker_now(w) + backoff_lost(&w->backoff, worker_now(w)),
                           "model '%s' cannot be loaded: %s", w->config->model, text);
        log_error("%s", w->problem_text);
        w->state = WORKER_BROKEN;
        w->events.lost(w->userdata, w->problem_text);
        w->events.changed(w->userdata);
}

void worker_is_ready(Worker *w) {
        backoff_ready(&w->backoff, worker_now(w));
        w->n_load_lost = 0;
        w->pong_usec = worker_now(w);
        worker_set_state(w, WORKER_READY);
        worker_touch(w);
}

static void worker_unload(Worker *w, const char *why) {
        if (w->state != WORKER_READY || w->events.busy(w->userdata))
                return;
        log_info("%s, the model leaves memory", why);
        worker_drop_process(w);
        worker_set_state(w, WORKER_IDLE);
}

static int on_idle(sd_event_source *s, uint64_t usec, void *userdata) {
        worker_unload(userdata, "Nothing to do");
        return 0;
}

void worker_outdated(Worker *w) {
        w->outdated = true;
        worker_unload(w, "Another model is to answer");
}

void worker_unload_idle(Worker *w) {
        worker_unload(w, "Nothing to do and memory is short");
}

void worker_touch(Worker *w) {
        if (w->outdated)
                worker_unload(w, "Another model is to answer");
        if (w->config->idle_usec == 0 || w->state != WORKER_READY)
                return;
        if (w->events.busy(w->userdata))
                (void) sd_event_source_set_enabled(w->idle, SD_EVENT_OFF);
        else
                (void) arm(w, &w->idle, w->config->idle_usec, on_idle);
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata) {
        Worker *w = userdata;
        uint64_t now = worker_now(w);

        if (w->state == WORKER_READY) {
                if (now - w->pong_usec > w->config->watchdog_usec) {
                        worker_lose(w, "The worker does not answer");
                        return 0;
                }
                if (wire_send(w->conn, WIRE_PING, NULL, 0, ++w->ping) < 0 || worker_flush(w) < 0) {
                        worker_lose(w, "The worker does not read");
                        return 0;
                }
        } else if (now - w->started_usec > w->config->load_usec) {
                worker_lose(w, "The worker took too long to load the model");
                return 0;
        }
        (void) arm(w, &w->tick, w->config->ping_usec, on_tick);
        return 0;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Worker *w = userdata;
        int r = worker_receive(w);
        if (r >= 0 && w->conn)
                r = worker_flush(w);
        if (r < 0)
                worker_lose(w, r == -EBADMSG ? "The worker broke the protocol" : "The worker closed its connection");
        return 0;
}

int worker_flush(Worker *w) {
        int r = wire_flush(w->conn);
        if (r < 0)
                return r;
        return sd_event_source_set_io_events(w->io, r > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Opens the model; the descriptors wait for HELLO. */
static int worker_open_model(Worker *w) {
        ModelEntry *e = NULL;
        struct stat st;
        int r;

        r = model_store_find(w->scope, w->config->model, &e);
        if (r == -ENOENT) {
                worker_set_problem(w, "model-missing", 0, "model '%s' is not installed; this installs it: sparkctl model install %s",
                                   w->config->model, w->config->model);
                return -EHOSTUNREACH;
        }
        if (r >= 0)
                r = model_entry_open(e, w->model_fds, &w->n_model_fds);
        if (r >= 0 && fstat(w->model_fds[0], &st) < 0)
                r = -errno;
        if (r < 0) {
                worker_close_model(w);
                model_entry_free(e);
                worker_set_problem(w, r == -ENOENT ? "model-missing" : "model-broken", 0, "model '%s' cannot be opened: %s; this installs it again: sparkctl model install %s",
                                   w->config->model, strerror(-r), w->config->model);
                return -EHOSTUNREACH;
        }
        w->model_device = st.st_dev;
        w->model_inode = st.st_ino;
        model_entry_free(w->model);
        w->model = e;
        return 0;
}

const char *worker_check(Worker *w, const char **ret_text) {
        if (w->state != WORKER_IDLE && w->state != WORKER_BROKEN)
                return NULL;
        *ret_text = w->problem_text;
        if (w->state == WORKER_BROKEN && worker_now(w) < w->retry_usec)
                return w->problem_reason;
        int r = worker_open_model(w);
        worker_close_model(w);
        return r < 0 ? w->problem_reason : NULL;
}

void worker_close_model(Worker *w) {
        for (size_t i = 0; i < w->n_model_fds; i++)
                safe_close(w->model_fds[i]);
        w->n_model_fds = 0;
}

/* What the worker may write to: its own copy of repacked weights, its caches, and room to work. */
static uint64_t worker_memory_max(const Worker *w) {
        return w->config->memory_bytes ?: 2 * w->model->size + MAX(w->config->kv_bytes, MEMORY_CACHE_DEFAULT) + MEMORY_ROOM;
}

static int worker_run(Worker *w) {
        WorkerSpawnParams params = { .binary = w->config->worker_path, .memory_max = worker_memory_max(w) };
        WorkerProcess p;
        int r;

        r = worker_spawn(&params, &p);
        if (r < 0)
                return r;
        r = wire_conn_new(p.socket, WIRE_TO_DAEMON, &w->conn);
        if (r < 0)
                safe_close(p.socket);
        else
                r = child_new(w, p.pid, p.pidfd, &w->child);
        if (r < 0) {
                (void) syscall(SYS_pidfd_send_signal, p.pidfd, SIGKILL, NULL, 0);
                safe_close(p.pidfd);
                return r;
        }
        r = sd_event_add_io(w->event, &w->io, wire_conn_fd(w->conn), EPOLLIN, on_io, w);
        if (r < 0)
                return r;
        return arm(w, &w->tick, w->config->ping_usec, on_tick);
}

int worker_start(Worker *w) {
        int r;

        if (w->state == WORKER_BROKEN && worker_now(w) < w->retry_usec)
                return -EHOSTUNREACH;
        if (w->state != WORKER_IDLE && w->state != WORKER_BROKEN)
                return 0;

        worker_close_model(w);
        r = worker_open_model(w);
        if (r < 0) {
                worker_set_state(w, WORKER_BROKEN);
                return r;
        }
        w->generation++;
        w->outdated = false;
        w->started_usec = worker_now(w);
        r = worker_run(w);
        if (r < 0) {
                worker_drop_process(w);
                worker_close_model(w);
                worker_set_problem(w, r == -ENOMEM ? "out-of-memory" : "loading", worker_now(w) + backoff_lost(&w->backoff, worker_now(w)),
                                   "the worker '%s' cannot be started: %s", w->config->worker_path ?: "spark-worker", strerror(-r));
                log_error("%s", w->problem_text);
                worker_set_state(w, WORKER_BROKEN);
                return -EHOSTUNREACH;
        }
        worker_set_state(w, WORKER_STARTING);
        return 0;
}

int worker_new(sd_event *event, const Config *config, ModelStoreScope scope, const WorkerEvents *events, void *userdata, Worker **ret) {
        Worker *w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        w->event = sd_event_ref(event);
        w->config = config;
        w->scope = scope;
        w->events = *events;
        w->userdata = userdata;
        *ret = w;
        return 0;
}

Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;
        worker_drop_process(w);
        worker_close_model(w);
        sd_event_source_disable_unref(w->restart);
        sd_event_source_disable_unref(w->idle);
        model_entry_free(w->model);
        free(w->architecture);
        free(w->title);
        free(w->kernels);
        free(w->build);
        sd_event_unref(w->event);
        free(w);
        return NULL;
}

WorkerState worker_state(const Worker *w) {
        return w->state;
}

pid_t worker_pid(const Worker *w) {
        return w->child ? w->child->pid : 0;
}

const ModelEntry *worker_model(const Worker *w) {
        return w->model;
}

uint64_t worker_model_inode(const Worker *w, uint64_t *ret_device) {
        *ret_device = w->model_device;
        return w->model_inode;
}

uint32_t worker_n_lost(const Worker *w) {
        return w->n_lost;
}

uint64_t worker_generation(const Worker *w) {
        return w->generation;
}

const char *worker_problem(const Worker *w, const char **ret_text) {
        *ret_text = w->problem_text;
        return w->problem_reason;
}

void worker_info(const Worker *w, WorkerInfo *ret) {
        *ret = (WorkerInfo) {
                .model = w->model && w->state == WORKER_READY ? w->model->name : w->config->model,
                .sha256 = w->model ? w->model->sha256 : "",
                .architecture = w->architecture ?: "",
                .title = w->title ?: "",
                .kernels = w->kernels ?: "",
                .build = w->build ?: "",
                .n_ctx = w->n_ctx,
                .threads = w->threads,
                .parameters = w->parameters,
                .weights_bytes = w->weights_bytes,
                .load_us = w->load_us,
        };
}
