/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the desktop calls an app, by its id: the Name of the desktop file of that id (desktop-entry-spec), in the user's
 * language. NULL where there is none. Never looked up by what an app says of itself. */
char *app_name(const char *id);
