/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pause after a refusal: how long, of whom, and what a flood of names gains. */

#include "policy/prompts.h"
#include "tests/test.h"

#define SECOND UINT64_C(1000000)
#define HOUR (3600 * SECOND)

static Prompts *fresh(void) {
        Prompts *p = NULL;
        CHECK_INT(prompts_new(&p), 0);
        return p;
}

static void test_doubles(void) {
        _cleanup_(prompts_freep) Prompts *p = fresh();
        static const uint64_t seconds[] = { 60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 30720, 61440, 86400, 86400 };
        uint64_t now = 5 * SECOND, wait = 0;
        CHECK(!prompts_refuses(p, 1, "a", now, &wait));
        for (size_t i = 0; i < ELEMENTSOF(seconds); i++) {
                prompts_refused(p, 1, "a", now);
                CHECK(prompts_refuses(p, 1, "a", now, &wait));
                CHECK_INT(wait, seconds[i] * SECOND);
                now += wait - 1;
                CHECK(prompts_refuses(p, 1, "a", now, &wait));
                CHECK_INT(wait, 1);
                now++;
                CHECK(!prompts_refuses(p, 1, "a", now, &wait));
        }
        now += 25 * HOUR;                       /* a day of quiet */
        prompts_refused(p, 1, "a", now);
        CHECK(prompts_refuses(p, 1, "a", now, &wait));
        CHECK_INT(wait, 60 * SECOND);
}

static void test_whose(void) {
        _cleanup_(prompts_freep) Prompts *p = fresh();
        uint64_t wait;
        prompts_refused(p, 1, "a", 0);
        CHECK(prompts_refuses(p, 1, "a", 1, &wait));
        CHECK(!prompts_refuses(p, 2, "a", 1, &wait));
        CHECK(!prompts_refuses(p, 1, "b", 1, &wait));
        prompts_forgive(p, 2, "a");
        CHECK(prompts_refuses(p, 1, "a", 1, &wait));
        prompts_forgive(p, 1, "a");
        CHECK(!prompts_refuses(p, 1, "a", 1, &wait));
        prompts_refused(p, 1, "a", 1);
        CHECK(prompts_refuses(p, 1, "a", 1, &wait));
        CHECK_INT(wait, 60 * SECOND);
}

static void test_many_names(void) {
        _cleanup_(prompts_freep) Prompts *p = fresh();
        uint64_t wait;
        char name[32];
        for (unsigned i = 0; i < PROMPTS_PER_USER; i++) {
                snprintf(name, sizeof name, "n%u", i);
                CHECK(!prompts_refuses(p, 1, name, i, &wait));
                prompts_refused(p, 1, name, i);
        }
        CHECK(prompts_refuses(p, 1, "yet another", 100, &wait));
        CHECK_INT(wait, 60 * SECOND - 100);
        CHECK(!prompts_refuses(p, 2, "yet another", 100, &wait));
        CHECK(prompts_refuses(p, 1, "n0", 100, &wait));
        CHECK(!prompts_refuses(p, 1, "yet another", 60 * SECOND, &wait));

        for (unsigned u = 2; u < 2 + PROMPTS_MAX / PROMPTS_PER_USER; u++)
                for (unsigned i = 0; i < PROMPTS_PER_USER; i++) {
                        snprintf(name, sizeof name, "n%u", i);
                        prompts_refused(p, u, name, 120 * SECOND);
                }
        CHECK(prompts_refuses(p, 500, "of somebody else", 120 * SECOND, &wait));
        CHECK(!prompts_refuses(p, 500, "of somebody else", 200 * SECOND, &wait));
        prompts_refused(p, 500, "of somebody else", 200 * SECOND);
        CHECK(prompts_refuses(p, 500, "of somebody else", 200 * SECOND, &wait));
}

TEST_MAIN({ "pauses double", test_doubles }, { "whose", test_whose }, { "a flood of names", test_many_names })
