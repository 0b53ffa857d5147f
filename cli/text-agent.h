/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.spark.Assistant.Agent on a terminal: questions are printed, a line is the answer. It works while the client's event
 * loop runs, and has to be freed before the client. */

#include "cli/client.h"

typedef struct TextAgent TextAgent;

/* On the terminal that controls this process. -ENOTTY: there is none that somebody reads (standard error has to be a
 * terminal too). Nobody knows of it yet. `own`: it takes questions about this very process alone. */
int text_agent_new(Client *client, bool own, TextAgent **ret);
/* Tells sparkd that it is gone. */
TextAgent *text_agent_free(TextAgent *a);
DEFINE_CLEANUP(TextAgent, text_agent_free);

/* Tells sparkd of it and waits until it is known; only that sparkd may ask from then on. */
int text_agent_register(TextAgent *a, sd_bus_error *reterr);
/* The same without waiting: what is called next on this connection finds the agent known. `sparkd` is a unique name. That
 * an older sparkd takes no agents is no error. */
int text_agent_register_async(TextAgent *a, const char *sparkd);

/* The sparkd that knows of it: a unique name, or NULL. */
const char *text_agent_sparkd(const TextAgent *a);
/* That sparkd is gone, and with it its questions. */
void text_agent_forget(TextAgent *a);
