/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns nothing but two numbers: the pause between losing a worker and starting the next one. */

#include "daemon/sparkd/backoff.h"

void backoff_ready(Backoff *b, uint64_t now) {
        b->ready_usec = now;
}

uint64_t backoff_lost(Backoff *b, uint64_t now) {
        if (b->ready_usec > 0 && now >= b->ready_usec && now - b->ready_usec >= BACKOFF_GOOD_USEC)
                b->n_lost = 0;
        b->ready_usec = 0;

        uint64_t delay = BACKOFF_FIRST_USEC;
        for (uint32_t i = 0; i < b->n_lost && delay < BACKOFF_MAX_USEC; i++)
                delay *= 2;
        if (b->n_lost < UINT32_MAX)
                b->n_lost++;
        return delay < BACKOFF_MAX_USEC ? delay : BACKOFF_MAX_USEC;
}
