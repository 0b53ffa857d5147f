/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dbus/ promises of the objects, on a model of random weights: options, errors, who can see what, how turns end. */

#include <signal.h>

#include "tests/bus/errors.h"
#include "tests/test.h"

#define UNKNOWN_OBJECT "org.freedesktop.DBus.Error.UnknownObject"
#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

static TestClient client, stranger;

static void test_connect(void) {
        client_init(&client);
        client_init(&stranger);
        /* As curious as the bus lets anybody be. */
        CHECK(sd_bus_add_match(stranger.bus, NULL, "type='signal',interface='org.spark.Assistant.Session'", NULL, NULL) >= 0);
}

static void test_options(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        check_error(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 1, "temperature", "s", "hot"), &error, INVALID_ARGS, "'temperature'");
        check_error(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 1, "max-tokens", "i", 3), &error, INVALID_ARGS, "'max-tokens'");
        check_error(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 1, "temperature", "d", -1.0), &error, ERROR("InvalidInput"), "'temperature'");
        check_error(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 1, "temperature", "d", __builtin_nan("")), &error, ERROR("InvalidInput"), "'temperature'");
        check_error(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 1, "priority", "s", "urgent"), &error, ERROR("InvalidInput"), "urgent");
        check_error(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 1, "model", "s", "gpt"), &error, ERROR("UnsupportedCapability"), "gpt");
        check_error(call_root(&client, "Ask", &error, NULL, "sa{sv}", "Hi", 1, "seed", "d", 1.0), &error, INVALID_ARGS, "'seed'");
        check_error(call_root(&client, "Ask", &error, NULL, "sa{sv}", "", 0), &error, ERROR("InvalidInput"), "empty");
        check_error(call_root(&client, "Ask", &error, NULL, "s", "Hi"), &error, INVALID_ARGS, "");
}

static void test_unknown_keys_are_told(void) {
        sd_bus_message *reply = NULL;
        const char *path;
        CHECK(call_root(&client, "CreateSession", NULL, &reply, "a{sv}", 3, "tempreature", "d", 0.5, "max-tokens", "u", 4, "temperature", "d", 0.0) >= 0);
        CHECK(sd_bus_message_read(reply, "o", &path) > 0);
        sd_bus_message *turn = NULL;
        uint64_t number;
        CHECK(call_session(&client, path, "Respond", NULL, &turn, "a(sa{sv})a{sv}", 1, "text", 1, "text", "s", "Hi",
                           2, "colour", "s", "blue", "tempreature", "s", "again") >= 0);
        CHECK(sd_bus_message_read(turn, "t", &number) > 0);
        CHECK_INT(number, 1);
        Reply *r = client_finish(&client, path, number);
        CHECK_STR(r->ignored, "tempreature colour ");
        CHECK(r->n_prompt > 0);
        sd_bus_message_unref(turn);
        sd_bus_message_unref(reply);
}

