/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Questions to a person, through an agent. Whoever waits for one embeds a ConsentWaiter; several may wait for the same
 * question. An app has one question before the user at a time, and a user a few; the others wait in order. A question
 * that nobody waits for any more is taken back.
 *
 *   WAITING ──▶ STARTING (no agent yet: the session bus starts one) ──▶ ASKED ──▶ answered, timed out, or nobody there */

#include "daemon/sparkd/manager.h"

struct ConsentWaiter {
        Link link;
        Consent *consent;                  /* NULL: waits for nothing */
        /* Called once, when it waits no more. `answer`: once, session, always: yes. `reason` says why not. */
        void (*answered)(ConsentWaiter *w, Answer answer, Reason reason);
};

typedef struct ConsentAsker {
        const Identity *identity;
        pid_t pid;
        const char *parent_window;         /* NULL: none */
} ConsentAsker;

/* Asks for those of the wants that are to be asked. Negative with reterr where too much waits. w->answered is not called
 * before this returns. */
int consent_ask(User *u, const ConsentAsker *asker, const Want *wants, size_t n, ConsentWaiter *w, sd_bus_error *reterr);
void consent_leave(ConsentWaiter *w);

/* An agent has come, or none will. */
void consents_agent_came(Manager *m, uid_t uid);
void consents_agent_failed(Manager *m);
/* The end of a user: nobody may wait any more. */
void consents_stop(User *u);
