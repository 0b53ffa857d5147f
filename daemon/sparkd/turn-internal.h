/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between turn.c (a turn's way) and turn-gate.c (whether it may go it). */

#include "daemon/sparkd/turn.h"

/* ---- turn.c ---- */
void turn_wait(Turn *t);                                   /* into the queue */

/* ---- turn-gate.c ---- */
size_t turn_wants(const Session *s, Want ret[2]);          /* what a turn of the session has to be allowed: how many */
/* A Request() of that connection was answered with "once" before. */
bool turn_allowed_once(const Client *c, const Want *wants, size_t n);
/* It waits for the user's word from now on. Negative with reterr: too many do. */
int turn_ask(Turn *t, const Want *wants, size_t n, sd_bus_error *reterr);
void turn_left_asking(Turn *t);
/* At its end, in the state that it ends in: what was charged is put right, what was used written down. */
void turn_account(Turn *t, const TurnEnd *end);
