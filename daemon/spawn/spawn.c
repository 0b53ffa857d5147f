/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way from sparkd to a fresh process. After the clone the child makes system calls and nothing else. Namespaces
 * that can be entered later are left to the worker itself; these two cannot, or not usefully, so they are asked for here
 * and done without, step by step, where the kernel or a container refuses them.
 *
 * In its user namespace the worker is uid 0, because the kernel then lets the process that made the namespace look at
 * /proc/PID of a process that is not dumpable; outside it is sparkd's user, or nobody where that would be root. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "basic/cleanup.h"
#include "daemon/spawn/spawn.h"

#define NOBODY 65534u
#define FD_FLOOR 16                       /* the child's own descriptors stand above what it hands on */

const char *worker_exit_name(int status) {
        switch (status) {
        case WORKER_EXIT_OK:
                return "socket closed";
        case WORKER_EXIT_USAGE:
                return "not started by sparkd";
        case WORKER_EXIT_SANDBOX:
                return "sandbox incomplete";
        case WORKER_EXIT_SECCOMP:
                return "no seccomp filter";
        case WORKER_EXIT_PROTOCOL:
                return "protocol broken";
        case WORKER_EXIT_LOAD:
                return "model refused";
        case WORKER_EXIT_ENGINE:
                return "engine failed";
        }
        return NULL;
}

typedef struct Child {
        int binary, null, socket, go, report;
        bool become_root_inside;          /* the map was written by root: the child still has to change over */
        char *const *argv, *const *envp;
} Child;

static int write_all(int fd, const void *p, size_t n) {
        ssize_t r;
        do
                r = write(fd, p, n);
        while (r < 0 && errno == EINTR);
        return r == (ssize_t) n ? 0 : r < 0 ? -errno : -EIO;
}

/* Raw calls: the C library's setters tell threads that are not there, through memory that is the parent's copy. */
static int change_user(void) {
        if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

static int child_exec(const Child *c) {
        char change;
        ssize_t n;
        do
                n = read(c->go, &change, 1);
        while (n < 0 && errno == EINTR);
        if (n != 1)
                return -ECANCELED;
        if (change) {
                int r = change_user();
                if (r < 0)
                        return r;
        }
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        setsid();

        struct sigaction sa = { .sa_handler = SIG_DFL };
        for (int sig = 1; sig < NSIG; sig++)
                sigaction(sig, &sa, NULL);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);

        if (dup2(c->null, STDIN_FILENO) < 0 || dup2(c->null, STDOUT_FILENO) < 0 || dup2(c->socket, WORKER_SOCKET_FD) < 0)
                return -errno;
        if (syscall(SYS_close_range, WORKER_SOCKET_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
                return -errno;
        syscall(SYS_execveat, c->binary, "", c->argv, c->envp, AT_EMPTY_PATH);
        return -errno;
}

/* Like fork(): returns twice. clone() rather than clone3(), which container runtimes like to refuse. */
static pid_t clone_process(unsigned long flags, int *ret_pidfd) {
        int pidfd = -EBADF;
        pid_t pid = (pid_t) syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL);
        if (pid < 0)
                return -errno;
        if (pid > 0)
                *ret_pidfd = pidfd;
        return pid;
}

static int write_proc(pid_t pid, const char *name, const char *text) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return write_all(fd, text, strlen(text));
}

static int write_map(pid_t pid, const char *name, unsigned outside) {
        char text[32];
        snprintf(text, sizeof text, "0 %u 1\n", outside);
        return write_proc(pid, name, text);
}

/* 1: the child has to change over to the mapped user, 0: it is that user already. */
static int write_maps(pid_t pid, bool others_may_run) {
        if (geteuid() == 0 && others_may_run && write_map(pid, "uid_map", NOBODY) == 0) {
                int r = write_map(pid, "gid_map", NOBODY);
                return r < 0 ? r : 1;
        }
        int r = write_proc(pid, "setgroups", "deny");
        if (r < 0 && r != -ENOENT)
                return r;
        r = write_map(pid, "uid_map", geteuid());
        if (r < 0)
                return r;
        return write_map(pid, "gid_map", getegid());
}

