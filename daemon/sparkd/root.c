/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the root object: org.spark.Assistant and its Debug interface. Methods read what came, ask the parts below, and
 * answer; none waits. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "daemon/sparkd/allow.h"
#include "daemon/sparkd/calls.h"
#include "daemon/sparkd/captures.h"
#include "daemon/sparkd/charge.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/confirm.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/message.h"
#include "daemon/sparkd/session.h"
#include "daemon/sparkd/text.h"
#include "daemon/sparkd/turn.h"

typedef struct SessionOptions {
        Generation generation;
        char *instructions, *model, *priority, *overflow;
        IgnoredKeys ignored;
} SessionOptions;

static const OptionSpec session_options[] = {
        GENERATION_OPTIONS(offsetof(SessionOptions, generation)),
        { "instructions", "s", offsetof(SessionOptions, instructions), 0, INSTRUCTIONS_BYTES_MAX, OPTION_ALWAYS },
        { "model", "s", offsetof(SessionOptions, model), 0, MODEL_NAME_MAX, OPTION_ALWAYS },
        { "priority", "s", offsetof(SessionOptions, priority), 0, 32, OPTION_ALWAYS },
        { "overflow", "s", offsetof(SessionOptions, overflow), 0, 32, OPTION_ALWAYS },
};

static void session_options_done(SessionOptions *o) {
        free(o->instructions);
        free(o->model);
        free(o->priority);
        free(o->overflow);
        ignored_keys_done(&o->ignored);
}

/* Use cases that text alone serves, or the name of the model there is. */
static int check_model(const Manager *m, const char *model, sd_bus_error *reterr) {
        static const char *const use_cases[] = { "general", "summarise", "rewrite", "tag" };

        if (!model || strcmp(model, m->config.model) == 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(use_cases); i++)
                if (strcmp(use_cases[i], model) == 0)
                        return 0;
        return sd_bus_error_setf(reterr, SPARK_ERROR_UNSUPPORTED_CAPABILITY,
                                 "'%s' is neither a use case (general, summarise, rewrite, tag) nor the model that answers here, '%s'", model, m->config.model);
}

static int session_options_read(Manager *m, sd_bus_message *message, SessionOptions *o, SessionParams *ret, sd_bus_error *reterr) {
        int r;

        o->generation = GENERATION_DEFAULT;
        r = options_read(message, session_options, ELEMENTSOF(session_options), o, &o->ignored, reterr);
        if (r < 0)
                return r;
        r = check_model(m, o->model, reterr);
        if (r < 0)
                return r;
        bool background = o->priority && strcmp(o->priority, "background") == 0;
        if (o->priority && !background && strcmp(o->priority, "interactive") != 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "Option 'priority' is '%s', it has to be 'interactive' or 'background'", o->priority);
        bool drop_oldest = o->overflow && strcmp(o->overflow, "drop-oldest") == 0;
        if (o->overflow && !drop_oldest && strcmp(o->overflow, "fail") != 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "Option 'overflow' is '%s', it has to be 'fail' or 'drop-oldest'", o->overflow);
        *ret = (SessionParams) {
                .generation = o->generation,
                .drop_oldest = drop_oldest,
                .priority = background ? QUEUE_BACKGROUND : QUEUE_INTERACTIVE,
                .instructions = o->instructions,
                .ignored = &o->ignored,
        };
        return 0;
}

static int check_prompt(const char *text, sd_bus_error *reterr) {
        size_t size = strlen(text);

        if (size == 0)
                return sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "The text is empty");
        if (size > PROMPT_BYTES_MAX)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "The text has %zu bytes, at most %u are taken", size, PROMPT_BYTES_MAX);
        return 0;
}

/* ---- methods ---- */

/* Nobody is asked here: that is the first turn's. Until then no model is loaded for an app that may not be allowed. */
static int prepare_worker(Client *c, sd_bus_error *reterr) {
        const Want w = { CAPABILITY_GENERATE };
        Ruling r;

        gate_decide(c->user, &c->identity, &w, ANSWER_NONE, &r);
        if (r.decision == DECISION_ALLOW)
                return user_start_worker(c->user, reterr);
        return r.reason == REASON_RULE_DENIES || r.reason == REASON_USER_NEVER ? gate_refuse(c->user, &c->identity, &w, &r, reterr) : 0;
}

