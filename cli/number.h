/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Numbers from the command line: all of the text or nothing, no sign where there can be none, no locale. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline int parse_u64(const char *s, uint64_t *ret) {
        if (!s[0] || s[strspn(s, "0123456789")])
                return -EINVAL;
        errno = 0;
        unsigned long long v = strtoull(s, NULL, 10);
        if (errno)
                return -ERANGE;
        *ret = v;
        return 0;
}

/* Decimal only; LC_NUMERIC is "C" in our programs. */
static inline int parse_double(const char *s, double least, double most, double *ret) {
        if (!s[0] || s[strspn(s, "0123456789.eE+-")])
                return -EINVAL;
        char *end;
        double v = strtod(s, &end);
        if (*end || !(v >= least && v <= most))
                return -EINVAL;
        *ret = v;
        return 0;
}
