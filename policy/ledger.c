/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one user's ledger file: its schema and migrations, and one prepared statement for each thing that is done with it.
 * It refuses a file that is not one, rather than making a new one in its place: what a user decided is not thrown away. */

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/ledger-log.h"
#include "policy/ledger.h"

typedef enum Statement {
        ST_ADD_USE,
        ST_SET_ANSWER,
        ST_GET_ANSWER,
        ST_RESET,
        ST_ANSWERS,
        ST_KEEP,
        ST_UNKEEP,
        ST_KEPT_BEFORE,
        ST_KEPT,
        ST_USES,
        ST_USES_OF,
        ST_SEEN,
        ST_TOKENS,
        ST_PRUNE_AGE,
        ST_PRUNE_ROWS,
        ST_PRUNE_SEEN,
        ST_MAX_,
} Statement;

static const char *const statements[ST_MAX_] = {
        [ST_ADD_USE] = "INSERT INTO uses (time, app, kind, certainty, capability, tool, decision, reason, outcome, prompt, generated,"
                       " audio_ms, duration) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [ST_SET_ANSWER] = "INSERT OR REPLACE INTO answers (app, capability, tool, certainty, answer, time) VALUES (?,?,?,?,?,?)",
        [ST_GET_ANSWER] = "SELECT answer, certainty FROM answers WHERE app = ? AND capability = ? AND tool = ?",
        [ST_RESET] = "DELETE FROM answers WHERE (?1 IS NULL OR app = ?1) AND (?2 IS NULL OR (capability = ?2 AND tool = ?3))",
        [ST_ANSWERS] = "SELECT app, capability, tool, certainty, answer, time FROM answers ORDER BY app, capability, tool",
        [ST_KEEP] = "INSERT OR REPLACE INTO kept (app, capability, tool, certainty, boot, session) VALUES (?,?,?,?,?,?)",
        [ST_UNKEEP] = "DELETE FROM kept WHERE app = ? AND capability = ? AND tool = ?",
        [ST_KEPT_BEFORE] = "DELETE FROM kept WHERE boot != ?",
        [ST_KEPT] = "SELECT app, capability, tool, certainty, boot, session FROM kept",
        [ST_USES] = "SELECT time, app, kind, certainty, capability, tool, decision, reason, outcome, prompt, generated, audio_ms,"
                    " duration FROM uses WHERE time >= ?1 ORDER BY time, id",
        [ST_USES_OF] = "SELECT time, app, kind, certainty, capability, tool, decision, reason, outcome, prompt, generated, audio_ms,"
                       " duration FROM uses WHERE time >= ?1 AND app = ?2 ORDER BY time, id",
        [ST_SEEN] = "SELECT s.app, s.capability, s.tool, coalesce(a.certainty, s.certainty), a.answer, coalesce(a.time, 0), s.time"
                    " FROM seen s LEFT JOIN answers a USING (app, capability, tool) UNION ALL"
                    " SELECT app, capability, tool, certainty, answer, time, 0 FROM answers a WHERE NOT EXISTS"
                    " (SELECT 1 FROM seen s WHERE s.app = a.app AND s.capability = a.capability AND s.tool = a.tool) ORDER BY 1, 2, 3",
        [ST_TOKENS] = "SELECT coalesce(sum(prompt + generated), 0) FROM uses WHERE time >= ?1 AND (?2 IS NULL OR app = ?2)",
        [ST_PRUNE_AGE] = "DELETE FROM uses WHERE id IN (SELECT id FROM uses WHERE time < ?1 ORDER BY time LIMIT ?2)",
        [ST_PRUNE_ROWS] = "DELETE FROM uses WHERE id IN (SELECT id FROM uses WHERE id <= (SELECT max(id) FROM uses) - ?1 ORDER BY id LIMIT ?2)",
        [ST_PRUNE_SEEN] = "DELETE FROM seen WHERE time < ?1 OR time < (SELECT time FROM seen ORDER BY time DESC LIMIT 1 OFFSET ?2)",
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
        "CREATE INDEX uses_app ON uses (app, time);"
        "CREATE TABLE seen (app TEXT NOT NULL, capability TEXT NOT NULL, tool TEXT NOT NULL, certainty TEXT NOT NULL,"
        " time INTEGER NOT NULL, PRIMARY KEY (app, capability, tool)) WITHOUT ROWID;"
        "INSERT INTO seen SELECT app, capability, tool, certainty, max(time) FROM uses GROUP BY app, capability, tool;"
        "CREATE TRIGGER uses_seen AFTER INSERT ON uses BEGIN INSERT INTO seen VALUES"
        " (new.app, new.capability, new.tool, new.certainty, new.time) ON CONFLICT DO UPDATE SET certainty = new.certainty,"
        " time = max(time, new.time); END;",
        "CREATE TABLE kept (app TEXT NOT NULL, capability TEXT NOT NULL, tool TEXT NOT NULL, certainty TEXT NOT NULL,"
        " boot TEXT NOT NULL, session TEXT NOT NULL,"
        " PRIMARY KEY (app, capability, tool)) WITHOUT ROWID;",
};

