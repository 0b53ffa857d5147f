/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one user's ledger file: its schema and migrations, and one prepared statement for each thing that is done with it.
 * It refuses a file that is not one, rather than making a new one in its place: what a user decided is not thrown away. */

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/ledger.h"

typedef enum Statement {
        ST_ADD_USE,
        ST_SET_ANSWER,
        ST_GET_ANSWER,
        ST_RESET,
        ST_ANSWERS,
        ST_USES,
        ST_TOKENS,
        ST_PRUNE_AGE,
        ST_PRUNE_ROWS,
        ST_MAX_,
} Statement;

static const char *const statements[ST_MAX_] = {
        [ST_ADD_USE] = "INSERT INTO uses (time, app, kind, certainty, capability, tool, decision, reason, outcome, prompt, generated,"
                       " audio_ms, duration) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [ST_SET_ANSWER] = "INSERT OR REPLACE INTO answers (app, capability, tool, certainty, answer, time) VALUES (?,?,?,?,?,?)",
        [ST_GET_ANSWER] = "SELECT answer, certainty FROM answers WHERE app = ? AND capability = ? AND tool = ?",
        [ST_RESET] = "DELETE FROM answers WHERE (?1 IS NULL OR app = ?1) AND (?2 IS NULL OR (capability = ?2 AND tool = ?3))",
        [ST_ANSWERS] = "SELECT app, capability, tool, certainty, answer, time FROM answers ORDER BY app, capability, tool",
        [ST_USES] = "SELECT time, app, kind, certainty, capability, tool, decision, reason, outcome, prompt, generated, audio_ms,"
                    " duration FROM uses WHERE time >= ?1 AND (?2 IS NULL OR app = ?2) ORDER BY time, id",
        [ST_TOKENS] = "SELECT coalesce(sum(prompt + generated), 0) FROM uses WHERE time >= ?1 AND (?2 IS NULL OR app = ?2)",
        [ST_PRUNE_AGE] = "DELETE FROM uses WHERE time < ?",
        [ST_PRUNE_ROWS] = "DELETE FROM uses WHERE id <= (SELECT max(id) FROM uses) - ?",
};

/* migrations[v] takes a file of version v to v + 1. Capabilities, reasons and kinds are kept by name: enums may move. */
static const char *const migrations[LEDGER_SCHEMA] = {
        "CREATE TABLE answers (app TEXT NOT NULL, capability TEXT NOT NULL, tool TEXT NOT NULL, certainty TEXT NOT NULL,"
        " answer TEXT NOT NULL, time INTEGER NOT NULL, PRIMARY KEY (app, capability, tool)) WITHOUT ROWID;"
        "CREATE TABLE uses (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, app TEXT NOT NULL, kind INTEGER NOT NULL,"
        " certainty TEXT NOT NULL, capability TEXT NOT NULL, tool TEXT NOT NULL, decision INTEGER NOT NULL,"
        " reason INTEGER NOT NULL, outcome TEXT NOT NULL, prompt INTEGER NOT NULL, generated INTEGER NOT NULL,"
        " duration INTEGER NOT NULL);"
        "CREATE INDEX uses_time ON uses (time);",
        "ALTER TABLE uses ADD COLUMN audio_ms INTEGER NOT NULL DEFAULT 0;",
};

struct Ledger {
        sqlite3 *db;
        sqlite3_stmt *statements[ST_MAX_];
};

static int from_sqlite(int rc) {
        switch (rc & 0xff) {
        case SQLITE_OK: case SQLITE_ROW: case SQLITE_DONE: return 0;
        case SQLITE_NOMEM: return -ENOMEM;
        case SQLITE_FULL: return -ENOSPC;
        case SQLITE_BUSY: case SQLITE_LOCKED: return -EBUSY;
        case SQLITE_READONLY: case SQLITE_PERM: case SQLITE_AUTH: return -EACCES;
        case SQLITE_CANTOPEN: return -ENOENT;
        case SQLITE_CORRUPT: case SQLITE_NOTADB: case SQLITE_SCHEMA: return -EBADMSG;
        default: return -EIO;
        }
}

