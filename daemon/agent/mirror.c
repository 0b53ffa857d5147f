/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the copy of answers in the desktop's permission store. */

#include <string.h>

#include "daemon/agent/mirror.h"

void mirror_answer(GDBusConnection *session, const char *app, const char *const *capabilities, const char *answer) {
        const char *word = strcmp(answer, "always") == 0 ? "yes" : strcmp(answer, "never") == 0 ? "no" : NULL;
        if (!word)
                return;
        const char *const permissions[] = { word, NULL };
        for (; *capabilities; capabilities++)
                g_dbus_connection_call(session, "org.freedesktop.impl.portal.PermissionStore",
                                       "/org/freedesktop/impl/portal/PermissionStore",
                                       "org.freedesktop.impl.portal.PermissionStore", "SetPermission",
                                       g_variant_new("(sbss^as)", "spark", TRUE, *capabilities, app, permissions), NULL,
                                       G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
}
