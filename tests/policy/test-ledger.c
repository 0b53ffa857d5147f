/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ledger: answers, uses, pruning, migration, files that are none; and 200 deaths by SIGKILL at random moments, after
 * each of which everything that was committed is there. */

#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "policy/ledger.h"
#include "tests/test.h"

#define KILLS 200

static char folder[] = "/tmp/spark-ledger-XXXXXX";
static char path[64];

static void fresh(void) {
        char command[96];
        snprintf(command, sizeof command, "rm -rf '%s'", folder);
        CHECK_INT(system(command), 0);
        strcpy(folder, "/tmp/spark-ledger-XXXXXX");
        CHECK(mkdtemp(folder));
        snprintf(path, sizeof path, "%s/1000.db", folder);
}

static LedgerUse use_of(const char *app, int64_t time_us, uint64_t tokens) {
        return (LedgerUse) { .time_us = time_us, .app = app, .kind = IDENTITY_FLATPAK, .certainty = CERTAINTY_SANDBOXED,
                             .capability = CAPABILITY_GENERATE, .tool = "", .decision = DECISION_ALLOW,
                             .reason = REASON_RULE_ALLOWS, .outcome = "stop", .n_prompt = tokens, .n_generated = 1, .duration_us = 5 };
}

static void test_answers(void) {
        fresh();
        Answer a;
        Certainty c;
        uint64_t n;
        _cleanup_(ledger_freep) Ledger *l = NULL;
        CHECK_INT(ledger_open(path, &l), 0);
        struct stat st;
        CHECK_INT(stat(path, &st), 0);
        CHECK_INT(st.st_mode & 0777, 0600);
        CHECK_INT(ledger_get_answer(l, "org.a.B", CAPABILITY_CAMERA, "", &a, &c), 0);
        CHECK_INT(a, ANSWER_NONE);
        CHECK_INT(ledger_set_answer(l, &(LedgerAnswer) { "org.a.B", CAPABILITY_CAMERA, "", CERTAINTY_UNIT, ANSWER_ALWAYS, 1 }), 0);
        CHECK_INT(ledger_set_answer(l, &(LedgerAnswer) { "org.a.B", CAPABILITY_TOOL, "rm", CERTAINTY_UNIT, ANSWER_NEVER, 1 }), 0);
        CHECK_INT(ledger_set_answer(l, &(LedgerAnswer) { "org.a.B", CAPABILITY_CAMERA, "", CERTAINTY_UNIT, ANSWER_SESSION, 1 }), -EINVAL);
        CHECK_INT(ledger_get_answer(l, "org.a.B", CAPABILITY_CAMERA, "", &a, &c), 0);
        CHECK_INT(a, ANSWER_ALWAYS);
        CHECK_INT(c, CERTAINTY_UNIT);
        CHECK_INT(ledger_get_answer(l, "org.a.B", CAPABILITY_TOOL, "ls", &a, &c), 0);
        CHECK_INT(a, ANSWER_NONE);
        CHECK_INT(ledger_set_answer(l, &(LedgerAnswer) { "org.a.B", CAPABILITY_CAMERA, "", CERTAINTY_SANDBOXED, ANSWER_NEVER, 2 }), 0);
        CHECK_INT(ledger_get_answer(l, "org.a.B", CAPABILITY_CAMERA, "", &a, &c), 0);
        CHECK_INT(a, ANSWER_NEVER);
        CHECK_INT(ledger_reset_answers(l, "org.a.B", CAPABILITY_CAMERA, "", &n), 0);
        CHECK_INT(n, 1);
        CHECK_INT(ledger_reset_answers(l, NULL, CAPABILITY_MAX_, "", &n), 0);
        CHECK_INT(n, 1);
        /* Names are data, whatever they look like. */
        const char *odd = "x'; DROP TABLE answers; --";
        CHECK_INT(ledger_set_answer(l, &(LedgerAnswer) { odd, CAPABILITY_CAMERA, "", CERTAINTY_UNIT, ANSWER_ALWAYS, 1 }), 0);
        CHECK_INT(ledger_get_answer(l, odd, CAPABILITY_CAMERA, "", &a, &c), 0);
        CHECK_INT(a, ANSWER_ALWAYS);

        l = ledger_free(l);
        for (const char *const *side = (const char *[]) { "-wal", "-shm", NULL }; *side; side++) {
                char name[80];
                snprintf(name, sizeof name, "%s%s", path, *side);
                CHECK_INT(stat(name, &st), 0);
                CHECK_INT(st.st_mode & 0777, 0600);
        }
}

