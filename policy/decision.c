/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the order in which rules, the user's answers and circumstances speak. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/decision.h"

static const char *const answer_names[ANSWER_MAX_] = { "none", "once", "session", "always", "never" };

const char *answer_name(Answer a) {
        return (unsigned) a < ANSWER_MAX_ ? answer_names[a] : NULL;
}

int answer_parse(const char *name, Answer *ret) {
        for (size_t i = 0; i < ANSWER_MAX_; i++)
                if (strcmp(answer_names[i], name) == 0) {
                        *ret = (Answer) i;
                        return 0;
                }
        return -EINVAL;
}

const char *reason_name(Reason r) {
        static const char *const names[REASON_MAX_] = {
                [REASON_RULE_DENIES] = "rule-denies", [REASON_USER_NEVER] = "user-never", [REASON_USER_ALLOWED] = "user-allowed",
                [REASON_RULE_ALLOWS] = "rule-allows", [REASON_MUST_ASK] = "must-ask", [REASON_NO_AGENT] = "no-agent",
                [REASON_REFUSED_LATELY] = "refused-lately", [REASON_TAINTED] = "tainted",
                [REASON_OTHER_CERTAINTY] = "other-certainty", [REASON_USER_DENIED] = "user-denied", [REASON_TIMED_OUT] = "timed-out",
        };
        return (unsigned) r < REASON_MAX_ ? names[r] : "unknown";
}

/* What a web page, a file or a message says may steer the model: from then on nothing that acts or leaves the machine
 * goes by an answer given before, only by consent to the exact call. */
static bool wants_exact_consent(const Question *q) {
        return q->tainted && (q->capability == CAPABILITY_REMOTE || (q->capability == CAPABILITY_TOOL && q->side_effects));
}

static Ruling ask(const Question *q, Reason why) {
        if (!q->agent)
                return (Ruling) { DECISION_DENY, REASON_NO_AGENT };
        if (q->refused_lately)
                return (Ruling) { DECISION_DENY, REASON_REFUSED_LATELY };
        return (Ruling) { DECISION_ASK, why };
}

static Ruling weigh(const Question *q, Verdict v) {
        bool answered = q->answer != ANSWER_NONE, sure = q->identity->certainty >= q->answer_certainty;
        if (v == VERDICT_DENY)
                return (Ruling) { DECISION_DENY, REASON_RULE_DENIES };
        if (q->answer == ANSWER_NEVER)          /* whoever it is that asks under this name: no */
                return (Ruling) { DECISION_DENY, REASON_USER_NEVER };
        if (q->answer == ANSWER_ONCE && sure)   /* given for this very call */
                return (Ruling) { DECISION_ALLOW, REASON_USER_ALLOWED };
        if (wants_exact_consent(q))
                return ask(q, REASON_TAINTED);
        if (v == VERDICT_ALLOW)
                return (Ruling) { DECISION_ALLOW, REASON_RULE_ALLOWS };
        if (answered && sure)
                return (Ruling) { DECISION_ALLOW, REASON_USER_ALLOWED };
        return ask(q, answered ? REASON_OTHER_CERTAINTY : REASON_MUST_ASK);
}

void decide(const Rules *rules, const Question *q, Ruling *ret) {
        RulePlace place;
        Verdict v = rules_verdict(rules, q->identity, q->capability, q->tool, &place);
        *ret = weigh(q, v);
        ret->verdict = v;
        ret->place = place;
}

void ruling_explain(const Ruling *r, char *text, size_t size) {
        static const char *const decisions[] = { "allow", "ask", "deny" };
        static const char *const reasons[REASON_MAX_] = {
                [REASON_RULE_DENIES]     = "",
                [REASON_USER_NEVER]      = ", and the user said never",
                [REASON_USER_ALLOWED]    = ", and the user said yes",
                [REASON_RULE_ALLOWS]     = "",
                [REASON_MUST_ASK]        = "",
                [REASON_NO_AGENT]        = ", and there is no agent that could ask the user",
                [REASON_REFUSED_LATELY]  = ", and the user refused a short while ago",
                [REASON_TAINTED]         = ", and text from elsewhere is in the context: the exact call must be shown",
                [REASON_OTHER_CERTAINTY] = ", and the user's yes was for a surer identity",
                [REASON_USER_DENIED]     = ", and the user said no",
                [REASON_TIMED_OUT]       = ", and nobody answered",
        };
        char at[512] = "";
        if (r->place.line > 0)
                snprintf(at, sizeof at, "%s:%u says %s", r->place.file, r->place.line, verdict_name(r->verdict));
        else if (r->place.file[0] == '/')
                snprintf(at, sizeof at, "%s cannot be read, which means deny", r->place.file);
        else
                snprintf(at, sizeof at, "no rule speaks of it, which means deny");
        snprintf(text, size, "%s: %s%s", decisions[r->decision], at, reasons[r->reason]);
}