static int execute(sqlite3 *db, const char *sql) {
        return from_sqlite(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static int one_number(sqlite3 *db, const char *sql, int64_t *ret) {
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
        if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
                *ret = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        return rc == SQLITE_ROW ? 0 : from_sqlite(rc == SQLITE_DONE ? SQLITE_CORRUPT : rc);
}

static int migrate(sqlite3 *db) {
        int64_t version = 0;
        int r = one_number(db, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        if (version > (int64_t) LEDGER_SCHEMA)
                return -ENOTSUP;
        if (version < 0)
                return -EBADMSG;
        for (; version < (int64_t) LEDGER_SCHEMA; version++) {
                char set[64];
                sqlite3_snprintf(sizeof set, set, "PRAGMA user_version = %d", (int) version + 1);
                r = execute(db, "BEGIN IMMEDIATE");
                if (r >= 0)
                        r = execute(db, migrations[version]);
                if (r >= 0)
                        r = execute(db, set);
                if (r >= 0)
                        r = execute(db, "COMMIT");
                if (r < 0) {
                        execute(db, "ROLLBACK");
                        /* A table of ours that is there already in a file that says it is new: somebody else's file. */
                        return r == -EIO ? -EBADMSG : r;
                }
        }
        return 0;
}

int ledger_open(const char *path, Ledger **ret) {
        /* Made here, so that nobody else can read it even for a moment; SQLite's side files take over its mode. */
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        if (fd < 0)
                return -errno;
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;

        _cleanup_(ledger_freep) Ledger *l = calloc(1, sizeof *l);
        if (!l)
                return -ENOMEM;
        int rc = sqlite3_open_v2(path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
        if (rc != SQLITE_OK)
                return from_sqlite(rc);
        sqlite3_busy_timeout(l->db, 100);       /* a reader's check-point; sparkd is the only writer */
        sqlite3_limit(l->db, SQLITE_LIMIT_ATTACHED, 0);
        sqlite3_db_config(l->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(l->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        int r = execute(l->db, "PRAGMA journal_mode = WAL");
        if (r >= 0)
                r = execute(l->db, "PRAGMA synchronous = NORMAL");
        if (r >= 0)
                r = migrate(l->db);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ST_MAX_; i++) {
                rc = sqlite3_prepare_v3(l->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &l->statements[i], NULL);
                if (rc != SQLITE_OK)
                        return rc == SQLITE_ERROR ? -EBADMSG : from_sqlite(rc);
        }
        *ret = TAKE_PTR(l);
        return 0;
}

Ledger *ledger_free(Ledger *l) {
        if (!l)
                return NULL;
        for (size_t i = 0; i < ST_MAX_; i++)
                sqlite3_finalize(l->statements[i]);
        sqlite3_close(l->db);
        free(l);
        return NULL;
}

static void text(sqlite3_stmt *st, int at, const char *s) {
        sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
}

static void number(sqlite3_stmt *st, int at, uint64_t v) {
        sqlite3_bind_int64(st, at, (int64_t) MIN(v, (uint64_t) INT64_MAX));
}

static int run(sqlite3_stmt *st) {
        int rc = sqlite3_step(st);
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        return from_sqlite(rc);
}

int ledger_add_use(Ledger *l, const LedgerUse *u) {
        sqlite3_stmt *st = l->statements[ST_ADD_USE];
        sqlite3_bind_int64(st, 1, u->time_us);
        text(st, 2, u->app);
        sqlite3_bind_int(st, 3, (int) u->kind);
        text(st, 4, certainty_name(u->certainty));
        text(st, 5, capability_info(u->capability)->name);
        text(st, 6, u->tool);
        sqlite3_bind_int(st, 7, (int) u->decision);
        sqlite3_bind_int(st, 8, (int) u->reason);
        text(st, 9, u->outcome);
        number(st, 10, u->n_prompt);
        number(st, 11, u->n_generated);
        number(st, 12, u->audio_ms);
        number(st, 13, u->duration_us);
        return run(st);
}

int ledger_set_answer(Ledger *l, const LedgerAnswer *a) {
        if (a->answer != ANSWER_ALWAYS && a->answer != ANSWER_NEVER)
                return -EINVAL;
        sqlite3_stmt *st = l->statements[ST_SET_ANSWER];
        text(st, 1, a->app);
        text(st, 2, capability_info(a->capability)->name);
        text(st, 3, a->tool);
        text(st, 4, certainty_name(a->certainty));
        text(st, 5, answer_name(a->answer));
        sqlite3_bind_int64(st, 6, a->time_us);
        return run(st);
}

/* A name that this version does not know (a newer one wrote it) counts as never, for an identity that is sure. */
static Answer column_answer(sqlite3_stmt *st, int at) {
        Answer a;
        const char *s = (const char *) sqlite3_column_text(st, at);
        return s && answer_parse(s, &a) == 0 ? a : ANSWER_NEVER;
}

static Certainty column_certainty(sqlite3_stmt *st, int at) {
        Certainty c;
        const char *s = (const char *) sqlite3_column_text(st, at);
        return s && certainty_parse(s, &c) == 0 ? c : CERTAINTY_SANDBOXED;
}

static const char *column_text(sqlite3_stmt *st, int at) {
        return (const char *) sqlite3_column_text(st, at) ?: "";
}

static bool column_capability(sqlite3_stmt *st, int at, Capability *ret) {
        const char *s = column_text(st, at), *tool;
        if (strcmp(s, capability_info(CAPABILITY_TOOL)->name) == 0) {
                *ret = CAPABILITY_TOOL;
                return true;
        }
        return capability_parse(s, ret, &tool) == 0;
}

int ledger_get_answer(Ledger *l, const char *app, Capability c, const char *tool, Answer *ret, Certainty *ret_certainty) {
        sqlite3_stmt *st = l->statements[ST_GET_ANSWER];
        text(st, 1, app);
        text(st, 2, capability_info(c)->name);
        text(st, 3, tool);
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                *ret = column_answer(st, 0);
                *ret_certainty = column_certainty(st, 1);
        } else if (rc == SQLITE_DONE) {
                *ret = ANSWER_NONE;
                *ret_certainty = CERTAINTY_UNKNOWN;
        }
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        return from_sqlite(rc);
}

int ledger_reset_answers(Ledger *l, const char *app, Capability c, const char *tool, uint64_t *ret_n) {
        sqlite3_stmt *st = l->statements[ST_RESET];
        if (app)
                text(st, 1, app);
        if (c != CAPABILITY_MAX_) {
                text(st, 2, capability_info(c)->name);
                text(st, 3, tool);
        }
        int r = run(st);
        if (r >= 0)
                *ret_n = (uint64_t) sqlite3_changes64(l->db);
        return r;
}

int ledger_answers(Ledger *l, int (*each)(void *userdata, const LedgerAnswer *a), void *userdata) {
        sqlite3_stmt *st = l->statements[ST_ANSWERS];
        int rc = SQLITE_DONE, r = 0;
        while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                LedgerAnswer a = { .app = column_text(st, 0), .tool = column_text(st, 2), .certainty = column_certainty(st, 3),
                                   .answer = column_answer(st, 4), .time_us = sqlite3_column_int64(st, 5) };
                if (column_capability(st, 1, &a.capability))
                        r = each(userdata, &a);
        }
        sqlite3_reset(st);
        return r != 0 ? r : from_sqlite(rc);
}

int ledger_uses(Ledger *l, int64_t since_us, const char *app, int (*each)(void *userdata, const LedgerUse *u), void *userdata) {
        sqlite3_stmt *st = l->statements[ST_USES];
        int rc = SQLITE_DONE, r = 0;
        sqlite3_bind_int64(st, 1, since_us);
        if (app)
                text(st, 2, app);
        while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                LedgerUse u = { .time_us = sqlite3_column_int64(st, 0), .app = column_text(st, 1),
                                .kind = (IdentityKind) sqlite3_column_int(st, 2), .certainty = column_certainty(st, 3),
                                .tool = column_text(st, 5), .decision = (Decision) sqlite3_column_int(st, 6),
                                .reason = (Reason) sqlite3_column_int(st, 7), .outcome = column_text(st, 8),
                                .n_prompt = (uint64_t) sqlite3_column_int64(st, 9),
                                .n_generated = (uint64_t) sqlite3_column_int64(st, 10),
                                .audio_ms = (uint64_t) sqlite3_column_int64(st, 11),
                                .duration_us = (uint64_t) sqlite3_column_int64(st, 12) };
                if (column_capability(st, 4, &u.capability))
                        r = each(userdata, &u);
        }
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        return r != 0 ? r : from_sqlite(rc);
}

int ledger_tokens(Ledger *l, int64_t since_us, const char *app, uint64_t *ret) {
        sqlite3_stmt *st = l->statements[ST_TOKENS];
        sqlite3_bind_int64(st, 1, since_us);
        if (app)
                text(st, 2, app);
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW)
                *ret = (uint64_t) MAX(sqlite3_column_int64(st, 0), (sqlite3_int64) 0);
        sqlite3_reset(st);
        sqlite3_clear_bindings(st);
        return from_sqlite(rc);
}

int ledger_prune(Ledger *l, int64_t now_us, uint64_t *ret_n) {
        int64_t before = now_us - (int64_t) LEDGER_AGE_MAX_DAYS * 86400 * 1000000;
        sqlite3_bind_int64(l->statements[ST_PRUNE_AGE], 1, before);
        int r = run(l->statements[ST_PRUNE_AGE]);
        uint64_t n = (uint64_t) sqlite3_changes64(l->db);
        if (r >= 0) {
                sqlite3_bind_int64(l->statements[ST_PRUNE_ROWS], 1, LEDGER_ROWS_MAX);
                r = run(l->statements[ST_PRUNE_ROWS]);
        }
        if (r >= 0)
                *ret_n = n + (uint64_t) sqlite3_changes64(l->db);
        return r;
}
