/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Agents: processes of a user that offered to ask that user (org.spark.Assistant.Agent). Known by the unique name that
 * registered and the uid that the bus gives for it; gone when that name is. */

#include "daemon/sparkd/manager.h"

#define AGENT_BUS_NAME "org.spark.Assistant.Agent"
#define AGENT_INTERFACE "org.spark.Assistant.Agent"

typedef struct Agent {
        Manager *manager;
        Link link;                         /* in manager->agents */
        uint64_t number;                   /* grows: a later one comes first */
        uid_t uid;
        bool desktop;                      /* the session's own: it can say who a process is, too */
        char *name, *path;
        char session[SESSION_ID_MAX];      /* logind's; "" of a user service or a desktop's program */
        sd_bus_track *track;
} Agent;

int agent_register(Manager *m, const Caller *c, const char *path, bool desktop, sd_bus_error *reterr);
int agent_unregister(Manager *m, const char *name, const char *path, sd_bus_error *reterr);
void agents_done(Manager *m);

/* Whom to ask about something of u: an agent of the same login session first, else one that has none, while the user is
 * there. Of several the latest; only those with a number below the given one. NULL: nobody. */
const Agent *agent_find(User *u, const Identity *asker, uint64_t below);

/* What it was asked needs no answer any more. */
void agent_cancel(Manager *m, const char *name, const char *path, const char *request);

/* Whether asking may come to something: there is one, the session bus may start one, or sparkd has only just begun and
 * those that run have not found it yet. */
bool agent_expected(User *u, const Identity *asker);

/* Has the session bus start one (sparkd --user). *ret_usec: so long one may come. -EHOSTUNREACH: none is to be expected. */
int agent_start(Manager *m, uint64_t *ret_usec);
