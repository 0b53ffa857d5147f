/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns what Permissions lists: answers, uses, what runs now, mistakes in rule files. Every list has a bound; the ledger's
 * says that there is more. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/authorize.h"
#include "daemon/sparkd/captures.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/message.h"
#include "daemon/sparkd/options.h"
#include "daemon/sparkd/permissions.h"
#include "daemon/sparkd/record.h"
#include "daemon/sparkd/session.h"
#include "daemon/sparkd/turn.h"

typedef struct ListOptions {
        uint64_t since;
        char *app;
        uint32_t uid, limit;
        bool has_uid, all;
} ListOptions;

static const OptionSpec list_options[] = {
        { "uid", "u", offsetof(ListOptions, uid), 0, UINT32_MAX - 1, offsetof(ListOptions, has_uid) },
};

static const OptionSpec ledger_options[] = {
        { "since", "t", offsetof(ListOptions, since), 0, 0, OPTION_ALWAYS },
        { "app", "s", offsetof(ListOptions, app), 0, APP_ID_MAX, OPTION_ALWAYS },
        { "uid", "u", offsetof(ListOptions, uid), 0, UINT32_MAX - 1, offsetof(ListOptions, has_uid) },
        { "limit", "u", offsetof(ListOptions, limit), 1, LEDGER_REPLY_MAX, OPTION_ALWAYS },
};

static const OptionSpec monitor_options[] = {
        { "all", "b", offsetof(ListOptions, all), 0, 0, OPTION_ALWAYS },
};

static void list_options_done(ListOptions *o) {
        free(o->app);
}

/* Whose list: one more reference. On the session bus there is one user. */
static int list_user(const Caller *c, const ListOptions *o, User **ret, sd_bus_error *reterr) {
        Manager *m = c->user->manager;
        int r = user_get(m, o->has_uid && !m->user_mode ? o->uid : c->user->uid, ret);
        if (r == -EUSERS)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%u users are being served already; come back later", WORKERS_MAX);
        return r;
}

static int list_ledger(User *u, Ledger **ret, sd_bus_error *reterr) {
        int error = 0;

        *ret = record_ledger(u, &error);
        if (*ret || error == -ENOENT)
                return 0;
        return sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "The ledger of user %u cannot be read: %s", (unsigned) u->uid, strerror(-error));
}

/* ---- what List and Ledger share ---- */

typedef struct Listing {
        sd_bus_message *reply;
        User *user;
        Ledger *ledger;                    /* the user's; NULL: nothing was kept yet */
        uint32_t n, max;
        bool more;
} Listing;

/* Reads the options and begins the reply's list; goes to listing_end() in any case. */
static int listing_begin(Listing *l, sd_bus_message *message, const Caller *c, const OptionSpec *specs, size_t n_specs, ListOptions *o, sd_bus_error *reterr) {
        int r;

        r = options_read(message, specs, n_specs, o, NULL, reterr);
        if (r >= 0)
                r = list_user(c, o, &l->user, reterr);
        if (r >= 0)
                r = list_ledger(l->user, &l->ledger, reterr);
        if (r >= 0)
                r = reply_list(message, "a{sv}", &l->reply);
        return r;
}

static int listing_end(Listing *l, int r) {
        user_unref(l->user);
        return message_send(l->reply, r);
}

/* ---- List ---- */

static int append_permission(void *userdata, const LedgerAnswer *a, int64_t last_use_us) {
        Listing *l = userdata;
        char name[TOOL_NAME_MAX + 32];
        Want w = { a->capability };

        if (l->n++ >= l->max)
                return 1;
        strncpy(w.tool, a->tool, TOOL_NAME_MAX);
        want_name(&w, name, sizeof name);
        int r = sd_bus_message_append(l->reply, "a{sv}", 6,
                                "app", "s", a->app,
                                "certainty", "s", certainty_name(a->certainty),
                                "capability", "s", name,
                                "answer", "s", a->answer != ANSWER_NONE ? answer_name(a->answer) : gate_session_answer(l->user, a->app, &w) ?: "",
                                "time", "t", (uint64_t) a->time_us,
                                "last-used", "t", (uint64_t) last_use_us);
        return MIN(r, 0);
}

static int list_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        _cleanup_(list_options_done) ListOptions o = {};
        Listing l = { .max = LIST_REPLY_MAX };
        int r;

        r = listing_begin(&l, message, c, list_options, ELEMENTSOF(list_options), &o, reterr);
        if (r >= 0 && l.ledger)
                r = ledger_seen(l.ledger, append_permission, &l);
        if (r >= 0)
                r = sd_bus_message_close_container(l.reply);
        return listing_end(&l, r);
}

static int authorize_listing(sd_bus_message *message, Manager *m, const OptionSpec *specs, size_t n_specs, AuthorizedMethod method, sd_bus_error *reterr) {
        _cleanup_(list_options_done) ListOptions o = { .limit = LEDGER_REPLY_MAX };
        Caller c;
        int r;

        r = options_read(message, specs, n_specs, &o, NULL, reterr);
        if (r >= 0)
                r = caller_of_message(m, message, &c, reterr);
        if (r < 0)
                return r;
        bool others = o.all || (o.has_uid && o.uid != c.user->uid);
        return authorize(m, message, &c, others ? AUTHORIZE_OTHERS : AUTHORIZE_READ_OWN, method, reterr);
}