typedef struct Seen {
        size_t n;
        uint64_t tokens;
        char app[64];
} Seen;

static int see(void *userdata, const LedgerUse *u) {
        Seen *s = userdata;
        s->n++;
        s->tokens += u->n_prompt;
        snprintf(s->app, sizeof s->app, "%s", u->app);
        return 0;
}

static void test_uses(void) {
        fresh();
        _cleanup_(ledger_freep) Ledger *l = NULL;
        CHECK_INT(ledger_open(path, &l), 0);
        int64_t day = INT64_C(86400) * 1000000;
        LedgerUse u = use_of("org.a.B", 1 * day, 10);
        CHECK_INT(ledger_add_use(l, &u), 0);
        u = use_of("org.a.C", 50 * day, 20);
        CHECK_INT(ledger_add_use(l, &u), 0);
        u = use_of("org.a.B", 99 * day, 30);
        CHECK_INT(ledger_add_use(l, &u), 0);
        Seen s = {};
        CHECK_INT(ledger_uses(l, 0, NULL, see, &s), 0);
        CHECK_INT(s.n, 3);
        CHECK_STR(s.app, "org.a.B");
        s = (Seen) {};
        CHECK_INT(ledger_uses(l, 2 * day, "org.a.B", see, &s), 0);
        CHECK_INT(s.n, 1);
        uint64_t tokens, n;
        CHECK_INT(ledger_tokens(l, 0, "org.a.B", &tokens), 0);
        CHECK_INT(tokens, 42);
        CHECK_INT(ledger_tokens(l, 0, NULL, &tokens), 0);
        CHECK_INT(tokens, 63);
        CHECK_INT(ledger_prune(l, 100 * day, &n), 0);
        CHECK_INT(n, 1);
        s = (Seen) {};
        CHECK_INT(ledger_uses(l, 0, NULL, see, &s), 0);
        CHECK_INT(s.n, 2);

        /* A piece at a time, the oldest first. */
        for (unsigned i = 0; i < LEDGER_PRUNE_ROWS + 10; i++) {
                u = use_of("org.a.D", 1000 - i, 1);
                CHECK_INT(ledger_add_use(l, &u), 0);
        }
        CHECK_INT(ledger_prune(l, 100 * day, &n), 0);
        CHECK_INT(n, LEDGER_PRUNE_ROWS);
        s = (Seen) {};
        CHECK_INT(ledger_uses(l, 991, NULL, see, &s), 0);
        CHECK_INT(s.n, 10 + 2);
        CHECK_INT(ledger_prune(l, 100 * day, &n), 0);
        CHECK_INT(n, 10);
}

typedef struct Listed {
        char text[512];
} Listed;

static int see_kept(void *userdata, const LedgerKept *k) {
        Listed *l = userdata;
        snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s/%s%s%s,%s,%s,%s ", k->app,
                 capability_info(k->capability)->name, k->tool[0] ? ":" : "", k->tool, certainty_name(k->certainty), k->boot, k->session);
        return 0;
}

/* For a session: of this boot, whoever opens the file. */
static void test_kept(void) {
        fresh();
        _cleanup_(ledger_freep) Ledger *l = NULL;
        CHECK_INT(ledger_open(path, &l), 0);
        CHECK_INT(ledger_keep(l, &(LedgerKept) { "org.a.B", CAPABILITY_CAMERA, "", CERTAINTY_UNIT, "boot1", "3" }), 0);
        CHECK_INT(ledger_keep(l, &(LedgerKept) { "org.a.B", CAPABILITY_CAMERA, "", CERTAINTY_SANDBOXED, "boot1", "4" }), 0);
        CHECK_INT(ledger_keep(l, &(LedgerKept) { "org.a.C", CAPABILITY_TOOL, "rm", CERTAINTY_UNIT, "boot1", "4" }), 0);
        CHECK_INT(ledger_keep(l, &(LedgerKept) { "org.a.D", CAPABILITY_CAMERA, "", CERTAINTY_UNIT, "boot1", "4" }), 0);
        CHECK_INT(ledger_unkeep(l, "org.a.D", CAPABILITY_CAMERA, ""), 0);
        l = ledger_free(l);
        CHECK_INT(ledger_open(path, &l), 0);
        Listed s = {};
        CHECK_INT(ledger_kept(l, "boot1", see_kept, &s), 0);
        CHECK_STR(s.text, "org.a.B/camera,sandboxed,boot1,4 org.a.C/tool:rm,unit,boot1,4 ");
        s = (Listed) {};
        CHECK_INT(ledger_kept(l, "boot2", see_kept, &s), 0);
        CHECK_STR(s.text, "");
        CHECK_INT(ledger_kept(l, "boot1", see_kept, &s), 0);
        CHECK_STR(s.text, "");                  /* they are gone for good */
        Answer a;
        Certainty c;
        CHECK_INT(ledger_get_answer(l, "org.a.B", CAPABILITY_CAMERA, "", &a, &c), 0);
        CHECK_INT(a, ANSWER_NONE);
}

