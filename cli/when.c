/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns times as people write and read them: local, to the second. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/number.h"
#include "cli/permissions.h"

#define USEC_PER_SEC UINT64_C(1000000)

const char *when_text(uint64_t usec, char buffer[WHEN_TEXT_MAX]) {
        time_t t = (time_t) (usec / USEC_PER_SEC);
        struct tm tm;
        if (usec == 0 || !localtime_r(&t, &tm) || strftime(buffer, WHEN_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                snprintf(buffer, WHEN_TEXT_MAX, usec == 0 ? "never" : "?");
        return buffer;
}

static int ago(const char *text, uint64_t now, uint64_t *ret) {
        static const struct { char unit; uint64_t seconds; } units[] = {
                { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 },
        };
        size_t n = strspn(text, "0123456789");
        char digits[16];
        uint64_t count, span;
        if (n == 0 || n >= sizeof digits || strlen(text) != n + 1)
                return -EINVAL;
        memcpy(digits, text, n);
        digits[n] = 0;
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (text[n] == units[i].unit) {
                        if (parse_u64(digits, &count) < 0 || __builtin_mul_overflow(count, units[i].seconds * USEC_PER_SEC, &span))
                                return -EINVAL;
                        *ret = span < now ? now - span : 0;
                        return 0;
                }
        return -EINVAL;
}

static int local(struct tm tm, uint64_t *ret) {
        const struct tm wanted = tm;
        tm.tm_isdst = -1;
        time_t t = mktime(&tm);
        /* mktime() takes the 31st of November for the 1st of December. */
        if (t < 0 || tm.tm_mday != wanted.tm_mday || tm.tm_mon != wanted.tm_mon)
                return -EINVAL;
        *ret = (uint64_t) t * USEC_PER_SEC;
        return 0;
}

int when_parse(const char *text, uint64_t now, uint64_t *ret) {
        static const char *const forms[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S" };
        if (ago(text, now, ret) >= 0)
                return 0;
        bool yesterday = strcmp(text, "yesterday") == 0;
        if (yesterday || strcmp(text, "today") == 0) {
                time_t t = (time_t) (now / USEC_PER_SEC);
                struct tm tm;
                if (!localtime_r(&t, &tm))
                        return -EINVAL;
                tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
                if (yesterday) {
                        /* By noon, so that a day of 23 or 25 hours is one too. */
                        tm.tm_hour = -12;
                        tm.tm_isdst = -1;
                        t = mktime(&tm);
                        if (!localtime_r(&t, &tm))
                                return -EINVAL;
                        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
                }
                return local(tm, ret);
        }
        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                struct tm tm = {};
                const char *end = strptime(text, forms[i], &tm);
                if (end && *end == 0)
                        return local(tm, ret);
        }
        return -EINVAL;
}
