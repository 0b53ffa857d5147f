/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who calls, and the connections that clients have: found, made known, forgotten, and how much may be sent to each. */

#include "daemon/sparkd/manager.h"

/* The caller of m, made known where it was not. Negative with reterr filled where a cap was met. */
int client_of_message(Manager *m, sd_bus_message *message, Client **ret, sd_bus_error *reterr);
/* Of whoever sent m, where no client is needed; no reference. */
int user_of_message(Manager *m, sd_bus_message *message, User **ret, sd_bus_error *reterr);
int caller_of_message(Manager *m, sd_bus_message *message, Caller *ret, sd_bus_error *reterr);
/* It is shut in, or says that it is. */
bool identity_is_sandboxed(const Identity *id);
Client *client_find(Manager *m, const char *name);
/* Forgets a client that has nothing here any more. */
void client_settle(Client *c);
Client *client_free(Client *c);

/* A signal to it alone, to be filled and sent (message.h). */
int client_signal(const Client *c, const char *path, const char *interface, const char *member, sd_bus_message **ret);
/* Bytes that may still be sent to it now. */
size_t client_window(const Client *c);
/* So much more was sent; asks whether it reads, where it is time to. */
void client_sent(Client *c, size_t n);
