/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which microphones and cameras are open, and for whom: the property Capturing and the signal CapturingChanged. Told to
 * connections of the same user that watch (client->watches), one by one; an app in a sandbox is told of its own devices alone. */

#include "daemon/sparkd/manager.h"

typedef struct Capture {
        Link link;                         /* in user->captures */
        App *app;                          /* referenced while it is open; NULL: it is not */
        Capability device;                 /* CAPABILITY_MICROPHONE or CAPABILITY_CAMERA */
        uint64_t number, begun_usec;
} Capture;

/* Told at once: nobody reads from a device before. */
void capture_begin(Capture *c, App *a, Capability device);
/* *c is empty afterwards. Returns the microseconds that it was open; 0 where it was not. */
uint64_t capture_end(Capture *c);

/* As this caller may know: whether something is open. */
bool captures_seen(const User *u, const Identity *caller);

/* What is open now, one a{sv} each: for WatchCaptures(), and as rows of Monitor(). */
int captures_append(sd_bus_message *m, const User *u);
int captures_append_uses(sd_bus_message *m, const User *u);
