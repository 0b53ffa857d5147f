/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How long to wait before a lost worker is replaced: doubling from BACKOFF_FIRST_USEC to BACKOFF_MAX_USEC, and from
 * the start again once a worker has lived for BACKOFF_GOOD_USEC. Time is given, never asked for. */

#include <stdint.h>

#define BACKOFF_FIRST_USEC (100ull * 1000)
#define BACKOFF_MAX_USEC (30ull * 1000000)
#define BACKOFF_GOOD_USEC (120ull * 1000000)

typedef struct Backoff {
        uint32_t n_lost;           /* in a row */
        uint64_t ready_usec;       /* when the worker became ready; 0: it is not */
} Backoff;

void backoff_ready(Backoff *b, uint64_t now);

/* The worker was lost; returns the time to wait. */
uint64_t backoff_lost(Backoff *b, uint64_t now);
