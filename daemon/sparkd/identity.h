/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who calls: the user, from the bus; the application, from what the kernel shows of the process. Between applications
 * of one user outside any sandbox this is accounting and not a boundary: one can pass for another. */

#include <stddef.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>

#define IDENTITY_APP_MAX 256u

typedef enum IdentityKind {
        IDENTITY_UNKNOWN,          /* nothing to be found out: treated as an application of its own, "unknown" */
        IDENTITY_PATH,             /* the executable's path */
        IDENTITY_UNIT,             /* the systemd unit that the process runs in */
} IdentityKind;

typedef struct Identity {
        uid_t uid;
        pid_t pid;
        IdentityKind kind;
        char app[IDENTITY_APP_MAX];
} Identity;

/* Asks the bus driver once (bounded by BUS_CALL_USEC) and then /proc, with a pidfd held around it. */
int identity_of_sender(sd_bus_message *m, Identity *ret);

/* The application's unit from the text of /proc/PID/cgroup: "app-….scope", "app-….service", a system service. Shells and
 * sessions (session-2.scope, user@1000.service, vte-spawn-….scope) hold many applications and are none: -ENXIO. */
int identity_unit_from_cgroup(const char *text, char ret[static IDENTITY_APP_MAX]);
