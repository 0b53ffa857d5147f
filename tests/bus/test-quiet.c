/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A model that is in memory and is asked nothing costs no processor time: none of the worker's threads runs, not once.
 * Run with an interval between pings that is longer than this test. */

#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "tests/bus/client.h"
#include "tests/test.h"

typedef struct Ran {
        unsigned n_threads;
        unsigned long long n_switches, ticks;
} Ran;

static unsigned long long status_number(const char *path, const char *key) {
        char line[256];
        unsigned long long n = 0;
        FILE *f = fopen(path, "re");
        CHECK(f);
        while (fgets(line, sizeof line, f))
                if (strncmp(line, key, strlen(key)) == 0)
                        n = strtoull(line + strlen(key), NULL, 10);
        fclose(f);
        return n;
}

/* How often its threads were given a processor and took their leave of it, and for how long. */
static Ran ran(pid_t pid) {
        char path[300], text[1024] = "";
        Ran r = {};

        snprintf(path, sizeof path, "/proc/%d/task", (int) pid);
        DIR *d = opendir(path);
        CHECK(d);
        for (const struct dirent *e; (e = readdir(d));) {
                if (e->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof path, "/proc/%d/task/%.20s/status", (int) pid, e->d_name);
                r.n_threads++;
                r.n_switches += status_number(path, "voluntary_ctxt_switches:") + status_number(path, "nonvoluntary_ctxt_switches:");
        }
        closedir(d);

        snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
        FILE *f = fopen(path, "re");
        CHECK(f);
        CHECK(fgets(text, sizeof text, f));
        fclose(f);
        unsigned long long user, system;
        const char *after_name = strrchr(text, ')');
        CHECK(after_name);
        CHECK_INT(sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system), 2);
        r.ticks = user + system;
        return r;
}

static void check_quiet(pid_t pid, const char *name) {
        static const struct timespec pause = { .tv_sec = 2 };
        Ran before = ran(pid);
        nanosleep(&pause, NULL);
        Ran after = ran(pid);
        printf("# %s: %u threads, %llu switches, %llu ticks before; %llu and %llu more in two seconds\n", name, before.n_threads,
               before.n_switches, before.ticks, after.n_switches - before.n_switches, after.ticks - before.ticks);
        CHECK(before.n_switches > 0);
        CHECK_INT(after.n_switches, before.n_switches);
        CHECK_INT(after.ticks, before.ticks);
}

static void test_quiet(void) {
        TestClient client;
        char path[PATH_SIZE];

        client_init(&client);
        session_open(&client, 64, path);
        client_finish(&client, path, session_respond(&client, path, "Hello"));
        pid_t pid = worker_pid(&client, NULL);
        CHECK(pid > 0);

        /* What a reply leaves to be done. */
        sleep(1);
        CHECK_INT(ran(pid).n_threads, 3);
        check_quiet(pid, "worker");
        check_quiet(daemon_pid(), "sparkd");
        client_done(&client);
}

TEST_MAIN({ "idle means idle", test_quiet })
