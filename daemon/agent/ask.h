/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The ways to ask a person. Each is one asynchronous function: it shows the words, and ends with an answer's name (see
 * consent_answers), or an error. G_IO_ERROR_NOT_SUPPORTED says that this way leads to nobody here, and the next may be
 * tried; cancelling withdraws what is shown. */

#include <gio/gio.h>

#include "daemon/consent/words.h"

typedef struct AskContext {
        GDBusConnection *session;       /* where the desktop is */
        const char *dialog;             /* path of spark-agent-dialog */
} AskContext;

typedef void (*AskFunction)(const AskContext *context, const ConsentWords *words, GCancellable *cancellable,
                            GAsyncReadyCallback done, gpointer userdata);

/* A notification with buttons, where the server has them (org.freedesktop.Notifications, "actions"). */
void ask_by_notification(const AskContext *context, const ConsentWords *words, GCancellable *cancellable,
                         GAsyncReadyCallback done, gpointer userdata);
/* A window of spark-agent-dialog's, where there is a display. */
void ask_by_dialog(const AskContext *context, const ConsentWords *words, GCancellable *cancellable,
                   GAsyncReadyCallback done, gpointer userdata);

/* For both: a static name, or NULL with *error. */
const char *ask_finish(GAsyncResult *result, GError **error);
