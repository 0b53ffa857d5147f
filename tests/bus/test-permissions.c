/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Consent, end to end: rules that ask, an agent that answers each way or not at all, what is kept, and what the ledger says
 * of it. */

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "tests/bus/client.h"
#include "tests/bus/permissions.h"
#include "tests/test.h"

static TestClient client;
static TestAgent agent;

/* Text of the only reply under way, or how it ended. */
static Reply *ask(const char *text, uint32_t max_tokens) {
        char path[PATH_SIZE];
        session_open(&client, max_tokens, path);
        return client_reply(&client, path, session_respond(&client, path, text));
}

/* Lets both sides go on until the reply has ended, or the agent has been asked n times. */
static void go_on(Reply *r, unsigned n_asked) {
        for (time_t end = time(NULL) + 60; time(NULL) < end && !(r && r->n_finished) && agent.n_asked < n_asked; ) {
                client_process(&client, 2000);
                agent_process(&agent, 2000);
        }
}

static void finish(Reply *r) {
        go_on(r, UINT32_MAX);
        CHECK_INT(r->n_finished, 1);
}

static void check_refused(Reply *r, const char *in_text) {
        finish(r);
        CHECK_STR(r->reason, "error");
        CHECK_STR(r->error, "org.spark.Assistant.Error.NotAllowed");
        if (!strstr(r->message, in_text))
                printf("# %s\n", r->message);
        CHECK(strstr(r->message, in_text));
}

/* Whether it is refused at once or after the user was asked. */
static void check_refuses(const char *in_text) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        session_open(&client, 4, path);
        if (session_try(&client, path, "Hello", &error) >= 0) {
                check_refused(client_reply(&client, path, 1), in_text);
                return;
        }
        CHECK_STR(error.name, "org.spark.Assistant.Error.NotAllowed");
        if (!strstr(error.message, in_text))
                printf("# %s\n", error.message);
        CHECK(strstr(error.message, in_text));
}

static void rules(const char *text) {
        rules_write(text);
        rules_reload(&client);
}

static const char *self(void) {
        static char path[512];
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
        CHECK(n > 0);
        path[n] = '\0';
        return path;
}

static void forget(void) {
        CHECK(call_permissions(&client, "Reset", NULL, NULL, "ssa{sv}", "", "", 0) >= 0);
        CHECK(call_permissions(&client, "Reset", NULL, NULL, "ssa{sv}", self(), "", 0) >= 0);
}

static void check_state(const char *capability, const char *wanted) {
        sd_bus_message *reply = NULL;
        const char *state;
        CHECK(call_permissions(&client, "Check", NULL, &reply, "sa{sv}", capability, 0) >= 0);
        CHECK(sd_bus_message_read(reply, "s", &state) > 0);
        CHECK_STR(state, wanted);
        sd_bus_message_unref(reply);
}

static void test_connect(void) {
        client_init(&client);
        rules("[App *]\nAsk=generate microphone camera background tool:*\nDeny=remote\n[Unknown]\nDeny=generate\n");
}

static void test_nobody_there(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        check_refuses("there is no agent");
        CHECK(call_root(&client, "Ask", &error, NULL, "sa{sv}", "Hello", 0) < 0);
        CHECK_STR(error.name, "org.spark.Assistant.Error.NotAllowed");
        CHECK(strstr(error.message, "sparkctl agent"));
}

static void test_yes(void) {
        agent_init(&agent);
        agent.answer = "once";
        check_state("generate", "ask");
        check_state("remote", "deny");
        Reply *r = ask("Hello", 4);
        finish(r);
        CHECK(strcmp(r->reason, "error") != 0);
        CHECK_INT(agent.n_asked, 1);
        CHECK_STR(agent.app, self());
        CHECK_STR(agent.certainty, "path");
        CHECK_STR(agent.capabilities, "generate ");
        CHECK_INT(agent.pid, getpid());
        check_state("generate", "ask");         /* once is once */
        finish(ask("Hello", 4));
        CHECK_INT(agent.n_asked, 2);

        agent.answer = "session";
        finish(ask("Hello", 4));
        CHECK_INT(agent.n_asked, 3);
        check_state("generate", "allow");
        finish(ask("Hello", 4));
        CHECK_INT(agent.n_asked, 3);
        forget();
        check_state("generate", "ask");

        agent.answer = "always";
        finish(ask("Hello", 4));
        CHECK_INT(agent.n_asked, 4);
        finish(ask("Hello", 4));
        CHECK_INT(agent.n_asked, 4);
        check_state("generate", "allow");
        forget();
        check_state("generate", "ask");
}

