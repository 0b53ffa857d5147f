/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A model that nobody uses leaves memory, and comes back for the next call: run with Worker.IdleSec=1. */

#include <signal.h>

#include "tests/bus/client.h"
#include "tests/test.h"

static TestClient client;
static char path[PATH_SIZE];
static pid_t first;

static void test_leaves(void) {
        client_init(&client);
        session_open(&client, 8, path);
        client_finish(&client, path, session_respond(&client, path, "Hello"));
        first = worker_pid(&client, NULL);
        CHECK(first > 0);
        wait_for_state(&client, "available");
        CHECK_INT(worker_pid(&client, NULL), 0);
}

static void test_comes_back(void) {
        Reply *r = client_finish(&client, path, session_respond(&client, path, "Still there?"));
        CHECK(strcmp(r->reason, "error") != 0);
        CHECK(r->n_prompt > client_reply(&client, path, 1)->n_prompt);      /* the whole conversation */
        CHECK_INT(r->n_cached, 0);
        pid_t second = worker_pid(&client, NULL);
        CHECK(second > 0 && second != first);
        wait_for_state(&client, "available");
}

static void test_prewarm(void) {
        CHECK(call_root(&client, "Prewarm", NULL, NULL, "a{sv}", 0) >= 0);
        wait_for_state(&client, "ready");
        wait_for_state(&client, "available");
}

TEST_MAIN({ "leaves", test_leaves }, { "comes back", test_comes_back }, { "prewarm", test_prewarm })
