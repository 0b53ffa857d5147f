/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the one way in which the engine words an error. Text of a hostile file may stand in it, so nothing that could
 * steer a terminal or break a D-Bus string gets through. */

#include <stdarg.h>
#include <stdio.h>

#include "engine/error.h"

int (engine_fail)(EngineError *e, int r, const char *format, ...) {
        if (!e)
                return r;

        va_list ap;
        va_start(ap, format);
        vsnprintf(e->text, sizeof e->text, format, ap);
        va_end(ap);

        for (unsigned char *p = (unsigned char *) e->text; *p; p++)
                if (*p < 0x20 || *p >= 0x7f)
                        *p = '?';
        return r;
}