static void test_no(void) {
        agent.n_asked = 0;
        agent.answer = "deny";
        check_refuses("the user said no");
        CHECK_INT(agent.n_asked, 1);
        /* It may not ask again for a minute, for nothing. */
        check_refuses("refused a short while ago");
        CHECK_INT(agent.n_asked, 1);
        check_state("microphone", "deny");
        forget();
        agent.answer = "never";
        check_refuses("never");
        CHECK_INT(agent.n_asked, 2);
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CHECK(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 0) < 0);
        CHECK_STR(error.name, "org.spark.Assistant.Error.NotAllowed");
        CHECK(strstr(error.message, "sparkctl permission reset"));
        forget();
        agent.answer = "perhaps";               /* what is none of the five is no */
        check_refuses("the user said no");
        forget();
}

static void test_time_out_and_cancel(void) {
        agent.n_asked = agent.n_cancelled = 0;
        agent.answer = NULL;                    /* nobody is at the keyboard */
        check_refuses("nobody answered");
        for (int i = 0; i < 100 && agent.n_cancelled == 0; i++)
                agent_process(&agent, 10000);
        CHECK_INT(agent.n_cancelled, 1);
        CHECK_STR(agent.cancelled, agent.request);
        forget();

        /* Whoever takes the question back takes it from the screen. */
        Reply *r = ask("Hello", 4);
        go_on(NULL, 2);
        CHECK_INT(agent.n_asked, 2);
        CHECK(call_session(&client, r->path, "Cancel", NULL, NULL, "ta{sv}", r->turn, 0) >= 0);
        finish(r);
        CHECK_STR(r->reason, "cancelled");
        for (int i = 0; i < 100 && agent.n_cancelled < 2; i++)
                agent_process(&agent, 10000);
        CHECK_INT(agent.n_cancelled, 2);

        TestClient passing;
        char path[PATH_SIZE];
        client_init(&passing);
        session_open(&passing, 4, path);
        session_respond(&passing, path, "Hello");
        go_on(NULL, 3);
        client_done(&passing);
        for (int i = 0; i < 100 && agent.n_cancelled < 3; i++)
                agent_process(&agent, 10000);
        CHECK_INT(agent.n_cancelled, 3);
        forget();
}

static void test_joined(void) {
        Reply *r[20];
        agent.n_asked = 0;
        agent.answer = NULL;
        for (size_t i = 0; i < ELEMENTSOF(r); i++)
                r[i] = ask("Hello", 4);
        go_on(NULL, 1);
        CHECK_INT(agent.n_asked, 1);
        agent_answer(&agent, "once");
        for (size_t i = 0; i < ELEMENTSOF(r); i++) {
                finish(r[i]);
                CHECK(strcmp(r[i]->reason, "error") != 0);
        }
        CHECK_INT(agent.n_asked, 1);
        forget();
}

static void test_flood(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        unsigned n = 0;
        agent.n_asked = 0;
        agent.answer = NULL;
        char name[32];
        for (int i = 0; i < 200; i++) {
                const char *names[] = { name, NULL };
                snprintf(name, sizeof name, "tool:t%d", i);
                sd_bus_error_free(&error);
                sd_bus_message *m = NULL;
                CHECK(permissions_new_call(&client, "Request", &m) >= 0);
                CHECK(sd_bus_message_append_strv(m, (char **) names) >= 0);
                CHECK(sd_bus_message_append(m, "sa{sv}", "", 0) >= 0);
                n += sd_bus_call(client.bus, m, 0, &error, NULL) >= 0;
                sd_bus_message_unref(m);
        }
        CHECK_STR(error.name, "org.spark.Assistant.Error.Busy");
        CHECK_INT(n, 4);
        for (int i = 0; i < 50; i++) {
                agent_process(&agent, 2000);
                client_process(&client, 2000);
        }
        CHECK_INT(agent.n_asked, 1);
        agent_answer(&agent, "deny");
        for (int i = 0; i < 50; i++) {
                agent_process(&agent, 5000);
                client_process(&client, 5000);
        }
        CHECK_INT(agent.n_asked, 1);            /* those in line were refused with it */
        forget();
}

