/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker that dies or hangs, at every moment: the reply under way fails, the session goes on, the next turn answers
 * as if nothing had happened. Runs on the default model, and with a watchdog of seconds. */

#include <signal.h>
#include <sys/wait.h>

#include "tests/bus/client.h"
#include "tests/test.h"

#define WORKER_LOST "org.spark.Assistant.Error.WorkerLost"
#define INVALID "org.spark.Assistant.Error.InvalidInput"

static TestClient client;

static void kill_worker(int sig) {
        pid_t pid = worker_pid(&client, NULL);
        CHECK(pid > 0);
        CHECK_INT(kill(pid, sig), 0);
}

static void check_lost(const Reply *r) {
        CHECK_STR(r->reason, "error");
        CHECK_STR(r->error, WORKER_LOST);
}

static void check_said(const Reply *r) {
        if (strcmp(r->reason, "error") == 0)
                printf("# %s: %s\n", r->error, r->message);
        CHECK(strcmp(r->reason, "length") == 0 || strcmp(r->reason, "stop") == 0);
        CHECK(r->size > 0);
}

/* What two turns say when nothing happens: the measure for the others. */
static char *expected[2];
static const char *const questions[2] = { "Name three colours.", "And one more?" };

static void test_undisturbed(void) {
        char path[PATH_SIZE];
        session_open(&client, 16, path);
        for (size_t i = 0; i < 2; i++) {
                Reply *r = client_finish(&client, path, session_respond(&client, path, questions[i]));
                check_said(r);
                expected[i] = strdup(r->text);
        }
}

static void check_second_turn(const char *path) {
        Reply *r = client_finish(&client, path, session_respond(&client, path, questions[1]));
        check_said(r);
        CHECK(expected[1]);
        CHECK_STR(r->text, expected[1]);
}

static int on_counted(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", userdata) <= 0) {
                printf("# %s\n", sd_bus_message_is_method_error(m, NULL) ? sd_bus_message_get_error(m)->message : "no number");
                *(uint32_t *) userdata = UINT32_MAX;
        }
        return 0;
}

/* The hardest moment for it: sparkd learns of the death and of the question at once, in whatever order. */
static void test_killed_between_turns(void) {
        const char *daemon = getenv("SPARK_TEST_DAEMON_PID");
        char path[PATH_SIZE];
        REQUIRE(daemon);
        const pid_t sparkd = (pid_t) atoi(daemon);
        session_open(&client, 16, path);
        Reply *r = client_finish(&client, path, session_respond(&client, path, questions[0]));
        CHECK_STR(r->text, expected[0]);

        const pid_t pid = worker_pid(&client, NULL);
        uint32_t n_tokens = 0;                     /* a call that belongs to no session, and is with the worker */
        CHECK_INT(kill(pid, SIGSTOP), 0);
        CHECK(sd_bus_call_method_async(client.bus, NULL, "org.spark.Assistant", "/org/spark/Assistant", "org.spark.Assistant",
                                       "CountTokens", on_counted, &n_tokens, "sa{sv}", questions[0], 0) >= 0);
        for (int i = 0; i < 3; i++)
                wait_for_state(&client, "ready");
        CHECK_INT(kill(sparkd, SIGSTOP), 0);
        CHECK_INT(kill(pid, SIGKILL), 0);
        const pid_t helper = fork();
        REQUIRE(helper >= 0);
        if (helper == 0) {
                usleep(200000);
                _exit(kill(sparkd, SIGCONT) < 0);
        }
        check_second_turn(path);
        for (int i = 0; i < 600 && n_tokens == 0; i++)
                client_process(&client, 100000);
        CHECK(n_tokens > 0 && n_tokens != UINT32_MAX);
        CHECK_INT(waitpid(helper, NULL, 0), helper);
}

static void test_killed_while_loading(void) {
        char path[PATH_SIZE], state[32] = "";
        session_open(&client, 16, path);
        Reply *r = client_finish(&client, path, session_respond(&client, path, questions[0]));
        CHECK_STR(r->text, expected[0]);

        /* The second turn waits for a new worker, and that one dies before it is ready. */
        const pid_t first = worker_pid(&client, NULL);
        CHECK_INT(kill(first, SIGKILL), 0);
        while (worker_pid(&client, NULL) == first)
                usleep(1000);
        uint64_t turn = session_respond(&client, path, questions[1]);
        pid_t pid = 0;
        for (int i = 0; i < 20000 && (pid == 0 || strcmp(state, "loading") != 0); i++)
                pid = worker_pid(&client, state);
        CHECK_STR(state, "loading");
        CHECK_INT(kill(pid, SIGKILL), 0);
        r = client_finish(&client, path, turn);
        check_said(r);
        CHECK_STR(r->text, expected[1]);
}

static void test_killed_in_prefill(void) {
        char path[PATH_SIZE];
        _cleanup_free_ char *text = long_prompt(1200, 1);
        session_open(&client, 16, path);
        Reply *r = client_finish(&client, path, session_respond(&client, path, questions[0]));
        CHECK_STR(r->text, expected[0]);

        uint64_t turn = session_respond(&client, path, text);
        usleep(50000);
        kill_worker(SIGKILL);
        r = client_finish(&client, path, turn);
        CHECK_INT(r->n_deltas, 0);
        check_lost(r);
        check_second_turn(path);        /* what failed left nothing behind */
}

static void lose_in_decode(int sig) {
        char path[PATH_SIZE], other[PATH_SIZE];
        session_open(&client, 16, path);
        session_open(&client, 400, other);
        Reply *r = client_finish(&client, path, session_respond(&client, path, questions[0]));
        CHECK_STR(r->text, expected[0]);

        uint64_t turn = session_respond(&client, other, "Write a long story about the sea.");
        r = client_first_text(&client, other, turn);
        kill_worker(sig);
        check_lost(client_finish(&client, other, turn));
        check_second_turn(path);
}

static void test_killed_in_decode(void) {
        lose_in_decode(SIGKILL);
}

/* Stopped, not dead: only the watchdog can know. */
static void test_hung(void) {
        lose_in_decode(SIGSTOP);
}

static void test_poison(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        session_open(&client, 400, path);
        for (int i = 0; i < 3; i++) {
                uint64_t turn = session_respond(&client, path, "Poison.");
                client_first_text(&client, path, turn);
                kill_worker(SIGKILL);
                check_lost(client_finish(&client, path, turn));
        }
        CHECK(session_try(&client, path, "Poison.", &error) < 0);
        CHECK_STR(error.name, INVALID);

        /* Another input of the same application is not refused, and clears nothing. */
        char second[PATH_SIZE];
        session_open(&client, 8, second);
        check_said(client_finish(&client, second, session_respond(&client, second, questions[0])));
        sd_bus_error_free(&error);
        CHECK(session_try(&client, path, "Poison.", &error) < 0);
        CHECK_STR(error.name, INVALID);
}

static void test_connect(void) {
        client_init(&client);
}

TEST_MAIN({ "connect", test_connect }, { "undisturbed", test_undisturbed }, { "killed between turns", test_killed_between_turns },
          { "killed while loading", test_killed_while_loading }, { "killed in prefill", test_killed_in_prefill },
          { "killed in decode", test_killed_in_decode }, { "hung", test_hung }, { "poison", test_poison })
