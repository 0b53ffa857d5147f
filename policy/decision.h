/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One question, one answer: may this identity use this capability now? Pure: rules, the user's stored answer and the
 * circumstances in; decision and the reason out. The order of precedence is decision.c's one table.
 *
 * The user's word stands between two of the administrator's: `deny` in a rule is final; within `ask` the stored answer
 * decides; `never` holds even where the rules allow. An answer holds only for an identity at least as sure as the one
 * that it was given for. */

#include "policy/rules.h"

typedef enum Answer {
        ANSWER_NONE,
        ANSWER_ONCE,                    /* holds for the request it was given for; never stored */
        ANSWER_SESSION,                 /* kept by whoever keeps the session */
        ANSWER_ALWAYS,
        ANSWER_NEVER,
        ANSWER_MAX_,
} Answer;

const char *answer_name(Answer a);
int answer_parse(const char *name, Answer *ret);

typedef enum Decision { DECISION_ALLOW, DECISION_ASK, DECISION_DENY } Decision;

typedef enum Reason {                   /* the ledger keeps the numbers: new ones go to the end */
        REASON_RULE_DENIES,
        REASON_USER_NEVER,
        REASON_USER_ALLOWED,
        REASON_RULE_ALLOWS,
        REASON_MUST_ASK,                /* DECISION_ASK */
        REASON_NO_AGENT,                /* would have to be asked, and nobody is there to ask */
        REASON_REFUSED_LATELY,          /* was refused and may not ask again yet */
        REASON_TAINTED,                 /* text from elsewhere is in the context: the exact call must be shown */
        REASON_OTHER_CERTAINTY,         /* an answer exists, for a surer identity than this one; asked again */
        REASON_USER_DENIED,             /* asked, and the user said no to this request */
        REASON_TIMED_OUT,               /* asked, and nobody answered */
        REASON_MAX_,
} Reason;

typedef struct Question {
        const Identity *identity;
        Capability capability;
        const char *tool;               /* "" but for CAPABILITY_TOOL */
        Answer answer;                  /* the strongest that is stored or held for this session; ANSWER_NONE */
        Certainty answer_certainty;     /* of the identity it was given for */
        bool agent;                     /* somebody can be asked */
        bool refused_lately;            /* see prompts.h */
        bool tainted;                   /* a span of origin web, file or message is in the context */
        bool side_effects;              /* of the tool: reading the clock has none */
} Question;

typedef struct Ruling {
        Decision decision;
        Reason reason;
        Verdict verdict;                /* the rule's */
        RulePlace place;                /* the line that said so */
} Ruling;

void decide(const Rules *rules, const Question *q, Ruling *ret);

const char *reason_name(Reason r);      /* "rule-denies", "no-agent", … */

/* One line for a person: "deny: /etc/spark/policy.d/90-local.conf:7 says deny". */
void ruling_explain(const Ruling *r, char *text, size_t size);
