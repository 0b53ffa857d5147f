/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which refusals are worth writing down. The first of its kind (who, what, why) is, at once; the same again after a pause
 * that doubles from a second to an hour while it goes on. So an application that asks for the same without end leaves a
 * line an hour. One that asks for ever other things leaves one a second once its share of the table is full, which takes
 * nothing from others; so do applications beyond the table's size, together. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/sparkd/digest.h"

#define REFUSALS_MAX 64u
#define REFUSALS_PER_APP 8u
#define REFUSAL_PAUSE_FIRST_USEC (UINT64_C(1) * 1000000)
#define REFUSAL_PAUSE_MAX_USEC (UINT64_C(3600) * 1000000)

typedef struct Refusals {                  /* init with {} */
        struct { uint64_t app; Digest kind; uint64_t pause, told; } entries[REFUSALS_MAX];
        size_t n;
} Refusals;

/* `now` in microseconds of a clock that never goes back. */
bool refusals_tell(Refusals *r, uint64_t app, Digest kind, uint64_t now);
