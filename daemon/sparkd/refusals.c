/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns how often a refusal is written down. A small table, searched in order, as it is looked at when something is refused
 * and at no other time. Refuses to grow: what was told longest ago gives way. */

#include "basic/cleanup.h"
#include "daemon/sparkd/refusals.h"

static size_t refusals_find(const Refusals *r, uint64_t app, Digest kind) {
        size_t i;
        for (i = 0; i < r->n; i++)
                if (r->entries[i].app == app && digest_equal(r->entries[i].kind, kind))
                        break;
        return i;
}

/* A place for a new one: a free one, else the oldest of the app's own where it has its share, else the oldest of all; these
 * one a second. REFUSALS_MAX: none now. */
static size_t refusals_place(Refusals *r, uint64_t app, uint64_t now) {
        size_t n_own = 0, oldest = REFUSALS_MAX, latest = REFUSALS_MAX;

        for (size_t i = 0; i < r->n; i++)
                n_own += r->entries[i].app == app;
        const bool own = n_own >= REFUSALS_PER_APP;
        if (!own && r->n < REFUSALS_MAX)
                return r->n++;
        for (size_t i = 0; i < r->n; i++) {
                if (own && r->entries[i].app != app)
                        continue;
                if (oldest == REFUSALS_MAX || r->entries[i].told < r->entries[oldest].told)
                        oldest = i;
                if (latest == REFUSALS_MAX || r->entries[i].told > r->entries[latest].told)
                        latest = i;
        }
        return now >= r->entries[latest].told + REFUSAL_PAUSE_FIRST_USEC ? oldest : REFUSALS_MAX;
}

bool refusals_tell(Refusals *r, uint64_t app, Digest kind, uint64_t now) {
        uint64_t pause = REFUSAL_PAUSE_FIRST_USEC;
        size_t i = refusals_find(r, app, kind);

        if (i == r->n)
                i = refusals_place(r, app, now);
        else {
                const uint64_t since = now - r->entries[i].told;
                if (since < r->entries[i].pause)
                        return false;
                /* Once it has been quiet for as long again, it starts anew. */
                if (since < 2 * r->entries[i].pause)
                        pause = MIN(2 * r->entries[i].pause, REFUSAL_PAUSE_MAX_USEC);
        }
        if (i == REFUSALS_MAX)
                return false;
        r->entries[i] = (typeof(r->entries[i])) { .app = app, .kind = kind, .pause = pause, .told = now };
        return true;
}