static int list(void *userdata, const LedgerAnswer *a, int64_t last_use_us) {
        Listed *l = userdata;
        snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s/%s%s%s=%s,%s,%lld ", a->app,
                 capability_info(a->capability)->name, a->tool[0] ? ":" : "", a->tool, answer_name(a->answer), certainty_name(a->certainty),
                 (long long) last_use_us);
        return 0;
}

static void test_seen(void) {
        fresh();
        _cleanup_(ledger_freep) Ledger *l = NULL;
        CHECK_INT(ledger_open(path, &l), 0);
        LedgerUse u = use_of("org.a.B", 7, 1);
        CHECK_INT(ledger_add_use(l, &u), 0);
        u.time_us = 5;                          /* the clock was set back: the later one stays */
        CHECK_INT(ledger_add_use(l, &u), 0);
        u = use_of("org.a.A", 6, 1);
        CHECK_INT(ledger_add_use(l, &u), 0);
        CHECK_INT(ledger_set_answer(l, &(LedgerAnswer) { "org.a.B", CAPABILITY_GENERATE, "", CERTAINTY_UNIT, ANSWER_NEVER, 3 }), 0);
        CHECK_INT(ledger_set_answer(l, &(LedgerAnswer) { "org.a.B", CAPABILITY_TOOL, "rm", CERTAINTY_UNIT, ANSWER_ALWAYS, 3 }), 0);
        Listed s = {};
        CHECK_INT(ledger_seen(l, list, &s), 0);
        CHECK_STR(s.text, "org.a.A/generate=none,sandboxed,6 org.a.B/generate=never,unit,7 org.a.B/tool:rm=always,unit,0 ");

        char name[32];
        for (unsigned i = 0; i < LEDGER_SEEN_MAX + 10; i++) {
                snprintf(name, sizeof name, "n%u", i);
                u = use_of(name, 100 + i, 1);
                CHECK_INT(ledger_add_use(l, &u), 0);
        }
        uint64_t n;
        CHECK_INT(ledger_prune(l, 200, &n), 0);
        CHECK_INT(n, 0);
        Seen kept = {};
        CHECK_INT(ledger_uses(l, 0, "n0", see, &kept), 0);
        CHECK_INT(kept.n, 1);                   /* what it did is told still; it is only no longer in the list */
        sqlite3 *db;
        CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
        sqlite3_stmt *st;
        CHECK_INT(sqlite3_prepare_v2(db, "SELECT count(*), min(time) FROM seen", -1, &st, NULL), SQLITE_OK);
        CHECK_INT(sqlite3_step(st), SQLITE_ROW);
        CHECK_INT(sqlite3_column_int(st, 0), LEDGER_SEEN_MAX);
        CHECK_INT(sqlite3_column_int(st, 1), 110);
        sqlite3_finalize(st);
        sqlite3_close(db);
}

static void sql(const char *text) {
        sqlite3 *db;
        CHECK_INT(sqlite3_open(path, &db), SQLITE_OK);
        int rc = sqlite3_exec(db, text, NULL, NULL, NULL);
        sqlite3_close(db);
        CHECK_INT(rc, SQLITE_OK);
}

