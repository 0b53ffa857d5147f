/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is kept of every decision and every use: a row of the user's ledger, and the same as structured fields in the
 * journal (systemd.journal-fields(7); the messages are explained in spark.catalog). Never what was said. */

#include "daemon/sparkd/manager.h"

/* The user's ledger, opened where it was not. NULL: there is none (*ret_error: -ENOENT there is no folder for it, and
 * nothing that it could say is lost; others: something may be in it that cannot be read). */
Ledger *record_ledger(User *u, int *ret_error);

void record_use(User *u, const LedgerUse *use);

/* What an application was allowed for that reason, how it ended; its cost is the caller's to fill in. Points into a. */
LedgerUse use_of(const App *a, Capability c, Reason why, const char *outcome);

/* What the user answered, or that nobody did: `outcome` is the answer's name. */
void record_answer(User *u, const Identity *id, const Want *w, Reason reason, const char *outcome);

/* A refusal, but where record_answer() has it; of those that come again and again a few (refusals.h), so that nobody fills
 * the ledger with them. */
void record_refusal(User *u, const Identity *id, const Want *w, Reason why);

uint64_t record_now(void);                                 /* CLOCK_REALTIME, microseconds */
