/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an unprivileged client may try: each is refused or borne, named with its number where a cap is met, and sparkd is
 * as it was afterwards. On random weights, and once more as another user on a booted system. */

#include <fcntl.h>
#include <time.h>

#include "tests/bus/client.h"
#include "tests/bus/permissions.h"
#include "tests/test.h"

#define ROOT "/org/spark/Assistant"
#define NAME "org.spark.Assistant"
#define SESSIONS 2000u

static TestClient client;
static size_t memory_before;

static sd_bus_message *new_call(TestClient *c, const char *interface, const char *method) {
        sd_bus_message *m = NULL;
        CHECK(sd_bus_message_new_method_call(c->bus, &m, NAME, ROOT, interface, method) >= 0);
        return m;
}

static void check_alive(void) {
        sd_bus_message *reply = NULL;
        CHECK(call_permissions(&client, "Problems", NULL, &reply, "") >= 0);
        sd_bus_message_unref(reply);
}

static void test_connect(void) {
        char path[PATH_SIZE];
        client_init(&client);
        session_open(&client, 4, path);
        client_finish(&client, path, session_respond(&client, path, "Hello"));
        memory_before = process_memory(daemon_pid());
}

/* All at once, none waits for the other's answer: the connection's and the user's caps hold, and nothing is left. */
typedef struct Counted {
        unsigned n_made, n_refused, n_other;
} Counted;                              /* n_refused: by sparkd, or by the bus, which has a limit of open calls */

static int on_session(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Counted *c = userdata;
        if (!sd_bus_message_is_method_error(m, NULL))
                c->n_made++;
        else if (sd_bus_message_is_method_error(m, NAME ".Error.QuotaExceeded") || sd_bus_message_is_method_error(m, SD_BUS_ERROR_LIMITS_EXCEEDED))
                c->n_refused++;
        else {
                if (c->n_other++ == 0)
                        printf("# %s\n", sd_bus_message_get_error(m)->name);
        }
        return 0;
}

static void test_many_sessions(void) {
        TestClient many;
        Counted n = {};
        client_init(&many);
        for (unsigned i = 0; i < SESSIONS; i++) {
                sd_bus_message *m = new_call(&many, NAME, "CreateSession");
                CHECK(sd_bus_message_append(m, "a{sv}", 0) >= 0);
                CHECK(sd_bus_call_async(many.bus, NULL, m, on_session, &n, UINT64_MAX) >= 0);
                sd_bus_message_unref(m);
        }
        for (time_t end = time(NULL) + 60; n.n_made + n.n_refused + n.n_other < SESSIONS && time(NULL) < end; )
                client_process(&many, 100000);
        printf("# %u made, %u refused\n", n.n_made, n.n_refused);
        CHECK_INT(n.n_made, 64);
        CHECK_INT(n.n_made + n.n_refused, SESSIONS);
        client_done(&many);
        check_alive();
}

/* Descriptors where a call wants none, and more than it wants: they are closed, not kept. */
static void test_descriptors(void) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        for (int round = 0; round < 200; round++) {
                sd_bus_message *m = new_call(&client, NAME, "CreateSession");
                CHECK(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
                for (int i = 0; i < 16; i++) {
                        char key[16];
                        snprintf(key, sizeof key, "fd-%d", i);
                        CHECK(sd_bus_message_append(m, "{sv}", key, "h", fd) >= 0);
                }
                CHECK(sd_bus_message_close_container(m) >= 0);
                sd_bus_message *reply = NULL;
                const char *path;
                CHECK(sd_bus_call(client.bus, m, 0, NULL, &reply) >= 0);        /* unknown keys are ignored */
                CHECK(sd_bus_message_read(reply, "o", &path) > 0);
                CHECK(call_session(&client, path, "Close", NULL, NULL, "a{sv}", 0) >= 0);
                sd_bus_message_unref(reply);
                sd_bus_message_unref(m);
        }
        check_alive();
}

