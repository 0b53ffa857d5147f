/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the rules in force, and puts the circumstances together that policy/decision.h asks
 * for. Refuses to decide anything by itself: what holds is the rules', the user's or an agent's word. Where a ledger is
 * there and cannot be read, what it may have forbidden is denied. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/agents.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/kept.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/record.h"
#include "daemon/sparkd/text.h"
#include "daemon/sparkd/turn.h"

static const char *const rule_folders[] = { "/etc/spark/policy.d", "/run/spark/policy.d", SPARK_PKGDATADIR "/policy.d" };

/* ---- rules ---- */

int gate_load_rules(Manager *m) {
        const char *one = m->config.rules_folder;
        Rules *rules;

        int r = one ? rules_load(&one, 1, &rules) : rules_load(rule_folders, ELEMENTSOF(rule_folders), &rules);
        if (r < 0)
                return r;
        for (size_t i = 0; rules_problem(rules, i); i++)
                log_error("%s", rules_problem(rules, i));
        if (rules_n_problems(rules) > RULE_PROBLEMS_MAX)
                log_error("%zu more mistakes in rule files", rules_n_problems(rules) - RULE_PROBLEMS_MAX);
        rules_free(m->rules);
        m->rules = rules;
        return 0;
}

void gate_done(Manager *m) {
        m->rules = rules_free(m->rules);
        m->prompts = prompts_free(m->prompts);
}

/* ---- names ---- */

void want_name(const Want *w, char *name, size_t size) {
        snprintf(name, size, "%s%s%s", capability_info(w->capability)->name, w->tool[0] ? ":" : "", w->tool);
}

int want_parse(const char *name, Want *ret) {
        Capability c;
        const char *tool;
        if (capability_parse(name, &c, &tool) < 0 || strlen(tool) > TOOL_NAME_MAX)
                return -EINVAL;
        *ret = (Want) { .capability = c };
        strcpy(ret->tool, tool);
        return 0;
}

bool want_same(const Want *a, const Want *b) {
        return a->capability == b->capability && strcmp(a->tool, b->tool) == 0;
}

/* ---- answers ---- */

int gate_keep(User *u, const Identity *id, const Want *w, Answer a) {
        int error, r;

        if (a == ANSWER_SESSION)
                return kept_keep(u, id, w);
        Ledger *l = record_ledger(u, &error);
        if (!l)
                return error;
        r = ledger_set_answer(l, &(LedgerAnswer) {
                .app = id->app, .capability = w->capability, .tool = w->tool, .certainty = id->certainty, .answer = a,
                .time_us = (int64_t) record_now(),
        });
        if (r < 0)
                return r;
        if (a == ANSWER_ALWAYS)
                prompts_forgive(u->manager->prompts, u->uid, id->app);
        gate_recheck(u->manager, u);
        return 0;
}

int gate_reset(User *u, const char *app, const Want *w, uint64_t *ret_n) {
        uint64_t n = 0, n_kept;
        int error, r = 0;

        n_kept = kept_reset(u, app, w);
        turns_forget_once(u, app);
        LIST_FOREACH(&u->manager->clients, l) {
                Client *c = LIST_OBJECT(l, Client, link);
                if (c->user == u && c->n_once > 0 && (!app || strcmp(c->identity.app, app) == 0)) {
                        c->n_once = 0;
                        client_settle(c);
                }
        }
        Ledger *l = record_ledger(u, &error);
        if (l)
                r = ledger_reset_answers(l, app, w ? w->capability : CAPABILITY_MAX_, w ? w->tool : "", &n);
        if (app)
                prompts_forgive(u->manager->prompts, u->uid, app);
        gate_recheck(u->manager, u);
        if (r >= 0)
                *ret_n = n + n_kept;
        return r;
}

const char *gate_session_answer(User *u, const char *app, const Want *w) {
        Certainty certainty;
        return kept_holds(u, app, w, &certainty) ? answer_name(ANSWER_SESSION) : NULL;
}

/* ---- decisions ---- */

/* -EKEYREJECTED: there is a ledger and it cannot be read. */
static int stored_answer(User *u, const Identity *id, const Want *w, Answer *ret, Certainty *ret_certainty) {
        int error = 0, r;

        *ret = ANSWER_NONE;
        *ret_certainty = CERTAINTY_UNKNOWN;
        Ledger *l = record_ledger(u, &error);
        if (l)
                r = ledger_get_answer(l, id->app, w->capability, w->tool, ret, ret_certainty);
        else /* Where no ledger can be made, none has been either. */
                r = error == -ENOENT || error == -EACCES || error == -EROFS || error == -ENOSPC || error == -ENOTDIR ? 0 : error;
        if (r < 0)
                return -EKEYREJECTED;
        if (*ret == ANSWER_NONE && kept_holds(u, id->app, w, ret_certainty))
                *ret = ANSWER_SESSION;
        return 0;
}

