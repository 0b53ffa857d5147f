/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns what is known of one connection: who it is, what it holds here, how much it has yet to read. A client exists
 * while it has sessions or calls here or watches, and everything of it goes when it leaves the bus.
 *
 * Back-pressure: the bus takes signals for a client that does not read and keeps them. So that neither it nor sparkd
 * fills up, a client is sent DELTA_WINDOW_BYTES at most before it has answered an org.freedesktop.DBus.Peer.Ping, which
 * every D-Bus library does by itself as it reads. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/sparkd/allow.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/confirm.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/session.h"
#include "daemon/sparkd/turn.h"

#define PING_FROM_BYTES (DELTA_WINDOW_BYTES / 4)

Client *client_find(Manager *m, const char *name) {
        LIST_FOREACH(&m->clients, l)
                if (strcmp(LIST_OBJECT(l, Client, link)->name, name) == 0)
                        return LIST_OBJECT(l, Client, link);
        return NULL;
}

Client *client_free(Client *c) {
        if (!c)
                return NULL;
        sd_bus_slot_unref(c->ping);
        sd_bus_track_unref(c->track);
        c->pinned = true;
        /* Nothing is sent to it any more. */
        if (c->link.next) {
                list_remove(&c->link);
                c->user->n_clients--;
                c->user->manager->n_clients--;
        }
        requests_drop(c);
        allow_drop(c);
        LIST_FOREACH(&c->sessions, l) {
                Session *s = LIST_OBJECT(l, Session, link);
                list_remove(&s->link);
                s->client = NULL;
                session_close(s);
        }
        app_unref(c->app);
        user_unref(c->user);
        free(c->name);
        free(c);
        return NULL;
}

static int on_gone(sd_bus_track *track, void *userdata) {
        client_free(userdata);
        return 0;
}

void client_settle(Client *c) {
        if (!c->pinned && list_empty(&c->sessions) && list_empty(&c->requests) && list_empty(&c->held) && c->n_once == 0 && !c->watches)
                client_free(c);
}

static int client_new(Manager *m, const char *name, const Identity *identity, pid_t pid, Client **ret, sd_bus_error *reterr) {
        size_t per_user = m->user_mode ? CLIENTS_PER_USER : CLIENTS_PER_USER_SYSTEM;
        int r;

        Client *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        list_init(&c->sessions);
        list_init(&c->requests);
        list_init(&c->held);
        c->identity = *identity;
        c->pid = pid;
        c->name = strdup(name);
        r = c->name ? user_get(m, identity->uid, &c->user) : -ENOMEM;
        if (r >= 0)
                r = user_get_app(c->user, identity, &c->app);
        if (r == -EUSERS)
                r = sd_bus_error_setf(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "%u users are being served already; come back later", WORKERS_MAX);
        else if (r >= 0 && m->n_clients >= CLIENTS_MAX)
                r = sd_bus_error_setf(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "%u connections are being served already; come back later", CLIENTS_MAX);
        else if (r >= 0 && c->user->n_clients >= per_user)
                r = sd_bus_error_setf(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "%zu connections of yours are being served already; close one", per_user);
        if (r >= 0)
                r = sd_bus_track_new(m->bus, &c->track, on_gone, c);
        if (r >= 0)
                r = sd_bus_track_add_name(c->track, name);
        if (r < 0) {
                client_free(c);
                return r;
        }
        list_append(&m->clients, &c->link);
        m->n_clients++;
        c->user->n_clients++;
        *ret = c;
        return 0;
}

int client_of_message(Manager *m, sd_bus_message *message, Client **ret, sd_bus_error *reterr) {
        const char *name = sd_bus_message_get_sender(message);
        Identity identity;
        pid_t pid;
        int r;

        if (!name)
                return -EPERM;
        Client *c = client_find(m, name);
        if (c) {
                *ret = c;
                return 0;
        }
        r = confirm_sender(m, message, &identity, &pid);
        if (r < 0)
                return r;
        if (m->user_mode)
                identity.uid = getuid();
        return client_new(m, name, &identity, pid, ret, reterr);
}

