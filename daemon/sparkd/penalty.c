/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small table, searched in order: it is touched when a worker dies, and once a turn. Refuses to grow: the entry
 * charged longest ago gives way. */

#include <stddef.h>

#include "daemon/sparkd/penalty.h"

static size_t penalties_find(const Penalties *p, const PenaltyKey *key) {
        size_t i;
        for (i = 0; i < p->n_entries; i++)
                if (p->entries[i].key.app == key->app && digest_equal(p->entries[i].key.input, key->input))
                        break;
        return i;
}

void penalties_charge(Penalties *p, const PenaltyKey *key) {
        size_t i = penalties_find(p, key);

        if (i == p->n_entries) {
                if (p->n_entries < PENALTIES_MAX)
                        p->n_entries++;
                else {
                        i = 0;
                        for (size_t j = 1; j < PENALTIES_MAX; j++)
                                if (p->entries[j].age < p->entries[i].age)
                                        i = j;
                }
                p->entries[i].key = *key;
                p->entries[i].n_lost = 0;
        }
        p->entries[i].n_lost++;
        p->entries[i].age = ++p->clock;
}

void penalties_clear(Penalties *p, const PenaltyKey *key) {
        size_t i = penalties_find(p, key);
        if (i < p->n_entries)
                p->entries[i] = p->entries[--p->n_entries];
}

bool penalties_refuses(const Penalties *p, const PenaltyKey *key) {
        size_t i = penalties_find(p, key);
        return i < p->n_entries && p->entries[i].n_lost >= PENALTY_LOST_MAX;
}
