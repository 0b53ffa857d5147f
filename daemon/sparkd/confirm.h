/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The system's sparkd may not look behind another user's sandbox or at the path of another user's program. That user's
 * own agent may, and is handed a pidfd to look at (Identify() of org.spark.Assistant.Agent). Its word makes a Flatpak's claim
 * certain or void, and gives a program without a unit its path; it changes nothing else, and of no other user's process. */

#include "daemon/sparkd/manager.h"

/* First thing in a method that acts for an app. 0: go on; 1: the call is held until the agent has spoken or
 * CONFIRM_USEC have passed, then `handler` is called for it anew. */
int confirm_first(Manager *m, sd_bus_message *message, sd_bus_message_handler_t handler);

/* Who sent it: as confirmed where the call was held, else as identity_of_sender() has it. */
int confirm_sender(Manager *m, sd_bus_message *message, Identity *ret, pid_t *ret_pid);

void confirms_done(Manager *m);
