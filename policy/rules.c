/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what the rule files said, as one list of settings in the order of reading, and the questions asked of it: the last
 * setting that matches the identity and the subject wins. Reading the files themselves is rules-parse.c's. */

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules-internal.h"

static const char *const verdict_names[VERDICT_MAX_] = { "deny", "ask", "allow" };

const char *verdict_name(Verdict v) {
        return (unsigned) v < VERDICT_MAX_ ? verdict_names[v] : NULL;
}

Rules *rules_free(Rules *r) {
        if (!r)
                return NULL;
        for (size_t i = 0; i < r->n_files; i++)
                free(r->files[i]);
        for (size_t i = 0; i < r->n_settings; i++) {
                free(r->settings[i].pattern);
                free(r->settings[i].tool);
        }
        for (size_t i = 0; i < MIN(r->n_problems, (size_t) RULE_PROBLEMS_MAX); i++)
                free(r->problems[i]);
        free(r->settings);
        free(r);
        return NULL;
}

size_t rules_n_problems(const Rules *r) {
        return r->n_problems;
}

const char *rules_problem(const Rules *r, size_t i) {
        return i < MIN(r->n_problems, (size_t) RULE_PROBLEMS_MAX) ? r->problems[i] : NULL;
}

static bool matches(const Setting *s, const Identity *id, bool per_user) {
        char uid[16];
        switch (s->section) {
        case SECTION_APP:
                return !per_user && id->certainty != CERTAINTY_UNKNOWN && id->certainty >= s->certainty &&
                       fnmatch(s->pattern, id->app, 0) == 0;
        case SECTION_UNKNOWN:
                return !per_user && id->certainty == CERTAINTY_UNKNOWN;
        case SECTION_EVERYONE:
                return true;
        case SECTION_USER:
                snprintf(uid, sizeof uid, "%u", (unsigned) id->uid);
                return per_user && (strcmp(s->pattern, "*") == 0 || strcmp(s->pattern, uid) == 0);
        }
        return false;
}

static bool same_tool(const Setting *s, const char *tool) {
        return s->capability != CAPABILITY_TOOL || strcmp(s->tool, "*") == 0 || strcmp(s->tool, tool) == 0;
}

static void place(const Rules *r, const Setting *s, RulePlace *ret) {
        if (ret)
                *ret = s ? (RulePlace) { r->files[s->file], s->line } : (RulePlace) { "built-in", 0 };
}

Verdict rules_verdict(const Rules *r, const Identity *id, Capability c, const char *tool, RulePlace *ret_place) {
        const Setting *last = NULL;
        for (size_t i = 0; i < r->n_settings; i++) {
                const Setting *s = &r->settings[i];
                /* A user's section speaks of capabilities as well: for every app of that user. */
                if (s->subject == SUBJECT_CAPABILITY && s->capability == c && same_tool(s, tool) &&
                    (matches(s, id, false) || (s->section == SECTION_USER && matches(s, id, true))))
                        last = s;
        }
        place(r, last, ret_place);
        return last ? (Verdict) last->value : VERDICT_DENY;
}

static const Setting *last_of(const Rules *r, const Identity *id, bool per_user, Subject subject, unsigned which) {
        const Setting *last = NULL;
        for (size_t i = 0; i < r->n_settings; i++) {
                const Setting *s = &r->settings[i];
                if (s->subject == subject && s->limit == which && matches(s, id, per_user))
                        last = s;
        }
        return last;
}

uint64_t rules_limit(const Rules *r, const Identity *id, bool per_user, RuleLimit l, RulePlace *ret_place) {
        const Setting *s = last_of(r, id, per_user, SUBJECT_LIMIT, l);
        place(r, s, ret_place);
        return s ? s->value : LIMIT_NONE;
}

Priority rules_priority(const Rules *r, const Identity *id) {
        const Setting *s = last_of(r, id, false, SUBJECT_PRIORITY, 0);
        return s ? (Priority) s->value : PRIORITY_INTERACTIVE;
}

bool rules_on_battery(const Rules *r, const Identity *id) {
        const Setting *s = last_of(r, id, false, SUBJECT_ON_BATTERY, 0);
        return s && s->value;
}
