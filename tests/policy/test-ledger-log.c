/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The log beside a ledger, and the thread that brings it into the file: that it does, that the log stays small, what there
 * is where no thread can be had or another program reads, and deaths by SIGKILL in the midst of it. Rows are of a table of
 * the test's own, three pages and more each. */

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "policy/ledger-log.h"
#include "tests/test.h"

#define KILLS 100
#define BEGUN 10u                       /* the log, by then: it was killed in the midst of something */
#define PAGES 16u
#define AGAIN 4u
#define MOST 80u
#define ROW_PAGES 8u                    /* of the log, for one row, at most */
#define FRAME 4120u                     /* bytes of the log, for a page */
#define WAIT_ROWS 200000

static char folder[] = "/tmp/spark-ledger-log-XXXXXX";
static char path[64];

/* In place of the C library's, for what a machine does to a program now and then. */
static enum { THREADS_AS_THEY_ARE, THREADS_NONE, THREADS_LATE } threads;
static atomic_uint n_threads, n_deaf, n_ended;   /* that were started, that no signal is delivered to, that have ended */

typedef struct Started {
        void *(*run)(void *);
        void *userdata;
        bool late;
} Started;

static void *begin(void *userdata) {
        Started s = *(Started *) userdata;
        sigset_t blocked;

        free(userdata);
        pthread_sigmask(SIG_SETMASK, NULL, &blocked);
        n_deaf += sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGCHLD) && sigismember(&blocked, SIGHUP);
        if (s.late)
                nanosleep(&(struct timespec) { .tv_nsec = 30000000 }, NULL);
        void *result = s.run(s.userdata);
        n_ended++;
        return result;
}

int pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *), void *userdata) {
        int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");

        if (threads == THREADS_NONE)
                return EAGAIN;
        Started *s = malloc(sizeof *s);
        if (!s)
                return EAGAIN;
        *s = (Started) { run, userdata, threads == THREADS_LATE };
        n_threads++;
        int r = real(ret, attributes, begin, s);
        if (r != 0)
                free(s);
        return r;
}

typedef struct Book {
        sqlite3 *db;
        sqlite3_stmt *add;
        LedgerLog *log;
} Book;

static void book_done(Book *b) {
        sqlite3_finalize(b->add);
        b->log = ledger_log_free(b->log);
        sqlite3_close(b->db);
        *b = (Book) {};
}

