/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns when a ledger's log is brought into its file, and the thread that does it, with a connection of its own. SQLite's
 * PASSIVE checkpoint takes no lock that a writer or a reader waits for, and syncs the log before, the file after.
 *
 * The thread lives for one checkpoint: between them, which is nearly always, there is none, and nothing to wake or to
 * time. It refuses to be more than one. It hears no signal, which are the caller's to handle.
 *
 * While rows are written all the time no PASSIVE checkpoint may ever find the log at rest, and a log is begun anew only
 * after one that did; nor may one ever end in processes that are killed soon. So past a size the writer does one between two
 * rows. That ends with the whole log in the file, unless another program reads the file for so long: then the log grows
 * until that ends, as with any writer. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "policy/ledger-log.h"

struct LedgerLog {
        sqlite3 *writer;
        char *path;
        unsigned pages, again, most;            /* see the header */
        unsigned seen;                          /* pages at the last commit */
        unsigned next, latest;                  /* pages at which the thread is started, and at which the writer does it */
        int error;

        bool started;                           /* `thread` is to be joined */
        pthread_t thread;
        atomic_bool running;
        atomic_int thread_error;                /* of the last that ended */
        pthread_mutex_t lock;                   /* for the following, which the thread sets and others interrupt */
        sqlite3 *reader;
        bool stop;
};

int errno_of_sqlite(int rc) {
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

/* Somebody else is at it, or it was told to stop: what is left in the log is brought in the next time. */
static int checkpoint(sqlite3 *db) {
        int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        return rc == SQLITE_BUSY || rc == SQLITE_LOCKED || rc == SQLITE_INTERRUPT ? 0 : errno_of_sqlite(rc);
}

static bool set_reader(LedgerLog *l, sqlite3 *db) {
        pthread_mutex_lock(&l->lock);
        l->reader = l->stop ? NULL : db;
        bool stop = l->stop;
        pthread_mutex_unlock(&l->lock);
        return !stop;
}

static void *run(void *userdata) {
        LedgerLog *l = userdata;
        sqlite3 *db = NULL;

        int rc = sqlite3_open_v2(l->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(db, "PRAGMA user_version", NULL, NULL, NULL); /* a connection that has read knows of the log */
        int r = rc == SQLITE_BUSY ? 0 : errno_of_sqlite(rc);
        if (rc == SQLITE_OK && set_reader(l, db)) {
                r = checkpoint(db);
                set_reader(l, NULL);
        }
        sqlite3_close(db);
        atomic_store(&l->thread_error, r);
        atomic_store(&l->running, false);
        return NULL;
}

static void join(LedgerLog *l) {
        if (l->started)
                pthread_join(l->thread, NULL);
        l->started = false;
}

/* 0: one runs. The last is joined first: where `running` is false, it has nothing left to do but to return. */
static int start(LedgerLog *l) {
        sigset_t all, before;

        if (atomic_load(&l->running))
                return 0;
        join(l);
        sigfillset(&all);
        int r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r != 0)
                return -r;
        atomic_store(&l->running, true);
        r = pthread_create(&l->thread, NULL, run, l);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                atomic_store(&l->running, false);
        l->started = r == 0;
        return -r;
}

/* After each commit of the writer's, when it holds no lock. What this returns would be the row's fate, which is settled. */
static int on_commit(void *userdata, sqlite3 *db, const char *name, int n_pages) {
        LedgerLog *l = userdata;
        unsigned n = (unsigned) n_pages;

        if (n < l->seen) {                      /* begun anew */
                l->next = l->pages;
                l->latest = l->most;
        }
        l->seen = n;
        if (n < l->next)
                return SQLITE_OK;
        l->next = n + l->again;
        bool late = n >= l->latest;
        if (late) {
                l->latest = n + l->most;        /* not every time, where another program reads */
                join(l);
        }
        int r = late ? 0 : start(l), own = 0;
        if (late || r < 0)
                own = checkpoint(db);
        l->error = r < 0 ? r : own < 0 ? own : atomic_load(&l->thread_error);
        return SQLITE_OK;
}

int ledger_log_new(sqlite3 *writer, const char *path, LedgerLog **ret) {
        _cleanup_(ledger_log_freep) LedgerLog *l = calloc(1, sizeof *l);
        char limit[64];

        if (!l)
                return -ENOMEM;
        pthread_mutex_init(&l->lock, NULL);
        l->writer = writer;
        l->path = strdup(path);
        if (!l->path)
                return -ENOMEM;
        ledger_log_sizes(l, LEDGER_LOG_PAGES, LEDGER_LOG_PAGES_AGAIN, LEDGER_LOG_PAGES_MAX);
        /* When it is begun anew, of one that another program's reading made longer than any other. Cutting waits for the disk. */
        sqlite3_snprintf(sizeof limit, limit, "PRAGMA journal_size_limit = %u", 2 * LEDGER_LOG_PAGES_MAX * 4096);
        int rc = sqlite3_exec(writer, limit, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_db_config(writer, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        if (rc != SQLITE_OK)
                return errno_of_sqlite(rc);
        sqlite3_wal_hook(writer, on_commit, l); /* in place of SQLite's own, which checkpoints */
        *ret = TAKE_PTR(l);
        return 0;
}

LedgerLog *ledger_log_free(LedgerLog *l) {
        if (!l)
                return NULL;
        sqlite3_wal_hook(l->writer, NULL, NULL);
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        if (l->reader)
                sqlite3_interrupt(l->reader);
        pthread_mutex_unlock(&l->lock);
        join(l);
        pthread_mutex_destroy(&l->lock);
        free(l->path);
        free(l);
        return NULL;
}

int ledger_log_error(const LedgerLog *l) {
        return l->error;
}

void ledger_log_sizes(LedgerLog *l, unsigned pages, unsigned again, unsigned most) {
        l->pages = l->next = pages;
        l->again = again;
        l->most = l->latest = most;
}