int caller_of_message(Manager *m, sd_bus_message *message, Caller *ret, sd_bus_error *reterr) {
        Caller c = { .name = sd_bus_message_get_sender(message) };
        int r;

        if (!c.name)
                return -EPERM;
        r = confirm_sender(m, message, &c.identity, &c.pid);
        if (r < 0)
                return r;
        c.uid = c.identity.uid;
        r = user_of_message(m, message, &c.user, reterr);
        if (r < 0)
                return r;
        c.identity.uid = c.user->uid;
        *ret = c;
        return 0;
}

/* In the system instance nobody can look behind another user's sandbox: there the unit's claim counts against it. */
bool identity_is_sandboxed(const Identity *id) {
        return id->certainty == CERTAINTY_SANDBOXED || id->kind == IDENTITY_FLATPAK || id->kind == IDENTITY_SNAP;
}

int user_of_message(Manager *m, sd_bus_message *message, User **ret, sd_bus_error *reterr) {
        uid_t uid = getuid();
        int r;

        if (!m->user_mode) {
                const char *name = sd_bus_message_get_sender(message);
                Client *c = name ? client_find(m, name) : NULL;
                sd_bus_creds *creds = NULL;

                if (c)
                        uid = c->user->uid;
                else {
                        r = sd_bus_query_sender_creds(message, SD_BUS_CREDS_EUID, &creds);
                        if (r >= 0)
                                r = sd_bus_creds_get_euid(creds, &uid);
                        sd_bus_creds_unref(creds);
                        if (r < 0)
                                return r;
                }
        }
        r = user_get(m, uid, ret);
        if (r == -EUSERS)
                return sd_bus_error_setf(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "%u users are being served already; come back later", WORKERS_MAX);
        if (r >= 0)
                user_unref(*ret);
        return r;
}

/* ---- back-pressure ---- */

static void client_stalled(Client *c) {
        log_notice("%s (%s) does not read, its replies end", c->name, c->identity.app);
        LIST_FOREACH(&c->sessions, l) {
                Session *s = LIST_OBJECT(l, Session, link);
                if (s->turn && !s->ask)
                        turn_stalled(s->turn);
        }
}

static void client_ping(Client *c);

static int on_pong(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Client *c = userdata;

        c->ping = sd_bus_slot_unref(c->ping);
        c->pinned = true;
        /* Any answer of its own will do; no answer in time, or a full queue, will not. */
        if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_NO_REPLY) || sd_bus_message_is_method_error(m, SD_BUS_ERROR_TIMEOUT) ||
            sd_bus_message_is_method_error(m, SD_BUS_ERROR_LIMITS_EXCEEDED)) {
                client_stalled(c);
        } else {
                c->n_unread -= c->n_pinged;
                c->n_pinged = 0;
                LIST_FOREACH(&c->sessions, l)
                        if (LIST_OBJECT(l, Session, link)->turn)
                                turn_flush(LIST_OBJECT(l, Session, link)->turn);
                client_ping(c);
        }
        c->pinned = false;
        client_settle(c);
        return 0;
}

static void client_ping(Client *c) {
        sd_bus_message *m = NULL;
        int r;

        if (c->ping || c->n_unread < PING_FROM_BYTES)
                return;
        r = sd_bus_message_new_method_call(c->user->manager->bus, &m, c->name, "/", "org.freedesktop.DBus.Peer", "Ping");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                r = sd_bus_call_async(c->user->manager->bus, &c->ping, m, on_pong, c, DELTA_STALL_USEC);
        if (r >= 0)
                c->n_pinged = c->n_unread;
        else
                log_warning("Cannot ask whether %s reads: %s, ignoring", c->name, strerror(-r));
        sd_bus_message_unref(m);
}

int client_signal(const Client *c, const char *path, const char *interface, const char *member, sd_bus_message **ret) {
        int r = sd_bus_message_new_signal(c->user->manager->bus, ret, path, interface, member);
        return r < 0 ? r : sd_bus_message_set_destination(*ret, c->name);
}

size_t client_window(const Client *c) {
        uint64_t queued = 0;

        if (sd_bus_get_n_queued_write(c->user->manager->bus, &queued) >= 0 && queued >= OUTGOING_MESSAGES_MAX)
                return 0;
        return c->n_unread < DELTA_WINDOW_BYTES ? DELTA_WINDOW_BYTES - c->n_unread : 0;
}

void client_sent(Client *c, size_t n) {
        c->n_unread += n;
        client_ping(c);
}
