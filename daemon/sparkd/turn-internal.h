/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between turn.c (a turn's way) and turn-gate.c (whether it may go it). */

#include "daemon/sparkd/turn.h"

/* ---- turn.c ---- */
void turn_wait(Turn *t);                                   /* into the queue */

/* ---- turn-gate.c ---- */
/* What a turn of the session has to be allowed: how many. */
size_t turn_wants(const Session *s, const RecordingWish *wish, Want ret[TURN_WANTS_MAX]);
/* It waits for the user's word from now on. Negative with reterr: too many do. */
int turn_ask(Turn *t, sd_bus_error *reterr);
/* It is allowed: hears or sees, where it is to, and then waits for its turn. Negative with reterr where it cannot. */
int turn_go(Turn *t, sd_bus_error *reterr);
void turn_left_asking(Turn *t);
/* At its end, in the state that it ends in: what was charged is put right, what was used written down. */
void turn_account(Turn *t, const TurnEnd *end);