static void test_parts(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        session_open(&client, 4, path);
        check_error(call_session(&client, path, "Respond", &error, NULL, "a(sa{sv})a{sv}", 0, 0), &error, ERROR("InvalidInput"), "no part");
        check_error(call_session(&client, path, "Respond", &error, NULL, "a(sa{sv})a{sv}", 1, "image", 0, 0), &error, ERROR("UnsupportedCapability"), "'image'");
        check_error(call_session(&client, path, "Respond", &error, NULL, "a(sa{sv})a{sv}", 1, "text", 0, 0), &error, ERROR("InvalidInput"), "'text'");
        check_error(call_session(&client, path, "Respond", &error, NULL, "a(sa{sv})a{sv}", 1, "text", 1, "text", "u", 3, 0), &error, INVALID_ARGS, "'text'");
        check_error(call_session(&client, path, "Respond", &error, NULL, "a(sa{sv})a{sv}", 1, "text", 2, "text", "s", "x", "origin", "s", "model", 0),
                    &error, ERROR("InvalidInput"), "origin");
        /* None of these left anything behind. */
        sd_bus_message *reply = NULL;
        CHECK(call_session(&client, path, "Transcript", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', "(sa{sv})") >= 0);
        CHECK_INT(sd_bus_message_at_end(reply, false), 1);
        sd_bus_message_unref(reply);
}

/* The whole answer to a call on a path, as text: error name and message with the path taken out. */
static void answer_of(TestClient *c, const char *path, const char *interface, const char *method, const char *types, char ret[512]) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *m = NULL;
        CHECK(sd_bus_message_new_method_call(c->bus, &m, "org.spark.Assistant", path, interface, method) >= 0);
        if (types[0] == 's')
                CHECK(sd_bus_message_append(m, "s", "org.spark.Assistant.Session") >= 0);
        if (types[0] == 's' && types[1] == 's')
                CHECK(sd_bus_message_append(m, "s", "Turn") >= 0);
        if (types[0] == 't')
                CHECK(sd_bus_message_append(m, "t", UINT64_C(1)) >= 0);
        if (types[0] == 'a' || types[0] == 't')
                CHECK(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        int r = sd_bus_call(c->bus, m, 0, &error, NULL);
        sd_bus_message_unref(m);
        char text[400];
        snprintf(text, sizeof text, "%s", r < 0 ? error.message : "");
        for (char *p; (p = strstr(text, path)); )
                memset(p, '*', strlen(path));
        snprintf(ret, 512, "%s %s", r < 0 ? error.name : "answered", text);
}

static void test_invisible(void) {
        static const struct { const char *interface, *method, *types; } calls[] = {
                { "org.spark.Assistant.Session", "Close", "a" }, { "org.spark.Assistant.Session", "Cancel", "ta" },
                { "org.spark.Assistant.Session", "Nonsense", "" }, { "org.spark.Assistant.Session", "Close", "" },
                { "org.freedesktop.DBus.Introspectable", "Introspect", "" }, { "org.freedesktop.DBus.Properties", "GetAll", "s" },
                { "org.freedesktop.DBus.Properties", "Get", "ss" }, { "org.freedesktop.DBus.Nonsense", "Any", "" }, { NULL, "Close", "a" },
        };
        static const char never[] = "/org/spark/Assistant/session/0123456789abcdef0123456789abcdef";
        char path[PATH_SIZE], other[512], none[512];
        session_open(&client, 4, path);
        CHECK_INT(strlen(path), strlen(never));
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                answer_of(&stranger, path, calls[i].interface, calls[i].method, calls[i].types, other);
                answer_of(&stranger, never, calls[i].interface, calls[i].method, calls[i].types, none);
                CHECK_STR(other, none);
                CHECK(strncmp(other, UNKNOWN_OBJECT, strlen(UNKNOWN_OBJECT)) == 0);
        }
        /* And no list of them anywhere. */
        static const char *const parents[] = { "/", "/org/spark/Assistant", "/org/spark/Assistant/session" };
        for (size_t i = 0; i < ELEMENTSOF(parents); i++) {
                sd_bus_message *reply = NULL;
                const char *xml = "";
                if (sd_bus_call_method(client.bus, "org.spark.Assistant", parents[i], "org.freedesktop.DBus.Introspectable", "Introspect", NULL, &reply, "") >= 0)
                        CHECK(sd_bus_message_read(reply, "s", &xml) > 0);
                CHECK(!strstr(xml, strrchr(path, '/') + 1));
                sd_bus_message_unref(reply);
        }
        answer_of(&client, path, "org.spark.Assistant.Session", "Close", "a", other);
        CHECK_STR(other, "answered ");
        answer_of(&client, path, "org.spark.Assistant.Session", "Close", "a", other);
        answer_of(&client, never, "org.spark.Assistant.Session", "Close", "a", none);
        CHECK_STR(other, none);
}

static void test_paths_differ(void) {
        char a[PATH_SIZE], b[PATH_SIZE];
        session_open(&client, 4, a);
        session_open(&client, 4, b);
        size_t same = 0;
        for (const char *p = strrchr(a, '/') + 1, *q = strrchr(b, '/') + 1; *p; p++, q++)
                same += *p == *q;
        CHECK(same < 16);               /* of 32 random hexadecimal digits: 2 on average */
}

static void test_busy_and_cancel(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        session_open(&client, 1u << 20, path);
        const pid_t worker = worker_pid(&client, NULL);
        CHECK(worker > 0);
        CHECK_INT(kill(worker, SIGSTOP), 0);    /* however quick it is */
        uint64_t turn = session_respond(&client, path, "Go on.");
        check_error(session_try(&client, path, "And?", &error), &error, ERROR("Busy"), "Turn 1");
        CHECK_INT(kill(worker, SIGCONT), 0);
        CHECK(call_session(&client, path, "Cancel", NULL, NULL, "ta{sv}", turn, 0) >= 0);
        Reply *r = client_finish(&client, path, turn);
        CHECK(strcmp(r->reason, "cancelled") == 0 || strcmp(r->reason, "stop") == 0 || strcmp(r->reason, "length") == 0);
        CHECK(call_session(&client, path, "Cancel", NULL, NULL, "ta{sv}", turn, 0) >= 0);    /* too late is no error */
        check_error(call_session(&client, path, "Cancel", &error, NULL, "ta{sv}", UINT64_C(7), 0), &error, ERROR("InvalidInput"), "7");
        CHECK_INT(client_reply(&client, path, turn)->n_finished, 1);
}

static size_t transcript_size(const char *path, char ret_roles[256]) {
        sd_bus_message *reply = NULL;
        const char *role;
        size_t n = 0;
        ret_roles[0] = '\0';
        CHECK(call_session(&client, path, "Transcript", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', "(sa{sv})") >= 0);
        while (sd_bus_message_enter_container(reply, 'r', "sa{sv}") > 0) {
                CHECK(sd_bus_message_read(reply, "s", &role) > 0);
                CHECK(sd_bus_message_skip(reply, "a{sv}") > 0);
                CHECK(sd_bus_message_exit_container(reply) > 0);
                snprintf(ret_roles + strlen(ret_roles), 256 - strlen(ret_roles), "%s ", role);
                n++;
        }
        sd_bus_message_unref(reply);
        return n;
}

static void test_transcript_and_fork(void) {
        sd_bus_message *reply = NULL;
        char path[PATH_SIZE], roles[256];
        const char *s;
        CHECK(call_root(&client, "CreateSession", NULL, &reply, "a{sv}", 2, "instructions", "s", "Be brief.", "max-tokens", "u", 4) >= 0);
        CHECK(sd_bus_message_read(reply, "o", &s) > 0);
        snprintf(path, sizeof path, "%s", s);
        reply = sd_bus_message_unref(reply);
        client_finish(&client, path, session_respond(&client, path, "One."));
        CHECK_INT(transcript_size(path, roles), 3);
        CHECK_STR(roles, "system user assistant ");

        CHECK(call_session(&client, path, "Fork", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_read(reply, "o", &s) > 0);
        CHECK(strcmp(s, path) != 0);
        CHECK_INT(transcript_size(s, roles), 3);
        client_finish(&client, s, session_respond(&client, s, "Two."));
        CHECK_INT(transcript_size(s, roles), 5);
        CHECK_INT(transcript_size(path, roles), 3);
        sd_bus_message_unref(reply);
}

static void test_ask(void) {
        sd_bus_message *reply = NULL;
        const char *text;
        CHECK(call_root(&client, "Ask", NULL, &reply, "sa{sv}", "Hello", 3, "max-tokens", "u", 8, "seed", "t", UINT64_C(7), "temperature", "d", 0.8) >= 0);
        CHECK(sd_bus_message_read(reply, "s", &text) > 0);
        char *first = strdup(text);
        sd_bus_message_unref(reply);
        CHECK(call_root(&client, "Ask", NULL, &reply, "sa{sv}", "Hello", 3, "max-tokens", "u", 8, "seed", "t", UINT64_C(7), "temperature", "d", 0.8) >= 0);
        CHECK(sd_bus_message_read(reply, "s", &text) > 0);
        CHECK_STR(text, first);
        sd_bus_message_unref(reply);
        free(first);
}

static void test_count_tokens(void) {
        sd_bus_message *reply = NULL;
        uint32_t n;
        CHECK(call_root(&client, "CountTokens", NULL, &reply, "sa{sv}", "zqzq", 0) >= 0);
        CHECK(sd_bus_message_read(reply, "u", &n) > 0);
        CHECK(n > 0 && n <= 4);
        sd_bus_message_unref(reply);
}

static void test_close_ends_the_turn(void) {
        char path[PATH_SIZE];
        session_open(&client, 1u << 20, path);
        uint64_t turn = session_respond(&client, path, "Go on.");
        CHECK(call_session(&client, path, "Close", NULL, NULL, "a{sv}", 0) >= 0);
        client_finish(&client, path, turn);
}

static void test_unicast(void) {
        for (int i = 0; i < 20; i++)
                client_process(&stranger, 10000);
        CHECK_INT(stranger.n_replies, 0);
        CHECK_INT(stranger.n_strange, 0);
        CHECK_INT(client.n_strange, 0);
        CHECK(client.n_replies > 0);
}

/* Sessions and questions of those who left count no more. */
static void test_die_with_owner(void) {
        for (int round = 0; round < 12; round++) {
                TestClient passing;
                char path[PATH_SIZE];
                client_init(&passing);
                for (int i = 0; i < 60; i++)
                        session_open(&passing, 1u << 20, path);
                session_respond(&passing, path, "Go on.");
                client_done(&passing);
        }
        /* 720 were opened, 512 may be. */
        char path[PATH_SIZE];
        session_open(&client, 4, path);
}

TEST_MAIN({ "connect", test_connect }, { "options", test_options }, { "unknown keys are told", test_unknown_keys_are_told },
          { "parts", test_parts }, { "invisible to others", test_invisible }, { "paths differ", test_paths_differ },
          { "busy and cancel", test_busy_and_cancel }, { "transcript and fork", test_transcript_and_fork }, { "ask", test_ask },
          { "count tokens", test_count_tokens }, { "close ends the turn", test_close_ends_the_turn },
          { "signals are unicast", test_unicast }, { "sessions die with their owner", test_die_with_owner })