static int method_create_session(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(session_options_done) SessionOptions o = {};
        Manager *m = userdata;
        SessionParams p;
        Session *s;
        Client *c;
        int r;

        r = confirm_first(m, message, method_create_session);
        if (r != 0)
                return r;
        r = session_options_read(m, message, &o, &p, reterr);
        if (r < 0)
                return r;
        r = client_of_message(m, message, &c, reterr);
        if (r < 0)
                return r;
        /* Whoever opens a session will soon speak; and what cannot be answered is said now. */
        r = prepare_worker(c, reterr);
        if (r < 0) {
                client_settle(c);
                return r;
        }
        r = session_new(c, &p, &s, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(message, "o", s->path);
}

static int method_ask(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(session_options_done) SessionOptions o = {};
        Manager *m = userdata;
        SessionParams p;
        const char *prompt;
        IgnoredKeys none = {};
        Session *s;
        Client *c;
        Turn *t;
        int r;

        r = confirm_first(m, message, method_ask);
        if (r != 0)
                return r;
        r = sd_bus_message_read(message, "s", &prompt);
        if (r < 0)
                return r;
        r = session_options_read(m, message, &o, &p, reterr);
        if (r < 0)
                return r;
        r = check_prompt(prompt, reterr);
        if (r < 0)
                return r;
        r = client_of_message(m, message, &c, reterr);
        if (r < 0)
                return r;
        p.ask = message;
        r = session_new(c, &p, &s, reterr);
        if (r < 0)
                return r;
        r = session_append(s, ROLE_USER, ORIGIN_APP, prompt, reterr);
        if (r >= 0)
                r = turn_begin(s, &s->generation, &none, NULL, s->transcript.n_messages - 1, &t, reterr);
        if (r < 0) {
                session_close(s);
                return r;
        }
        turns_schedule(s->user);
        return 1;
}

static bool same_language(const char *a, const char *b) {
        size_t n = strcspn(a, "-_");
        return n == strcspn(b, "-_") && strncasecmp(a, b, n) == 0;
}

typedef struct Wanted {
        char **languages, **modalities, *model;
} Wanted;

static const OptionSpec wanted_options[] = {
        { "languages", "as", offsetof(Wanted, languages), 0, 0, OPTION_ALWAYS },
        { "modalities", "as", offsetof(Wanted, modalities), 0, 0, OPTION_ALWAYS },
        { "model", "s", offsetof(Wanted, model), 0, MODEL_NAME_MAX, OPTION_ALWAYS },
};

static void wanted_done(Wanted *w) {
        for (char **i = w->languages; i && *i; i++)
                free(*i);
        for (char **i = w->modalities; i && *i; i++)
                free(*i);
        free(w->languages);
        free(w->modalities);
        free(w->model);
}

static int reply_availability(sd_bus_message *message, const char *state, const char *reason, const char *text, const char *command) {
        if (!reason)
                return sd_bus_reply_method_return(message, "sa{sv}", state, 0);
        if (!command)
                return sd_bus_reply_method_return(message, "sa{sv}", state, 2, "reason", "s", reason, "message", "s", text);
        return sd_bus_reply_method_return(message, "sa{sv}", state, 3, "reason", "s", reason, "message", "s", text, "command", "s", command);
}

/* Of an app that is not to ask at all; whom the user would be asked about is not. */
static const char *disabled(const Caller *c, char *text, size_t size) {
        const Want w = { CAPABILITY_GENERATE };
        Ruling r;

        gate_decide(c->user, &c->identity, &w, ANSWER_NONE, &r);
        if (r.reason != REASON_RULE_DENIES && r.reason != REASON_USER_NEVER)
                return NULL;
        gate_explain(c->user, &c->identity, &w, &r, text, size);
        return r.reason == REASON_RULE_DENIES ? "disabled-by-policy" : "disabled-by-user";
}

static int method_availability(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(wanted_done) Wanted wanted = {};
        _cleanup_(sd_bus_error_free) sd_bus_error model_error = SD_BUS_ERROR_NULL;
        Manager *m = userdata;
        char text[256], shown[64], denied[1536];
        Caller c;
        int r;

        r = options_read(message, wanted_options, ELEMENTSOF(wanted_options), &wanted, NULL, reterr);
        if (r < 0)
                return r;
        r = caller_of_message(m, message, &c, reterr);
        if (r < 0)
                return r;

        if (check_model(m, wanted.model, &model_error) < 0)
                return reply_availability(message, "unavailable", "model", model_error.message, NULL);
        for (char **i = wanted.modalities; i && *i; i++)
                if (strcmp(*i, "text") != 0) {
                        text_printable(*i, shown, sizeof shown);
                        snprintf(text, sizeof text, "no model for '%s' is here", shown);
                        return reply_availability(message, "unavailable", "modality", text, NULL);
                }
        for (char **i = wanted.languages; i && *i; i++) {
                bool known = false;
                for (char **l = m->config.languages; *l; l++)
                        known = known || same_language(*i, *l);
                if (!known) {
                        text_printable(*i, shown, sizeof shown);
                        snprintf(text, sizeof text, "the model '%s' does not speak '%s'", m->config.model, shown);
                        return reply_availability(message, "unavailable", "language", text, NULL);
                }
        }

        const char *why = disabled(&c, denied, sizeof denied);
        if (why)
                return reply_availability(message, "unavailable", why, denied, NULL);
        const char *problem_text, *problem = worker_check(c.user->worker, &problem_text);
        if (!problem)
                return reply_availability(message, "available", NULL, NULL, NULL);
        bool missing = strcmp(problem, "model-missing") == 0;
        snprintf(text, sizeof text, "sparkctl model install %s", m->config.model);
        return reply_availability(message, missing && strcmp(m->config.model, SPARK_DEFAULT_MODEL) == 0 ? "downloadable" : "unavailable",
                                  problem, problem_text, missing ? text : NULL);
}

typedef struct PrewarmOptions {
        char *instructions;
} PrewarmOptions;

static const OptionSpec prewarm_options[] = {
        { "instructions", "s", offsetof(PrewarmOptions, instructions), 0, INSTRUCTIONS_BYTES_MAX, OPTION_ALWAYS },
};

static void prewarm_options_done(PrewarmOptions *o) {
        free(o->instructions);
}

static int prewarm_allowed(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        _cleanup_(prewarm_options_done) PrewarmOptions o = {};
        int r;

        r = options_read(message, prewarm_options, ELEMENTSOF(prewarm_options), &o, NULL, reterr);
        if (r >= 0)
                r = user_start_worker(c->user, reterr);
        if (r >= 0)
                r = prewarm_begin(c, o.instructions ?: "", reterr);
        return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

static int method_prewarm(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(prewarm_options_done) PrewarmOptions o = {};
        Manager *m = userdata;
        Caller c;
        int r;

        r = confirm_first(m, message, method_prewarm);
        if (r != 0)
                return r;
        r = options_read(message, prewarm_options, ELEMENTSOF(prewarm_options), &o, NULL, reterr);
        if (r < 0)
                return r;
        r = caller_of_message(m, message, &c, reterr);
        if (r >= 0)
                r = charge_request(c.user, &c.identity, reterr);
        return r < 0 ? r : allow_first(message, &c, prewarm_allowed, reterr);
}

static int count_allowed(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        const char *text;
        int r;

        r = sd_bus_message_read(message, "s", &text);
        if (r >= 0)
                r = user_start_worker(c->user, reterr);
        return r < 0 ? r : call_begin(c, CALL_COUNT, message, text, reterr);
}

static int method_count_tokens(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Manager *m = userdata;
        const char *text;
        Caller c;
        int r;

        r = confirm_first(m, message, method_count_tokens);
        if (r != 0)
                return r;
        r = sd_bus_message_read(message, "s", &text);
        if (r < 0)
                return r;
        r = no_options(message, reterr);
        if (r < 0)
                return r;
        if (text[0] == '\0')
                return sd_bus_reply_method_return(message, "u", 0u);
        r = check_prompt(text, reterr);
        if (r < 0)
                return r;
        r = caller_of_message(m, message, &c, reterr);
        if (r >= 0)
                r = charge_request(c.user, &c.identity, reterr);
        return r < 0 ? r : allow_first(message, &c, count_allowed, reterr);
}

static int method_verify(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Manager *m = userdata;
        User *u;
        int r;

        r = no_options(message, reterr);
        if (r < 0)
                return r;
        r = user_of_message(m, message, &u, reterr);
        if (r < 0)
                return r;
        return call_begin(&(Caller) { .user = u }, CALL_VERIFY, message, NULL, reterr);
}

/* ---- properties ---- */

/* Of the caller; where a change is told and nobody called, of the only user there is. */
static int property_user(sd_bus *bus, Manager *m, User **ret, sd_bus_error *reterr) {
        sd_bus_message *message = sd_bus_get_current_message(bus);

        if (message && sd_bus_message_is_method_call(message, NULL, NULL) > 0)
                return user_of_message(m, message, ret, reterr);
        int r = user_get(m, getuid(), ret);
        if (r >= 0)
                user_unref(*ret);
        return r;
}

static int property_get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
                                sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "u", SPARK_INTERFACE_VERSION);
}

