/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who calls: the user, from the bus; the application, from policy/identity.h with a pidfd held around the look.
 * Between applications of one user outside any sandbox this is accounting and not a boundary: one can pass for another. */

#include <systemd/sd-bus.h>

#include "policy/identity.h"

/* Asks the bus driver (bounded by BUS_CALL_USEC), then the process. Who cannot be established is the unknown identity of
 * the uid; only a caller whose uid the bus does not tell is an error.
 * pid 0, pidfd -1: the bus does not tell. ret_pidfd may be NULL; what it gets is the caller's to close. */
int identity_of_sender(sd_bus_message *m, Identity *ret, pid_t *ret_pid, int *ret_pidfd);

#define SESSION_ID_MAX 64u

/* logind's session that it belongs to: "3" where its unit is session-3.scope, "" where it is none. */
void identity_session(const Identity *id, char ret[SESSION_ID_MAX]);
