/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the question who a caller is. Once per client sparkd waits for the bus driver, here and where its name begins to be
 * tracked; for nobody else ever. Refuses to guess: a process that is gone or closed to us is "unknown".
 *
 * dbus-daemon before 1.15.8 tells a pid and no pidfd. The pidfd opened here proves that everything was read of one
 * process, which was alive at the end; that it is the one that connected rests on its pid not having been used again
 * between its connecting and now. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "basic/cleanup.h"
#include "daemon/sparkd/identity.h"

static bool starts_with(const char *s, const char *prefix) {
        return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *s, const char *suffix) {
        size_t n = strlen(s), m = strlen(suffix);
        return n > m && strcmp(s + n - m, suffix) == 0;
}

int identity_unit_from_cgroup(const char *text, char ret[static IDENTITY_APP_MAX]) {
        char unit[IDENTITY_APP_MAX] = "";
        const char *line = strstr(text, "0::/");

        if (!line || (line != text && line[-1] != '\n'))
                return -ENXIO;

        /* The innermost unit: services may have groups of their own below it. */
        const char *p = line + strlen("0::"), *end = p + strcspn(p, "\n");
        while (p < end) {
                p++;
                size_t size = strcspn(p, "/\n");
                char name[IDENTITY_APP_MAX];
                if (size < sizeof name) {
                        memcpy(name, p, size);
                        name[size] = '\0';
                        if (ends_with(name, ".service") || ends_with(name, ".scope"))
                                memcpy(unit, name, size + 1);
                }
                p += size;
        }

        if (unit[0] == '\0' || starts_with(unit, "user@"))
                return -ENXIO;
        if (ends_with(unit, ".scope") && !starts_with(unit, "app-") && !starts_with(unit, "snap."))
                return -ENXIO;
        memcpy(ret, unit, sizeof unit);
        return 0;
}

static int read_file(const char *path, char *buffer, size_t size) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        ssize_t n = read(fd, buffer, size - 1);
        if (n < 0)
                return -errno;
        buffer[n] = '\0';
        return 0;
}

static void identity_of_pid(Identity *i) {
        char path[64], text[4096];

        snprintf(path, sizeof path, "/proc/%d/cgroup", (int) i->pid);
        if (read_file(path, text, sizeof text) >= 0 && identity_unit_from_cgroup(text, i->app) >= 0) {
                i->kind = IDENTITY_UNIT;
                return;
        }
        snprintf(path, sizeof path, "/proc/%d/exe", (int) i->pid);
        ssize_t n = readlink(path, i->app, sizeof i->app - 1);
        if (n > 0 && i->app[0] == '/') {
                i->app[n] = '\0';
                i->kind = IDENTITY_PATH;
        }
}

int identity_of_sender(sd_bus_message *m, Identity *ret) {
        sd_bus_creds *creds = NULL;
        Identity i = {};
        int r;

        r = sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID | SD_BUS_CREDS_PID, &creds);
        if (r < 0)
                return r;
        r = sd_bus_creds_get_euid(creds, &i.uid);
        if (r >= 0 && sd_bus_creds_get_pid(creds, &i.pid) < 0)
                i.pid = 0;
        sd_bus_creds_unref(creds);
        if (r < 0)
                return r;

        _cleanup_close_ int pidfd = i.pid > 0 ? (int) syscall(SYS_pidfd_open, i.pid, 0) : -1;
        if (pidfd >= 0)
                identity_of_pid(&i);

        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        if (i.kind == IDENTITY_UNKNOWN || poll(&p, 1, 0) != 0) {
                i.kind = IDENTITY_UNKNOWN;
                strcpy(i.app, "unknown");
        }
        *ret = i;
        return 0;
}
