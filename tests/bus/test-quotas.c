/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The limits of the rule files, each met: the error, the number in it, when to come back; and that a restart forgives
 * nothing, for the ledger knows. On random weights. */

#include <time.h>

#include "policy/ledger.h"
#include "tests/bus/errors.h"
#include "tests/bus/permissions.h"
#include "tests/test.h"

#define ALLOW "[App *]\nAllow=generate background\n"

static TestClient client;
static char self[512];

static void rules(const char *text) {
        rules_write(text);
        rules_reload(&client);
}

static int ask(sd_bus_error *error, uint32_t max_tokens) {
        return call_root(&client, "Ask", error, NULL, "sa{sv}", "Hello", 1, "max-tokens", "u", max_tokens);
}

/* As if this sparkd had been started anew: the ledger is there before it first looks. */
static void test_ledger_is_remembered(void) {
        _cleanup_(ledger_freep) Ledger *l = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[512];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        CHECK(n > 0);
        client_init(&client);
        rules(ALLOW "TokensPerDay=24000\nAudioSecondsPerDay=10\n");

        snprintf(path, sizeof path, "%s/spark/ledger/%u.db", getenv("XDG_STATE_HOME"), (unsigned) getuid());
        CHECK_INT(ledger_open(path, &l), 0);
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        LedgerUse u = { .app = self, .kind = IDENTITY_EXECUTABLE, .certainty = CERTAINTY_PATH, .tool = "", .outcome = "stop" };
        u.time_us = (now.tv_sec - 2 * 3600) * INT64_C(1000000);
        u.n_prompt = 25900;                     /* two hours ago: 2,000 of them have come back, 23,900 not */
        CHECK_INT(ledger_add_use(l, &u), 0);
        u.time_us = (now.tv_sec - 30 * 3600) * INT64_C(1000000);
        u.n_prompt = 1000000;                   /* long forgotten */
        CHECK_INT(ledger_add_use(l, &u), 0);
        u.time_us = now.tv_sec * INT64_C(1000000);
        u.n_prompt = 0;
        u.capability = CAPABILITY_MICROPHONE;
        u.audio_ms = 6001;                      /* seven seconds, begun */
        CHECK_INT(ledger_add_use(l, &u), 0);
        l = ledger_free(l);

        CHECK(ask(&error, 64) >= 0);
        check_error(ask(&error, 200), &error, ERROR("QuotaExceeded"), "24000 tokens a day");
        check_error(ask(&error, 200), &error, ERROR("QuotaExceeded"), "come back in ");

        char session[PATH_SIZE];
        rules("[App *]\nAllow=generate microphone\nAudioSecondsPerDay=10\n");
        session_open(&client, 1, session);
        check_error(call_session(&client, session, "Respond", &error, NULL, "a(sa{sv})a{sv}", 1, "microphone", 1, "seconds", "u", 4u, 0),
                    &error, ERROR("QuotaExceeded"), "10 seconds of sound a day");
        check_error(call_session(&client, session, "Respond", &error, NULL, "a(sa{sv})a{sv}", 1, "microphone", 1, "seconds", "u", 3u, 0),
                    &error, ERROR("NoDevice"), "no agent");
        CHECK(call_session(&client, session, "Close", NULL, NULL, "a{sv}", 0) >= 0);
}

static void test_requests(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        rules(ALLOW "RequestsPerMinute=3\n");
        for (int i = 0; i < 3; i++)
                CHECK(ask(&error, 1) >= 0);
        check_error(ask(&error, 1), &error, ERROR("RateLimited"), "The 3 requests a minute of ");
        check_error(call_root(&client, "CountTokens", &error, NULL, "sa{sv}", "Hi", 0), &error, ERROR("RateLimited"), "come back in ");
        rules(ALLOW "[User *]\nRequestsPerMinute=2\n");
        CHECK(ask(&error, 1) >= 0);
        CHECK(ask(&error, 1) >= 0);
        check_error(ask(&error, 1), &error, ERROR("RateLimited"), "requests a minute of this user");
        rules(ALLOW);
        CHECK(ask(&error, 1) >= 0);
}

/* What never came to be computed is given back: each of these is guessed at 256 tokens and more. */
static void test_given_back(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        TestAgent agent;
        char path[PATH_SIZE];
        agent_init(&agent);
        rules("[App *]\nAsk=generate\nTokensPerDay=25K\n[User *]\nTokensPerDay=26K\n");
        for (int i = 0; i < 200; i++) {
                session_open(&client, 1u << 20, path);
                if (session_try(&client, path, "Hello", &error) < 0)
                        printf("# %d: %s\n", i, error.message);
                CHECK(!error.name);
                CHECK(call_session(&client, path, "Close", NULL, NULL, "a{sv}", 0) >= 0);
        }
        agent_done(&agent);
}