static void test_problems(void) {
        sd_bus_message *reply = NULL;
        const char *text;
        rules("[App *]\nAllow=generate sing\n");
        CHECK(call_permissions(&client, "Problems", NULL, &reply, "") >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', "s") > 0);
        CHECK(sd_bus_message_read(reply, "s", &text) > 0);
        CHECK(strstr(text, "test.conf:2: 'sing'"));
        sd_bus_message_unref(reply);

        const char *decision, *reason;
        CHECK(call_permissions(&client, "Explain", NULL, &reply, "ssa{sv}", "org.example.App", "generate", 0) >= 0);
        CHECK(sd_bus_message_read(reply, "sss", &decision, &reason, &text) > 0);
        CHECK_STR(decision, "allow");
        CHECK_STR(reason, "rule-allows");
        CHECK(strstr(text, "test.conf:2 says allow"));
        sd_bus_message_unref(reply);
}

static void check_availability(const char *wanted_state, const char *wanted_reason) {
        sd_bus_message *reply = NULL;
        const char *state, *key, *value = "";
        CHECK(call_root(&client, "Availability", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_read(reply, "s", &state) > 0);
        CHECK_STR(state, wanted_state);
        CHECK(sd_bus_message_enter_container(reply, 'a', "{sv}") >= 0);
        while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
                const char *v;
                CHECK(sd_bus_message_read(reply, "s", &key) > 0 && sd_bus_message_read(reply, "v", "s", &v) > 0);
                if (strcmp(key, "reason") == 0)
                        value = v;
                CHECK(sd_bus_message_exit_container(reply) > 0);
        }
        CHECK_STR(value, wanted_reason);
        sd_bus_message_unref(reply);
}

static void test_availability(void) {
        rules("[App *]\nDeny=generate\n");
        check_availability("unavailable", "disabled-by-policy");
        rules("[App *]\nAsk=generate\n");
        check_availability("available", "");
        CHECK(call_permissions(&client, "Set", NULL, NULL, "sssa{sv}", self(), "generate", "never", 0) >= 0);
        check_availability("unavailable", "disabled-by-user");
        forget();
}

static void test_lists(void) {
        static Listed l;
        rules("[App *]\nDeny=generate\n");
        usleep(1100000);                        /* one refusal a second is written down */
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CHECK(call_root(&client, "Ask", &error, NULL, "sa{sv}", "Hello", 0) < 0);
        list_permissions(&client, &l);
        CHECK(listed(&l, self(), "generate"));
        ledger_of(&client, self(), &l);
        CHECK(l.n > 10);
        static const char *const outcomes[] = { "once", "session", "always", "never", "deny", "timed-out" };
        for (size_t k = 0; k < ELEMENTSOF(outcomes); k++) {
                bool told = false;
                for (size_t i = 0; i < l.n; i++)
                        told |= strcmp(l.entries[i].outcome, outcomes[k]) == 0;
                if (!told)
                        printf("# %s\n", outcomes[k]);
                CHECK(told);
        }
        bool allowed = false, denied = false;
        for (size_t i = 0; i < l.n; i++) {
                allowed |= strcmp(l.entries[i].decision, "allow") == 0 && l.entries[i].tokens > 0;
                denied |= strcmp(l.entries[i].decision, "deny") == 0 && strcmp(l.entries[i].reason, "rule-denies") == 0;
        }
        CHECK(allowed && denied);
}

static void test_forged(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        /* Somebody who never registered cannot answer: there is nothing to answer to. What an agent exports is a reply. */
        for (int i = 0; i < 3; i++)
                CHECK(call_permissions(&client, "RegisterAgent", NULL, NULL, "oa{sv}", i == 0 ? "/a" : i == 1 ? "/b" : "/c", 0) >= 0);
        CHECK(call_permissions(&client, "RegisterAgent", &error, NULL, "oa{sv}", "/d", 0) < 0);
        CHECK_STR(error.name, "org.spark.Assistant.Error.QuotaExceeded");
        for (int i = 0; i < 3; i++)
                CHECK(call_permissions(&client, "UnregisterAgent", NULL, NULL, "o", i == 0 ? "/a" : i == 1 ? "/b" : "/c") >= 0);
        sd_bus_error_free(&error);
        CHECK(call_permissions(&client, "UnregisterAgent", &error, NULL, "o", "/org/spark/Assistant/Agent") < 0);
        CHECK_STR(error.name, "org.spark.Assistant.Error.InvalidInput");
}

/* An agent that dies is as good as none; the next one is asked. */
static void test_agent_dies(void) {
        TestAgent second;
        rules("[App *]\nAsk=generate\n");
        agent.answer = "once";
        agent.n_asked = 0;
        agent_init(&second);
        second.answer = NULL;
        Reply *r = ask("Hello", 4);
        while (second.n_asked == 0) {
                client_process(&client, 1000);
                agent_process(&second, 1000);
        }
        agent_done(&second);
        finish(r);
        CHECK(strcmp(r->reason, "error") != 0);
        CHECK_INT(agent.n_asked, 1);
        agent_done(&agent);
        check_refuses("there is no agent");
}

TEST_MAIN({ "connect", test_connect }, { "nobody to ask", test_nobody_there }, { "yes", test_yes }, { "no", test_no },
          { "time-out, and questions taken back", test_time_out_and_cancel }, { "questions join", test_joined },
          { "a flood of questions", test_flood }, { "problems and explanations", test_problems }, { "availability", test_availability }, { "lists", test_lists }, { "forged agents", test_forged },
          { "an agent dies", test_agent_dies })
