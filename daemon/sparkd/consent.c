/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the questions that wait for a person. Refuses to let an app put more than one before the user at a time, or a user
 * more than a few; to believe an answer other than the five there are; and to ask anybody but an agent of the same user.
 * Nothing here waits: the answer comes as the reply of a call, and everything else by a timer or by the bus. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/agents.h"
#include "daemon/sparkd/consent.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/record.h"

typedef enum ConsentState { CONSENT_WAITING, CONSENT_STARTING, CONSENT_ASKED } ConsentState;

struct Consent {
        User *user;                        /* referenced */
        Link link;                         /* in user->consents */
        ConsentState state;
        Identity identity;
        pid_t pid;
        char *parent_window;
        Want wants[CONSENT_WANTS_MAX];
        size_t n_wants;
        char id[24];
        uint64_t below;                    /* agents from this number on were asked, and could not answer */
        char *agent_name, *agent_path;     /* of the one that is asked */
        sd_bus_slot *call;
        sd_event_source *timeout;
        Link waiters;
        size_t n_waiters;
};

static void consents_next(User *u);

/* ---- the end ---- */

/* The agent takes the question from the screen. */
static void consent_take_back(Consent *c) {
        if (c->state != CONSENT_ASKED || !c->call)
                return;
        c->call = sd_bus_slot_unref(c->call);
        agent_cancel(c->user->manager, c->agent_name, c->agent_path, c->id);
}

static Consent *consent_free(Consent *c) {
        sd_bus_slot_unref(c->call);
        sd_event_source_disable_unref(c->timeout);
        list_remove(&c->link);
        c->user->n_consents--;
        user_unref(c->user);
        free(c->parent_window);
        free(c->agent_name);
        free(c->agent_path);
        free(c);
        return NULL;
}

/* Whoever waits is told. What they do then may end others, so that the list is looked at anew each time. */
static void consent_end(Consent *c, Answer answer, Reason reason) {
        User *u = c->user;

        list_remove(&c->link);             /* no longer found, not asked again */
        c->call = sd_bus_slot_unref(c->call);
        while (!list_empty(&c->waiters)) {
                ConsentWaiter *w = LIST_OBJECT(c->waiters.next, ConsentWaiter, link);
                list_remove(&w->link);
                w->consent = NULL;
                w->answered(w, answer, reason);
        }
        consent_free(c);
        consents_next(u);
}

static void consent_record(const Consent *c, Reason reason, const char *outcome) {
        for (size_t i = 0; i < c->n_wants; i++)
                record_answer(c->user, &c->identity, c->wants + i, reason, outcome);
}

/* What a kept answer ends may be among those that wait here: first it is out of the list, so that nobody frees it. */
static void consent_settle(Consent *c, Answer answer) {
        static const Reason reasons[ANSWER_MAX_] = {
                [ANSWER_NONE] = REASON_USER_DENIED, [ANSWER_NEVER] = REASON_USER_NEVER,
                [ANSWER_ONCE] = REASON_USER_ALLOWED, [ANSWER_SESSION] = REASON_USER_ALLOWED, [ANSWER_ALWAYS] = REASON_USER_ALLOWED,
        };
        User *u = c->user;
        Prompts *p = u->manager->prompts;

        list_remove(&c->link);
        consent_record(c, reasons[answer], answer == ANSWER_NONE ? "deny" : answer_name(answer));
        if (answer == ANSWER_NONE)
                prompts_refused(p, u->uid, c->identity.app, manager_now(u->manager));
        else if (answer != ANSWER_NEVER)
                prompts_forgive(p, u->uid, c->identity.app);
        for (size_t i = 0; answer != ANSWER_NONE && answer != ANSWER_ONCE && i < c->n_wants; i++) {
                int r = gate_keep(u, &c->identity, c->wants + i, answer);
                if (r < 0)
                        log_error("The answer of user %u for %s cannot be kept: %s; it holds for this request", (unsigned) u->uid, c->identity.app, strerror(-r));
                if (r < 0 && answer != ANSWER_NEVER)
                        answer = ANSWER_ONCE;
        }
        consent_end(c, answer, reasons[answer]);
}