/* What was guessed too high is put right. */
static void test_corrected(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        rules(ALLOW "TokensPerDay=1000K\n");
        for (int i = 0; i < 20; i++)
                CHECK(ask(&error, 1) >= 0);
        static Listed l;
        ledger_of(&client, self, &l);
        CHECK(l.n > 20);
        _cleanup_free_ char *prompt = long_prompt(100000, 1);
        check_error(call_root(&client, "Ask", &error, NULL, "sa{sv}", prompt, 0), &error, ERROR("ContextFull"), "requested");
}

/* Calls that belong to no session are uses, too, and what is read ahead is paid for. */
static void test_without_session(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        static Listed l;
        size_t n_counted = 0, n_prewarmed = 0, n_paid = 0;
        rules(ALLOW "TokensPerDay=1000K\n");
        CHECK(call_root(&client, "CountTokens", &error, NULL, "sa{sv}", "Hello", 0) >= 0);
        CHECK(call_root(&client, "Prewarm", &error, NULL, "a{sv}", 0) >= 0);
        CHECK(call_root(&client, "Prewarm", &error, NULL, "a{sv}", 1, "instructions", "s", "Be brief.") >= 0);
        CHECK(ask(&error, 1) >= 0);             /* behind it */
        CHECK(call_root(&client, "Prewarm", &error, NULL, "a{sv}", 1, "instructions", "s", "Be brief.") >= 0);
        ledger_of(&client, self, &l);
        for (size_t i = 0; i < l.n; i++) {
                n_counted += strcmp(l.entries[i].outcome, "counted") == 0;
                n_prewarmed += strcmp(l.entries[i].outcome, "prewarmed") == 0;
                n_paid += strcmp(l.entries[i].outcome, "prewarmed") == 0 && l.entries[i].tokens > 0;
        }
        CHECK_INT(n_counted, 1);
        CHECK_INT(n_prewarmed, 3);
        CHECK_INT(n_paid, 1);

        _cleanup_free_ char *text = long_prompt(2000, 1);
        rules(ALLOW "TokensPerDay=1\n");
        check_error(call_root(&client, "Prewarm", &error, NULL, "a{sv}", 1, "instructions", "s", text), &error, ERROR("QuotaExceeded"), "tokens a day");
        rules(ALLOW "TokensPerDay=1000K\n");
}

static void test_sessions(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[3][PATH_SIZE];
        rules(ALLOW "Sessions=2\n");
        session_open(&client, 1, path[0]);
        session_open(&client, 1, path[1]);
        check_error(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 0), &error, ERROR("QuotaExceeded"), "2 of 2 sessions are open");
        CHECK(call_session(&client, path[1], "Close", NULL, NULL, "a{sv}", 0) >= 0);
        session_open(&client, 1, path[1]);
        CHECK(call_session(&client, path[0], "Close", NULL, NULL, "a{sv}", 0) >= 0);
        CHECK(call_session(&client, path[1], "Close", NULL, NULL, "a{sv}", 0) >= 0);
}

static void test_context(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        rules(ALLOW "ContextTokens=20\n");
        check_error(call_root(&client, "Ask", &error, NULL, "sa{sv}", "This is by far more than twenty tokens are for this small model.", 0),
                    &error, ERROR("ContextFull"), "available 20");
        rules(ALLOW);
        CHECK(call_root(&client, "Ask", &error, NULL, "sa{sv}", "This is by far more than twenty tokens are for this small model.", 0) >= 0);
}

/* Many at once: no more are computed than may be, all come to their end, and no more wait than may. */
static void test_concurrent(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[12][PATH_SIZE];
        rules(ALLOW "ConcurrentReplies=1\nQueueLength=4\n");
        size_t n = 0, n_busy = 0;
        for (size_t i = 0; i < ELEMENTSOF(path); i++)
                session_open(&client, 200, path[i]);
        for (size_t i = 0; i < ELEMENTSOF(path); i++) {
                int r = session_try(&client, path[i], "Hello", &error);
                n += r >= 0;
                if (r < 0) {
                        n_busy++;
                        check_error(r, &error, ERROR("Busy"), "4 of 4 turns wait");
                }
        }
        CHECK(n >= 4 && n + n_busy == ELEMENTSOF(path));
        for (size_t i = 0; i < ELEMENTSOF(path); i++)
                if (client_reply(&client, path[i], 1)->n_deltas || i < 4)
                        client_finish(&client, path[i], 1);
        rules(ALLOW "ConcurrentReplies=0\n");
        check_error(ask(&error, 1), &error, ERROR("QuotaExceeded"), "0 replies");
        rules(ALLOW);
        CHECK(ask(&error, 1) >= 0);
}

TEST_MAIN({ "a restart forgives nothing", test_ledger_is_remembered }, { "requests a minute", test_requests },
          { "a guess is corrected", test_corrected },
          { "what was not computed is given back", test_given_back }, { "without a session", test_without_session }, { "sessions", test_sessions }, { "context", test_context },
          { "replies at a time, turns that wait", test_concurrent })
