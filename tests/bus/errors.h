/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Errors that a test expects, by their name and a part of what they say. */

#include "tests/bus/client.h"
#include "tests/test.h"

#define ERROR(name) BUS_NAME ".Error." name

/* Frees the error, so that the next call can have it. */
static inline void check_error(int r, sd_bus_error *error, const char *name, const char *in_text) {
        CHECK(r < 0);
        if (strcmp(error->name, name) != 0 || !strstr(error->message, in_text))
                printf("# %s: %s\n", error->name, error->message);
        CHECK_STR(error->name, name);
        CHECK(strstr(error->message, in_text));
        sd_bus_error_free(error);
}
