/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One connection to org.spark.Assistant. Interfaces: dbus/org.spark.Assistant*.xml. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "basic/json.h"
#include "cli/sparkctl.h"

#define SPARK_NAME "org.spark.Assistant"
#define SPARK_PATH "/org/spark/Assistant"
#define SPARK_INTERFACE "org.spark.Assistant"
#define SPARK_SESSION_INTERFACE "org.spark.Assistant.Session"
#define SPARK_DEBUG_INTERFACE "org.spark.Assistant.Debug"
#define SPARK_PERMISSIONS_INTERFACE "org.spark.Assistant.Permissions"
#define SPARK_ERROR_PREFIX "org.spark.Assistant.Error."
#define AGENT_NAME "org.spark.Assistant.Agent"

typedef struct Client {
        sd_event *event;
        sd_bus *bus;
        bool user;                /* the session bus; else the system bus */
} Client;

static inline void sd_bus_drop(sd_bus *b) {
        sd_bus_flush_close_unref(b);
}
DEFINE_CLEANUP(sd_bus, sd_bus_drop);
static inline void sd_bus_message_drop(sd_bus_message *m) {
        sd_bus_message_unref(m);
}
DEFINE_CLEANUP(sd_bus_message, sd_bus_message_drop);
#define _cleanup_error_ _cleanup_(sd_bus_error_free)

/* Connects as the context says. Says what is wrong and returns an ExitCode; EXIT_OK with *ret set. */
int client_open(const Context *context, Client *ret);
void client_done(Client *c);

/* The machine's sparkd cannot reach a session bus: whoever calls it from a session has the agent started that it may have
 * to ask, about this very caller to begin with; before the first call. Says nothing, and waits a moment at most, where
 * there is no session or no agent. */
void client_start_agent(const Client *c);

/* Names an error of the bus or of sparkd for a person (or as {"error", "message"} on standard output with --json) and
 * returns the exit code that fits. `doing`: "ask", "open a session". */
int client_error(const Context *context, const char *doing, const sd_bus_error *e, int r);

/* The same for an error that came by name, in a turn's Finished. */
int client_error_named(const Context *context, const char *doing, const char *name, const char *message);

/* What stands at the message's cursor (one complete type) as JSON: dictionaries as objects, variants as what they hold. */
int message_to_json(sd_bus_message *m, json_t **ret);

/* Prints JSON on one line and drops it. */
int print_json(json_t *j);
