/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns org.spark.Assistant.Permissions on the root object: what an app asks about itself, agents, and the user's answers.
 * What is listed is permissions-list.c's. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/agents.h"
#include "daemon/sparkd/authorize.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/confirm.h"
#include "daemon/sparkd/consent.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/message.h"
#include "daemon/sparkd/options.h"
#include "daemon/sparkd/permissions.h"
#include "daemon/sparkd/record.h"
#include "daemon/sparkd/text.h"

#define PARENT_WINDOW_MAX 256u

int read_want(const char *name, Want *ret, sd_bus_error *reterr) {
        char shown[64];

        if (want_parse(name, ret) >= 0 && strcmp(ret->tool, "*") != 0)
                return 0;
        text_printable(name, shown, sizeof shown);
        return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "'%s' is no capability: generate, image, audio, microphone, camera, "
                                 "microphone-raw, camera-raw, speak, memory, background, remote or tool:NAME", shown);
}

/* ---- agents ---- */

typedef struct AgentOptions {
        char *kind;
} AgentOptions;

static const OptionSpec agent_options[] = {
        { "kind", "s", offsetof(AgentOptions, kind), 0, 32, OPTION_ALWAYS },
};

static int method_register_agent(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Manager *m = userdata;
        AgentOptions o = {};
        const char *path;
        Caller c;
        int r;

        r = sd_bus_message_read(message, "o", &path);
        if (r >= 0)
                r = options_read(message, agent_options, ELEMENTSOF(agent_options), &o, NULL, reterr);
        if (r >= 0 && o.kind && strcmp(o.kind, "desktop") != 0 && strcmp(o.kind, "text") != 0)
                r = sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "Option 'kind' has to be 'desktop' or 'text'");
        const bool desktop = o.kind && strcmp(o.kind, "desktop") == 0;
        free(o.kind);
        if (r >= 0)
                r = caller_of_message(m, message, &c, reterr);
        if (r >= 0)
                r = agent_register(m, &c, path, desktop, reterr);
        return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

static int method_unregister_agent(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const char *path;
        int r;

        r = sd_bus_message_read(message, "o", &path);
        if (r >= 0)
                r = agent_unregister(userdata, sd_bus_message_get_sender(message) ?: "", path, reterr);
        return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

/* ---- what an app asks about itself ---- */

static const char *const decision_names[] = { [DECISION_ALLOW] = "allow", [DECISION_ASK] = "ask", [DECISION_DENY] = "deny" };

static int method_check(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const char *name;
        Ruling ruling;
        Caller c;
        Want w;
        int r;

        r = confirm_first(userdata, message, method_check);
        if (r != 0)
                return r;
        r = sd_bus_message_read(message, "s", &name);
        if (r >= 0)
                r = no_options(message, reterr);
        if (r >= 0)
                r = read_want(name, &w, reterr);
        if (r >= 0)
                r = caller_of_message(userdata, message, &c, reterr);
        if (r < 0)
                return r;
        gate_decide(c.user, &c.identity, &w, ANSWER_NONE, &ruling);
        return sd_bus_reply_method_return(message, "s", decision_names[ruling.decision]);
}

typedef struct Request {
        Client *client;
        Link link;                         /* in client->requests */
        uint64_t number;
        Want wants[CONSENT_WANTS_MAX];
        bool asked[CONSENT_WANTS_MAX];     /* which of them the user is asked for */
        size_t n_wants;
        ConsentWaiter consent;
} Request;

static Request *request_free(Request *q) {
        Client *c = q->client;

        consent_leave(&q->consent);
        list_remove(&q->link);
        c->n_requests--;
        free(q);
        client_settle(c);
        return NULL;
}

void requests_drop(Client *c) {
        LIST_FOREACH(&c->requests, l)
                request_free(LIST_OBJECT(l, Request, link));
}

static int request_append(sd_bus_message *m, const Request *q, Answer answer) {
        char name[TOOL_NAME_MAX + 32];
        Ruling ruling;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{ss}");
        for (size_t i = 0; r >= 0 && i < q->n_wants; i++) {
                gate_decide(q->client->user, &q->client->identity, q->wants + i, answer == ANSWER_ONCE ? answer : ANSWER_NONE, &ruling);
                want_name(q->wants + i, name, sizeof name);
                r = sd_bus_message_append(m, "{ss}", name, ruling.decision == DECISION_ALLOW ? "allow" : "deny");
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* What is allowed once is allowed for the next turn of this connection. */
static void request_grant_once(Request *q) {
        Client *c = q->client;

        memcpy(c->once, q->wants, q->n_wants * sizeof *q->wants);
        c->n_once = q->n_wants;
}

static void request_end(Request *q, Answer answer) {
        sd_bus_message *m = NULL;
        int r;

        r = client_signal(q->client, SPARK_ROOT_PATH, SPARK_PERMISSIONS_INTERFACE, "Answered", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "t", q->number);
        if (r >= 0)
                r = request_append(m, q, answer);
        r = message_send(m, r);
        if (r < 0)
                log_warning("Cannot tell %s what was answered: %s, ignoring", q->client->name, strerror(-r));
        if (answer == ANSWER_ONCE)
                request_grant_once(q);
        request_free(q);
}

/* What the user said is written down already; that nobody could be asked is not. */
static void request_answered(ConsentWaiter *w, Answer answer, Reason reason) {
        Request *q = LIST_OBJECT(w, Request, consent);

        for (size_t i = 0; answer == ANSWER_NONE && i < q->n_wants; i++)
                if (q->asked[i])
                        record_refusal(q->client->user, &q->client->identity, q->wants + i, reason);
        request_end(q, answer);
}

static int request_read_wants(sd_bus_message *message, Request *q, sd_bus_error *reterr) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(message, "s", &name)) > 0) {
                if (q->n_wants >= CONSENT_WANTS_MAX)
                        return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "More than %u capabilities in one request", CONSENT_WANTS_MAX);
                r = read_want(name, q->wants + q->n_wants++, reterr);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        if (r >= 0 && q->n_wants == 0)
                return sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "There is no capability");
        return r;
}

