/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the method calls that wait for the user's word and belong to no session. Refuses to go on with any that is denied, or
 * was allowed a moment ago and no longer is: it is decided anew when the answer has come. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/allow.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/consent.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/log.h"

static const Want wanted = { CAPABILITY_GENERATE };

typedef struct Held {
        Client *client;
        Link link;                         /* in client->held */
        sd_bus_message *message;
        AuthorizedMethod method;
        ConsentWaiter consent;
} Held;

static Held *held_free(Held *h) {
        Client *c = h->client;

        consent_leave(&h->consent);
        list_remove(&h->link);
        c->n_held--;
        sd_bus_message_unref(h->message);
        free(h);
        client_settle(c);
        return NULL;
}

void allow_drop(Client *c) {
        LIST_FOREACH(&c->held, l)
                held_free(LIST_OBJECT(l, Held, link));
}

void allow_stop(User *u) {
        LIST_FOREACH(&u->manager->clients, l) {
                Client *c = LIST_OBJECT(l, Client, link);
                if (c->user != u)
                        continue;
                LIST_FOREACH(&c->held, k)
                        (void) sd_bus_reply_method_errorf(LIST_OBJECT(k, Held, link)->message, SPARK_ERROR_CANCELLED, "sparkd stops");
                c->pinned = true;
                allow_drop(c);
                c->pinned = false;
                client_settle(c);
        }
}

static void held_answered(ConsentWaiter *w, Answer answer, Reason reason) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Held *h = LIST_OBJECT(w, Held, consent);
        Client *c = h->client;
        Caller caller = { .user = c->user, .identity = c->identity, .uid = c->identity.uid, .pid = c->pid, .name = c->name };
        const Want *denied;
        Ruling ruling;
        int r;

        if (gate_answered(c->user, &c->identity, &wanted, 1, answer, reason, &ruling, &denied)) {
                caller.allowed_by = ruling.reason;
                r = sd_bus_message_rewind(h->message, true);
                if (r >= 0)
                        r = h->method(h->message, &caller, &error);
        } else
                r = gate_refuse(c->user, &c->identity, denied, &ruling, &error);
        if (r < 0)
                r = sd_bus_reply_method_errno(h->message, r, &error);
        if (r < 0)
                log_warning("Cannot answer a call of %s: %s, ignoring", c->name, strerror(-r));
        held_free(h);
}

static int hold(Client *c, sd_bus_message *message, AuthorizedMethod method, sd_bus_error *reterr) {
        const ConsentAsker asker = { .identity = &c->identity, .pid = c->pid };

        if (c->n_held >= HELD_PER_CLIENT)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%zu of %u calls of this connection wait for the user", c->n_held, HELD_PER_CLIENT);
        Held *h = malloc(sizeof *h);
        if (!h)
                return -ENOMEM;
        *h = (Held) { .client = c, .message = sd_bus_message_ref(message), .method = method, .consent.answered = held_answered };
        list_append(&c->held, &h->link);
        c->n_held++;
        int r = consent_ask(c->user, &asker, &wanted, 1, &h->consent, reterr);
        if (r >= 0)
                return 1;
        c->pinned = true;
        held_free(h);
        c->pinned = false;
        return r;
}

int allow_first(sd_bus_message *message, const Caller *caller, AuthorizedMethod method, sd_bus_error *reterr) {
        Manager *m = caller->user->manager;
        Client *c = client_find(m, caller->name);
        Ruling ruling;
        int r;

        gate_decide(caller->user, &caller->identity, &wanted, c && gate_allowed_once(c, &wanted, 1) ? ANSWER_ONCE : ANSWER_NONE, &ruling);
        if (ruling.decision == DECISION_DENY)
                return gate_refuse(caller->user, &caller->identity, &wanted, &ruling, reterr);
        if (ruling.decision == DECISION_ALLOW) {
                Caller allowed = *caller;
                allowed.allowed_by = ruling.reason;
                r = sd_bus_message_rewind(message, true);
                return r < 0 ? r : method(message, &allowed, reterr);
        }
        r = client_of_message(m, message, &c, reterr);
        if (r >= 0)
                r = hold(c, message, method, reterr);
        if (r < 0 && c)
                client_settle(c);
        return r;
}
