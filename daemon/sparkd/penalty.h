/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which inputs were being worked on when workers died: (application, digest of the transcript) → how often. After
 * PENALTY_LOST_MAX times the application's input is refused until it has been forgotten or sparkd restarts, so that
 * one poisonous input costs a bounded number of workers. A turn that ends well clears its input. */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/sparkd/digest.h"
#include "daemon/sparkd/limits.h"

typedef struct PenaltyKey {
        uint64_t app;                      /* number of the application, see identity.h */
        Digest input;
} PenaltyKey;

typedef struct Penalties {
        struct {
                PenaltyKey key;
                uint32_t n_lost;
                uint64_t age;              /* of the last charge */
        } entries[PENALTIES_MAX];
        size_t n_entries;
        uint64_t clock;                    /* charges so far */
} Penalties;

void penalties_charge(Penalties *p, const PenaltyKey *key);
void penalties_clear(Penalties *p, const PenaltyKey *key);
bool penalties_refuses(const Penalties *p, const PenaltyKey *key);