int method_list(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return authorize_listing(message, userdata, list_options, ELEMENTSOF(list_options), list_authorized, reterr);
}

/* ---- Ledger ---- */

static int append_use(void *userdata, const LedgerUse *u) {
        Listing *l = userdata;
        char name[TOOL_NAME_MAX + 32];
        Want w = { u->capability };

        if (l->n++ >= l->max) {
                l->more = true;
                return 1;
        }
        strncpy(w.tool, u->tool, TOOL_NAME_MAX);
        want_name(&w, name, sizeof name);
        int r = sd_bus_message_append(l->reply, "a{sv}", 12,
                                "time", "t", (uint64_t) u->time_us,
                                "app", "s", u->app,
                                "kind", "s", identity_kind_name(u->kind) ?: "unknown",
                                "certainty", "s", certainty_name(u->certainty),
                                "capability", "s", name,
                                "decision", "s", u->decision == DECISION_DENY ? "deny" : "allow",
                                "reason", "s", reason_name(u->reason),
                                "outcome", "s", u->outcome,
                                "prompt-tokens", "t", u->n_prompt,
                                "generated-tokens", "t", u->n_generated,
                                "audio-ms", "t", u->audio_ms,
                                "duration-us", "t", u->duration_us);
        return MIN(r, 0);
}

static int ledger_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        _cleanup_(list_options_done) ListOptions o = { .limit = LEDGER_REPLY_MAX };
        Listing l = {};
        int r;

        r = listing_begin(&l, message, c, ledger_options, ELEMENTSOF(ledger_options), &o, reterr);
        l.max = o.limit;
        if (r >= 0 && l.ledger)
                r = ledger_uses(l.ledger, (int64_t) MIN(o.since, (uint64_t) INT64_MAX), o.app, append_use, &l);
        if (r >= 0)
                r = sd_bus_message_close_container(l.reply);
        if (r >= 0)
                r = sd_bus_message_append(l.reply, "b", l.more);
        return listing_end(&l, r);
}

int method_ledger(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return authorize_listing(message, userdata, ledger_options, ELEMENTSOF(ledger_options), ledger_authorized, reterr);
}

/* ---- Problems ---- */

int method_problems(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const Manager *m = userdata;
        sd_bus_message *reply = NULL;
        const char *text;
        int r;

        r = reply_list(message, "s", &reply);
        for (size_t i = 0; r >= 0 && (text = rules_problem(m->rules, i)); i++)
                r = sd_bus_message_append(reply, "s", text);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return message_send(reply, r);
}

/* ---- Monitor ---- */

static int append_turn(sd_bus_message *reply, const Turn *t) {
        const Session *s = t->session;
        const Identity *id = &s->app->identity;
        uint64_t since = manager_now(s->user->manager) - t->called_usec;

        return sd_bus_message_append(reply, "a{sv}", 8,
                                     "uid", "u", (uint32_t) s->user->uid,
                                     "app", "s", id->app,
                                     "certainty", "s", certainty_name(id->certainty),
                                     "capability", "s", capability_info(CAPABILITY_GENERATE)->name,
                                     "state", "s", t->state == TURN_ASKING ? "asking" : t->state == TURN_RECORDING || t->state == TURN_WAITING ? "waiting" : "running",
                                     "priority", "s", s->priority == QUEUE_BACKGROUND ? "background" : "interactive",
                                     "started", "t", record_now() - since,
                                     "tokens", "t", t->n_tokens);
}

static int append_turns(sd_bus_message *reply, User *u) {
        uint64_t round = ++u->recheck;
        int r = 0;

        for (const Turn *t; r >= 0 && (t = turns_next(u, round)); )
                r = append_turn(reply, t);
        return r;
}

static int monitor_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        ListOptions o = {};
        sd_bus_message *reply = NULL;
        int r;

        r = options_read(message, monitor_options, ELEMENTSOF(monitor_options), &o, NULL, reterr);
        if (r < 0)
                return r;
        r = reply_list(message, "a{sv}", &reply);
        LIST_FOREACH(&c->user->manager->users, l) {
                User *u = LIST_OBJECT(l, User, link);
                if (r >= 0 && (o.all || u == c->user))
                        r = append_turns(reply, u);
                if (r >= 0 && (o.all || u == c->user))
                        r = captures_append_uses(reply, u);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return message_send(reply, r);
}

int method_monitor(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return authorize_listing(message, userdata, monitor_options, ELEMENTSOF(monitor_options), monitor_authorized, reterr);
}

/* ---- WatchCaptures ---- */

static int watch_authorized(sd_bus_message *message, const Caller *caller, sd_bus_error *reterr) {
        sd_bus_message *reply = NULL;
        Client *c;
        int r;

        r = client_of_message(caller->user->manager, message, &c, reterr);
        if (r < 0)
                return r;
        c->watches = true;
        r = reply_list(message, "a{sv}", &reply);
        if (r >= 0)
                r = captures_append(reply, c->user);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return message_send(reply, r);
}

int method_watch_captures(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return authorize_listing(message, userdata, NULL, 0, watch_authorized, reterr);
}
