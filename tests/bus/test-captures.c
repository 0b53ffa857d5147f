/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Microphones and cameras: opened by an agent of the user's when they are allowed, shown to those who watch and to nobody
 * else, closed when the agent, the time, the turn or the permission ends; and what it costs and leaves behind. */

#include <poll.h>
#include <time.h>

#include "tests/bus/client.h"
#include "tests/bus/permissions.h"
#include "tests/test.h"

#define ERROR(name) "org.spark.Assistant.Error." name
#define ALLOW "[App *]\nAllow=generate microphone camera\n"

typedef struct Watcher {                   /* what a connection is told */
        TestClient client;
        unsigned n_opened, n_closed, n_properties;
        int capturing;                     /* as PropertiesChanged had it last */
        uint64_t capture;
        char device[32], app[512], certainty[32];
} Watcher;

static TestClient client;
static TestAgent agent;
static Watcher shell, stranger;
static char self[512];

static int on_capture(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *device, *app, *certainty;
        Watcher *w = userdata;
        int open;
        CHECK(sd_bus_message_read(m, "tsssb", &w->capture, &device, &app, &certainty, &open) > 0);
        snprintf(w->device, sizeof w->device, "%s", device);
        snprintf(w->app, sizeof w->app, "%s", app);
        snprintf(w->certainty, sizeof w->certainty, "%s", certainty);
        *(open ? &w->n_opened : &w->n_closed) += 1;
        return 0;
}

