/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The bus' side of the model store, and which model answers. */

#include "daemon/sparkd/manager.h"

int models_add(Manager *m);
/* An import under way ends, and leaves nothing. */
void models_done(Manager *m);
