/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system bus, with the policy file as it is installed: calls come through, nobody listens in, and what changes is
 * told to those it concerns, one by one. */

#include "tests/bus/client.h"
#include "tests/test.h"

static TestClient client, stranger;
static unsigned n_changes, n_overheard;

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ++*(unsigned *) userdata;
        return 0;
}

static void test_connect(void) {
        static const char match[] = "type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'";
        client_init(&client);
        client_init(&stranger);
        CHECK(sd_bus_add_match(client.bus, NULL, match, on_changed, &n_changes) >= 0);
        CHECK(sd_bus_add_match(stranger.bus, NULL, match, on_changed, &n_overheard) >= 0);
        CHECK(sd_bus_add_match(stranger.bus, NULL, "type='signal',interface='org.spark.Assistant.Session'", NULL, NULL) >= 0);
}

static void test_turn(void) {
        char path[PATH_SIZE];
        session_open(&client, 8, path);
        Reply *r = client_finish(&client, path, session_respond(&client, path, "Hello"));
        CHECK(strcmp(r->reason, "error") != 0);
        CHECK(n_changes > 0);           /* "ready", at the latest */
        for (int i = 0; i < 20; i++)
                client_process(&stranger, 10000);
        CHECK_INT(n_overheard, 0);
        CHECK_INT(stranger.n_replies, 0);
}

static void test_nobody_else_can_be_it(void) {
        int r = sd_bus_request_name(stranger.bus, "org.spark.Assistant2", 0);
        CHECK(r < 0);
        CHECK(sd_bus_call_method(stranger.bus, "org.spark.Assistant", "/org/spark/Assistant", "org.example.Other", "Call", NULL, NULL, "") < 0);
}

TEST_MAIN({ "connect", test_connect }, { "turn", test_turn }, { "policy", test_nobody_else_can_be_it })
