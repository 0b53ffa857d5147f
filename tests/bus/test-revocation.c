/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is taken back while a reply is being spoken ends it with NotAllowed: by a rule, by the user's never, by an answer
 * forgotten that alone allowed it; and so it does to what waits. On a model that speaks for a while. */

#include "tests/bus/client.h"
#include "tests/bus/permissions.h"
#include "tests/test.h"

#define ALLOW "[App *]\nAllow=generate\n"
#define ASK "[App *]\nAsk=generate\n"

static TestClient client;
static TestAgent agent;
static char self[512];

static Reply *speak(void) {
        char path[PATH_SIZE];
        session_open(&client, 2000, path);
        return client_reply(&client, path, session_respond(&client, path, "Tell me a very long story about a lighthouse."));
}

static void until_it_speaks(Reply *r) {
        for (int i = 0; i < 60000 && r->n_deltas == 0 && !r->n_finished; i++) {
                client_process(&client, 1000);
                agent_process(&agent, 1000);
        }
        CHECK(r->n_deltas > 0);
        CHECK_INT(r->n_finished, 0);
}

static void check_ended(Reply *r, const char *in_text) {
        client_finish(&client, r->path, r->turn);
        CHECK_STR(r->reason, "error");
        CHECK_STR(r->error, "org.spark.Assistant.Error.NotAllowed");
        if (!strstr(r->message, in_text))
                printf("# %s\n", r->message);
        CHECK(strstr(r->message, in_text));
}

static void rules(const char *text) {
        rules_write(text);
        rules_reload(&client);
}

static void test_connect(void) {
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        CHECK(n > 0);
        client_init(&client);
}

static void test_rule(void) {
        rules(ALLOW);
        Reply *r = speak();
        until_it_speaks(r);
        Reply *second = speak();                /* side by side, or waiting */
        rules("[App *]\nDeny=generate\n");
        check_ended(r, "test.conf:2 says deny");
        check_ended(second, "test.conf:2 says deny");
}

static void test_never(void) {
        rules(ALLOW);
        Reply *r = speak();
        until_it_speaks(r);
        CHECK(call_permissions(&client, "Set", NULL, NULL, "sssa{sv}", self, "generate", "never", 0) >= 0);
        check_ended(r, "the user said never");
        CHECK(call_permissions(&client, "Reset", NULL, NULL, "ssa{sv}", "", "", 0) >= 0);
}

static void test_always_forgotten(void) {
        rules(ASK);
        CHECK(call_permissions(&client, "Set", NULL, NULL, "sssa{sv}", self, "generate", "always", 0) >= 0);
        Reply *r = speak();
        until_it_speaks(r);
        /* What concerns another app, or another capability, changes nothing. */
        CHECK(call_permissions(&client, "Set", NULL, NULL, "sssa{sv}", self, "camera", "never", 0) >= 0);
        CHECK(call_permissions(&client, "Set", NULL, NULL, "sssa{sv}", "org.example.Other", "generate", "never", 0) >= 0);
        CHECK(call_permissions(&client, "Reset", NULL, NULL, "ssa{sv}", "org.example.Other", "", 0) >= 0);
        size_t n = r->n_deltas;
        while (r->n_deltas == n && !r->n_finished)
                client_process(&client, 1000);
        CHECK_INT(r->n_finished, 0);
        CHECK(call_permissions(&client, "Reset", NULL, NULL, "ssa{sv}", self, "generate", 0) >= 0);
        check_ended(r, "test.conf:2 says ask");
}

static void test_once_and_session(void) {
        static const char *const answers[] = { "once", "session" };
        rules(ASK);
        agent_init(&agent);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                agent.answer = answers[i];
                Reply *r = speak();
                until_it_speaks(r);
                CHECK(call_permissions(&client, "Reset", NULL, NULL, "ssa{sv}", self, "", 0) >= 0);
                check_ended(r, "says ask");
        }
        agent_done(&agent);
}

TEST_MAIN({ "connect", test_connect }, { "a rule", test_rule }, { "never", test_never }, { "an answer is forgotten", test_always_forgotten },
          { "once, and for the session", test_once_and_session })
