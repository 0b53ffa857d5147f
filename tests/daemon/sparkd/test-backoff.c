/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pauses between lost workers: doubling, capped, from the start again after good minutes. */
#include "daemon/sparkd/backoff.h"
#include "tests/test.h"

static void test_doubles(void) {
        Backoff b = {};
        CHECK_INT(backoff_lost(&b, 1000), BACKOFF_FIRST_USEC);
        CHECK_INT(backoff_lost(&b, 2000), 2 * BACKOFF_FIRST_USEC);
        CHECK_INT(backoff_lost(&b, 3000), 4 * BACKOFF_FIRST_USEC);
}

static void test_is_capped(void) {
        Backoff b = {};
        uint64_t delay = 0;
        for (int i = 0; i < 1000; i++)
                delay = backoff_lost(&b, (uint64_t) i);
        CHECK_INT(delay, BACKOFF_MAX_USEC);
        b.n_lost = UINT32_MAX;
        CHECK_INT(backoff_lost(&b, 1), BACKOFF_MAX_USEC);
}

static void test_good_time_resets(void) {
        Backoff b = {};
        backoff_lost(&b, 1);
        backoff_lost(&b, 2);
        backoff_ready(&b, 1000);
        CHECK_INT(backoff_lost(&b, 1000 + BACKOFF_GOOD_USEC), BACKOFF_FIRST_USEC);
        backoff_ready(&b, 5000);
        CHECK_INT(backoff_lost(&b, 5000 + BACKOFF_GOOD_USEC - 1), 2 * BACKOFF_FIRST_USEC);
        CHECK_INT(backoff_lost(&b, 5000 + 10 * BACKOFF_GOOD_USEC), 4 * BACKOFF_FIRST_USEC); /* it was never ready */
}

TEST_MAIN({ "doubles", test_doubles }, { "is capped", test_is_capped }, { "good time resets", test_good_time_resets })
