/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the list of agents. Refuses apps in a sandbox, whoever is of another user, and more than a few of one; which agent
 * speaks for whom follows from what the kernel and logind say of both, and from nothing that either claims. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-login.h>

#include "daemon/sparkd/agents.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/consent.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/log.h"


static Agent *agent_free(Agent *a) {
        if (!a)
                return NULL;
        if (a->link.next) {
                list_remove(&a->link);
                a->manager->n_agents--;
        }
        sd_bus_track_unref(a->track);
        free(a->name);
        free(a->path);
        free(a);
        return NULL;
}

void agents_done(Manager *m) {
        m->agent_start = sd_bus_slot_unref(m->agent_start);
        LIST_FOREACH(&m->agents, l)
                agent_free(LIST_OBJECT(l, Agent, link));
}

/* What it was asked comes back as an error of the call. */
static int on_gone(sd_bus_track *track, void *userdata) {
        agent_free(userdata);
        return 0;
}

static Agent *find_registered(Manager *m, const char *name, const char *path) {
        LIST_FOREACH(&m->agents, l) {
                Agent *a = LIST_OBJECT(l, Agent, link);
                if (strcmp(a->name, name) == 0 && strcmp(a->path, path) == 0)
                        return a;
        }
        return NULL;
}

static int check_caller(Manager *m, const Caller *c, sd_bus_error *reterr) {
        size_t n = 0;

        if (m->user_mode && c->uid != getuid())
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_ACCESS_DENIED, "This bus is user %u's; user %u cannot answer for another", (unsigned) getuid(), (unsigned) c->uid);
        if (identity_is_sandboxed(&c->identity))
                return sd_bus_error_set(reterr, SD_BUS_ERROR_ACCESS_DENIED, "An app in a sandbox cannot answer for the user");
        LIST_FOREACH(&m->agents, l)
                n += LIST_OBJECT(l, Agent, link)->uid == c->uid;
        if (n >= AGENTS_PER_USER)
                return sd_bus_error_setf(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "%zu of %u agents of this user are registered; end one", n, AGENTS_PER_USER);
        if (m->n_agents >= AGENTS_MAX)
                return sd_bus_error_setf(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "%u agents are registered already", AGENTS_MAX);
        return 0;
}

int agent_register(Manager *m, const Caller *c, const char *path, bool desktop, sd_bus_error *reterr) {
        int r;

        if (find_registered(m, c->name, path))
                return 0;
        r = check_caller(m, c, reterr);
        if (r < 0)
                return r;
        Agent *a = calloc(1, sizeof *a);
        if (!a)
                return -ENOMEM;
        *a = (Agent) { .manager = m, .uid = c->uid, .desktop = desktop, .number = ++m->last_agent, .name = strdup(c->name), .path = strdup(path) };
        identity_session(&c->identity, a->session);
        r = a->name && a->path ? sd_bus_track_new(m->bus, &a->track, on_gone, a) : -ENOMEM;
        if (r >= 0)
                r = sd_bus_track_add_name(a->track, a->name);
        if (r < 0) {
                agent_free(a);
                return r;
        }
        list_append(&m->agents, &a->link);
        m->n_agents++;
        m->agent_missing_until = 0;
        consents_agent_came(m, a->uid);
        return 0;
}

int agent_unregister(Manager *m, const char *name, const char *path, sd_bus_error *reterr) {
        Agent *a = find_registered(m, name, path);
        if (!a)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "No agent of yours is registered at %s", path);
        agent_free(a);
        return 0;
}

void agent_cancel(Manager *m, const char *name, const char *path, const char *request) {
        sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(m->bus, &message, name, path, AGENT_INTERFACE, "Cancel");
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(message, false);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, false);
        if (r >= 0)
                r = sd_bus_message_append(message, "s", request);
        if (r >= 0)
                r = sd_bus_send(NULL, message, NULL);
        sd_bus_message_unref(message);
        if (r < 0)
                log_warning("Cannot take back what an agent was asked: %s, ignoring", strerror(-r));
}

/* Whether somebody sits there who could see a question. Where no logind is, nobody can say. */
static bool user_is_present(const User *u) {
        return access("/run/systemd/seats", F_OK) < 0 || sd_uid_get_sessions(u->uid, 1, NULL) > 0;
}

const Agent *agent_find(User *u, const Identity *asker, uint64_t below) {
        Manager *m = u->manager;
        const Agent *own = NULL, *other = NULL;
        char session[SESSION_ID_MAX];

        identity_session(asker, session);
        LIST_FOREACH(&m->agents, l) {
                const Agent *a = LIST_OBJECT(l, Agent, link);
                if (a->uid != u->uid || a->number >= below)
                        continue;
                if (m->user_mode || (a->session[0] && strcmp(a->session, session) == 0))
                        own = a;
                else if (!a->session[0])
                        other = a;
        }
        return own || !other || user_is_present(u) ? own ?: other : NULL;
}

static bool agent_may_come(const Manager *m) {
        uint64_t now = manager_now(m);
        return m->user_mode ? now >= m->agent_missing_until : now < m->agents_come_until;
}

bool agent_expected(User *u, const Identity *asker) {
        return agent_find(u, asker, UINT64_MAX) || agent_may_come(u->manager);
}

static int on_started(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Manager *m = userdata;

        m->agent_start = sd_bus_slot_unref(m->agent_start);
        if (!sd_bus_message_is_method_error(reply, NULL))
                return 0;
        log_info("The session bus starts no agent: %s", sd_bus_message_get_error(reply)->message);
        m->agent_missing_until = manager_now(m) + AGENT_MISSING_USEC;
        consents_agent_failed(m);
        return 0;
}

int agent_start(Manager *m, uint64_t *ret_usec) {
        sd_bus_message *message = NULL;
        int r;

        if (!agent_may_come(m))
                return -EHOSTUNREACH;
        *ret_usec = m->user_mode ? AGENT_COME_USEC : m->agents_come_until - manager_now(m);
        if (!m->user_mode)
                return 0;
        if (m->agent_start)
                return 0;
        r = sd_bus_message_new_method_call(m->bus, &message, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "StartServiceByName");
        if (r >= 0)
                r = sd_bus_message_append(message, "su", AGENT_BUS_NAME, 0);
        if (r >= 0)
                r = sd_bus_call_async(m->bus, &m->agent_start, message, on_started, m, AGENT_START_USEC);
        sd_bus_message_unref(message);
        return r;
}
