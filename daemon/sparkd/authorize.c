/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the calls that wait for polkit. Root and, where there is only one user, that user need no word of polkit's; an app
 * in a sandbox is refused whatever polkit would say, for it knows the user and not the app. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/authorize.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/log.h"

#define POLKIT_ALLOW_INTERACTION 1u

static const char *const actions[AUTHORIZE_MAX_] = {
        [AUTHORIZE_OWN] = "org.spark.assistant.manage-own-permissions",
        [AUTHORIZE_OTHERS] = "org.spark.assistant.manage-permissions",
        [AUTHORIZE_MODELS] = "org.spark.assistant.manage-models",
};

typedef struct Authorization {
        Manager *manager;
        Link link;                         /* in manager->authorizations */
        Caller caller;                     /* its name is the message's, its user referenced */
        sd_bus_message *message;
        AuthorizeAction action;
        AuthorizedMethod method;
        sd_bus_slot *call;
} Authorization;

static Authorization *authorization_free(Authorization *a) {
        sd_bus_slot_unref(a->call);
        sd_bus_message_unref(a->message);
        list_remove(&a->link);
        a->manager->n_authorizations--;
        user_unref(a->caller.user);
        free(a);
        return NULL;
}

void authorizations_done(Manager *m) {
        LIST_FOREACH(&m->authorizations, l)
                authorization_free(LIST_OBJECT(l, Authorization, link));
}

static int refuse(AuthorizeAction action, const char *error, const char *why, sd_bus_error *reterr) {
        return sd_bus_error_setf(reterr, error, "%s%s%s", why, actions[action] ? ": " : "", actions[action] ?: "");
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Authorization *a = userdata;
        int authorized = 0, challenge = 0, r;

        if (sd_bus_message_is_method_error(reply, NULL)) {
                log_warning("polkit does not answer: %s", sd_bus_message_get_error(reply)->message);
                r = refuse(a->action, SD_BUS_ERROR_ACCESS_DENIED, "polkit does not answer", &error);
        } else {
                r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
                if (r >= 0)
                        r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
                if (r >= 0 && authorized)
                        r = sd_bus_message_rewind(a->message, true);
                if (r >= 0 && authorized)
                        r = a->method(a->message, &a->caller, &error);
                else if (r >= 0 && challenge)
                        r = refuse(a->action, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, "polkit wants somebody to authenticate", &error);
                else if (r >= 0)
                        r = refuse(a->action, SD_BUS_ERROR_ACCESS_DENIED, "polkit does not allow it", &error);
        }
        if (r < 0)
                (void) sd_bus_reply_method_errno(a->message, r, &error);
        authorization_free(a);
        return 0;
}

static int ask_polkit(Authorization *a) {
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(a->manager->bus, &m, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                                           "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sa{sv})", "system-bus-name", 1, "name", "s", a->caller.name);
        if (r >= 0)
                r = sd_bus_message_append(m, "sa{ss}us", actions[a->action], 0,
                                          sd_bus_message_get_allow_interactive_authorization(a->message) > 0 ? POLKIT_ALLOW_INTERACTION : 0, "");
        if (r >= 0)
                r = sd_bus_call_async(a->manager->bus, &a->call, m, on_answer, a, AUTHORIZE_USEC);
        sd_bus_message_unref(m);
        return r;
}

int authorize(Manager *m, sd_bus_message *message, const Caller *c, AuthorizeAction action, AuthorizedMethod method, sd_bus_error *reterr) {
        size_t n = 0;
        int r;

        if (identity_is_sandboxed(&c->identity))
                return refuse(action, SD_BUS_ERROR_ACCESS_DENIED, "An app in a sandbox cannot do this", reterr);
        if (action == AUTHORIZE_READ_OWN || m->user_mode || c->uid == 0) {
                r = sd_bus_message_rewind(message, true);
                return r < 0 ? r : method(message, c, reterr);
        }
        LIST_FOREACH(&m->authorizations, l)
                n += LIST_OBJECT(l, Authorization, link)->caller.uid == c->uid;
        if (n >= AUTHORIZATIONS_PER_USER || m->n_authorizations >= AUTHORIZATIONS_MAX)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%zu calls of this user wait for polkit, at most %u", n, AUTHORIZATIONS_PER_USER);
        Authorization *a = calloc(1, sizeof *a);
        if (!a)
                return -ENOMEM;
        *a = (Authorization) { .manager = m, .caller = *c, .message = sd_bus_message_ref(message), .action = action, .method = method };
        a->caller.name = sd_bus_message_get_sender(message);
        c->user->n_refs++;
        list_append(&m->authorizations, &a->link);
        m->n_authorizations++;
        r = ask_polkit(a);
        if (r < 0) {
                authorization_free(a);
                return r;
        }
        return 1;
}
