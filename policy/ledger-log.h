/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The log beside a ledger's file (PATH-wal), which rows are committed to, and who brings it into the file: a thread of its
 * own, so that whoever writes rows does not wait for the disk. For policy/ledger.c alone.
 *
 * What of the writer's waits for the disk still: the first row after the log was brought in whole, whose header SQLite syncs
 * before it writes over rows that are in the file (once in LEDGER_LOG_PAGES or more); making a ledger; and all of a
 * checkpoint, where no thread can be started or the log is at LEDGER_LOG_PAGES_MAX nevertheless. */

#include <sqlite3.h>

#include "basic/cleanup.h"

#define LEDGER_LOG_PAGES 2000u          /* of the log, at which it is to be brought into the file: 8 MB, 450 uses */
#define LEDGER_LOG_PAGES_AGAIN 64u      /* more of them, after which it is tried again where rows came meanwhile */
#define LEDGER_LOG_PAGES_MAX 10000u     /* at which the writer waits, and does it itself */

typedef struct LedgerLog LedgerLog;

/* Takes over the log of the writer's connection, which is used already, stays the caller's, and is closed after this.
 * Starts nothing yet. */
int ledger_log_new(sqlite3 *writer, const char *path, LedgerLog **ret);

/* Waits for a thread under way, which leaves off at the next page: for one sync of the disk at most. What is in the log
 * stays there, as safe as in the file, until the ledger is opened again. */
LedgerLog *ledger_log_free(LedgerLog *l);
DEFINE_CLEANUP(LedgerLog, ledger_log_free);

/* See ledger_problem(). */
int ledger_log_error(const LedgerLog *l);

/* Others than the three above, for tests. */
void ledger_log_sizes(LedgerLog *l, unsigned pages, unsigned again, unsigned most);

/* 0 or a negative errno for what an SQLite function returned. */
int errno_of_sqlite(int rc);
