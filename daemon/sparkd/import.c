/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the process that copies, the folder it copies into, and the file without a name that it writes. What the process
 * says is one line of fixed form; anything else is a failure. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "daemon/sparkd/import.h"
#include "daemon/sparkd/log.h"

#define LINE_MAX_BYTES 128u

struct Import {
        ImportDone done;
        void *userdata;
        int folder, target, output, pidfd;
        sd_event_source *exit, *timeout;
};

/* Beside sparkd's own program, installed or not. */
static int helper_path(char *path, size_t size) {
        static const char name[] = "/spark-import";
        ssize_t n = readlink("/proc/self/exe", path, size - sizeof name);
        if (n <= 0)
                return n < 0 ? -errno : -ENOENT;
        path[n] = '\0';
        char *slash = strrchr(path, '/');
        if (!slash)
                return -ENOENT;
        strcpy(slash, name);
        return 0;
}

/* With the source as 3, the target as 4, its word as standard output, and nothing else. */
static int spawn(int source, int target, int output, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        char path[4096];
        char *const argv[] = { path, NULL }, *const environment[] = { NULL };
        sigset_t none;
        int r = helper_path(path, sizeof path);
        if (r < 0)
                return r;
        /* First out of the way of 3 and 4, whatever they are. */
        _cleanup_close_ int from = fcntl(source, F_DUPFD_CLOEXEC, 16), to = fcntl(target, F_DUPFD_CLOEXEC, 16);
        _cleanup_close_ int said = fcntl(output, F_DUPFD_CLOEXEC, 16);
        if (from < 0 || to < 0 || said < 0)
                return -errno;
        sigemptyset(&none);
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        r = -posix_spawn_file_actions_adddup2(&actions, said, STDOUT_FILENO);
        if (r == 0)
                r = -posix_spawn_file_actions_adddup2(&actions, from, 3);
        if (r == 0)
                r = -posix_spawn_file_actions_adddup2(&actions, to, 4);
        if (r == 0)
                r = -posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        if (r == 0)
                r = -posix_spawnattr_setsigmask(&attributes, &none);
        if (r == 0)
                r = -posix_spawn(ret, path, &actions, &attributes, argv, environment);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

/* "SHA256 SIZE\n", of a process that ended well. */
static int read_result(const Import *i, ImportResult *ret) {
        char line[LINE_MAX_BYTES];
        unsigned long long size;
        int end = 0;
        ssize_t n = read(i->output, line, sizeof line - 1);
        if (n <= 0)
                return -EIO;
        line[n] = '\0';
        if (sscanf(line, "%64[0-9a-f] %20llu%n", ret->sha256, &size, &end) != 2 || strlen(ret->sha256) != IMPORT_DIGEST_HEX || line[end] != '\n')
                return -EBADMSG;
        ret->size = size;
        return 0;
}

static int on_exit_of_helper(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Import *i = userdata;
        ImportResult result = {};
        siginfo_t si = {};

        if (waitid(P_PIDFD, (id_t) fd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
                return 0;
        i->exit = sd_event_source_disable_unref(i->exit);
        i->pidfd = safe_close(i->pidfd);
        if (si.si_code != CLD_EXITED)
                result.error = -ETIMEDOUT;
        else if (si.si_status != 0)
                result.error = -si.si_status;      /* its errno: see spark-import.c */
        else
                result.error = read_result(i, &result);
        i->done(i->userdata, &result);
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        const Import *i = userdata;
        if (i->pidfd >= 0)
                (void) syscall(SYS_pidfd_send_signal, i->pidfd, SIGKILL, NULL, 0);
        return 0;
}

Import *import_free(Import *i) {
        if (!i)
                return NULL;
        sd_event_source_disable_unref(i->exit);
        sd_event_source_disable_unref(i->timeout);
        if (i->pidfd >= 0) {
                (void) syscall(SYS_pidfd_send_signal, i->pidfd, SIGKILL, NULL, 0);
                (void) waitid(P_PIDFD, (id_t) i->pidfd, &(siginfo_t) {}, WEXITED);
        }
        safe_close(i->pidfd);
        safe_close(i->output);
        safe_close(i->target);
        safe_close(i->folder);
        free(i);
        return NULL;
}

int import_new(sd_event *event, int source, const char *folder, ImportDone done, void *userdata, Import **ret) {
        _cleanup_(import_freep) Import *i = malloc(sizeof *i);
        int ends[2], r;
        pid_t pid;

        if (!i)
                return -ENOMEM;
        *i = (Import) { .done = done, .userdata = userdata, .folder = -EBADF, .target = -EBADF, .output = -EBADF, .pidfd = -EBADF };
        i->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (i->folder < 0)
                return -errno;
        i->target = openat(i->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
        if (i->target < 0 || fchmod(i->target, 0644) < 0)
                return -errno;
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        i->output = ends[0];
        r = spawn(source, i->target, ends[1], &pid);
        safe_close(ends[1]);
        if (r < 0)
                return r;
        i->pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        if (i->pidfd < 0) {
                r = -errno;
                kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r;
        }
        r = sd_event_add_io(event, &i->exit, i->pidfd, EPOLLIN, on_exit_of_helper, i);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &i->timeout, CLOCK_MONOTONIC, IMPORT_USEC, 0, on_timeout, i);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(i);
        return 0;
}

/* A file without a name cannot replace one: it gets a hidden name first. */
int import_link(Import *i, const char *name) {
        char from[64], hidden[300];

        snprintf(from, sizeof from, "/proc/self/fd/%d", i->target);
        if ((size_t) snprintf(hidden, sizeof hidden, ".%s.new", name) >= sizeof hidden)
                return -ENAMETOOLONG;
        (void) unlinkat(i->folder, hidden, 0);
        if (linkat(AT_FDCWD, from, i->folder, hidden, AT_SYMLINK_FOLLOW) < 0)
                return -errno;
        if (renameat(i->folder, hidden, i->folder, name) < 0) {
                int r = -errno;
                (void) unlinkat(i->folder, hidden, 0);
                return r;
        }
        return 0;
}
