/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the way to the journal: formatted into one bounded line and written at once. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/log.h"

#define LOG_LINE_MAX 2048

void log_message(int level, const char *format, ...) {
        int saved = errno;
        char line[LOG_LINE_MAX];
        int n = 0;
        va_list ap;

        if (getenv("JOURNAL_STREAM"))
                n = snprintf(line, sizeof line, "<%d>", level);
        errno = saved; /* %m */
        va_start(ap, format);
        (void) vsnprintf(line + n, sizeof line - (size_t) n, format, ap);
        va_end(ap);
        fprintf(stderr, "%s\n", line);
        errno = saved;
}
