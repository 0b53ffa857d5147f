/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one run of spark-agent-dialog: the words go in through its standard input, the answer's name comes back through
 * its standard output, SIGTERM withdraws it. A process of its own, so that the agent needs neither GTK nor a display, and
 * a toolkit that fails costs one question.
 *
 * Which display there is, is asked anew each time: an agent that was started before the desktop has an environment
 * without one, the service manager that the desktop told of itself knows better. */

#include <signal.h>
#include <string.h>

#include "daemon/agent/ask.h"
#include "daemon/agent/limits.h"

static const char *const display_variables[] = { "WAYLAND_DISPLAY", "DISPLAY", "XAUTHORITY", "XDG_CURRENT_DESKTOP", "GDK_BACKEND" };

typedef struct Dialog {
        char *path, *words;
        GSubprocess *process;
        gulong cancelled;
} Dialog;

static void dialog_free(gpointer p) {
        Dialog *d = p;
        g_clear_object(&d->process);
        g_free(d->path);
        g_free(d->words);
        g_free(d);
}

static void on_cancelled(GCancellable *cancellable, gpointer userdata) {
        Dialog *d = userdata;
        g_subprocess_send_signal(d->process, SIGTERM);
}

static void on_ended(GObject *source, GAsyncResult *result, gpointer userdata) {
        g_autoptr(GTask) task = userdata;
        Dialog *d = g_task_get_task_data(task);
        g_autoptr(GError) error = NULL;
        g_autofree char *said = NULL;
        g_signal_handler_disconnect(g_task_get_cancellable(task), d->cancelled);
        gboolean good = g_subprocess_communicate_utf8_finish(d->process, result, &said, NULL, &error);
        if (g_task_return_error_if_cancelled(task))
                return;
        const ConsentAnswer *answer = NULL;
        if (good && said && strlen(said) <= DIALOG_ANSWER_MAX)
                answer = consent_answer(g_strchomp(said));
        if (answer)
                g_task_return_pointer(task, (gpointer) answer->name, NULL);
        else
                g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "the dialog could not be shown");
}

static void start(GTask *task, const char *const *environment) {
        Dialog *d = g_task_get_task_data(task);
        g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE);
        gboolean display = FALSE;
        for (size_t i = 0; i < G_N_ELEMENTS(display_variables); i++) {
                const char *name = display_variables[i], *value = g_getenv(name);
                if (!value && environment)
                        value = g_environ_getenv((char **) environment, name);
                if (!value || !value[0])
                        continue;
                g_subprocess_launcher_setenv(launcher, name, value, TRUE);
                display |= i < 2;
        }
        if (!display) {
                g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "there is no display");
                g_object_unref(task);
                return;
        }
        g_autoptr(GError) error = NULL;
        d->process = g_subprocess_launcher_spawn(launcher, &error, d->path, NULL);
        if (!d->process) {
                g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "%s", error->message);
                g_object_unref(task);
                return;
        }
        d->cancelled = g_signal_connect(g_task_get_cancellable(task), "cancelled", G_CALLBACK(on_cancelled), d);
        g_subprocess_communicate_utf8_async(d->process, d->words, NULL, on_ended, task);
}

static void on_environment(GObject *source, GAsyncResult *result, gpointer userdata) {
        GTask *task = userdata;
        g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, NULL);
        if (g_task_return_error_if_cancelled(task)) {
                g_object_unref(task);
                return;
        }
        g_autoptr(GVariant) value = NULL;
        g_auto(GStrv) environment = NULL;
        if (reply)
                g_variant_get(reply, "(v)", &value);
        if (value && g_variant_is_of_type(value, G_VARIANT_TYPE_STRING_ARRAY))
                environment = g_variant_dup_strv(value, NULL);
        start(task, (const char *const *) environment);
}

void ask_by_dialog(const AskContext *context, const ConsentWords *words, GCancellable *cancellable,
                   GAsyncReadyCallback done, gpointer userdata) {
        GTask *task = g_task_new(NULL, cancellable, done, userdata);
        g_task_set_check_cancellable(task, FALSE);
        Dialog *d = g_new0(Dialog, 1);
        d->path = g_strdup(context->dialog);
        d->words = g_strdup_printf("%s\n%s\n", words->title, words->body);
        g_task_set_task_data(task, d, dialog_free);

        if (!g_file_test(d->path, G_FILE_TEST_IS_EXECUTABLE)) {
                g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "spark-agent-dialog is not installed");
                g_object_unref(task);
                return;
        }
        g_dbus_connection_call(context->session, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                               "org.freedesktop.DBus.Properties", "Get",
                               g_variant_new("(ss)", "org.freedesktop.systemd1.Manager", "Environment"), G_VARIANT_TYPE("(v)"),
                               G_DBUS_CALL_FLAGS_NO_AUTO_START, NOTIFICATION_CALL_MS, NULL, on_environment, task);
}
