/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one notification until it is answered (https://specifications.freedesktop.org/notification-spec/1.2/). Only a
 * server that shows buttons and a body is of use; only that very server's signals count, by its unique name. Closing it
 * is a refusal, this once; that it expired is no answer, and the next way to ask is tried. */

#include <string.h>

#include "daemon/agent/ask.h"
#include "daemon/agent/limits.h"

#define NOTIFICATIONS_NAME "org.freedesktop.Notifications"
#define NOTIFICATIONS_PATH "/org/freedesktop/Notifications"

enum { CLOSED_EXPIRED = 1 };

typedef struct Notification {
        GDBusConnection *bus;
        char *title, *body;
        char *server;                   /* unique name */
        guint32 id;
        gboolean shown;
        guint signals, watch;
        gulong cancelled;
} Notification;

static void notification_free(gpointer p) {
        Notification *n = p;
        if (n->signals)
                g_dbus_connection_signal_unsubscribe(n->bus, n->signals);
        if (n->watch)
                g_bus_unwatch_name(n->watch);
        g_clear_object(&n->bus);
        g_free(n->title);
        g_free(n->body);
        g_free(n->server);
        g_free(n);
}

/* Ends the task, once. The task holds the Notification; `answer` NULL: `error` says why. */
static void end(GTask *task, const char *answer, GError *error) {
        Notification *n = g_task_get_task_data(task);
        if (n->cancelled) {
                g_signal_handler_disconnect(g_task_get_cancellable(task), n->cancelled);
                n->cancelled = 0;
        }
        if (n->signals) {
                g_dbus_connection_signal_unsubscribe(n->bus, n->signals);
                n->signals = 0;
        }
        if (n->watch) {
                g_bus_unwatch_name(n->watch);
                n->watch = 0;
        }
        if (answer)
                g_task_return_pointer(task, (gpointer) answer, NULL);
        else
                g_task_return_error(task, error);
        g_object_unref(task);
}

static void close_notification(Notification *n) {
        if (n->shown)
                g_dbus_connection_call(n->bus, n->server, NOTIFICATIONS_PATH, NOTIFICATIONS_NAME, "CloseNotification",
                                       g_variant_new("(u)", n->id), NULL, G_DBUS_CALL_FLAGS_NONE, NOTIFICATION_CALL_MS, NULL, NULL, NULL);
        n->shown = FALSE;
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *signal,
                      GVariant *parameters, gpointer userdata) {
        GTask *task = userdata;
        Notification *n = g_task_get_task_data(task);
        guint32 id;
        if (strcmp(signal, "ActionInvoked") == 0 && g_variant_is_of_type(parameters, G_VARIANT_TYPE("(us)"))) {
                const char *key;
                g_variant_get(parameters, "(u&s)", &id, &key);
                const ConsentAnswer *answer = n->shown && id == n->id ? consent_answer(key) : NULL;
                if (!answer)
                        return;
                close_notification(n);
                end(task, answer->name, NULL);
        } else if (strcmp(signal, "NotificationClosed") == 0 && g_variant_is_of_type(parameters, G_VARIANT_TYPE("(uu)"))) {
                guint32 reason;
                g_variant_get(parameters, "(uu)", &id, &reason);
                if (!n->shown || id != n->id)
                        return;
                if (reason == CLOSED_EXPIRED)
                        end(task, NULL, g_error_new(G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "the notification expired unanswered"));
                else
                        end(task, consent_answers[0].name, NULL);
        }
}

static void on_server_gone(GDBusConnection *bus, const char *name, gpointer userdata) {
        end(userdata, NULL, g_error_new(G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "the notification server ended"));
}

static void on_cancelled(GCancellable *cancellable, gpointer userdata) {
        GTask *task = userdata;
        Notification *n = g_task_get_task_data(task);
        close_notification(n);
        /* Not disconnected in its own handler: that would wait for itself. */
        n->cancelled = 0;
        end(task, NULL, g_error_new(G_IO_ERROR, G_IO_ERROR_CANCELLED, "withdrawn"));
}

static void on_shown(GObject *source, GAsyncResult *result, gpointer userdata) {
        GTask *task = userdata;
        Notification *n = g_task_get_task_data(task);
        GError *error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_finish(n->bus, result, &error);
        if (!reply) {
                g_clear_error(&error);
                end(task, NULL, g_error_new(G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "the notification server refuses"));
                return;
        }
        g_variant_get(reply, "(u)", &n->id);
        n->shown = TRUE;
        n->watch = g_bus_watch_name_on_connection(n->bus, n->server, G_BUS_NAME_WATCHER_FLAGS_NONE, NULL, on_server_gone, task, NULL);
        GCancellable *cancellable = g_task_get_cancellable(task);
        if (g_cancellable_is_cancelled(cancellable))
                on_cancelled(cancellable, task);
        else
                n->cancelled = g_signal_connect(cancellable, "cancelled", G_CALLBACK(on_cancelled), task);
}

/* Deny, once, session, always: four are as many buttons as desktops show. "Never" is the dialog's and sparkctl's. */
static GVariant *actions(void) {
        GVariantBuilder b;
        g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
        for (size_t i = 0; i + 1 < CONSENT_ANSWERS; i++) {
                g_variant_builder_add(&b, "s", consent_answers[i].name);
                g_variant_builder_add(&b, "s", consent_answers[i].label);
        }
        return g_variant_builder_end(&b);
}

static void on_capabilities(GObject *source, GAsyncResult *result, gpointer userdata) {
        GTask *task = userdata;
        Notification *n = g_task_get_task_data(task);
        g_autoptr(GError) error = NULL;
        g_autoptr(GDBusMessage) message = g_dbus_connection_send_message_with_reply_finish(n->bus, result, &error);
        if (g_task_return_error_if_cancelled(task)) {
                g_object_unref(task);
                return;
        }
        GVariant *body = message ? g_dbus_message_get_body(message) : NULL;
        if (!message || g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_RETURN || !body ||
            !g_variant_is_of_type(body, G_VARIANT_TYPE("(as)"))) {
                end(task, NULL, g_error_new(G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "there is no notification server"));
                return;
        }
        g_autofree const char **have = NULL;
        g_variant_get(body, "(^a&s)", &have);
        if (!g_strv_contains(have, "actions") || !g_strv_contains(have, "body")) {
                end(task, NULL, g_error_new(G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "the notification server has no buttons"));
                return;
        }
        n->server = g_strdup(g_dbus_message_get_sender(message));
        /* Before it is shown: what the server says of it comes after its number. */
        n->signals = g_dbus_connection_signal_subscribe(n->bus, n->server, NOTIFICATIONS_NAME, NULL, NOTIFICATIONS_PATH, NULL,
                                                        G_DBUS_SIGNAL_FLAGS_NONE, on_signal, task, NULL);

        /* What the server would parse is escaped; one that says it parses nothing would show the escapes. */
        g_autofree char *text = g_strv_contains(have, "body-markup") ? g_markup_escape_text(n->body, -1) : g_strdup(n->body);
        GVariantBuilder hints;
        g_variant_builder_init(&hints, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&hints, "{sv}", "urgency", g_variant_new_byte(2));        /* critical: does not expire */
        g_variant_builder_add(&hints, "{sv}", "category", g_variant_new_string("x-spark.consent"));
        g_dbus_connection_call(n->bus, n->server, NOTIFICATIONS_PATH, NOTIFICATIONS_NAME, "Notify",
                               g_variant_new("(susss@as@a{sv}i)", "Spark", 0u, "dialog-question", n->title, text, actions(),
                                             g_variant_builder_end(&hints), 0),
                               G_VARIANT_TYPE("(u)"), G_DBUS_CALL_FLAGS_NONE, NOTIFICATION_CALL_MS, NULL, on_shown, task);
}

void ask_by_notification(const AskContext *context, const ConsentWords *words, GCancellable *cancellable,
                         GAsyncReadyCallback done, gpointer userdata) {
        GTask *task = g_task_new(NULL, cancellable, done, userdata);
        /* An answer given is an answer, even where it was withdrawn at the same moment. */
        g_task_set_check_cancellable(task, FALSE);
        Notification *n = g_new0(Notification, 1);
        n->bus = g_object_ref(context->session);
        n->title = g_strdup(words->title);
        n->body = g_strdup(words->body);
        g_task_set_task_data(task, n, notification_free);

        /* As a message, for its reply's sender: the server's own name, which nobody else can take over. */
        g_autoptr(GDBusMessage) m = g_dbus_message_new_method_call(NOTIFICATIONS_NAME, NOTIFICATIONS_PATH, NOTIFICATIONS_NAME,
                                                                   "GetCapabilities");
        g_dbus_connection_send_message_with_reply(n->bus, m, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NOTIFICATION_CALL_MS, NULL,
                                                  cancellable, on_capabilities, task);
}

const char *ask_finish(GAsyncResult *result, GError **error) {
        return g_task_propagate_pointer(G_TASK(result), error);
}
