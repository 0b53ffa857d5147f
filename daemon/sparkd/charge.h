/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The limits of the rule files, of each app and of all apps of a user together: taken off before work starts, put right
 * when it is known what it cost. A day's tokens survive a restart: what the ledger says was used is taken off again. */

#include "daemon/sparkd/manager.h"

/* One request. RateLimited, with when to come back, where the minute's are used up. */
int charge_request(User *u, const Identity *id, sd_bus_error *reterr);

/* So many tokens, as far as one can guess: a prompt of so many bytes, a reply of at most so many tokens. */
uint64_t charge_guess(size_t prompt_bytes, uint32_t max_tokens);
/* QuotaExceeded, with when to come back, where the day's are used up. */
int charge_tokens(App *a, uint64_t n, sd_bus_error *reterr);
/* What was charged before, what it came to. */
void charge_correct(App *a, uint64_t charged, uint64_t cost);

/* Whether it was computed: what was refused as too long or as no conversation was counted, and costs nothing. */
bool charge_due(const WorkerFinished *f);

/* The same of seconds of sound. */
int charge_audio(App *a, uint64_t seconds, sd_bus_error *reterr);
void charge_correct_audio(App *a, uint64_t charged, uint64_t cost);

/* What is open or waits already is at its limit: QuotaExceeded, Busy. */
int charge_session(App *a, sd_bus_error *reterr);
int charge_waiting(App *a, sd_bus_error *reterr);
/* Replies of the app that may be computed at the same time; those of all its user's. */
size_t charge_replies_max(const App *a);
size_t charge_user_replies_max(const User *u);

/* Tokens that a session of the app may have. 0: as many as the model. */
uint32_t charge_context(const App *a);

/* Takes off what the ledger says was used in the last day; once a user. */
void charge_restore(User *u);
