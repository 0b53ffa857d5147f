/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers "for this session": they hold while the login session is there that they were given in, and survive a restart of
 * sparkd, but no logout and no boot. */

#include "daemon/sparkd/manager.h"

/* -ENOBUFS: KEPT_ANSWERS_PER_USER are. */
int kept_keep(User *u, const Identity *id, const Want *w);
/* Whether one holds; *ret: the certainty of the identity that it was given for. */
bool kept_holds(User *u, const char *app, const Want *w, Certainty *ret);
/* app NULL: all; w NULL: all of the app. How many went. */
uint64_t kept_reset(User *u, const char *app, const Want *w);

/* The end of a user's record here; what is in the ledger stays. */
void kept_done(User *u);