/* Variants in variants, as deep as the specification lets a message be, and dictionaries as large as sparkd takes. */
static void test_nesting(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *m = new_call(&client, NAME ".Permissions", "Check");
        CHECK(sd_bus_message_append(m, "s", "generate") >= 0);
        CHECK(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        CHECK(sd_bus_message_open_container(m, 'e', "sv") >= 0);
        CHECK(sd_bus_message_append(m, "s", "deep") >= 0);
        int depth = 0;
        while (depth < 61 && sd_bus_message_open_container(m, 'v', depth == 60 ? "s" : "v") >= 0)
                depth++;
        CHECK(sd_bus_message_append(m, "s", "bottom") >= 0);
        for (int i = 0; i < depth + 2; i++)
                CHECK(sd_bus_message_close_container(m) >= 0);
        int r = sd_bus_call(client.bus, m, 0, &error, NULL);
        printf("# %d deep: %s\n", depth, r < 0 ? error.name : "answered");
        sd_bus_message_unref(m);
        if (sd_bus_is_open(client.bus) <= 0) {          /* the bus has thrown us out: its right, and not sparkd's trouble */
                client_done(&client);
                client_init(&client);
        }
        check_alive();

        sd_bus_error_free(&error);
        m = new_call(&client, NAME, "CreateSession");
        CHECK(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        for (int i = 0; i < 5000; i++) {
                char key[32];
                snprintf(key, sizeof key, "key-%d", i);
                CHECK(sd_bus_message_append(m, "{sv}", key, "u", 1u) >= 0);
        }
        CHECK(sd_bus_message_close_container(m) >= 0);
        CHECK(sd_bus_call(client.bus, m, 0, &error, NULL) < 0);
        CHECK_STR(error.name, NAME ".Error.InvalidInput");
        CHECK(strstr(error.message, "64 options"));
        sd_bus_message_unref(m);
}

/* At the bus' own limit of a message: what is too large for sparkd is refused with both numbers. */
static void test_large(void) {
        static const struct { const char *interface, *method, *error; } calls[] = {
                { NAME, "Ask", NAME ".Error.InvalidInput" }, { NAME, "CountTokens", NAME ".Error.InvalidInput" },
                { NAME ".Permissions", "Check", NAME ".Error.InvalidInput" },
        };
        size_t size = 24u << 20;
        char *text = malloc(size + 1);
        CHECK(text);
        memset(text, 'x', size);
        text[size] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                sd_bus_message *m = new_call(&client, calls[i].interface, calls[i].method);
                CHECK(sd_bus_message_append(m, "sa{sv}", text, 0) >= 0);
                CHECK(sd_bus_call(client.bus, m, 0, &error, NULL) < 0);
                CHECK_STR(error.name, calls[i].error);
                CHECK(strlen(error.message) < 2048);
                sd_bus_message_unref(m);
        }
        free(text);
        check_alive();
}

/* Names that are none, in every method that takes one. */
static void test_names(void) {
        static const char *const names[] = { "", "generate\n", "GENERATE", "tool:", "tool:*", "tool:../x", "tool:a b", "all", "\xc3\xa9" };
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                CHECK(call_permissions(&client, "Check", &error, NULL, "sa{sv}", names[i], 0) < 0);
                CHECK_STR(error.name, NAME ".Error.InvalidInput");
                sd_bus_error_free(&error);
                CHECK(call_permissions(&client, "Explain", &error, NULL, "ssa{sv}", "org.example.App", names[i], 0) < 0);
                CHECK_STR(error.name, NAME ".Error.InvalidInput");
                sd_bus_error_free(&error);
                CHECK(call_permissions(&client, "Request", &error, NULL, "assa{sv}", 1, names[i], "", 0) < 0);
                CHECK_STR(error.name, NAME ".Error.InvalidInput");
        }
        char app[400];
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        memset(app, 'a', sizeof app - 1);
        app[sizeof app - 1] = '\0';
        CHECK(call_permissions(&client, "Explain", &error, NULL, "ssa{sv}", app, "generate", 0) < 0);
        CHECK(strstr(error.message, "1 to 255 bytes"));
}

/* Agents come and go, and ask for what is not theirs. */
static void test_agents(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        for (int i = 0; i < 300; i++) {
                CHECK(call_permissions(&client, "RegisterAgent", NULL, NULL, "oa{sv}", "/x", 0) >= 0);
                CHECK(call_permissions(&client, "UnregisterAgent", NULL, NULL, "o", "/x") >= 0);
        }
        CHECK(call_permissions(&client, "RegisterAgent", &error, NULL, "oa{sv}", "/x", 1, "kind", "s", "telepathic") < 0);
        sd_bus_error_free(&error);
        TestClient stranger;
        client_init(&stranger);
        CHECK(call_permissions(&client, "RegisterAgent", NULL, NULL, "oa{sv}", "/x", 0) >= 0);
        CHECK(call_permissions(&stranger, "UnregisterAgent", &error, NULL, "o", "/x") < 0);
        client_done(&stranger);
        CHECK(call_permissions(&client, "UnregisterAgent", NULL, NULL, "o", "/x") >= 0);
}

/* Requests of those who leave before they are answered. */
static void test_abandoned_requests(void) {
        for (int round = 0; round < 50; round++) {
                TestClient passing;
                client_init(&passing);
                for (int i = 0; i < 4; i++) {
                        sd_bus_message *m = new_call(&passing, NAME ".Permissions", "Request");
                        char name[32];
                        snprintf(name, sizeof name, "tool:t%d", i);
                        CHECK(sd_bus_message_append(m, "assa{sv}", 2, "camera", name, "window", 0) >= 0);
                        CHECK(sd_bus_send(passing.bus, m, NULL) >= 0);
                        sd_bus_message_unref(m);
                }
                client_done(&passing);
        }
        check_alive();
}

static void test_comes_back(void) {
        size_t now = process_memory(daemon_pid());
        printf("# sparkd: %zu kB before, %zu kB after\n", memory_before >> 10, now >> 10);
        CHECK(now < memory_before + MEMORY_SLACK);
        char path[PATH_SIZE];
        session_open(&client, 4, path);
        client_finish(&client, path, session_respond(&client, path, "Hello"));
}

TEST_MAIN({ "connect", test_connect }, { "2,000 sessions at once", test_many_sessions }, { "descriptors", test_descriptors },
          { "nesting", test_nesting }, { "messages at the limit", test_large }, { "names that are none", test_names },
          { "agents come and go", test_agents }, { "abandoned requests", test_abandoned_requests },
          { "it is as it was", test_comes_back })
