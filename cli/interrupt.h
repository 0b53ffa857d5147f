/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What tells a command to end: Ctrl-C, and whoever stops processes. Blocked where its end has to be an orderly one. */

#include <signal.h>

static inline sigset_t interrupts(void) {
        sigset_t s;
        sigemptyset(&s);
        sigaddset(&s, SIGINT);
        sigaddset(&s, SIGTERM);
        return s;
}