/* ---- asking ---- */

static void consent_start(Consent *c);

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        Consent *c = userdata;

        if (c->state == CONSENT_WAITING)
                return 0;
        if (c->state == CONSENT_STARTING) {
                c->user->manager->agent_missing_until = manager_now(c->user->manager) + AGENT_MISSING_USEC;
                consent_end(c, ANSWER_NONE, REASON_NO_AGENT);
                return 0;
        }
        prompts_refused(c->user->manager->prompts, c->user->uid, c->identity.app, manager_now(c->user->manager));
        consent_record(c, REASON_TIMED_OUT, "timed-out");
        consent_take_back(c);
        consent_end(c, ANSWER_NONE, REASON_TIMED_OUT);
        return 0;
}

static int consent_arm(Consent *c, uint64_t usec) {
        int r;
        if (!c->timeout)
                return sd_event_add_time_relative(c->user->manager->event, &c->timeout, CLOCK_MONOTONIC, usec, 0, on_timeout, c);
        r = sd_event_source_set_time_relative(c->timeout, usec);
        return r < 0 ? r : sd_event_source_set_enabled(c->timeout, SD_EVENT_ONESHOT);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        static const struct { const char *name; Answer answer; } answers[] = {
                { "deny", ANSWER_NONE }, { "once", ANSWER_ONCE }, { "session", ANSWER_SESSION }, { "always", ANSWER_ALWAYS }, { "never", ANSWER_NEVER },
        };
        Consent *c = userdata;
        Answer answer = ANSWER_NONE;
        const char *said = "";

        c->call = sd_bus_slot_unref(c->call);
        if (sd_bus_message_is_method_error(m, NULL)) {
                log_notice("Agent %s of user %u cannot ask: %s", c->agent_name, (unsigned) c->user->uid, sd_bus_message_get_error(m)->message);
                c->state = CONSENT_WAITING;
                consent_start(c);          /* the next one, if there is one */
                return 0;
        }
        if (sd_bus_message_read(m, "s", &said) < 0)
                said = "";
        for (size_t i = 0; i < ELEMENTSOF(answers); i++)
                if (strcmp(answers[i].name, said) == 0)
                        answer = answers[i].answer;
        consent_settle(c, answer);
        return 0;
}

static const char *leaves(const Consent *c) {
        for (size_t i = 0; i < c->n_wants; i++)
                if (capability_info(c->wants[i].capability)->leaves_machine)
                        return capability_info(c->wants[i].capability)->sentence;
        return "";
}

static int append_details(sd_bus_message *m, const Consent *c) {
        char name[TOOL_NAME_MAX + 32];
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}",
                                          "app", "s", c->identity.app,
                                          "kind", "s", identity_kind_name(c->identity.kind),
                                          "certainty", "s", certainty_name(c->identity.certainty),
                                          "pid", "u", (uint32_t) c->pid,
                                          "leaves", "s", leaves(c),
                                          "seconds", "u", (uint32_t) (c->user->manager->config.consent_usec / 1000000),
                                          "parent-window", "s", c->parent_window ?: "");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "capabilities");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "s");
        for (size_t i = 0; r >= 0 && i < c->n_wants; i++) {
                want_name(c->wants + i, name, sizeof name);
                r = sd_bus_message_append(m, "s", name);
        }
        for (size_t i = 0; r >= 0 && i < 4; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int consent_call(Consent *c, const Agent *a) {
        Manager *m = c->user->manager;
        sd_bus_message *message = NULL;
        int r = 0;

        c->below = a->number;
        free(c->agent_name);
        free(c->agent_path);
        c->agent_name = strdup(a->name);
        c->agent_path = strdup(a->path);
        if (!c->agent_name || !c->agent_path)
                return -ENOMEM;
        r = sd_bus_message_new_method_call(m->bus, &message, c->agent_name, c->agent_path, AGENT_INTERFACE, "RequestConsent");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, false);
        if (r >= 0)
                r = sd_bus_message_append(message, "s", c->id);
        if (r >= 0)
                r = append_details(message, c);
        /* Our own timer is the one that ends it. */
        if (r >= 0)
                r = sd_bus_call_async(m->bus, &c->call, message, on_answer, c, m->config.consent_usec * 2);
        sd_bus_message_unref(message);
        if (r >= 0)
                r = consent_arm(c, m->config.consent_usec);
        if (r >= 0)
                c->state = CONSENT_ASKED;
        return r;
}