static int property_get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        User *u;
        int r = property_user(bus, userdata, &u, reterr);
        return r < 0 ? r : sd_bus_message_append(reply, "s", user_state(u));
}

static int property_get_model(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Manager *m = userdata;
        return sd_bus_message_append(reply, "s", m->config.model);
}

static int property_get_languages(sd_bus *bus, const char *path, const char *interface, const char *property,
                                  sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Manager *m = userdata;
        return sd_bus_message_append_strv(reply, m->config.languages);
}

static int property_get_context_size(sd_bus *bus, const char *path, const char *interface, const char *property,
                                     sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        User *u;
        int r = property_user(bus, userdata, &u, reterr);
        return r < 0 ? r : sd_bus_message_append(reply, "u", u->n_ctx);
}

static int property_get_capturing(sd_bus *bus, const char *path, const char *interface, const char *property,
                                  sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Caller c;
        int r = caller_of_message(userdata, sd_bus_get_current_message(bus), &c, reterr);
        return r < 0 ? r : sd_bus_message_append(reply, "b", (int) captures_seen(c.user, &c.identity));
}

static const sd_bus_vtable root_vtable[] = {
        SD_BUS_VTABLE_START(0),

        SD_BUS_PROPERTY("Version", "u", property_get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Model", "s", property_get_model, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Languages", "as", property_get_languages, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ContextSize", "u", property_get_context_size, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Capturing", "b", property_get_capturing, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),

        SD_BUS_METHOD_WITH_ARGS("CreateSession",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("o", session),
                                method_create_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Ask",
                                SD_BUS_ARGS("s", prompt, "a{sv}", options),
                                SD_BUS_RESULT("s", reply, "a{sv}", usage),
                                method_ask, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Availability",
                                SD_BUS_ARGS("a{sv}", wanted),
                                SD_BUS_RESULT("s", state, "a{sv}", details),
                                method_availability, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Prewarm",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_NO_RESULT,
                                method_prewarm, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CountTokens",
                                SD_BUS_ARGS("s", text, "a{sv}", options),
                                SD_BUS_RESULT("u", tokens),
                                method_count_tokens, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("CapturingChanged",
                                SD_BUS_ARGS("t", capture, "s", device, "s", app, "s", certainty, "b", open), 0),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable debug_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Verify",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a{sv}", facts),
                                method_verify, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int root_add(Manager *m) {
        int r = sd_bus_add_object_vtable(m->bus, NULL, SPARK_ROOT_PATH, SPARK_INTERFACE, root_vtable, m);
        if (r < 0)
                return r;
        return sd_bus_add_object_vtable(m->bus, NULL, SPARK_ROOT_PATH, SPARK_DEBUG_INTERFACE, debug_vtable, m);
}

/* On the system bus a state is its user's own: each of the user's clients is told, and nobody else. */
static int root_tell(Client *c, bool state, bool context) {
        sd_bus_message *m = NULL;
        int r;

        r = client_signal(c, SPARK_ROOT_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", SPARK_INTERFACE);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && state)
                r = sd_bus_message_append(m, "{sv}", "State", "s", user_state(c->user));
        if (r >= 0 && context)
                r = sd_bus_message_append(m, "{sv}", "ContextSize", "u", c->user->n_ctx);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "as", 0);
        return message_send(m, r);
}

void root_changed(User *u, bool state, bool context) {
        Manager *m = u->manager;
        int r = 0;

        if (m->user_mode) {
                const char *names[3] = {};
                size_t n = 0;
                if (state)
                        names[n++] = "State";
                if (context)
                        names[n++] = "ContextSize";
                r = sd_bus_emit_properties_changed_strv(m->bus, SPARK_ROOT_PATH, SPARK_INTERFACE, (char **) names);
        } else
                LIST_FOREACH(&m->clients, l)
                        if (LIST_OBJECT(l, Client, link)->user == u)
                                r = MIN(r, root_tell(LIST_OBJECT(l, Client, link), state, context));
        if (r < 0)
                log_warning("Cannot tell of a change: %s, ignoring", strerror(-r));
}
