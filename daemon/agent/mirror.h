/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers that stay, shown to the desktop's own settings: org.freedesktop.impl.portal.PermissionStore, table "spark",
 * a row for each capability, "yes" or "no" for each app. Best effort, and in one direction: sparkd's ledger decides. */

#include <gio/gio.h>

/* Does nothing for answers that do not stay. Returns at once; that there is no such store is no error. */
void mirror_answer(GDBusConnection *session, const char *app, const char *const *capabilities, const char *answer);