/* What holds now may be another thing than when it was put in the line. */
static void consent_start(Consent *c) {
        User *u = c->user;
        const Want *w;
        Ruling ruling;
        int r;

        gate_decide_all(u, &c->identity, c->wants, c->n_wants, ANSWER_NONE, &ruling, &w);
        if (ruling.decision == DECISION_DENY) {
                consent_end(c, ANSWER_NONE, ruling.reason);
                return;
        }
        if (ruling.decision == DECISION_ALLOW) {
                consent_end(c, ANSWER_ONCE, ruling.reason);
                return;
        }
        const Agent *a = agent_find(u, &c->identity, c->below);
        if (a)
                r = consent_call(c, a);
        else if (c->below != UINT64_MAX)
                r = -EHOSTUNREACH;         /* those there were have failed */
        else {
                uint64_t usec;
                r = agent_start(u->manager, &usec);
                if (r >= 0)
                        r = consent_arm(c, usec);
                if (r >= 0)
                        c->state = CONSENT_STARTING;
        }
        if (r < 0)
                consent_end(c, ANSWER_NONE, REASON_NO_AGENT);
}

/* Starts what may be started now. Starting may end it, and that comes back to here: one step at a time. */
static void consents_next(User *u) {
        size_t n_asked = 0;

        LIST_FOREACH(&u->consents, l)
                n_asked += LIST_OBJECT(l, Consent, link)->state != CONSENT_WAITING;
        if (n_asked >= CONSENTS_ASKED_PER_USER)
                return;
        LIST_FOREACH(&u->consents, l) {
                Consent *c = LIST_OBJECT(l, Consent, link);
                bool busy = false;
                if (c->state != CONSENT_WAITING)
                        continue;
                LIST_FOREACH(&u->consents, k) {
                        Consent *o = LIST_OBJECT(k, Consent, link);
                        busy |= o->state != CONSENT_WAITING && strcmp(o->identity.app, c->identity.app) == 0;
                }
                if (!busy) {
                        consent_start(c);
                        if (n_asked + 1 < CONSENTS_ASKED_PER_USER)
                                consents_next(u);
                        return;
                }
        }
}

/* ---- for those who wait ---- */

static bool same_asker(const Consent *c, const ConsentAsker *asker) {
        return c->identity.kind == asker->identity->kind && c->identity.certainty == asker->identity->certainty &&
               strcmp(c->identity.app, asker->identity->app) == 0 && strcmp(c->identity.unit, asker->identity->unit) == 0;
}

static bool covers(const Consent *c, const Want *wants, size_t n) {
        for (size_t i = 0; i < n; i++) {
                bool found = false;
                for (size_t k = 0; k < c->n_wants; k++)
                        found |= wants[i].capability == c->wants[k].capability && strcmp(wants[i].tool, c->wants[k].tool) == 0;
                if (!found)
                        return false;
        }
        return true;
}

static int consent_new(User *u, const ConsentAsker *asker, const Want *wants, size_t n, Consent **ret) {
        Consent *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        if (asker->parent_window && !(c->parent_window = strdup(asker->parent_window))) {
                free(c);
                return -ENOMEM;
        }
        c->user = u;
        u->n_refs++;
        u->n_consents++;
        c->identity = *asker->identity;
        c->pid = asker->pid;
        memcpy(c->wants, wants, n * sizeof *wants);
        c->n_wants = n;
        c->below = UINT64_MAX;
        snprintf(c->id, sizeof c->id, "%llu", (unsigned long long) ++u->manager->last_consent);
        list_init(&c->waiters);
        list_append(&u->consents, &c->link);
        *ret = c;
        return 0;
}

