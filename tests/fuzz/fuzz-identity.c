/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a process' cgroup: users name their own units. Whatever it says, what comes out is an id that the bus can
 * carry, of the uid that was asked for, and never more certain than the name of a unit can make it. */

#include <stdlib.h>
#include <string.h>

#include "basic/cleanup.h"
#include "policy/identity.h"
#include "tests/fuzz/promise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1);
        Identity id;

        PROMISE(text);
        memcpy(text, data, size);
        text[size] = '\0';
        identity_from_cgroup(text, 1000, &id);
        PROMISE(id.uid == 1000 && app_id_valid(id.app) && strlen(id.unit) <= APP_ID_MAX);
        PROMISE(id.certainty == (id.kind == IDENTITY_UNKNOWN ? CERTAINTY_UNKNOWN : CERTAINTY_UNIT));
        PROMISE(id.kind != IDENTITY_UNKNOWN || strcmp(id.app, "?") == 0);
        PROMISE(!id.in_login_session || id.kind == IDENTITY_UNKNOWN);
        return 0;
}