static int method_request(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Manager *m = userdata;
        _cleanup_free_ Request *q = calloc(1, sizeof *q);
        const char *window;
        bool asks = false;
        Client *c;
        int r;

        if (!q)
                return -ENOMEM;
        r = confirm_first(m, message, method_request);
        if (r != 0)
                return r;
        r = request_read_wants(message, q, reterr);
        if (r >= 0)
                r = sd_bus_message_read(message, "s", &window);
        if (r >= 0)
                r = no_options(message, reterr);
        if (r >= 0 && strlen(window) > PARENT_WINDOW_MAX)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "The parent window has %zu bytes, at most %u are taken", strlen(window), PARENT_WINDOW_MAX);
        if (r >= 0)
                r = client_of_message(m, message, &c, reterr);
        if (r < 0)
                return r;
        if (c->n_requests >= REQUESTS_PER_CLIENT)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%zu of %u requests of this connection wait for the user", c->n_requests, REQUESTS_PER_CLIENT);
        for (size_t i = 0; i < q->n_wants; i++) {
                Ruling ruling;
                gate_decide(c->user, &c->identity, q->wants + i, ANSWER_NONE, &ruling);
                asks |= ruling.decision == DECISION_ASK;
                if (ruling.decision == DECISION_DENY)
                        record_refusal(c->user, &c->identity, q->wants + i, ruling.reason);
                else if (ruling.decision == DECISION_ASK)
                        q->asked[i] = true;
        }
        q->client = c;
        q->number = ++m->last_request;
        q->consent.answered = request_answered;
        if (asks) {
                const ConsentAsker asker = { .identity = &c->identity, .pid = c->pid, .parent_window = window };
                r = consent_ask(c->user, &asker, q->wants, q->n_wants, &q->consent, reterr);
                if (r < 0) {
                        client_settle(c);
                        return r;
                }
        }
        list_append(&c->requests, &q->link);
        c->n_requests++;
        r = sd_bus_reply_method_return(message, "t", q->number);
        Request *taken = TAKE_PTR(q);
        if (!asks)
                request_end(taken, ANSWER_NONE);
        return r;
}

/* ---- the user's answers ---- */

static const OptionSpec certainty_options[] = {
        { "certainty", "s", 0, 0, 32, OPTION_ALWAYS },
};

typedef struct Sight {
        const char *app;
        bool found;
        Certainty certainty;
        int64_t last;
} Sight;

static int see(void *userdata, const LedgerAnswer *a, int64_t last_use_us) {
        Sight *s = userdata;
        if (strcmp(a->app, s->app) == 0 && (!s->found || last_use_us > s->last)) {
                s->found = true;
                s->certainty = a->certainty;
                s->last = last_use_us;
        }
        return 0;
}

/* An app by its name alone: as it was seen last, or the least that an app of such a name can be. */
static int identity_of_name(const Caller *c, const char *app, const char *certainty, Identity *ret, sd_bus_error *reterr) {
        Sight sight = { .app = app };
        int error;

        if (!app_id_valid(app))
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "An app's name has 1 to %u bytes and no control characters", APP_ID_MAX);
        *ret = c->identity;
        ret->uid = c->user->uid;
        strcpy(ret->app, app);
        ret->kind = app[0] == '/' ? IDENTITY_EXECUTABLE : strcmp(app, "?") == 0 ? IDENTITY_UNKNOWN : IDENTITY_SCOPE;
        if (certainty)
                return certainty_parse(certainty, &ret->certainty) < 0
                               ? sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "Option 'certainty' has to be sandboxed, unit, path or unknown") : 0;
        ret->certainty = app[0] == '/' ? CERTAINTY_PATH : strcmp(app, "?") == 0 ? CERTAINTY_UNKNOWN : CERTAINTY_UNIT;
        Ledger *l = record_ledger(c->user, &error);
        if (l && ledger_seen(l, see, &sight) >= 0 && sight.found)
                ret->certainty = sight.certainty;
        return 0;
}