static int on_begin(sd_event_source *s, void *userdata) {
        Manager *m = userdata;
        LIST_FOREACH(&m->users, l)
                consents_next(LIST_OBJECT(l, User, link));
        return 0;
}

/* Starts what waits once the call at hand has been answered. */
static int begin_later(Manager *m) {
        if (m->consents_begin)
                return sd_event_source_set_enabled(m->consents_begin, SD_EVENT_ONESHOT);
        return sd_event_add_defer(m->event, &m->consents_begin, on_begin, m);
}

int consent_ask(User *u, const ConsentAsker *asker, const Want *wants, size_t n, ConsentWaiter *w, sd_bus_error *reterr) {
        Want asked[CONSENT_WANTS_MAX];
        size_t n_asked = 0, n_of_app = 0;
        Consent *c = NULL;
        int r;

        for (size_t i = 0; i < n && n_asked < CONSENT_WANTS_MAX; i++) {
                Ruling ruling;
                gate_decide(u, asker->identity, wants + i, ANSWER_NONE, &ruling);
                if (ruling.decision == DECISION_ASK)
                        asked[n_asked++] = wants[i];
        }
        LIST_FOREACH(&u->consents, l) {
                Consent *o = LIST_OBJECT(l, Consent, link);
                n_of_app += strcmp(o->identity.app, asker->identity->app) == 0;
                if (!c && same_asker(o, asker) && covers(o, asked, n_asked))
                        c = o;
        }
        if (c && c->n_waiters >= CONSENT_WAITERS_MAX)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%zu of %u calls wait for this answer of the user", c->n_waiters, CONSENT_WAITERS_MAX);
        if (!c) {
                if (n_of_app >= CONSENTS_PER_APP || u->n_consents >= CONSENTS_PER_USER)
                        return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%zu questions of this application, %zu of this user wait, at most %u and %u",
                                                 n_of_app, u->n_consents, CONSENTS_PER_APP, CONSENTS_PER_USER);
                r = consent_new(u, asker, asked, n_asked, &c);
                if (r < 0)
                        return r;
                r = begin_later(u->manager);
                if (r < 0) {
                        consent_free(c);
                        return r;
                }
        }
        list_append(&c->waiters, &w->link);
        c->n_waiters++;
        w->consent = c;
        return 0;
}

void consent_leave(ConsentWaiter *w) {
        Consent *c = w->consent;

        if (!c)
                return;
        list_remove(&w->link);
        w->consent = NULL;
        c->n_waiters--;
        /* One that is being ended frees itself. */
        if (!list_empty(&c->waiters) || list_empty(&c->link))
                return;
        User *u = c->user;
        consent_take_back(c);
        consent_free(c);
        (void) begin_later(u->manager);
}

void consents_agent_came(Manager *m, uid_t uid) {
        LIST_FOREACH(&m->users, l) {
                User *u = LIST_OBJECT(l, User, link);
                if (u->uid != uid)
                        continue;
                LIST_FOREACH(&u->consents, k)
                        if (LIST_OBJECT(k, Consent, link)->state == CONSENT_STARTING)
                                LIST_OBJECT(k, Consent, link)->state = CONSENT_WAITING;
        }
        (void) begin_later(m);
}

void consents_agent_failed(Manager *m) {
        LIST_FOREACH(&m->users, l)
                LIST_FOREACH(&LIST_OBJECT(l, User, link)->consents, k)
                        if (LIST_OBJECT(k, Consent, link)->state == CONSENT_STARTING)
                                LIST_OBJECT(k, Consent, link)->state = CONSENT_WAITING;
        (void) begin_later(m);
}

void consents_stop(User *u) {
        while (!list_empty(&u->consents)) {
                Consent *c = LIST_OBJECT(u->consents.next, Consent, link);
                consent_take_back(c);
                list_remove(&c->link);
                while (!list_empty(&c->waiters)) {
                        ConsentWaiter *w = LIST_OBJECT(c->waiters.next, ConsentWaiter, link);
                        list_remove(&w->link);
                        w->consent = NULL;
                }
                consent_free(c);
        }
}
