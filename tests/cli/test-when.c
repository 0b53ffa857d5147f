/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Times as people write them. */

#include <time.h>

#include "cli/permissions.h"
#include "tests/test.h"

#define SEC UINT64_C(1000000)
#define NOW (UINT64_C(1763733909) * SEC)          /* 2025-11-21 14:05:09 UTC */

static void test_parse(void) {
        static const struct { const char *text; uint64_t seconds; } table[] = {
                { "0s", 1763733909 }, { "90s", 1763733819 }, { "30m", 1763732109 }, { "2h", 1763726709 }, { "3d", 1763474709 },
                { "2w", 1762524309 }, { "99999w", 0 }, { "today", 1763683200 }, { "yesterday", 1763596800 },
                { "2025-11-20", 1763596800 }, { "2025-11-20 14:05", 1763647500 }, { "2025-11-20 14:05:09", 1763647509 },
                { "2025-11-20T14:05:09", 1763647509 },
        };
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                uint64_t t = 1;
                CHECK_INT(when_parse(table[i].text, NOW, &t), 0);
                CHECK_INT(t, table[i].seconds * SEC);
        }
        static const char *const none[] = { "", "2", "h", "-2h", "2 h", "2hours", "18446744073709551615w", "9999999999999999w",
                "tomorrow", "2025-11-31", "2025-13-01", "2025-11-20 25:00", "2025-11-20 x", "1960-01-01" };
        for (size_t i = 0; i < ELEMENTSOF(none); i++) {
                uint64_t t = 1;
                CHECK_INT(when_parse(none[i], NOW, &t), -EINVAL);
                CHECK_INT(t, 1);
        }
}

static void test_text(void) {
        char b[WHEN_TEXT_MAX];
        CHECK_STR(when_text(NOW, b), "2025-11-21 14:05:09");
        CHECK_STR(when_text(0, b), "never");
        CHECK(strlen(when_text(UINT64_MAX, b)) > 0);
}

/* The day before a day of 23 hours (2025-03-30 in Berlin) begins at its own midnight. */
static void test_short_day(void) {
        setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
        tzset();
        uint64_t t;
        CHECK_INT(when_parse("yesterday", UINT64_C(1743400800) * SEC, &t), 0);         /* 2025-03-31 08:00 CEST */
        CHECK_INT(t, UINT64_C(1743289200) * SEC);
        setenv("TZ", "UTC", 1);
        tzset();
}

int main(void) {
        static const TestCase cases[] = { { "parse", test_parse }, { "text", test_text }, { "a day of 23 hours", test_short_day } };
        setenv("TZ", "UTC", 1);
        tzset();
        return test_main(cases, ELEMENTSOF(cases));
}
