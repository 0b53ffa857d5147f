/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `_cleanup_(json_dropp)` for jansson's values. */

#include <jansson.h>

#include "basic/cleanup.h"

static inline void json_drop(json_t *j) {
        json_decref(j);
}
DEFINE_CLEANUP(json_t, json_drop);
