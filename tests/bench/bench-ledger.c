/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long a ledger can hold up whoever writes to it, which is sparkd's loop: the slowest rows of many (those at which
 * SQLite's log is brought into the file, or begun anew), pruning, and what is read again at the start, in a ledger as full as
 * one may be. Without a pause rows come faster than any log can be brought in beside them.
 *
 *   bench-ledger FOLDER [ROWS [PAUSE]]    the folder decides the disk; the ledger in it is removed; ms between timed rows */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/ledger.h"

#define ADDED 20000u                       /* rows that are timed */
#define ADDED_SLOWLY 4000u                 /* … with a pause before each */
#define APPS 200u
#define DAY INT64_C(86400000000)

#define REQUIRE(x)                                                                      \
        do {                                                                            \
                if (!(x)) {                                                             \
                        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
                        exit(1);                                                        \
                }                                                                       \
        } while (0)

static double now_ms(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return (x > y) - (x < y);
}

/* A row every so often, over the whole age, of many applications. */
static void fill(const char *path, unsigned n, int64_t now) {
        sqlite3 *db;
        char *sql;
        REQUIRE(asprintf(&sql, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u) INSERT INTO uses"
                         " (time, app, kind, certainty, capability, tool, decision, reason, outcome, prompt, generated, audio_ms, duration)"
                         " SELECT %lld - (%u - i) * %lld, 'org.example.App' || (i * 7919 %% %u), 6, 'sandboxed', 'generate', '', 0, 3, 'stop',"
                         " 100, 20, 0, 1000 FROM n", n, (long long) now, n, (long long) (LEDGER_AGE_MAX_DAYS * DAY / n), APPS) > 0);
        REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
        REQUIRE(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
        REQUIRE(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) == SQLITE_OK);
        sqlite3_close(db);
        free(sql);
}

static void add(Ledger *l, int64_t now, unsigned pause_ms) {
        static double v[ADDED];
        char app[64];
        unsigned n = pause_ms > 0 ? ADDED_SLOWLY : ADDED, n_slow = 0;

        for (unsigned i = 0; i < n; i++) {
                if (pause_ms > 0)
                        usleep(pause_ms * 1000);
                snprintf(app, sizeof app, "org.example.App%u", i * 7919 % APPS);
                const LedgerUse u = { .time_us = now + i, .app = app, .certainty = CERTAINTY_SANDBOXED, .tool = "", .outcome = "stop", .n_prompt = 100 };
                double start = now_ms();
                REQUIRE(ledger_add_use(l, &u) == 0);
                v[i] = now_ms() - start;
        }
        qsort(v, n, sizeof *v, compare);
        for (unsigned i = 0; i < n; i++)
                n_slow += v[i] > 1;
        printf("a row of %u: %.3f ms, one in a hundred %.3f, one in a thousand %.2f, longest %.1f; %u above 1 ms\n", n, v[n / 2],
               v[n - n / 100], v[n - n / 1000], v[n - 1], n_slow);
}

static int count(void *userdata, const LedgerUse *u) {
        ++*(unsigned *) userdata;
        return 0;
}

int main(int argc, char **argv) {
        _cleanup_(ledger_freep) Ledger *l = NULL;
        unsigned n = argc > 2 ? (unsigned) atoi(argv[2]) : LEDGER_ROWS_MAX, n_read = 0;
        struct timespec t;
        char path[512];
        uint64_t gone;

        if (argc < 2)
                return 2;
        snprintf(path, sizeof path, "%s/bench-ledger.db", argv[1]);
        clock_gettime(CLOCK_REALTIME, &t);
        int64_t now = (int64_t) t.tv_sec * 1000000;
        REQUIRE(ledger_open(path, &l) == 0);
        l = ledger_free(l);
        fill(path, n, now);
        REQUIRE(ledger_open(path, &l) == 0);

        add(l, now, argc > 3 ? (unsigned) atoi(argv[3]) : 0);
        double start = now_ms();
        REQUIRE(ledger_uses(l, now - DAY, NULL, count, &n_read) == 0);
        printf("the last day, %u rows: %.1f ms\n", n_read, now_ms() - start);
        double longest = 0, begun = now_ms();
        unsigned n_pieces = 0;
        do {
                start = now_ms();
                REQUIRE(ledger_prune(l, now + 30 * DAY, &gone) == 0);
                longest = MAX(longest, now_ms() - start);
                n_pieces++;
        } while (gone >= LEDGER_PRUNE_ROWS);
        printf("pruned a month in %u pieces: %.1f ms, longest %.1f\n", n_pieces, now_ms() - begun, longest);
        for (const char *const *s = (const char *[]) { "", "-wal", "-shm", NULL }; *s; s++) {
                char side[600];
                snprintf(side, sizeof side, "%s%s", path, *s);
                (void) unlink(side);
        }
        return 0;
}
