/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The buckets' arithmetic, at its edges. */

#include "policy/quota.h"
#include "tests/test.h"

#define SECOND UINT64_C(1000000)

static const QuotaKey minute = { 1000, "org.a.B", LIMIT_REQUESTS_PER_MINUTE };
static const QuotaKey day = { 1000, NULL, LIMIT_TOKENS_PER_DAY };
static const QuotaKey sessions = { 1000, "org.a.B", LIMIT_SESSIONS };

static void test_rate(void) {
        _cleanup_(quota_freep) Quota *q = NULL;
        uint64_t wait = 0, now = 5 * SECOND;
        CHECK_INT(quota_new(&q), 0);
        for (int i = 0; i < 30; i++)
                CHECK_INT(quota_take(q, &minute, 30, 1, now, &wait), 0);
        CHECK_INT(quota_take(q, &minute, 30, 1, now, &wait), -EDQUOT);
        CHECK_INT(wait, 2 * SECOND);            /* one in two seconds */
        CHECK_INT(quota_take(q, &minute, 30, 1, now + wait - 1, &wait), -EDQUOT);
        CHECK_INT(wait, 1);
        CHECK_INT(quota_take(q, &minute, 30, 1, now + 2 * SECOND, &wait), 0);
        CHECK_INT(quota_take(q, &minute, 30, 1, now + 2 * SECOND, &wait), -EDQUOT);
        /* What is told is what is enforced. */
        CHECK_INT(quota_left(q, &minute, 30, now + 62 * SECOND), 30);
        CHECK_INT(quota_left(q, &minute, 30, now + 1000 * SECOND), 30);
}

static void test_asking_often_loses_nothing(void) {
        _cleanup_(quota_freep) Quota *q = NULL;
        uint64_t wait, now = 0;
        size_t got = 0;
        CHECK_INT(quota_new(&q), 0);
        for (now = 0; now < 60 * SECOND; now += 777)
                got += quota_take(q, &minute, 30, 1, now, &wait) == 0;
        CHECK(got == 59 || got == 60);          /* the bucket's 30, and 30 that came in a minute */
}

static void test_debt(void) {
        _cleanup_(quota_freep) Quota *q = NULL;
        uint64_t wait;
        CHECK_INT(quota_new(&q), 0);
        CHECK_INT(quota_take(q, &day, 1000, 400, 0, &wait), 0);
        quota_force(q, &day, 1000, 900, 0);     /* the reply came out longer */
        CHECK_INT(quota_left(q, &day, 1000, 0), -300);
        CHECK_INT(quota_take(q, &day, 1000, 1, 0, &wait), -EDQUOT);
        CHECK(wait > 0 && wait < UINT64_MAX);
        CHECK_INT(quota_take(q, &day, 1000, 1, wait, &wait), 0);
        CHECK_INT(quota_take(q, &day, 1000, 1001, 0, &wait), -EDQUOT);
        CHECK(wait == UINT64_MAX);              /* never: more than a day holds */
        quota_give(q, &day, 1000, 5000, 0);     /* never more than the bucket */
        CHECK_INT(quota_left(q, &day, 1000, 0), 1000);
}

static void test_gauge(void) {
        _cleanup_(quota_freep) Quota *q = NULL;
        uint64_t wait = 0;
        CHECK_INT(quota_new(&q), 0);
        for (int i = 0; i < 8; i++)
                CHECK_INT(quota_take(q, &sessions, 8, 1, 0, &wait), 0);
        CHECK_INT(quota_take(q, &sessions, 8, 1, 1000000 * SECOND, &wait), -EDQUOT);
        CHECK(wait == UINT64_MAX);
        quota_give(q, &sessions, 8, 1, 0);
        CHECK_INT(quota_take(q, &sessions, 8, 1, 0, &wait), 0);
        CHECK_INT(quota_take(q, &sessions, LIMIT_NONE, 1, 0, &wait), 0);
}

static void test_edges(void) {
        _cleanup_(quota_freep) Quota *q = NULL;
        uint64_t wait = 0;
        CHECK_INT(quota_new(&q), 0);
        CHECK_INT(quota_take(q, &minute, 0, 1, 0, &wait), -EDQUOT);              /* a limit of nothing */
        CHECK(wait == UINT64_MAX);
        CHECK_INT(quota_take(q, &day, UINT64_MAX - 1, UINT64_MAX, 0, &wait), 0);
        quota_force(q, &day, UINT64_MAX - 1, UINT64_MAX, 0);
        quota_force(q, &day, UINT64_MAX - 1, UINT64_MAX, 0);
        quota_force(q, &day, UINT64_MAX - 1, UINT64_MAX, UINT64_MAX);
        quota_give(q, &day, UINT64_MAX - 1, UINT64_MAX, UINT64_MAX);
        CHECK(quota_left(q, &day, UINT64_MAX - 1, UINT64_MAX) <= INT64_MAX / 4);
        CHECK_INT(quota_take(q, &minute, 10, 10, UINT64_MAX - 1, &wait), 0);
        CHECK_INT(quota_take(q, &minute, 10, 1, 0, &wait), -EDQUOT);             /* a clock that went back gains nothing */
}

static void test_rules_change(void) {
        _cleanup_(quota_freep) Quota *q = NULL;
        uint64_t wait;
        CHECK_INT(quota_new(&q), 0);
        CHECK_INT(quota_take(q, &sessions, 8, 6, 0, &wait), 0);
        CHECK_INT(quota_left(q, &sessions, 4, 0), -2);                           /* six are open where four may be */
        CHECK_INT(quota_take(q, &sessions, 4, 1, 0, &wait), -EDQUOT);
        quota_give(q, &sessions, 4, 3, 0);
        CHECK_INT(quota_take(q, &sessions, 4, 1, 0, &wait), 0);
}

static void test_many_subjects(void) {
        _cleanup_(quota_freep) Quota *q = NULL;
        uint64_t wait;
        char app[32];
        CHECK_INT(quota_new(&q), 0);
        CHECK_INT(quota_take(q, &sessions, 8, 8, 0, &wait), 0);
        for (unsigned i = 0; i < QUOTA_SUBJECTS_MAX * 3; i++) {
                snprintf(app, sizeof app, "org.made.up%u", i);
                int r = quota_take(q, &(QuotaKey) { 1000, app, LIMIT_REQUESTS_PER_MINUTE }, 30, 1, i * SECOND, &wait);
                CHECK_INT(r, 0);        /* one request is refilled in two seconds: those make room */
        }
        CHECK(quota_n_subjects(q) <= QUOTA_SUBJECTS_MAX);
        CHECK_INT(quota_take(q, &sessions, 8, 1, 0, &wait), -EDQUOT);            /* and what is owed is remembered */

        _cleanup_(quota_freep) Quota *full = NULL;
        CHECK_INT(quota_new(&full), 0);
        int r = 0;
        for (unsigned i = 0; i < QUOTA_SUBJECTS_MAX + 1; i++) {
                snprintf(app, sizeof app, "org.made.up%u", i);
                r = quota_take(full, &(QuotaKey) { 1000, app, LIMIT_SESSIONS }, 8, 1, 0, &wait);
        }
        CHECK_INT(r, -ENOSPC);
}

TEST_MAIN(
        { "a rate", test_rate },
        { "asking often neither gains nor loses", test_asking_often_loses_nothing },
        { "debt and correction", test_debt },
        { "a gauge", test_gauge },
        { "numbers at the edge", test_edges },
        { "a limit that changes under a running account", test_rules_change },
        { "many subjects", test_many_subjects },
)
