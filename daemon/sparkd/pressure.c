/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the watch on one file of pressure. Refuses to be a reason for anything to fail: where it cannot watch, it says
 * so once, and models leave memory when they are idle for long, as without it. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "daemon/sparkd/limits.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/pressure.h"

struct Pressure {
        PressureEvents events;
        void *userdata;
        int fd;
        sd_event_source *source;           /* the file's, or the timer of reading it */
        bool reads;
        bool known;                        /* `stalled` is of the last reading, one interval ago */
        uint64_t stalled;
};

int pressure_parse(const char *text, uint64_t *ret_usec) {
        const char *total = strncmp(text, "some ", strlen("some ")) == 0 ? strstr(text, "total=") : NULL;
        if (!total || sscanf(total, "total=%" SCNu64, ret_usec) != 1)
                return -EBADMSG;
        return 0;
}

/* Reading mode: how long somebody stalled since the last time. */
static int on_time(sd_event_source *s, uint64_t usec, void *userdata) {
        Pressure *p = userdata;
        char text[512];
        uint64_t stalled;

        ssize_t n = pread(p->fd, text, sizeof text - 1, 0);
        if (n < 0)
                n = 0;
        text[n] = '\0';
        if (pressure_parse(text, &stalled) < 0) {
                p->known = false;
        } else {
                if (p->known && stalled >= p->stalled + PRESSURE_STALL_USEC)
                        p->events.short_of_memory(p->userdata);
                p->known = true;
                p->stalled = stalled;
        }
        if (!p->events.wanted(p->userdata)) {
                p->known = false;
                return 0;
        }
        (void) sd_event_source_set_time_relative(s, PRESSURE_WINDOW_USEC);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Pressure *p = userdata;
        char discard[512];

        if (revents & (EPOLLERR | EPOLLHUP)) {
                log_warning("Memory pressure is no longer told, ignoring");
                return sd_event_source_set_enabled(s, SD_EVENT_OFF);
        }
        if (revents & EPOLLIN)
                while (read(fd, discard, sizeof discard) > 0)
                        ;
        p->events.short_of_memory(p->userdata);
        return 0;
}

static bool is_psi(int fd) {
        struct statfs fs;
        return fstatfs(fd, &fs) >= 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

/* Opens it to be woken; 0 with *ret_events, or negative. */
static int open_waking(const char *path, int *ret_fd, uint32_t *ret_events) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        char trigger[64];
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISFIFO(st.st_mode) && !S_ISREG(st.st_mode))
                return -ENODEV;
        if (S_ISFIFO(st.st_mode)) {
                *ret_events = EPOLLIN;
        } else if (is_psi(fd)) {
                snprintf(trigger, sizeof trigger, "some %llu %llu", PRESSURE_STALL_USEC, PRESSURE_WINDOW_USEC);
                if (write(fd, trigger, strlen(trigger) + 1) < 0)
                        return -errno;
                *ret_events = EPOLLPRI;
        } else
                return -ENOTSUP;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int pressure_open(Pressure *p, sd_event *event, const char *path) {
        uint32_t wake_on = 0;
        int r;

        r = open_waking(path, &p->fd, &wake_on);
        if (r >= 0)
                return sd_event_add_io(event, &p->source, p->fd, wake_on, on_io, p);

        if (r == -ENODEV)
                return r;

        p->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (p->fd < 0)
                return -errno;
        p->reads = true;
        r = sd_event_add_time_relative(event, &p->source, CLOCK_MONOTONIC, PRESSURE_WINDOW_USEC, 0, on_time, p);
        return r < 0 ? r : sd_event_source_set_enabled(p->source, SD_EVENT_OFF);
}

int pressure_new(sd_event *event, const char *path, const PressureEvents *events, void *userdata, Pressure **ret) {
        /* The second is there where a unit hides all of /proc but processes. */
        static const char *const system[] = { "/proc/pressure/memory", "/sys/fs/cgroup/memory.pressure" };
        const char *const *paths = path[0] ? &path : system;
        const size_t n = path[0] ? 1 : ELEMENTSOF(system);
        int r = -ENOENT;

        _cleanup_(pressure_freep) Pressure *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->events = *events;
        p->userdata = userdata;
        p->fd = -1;
        for (size_t i = 0; i < n && r < 0; i++) {
                r = pressure_open(p, event, paths[i]);
                if (r < 0) {
                        log_info("%s: memory pressure cannot be watched: %s", paths[i], strerror(-r));
                        p->fd = safe_close(p->fd);
                }
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

Pressure *pressure_free(Pressure *p) {
        if (!p)
                return NULL;
        sd_event_source_disable_unref(p->source);
        safe_close(p->fd);
        free(p);
        return NULL;
}

void pressure_wake(Pressure *p) {
        int enabled = SD_EVENT_OFF;

        if (!p || !p->reads || sd_event_source_get_enabled(p->source, &enabled) < 0 || enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(p->source, PRESSURE_WINDOW_USEC);
        (void) sd_event_source_set_enabled(p->source, SD_EVENT_ONESHOT);
}
