/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Instructions that were read ahead are not read again by the sessions that begin with them, to the last token. */

#include "tests/bus/client.h"
#include "tests/test.h"

#define INSTRUCTIONS "You are the helper of a small library in the mountains. Answer in one short sentence, in plain words, "  \
                     "and never mention the weather. If you do not know the answer, say that the librarian will be asked."
#define OTHERS "You translate what is said into verse. Each verse has two lines that rhyme, and both are about the sea and its ships."

static TestClient client;
static uint32_t n_tokens;                  /* of INSTRUCTIONS */

static uint32_t count_tokens(const char *text) {
        sd_bus_message *reply = NULL;
        uint32_t n = 0;
        CHECK(call_root(&client, "CountTokens", NULL, &reply, "sa{sv}", text, 0) >= 0);
        CHECK(sd_bus_message_read(reply, "u", &n) > 0);
        sd_bus_message_unref(reply);
        return n;
}

/* A number of the engine's, as the worker tells it. */
static unsigned long long engine_fact(const char *name) {
        sd_bus_message *reply = NULL;
        unsigned long long n = 0;
        char key[64];
        snprintf(key, sizeof key, "\"%s\":", name);
        CHECK(call_root(&client, "Verify", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', "{sv}") > 0);
        for (const char *k, *json; sd_bus_message_enter_container(reply, 'e', "sv") > 0; sd_bus_message_exit_container(reply)) {
                CHECK(sd_bus_message_read(reply, "s", &k) > 0);
                if (strcmp(k, "worker") != 0) {
                        CHECK(sd_bus_message_skip(reply, "v") > 0);
                        continue;
                }
                CHECK(sd_bus_message_read(reply, "v", "s", &json) > 0);
                const char *found = strstr(json, key);
                if (found)
                        n = strtoull(found + strlen(key), NULL, 10);
        }
        sd_bus_message_unref(reply);
        return n;
}

/* Reads them ahead, and waits until the worker has done so. */
static void prewarm(const char *instructions) {
        const unsigned long long before = engine_fact("tokens_prefilled");
        CHECK(call_root(&client, "Prewarm", NULL, NULL, "a{sv}", 1, "instructions", "s", instructions) >= 0);
        for (int i = 0; i < 600; i++, usleep(100000))
                if (engine_fact("tokens_prefilled") > before && engine_fact("running") == 0)
                        return;
        CHECK(!"the instructions were not read");
}

static const Reply *first_turn(const char *instructions, const char *text, char path[PATH_SIZE]) {
        sd_bus_message *reply = NULL;
        const char *p;
        CHECK(call_root(&client, "CreateSession", NULL, &reply, "a{sv}", 3, "instructions", "s", instructions,
                        "max-tokens", "u", 8u, "temperature", "d", 0.0) >= 0);
        CHECK(sd_bus_message_read(reply, "o", &p) > 0);
        snprintf(path, PATH_SIZE, "%s", p);
        sd_bus_message_unref(reply);
        Reply *r = client_finish(&client, path, session_respond(&client, path, text));
        CHECK(strcmp(r->reason, "error") != 0);
        printf("# %u tokens, %u of them cached\n", r->n_prompt, r->n_cached);
        return r;
}

static void test_cold(void) {
        char path[PATH_SIZE];
        client_init(&client);
        n_tokens = count_tokens(INSTRUCTIONS);
        CHECK(n_tokens > 32 && n_tokens % 32 != 0);        /* more than a page of the cache, and not whole pages */
        const Reply *r = first_turn(OTHERS, "When do you open?", path);
        CHECK_INT(r->n_cached, 0);
}

static void test_warm(void) {
        char path[PATH_SIZE];
        prewarm(INSTRUCTIONS);
        const Reply *r = first_turn(INSTRUCTIONS, "When do you open?", path);
        CHECK(r->n_cached >= n_tokens);
        char *text = strdup(r->text);

        /* Every session, not the first alone, and what is said is the same. */
        r = first_turn(INSTRUCTIONS, "When do you open?", path);
        CHECK(r->n_cached >= n_tokens);
        CHECK_STR(r->text, text);
        r = first_turn(INSTRUCTIONS, "Is there a book on bees?", path);
        CHECK(r->n_cached >= n_tokens);
        free(text);
}

/* A new text takes the old one's place: an application holds one. */
static void test_replaced(void) {
        char path[PATH_SIZE];
        const unsigned long long n = engine_fact("sessions");
        prewarm(OTHERS " Be merry.");
        CHECK_INT(engine_fact("sessions"), n);
        const Reply *r = first_turn(OTHERS " Be merry.", "The tide", path);
        CHECK(r->n_cached >= count_tokens(OTHERS " Be merry."));

        /* The very same again costs nothing. */
        const unsigned long long before = engine_fact("tokens_prefilled");
        CHECK(call_root(&client, "Prewarm", NULL, NULL, "a{sv}", 1, "instructions", "s", OTHERS " Be merry.") >= 0);
        count_tokens("x");
        CHECK_INT(engine_fact("tokens_prefilled"), before);
}

static void test_option(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CHECK(call_root(&client, "Prewarm", &error, NULL, "a{sv}", 1, "instructions", "u", 5u) < 0);
        CHECK_STR(error.name, "org.freedesktop.DBus.Error.InvalidArgs");
        CHECK(call_root(&client, "Prewarm", NULL, NULL, "a{sv}", 1, "instructions", "s", "") >= 0);
        client_done(&client);
}

TEST_MAIN({ "read by the first turn", test_cold }, { "read ahead", test_warm }, { "one an application", test_replaced },
          { "what the option may be", test_option })
