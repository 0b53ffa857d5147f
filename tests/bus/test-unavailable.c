/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Without a model, and with one that is broken: named errors at once, with what helps in the text, and a daemon that
 * lives on. Run with --model none, or with --model broken and SPARK_TEST_BROKEN set. */

#include "tests/bus/client.h"
#include "tests/test.h"

#define UNAVAILABLE "org.spark.Assistant.Error.Unavailable"

static TestClient client;

static const char *expected_reason(void) {
        return getenv("SPARK_TEST_BROKEN") ? "model-broken" : "model-missing";
}

static void check_unavailable(int r, sd_bus_error *error) {
        CHECK(r < 0);
        if (strcmp(error->name, UNAVAILABLE) != 0 || !strstr(error->message, expected_reason()))
                printf("# %s: %s\n", error->name, error->message);
        CHECK_STR(error->name, UNAVAILABLE);
        CHECK(strncmp(error->message, expected_reason(), strlen(expected_reason())) == 0);
        if (!getenv("SPARK_TEST_BROKEN"))
                CHECK(strstr(error->message, "sparkctl model install smollm2-135m-instruct"));
        sd_bus_error_free(error);
}

static void test_calls(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        client_init(&client);
        /* The first call on a broken model finds out; it waits for that and no longer. */
        check_unavailable(call_root(&client, "Ask", &error, NULL, "sa{sv}", "Hi", 0), &error);
        check_unavailable(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 0), &error);
        check_unavailable(call_root(&client, "CountTokens", &error, NULL, "sa{sv}", "Hi", 0), &error);
        check_unavailable(call_root(&client, "Prewarm", &error, NULL, "a{sv}", 0), &error);
}

/* A broken model may be tried again after a pause, which grows with each try: a slow machine needs more of them. */
static void test_state(void) {
        const char *expected = getenv("SPARK_TEST_BROKEN") ? "unavailable" : "downloadable";
        char state[32] = "";
        wait_for_state(&client, "unavailable");
        for (int i = 0; i < 6 && strcmp(state, expected) != 0; i++) {
                sd_bus_error error = SD_BUS_ERROR_NULL;
                sd_bus_message *reply = NULL;
                const char *s;
                check_unavailable(call_root(&client, "CountTokens", &error, NULL, "sa{sv}", "Hi", 0), &error);
                CHECK(call_root(&client, "Availability", NULL, &reply, "a{sv}", 0) >= 0);
                CHECK(sd_bus_message_read(reply, "s", &s) > 0);
                snprintf(state, sizeof state, "%s", s);
                sd_bus_message_unref(reply);
        }
        CHECK_STR(state, expected);
}

static void test_wanted(void) {
        static const struct { const char *key, *value; } wanted[] = { { "languages", "tlh" }, { "modalities", "image" } };
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                sd_bus_message *reply = NULL;
                const char *state;
                CHECK(call_root(&client, "Availability", NULL, &reply, "a{sv}", 1, wanted[i].key, "as", 1, wanted[i].value) >= 0);
                CHECK(sd_bus_message_read(reply, "s", &state) > 0);
                CHECK_STR(state, "unavailable");
                sd_bus_message_unref(reply);
        }
}

TEST_MAIN({ "calls", test_calls }, { "state", test_state }, { "wanted", test_wanted })
