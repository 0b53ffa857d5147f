/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a user's apps were answered and what they used: SQLite, WAL, one file per uid. Every decision and every use: time,
 * app, certainty, capability, outcome, tokens, duration. Never content: there is no column that could hold any.
 *
 * A row is committed when the call that wrote it returns; the death of the process at any moment loses nothing that was
 * committed. (Power loss may cost the last moments: WAL with synchronous=NORMAL, https://www.sqlite.org/wal.html.)
 *
 * Rows go to a log, PATH-wal, and from there to PATH in a thread of the ledger's own (policy/ledger-log.h), which lives as
 * long as that takes. Both files, and PATH-shm, stay when the ledger is closed; a copy needs the first two. */

#include <stdint.h>

#include "policy/decision.h"

#define LEDGER_AGE_MAX_DAYS 90u         /* uses older than that are pruned; answers stay */
#define LEDGER_ROWS_MAX 1000000u        /* uses kept at most */
#define LEDGER_PRUNE_ROWS 512u          /* of uses, pruned at a time */
#define LEDGER_SEEN_MAX 4096u           /* pairs of app and capability that were ever used, kept at most; the latest */
#define LEDGER_SCHEMA 4u                /* user_version */

typedef struct Ledger Ledger;

/* Opens or makes `path` (0600) and brings an older schema up to date. -EBADMSG: not a ledger, or damaged; -ENOTSUP: made
 * by a newer Spark. */
int ledger_open(const char *path, Ledger **ret);

/* Waits, where a thread is under way, for one sync of the disk at most; never for a whole checkpoint. */
Ledger *ledger_free(Ledger *l);
DEFINE_CLEANUP(Ledger, ledger_free);

/* 0, or why the log is not brought into the file as it should be. -EAGAIN: no thread can be started, and whoever writes
 * waits for the disk now and then; others: it stays in the log. Nothing is lost by either. */
int ledger_problem(const Ledger *l);

typedef struct LedgerUse {
        int64_t time_us;                /* CLOCK_REALTIME */
        const char *app;
        IdentityKind kind;
        Certainty certainty;
        Capability capability;
        const char *tool;               /* "" but for tools */
        Decision decision;
        Reason reason;
        const char *outcome;            /* "stop", "length", "cancelled", an error's short name; "" for a decision alone */
        uint64_t n_prompt, n_generated, audio_ms, duration_us;
} LedgerUse;

int ledger_add_use(Ledger *l, const LedgerUse *u);

typedef struct LedgerAnswer {
        const char *app;
        Capability capability;
        const char *tool;
        Certainty certainty;            /* of the identity that it was given for */
        Answer answer;                  /* always or never */
        int64_t time_us;
} LedgerAnswer;

/* Replaces what stood there. -EINVAL: an answer that is not kept (once, session). */
int ledger_set_answer(Ledger *l, const LedgerAnswer *a);

/* ANSWER_NONE where there is none. */
int ledger_get_answer(Ledger *l, const char *app, Capability c, const char *tool, Answer *ret, Certainty *ret_certainty);

/* app NULL: all; capability CAPABILITY_MAX_: all of the app. *ret_n: how many went. */
int ledger_reset_answers(Ledger *l, const char *app, Capability c, const char *tool, uint64_t *ret_n);

/* An answer for a session: it outlives the process that wrote it, and neither the boot nor the session, both of which are
 * for the reader to compare. */
typedef struct LedgerKept {
        const char *app;
        Capability capability;
        const char *tool;
        Certainty certainty;
        const char *boot, *session;
} LedgerKept;

int ledger_keep(Ledger *l, const LedgerKept *k);                /* replaces what stood there */
int ledger_unkeep(Ledger *l, const char *app, Capability c, const char *tool);
/* Those of this boot; others are deleted. The callback as below. */
int ledger_kept(Ledger *l, const char *boot, int (*each)(void *userdata, const LedgerKept *k), void *userdata);

/* Callbacks return 0 to go on; anything else ends the walk and is returned. Strings live for the call only. */
int ledger_answers(Ledger *l, int (*each)(void *userdata, const LedgerAnswer *a), void *userdata);
int ledger_uses(Ledger *l, int64_t since_us, const char *app, int (*each)(void *userdata, const LedgerUse *u), void *userdata);

/* Every app and capability that has an answer (else ANSWER_NONE) or was used (else last_use_us is 0), sorted by name. */
int ledger_seen(Ledger *l, int (*each)(void *userdata, const LedgerAnswer *a, int64_t last_use_us), void *userdata);

/* Tokens (prompt and reply) since then, of an app or (NULL) of all: where a day's bucket stands after a restart. */
int ledger_tokens(Ledger *l, int64_t since_us, const char *app, uint64_t *ret);

/* A piece of what is to go, so that nobody waits for all of it: where *ret_n is LEDGER_PRUNE_ROWS or more, there may be more. */
int ledger_prune(Ledger *l, int64_t now_us, uint64_t *ret_n);