static int set_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        const char *app, *name, *said;
        _cleanup_free_ char *certainty = NULL;
        Answer answer = ANSWER_NONE;
        Identity id;
        Want w;
        int r;

        r = sd_bus_message_read(message, "sss", &app, &name, &said);
        if (r >= 0)
                r = options_read(message, certainty_options, ELEMENTSOF(certainty_options), &certainty, NULL, reterr);
        if (r >= 0)
                r = read_want(name, &w, reterr);
        if (r >= 0 && (answer_parse(said, &answer) < 0 || (answer != ANSWER_ALWAYS && answer != ANSWER_NEVER)))
                r = sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "An answer that is kept is 'always' or 'never'");
        if (r >= 0)
                r = identity_of_name(c, app, certainty, &id, reterr);
        if (r < 0)
                return r;
        r = gate_keep(c->user, &id, &w, answer);
        if (r < 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "The ledger cannot be written: %s", strerror(-r));
        return sd_bus_reply_method_return(message, NULL);
}

static int method_set(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Caller c;
        int r = caller_of_message(userdata, message, &c, reterr);
        return r < 0 ? r : authorize(userdata, message, &c, AUTHORIZE_OWN, set_authorized, reterr);
}

static int reset_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        const char *app, *name;
        uint64_t n = 0;
        Want w;
        int r;

        r = sd_bus_message_read(message, "ss", &app, &name);
        if (r >= 0)
                r = no_options(message, reterr);
        if (r >= 0 && name[0])
                r = read_want(name, &w, reterr);
        if (r < 0)
                return r;
        r = gate_reset(c->user, app[0] ? app : NULL, name[0] ? &w : NULL, &n);
        if (r < 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "The ledger cannot be written: %s", strerror(-r));
        return sd_bus_reply_method_return(message, "u", (uint32_t) MIN(n, (uint64_t) UINT32_MAX));
}

static int method_reset(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Caller c;
        int r = caller_of_message(userdata, message, &c, reterr);
        return r < 0 ? r : authorize(userdata, message, &c, AUTHORIZE_OWN, reset_authorized, reterr);
}

static int explain_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        _cleanup_free_ char *certainty = NULL;
        const char *app, *name;
        char text[1536];
        Ruling ruling;
        Identity id;
        Want w;
        int r;

        r = sd_bus_message_read(message, "ss", &app, &name);
        if (r >= 0)
                r = options_read(message, certainty_options, ELEMENTSOF(certainty_options), &certainty, NULL, reterr);
        if (r >= 0)
                r = read_want(name, &w, reterr);
        if (r >= 0)
                r = identity_of_name(c, app, certainty, &id, reterr);
        if (r < 0)
                return r;
        gate_decide(c->user, &id, &w, ANSWER_NONE, &ruling);
        gate_explain(c->user, &id, &w, &ruling, text, sizeof text);
        return sd_bus_reply_method_return(message, "sss", decision_names[ruling.decision], reason_name(ruling.reason), text);
}

static int method_explain(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Caller c;
        int r = caller_of_message(userdata, message, &c, reterr);
        return r < 0 ? r : authorize(userdata, message, &c, AUTHORIZE_READ_OWN, explain_authorized, reterr);
}

static const sd_bus_vtable permissions_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("RegisterAgent",
                                SD_BUS_ARGS("o", path, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_register_agent, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("UnregisterAgent",
                                SD_BUS_ARGS("o", path), SD_BUS_NO_RESULT,
                                method_unregister_agent, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Check",
                                SD_BUS_ARGS("s", capability, "a{sv}", options), SD_BUS_RESULT("s", state),
                                method_check, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Request",
                                SD_BUS_ARGS("as", capabilities, "s", parent_window, "a{sv}", options), SD_BUS_RESULT("t", request),
                                method_request, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List",
                                SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", permissions),
                                method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Set",
                                SD_BUS_ARGS("s", app, "s", capability, "s", answer, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_set, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reset",
                                SD_BUS_ARGS("s", app, "s", capability, "a{sv}", options), SD_BUS_RESULT("u", n),
                                method_reset, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Ledger",
                                SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", uses, "b", more),
                                method_ledger, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Explain",
                                SD_BUS_ARGS("s", app, "s", capability, "a{sv}", options),
                                SD_BUS_RESULT("s", decision, "s", reason, "s", text),
                                method_explain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Problems",
                                SD_BUS_NO_ARGS, SD_BUS_RESULT("as", problems),
                                method_problems, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Monitor",
                                SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", uses),
                                method_monitor, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("WatchCaptures",
                                SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", captures),
                                method_watch_captures, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Answered", SD_BUS_ARGS("t", request, "a{ss}", answers), 0),
        SD_BUS_VTABLE_END,
};

int permissions_add(Manager *m) {
        return sd_bus_add_object_vtable(m->bus, NULL, SPARK_ROOT_PATH, SPARK_PERMISSIONS_INTERFACE, permissions_vtable, m);
}
