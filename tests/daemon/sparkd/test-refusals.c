/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Refusals: the first is told at once, the same again more and more rarely, and a crowd of them is neither kept nor let
 * silence the rest. */
#include "daemon/sparkd/refusals.h"
#include "tests/test.h"

#define SECOND UINT64_C(1000000)
#define HOUR (3600 * SECOND)

static Digest kind(uint64_t n) {
        return (Digest) { { n, ~n } };
}

static void test_flood(void) {
        Refusals r = {};
        unsigned n = 0;
        for (uint64_t now = SECOND; now < SECOND + HOUR; now += SECOND / 10)
                n += refusals_tell(&r, 1, kind(1), now);
        CHECK_INT(n, 12);                       /* at 0, 1, 3, 7, … 2047 seconds */
        for (uint64_t now = SECOND + HOUR; now < SECOND + 25 * HOUR; now += SECOND)
                n += refusals_tell(&r, 1, kind(1), now);
        CHECK(n >= 12 + 23 && n <= 12 + 25);    /* and every hour */
        CHECK(refusals_tell(&r, 1, kind(2), 25 * HOUR));
}

static void test_quiet(void) {
        Refusals r = {};
        CHECK(refusals_tell(&r, 1, kind(1), 10 * SECOND));
        CHECK(refusals_tell(&r, 1, kind(1), 11 * SECOND));
        CHECK(!refusals_tell(&r, 1, kind(1), 12 * SECOND));
        CHECK(refusals_tell(&r, 1, kind(1), 15 * SECOND));        /* it was quiet: as if it were the first */
        CHECK(refusals_tell(&r, 1, kind(1), 16 * SECOND));
        CHECK(!refusals_tell(&r, 1, kind(1), 17 * SECOND));
}

/* Ever other things, by one application: its share, and then one a second. */
static void test_many_kinds(void) {
        Refusals r = {};
        unsigned n = 0;
        for (uint64_t i = 0; i < 1000; i++)
                n += refusals_tell(&r, 1, kind(i), SECOND);
        CHECK_INT(n, REFUSALS_PER_APP);
        for (uint64_t now = 2 * SECOND; now < 102 * SECOND; now += SECOND / 20)
                for (uint64_t i = 0; i < 100; i++)
                        n += refusals_tell(&r, 1, kind(1000 + now + i), now);
        CHECK_INT(n, REFUSALS_PER_APP + 100);
        CHECK_INT(r.n, REFUSALS_PER_APP);
        CHECK(refusals_tell(&r, 2, kind(1), 102 * SECOND - 1));         /* nobody else is silenced */
}

static void test_many_apps(void) {
        Refusals r = {};
        unsigned n = 0;
        for (uint64_t i = 0; i < 1000; i++)
                n += refusals_tell(&r, i, kind(1), SECOND);
        CHECK_INT(n, REFUSALS_MAX);
        for (uint64_t i = 0; i < 1000; i++)
                n += refusals_tell(&r, 1000 + i, kind(1), 2 * SECOND);
        CHECK_INT(n, REFUSALS_MAX + 1);
        CHECK_INT(r.n, REFUSALS_MAX);
}

TEST_MAIN({ "a flood", test_flood }, { "quiet for a while", test_quiet }, { "one that asks for ever other things", test_many_kinds },
          { "a crowd", test_many_apps })
