/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way from an app's id to a name that a person knows. The name is its packager's word: it stands beside the id,
 * never instead of it. */

#include <gio/gdesktopappinfo.h>
#include <string.h>

#include "daemon/agent/app-name.h"

char *app_name(const char *id) {
        /* A path is a program and no desktop file; GLib would follow one. */
        if (!id[0] || strchr(id, '/'))
                return NULL;
        g_autofree char *file = g_strconcat(id, ".desktop", NULL);
        g_autoptr(GDesktopAppInfo) info = g_desktop_app_info_new(file);
        const char *name = info ? g_app_info_get_name(G_APP_INFO(info)) : NULL;
        return name && name[0] && g_utf8_validate(name, -1, NULL) ? g_strdup(name) : NULL;
}
