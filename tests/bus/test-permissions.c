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

/* ---- calls outside sessions ---- */

typedef struct Outcome {                   /* of a call that is answered some day */
        bool come;
        char error[64], message[512];
        uint32_t n_tokens;
} Outcome;

static int on_outcome(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Outcome *o = userdata;
        o->come = true;
        if (sd_bus_message_is_method_error(m, NULL)) {
                snprintf(o->error, sizeof o->error, "%s", sd_bus_message_get_error(m)->name);
                snprintf(o->message, sizeof o->message, "%s", sd_bus_message_get_error(m)->message);
        } else if (sd_bus_message_has_signature(m, "u"))
                CHECK(sd_bus_message_read(m, "u", &o->n_tokens) > 0);
        return 0;
}

static void begin_call(TestClient *c, const char *method, Outcome *o) {
        *o = (Outcome) {};
        int r = strcmp(method, "Prewarm") == 0
                        ? sd_bus_call_method_async(c->bus, NULL, "org.spark.Assistant", "/org/spark/Assistant", "org.spark.Assistant", method,
                                                   on_outcome, o, "a{sv}", 1, "instructions", "s", "Be brief.")
                        : sd_bus_call_method_async(c->bus, NULL, "org.spark.Assistant", "/org/spark/Assistant", "org.spark.Assistant", method,
                                                   on_outcome, o, "sa{sv}", "Hello there", 0);
        CHECK(r >= 0);
}

static void until_come(Outcome *o) {
        for (time_t end = time(NULL) + 60; time(NULL) < end && !o->come; ) {
                client_process(&client, 2000);
                agent_process(&agent, 2000);
        }
        CHECK(o->come);
}

static void test_calls_wait(void) {
        static const char *const methods[] = { "CountTokens", "Prewarm" };
        Outcome o, several[10];
        char path[PATH_SIZE];
        TestClient passing;

        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                agent.n_asked = agent.n_cancelled = 0;
                agent.answer = NULL;
                begin_call(&client, methods[i], &o);
                go_on(NULL, 1);
                CHECK_INT(agent.n_asked, 1);
                CHECK_STR(agent.capabilities, "generate ");
                CHECK(!o.come);
                agent_answer(&agent, "once");
                until_come(&o);
                CHECK_STR(o.error, "");
                CHECK(i > 0 || o.n_tokens > 0);
                check_state("generate", "ask");

                agent.answer = "deny";
                begin_call(&client, methods[i], &o);
                until_come(&o);
                CHECK_STR(o.error, "org.spark.Assistant.Error.NotAllowed");
                CHECK(strstr(o.message, "the user said no"));
                begin_call(&client, methods[i], &o);
                until_come(&o);
                CHECK(strstr(o.message, "refused a short while ago"));
                CHECK_INT(agent.n_asked, 2);
                forget();

                /* Whoever goes takes the question along. */
                agent.answer = NULL;
                client_init(&passing);
                begin_call(&passing, methods[i], &o);
                while (agent.n_asked < 3) {
                        client_process(&passing, 1000);
                        agent_process(&agent, 1000);
                }
                client_done(&passing);
                for (int k = 0; k < 100 && agent.n_cancelled == 0; k++)
                        agent_process(&agent, 10000);
                CHECK_INT(agent.n_cancelled, 1);
        }

        /* With a turn that waits for the same answer; and no more than a few. */
        agent.n_asked = 0;
        session_open(&client, 4, path);
        Reply *r = client_reply(&client, path, session_respond(&client, path, "Hello"));
        for (size_t i = 0; i < ELEMENTSOF(several); i++)
                begin_call(&client, "CountTokens", &several[i]);
        until_come(&several[9]);
        CHECK_STR(several[8].error, "org.spark.Assistant.Error.Busy");
        CHECK_STR(several[9].error, "org.spark.Assistant.Error.Busy");
        go_on(NULL, 1);
        agent_answer(&agent, "once");
        finish(r);
        CHECK(strcmp(r->reason, "error") != 0);
        for (size_t i = 0; i < 8; i++) {
                until_come(&several[i]);
                CHECK_STR(several[i].error, "");
        }
        CHECK_INT(agent.n_asked, 1);
        forget();
}

/* ---- what is refused is written down, a flood of it in a few lines ---- */

static size_t n_refusals(const char *capability, const char *reason) {
        static Listed l;
        size_t n = 0;
        ledger_of(&client, self(), &l);
        for (size_t i = 0; i < l.n; i++)
                n += strcmp(l.entries[i].capability, capability) == 0 && strcmp(l.entries[i].reason, reason) == 0;
        return n;
}

static void test_refusals(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        rules("[App *]\nDeny=generate remote image\n");
        CHECK_INT(n_refusals("generate", "rule-denies"), 0);
        for (int i = 0; i < 300; i++) {
                sd_bus_error_free(&error);
                CHECK(call_root(&client, i % 2 ? "CountTokens" : "Ask", &error, NULL, "sa{sv}", "Hello", 0) < 0);
                CHECK_STR(error.name, "org.spark.Assistant.Error.NotAllowed");
        }
        size_t n = n_refusals("generate", "rule-denies");
        CHECK(n >= 1 && n < 10);

        for (int i = 0; i < 100; i++) {
                CHECK(call_permissions(&client, "Request", NULL, &reply, "assa{sv}", 3, "remote", "image", "tool:pay", "", 0) >= 0);
                reply = sd_bus_message_unref(reply);
        }
        n = n_refusals("remote", "rule-denies");
        CHECK(n >= 1 && n < 10);
        CHECK(n_refusals("image", "rule-denies") >= 1);
        CHECK(n_refusals("tool:pay", "rule-denies") >= 1);
        rules("[App *]\nAsk=generate microphone camera background tool:*\nDeny=remote\n[Unknown]\nDeny=generate\n");
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
          { "calls that wait", test_calls_wait }, { "refusals are written down", test_refusals },
          { "a flood of questions", test_flood }, { "problems and explanations", test_problems }, { "availability", test_availability }, { "lists", test_lists }, { "forged agents", test_forged },
          { "an agent dies", test_agent_dies })
