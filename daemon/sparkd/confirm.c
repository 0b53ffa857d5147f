/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the calls that wait for an agent's word on who made them. Refuses to take that word for more than it can be: the
 * agent is of the same user, so that it can vouch for what that user's own apps are, and for nothing against the unit
 * that the kernel tells. No word, in time or at all, leaves the identity as sparkd itself could establish it. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/sparkd/agents.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/confirm.h"
#include "daemon/sparkd/log.h"

struct Confirm {
        Manager *manager;
        Link link;                         /* in manager->confirms */
        sd_bus_message *message;
        sd_bus_message_handler_t handler;
        Identity identity;
        pid_t pid;
        sd_bus_slot *call;
};

static Confirm *confirm_free(Confirm *c) {
        list_remove(&c->link);
        c->manager->n_confirms--;
        sd_bus_slot_unref(c->call);
        sd_bus_message_unref(c->message);
        free(c);
        return NULL;
}

void confirms_done(Manager *m) {
        LIST_FOREACH(&m->confirms, l)
                confirm_free(LIST_OBJECT(l, Confirm, link));
}

static bool is_id(const char *app, bool path) {
        size_t n = strlen(app);
        if (n == 0 || n > APP_ID_MAX || (path ? app[0] != '/' : strchr(app, '/') != NULL))
                return false;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char) app[i] < 0x20 || app[i] == 0x7f)
                        return false;
        return true;
}

static void take_word(Identity *id, const char *kind, const char *app, const char *certainty) {
        if (strcmp(kind, identity_kind_name(IDENTITY_FLATPAK)) == 0 && strcmp(certainty, certainty_name(CERTAINTY_SANDBOXED)) == 0 &&
            is_id(app, false) && (id->kind == IDENTITY_UNKNOWN || strcmp(id->app, app) == 0)) {
                id->kind = IDENTITY_FLATPAK;
                id->certainty = CERTAINTY_SANDBOXED;
                strcpy(id->app, app);
        } else if (id->kind == IDENTITY_FLATPAK)
                identity_unknown(id->uid, id);          /* its unit claims a sandbox that is not there, or is another's */
        else if (strcmp(kind, identity_kind_name(IDENTITY_EXECUTABLE)) == 0 && is_id(app, true)) {
                id->kind = IDENTITY_EXECUTABLE;
                id->certainty = CERTAINTY_PATH;
                strcpy(id->app, app);
        }
}

static int on_word(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *kind, *app, *certainty;
        Confirm *c = userdata;
        Manager *manager = c->manager;

        if (sd_bus_message_is_method_error(m, NULL))
                log_info("The agent of user %u does not say who %d is: %s", (unsigned) c->identity.uid, (int) c->pid, sd_bus_message_get_error(m)->message);
        else if (sd_bus_message_read(m, "sss", &kind, &app, &certainty) >= 0)
                take_word(&c->identity, kind, app, certainty);

        manager->confirmed = c;
        int r = c->handler(c->message, manager, &error);
        manager->confirmed = NULL;
        if (r < 0 || sd_bus_error_is_set(&error))
                (void) sd_bus_reply_method_errno(c->message, r, &error);
        confirm_free(c);
        return 0;
}

/* The session's own. Those on a terminal answer questions and no more. */
static const Agent *confirming_agent(Manager *m, uid_t uid, const char *except) {
        const Agent *found = NULL;
        LIST_FOREACH(&m->agents, l) {
                const Agent *a = LIST_OBJECT(l, Agent, link);
                if (a->uid == uid && a->desktop && strcmp(a->name, except) != 0)
                        found = a;
        }
        return found;
}

static int ask(Manager *m, Confirm *c, const Agent *a, int pidfd) {
        sd_bus_message *call = NULL;

        int r = sd_bus_message_new_method_call(m->bus, &call, a->name, a->path, AGENT_INTERFACE, "Identify");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(call, false);
        if (r >= 0)
                r = sd_bus_message_append(call, "ha{sv}", pidfd, 0);
        if (r >= 0)
                r = sd_bus_call_async(m->bus, &c->call, call, on_word, c, CONFIRM_USEC);
        sd_bus_message_unref(call);
        return r;
}

int confirm_first(Manager *m, sd_bus_message *message, sd_bus_message_handler_t handler) {
        const char *name = sd_bus_message_get_sender(message);
        _cleanup_close_ int pidfd = -1;
        size_t n_of_user = 0;
        Identity identity;
        pid_t pid;

        if (m->user_mode || m->confirmed || m->n_agents == 0 || !name || client_find(m, name))
                return 0;
        if (identity_of_sender(message, &identity, &pid, &pidfd) < 0 || pidfd < 0)
                return 0;
        /* A snap's claim cannot be looked at this way; other units are what they are. */
        if (identity.uid == geteuid() || (identity.kind != IDENTITY_FLATPAK && identity.kind != IDENTITY_UNKNOWN))
                return 0;
        const Agent *a = confirming_agent(m, identity.uid, name);
        LIST_FOREACH(&m->confirms, l)
                n_of_user += LIST_OBJECT(l, Confirm, link)->identity.uid == identity.uid;
        if (!a || n_of_user >= CONFIRMS_PER_USER || m->n_confirms >= CONFIRMS_MAX)
                return 0;

        Confirm *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        *c = (Confirm) { .manager = m, .message = sd_bus_message_ref(message), .handler = handler, .identity = identity, .pid = pid };
        list_append(&m->confirms, &c->link);
        m->n_confirms++;
        int r = ask(m, c, a, pidfd);
        if (r < 0) {
                log_warning("Cannot ask the agent of user %u: %s, going on without", (unsigned) identity.uid, strerror(-r));
                confirm_free(c);
                return 0;
        }
        return 1;
}

int confirm_sender(Manager *m, sd_bus_message *message, Identity *ret, pid_t *ret_pid) {
        if (!m->confirmed || m->confirmed->message != message)
                return identity_of_sender(message, ret, ret_pid, NULL);
        *ret = m->confirmed->identity;
        *ret_pid = m->confirmed->pid;
        return 0;
}
