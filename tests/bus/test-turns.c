/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns of a conversation on the default model: words make sense, a second turn computes only what is new, replies side
 * by side do not disturb one another. */

#include "tests/bus/client.h"
#include "tests/test.h"

static TestClient client;

static void check_said(const Reply *r) {
        if (strcmp(r->reason, "error") == 0)
                printf("# %s: %s\n", r->error, r->message);
        CHECK(strcmp(r->reason, "length") == 0 || strcmp(r->reason, "stop") == 0);
}

static void test_words(void) {
        char path[PATH_SIZE];
        client_init(&client);
        session_open(&client, 24, path);
        Reply *r = client_finish(&client, path, session_respond(&client, path, "What is the capital of France?"));
        check_said(r);
        printf("# %s\n", r->text);
        CHECK(strstr(r->text, "Paris"));
        CHECK(r->n_generated > 0 && r->n_prompt > 0 && r->first_token_ms > 0 && r->tokens_per_second > 0);
}

static void test_second_turn_is_cached(void) {
        _cleanup_free_ char *text = long_prompt(1400, 2);
        char path[PATH_SIZE];
        session_open(&client, 8, path);
        Reply *first = client_finish(&client, path, session_respond(&client, path, text));
        check_said(first);
        CHECK(first->n_prompt >= 1400);
        uint32_t n_first = first->n_prompt;
        Reply *second = client_finish(&client, path, session_respond(&client, path, "Thank you."));
        check_said(second);
        printf("# first: %u tokens, %.0f ms; second: %u tokens, %u of them cached, %.0f ms\n", n_first,
               first->first_token_ms, second->n_prompt, second->n_cached, second->first_token_ms);
        CHECK(second->n_prompt > n_first);
        CHECK(second->n_cached + 64 >= n_first);
}

static void test_fork_shares(void) {
        _cleanup_free_ char *text = long_prompt(600, 3);
        sd_bus_message *reply = NULL;
        char path[PATH_SIZE];
        const char *fork;
        session_open(&client, 8, path);
        Reply *r = client_finish(&client, path, session_respond(&client, path, text));
        uint32_t n_first = r->n_prompt;
        CHECK(call_session(&client, path, "Fork", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_read(reply, "o", &fork) > 0);
        r = client_finish(&client, fork, session_respond(&client, fork, "And?"));
        check_said(r);
        CHECK(r->n_cached + 64 >= n_first);
        sd_bus_message_unref(reply);
}

/* Ten at once say, each, what it says alone. */
static void test_side_by_side(void) {
        enum { N = 10 };
        char paths[N][PATH_SIZE], question[64];
        char *alone[N];
        for (int i = 0; i < N; i++) {
                snprintf(question, sizeof question, "Say something about the number %d.", i);
                session_open(&client, 12, paths[i]);
                Reply *r = client_finish(&client, paths[i], session_respond(&client, paths[i], question));
                check_said(r);
                alone[i] = strdup(r->text);
                session_open(&client, 12, paths[i]);
        }
        for (int i = 0; i < N; i++) {
                snprintf(question, sizeof question, "Say something about the number %d.", i);
                session_respond(&client, paths[i], question);
        }
        for (int i = 0; i < N; i++) {
                Reply *r = client_finish(&client, paths[i], 1);
                check_said(r);
                CHECK_STR(r->text, alone[i]);
                free(alone[i]);
        }
}

static void test_cancelled_text_stays(void) {
        char path[PATH_SIZE];
        session_open(&client, 400, path);
        uint64_t turn = session_respond(&client, path, "Count from one to a hundred in words.");
        client_first_text(&client, path, turn);
        CHECK(call_session(&client, path, "Cancel", NULL, NULL, "ta{sv}", turn, 0) >= 0);
        Reply *r = client_finish(&client, path, turn);
        CHECK_STR(r->reason, "cancelled");
        CHECK(r->n_generated < 400);
        turn = session_respond(&client, path, "Go on.");
        CHECK(call_session(&client, path, "Cancel", NULL, NULL, "ta{sv}", turn, 0) >= 0);
        client_finish(&client, path, turn);
}

TEST_MAIN({ "words", test_words }, { "second turn is cached", test_second_turn_is_cached }, { "a fork shares", test_fork_shares },
          { "side by side", test_side_by_side }, { "cancelled text stays", test_cancelled_text_stays })