static void test_migration(void) {
        fresh();
        sql("CREATE TABLE answers (app TEXT NOT NULL, capability TEXT NOT NULL, tool TEXT NOT NULL, certainty TEXT NOT NULL,"
            " answer TEXT NOT NULL, time INTEGER NOT NULL, PRIMARY KEY (app, capability, tool)) WITHOUT ROWID;"
            "CREATE TABLE uses (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, app TEXT NOT NULL, kind INTEGER NOT NULL,"
            " certainty TEXT NOT NULL, capability TEXT NOT NULL, tool TEXT NOT NULL, decision INTEGER NOT NULL,"
            " reason INTEGER NOT NULL, outcome TEXT NOT NULL, prompt INTEGER NOT NULL, generated INTEGER NOT NULL,"
            " duration INTEGER NOT NULL);"
            "INSERT INTO answers VALUES ('org.old.App', 'camera', '', 'unit', 'always', 7);"
            "INSERT INTO uses (time, app, kind, certainty, capability, tool, decision, reason, outcome, prompt, generated, duration)"
            " VALUES (1, 'org.old.App', 3, 'unit', 'generate', '', 0, 3, 'stop', 5, 6, 7);"
            "PRAGMA user_version = 1;");
        _cleanup_(ledger_freep) Ledger *l = NULL;
        CHECK_INT(ledger_open(path, &l), 0);
        Answer a;
        Certainty c;
        Seen s = {};
        CHECK_INT(ledger_get_answer(l, "org.old.App", CAPABILITY_CAMERA, "", &a, &c), 0);
        CHECK_INT(a, ANSWER_ALWAYS);
        CHECK_INT(ledger_uses(l, 0, NULL, see, &s), 0);
        CHECK_INT(s.n, 1);
        Listed seen = {};
        CHECK_INT(ledger_seen(l, list, &seen), 0);
        CHECK_STR(seen.text, "org.old.App/camera=always,unit,0 org.old.App/generate=none,unit,1 ");
}

static void test_not_a_ledger(void) {
        Ledger *l = NULL;
        fresh();
        FILE *f = fopen(path, "we");
        CHECK(f);
        for (int i = 0; i < 2000; i++)
                fputs("this is somebody's text\n", f);
        fclose(f);
        CHECK_INT(ledger_open(path, &l), -EBADMSG);
        fresh();
        sql("PRAGMA user_version = 99");
        CHECK_INT(ledger_open(path, &l), -ENOTSUP);
        fresh();
        CHECK_INT(symlink("/etc/passwd", path), 0);
        CHECK_INT(ledger_open(path, &l), -ELOOP);
        fresh();
        CHECK_INT(mkdir(path, 0700), 0);
        CHECK(ledger_open(path, &l) < 0);
}

static int count(void *userdata, const LedgerUse *u) {
        (*(uint64_t *) userdata)++;
        return 0;
}

static void test_kills(void) {
        fresh();
        _Atomic uint64_t *committed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(committed != MAP_FAILED);
        srand(11);
        for (int i = 0; i < KILLS; i++) {
                uint64_t was = *committed;
                pid_t pid = fork();
                if (pid == 0) {
                        Ledger *l = NULL;
                        if (ledger_open(path, &l) < 0)
                                _exit(2);
                        for (;;) {
                                LedgerUse u = use_of("org.a.B", 1, 1);
                                if (ledger_add_use(l, &u) < 0)
                                        _exit(3);
                                (*committed)++;
                        }
                }
                CHECK(pid > 0);
                while (i % 4 == 0 && *committed == was && waitpid(pid, NULL, WNOHANG) == 0)
                        usleep(500);            /* others die while they open it */
                nanosleep(&(struct timespec) { .tv_nsec = 1000000 + rand() % 14000000 }, NULL);
                CHECK_INT(kill(pid, SIGKILL), 0);
                int status;
                CHECK_INT(waitpid(pid, &status, 0), pid);
                CHECK(WIFSIGNALED(status));

                _cleanup_(ledger_freep) Ledger *l = NULL;
                uint64_t n = 0;
                CHECK_INT(ledger_open(path, &l), 0);
                CHECK_INT(ledger_uses(l, 0, NULL, count, &n), 0);
                CHECK(n >= *committed && n <= *committed + 1);  /* the last may be in, and not yet counted */
                *committed = n;
        }
        printf("# %llu rows through %d kills\n", (unsigned long long) *committed, KILLS);
        CHECK(*committed > 0);
        munmap((void *) committed, 4096);
}

TEST_MAIN(
        { "answers", test_answers },
        { "uses, sums, pruning", test_uses },
        { "apps that were seen", test_seen },
        { "answers for a session", test_kept },
        { "an older schema is brought up to date", test_migration },
        { "what is no ledger is refused and left alone", test_not_a_ledger },
        { "200 kills lose nothing that was committed", test_kills },
)
