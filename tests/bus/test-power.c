/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Background work on a machine that runs on its battery: it waits for the mains, unless the rules let it run. This
 * program is UPower to sparkd; run with --system, on a bus that lets it be. */

#include <signal.h>

#include "tests/bus/client.h"
#include "tests/test.h"

#define LONG_REPLY 900u                    /* tokens: more than are said before the mains are gone */

static TestClient client;
static int on_battery;
static unsigned n_asked;

static int get_on_battery(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply,
                          void *userdata, sd_bus_error *error) {
        n_asked++;
        return sd_bus_message_append(reply, "b", on_battery);
}

static const sd_bus_vtable upower[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("OnBattery", "b", get_on_battery, 0, SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
        SD_BUS_VTABLE_END,
};

/* What is said on this connection after the answer, sparkd hears after it. */
static void wait_until_asked(unsigned before) {
        for (int i = 0; i < 100 && n_asked == before; i++)
                client_process(&client, 1000000);
        CHECK(n_asked > before);
}

static void set_battery(int value) {
        const unsigned before = n_asked;
        on_battery = value;
        CHECK(sd_bus_emit_properties_changed(client.bus, "/org/freedesktop/UPower", "org.freedesktop.UPower", "OnBattery", NULL) >= 0);
        wait_until_asked(before);
}

static uint64_t begin_long(const char *priority, uint32_t max_tokens, char path[PATH_SIZE]) {
        sd_bus_message *reply = NULL;
        const char *p;
        CHECK(call_root(&client, "CreateSession", NULL, &reply, "a{sv}", 2, "priority", "s", priority, "max-tokens", "u", max_tokens) >= 0);
        CHECK(sd_bus_message_read(reply, "o", &p) > 0);
        snprintf(path, PATH_SIZE, "%s", p);
        sd_bus_message_unref(reply);
        return session_respond(&client, path, "Hello");
}

static uint64_t begin(const char *priority, char path[PATH_SIZE]) {
        return begin_long(priority, 8, path);
}

static void check_said(const char *path, uint64_t turn) {
        const Reply *r = client_finish(&client, path, turn);
        if (r->error[0])
                printf("# %s: %s\n", r->error, r->message);
        CHECK(strcmp(r->reason, "error") != 0);
}

static void check_waits(const char *path, uint64_t turn) {
        char other[PATH_SIZE];
        for (int i = 0; i < 2; i++)
                check_said(other, begin("interactive", other));
        CHECK_INT(client_reply(&client, path, turn)->n_finished, 0);
        CHECK_INT(client_reply(&client, path, turn)->n_deltas, 0);
}

static void test_mains(void) {
        char path[PATH_SIZE];
        client_init(&client);
        check_said(path, begin("background", path));            /* nobody tells of a battery */

        CHECK(sd_bus_add_object_vtable(client.bus, NULL, "/org/freedesktop/UPower", "org.freedesktop.UPower", upower, NULL) >= 0);
        CHECK(sd_bus_request_name(client.bus, "org.freedesktop.UPower", 0) >= 0);
        wait_until_asked(0);
        check_said(path, begin("background", path));
}

static void test_battery(void) {
        char path[PATH_SIZE];
        set_battery(1);
        uint64_t turn = begin("background", path);
        check_waits(path, turn);
        set_battery(0);
        check_said(path, turn);
}

static void wait_some(unsigned tenths) {
        while (tenths-- > 0)
                client_process(&client, 100000);
}

static void rules(const char *lines) {
        char file[4096];
        snprintf(file, sizeof file, "%s/power.conf", getenv("SPARK_TEST_RULES"));
        FILE *f = fopen(file, "we");
        CHECK(f);
        fprintf(f, "[App *]\n%s\n[Unknown]\n%s\n", lines, lines);
        CHECK(fclose(f) == 0);
        CHECK(kill(daemon_pid(), SIGHUP) == 0);
}

static void begin_and_lose_mains(char path[PATH_SIZE], uint64_t *ret_turn) {
        const pid_t worker = worker_pid(&client, NULL);
        char other[PATH_SIZE];

        CHECK(worker > 0);
        set_battery(0);
        *ret_turn = begin_long("background", LONG_REPLY, path);
        client_first_text(&client, path, *ret_turn);
        CHECK_INT(kill(worker, SIGSTOP), 0);                    /* or it might be done before sparkd hears of the mains */
        set_battery(1);
        CHECK_INT(kill(worker, SIGCONT), 0);
        check_said(other, begin("interactive", other));         /* it takes nobody's place */
        wait_some(5);                                           /* what was on its way comes */
        const unsigned n_deltas = client_reply(&client, path, *ret_turn)->n_deltas;
        wait_some(10);                                          /* time enough for all of it, were it not held */
        CHECK_INT(client_reply(&client, path, *ret_turn)->n_deltas, n_deltas);
        CHECK_INT(client_reply(&client, path, *ret_turn)->n_finished, 0);
}

static void test_begun(void) {
        char path[PATH_SIZE];
        uint64_t turn;

        rules("ConcurrentReplies=1");
        begin_and_lose_mains(path, &turn);
        set_battery(0);
        const Reply *r = client_finish(&client, path, turn);
        CHECK_STR(r->reason, "length");
        begin_and_lose_mains(path, &turn);
        CHECK(call_session(&client, path, "Cancel", NULL, NULL, "ta{sv}", turn, 0) >= 0);
        CHECK_STR(client_finish(&client, path, turn)->reason, "cancelled");
}

static void test_cancel(void) {
        char path[PATH_SIZE];
        set_battery(1);
        uint64_t turn = begin("background", path);
        check_waits(path, turn);
        CHECK(call_session(&client, path, "Cancel", NULL, NULL, "ta{sv}", turn, 0) >= 0);
        CHECK_STR(client_finish(&client, path, turn)->reason, "cancelled");
}

static void test_rules(void) {
        char path[PATH_SIZE];
        uint64_t turn = begin("background", path);
        check_waits(path, turn);
        rules("OnBattery=yes");
        check_said(path, turn);
        client_done(&client);
}

TEST_MAIN({ "on the mains", test_mains }, { "on the battery", test_battery }, { "cancelled while it waits", test_cancel },
          { "begun before", test_begun },
          { "where the rules allow it", test_rules })