void gate_decide(User *u, const Identity *id, const Want *w, Answer given, Ruling *ret) {
        Question q = { .identity = id, .capability = w->capability, .tool = w->tool, .agent = true };
        uint64_t wait;
        int r = stored_answer(u, id, w, &q.answer, &q.answer_certainty);

        if (r < 0)
                q.answer = ANSWER_NEVER;
        else if (given == ANSWER_ONCE && q.answer != ANSWER_NEVER) {
                q.answer = ANSWER_ONCE;
                q.answer_certainty = CERTAINTY_UNKNOWN;
        }
        decide(u->manager->rules, &q, ret);
        if (ret->decision != DECISION_ASK)
                return;
        /* Only now is it worth looking whether somebody can be asked. */
        q.agent = agent_expected(u, id);
        q.refused_lately = prompts_refuses(u->manager->prompts, u->uid, id->app, manager_now(u->manager), &wait);
        if (!q.agent || q.refused_lately)
                decide(u->manager->rules, &q, ret);
}

void gate_decide_all(User *u, const Identity *id, const Want *wants, size_t n, Answer given, Ruling *ret, const Want **ret_w) {
        for (size_t i = 0; i < n; i++) {
                Ruling r;
                gate_decide(u, id, wants + i, given, &r);
                if (i == 0 || r.decision > ret->decision) {
                        *ret = r;
                        *ret_w = wants + i;
                }
        }
}

/* An app's id as one word of a shell's, for a command that a person may copy. One that could be more than a word is not shown. */
static void shell_word(const char *app, char *word, size_t size) {
        char shown[APP_ID_MAX + 1];

        text_printable(app, shown, sizeof shown);
        if (strcmp(shown, app) != 0 || strchr(app, '\''))
                snprintf(word, size, "APP");
        else
                snprintf(word, size, "'%s'", shown);
}

void gate_explain(User *u, const Identity *id, const Want *w, const Ruling *r, char *text, size_t size) {
        char line[768], name[TOOL_NAME_MAX + 32], app[APP_ID_MAX + 1], word[APP_ID_MAX + 3], after[48];
        uint64_t wait = 0;
        size_t n;

        want_name(w, name, sizeof name);
        text_printable(id->app, app, sizeof app);
        shell_word(id->app, word, sizeof word);
        ruling_explain(r, line, sizeof line);
        n = (size_t) snprintf(text, size, "%s for %s (%s): %s", name, app, certainty_name(id->certainty), line);
        if (n >= size)
                return;
        text += n;
        size -= n;
        if (prompts_refuses(u->manager->prompts, u->uid, id->app, manager_now(u->manager), &wait))
                text_duration(wait, after, sizeof after);
        switch (r->reason) {
        case REASON_RULE_DENIES:
                snprintf(text, size, "; an administrator can allow it in /etc/spark/policy.d, see spark-policy(5)");
                break;
        case REASON_USER_NEVER:
                if (u->ledger_error < 0)
                        snprintf(text, size, ", or said something that can no longer be read: the ledger is damaged, the journal says how");
                else
                        snprintf(text, size, "; this takes it back: sparkctl permission reset %s %s", word, name);
                break;
        case REASON_NO_AGENT:
                snprintf(text, size, ": run 'sparkctl agent' in a terminal of this session, or allow it with: sparkctl permission set %s %s always", word, name);
                break;
        case REASON_REFUSED_LATELY:
        case REASON_USER_DENIED:
        case REASON_TIMED_OUT:
                if (wait > 0)
                        snprintf(text, size, "; it can be asked again in %s, or allowed with: sparkctl permission set %s %s always", after, word, name);
                break;
        default:
                break;
        }
}

int gate_refuse(User *u, const Identity *id, const Want *w, const Ruling *r, sd_bus_error *reterr) {
        char text[1536];

        gate_explain(u, id, w, r, text, sizeof text);
        record_refusal(u, id, w, r->reason);
        return sd_bus_error_set(reterr, SPARK_ERROR_NOT_ALLOWED, text);
}

bool gate_answered(User *u, const Identity *id, const Want *wants, size_t n, Answer answer, Reason reason, Ruling *ret, const Want **ret_w) {
        gate_decide_all(u, id, wants, n, ANSWER_ONCE, ret, ret_w);
        if (ret->decision == DECISION_DENY)
                return false;
        if (answer != ANSWER_NONE && answer != ANSWER_NEVER)
                return true;
        ret->decision = DECISION_DENY;
        ret->reason = reason;
        return false;
}

bool gate_allowed_once(const Client *c, const Want *wants, size_t n) {
        for (size_t i = 0; i < n; i++) {
                bool found = false;
                for (size_t k = 0; k < c->n_once; k++)
                        found |= c->once[k].capability == wants[i].capability;
                if (!found)
                        return false;
        }
        return true;
}

void gate_recheck(Manager *m, User *u) {
        if (u)
                turns_recheck(u);
        else
                LIST_FOREACH(&m->users, l)
                        turns_recheck(LIST_OBJECT(l, User, link));
}
