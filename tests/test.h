/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A unit test's frame: a table of named cases, each a function that CHECKs. A failed CHECK prints where and what and
 * fails the case; the others still run. Output is TAP (meson: protocol 'tap'), so that every case is counted.
 * A case skips with SKIP("why"). */

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/cleanup.h"

typedef struct TestCase {
        const char *name;
        void (*run)(void);
} TestCase;

static jmp_buf test_end;
static bool test_failed;
static const char *test_skipped;

#define CHECK(x)                                                                        \
        do {                                                                            \
                if (!(x)) {                                                             \
                        printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #x);        \
                        test_failed = true;                                             \
                        longjmp(test_end, 1);                                           \
                }                                                                       \
        } while (0)

#define CHECK_INT(a, b)                                                                 \
        do {                                                                            \
                long long _a = (long long) (a), _b = (long long) (b);                   \
                if (_a != _b) {                                                         \
                        printf("# %s:%d: %s is %lld, not %s = %lld\n", __FILE__, __LINE__, #a, _a, #b, _b); \
                        test_failed = true;                                             \
                        longjmp(test_end, 1);                                           \
                }                                                                       \
        } while (0)

#define CHECK_STR(a, b)                                                                 \
        do {                                                                            \
                const char *_a = (a), *_b = (b);                                        \
                if (!_a || !_b || strcmp(_a, _b) != 0) {                                \
                        printf("# %s:%d: %s is '%s', not '%s'\n", __FILE__, __LINE__, #a, _a ?: "(null)", _b ?: "(null)"); \
                        test_failed = true;                                             \
                        longjmp(test_end, 1);                                           \
                }                                                                       \
        } while (0)

#define SKIP(why)                                                                       \
        do {                                                                            \
                test_skipped = (why);                                                   \
                longjmp(test_end, 1);                                                   \
        } while (0)

static inline int test_main(const TestCase *cases, size_t n) {
        volatile int bad = 0;           /* lives across longjmp() */
        setvbuf(stdout, NULL, _IOLBF, 0);
        printf("1..%zu\n", n);
        for (size_t i = 0; i < n; i++) {
                test_failed = false;
                test_skipped = NULL;
                if (setjmp(test_end) == 0)
                        cases[i].run();
                if (test_failed)
                        bad++;
                printf("%s %zu - %s", test_failed ? "not ok" : "ok", i + 1, cases[i].name);
                if (test_skipped)
                        printf(" # SKIP %s", test_skipped);
                printf("\n");
        }
        return bad ? 1 : 0;
}

#define TEST_MAIN(...)                                                                  \
        int main(void) {                                                                \
                static const TestCase cases[] = { __VA_ARGS__ };                        \
                return test_main(cases, sizeof cases / sizeof cases[0]);                \
        }
