/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the list of open devices and who is told of it. Refuses to broadcast: what somebody has open concerns the user's own
 * shell, which asks to be told, and not the other applications of the bus. Whoever asked and does not read is forgotten. */

#include <string.h>

#include "daemon/sparkd/captures.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/message.h"
#include "daemon/sparkd/record.h"

#define SIGNAL_BYTES 512u                  /* what one signal counts as, of the client's window */

static const char *device_name(const Capture *c) {
        return capability_info(c->device)->name;
}

static bool concerns(const Capture *c, const Identity *caller) {
        const Identity *id = &c->app->identity;
        return !identity_is_sandboxed(caller) ||
               (id->kind == caller->kind && id->certainty == caller->certainty && strcmp(id->app, caller->app) == 0);
}

/* One beside `except`, which may be NULL. */
static bool seen_beside(const User *u, const Capture *except, const Identity *caller) {
        LIST_FOREACH(&u->captures, l) {
                const Capture *c = LIST_OBJECT(l, Capture, link);
                if (c != except && concerns(c, caller))
                        return true;
        }
        return false;
}

bool captures_seen(const User *u, const Identity *caller) {
        return seen_beside(u, NULL, caller);
}

/* ---- telling ---- */

static int send_property(const Client *c, bool open) {
        sd_bus_message *m = NULL;
        int r;

        r = client_signal(c, SPARK_ROOT_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sa{sv}as", SPARK_INTERFACE, 1, "Capturing", "b", (int) open, 0);
        return message_send(m, r);
}

static int send_change(const Client *c, const Capture *capture, bool open) {
        const Identity *id = &capture->app->identity;
        sd_bus_message *m = NULL;
        int r;

        r = client_signal(c, SPARK_ROOT_PATH, SPARK_INTERFACE, "CapturingChanged", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "tsssb", capture->number, device_name(capture), id->app, certainty_name(id->certainty), (int) open);
        return message_send(m, r);
}

static void tell(const Capture *capture, bool open) {
        const User *u = capture->app->user;

        LIST_FOREACH(&u->manager->clients, l) {
                Client *c = LIST_OBJECT(l, Client, link);
                int r = 0;
                if (c->user != u || !(c->watches || c->app == capture->app))
                        continue;
                if (c->watches && client_window(c) < SIGNAL_BYTES) {
                        log_notice("%s (%s) does not read, it is no longer told what is open", c->name, c->identity.app);
                        c->watches = false;
                        client_settle(c);
                        continue;
                }
                if (!seen_beside(u, capture, &c->identity))
                        r = send_property(c, open);
                if (r >= 0 && c->watches)
                        r = send_change(c, capture, open);
                if (r < 0)
                        log_warning("Cannot tell %s what is open: %s, ignoring", c->name, strerror(-r));
                client_sent(c, SIGNAL_BYTES);
        }
}

/* ---- what is open ---- */

void capture_begin(Capture *c, App *a, Capability device) {
        Manager *m = a->user->manager;

        *c = (Capture) { .app = app_ref(a), .device = device, .number = ++m->last_capture, .begun_usec = manager_now(m) };
        list_append(&a->user->captures, &c->link);
        tell(c, true);
}

uint64_t capture_end(Capture *c) {
        if (!c->app)
                return 0;
        uint64_t usec = manager_now(c->app->user->manager) - c->begun_usec;
        list_remove(&c->link);
        tell(c, false);
        app_unref(c->app);
        *c = (Capture) {};
        return usec;
}

static uint64_t begun_at(const Capture *c) {
        return record_now() - (manager_now(c->app->user->manager) - c->begun_usec);
}

int captures_append(sd_bus_message *m, const User *u) {
        int r = 0;

        LIST_FOREACH(&u->captures, l) {
                const Capture *c = LIST_OBJECT(l, Capture, link);
                if (r >= 0)
                        r = sd_bus_message_append(m, "a{sv}", 5,
                                                  "capture", "t", c->number,
                                                  "device", "s", device_name(c),
                                                  "app", "s", c->app->identity.app,
                                                  "certainty", "s", certainty_name(c->app->identity.certainty),
                                                  "started", "t", begun_at(c));
        }
        return r;
}

int captures_append_uses(sd_bus_message *m, const User *u) {
        int r = 0;

        LIST_FOREACH(&u->captures, l) {
                const Capture *c = LIST_OBJECT(l, Capture, link);
                if (r >= 0)
                        r = sd_bus_message_append(m, "a{sv}", 8,
                                                  "uid", "u", (uint32_t) u->uid,
                                                  "app", "s", c->app->identity.app,
                                                  "certainty", "s", certainty_name(c->app->identity.certainty),
                                                  "capability", "s", device_name(c),
                                                  "state", "s", "running",
                                                  "priority", "s", "interactive",
                                                  "started", "t", begun_at(c),
                                                  "tokens", "t", (uint64_t) 0);
        }
        return r;
}
