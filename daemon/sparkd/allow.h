/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Calls outside sessions that have to be allowed first. Where the user has to be asked they wait for the answer, as a turn
 * does: HELD_PER_CLIENT at most, and no longer than their caller is there. */

#include "daemon/sparkd/authorize.h"

/* Calls `method`, with the message at its beginning, where the caller may generate: at once, after the user's yes, or never; in
 * the last case the caller gets NotAllowed. Returns as a method does. */
int allow_first(sd_bus_message *message, const Caller *c, AuthorizedMethod method, sd_bus_error *reterr);

void allow_drop(Client *c);                /* it has gone */
void allow_stop(User *u);                  /* the end: they are told */