struct Ledger {
        sqlite3 *db;
        LedgerLog *log;
        sqlite3_stmt *statements[ST_MAX_];
};

static int execute(sqlite3 *db, const char *sql) {
        return errno_of_sqlite(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static int one_number(sqlite3 *db, const char *sql, int64_t *ret) {
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
        if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
                *ret = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        return rc == SQLITE_ROW ? 0 : errno_of_sqlite(rc == SQLITE_DONE ? SQLITE_CORRUPT : rc);
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
                return errno_of_sqlite(rc);
        sqlite3_busy_timeout(l->db, 100);       /* another program's; sparkd is the only writer */
        sqlite3_limit(l->db, SQLITE_LIMIT_ATTACHED, 0);
        sqlite3_db_config(l->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(l->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        int r = execute(l->db, "PRAGMA journal_mode = WAL");
        if (r >= 0)
                r = execute(l->db, "PRAGMA synchronous = NORMAL");
        if (r >= 0)
                r = errno_of_sqlite(sqlite3_wal_autocheckpoint(l->db, 0));
        if (r >= 0)
                r = migrate(l->db);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ST_MAX_; i++) {
                rc = sqlite3_prepare_v3(l->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &l->statements[i], NULL);
                if (rc != SQLITE_OK)
                        return rc == SQLITE_ERROR ? -EBADMSG : errno_of_sqlite(rc);
        }
        /* Only now: a file that is refused is closed as SQLite does, which leaves no log beside it. */
        r = ledger_log_new(l->db, path, &l->log);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

Ledger *ledger_free(Ledger *l) {
        if (!l)
                return NULL;
        for (size_t i = 0; i < ST_MAX_; i++)
                sqlite3_finalize(l->statements[i]);
        ledger_log_free(l->log);
        sqlite3_close(l->db);
        free(l);
        return NULL;
}

int ledger_problem(const Ledger *l) {
        return ledger_log_error(l->log);
}

/* A statement that is being filled: the first value that cannot be bound is what running it returns. */
typedef struct Filled {
        sqlite3_stmt *st;
        int rc;
} Filled;

static void text(Filled *f, int at, const char *s) {
        if (f->rc == SQLITE_OK)
                f->rc = sqlite3_bind_text(f->st, at, s, -1, SQLITE_STATIC);
}

static void signed_number(Filled *f, int at, int64_t v) {
        if (f->rc == SQLITE_OK)
                f->rc = sqlite3_bind_int64(f->st, at, v);
}

static void number(Filled *f, int at, uint64_t v) {
        signed_number(f, at, (int64_t) MIN(v, (uint64_t) INT64_MAX));
}

static int step(const Filled *f) {
        return f->rc == SQLITE_OK ? sqlite3_step(f->st) : f->rc;
}

static void release(const Filled *f) {
        sqlite3_reset(f->st);
        sqlite3_clear_bindings(f->st);
}

static int run(const Filled *f) {
        int rc = step(f);
        release(f);
        return errno_of_sqlite(rc);
}

int ledger_add_use(Ledger *l, const LedgerUse *u) {
        Filled f = { l->statements[ST_ADD_USE] };
        signed_number(&f, 1, u->time_us);
        text(&f, 2, u->app);
        number(&f, 3, u->kind);
        text(&f, 4, certainty_name(u->certainty));
        text(&f, 5, capability_info(u->capability)->name);
        text(&f, 6, u->tool);
        number(&f, 7, u->decision);
        number(&f, 8, u->reason);
        text(&f, 9, u->outcome);
        number(&f, 10, u->n_prompt);
        number(&f, 11, u->n_generated);
        number(&f, 12, u->audio_ms);
        number(&f, 13, u->duration_us);
        return run(&f);
}

int ledger_set_answer(Ledger *l, const LedgerAnswer *a) {
        if (a->answer != ANSWER_ALWAYS && a->answer != ANSWER_NEVER)
                return -EINVAL;
        Filled f = { l->statements[ST_SET_ANSWER] };
        text(&f, 1, a->app);
        text(&f, 2, capability_info(a->capability)->name);
        text(&f, 3, a->tool);
        text(&f, 4, certainty_name(a->certainty));
        text(&f, 5, answer_name(a->answer));
        signed_number(&f, 6, a->time_us);
        return run(&f);
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
        Filled f = { l->statements[ST_GET_ANSWER] };
        text(&f, 1, app);
        text(&f, 2, capability_info(c)->name);
        text(&f, 3, tool);
        int rc = step(&f);
        if (rc == SQLITE_ROW) {
                *ret = column_answer(f.st, 0);
                *ret_certainty = column_certainty(f.st, 1);
        } else if (rc == SQLITE_DONE) {
                *ret = ANSWER_NONE;
                *ret_certainty = CERTAINTY_UNKNOWN;
        }
        release(&f);
        return errno_of_sqlite(rc);
}

int ledger_reset_answers(Ledger *l, const char *app, Capability c, const char *tool, uint64_t *ret_n) {
        Filled f = { l->statements[ST_RESET] };
        if (app)
                text(&f, 1, app);
        if (c != CAPABILITY_MAX_) {
                text(&f, 2, capability_info(c)->name);
                text(&f, 3, tool);
        }
        int r = run(&f);
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
        return r != 0 ? r : errno_of_sqlite(rc);
}

int ledger_keep(Ledger *l, const LedgerKept *k) {
        Filled f = { l->statements[ST_KEEP] };
        text(&f, 1, k->app);
        text(&f, 2, capability_info(k->capability)->name);
        text(&f, 3, k->tool);
        text(&f, 4, certainty_name(k->certainty));
        text(&f, 5, k->boot);
        text(&f, 6, k->session);
        return run(&f);
}

int ledger_unkeep(Ledger *l, const char *app, Capability c, const char *tool) {
        Filled f = { l->statements[ST_UNKEEP] };
        text(&f, 1, app);
        text(&f, 2, capability_info(c)->name);
        text(&f, 3, tool);
        return run(&f);
}

int ledger_kept(Ledger *l, const char *boot, int (*each)(void *userdata, const LedgerKept *k), void *userdata) {
        Filled before = { l->statements[ST_KEPT_BEFORE] };
        sqlite3_stmt *st = l->statements[ST_KEPT];
        text(&before, 1, boot);
        int r = run(&before), rc = SQLITE_DONE;
        if (r < 0)
                return r;
        while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                LedgerKept k = { .app = column_text(st, 0), .tool = column_text(st, 2), .certainty = column_certainty(st, 3),
                                 .boot = column_text(st, 4), .session = column_text(st, 5) };
                if (column_capability(st, 1, &k.capability))
                        r = each(userdata, &k);
        }
        sqlite3_reset(st);
        return r != 0 ? r : errno_of_sqlite(rc);
}

int ledger_seen(Ledger *l, int (*each)(void *userdata, const LedgerAnswer *a, int64_t last_use_us), void *userdata) {
        sqlite3_stmt *st = l->statements[ST_SEEN];
        int rc = SQLITE_DONE, r = 0;
        while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
                LedgerAnswer a = { .app = column_text(st, 0), .tool = column_text(st, 2), .certainty = column_certainty(st, 3),
                                   .answer = sqlite3_column_type(st, 4) == SQLITE_NULL ? ANSWER_NONE : column_answer(st, 4),
                                   .time_us = sqlite3_column_int64(st, 5) };
                if (column_capability(st, 1, &a.capability))
                        r = each(userdata, &a, sqlite3_column_int64(st, 6));
        }
        sqlite3_reset(st);
        return r != 0 ? r : errno_of_sqlite(rc);
}

int ledger_uses(Ledger *l, int64_t since_us, const char *app, int (*each)(void *userdata, const LedgerUse *u), void *userdata) {
        Filled f = { l->statements[app ? ST_USES_OF : ST_USES] };
        int rc = SQLITE_DONE, r = 0;
        signed_number(&f, 1, since_us);
        if (app)
                text(&f, 2, app);
        while (r == 0 && (rc = step(&f)) == SQLITE_ROW) {
                LedgerUse u = { .time_us = sqlite3_column_int64(f.st, 0), .app = column_text(f.st, 1),
                                .kind = (IdentityKind) sqlite3_column_int(f.st, 2), .certainty = column_certainty(f.st, 3),
                                .tool = column_text(f.st, 5), .decision = (Decision) sqlite3_column_int(f.st, 6),
                                .reason = (Reason) sqlite3_column_int(f.st, 7), .outcome = column_text(f.st, 8),
                                .n_prompt = (uint64_t) sqlite3_column_int64(f.st, 9),
                                .n_generated = (uint64_t) sqlite3_column_int64(f.st, 10),
                                .audio_ms = (uint64_t) sqlite3_column_int64(f.st, 11),
                                .duration_us = (uint64_t) sqlite3_column_int64(f.st, 12) };
                if (column_capability(f.st, 4, &u.capability))
                        r = each(userdata, &u);
        }
        release(&f);
        return r != 0 ? r : errno_of_sqlite(rc);
}

int ledger_tokens(Ledger *l, int64_t since_us, const char *app, uint64_t *ret) {
        Filled f = { l->statements[ST_TOKENS] };
        signed_number(&f, 1, since_us);
        if (app)
                text(&f, 2, app);
        int rc = step(&f);
        if (rc == SQLITE_ROW)
                *ret = (uint64_t) MAX(sqlite3_column_int64(f.st, 0), (sqlite3_int64) 0);
        release(&f);
        return errno_of_sqlite(rc);
}

/* One of the statements that delete, with its numbers. */
static int prune(Ledger *l, Statement s, int64_t first, int64_t second, uint64_t *n) {
        Filled f = { l->statements[s] };
        signed_number(&f, 1, first);
        signed_number(&f, 2, second);
        int r = run(&f);
        if (r >= 0)
                *n += (uint64_t) sqlite3_changes64(l->db);
        return r;
}

int ledger_prune(Ledger *l, int64_t now_us, uint64_t *ret_n) {
        int64_t before = now_us - (int64_t) LEDGER_AGE_MAX_DAYS * 86400 * 1000000;
        uint64_t n = 0, n_seen = 0;
        int r = prune(l, ST_PRUNE_AGE, before, LEDGER_PRUNE_ROWS, &n);
        if (r >= 0)
                r = prune(l, ST_PRUNE_ROWS, LEDGER_ROWS_MAX, LEDGER_PRUNE_ROWS, &n);
        if (r >= 0)
                r = prune(l, ST_PRUNE_SEEN, before, LEDGER_SEEN_MAX - 1, &n_seen);
        if (r >= 0)
                *ret_n = n;
        return r;
}