/* Of Capturing alone; the state of the worker changes, too. */
static int on_property(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *interface, *name;
        Watcher *w = userdata;
        CHECK(sd_bus_message_read(m, "s", &interface) > 0);
        CHECK(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
        for (; sd_bus_message_enter_container(m, 'e', "sv") > 0; sd_bus_message_exit_container(m)) {
                CHECK(sd_bus_message_read(m, "s", &name) > 0);
                if (strcmp(name, "Capturing") == 0) {
                        CHECK(sd_bus_message_read(m, "v", "b", &w->capturing) > 0);
                        w->n_properties++;
                } else
                        CHECK(sd_bus_message_skip(m, "v") > 0);
        }
        return 0;
}

static void watcher_init(Watcher *w) {
        client_init(&w->client);
        CHECK(sd_bus_match_signal(w->client.bus, NULL, NULL, NULL, "org.spark.Assistant", "CapturingChanged", on_capture, w) >= 0);
        CHECK(sd_bus_match_signal(w->client.bus, NULL, NULL, NULL, "org.freedesktop.DBus.Properties", "PropertiesChanged", on_property, w) >= 0);
}

static int capturing(TestClient *c) {
        int value = -1;
        CHECK(sd_bus_get_property_trivial(c->bus, "org.spark.Assistant", "/org/spark/Assistant", "org.spark.Assistant", "Capturing", NULL, 'b', &value) >= 0);
        return value;
}

static unsigned watched(TestClient *c) {
        sd_bus_message *reply = NULL;
        unsigned n = 0;
        CHECK(call_permissions(c, "WatchCaptures", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', "a{sv}") > 0);
        for (; sd_bus_message_skip(reply, "a{sv}") > 0; n++);
        sd_bus_message_unref(reply);
        return n;
}

static void rules(const char *text) {
        rules_write(text);
        rules_reload(&client);
}

static void step(void) {
        client_process(&client, 2000);
        agent_process(&agent, 2000);
        client_process(&shell.client, 2000);
        client_process(&stranger.client, 2000);
}

#define UNTIL(condition)                                                                \
        do {                                                                            \
                for (time_t end = time(NULL) + 60; !(condition) && time(NULL) < end; )  \
                        step();                                                         \
                CHECK(condition);                                                       \
        } while (0)

static int respond(TestClient *c, const char *device, uint32_t seconds, char path[PATH_SIZE], sd_bus_error *error) {
        session_open(c, 4, path);
        return strcmp(device, "camera") == 0 ? call_session(c, path, "Respond", error, NULL, "a(sa{sv})a{sv}", 1, "camera", 0, 0)
                                             : call_session(c, path, "Respond", error, NULL, "a(sa{sv})a{sv}", 1, device, 1, "seconds", "u", seconds, 0);
}

/* A turn that is under way. */
static Reply *hear(const char *device, uint32_t seconds) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        if (respond(&client, device, seconds, path, &error) < 0)
                printf("# %s: %s\n", error.name, error.message);
        CHECK(!error.name);
        return client_reply(&client, path, 1);
}

static Reply *hear_until_open(const char *device, uint32_t seconds) {
        unsigned n = shell.n_opened;
        Reply *r = hear(device, seconds);
        UNTIL(shell.n_opened == n + 1);
        CHECK_STR(shell.device, device);
        return r;
}

static void check_end(Reply *r, const char *error, const char *in_text) {
        UNTIL(r->n_finished);
        CHECK_STR(r->error, error);
        if (!strstr(r->message, in_text))
                printf("# %s\n", r->message);
        CHECK(strstr(r->message, in_text));
}

/* The agent's end says so, and those who watch know. */
static void check_closed(void) {
        struct pollfd p = { .fd = agent.device };
        UNTIL(poll(&p, 1, 0) == 1 && (p.revents & POLLERR));
        UNTIL(shell.n_closed == shell.n_opened);
        CHECK_INT(capturing(&client), 0);
        CHECK_INT(shell.capturing, 0);
}

static void hang_up(void) {
        close(agent.device);
        agent.device = -1;
}

static void test_nobody_opens(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        CHECK(n > 0);
        client_init(&client);
        watcher_init(&shell);
        watcher_init(&stranger);
        rules(ALLOW);
        CHECK_INT(capturing(&client), 0);
        CHECK_INT(watched(&shell.client), 0);
        session_open(&stranger.client, 1, path);           /* known, and did not ask to be told */
        CHECK(respond(&client, "microphone", 5, path, &error) < 0);
        CHECK_STR(error.name, ERROR("NoDevice"));
        CHECK(strstr(error.message, "no agent"));

        agent_init(&agent);
        check_end(hear("microphone", 5), ERROR("NoDevice"), "No agent of this session can open a microphone");
        CHECK_INT(shell.n_opened, 0);
}

static void test_open(void) {
        static Listed l;
        TestAgent second;
        agent_init(&second);                    /* asked first, and has none */
        agent.has_devices = true;
        Reply *r = hear("microphone", 7);
        while (agent.n_opened == 0 || shell.n_opened == 0) {
                agent_process(&second, 2000);
                step();
        }
        agent_done(&second);
        CHECK_STR(agent.app, self);
        CHECK_INT(agent.seconds, 7);
        CHECK_STR(shell.device, "microphone");
        CHECK_STR(shell.app, self);
        CHECK_STR(shell.certainty, "path");
        UNTIL(shell.capturing == 1);
        CHECK_INT(capturing(&client), 1);
        CHECK_INT(watched(&shell.client), 1);
        CHECK(write(agent.device, "samples", 7) == 7);

        monitored(&client, &l);
        CHECK_INT(l.n, 2);
        for (size_t i = 0; i < l.n; i++)
                CHECK_STR(l.entries[i].state, strcmp(l.entries[i].capability, "microphone") == 0 ? "running" : "waiting");
        CHECK(listed(&l, self, "microphone") && listed(&l, self, "generate"));
        CHECK_INT(r->n_finished, 0);

        uint64_t opened = shell.capture;
        hang_up();
        check_end(r, ERROR("UnsupportedCapability"), "cannot hear");
        UNTIL(shell.n_closed == 1);
        CHECK_INT(shell.capture, opened);
        CHECK_INT(capturing(&client), 0);
        CHECK_INT(watched(&shell.client), 0);

        /* Another connection of the app itself: whether, and no more. */
        UNTIL(stranger.n_properties == 2);
        CHECK_INT(stranger.n_opened + stranger.n_closed, 0);
        ledger_of(&client, self, &l);
        bool heard = false;
        for (size_t i = 0; i < l.n; i++)
                heard |= strcmp(l.entries[i].capability, "microphone") == 0 && strcmp(l.entries[i].outcome, "stop") == 0 && l.entries[i].audio_ms > 0;
        CHECK(heard);
}

static void test_time_is_up(void) {
        Reply *r = hear_until_open("microphone", 1);
        check_end(r, ERROR("UnsupportedCapability"), "open for 1.");
        check_closed();
}

static void test_camera(void) {
        static Listed l;
        Reply *r = hear_until_open("camera", 0);
        hang_up();
        check_end(r, ERROR("UnsupportedCapability"), "cannot see");
        ledger_of(&client, self, &l);
        for (size_t i = 0; i < l.n; i++)
                CHECK(strcmp(l.entries[i].capability, "camera") != 0 || l.entries[i].audio_ms == 0);
        CHECK(listed(&l, self, "camera"));
}

static void test_cancelled(void) {
        Reply *r = hear_until_open("microphone", 60);
        CHECK(call_session(&client, r->path, "Cancel", NULL, NULL, "ta{sv}", r->turn, 0) >= 0);
        UNTIL(r->n_finished);
        CHECK_STR(r->reason, "cancelled");
        check_closed();

        /* While it is being opened, the agent is told. */
        unsigned n = agent.n_opened, n_shown = shell.n_opened;
        agent.holds_opening = true;
        agent.n_cancelled = 0;
        r = hear("microphone", 60);
        UNTIL(agent.n_opened == n + 1);
        CHECK(call_session(&client, r->path, "Cancel", NULL, NULL, "ta{sv}", r->turn, 0) >= 0);
        UNTIL(agent.n_cancelled == 1);
        CHECK_STR(agent.cancelled, agent.request);
        agent.holds_opening = false;
        CHECK_INT(shell.n_opened, n_shown);

        /* So it is when the app goes. */
        TestClient passing;
        char path[PATH_SIZE];
        client_init(&passing);
        CHECK(respond(&passing, "microphone", 60, path, NULL) >= 0);
        UNTIL(shell.n_opened == n_shown + 1);
        client_done(&passing);
        check_closed();
}

static void test_revoked(void) {
        Reply *r = hear_until_open("microphone", 60);
        rules("[App *]\nAllow=generate camera\nDeny=microphone\n");
        check_end(r, ERROR("NotAllowed"), "microphone");
        check_closed();

        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        CHECK(respond(&client, "microphone", 5, path, &error) < 0);
        CHECK_STR(error.name, ERROR("NotAllowed"));
}

static void test_asked(void) {
        rules("[App *]\nAllow=generate\nAsk=microphone\n");
        agent.answer = "once";
        agent.n_asked = 0;
        Reply *r = hear_until_open("microphone", 60);
        CHECK_INT(agent.n_asked, 1);
        CHECK_STR(agent.capabilities, "microphone ");
        hang_up();
        check_end(r, ERROR("UnsupportedCapability"), "cannot hear");
        agent.answer = "never";
        unsigned n = agent.n_opened;
        check_end(hear("microphone", 5), ERROR("NotAllowed"), "never");
        CHECK_INT(agent.n_opened, n);
        CHECK(call_permissions(&client, "Reset", NULL, NULL, "ssa{sv}", "", "", 0) >= 0);
        CHECK(call_permissions(&client, "Reset", NULL, NULL, "ssa{sv}", self, "", 0) >= 0);
}

/* What is reserved counts at once; what was not used is given back. */
static void test_quota(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        rules(ALLOW "AudioSecondsPerDay=290\n");
        Reply *r = hear_until_open("microphone", 200);
        CHECK(respond(&client, "microphone", 100, path, &error) < 0);
        CHECK_STR(error.name, ERROR("QuotaExceeded"));
        CHECK(strstr(error.message, "290 seconds of sound a day"));
        hang_up();
        check_end(r, ERROR("UnsupportedCapability"), "cannot hear");
        r = hear_until_open("microphone", 200);
        hang_up();
        check_end(r, ERROR("UnsupportedCapability"), "cannot hear");
        rules(ALLOW);
}

static void test_too_many(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        char path[PATH_SIZE];
        Reply *one = hear_until_open("microphone", 60);
        int first = agent.device;
        agent.device = -1;
        Reply *two = hear_until_open("camera", 0);
        CHECK_INT(shell.capturing, 1);
        CHECK(respond(&client, "camera", 0, path, &error) < 0);
        CHECK_STR(error.name, ERROR("Busy"));
        unsigned n = shell.n_properties;
        hang_up();
        check_end(two, ERROR("UnsupportedCapability"), "cannot see");
        CHECK_INT(capturing(&client), 1);
        CHECK_INT(shell.n_properties, n);       /* one is open still */
        close(first);
        check_end(one, ERROR("UnsupportedCapability"), "cannot hear");
        UNTIL(shell.n_properties == n + 1);
        CHECK_INT(capturing(&client), 0);
        sd_bus_error_free(&error);

        session_open(&client, 4, path);
        CHECK(call_session(&client, path, "Respond", &error, NULL, "a(sa{sv})a{sv}", 2, "camera", 0, "microphone", 0, 0) < 0);
        CHECK_STR(error.name, ERROR("InvalidInput"));
        sd_bus_error_free(&error);
        CHECK(call_session(&client, path, "Respond", &error, NULL, "a(sa{sv})a{sv}", 1, "microphone", 1, "seconds", "u", 301u, 0) < 0);
        CHECK_STR(error.name, ERROR("InvalidInput"));
}

static void test_no_stream(void) {
        unsigned n = shell.n_opened;
        agent.gives_file = true;
        check_end(hear("microphone", 5), ERROR("NoDevice"), "no stream");
        CHECK_INT(shell.n_opened, n);
        agent.gives_file = false;

        /* An agent that dies closes what it had open. */
        Reply *r = hear_until_open("microphone", 60);
        agent_done(&agent);
        for (time_t end = time(NULL) + 60; !r->n_finished && time(NULL) < end; )
                client_process(&client, 2000);
        CHECK_STR(r->error, ERROR("UnsupportedCapability"));
        CHECK_INT(capturing(&client), 0);
        client_done(&stranger.client);
        client_done(&shell.client);
        client_done(&client);
}

TEST_MAIN({ "nobody who could", test_nobody_opens }, { "open, shown, closed", test_open }, { "the time is up", test_time_is_up },
          { "a camera", test_camera }, { "cancelled", test_cancelled }, { "taken back", test_revoked }, { "asked for", test_asked },
          { "seconds of a day", test_quota }, { "how many", test_too_many }, { "what cannot be a device", test_no_stream })
