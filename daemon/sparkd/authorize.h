/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who may administer: decided by polkit where there is somebody to decide about, without waiting for it. */

#include "daemon/sparkd/manager.h"

typedef enum AuthorizeAction {
        AUTHORIZE_READ_OWN,                /* whoever is not in a sandbox */
        AUTHORIZE_OWN,                     /* org.spark.assistant.manage-own-permissions */
        AUTHORIZE_OTHERS,                  /* org.spark.assistant.manage-permissions */
        AUTHORIZE_MODELS,                  /* org.spark.assistant.manage-models */
        AUTHORIZE_MAX_,
} AuthorizeAction;

/* Reads its arguments from the message, which is at its beginning. Returns as a method of a vtable does. */
typedef int (*AuthorizedMethod)(sd_bus_message *message, const Caller *c, sd_bus_error *reterr);

/* Calls `method` at once, later, or never; in the last case the caller gets AccessDenied, or
 * InteractiveAuthorizationRequired where polkit wanted a password and nobody was there to ask for it. Returns as a method does. */
int authorize(Manager *m, sd_bus_message *message, const Caller *c, AuthorizeAction action, AuthorizedMethod method, sd_bus_error *reterr);
void authorizations_done(Manager *m);
