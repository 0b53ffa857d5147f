/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Conversations that outgrow the context: the tiny model's is 512 tokens, a byte each. */

#include "tests/bus/client.h"
#include "tests/test.h"

#define INSTRUCTIONS "Always be brief."
#define TURNS 12

static TestClient client;

static void open_session(const char *overflow, char ret_path[PATH_SIZE]) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        const char *path;
        int r = call_root(&client, "CreateSession", &error, &reply, "a{sv}", 4, "instructions", "s", INSTRUCTIONS, "overflow", "s", overflow,
                          "max-tokens", "u", 20u, "temperature", "d", 0.0);
        if (r < 0)
                printf("# %s\n", error.message);
        CHECK(r >= 0);
        CHECK(sd_bus_message_read(reply, "o", &path) > 0);
        snprintf(ret_path, PATH_SIZE, "%s", path);
        sd_bus_message_unref(reply);
}

/* Roles and texts of the transcript, as far as they fit. */
static size_t transcript(const char *path, char ret_roles[64], char ret_first[256], char ret_second[256]) {
        sd_bus_message *reply = NULL;
        size_t n = 0;
        CHECK(call_session(&client, path, "Transcript", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', "(sa{sv})") > 0);
        for (const char *role, *key, *text; sd_bus_message_enter_container(reply, 'r', "sa{sv}") > 0; n++) {
                CHECK(n < 63);
                CHECK(sd_bus_message_read(reply, "s", &role) > 0);
                ret_roles[n] = role[0];
                ret_roles[n + 1] = '\0';
                CHECK(sd_bus_message_enter_container(reply, 'a', "{sv}") > 0);
                while (sd_bus_message_read(reply, "{sv}", &key, "s", &text) > 0)
                        if (strcmp(key, "text") == 0 && n < 2)
                                snprintf(n == 0 ? ret_first : ret_second, 256, "%s", text);
                CHECK(sd_bus_message_exit_container(reply) > 0);
                CHECK(sd_bus_message_exit_container(reply) > 0);
        }
        sd_bus_message_unref(reply);
        return n;
}

static void say(char *text, size_t size, int i) {
        snprintf(text, size, "Turn %02d says that there is something to be said, again.", i);
}

static void test_fail(void) {
        char path[PATH_SIZE], text[256], roles[64], first[256], second[256];
        Reply *r = NULL;
        int i;

        client_init(&client);
        open_session("fail", path);
        for (i = 0; i < TURNS; i++) {
                say(text, sizeof text, i);
                r = client_finish(&client, path, session_respond(&client, path, text));
                CHECK_INT(r->n_dropped, 0);
                if (strcmp(r->reason, "error") == 0)
                        break;
        }
        CHECK(i > 2 && i < TURNS);
        CHECK_STR(r->error, "org.spark.Assistant.Error.ContextFull");
        CHECK(strstr(r->message, "available 512"));
        CHECK_INT(transcript(path, roles, first, second), 1 + 2 * i);
        CHECK_STR(first, INSTRUCTIONS);
}

static void test_drop(void) {
        char path[PATH_SIZE], text[256], roles[64], first[256], second[256], expected[256];
        int n_dropped = 0, n_drops = 0;

        open_session("drop-oldest", path);
        for (int i = 0; i < TURNS; i++) {
                say(text, sizeof text, i);
                Reply *r = client_finish(&client, path, session_respond(&client, path, text));
                if (strcmp(r->reason, "error") == 0)
                        printf("# turn %d: %s: %s\n", i, r->error, r->message);
                CHECK(strcmp(r->reason, "error") != 0);
                CHECK(r->n_generated > 0);
                CHECK(r->n_prompt <= 512 - 20);
                n_dropped += (int) r->n_dropped;
                n_drops += r->n_dropped > 0;
                if (r->n_dropped > 0) {
                        CHECK(r->n_prompt <= 512 / 2 + 64);         /* room for the next turns too */
                } else if (i > 0)
                        CHECK(r->n_cached > 0);

                /* Instructions first, then whole turns, the newest. */
                CHECK_INT(transcript(path, roles, first, second), 1 + 2 * (i + 1 - n_dropped));
                CHECK_STR(first, INSTRUCTIONS);
                say(expected, sizeof expected, n_dropped);
                CHECK_STR(second, expected);
                for (size_t k = 1; roles[k]; k++)
                        CHECK_INT(roles[k], k % 2 ? 'u' : 'a');
        }
        printf("# %d of %d turns dropped, in %d goes\n", n_dropped, TURNS, n_drops);
        CHECK(n_drops >= 2 && n_drops < TURNS / 2);
}

/* A turn that is too long by itself changes nothing. */
static void test_alone(void) {
        _cleanup_free_ char *too_long = long_prompt(100, 1);
        char path[PATH_SIZE], roles[64], first[256], second[256];

        open_session("drop-oldest", path);
        client_finish(&client, path, session_respond(&client, path, "One."));
        client_finish(&client, path, session_respond(&client, path, "Two."));
        Reply *r = client_finish(&client, path, session_respond(&client, path, too_long));
        CHECK_STR(r->error, "org.spark.Assistant.Error.ContextFull");
        CHECK_INT(transcript(path, roles, first, second), 5);
        CHECK_STR(second, "One.");
        r = client_finish(&client, path, session_respond(&client, path, "Three."));
        CHECK(strcmp(r->reason, "error") != 0);
        CHECK_INT(r->n_dropped, 0);

        /* One that fills most of it is answered, in what room there is. */
        char *most = long_prompt(68, 2);
        r = client_finish(&client, path, session_respond(&client, path, most));
        free(most);
        CHECK(strcmp(r->reason, "error") != 0);
        CHECK_INT(r->n_dropped, 3);
}

static void test_option(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CHECK(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 1, "overflow", "s", "roll") < 0);
        CHECK_STR(error.name, "org.spark.Assistant.Error.InvalidInput");
        CHECK(strstr(error.message, "overflow"));
        client_done(&client);
}

TEST_MAIN({ "fails where nothing else was asked for", test_fail }, { "drops the oldest turns and goes on", test_drop },
          { "a turn that is too long alone", test_alone }, { "what the option may say", test_option })
