/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a worker process comes to be: what happens between sparkd and exec, and the few numbers that both sides share.
 * A folder of its own because sparkd and the workers' tests use it, and because the code that makes processes belongs
 * neither to the protocol (daemon/wire) nor to what runs inside (daemon/worker). Includes nothing of ours but basic/.
 *
 * Here a process gets a user and a PID namespace, nobody's user id where the caller is root, /dev/null, one socket, no
 * other descriptor, no environment but TZ. Everything else the worker does to itself first of all: see
 * daemon/worker/sandbox.h. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKER_SOCKET_FD 3
#define WORKER_ARGUMENTS_MAX 8u

/* How a worker ends where nothing killed it. sysexits(3) and meson's 77 are kept clear of. */
typedef enum WorkerExit {
        WORKER_EXIT_OK = 0,               /* the socket ended */
        WORKER_EXIT_USAGE = 100,          /* not started by worker_spawn() */
        WORKER_EXIT_SANDBOX = 101,        /* a layer that the kernel has could not be put on */
        WORKER_EXIT_SECCOMP = 102,        /* no filter: nothing is parsed without one */
        WORKER_EXIT_PROTOCOL = 103,       /* sparkd broke the table */
        WORKER_EXIT_LOAD = 104,           /* FAILED was sent: the model cannot be used */
        WORKER_EXIT_ENGINE = 105,         /* the engine's own fault, or no memory for the worker's own state */
} WorkerExit;

const char *worker_exit_name(int status);  /* "no seccomp filter"; NULL: not one of the above */

typedef struct WorkerSpawnParams {
        const char *binary;               /* NULL: spark-worker in SPARK_LIBEXECDIR */
        uint64_t memory_max;              /* bytes of writable memory (RLIMIT_DATA); 0: no limit but the machine's */
        const char *const *arguments;     /* NULL, or further ones for the binary, NULL-terminated (tests) */
} WorkerSpawnParams;

typedef struct WorkerProcess {
        pid_t pid;
        int pidfd;                        /* both close-on-exec and the caller's */
        int socket;
        bool user_namespace, pid_namespace;  /* what the kernel granted */
} WorkerProcess;

/* Returns once the binary runs (milliseconds). The child dies with the calling thread. Its standard error is the
 * caller's. -ENOENT, -EACCES, …: the binary cannot be run; -ENOSYS: the kernel is older than 5.11. */
int worker_spawn(const WorkerSpawnParams *p, WorkerProcess *ret);
