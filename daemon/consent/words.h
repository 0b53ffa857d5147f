/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A question for consent in words, and the answers that there are: the same from spark-agent's notification and dialog
 * and from sparkctl on a terminal. What each detail is: RequestConsent in dbus/org.spark.Assistant.Agent.xml. */

#include <stddef.h>
#include <stdint.h>

#define CONSENT_CAPABILITIES_MAX 16u    /* asked about in one question; a question for more is refused */
#define CONSENT_NAME_MAX 48u            /* characters of an app's name, of its id, and of what would leave */
#define CONSENT_ID_MAX 160u
#define CONSENT_LEAVES_MAX 600u

typedef struct ConsentDetails {
        const char *app;                /* its id, as the system knows it; "?" where it does not */
        const char *name;               /* what the desktop calls that id, or NULL */
        const char *kind, *certainty;   /* names of policy/identity.h; others count as the least */
        const char *leaves;             /* what would leave the machine, or "" */
        uint32_t pid;                   /* 0: not known */
        const char *const *capabilities;
        size_t n_capabilities;
} ConsentDetails;

typedef struct ConsentWords {
        char *title;                    /* one line: "May “Notes” ask the assistant?" */
        char *body;                     /* lines: what it is, how sure that is, what would leave */
} ConsentWords;

/* -EINVAL: nothing is asked for, or too much; -ENOMEM. No markup in either, and nothing that could be none of ours. */
int consent_words(const ConsentDetails *d, ConsentWords *ret);
void consent_words_done(ConsentWords *w);

typedef struct ConsentAnswer {
        const char *name;               /* as RequestConsent returns it */
        const char *label;              /* on a button */
        char key;                       /* on a terminal */
} ConsentAnswer;

/* "deny" first. */
#define CONSENT_ANSWERS 5u
extern const ConsentAnswer consent_answers[CONSENT_ANSWERS];
/* By its name; NULL: no such. */
const ConsentAnswer *consent_answer(const char *name);
/* What a person typed: a key or a name, in any case, with blanks around it. NULL: neither. */
const ConsentAnswer *consent_answer_typed(const char *line);
