/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the look at another process of this user for sparkd, which may not look so deep from outside. The process is named
 * by a pidfd alone, so that it cannot be another one by the time it is read; what cannot be read is unknown. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/identity.h"              /* before GLib, which takes MIN and MAX over */

#include <gio/gunixfdlist.h>

#include "daemon/agent/identify.h"

#define FDINFO_MAX 1024

/* The pid behind a pidfd, from fdinfo (proc(5)); 0 where it is none, or none that is alive and seen from here. */
static pid_t pid_of(int fd) {
        char path[64], text[FDINFO_MAX + 1];
        int pid = 0;

        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        _cleanup_close_ int info = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = info < 0 ? -1 : read(info, text, FDINFO_MAX);
        if (n <= 0)
                return 0;
        text[n] = '\0';
        const char *line = strstr(text, "\nPid:");
        return line && sscanf(line, "\nPid: %d", &pid) == 1 && pid > 0 ? pid : 0;
}

void identify_answer(GDBusMethodInvocation *call) {
        GUnixFDList *fds = g_dbus_message_get_unix_fd_list(g_dbus_method_invocation_get_message(call));
        gint32 index = -1;
        Identity id;

        g_variant_get_child(g_dbus_method_invocation_get_parameters(call), 0, "h", &index);
        _cleanup_close_ int pidfd = fds && index >= 0 && index < g_unix_fd_list_get_length(fds) ? g_unix_fd_list_get(fds, index, NULL) : -1;
        pid_t pid = pidfd >= 0 ? pid_of(pidfd) : 0;
        if (pid == 0 || identity_of_process("/proc", pidfd, pid, getuid(), true, &id) < 0) {
                g_dbus_method_invocation_return_dbus_error(call, "org.freedesktop.DBus.Error.InvalidArgs", "process: not a pidfd of a process that lives");
                return;
        }
        g_dbus_method_invocation_return_value(call, g_variant_new("(sss)", identity_kind_name(id.kind), id.app, certainty_name(id.certainty)));
}
