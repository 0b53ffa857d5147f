/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* spark-agent: asks the person at the machine for sparkd. Owns the name on the session bus, the object on every bus where
 * sparkd may be, and that sparkd knows of it: told whenever a sparkd appears, which is never started for that.
 *
 * Only the connection that owns org.spark.Assistant at this moment may put questions; on the system bus that is sparkd
 * and nobody else. GLib, because what it talks to (notifications, desktop files, the portal's store) is a desktop's; no
 * GTK, because it stays in memory as long as the session. */

#include <glib-unix.h>
#include <locale.h>
#include <string.h>
#include <sysexits.h>

#include "daemon/agent/agent-interface.h"
#include "daemon/agent/identify.h"
#include "daemon/agent/questions.h"

#define AGENT_NAME "org.spark.Assistant.Agent"
#define AGENT_PATH "/org/spark/Assistant/Agent"
#define SPARK_NAME "org.spark.Assistant"
#define SPARK_PATH "/org/spark/Assistant"
#define SPARK_PERMISSIONS "org.spark.Assistant.Permissions"
#define REGISTER_MS 5000                /* for sparkd to take note of us */

typedef struct Agent Agent;

typedef struct Link {                   /* one bus */
        Agent *agent;
        const char *which;
        GDBusConnection *bus;
        char *sparkd;                   /* who may ask; NULL: no sparkd there */
        guint object, watch;
        gboolean settled;               /* a sparkd that ran at the start knows of us, or wants nothing of us */
} Link;

struct Agent {
        GMainLoop *loop;
        Questions *questions;
        Link session, system;           /* system.bus NULL: there is none */
        guint name;
};

static void on_call(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *method,
                    GVariant *parameters, GDBusMethodInvocation *call, gpointer userdata) {
        Link *link = userdata;
        if (!link->sparkd || strcmp(sender, link->sparkd) != 0)
                g_dbus_method_invocation_return_dbus_error(call, "org.freedesktop.DBus.Error.AccessDenied", "only sparkd may ask");
        else if (strcmp(method, "RequestConsent") == 0)
                questions_add(link->agent->questions, call);
        else if (strcmp(method, "Identify") == 0)
                identify_answer(call);
        else if (strcmp(method, "Cancel") != 0)         /* a device, and this agent has none to give */
                g_dbus_method_invocation_return_dbus_error(call, "org.spark.Assistant.Error.NoDevice", "spark-agent opens no devices yet");
        else {
                const char *id;
                g_variant_get(parameters, "(&s)", &id);
                questions_cancel(link->agent->questions, bus, sender, id);
                g_dbus_method_invocation_return_value(call, NULL);
        }
}

static void on_name_lost(GDBusConnection *bus, const char *name, gpointer userdata) {
        Agent *agent = userdata;
        g_message("another spark-agent serves this session");
        g_main_loop_quit(agent->loop);
}

/* The name comes last: whoever had us started by it finds us known to the sparkd that runs. */
static void settle(Link *link) {
        Agent *agent = link->agent;
        link->settled = TRUE;
        if (agent->session.settled && (agent->system.settled || !agent->system.bus) && !agent->name)
                agent->name = g_bus_own_name_on_connection(agent->session.bus, AGENT_NAME, G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE, NULL,
                                                           on_name_lost, agent, NULL);
}

static void on_registered(GObject *source, GAsyncResult *result, gpointer userdata) {
        Link *link = userdata;
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
        if (!reply)
                g_message("sparkd of the %s bus takes no agent: %s", link->which, error->message);
        settle(link);
}

static void on_sparkd(GDBusConnection *bus, const char *name, const char *owner, gpointer userdata) {
        Link *link = userdata;
        g_free(link->sparkd);
        link->sparkd = g_strdup(owner);
        GVariantBuilder options;
        g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
        g_variant_builder_add(&options, "{sv}", "kind", g_variant_new_string("desktop"));
        g_dbus_connection_call(bus, owner, SPARK_PATH, SPARK_PERMISSIONS, "RegisterAgent",
                               g_variant_new("(oa{sv})", AGENT_PATH, &options), NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, REGISTER_MS,
                               NULL, on_registered, link);
}

static void on_no_sparkd(GDBusConnection *bus, const char *name, gpointer userdata) {
        Link *link = userdata;
        if (link->sparkd && bus)
                questions_cancel(link->agent->questions, link->bus, link->sparkd, NULL);
        g_clear_pointer(&link->sparkd, g_free);
        settle(link);
}

static gboolean link_open(Link *link, Agent *agent, GError **error) {
        static const GDBusInterfaceVTable vtable = { .method_call = on_call };
        link->agent = agent;
        link->object = g_dbus_connection_register_object(link->bus, AGENT_PATH, (GDBusInterfaceInfo *) &org_spark_assistant_agent_interface,
                                                         &vtable, link, NULL, error);
        if (!link->object)
                return FALSE;
        link->watch = g_bus_watch_name_on_connection(link->bus, SPARK_NAME, G_BUS_NAME_WATCHER_FLAGS_NONE, on_sparkd,
                                                     on_no_sparkd, link, NULL);
        return TRUE;
}

static void link_done(Link *link) {
        if (link->watch)
                g_bus_unwatch_name(link->watch);
        if (link->object)
                g_dbus_connection_unregister_object(link->bus, link->object);
        if (link->bus)
                g_dbus_connection_flush_sync(link->bus, NULL, NULL);
        g_clear_object(&link->bus);
        g_clear_pointer(&link->sparkd, g_free);
}

static void agent_done(Agent *agent) {
        if (agent->name)
                g_bus_unown_name(agent->name);
        questions_free(agent->questions);
        link_done(&agent->session);
        link_done(&agent->system);
        g_main_loop_unref(agent->loop);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Agent, agent_done)

static gboolean on_terminate(gpointer userdata) {
        g_main_loop_quit(userdata);
        return G_SOURCE_CONTINUE;
}

static int run(const char *dialog) {
        g_autoptr(GError) error = NULL;
        g_auto(Agent) agent = { .loop = g_main_loop_new(NULL, FALSE), .session.which = "session", .system.which = "system" };
        agent.session.bus = g_bus_get_sync(G_BUS_TYPE_SESSION, NULL, &error);
        if (!agent.session.bus) {
                g_printerr("spark-agent: Cannot reach the session bus: %s\n", error->message);
                return EX_UNAVAILABLE;
        }
        /* A machine without a system bus can have a sparkd of the session's own. */
        agent.system.bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, NULL);

        const AskContext context = { agent.session.bus, dialog };
        agent.questions = questions_new(&context);
        if (!link_open(&agent.session, &agent, &error) || (agent.system.bus && !link_open(&agent.system, &agent, &error))) {
                g_printerr("spark-agent: %s\n", error->message);
                return EX_SOFTWARE;
        }
        guint interrupt = g_unix_signal_add(SIGINT, on_terminate, agent.loop), terminate = g_unix_signal_add(SIGTERM, on_terminate, agent.loop);
        g_main_loop_run(agent.loop);
        g_source_remove(interrupt);
        g_source_remove(terminate);
        return EX_OK;
}

int main(int argc, char **argv) {
        setlocale(LC_ALL, "");
        /* Names of applications are read from local files; the file systems of desktops are of no use to that. */
        g_setenv("GIO_USE_VFS", "local", TRUE);

        g_autofree char *dialog = NULL;
        gboolean version = FALSE;
        const GOptionEntry entries[] = {
                { "dialog", 0, 0, G_OPTION_ARG_FILENAME, &dialog, "the program that shows a dialog", "PATH" },
                { "version", 0, 0, G_OPTION_ARG_NONE, &version, "print the version", NULL },
                {},
        };
        g_autoptr(GOptionContext) options = g_option_context_new("- asks for consent in a desktop session");
        g_autoptr(GError) error = NULL;
        g_option_context_add_main_entries(options, entries, NULL);
        if (!g_option_context_parse(options, &argc, &argv, &error) || argc > 1) {
                g_printerr("spark-agent: %s\n", error ? error->message : "there are no arguments but options");
                return EX_USAGE;
        }
        if (version) {
                g_print("spark-agent " SPARK_VERSION "\n");
                return EX_OK;
        }
        return run(dialog ?: SPARK_LIBEXECDIR "/spark-agent-dialog");
}