static void reap(pid_t pid) {
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

/* One try with these namespaces. */
static int spawn_with(const Child *template, unsigned long flags, bool others_may_run, WorkerProcess *ret) {
        _cleanup_close_ int go_read = -EBADF, go_write = -EBADF, report_read = -EBADF, report_write = -EBADF, pidfd = -EBADF;
        int p[2];
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        go_read = p[0];
        go_write = p[1];
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        report_read = p[0];
        report_write = p[1];

        _cleanup_close_ int go = fcntl(go_read, F_DUPFD_CLOEXEC, FD_FLOOR);
        _cleanup_close_ int report = fcntl(report_write, F_DUPFD_CLOEXEC, FD_FLOOR);
        if (go < 0 || report < 0)
                return -errno;
        Child c = *template;
        c.go = go;
        c.report = report;

        pid_t pid = clone_process(flags, &pidfd);
        if (pid < 0)
                return (int) pid;
        if (pid == 0) {
                close(go_write);
                int r = child_exec(&c);
                write_all(c.report, &r, sizeof r);
                _exit(WORKER_EXIT_USAGE);
        }
        report_write = safe_close(report_write);
        report = safe_close(report);

        int r = 0;
        if (flags & CLONE_NEWUSER)
                r = write_maps(pid, others_may_run);
        if (r >= 0) {
                /* The one to kill where memory runs out: it costs a reply, and no session. */
                (void) write_proc(pid, "oom_score_adj", "500");
                char change = (char) r;
                r = write_all(go_write, &change, 1);
        }
        if (r >= 0) {
                ssize_t n;
                int failure;
                do
                        n = read(report_read, &failure, sizeof failure);
                while (n < 0 && errno == EINTR);
                r = n == 0 ? 0 : n == sizeof failure ? failure : -EIO;   /* closed by the exec: it runs */
        }
        if (r < 0) {
                reap(pid);
                return r;
        }
        ret->pid = pid;
        ret->pidfd = TAKE_FD(pidfd);
        ret->user_namespace = flags & CLONE_NEWUSER;
        ret->pid_namespace = flags & CLONE_NEWPID;
        return 0;
}

int worker_spawn(const WorkerSpawnParams *p, WorkerProcess *ret) {
        static const unsigned long steps[] = { CLONE_NEWUSER | CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWPID, 0 };
        const char *path = p->binary ?: SPARK_LIBEXECDIR "/spark-worker";

        _cleanup_close_ int binary = -EBADF, null = -EBADF, ours = -EBADF, theirs = -EBADF;
        _cleanup_close_ int opened = open(path, O_PATH | O_CLOEXEC);
        if (opened < 0)
                return -errno;
        struct stat st;
        if (fstat(opened, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EACCES;
        _cleanup_close_ int opened_null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int pair[2];
        if (opened_null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        _cleanup_close_ int low = pair[1];
        binary = fcntl(opened, F_DUPFD_CLOEXEC, FD_FLOOR);
        null = fcntl(opened_null, F_DUPFD_CLOEXEC, FD_FLOOR);
        theirs = fcntl(low, F_DUPFD_CLOEXEC, FD_FLOOR);
        if (binary < 0 || null < 0 || theirs < 0)
                return -errno;

        char memory[40], zone[280], drop[] = "--drop-root";
        const char *argv[WORKER_ARGUMENTS_MAX + 4] = { "spark-worker" };
        size_t n = 1;
        snprintf(memory, sizeof memory, "--memory=%llu", (unsigned long long) p->memory_max);
        argv[n++] = memory;
        for (size_t i = 0; p->arguments && p->arguments[i]; i++) {
                if (i >= WORKER_ARGUMENTS_MAX)
                        return -E2BIG;
                argv[n++] = p->arguments[i];
        }

        const char *envp[2] = {}, *tz = getenv("TZ");
        if (tz && strlen(tz) < sizeof zone - 3) {
                snprintf(zone, sizeof zone, "TZ=%s", tz);
                envp[0] = zone;
        }

        Child c = {
                .binary = binary, .null = null, .socket = theirs,
                .argv = (char *const *) argv, .envp = (char *const *) envp,
        };
        WorkerProcess w = { .pid = -1, .pidfd = -EBADF };
        int r = -EPERM;
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                /* Without a namespace to be nobody in, root stays root until the worker has emptied its world. */
                argv[n] = !(steps[i] & CLONE_NEWUSER) && geteuid() == 0 ? drop : NULL;
                r = spawn_with(&c, steps[i], st.st_mode & S_IXOTH, &w);
                if (r >= 0)
                        break;
                if (r == -ENOENT || r == -ENOEXEC)
                        return r;
        }
        if (r < 0)
                return r;
        w.socket = TAKE_FD(ours);
        *ret = w;
        return 0;
}
