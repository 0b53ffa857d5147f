/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* polkit's own agent for terminals (pkttyagent(1)), for sessions without a desktop: it asks for the password that a call of
 * ours needs, on the terminal that we have. */

#include <stdbool.h>
#include <sys/types.h>

/* Starts it and waits until polkit knows of it. False: there is no terminal to ask on, or no such program. */
bool password_agent_start(pid_t *ret);
void password_agent_stop(pid_t pid);
