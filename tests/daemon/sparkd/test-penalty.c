/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inputs that cost workers: refused after three, per application, cleared by success, bounded in number. */
#include "daemon/sparkd/penalty.h"
#include "tests/test.h"

static PenaltyKey key(uint64_t app, uint64_t input) {
        return (PenaltyKey) { .app = app, .input = { { input, ~input } } };
}

static void test_three(void) {
        Penalties p = {};
        PenaltyKey a = key(1, 2);
        for (unsigned i = 0; i < PENALTY_LOST_MAX; i++) {
                CHECK(!penalties_refuses(&p, &a));
                penalties_charge(&p, &a);
        }
        CHECK(penalties_refuses(&p, &a));
        CHECK(!penalties_refuses(&p, &(PenaltyKey) { .app = 2, .input = a.input }));
        CHECK(!penalties_refuses(&p, &(PenaltyKey) { .app = 1, .input = { { 3, 4 } } }));
}

static void test_success_clears(void) {
        Penalties p = {};
        PenaltyKey a = key(1, 2), b = key(1, 3);
        for (unsigned i = 0; i < PENALTY_LOST_MAX; i++) {
                penalties_charge(&p, &a);
                penalties_charge(&p, &b);
        }
        penalties_clear(&p, &a);
        CHECK(!penalties_refuses(&p, &a));
        CHECK(penalties_refuses(&p, &b));
        penalties_clear(&p, &a);
        CHECK_INT(p.n_entries, 1);
}

static void test_oldest_gives_way(void) {
        Penalties p = {};
        PenaltyKey poison = key(9, 9);
        for (unsigned i = 0; i < PENALTY_LOST_MAX; i++)
                penalties_charge(&p, &poison);
        for (unsigned i = 0; i < PENALTIES_MAX - 1; i++) {
                PenaltyKey k = key(1, 100 + i);
                penalties_charge(&p, &k);
        }
        CHECK(penalties_refuses(&p, &poison));
        penalties_charge(&p, &poison);          /* charged again: young again */
        for (unsigned i = 0; i < PENALTIES_MAX - 1; i++) {
                PenaltyKey k = key(2, 100 + i);
                penalties_charge(&p, &k);
        }
        CHECK(penalties_refuses(&p, &poison));
        CHECK_INT(p.n_entries, PENALTIES_MAX);
}

TEST_MAIN({ "three times", test_three }, { "success clears", test_success_clears }, { "oldest gives way", test_oldest_gives_way })