static int book_open(Book *b) {
        int rc = sqlite3_open_v2(path, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(b->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
                                  "CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, name TEXT, other TEXT);"
                                  "CREATE INDEX IF NOT EXISTS by_name ON rows (name); CREATE INDEX IF NOT EXISTS by_other ON rows (other)",
                                  NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_prepare_v2(b->db, "INSERT INTO rows (name, other) VALUES (hex(randomblob(16)), hex(randomblob(16)))", -1, &b->add, NULL);
        if (rc != SQLITE_OK)
                return errno_of_sqlite(rc);
        int r = ledger_log_new(b->db, path, &b->log);
        if (r >= 0)
                ledger_log_sizes(b->log, PAGES, AGAIN, MOST);
        return r;
}

static int book_add(Book *b) {
        int rc = sqlite3_step(b->add);
        sqlite3_reset(b->add);
        return errno_of_sqlite(rc);
}

static int64_t number(sqlite3 *db, const char *sql) {
        sqlite3_stmt *st;
        CHECK_INT(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
        CHECK_INT(sqlite3_step(st), SQLITE_ROW);
        int64_t n = sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        return n;
}

/* Whole, and with as many rows. */
static void check_rows(sqlite3 *db, int64_t n) {
        CHECK_INT(number(db, "SELECT count(*) FROM rows"), n);
        CHECK_INT(number(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'"), 0);
}

static void fresh(void) {
        char command[96];
        snprintf(command, sizeof command, "rm -rf '%s'", folder);
        CHECK_INT(system(command), 0);
        strcpy(folder, "/tmp/spark-ledger-log-XXXXXX");
        CHECK(mkdtemp(folder));
        snprintf(path, sizeof path, "%s/log.db", folder);
        threads = THREADS_AS_THEY_ARE;
        n_threads = n_deaf = n_ended = 0;
}

/* How often the log was begun anew: a number of SQLite's in its header (https://www.sqlite.org/fileformat2.html, 4.1). */
static unsigned begun(void) {
        unsigned char v[16];
        char log[80];
        snprintf(log, sizeof log, "%s-wal", path);
        FILE *f = fopen(log, "re");
        CHECK(f);
        size_t n = fread(v, 1, sizeof v, f);
        fclose(f);
        CHECK_INT(n, sizeof v);
        return (unsigned) v[12] << 24 | (unsigned) v[13] << 16 | (unsigned) v[14] << 8 | v[15];
}

static uint64_t log_pages(void) {
        char log[80];
        struct stat st;
        snprintf(log, sizeof log, "%s-wal", path);
        CHECK_INT(stat(log, &st), 0);
        return (uint64_t) st.st_size / FRAME;
}

static void test_thread(void) {
        fresh();
        _cleanup_(book_done) Book b = {};
        CHECK_INT(book_open(&b), 0);
        ledger_log_sizes(b.log, PAGES, AGAIN, UINT_MAX);        /* nobody else does it */
        CHECK_INT(book_add(&b), 0);
        CHECK_INT(n_threads, 0);                /* none before there is something for it */
        unsigned first = begun();
        int64_t n = 1;
        for (unsigned i = 0; i < 5; i++) {
                for (unsigned k = 0; n_threads == i && k < PAGES; k++, n++)
                        CHECK_INT(book_add(&b), 0);
                while (n_ended == i)
                        usleep(500);
                CHECK_INT(book_add(&b), 0);     /* to a log that is at rest */
                n++;
                CHECK_INT(n_threads, i + 1);
                CHECK_INT(begun(), first + i + 1);
                CHECK_INT(ledger_log_error(b.log), 0);
        }
        CHECK_INT(n_deaf, n_threads);
        check_rows(b.db, n);
        book_done(&b);
        CHECK_INT(book_open(&b), 0);
        check_rows(b.db, n);
}

/* Rows without a pause, and threads that come late: whatever happens, the log ends. */
static void test_bound(void) {
        fresh();
        _cleanup_(book_done) Book b = {};
        CHECK_INT(book_open(&b), 0);
        threads = THREADS_LATE;
        for (int i = 0; i < 300; i++)
                CHECK_INT(book_add(&b), 0);
        CHECK(begun() > 1);
        CHECK(log_pages() >= MOST);             /* it has been reached: so this is about something */
        CHECK(log_pages() <= MOST + AGAIN + 3 * ROW_PAGES);
        CHECK(n_threads > 0);
        CHECK_INT(ledger_log_error(b.log), 0);
        check_rows(b.db, 300);
}

static void test_no_thread(void) {
        fresh();
        _cleanup_(book_done) Book b = {};
        CHECK_INT(book_open(&b), 0);
        threads = THREADS_NONE;
        for (int i = 0; i < 200; i++)
                CHECK_INT(book_add(&b), 0);
        CHECK_INT(ledger_log_error(b.log), -EAGAIN);
        CHECK(begun() > 5);
        CHECK(log_pages() <= PAGES + 2 * ROW_PAGES);
        check_rows(b.db, 200);

        threads = THREADS_AS_THEY_ARE;
        int64_t n = 200;
        for (; ledger_log_error(b.log) < 0 && n < WAIT_ROWS; n++)
                CHECK_INT(book_add(&b), 0);
        CHECK(n_threads > 0);
        CHECK_INT(ledger_log_error(b.log), 0);
        check_rows(b.db, n);
}

/* Another program reads what stood there once: the log can only grow, and is begun anew when that has ended. */
static void test_reader(void) {
        fresh();
        _cleanup_(book_done) Book b = {};
        CHECK_INT(book_open(&b), 0);
        CHECK_INT(book_add(&b), 0);
        sqlite3 *reader;
        CHECK_INT(sqlite3_open(path, &reader), SQLITE_OK);
        CHECK_INT(sqlite3_exec(reader, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
        CHECK_INT(number(reader, "SELECT count(*) FROM rows"), 1);
        unsigned first = begun();
        int64_t n = 1;
        for (; n < 200; n++)
                CHECK_INT(book_add(&b), 0);
        CHECK_INT(begun(), first);
        CHECK(log_pages() > PAGES + 2 * MOST);
        CHECK_INT(ledger_log_error(b.log), 0);
        CHECK_INT(number(reader, "SELECT count(*) FROM rows"), 1);
        CHECK_INT(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(reader);
        for (; begun() == first && n < WAIT_ROWS; n++)
                CHECK_INT(book_add(&b), 0);
        CHECK(begun() > first);
        check_rows(b.db, n);
}

static void test_free(void) {
        fresh();
        for (int i = 0; i < 20; i++) {
                Book b = {};
                CHECK_INT(book_open(&b), 0);
                threads = i % 2 ? THREADS_LATE : THREADS_AS_THEY_ARE;
                for (unsigned before = n_threads, k = 0; n_threads == before && k < PAGES; k++)
                        CHECK_INT(book_add(&b), 0);
                book_done(&b);                  /* while the thread sleeps, or works */
                CHECK_INT(n_ended, n_threads);
        }
        CHECK(n_threads >= 20);
        Book b = {};
        CHECK_INT(book_open(&b), 0);
        CHECK_INT(number(b.db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'"), 0);
        book_done(&b);
}

static void test_kills(void) {
        fresh();
        _Atomic uint64_t *committed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(committed != MAP_FAILED);
        unsigned anew = 0;
        int i = 0;
        srand(12);
        for (; i < KILLS || (anew < BEGUN && i < 20 * KILLS); i++) {
                uint64_t was = *committed;
                pid_t pid = fork();
                if (pid == 0) {
                        Book b = {};
                        if (book_open(&b) < 0)
                                _exit(2);
                        for (;;) {
                                if (book_add(&b) < 0)
                                        _exit(3);
                                (*committed)++;
                        }
                }
                CHECK(pid > 0);
                while (i % 2 && *committed == was && waitpid(pid, NULL, WNOHANG) == 0)
                        usleep(500);            /* others die while they open it */
                nanosleep(&(struct timespec) { .tv_nsec = 1000000 + rand() % 14000000 }, NULL);
                CHECK_INT(kill(pid, SIGKILL), 0);
                int status;
                CHECK_INT(waitpid(pid, &status, 0), pid);
                CHECK(WIFSIGNALED(status));

                _cleanup_(book_done) Book b = {};
                CHECK_INT(book_open(&b), 0);
                int64_t n = number(b.db, "SELECT count(*) FROM rows");
                CHECK(n >= (int64_t) *committed && n <= (int64_t) *committed + 1);  /* the last may be in, and not yet counted */
                check_rows(b.db, n);
                *committed = (uint64_t) n;
                if (n > 0)
                        anew = begun();
        }
        printf("# %llu rows through %d kills, the log begun %u times\n", (unsigned long long) *committed, i, anew);
        CHECK(*committed > 0);
        CHECK(anew >= BEGUN);
        munmap((void *) committed, 4096);
}

TEST_MAIN(
        { "kills in the midst of it lose nothing that was committed", test_kills },
        { "a thread brings the log into the file", test_thread },
        { "a log ends, however fast rows come", test_bound },
        { "where no thread can be had, whoever writes does it", test_no_thread },
        { "a reader of another program's holds up the log, and nothing else", test_reader },
        { "it is closed while a thread is under way", test_free },
)
