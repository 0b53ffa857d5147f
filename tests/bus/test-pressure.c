/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory runs short: an idle model leaves at once, a busy one when its reply is there; run with --pressure, a FIFO in
 * the kernel's place. */

#include <fcntl.h>
#include <signal.h>

#include "tests/bus/client.h"
#include "tests/test.h"

static TestClient client;
static char path[PATH_SIZE];

static void tell(void) {
        const char *name = getenv("SPARK_TEST_PRESSURE");
        CHECK(name);
        _cleanup_close_ int fd = open(name, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        CHECK(fd >= 0);
        CHECK(write(fd, "x", 1) == 1);
}

static void test_idle_leaves(void) {
        client_init(&client);
        session_open(&client, 8, path);
        client_finish(&client, path, session_respond(&client, path, "Hello"));
        CHECK(worker_pid(&client, NULL) > 0);
        tell();
        wait_for_state(&client, "available");
        CHECK_INT(worker_pid(&client, NULL), 0);
}

/* The worker is stopped meanwhile: its reply would be there before sparkd has heard anything. */
static void test_busy_stays(void) {
        char longer[PATH_SIZE];
        session_open(&client, 400, longer);
        client_finish(&client, longer, session_respond(&client, longer, "A"));
        pid_t pid = worker_pid(&client, NULL);
        REQUIRE(pid > 0);
        CHECK_INT(kill(pid, SIGSTOP), 0);
        uint64_t turn = session_respond(&client, longer, "And B?");
        tell();
        for (int i = 0; i < 3; i++)        /* each takes sparkd's loop round at least once */
                wait_for_state(&client, "ready");
        CHECK_INT(kill(pid, SIGCONT), 0);
        Reply *r = client_finish(&client, longer, turn);
        CHECK(strcmp(r->reason, "error") != 0);
        CHECK_INT(worker_pid(&client, NULL), pid);

        tell();                            /* as the kernel does again and again while it lasts */
        wait_for_state(&client, "available");
}

static void test_comes_back(void) {
        Reply *r = client_finish(&client, path, session_respond(&client, path, "Still there?"));
        CHECK(strcmp(r->reason, "error") != 0);
        CHECK(r->n_prompt > client_reply(&client, path, 1)->n_prompt);
        client_done(&client);
}

TEST_MAIN({ "an idle model leaves", test_idle_leaves }, { "a busy one does not", test_busy_stays }, { "comes back", test_comes_back })
