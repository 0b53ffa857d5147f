/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* spark-agent on private buses, asked by a stand-in for sparkd; with the real one: tests/bus/test-consent.c. Run with the
 * paths of spark-agent and of the stand-in for its dialog. */

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/agent/harness.h"
#include "tests/test.h"

#define ALL "actions body body-markup"

static const char *agent_program, *dialog_program;
static Bus session, other;
static NotificationServer server;
static PermissionStore store;
static Sparkd sparkd;
static pid_t agent;
static char folder[] = "/tmp/spark-test-agent-XXXXXX";
static char data_home[128];

static void ask(Asked *a, const char *id, const char *app) {
        sparkd_ask(&sparkd, a, id, app, "generate");
}

static void cancel(const char *id) {
        sparkd_cancel(&sparkd, id);
}

/* A fresh one, registered. */
static void restart_agent(const char *const *environment) {
        if (agent > 0)
                process_end(agent, SIGTERM);
        unsigned before = sparkd.n_registered;
        const char *all[4] = { data_home };
        for (size_t i = 0; environment && environment[i]; i++)
                all[i + 1] = environment[i];
        agent = agent_start(agent_program, dialog_program, session.address, other.address, all);
        UNTIL(sparkd.n_registered > before);
}

static void begin(void) {
        sparkd_start(&sparkd, session.address);
        server_start(&server, session.address, ALL);
        restart_agent(NULL);
        CHECK_STR(sparkd.kind, "desktop");
}

/* ---- */

static void test_clicks(void) {
        Asked a;
        for (const char *const *key = (const char *const[]) { "deny", "once", "session", "always", NULL }; *key; key++) {
                ask(&a, "1", "org.example.Notes");
                UNTIL(server_count(&server) == 1);
                Shown *n = server_find(&server, "May \u201cNotes<i>\u201d ask the assistant?");
                CHECK(n);
                CHECK_STR(n->actions, "deny=Deny;once=Allow once;session=Allow for this session;always=Always allow;");
                CHECK_INT(n->urgency, 2);
                CHECK(strstr(n->body, "It is org.example.Notes, an application of your session, process 42."));
                server_click(&server, n->id, *key);
                UNTIL(a.ended && server_count(&server) == 0);
                CHECK_STR(a.answer, *key);
        }
}

static void test_closing_denies(void) {
        Asked a;
        ask(&a, "1", "org.example.App");
        UNTIL(server_count(&server) == 1);
        uint32_t id = server_find(&server, "org.example.App")->id;
        server_click(&server, id, "default");          /* on the text: no answer */
        server_click(&server, id + 1, "always");       /* not ours */
        server_close(&server, id + 1, 2);
        test_settle();
        CHECK(!a.ended);
        server_close(&server, id, 2);
        UNTIL(a.ended);
        CHECK_STR(a.answer, "deny");
}

static void test_forged_click(void) {
        Asked a;
        ask(&a, "1", "org.example.App");
        UNTIL(server_count(&server) == 1);
        sd_bus *stranger = bus_connect(session.address);
        must(sd_bus_emit_signal(stranger, "/org/freedesktop/Notifications", "org.freedesktop.Notifications", "ActionInvoked", "us",
                                server_find(&server, "App")->id, "always"), "signal");
        test_settle();
        CHECK(!a.ended);
        server_click(&server, server_find(&server, "App")->id, "deny");
        UNTIL(a.ended && server_count(&server) == 0);
        CHECK_STR(a.answer, "deny");
        sd_bus_flush_close_unref(stranger);
}

static void test_strangers_may_not_ask(void) {
        Asked a;
        Sparkd stranger = { .bus = bus_connect(session.address) };
        memcpy(stranger.agent, sparkd.agent, sizeof stranger.agent);
        sparkd_ask(&stranger, &a, "1", "org.example.App", "generate");
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.freedesktop.DBus.Error.AccessDenied");
        CHECK_INT(server_count(&server), 0);
        sparkd_stop(&stranger);
}

static void test_markup(void) {
        Asked a;
        sparkd_ask(&sparkd, &a, "1", "a<b>&\033x", "generate");
        UNTIL(server_count(&server) == 1);
        Shown *n = server_find(&server, "a<b>&\xef\xbf\xbdx");
        CHECK(n && strstr(n->body, "a&lt;b&gt;&amp;\xef\xbf\xbdx") && !strchr(n->body, '<'));
        server_click(&server, n->id, "deny");
        UNTIL(a.ended && server_count(&server) == 0);

        server.capabilities = "body actions";
        sparkd_ask(&sparkd, &a, "1", "a<b>", "generate");
        UNTIL(server_count(&server) == 1);
        n = server_find(&server, "a<b>");
        CHECK(n && strstr(n->body, "It is a<b>, "));
        server_click(&server, n->id, "deny");
        UNTIL(a.ended && server_count(&server) == 0);
        server.capabilities = ALL;
}

static void test_nonsense(void) {
        Asked a;
        a = (Asked) {};
        must(sd_bus_call_method_async(sparkd.bus, NULL, sparkd.agent, "/org/spark/Assistant/Agent", "org.spark.Assistant.Agent",
                                      "RequestConsent", sparkd_on_answer, &a, "sa{sv}", "1", 2, "app", "u", 7u, "capabilities", "s", "generate"), "call");
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.freedesktop.DBus.Error.InvalidArgs");
        ask(&a, "", "");
        UNTIL(server_count(&server) == 1);
        Asked twice;
        ask(&twice, "", "");
        UNTIL(twice.ended);
        CHECK_STR(twice.error, "org.freedesktop.DBus.Error.InvalidArgs");
        cancel("");
        UNTIL(a.ended && server_count(&server) == 0);
}

static void test_queue(void) {
        Asked a[17];
        ask(&a[0], "0", "org.example.A");
        ask(&a[1], "1", "org.example.A");
        ask(&a[2], "2", "org.example.B");
        ask(&a[3], "3", "org.example.C");
        ask(&a[4], "4", "org.example.D");
        UNTIL(server_count(&server) == 3);
        test_settle();
        CHECK_INT(server_count(&server), 3);           /* A once, B, C; D waits for room */
        CHECK(!server_find(&server, "example.D"));

        server_click(&server, server_find(&server, "example.A")->id, "once");
        UNTIL(a[0].ended && server_count(&server) == 3);
        CHECK(server_find(&server, "example.A"));      /* its second, which came before D */
        server_click(&server, server_find(&server, "example.B")->id, "once");
        UNTIL(a[2].ended && server_count(&server) == 3);
        CHECK(server_find(&server, "example.D"));

        static const char ids[][4] = { "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18" };
        Asked more[14];
        for (size_t i = 0; i < 13; i++)
                ask(&more[i], ids[i], "org.example.A");
        ask(&more[13], ids[13], "org.example.E");      /* the 17th that waits */
        UNTIL(more[13].ended);
        CHECK_STR(more[13].error, "org.freedesktop.DBus.Error.LimitsExceeded");
        for (size_t i = 0; i < 13; i++)
                cancel(ids[i]);
        for (const char *const *id = (const char *const[]) { "1", "3", "4", NULL }; *id; id++)
                cancel(*id);
        UNTIL(a[1].ended && a[3].ended && a[4].ended && more[12].ended);
        CHECK_STR(a[1].error, "org.spark.Assistant.Error.Cancelled");
        CHECK_STR(more[0].error, "org.spark.Assistant.Error.Cancelled");
        UNTIL(server_count(&server) == 0);
}

static void test_cancel_withdraws(void) {
        Asked a, b;
        unsigned before = server.n_withdrawn;
        ask(&a, "a", "org.example.App");
        ask(&b, "b", "org.example.App");
        UNTIL(server_count(&server) == 1);
        cancel("a");
        UNTIL(a.ended && server.n_withdrawn == before + 1);
        CHECK_STR(a.error, "org.spark.Assistant.Error.Cancelled");
        UNTIL(server_count(&server) == 1);             /* b's turn */
        CHECK(!b.ended);
        cancel("no such");
        cancel("b");
        UNTIL(b.ended && server_count(&server) == 0);
        /* Withdrawn before it could be shown. */
        ask(&a, "a", "org.example.App");
        cancel("a");
        UNTIL(a.ended);
        test_settle();
        CHECK_INT(server_count(&server), 0);
}

static void test_mirror(void) {
        Asked a;
        store_start(&store, session.address);
        for (const char *const *key = (const char *const[]) { "once", "always", "deny", NULL }; *key; key++) {
                sparkd_ask(&sparkd, &a, "1", "org.example.App", "tool:clock");
                UNTIL(server_count(&server) == 1);
                server_click(&server, server_find(&server, "App")->id, *key);
                UNTIL(a.ended && server_count(&server) == 0);
        }
        UNTIL(store.log[0]);
        test_settle();
        CHECK_STR(store.log, "spark/tool:clock/org.example.App=yes;");
        store.bus = sd_bus_flush_close_unref(store.bus);
}

static void test_nobody_to_ask(void) {
        Asked a;
        server.capabilities = "body body-markup";      /* no buttons */
        ask(&a, "1", "org.example.App");
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.spark.Assistant.Error.NoAgent");
        server.capabilities = ALL;

        ask(&a, "1", "org.example.App");
        UNTIL(server_count(&server) == 1);
        server_close(&server, server_find(&server, "App")->id, 1);     /* expired */
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.spark.Assistant.Error.NoAgent");

        ask(&a, "1", "org.example.App");
        UNTIL(server_count(&server) == 1);
        server_stop(&server);                          /* it crashed */
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.spark.Assistant.Error.NoAgent");
        ask(&a, "1", "org.example.App");
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.spark.Assistant.Error.NoAgent");
        server_start(&server, session.address, ALL);
}

static void test_sparkd_leaves(void) {
        Asked a;
        ask(&a, "1", "org.example.App");
        ask(&a, "2", "org.example.App");
        UNTIL(server_count(&server) == 1);
        sparkd_stop(&sparkd);
        UNTIL(server_count(&server) == 0);
        test_settle();
        CHECK_INT(server_count(&server), 0);
        sparkd_start(&sparkd, session.address);
        UNTIL(sparkd.n_registered == 1);
}

static void test_system_bus(void) {
        Sparkd system = {};
        Asked a;
        sparkd_start(&system, other.address);
        UNTIL(system.n_registered == 1);
        sparkd_ask(&system, &a, "1", "org.example.App", "generate");
        UNTIL(server_count(&server) == 1);
        server_click(&server, server_find(&server, "App")->id, "session");
        UNTIL(a.ended && server_count(&server) == 0);
        CHECK_STR(a.answer, "session");
        sparkd_stop(&system);
}

static void test_agent_ends(void) {
        Asked a;
        ask(&a, "1", "org.example.App");
        UNTIL(server_count(&server) == 1);
        int status = process_end(agent, SIGTERM);
        agent = 0;
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        UNTIL(a.ended && server_count(&server) == 0);
        CHECK_STR(a.error, "org.spark.Assistant.Error.Cancelled");
        restart_agent(NULL);
}

static void test_one_a_session(void) {
        pid_t second = agent_start(agent_program, dialog_program, session.address, other.address, NULL);
        int status = process_end(second, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK(waitpid(agent, &status, WNOHANG) == 0);
}

/* The stand-in dialog answers as its DISPLAY says. */
static void test_dialog(void) {
        static const struct { const char *display, *answer, *error; } table[] = {
                { "DISPLAY=:answer-never",   "never", "" },
                { "DISPLAY=:answer-once",    "once",  "" },
                { "DISPLAY=:answer-maybe",   "",      "org.spark.Assistant.Error.NoAgent" },
                { "DISPLAY=:fail",           "",      "org.spark.Assistant.Error.NoAgent" },
        };
        Asked a;
        server_stop(&server);
        store.log[0] = 0;
        store_start(&store, session.address);
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                restart_agent((const char *const[]) { table[i].display, NULL });
                ask(&a, "1", "org.example.App");
                UNTIL(a.ended);
                CHECK_STR(a.answer, table[i].answer);
                CHECK_STR(a.error, table[i].error);
        }
        UNTIL(store.log[0]);
        CHECK_STR(store.log, "spark/generate/org.example.App=no;");

        char words[128], environment[160];
        snprintf(words, sizeof words, "%s/words", folder);
        snprintf(environment, sizeof environment, "STAND_IN_WORDS=%s", words);
        restart_agent((const char *const[]) { "DISPLAY=:wait", environment, NULL });
        ask(&a, "1", "org.example.App");
        UNTIL(access(words, F_OK) == 0);
        cancel("1");
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.spark.Assistant.Error.Cancelled");
        UNTIL(access(words, F_OK) < 0);                /* it takes the file away when it is told to end */
        server_start(&server, session.address, ALL);
}

static void end(void) {
        CHECK_INT(process_end(agent, SIGTERM), 0);
        server_stop(&server);
        sparkd_stop(&sparkd);
        bus_stop(&session);
        bus_stop(&other);
}

/* "KIND APP CERTAINTY", or the error's name. */
static void identify(int fd, char ret[512]) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *kind, *app, *certainty;
        sd_bus_message *reply = NULL;

        if (sd_bus_call_method(sparkd.bus, sparkd.agent, "/org/spark/Assistant/Agent", "org.spark.Assistant.Agent", "Identify", &error, &reply, "ha{sv}", fd, 0) < 0)
                snprintf(ret, 512, "%s", error.name);
        else if (sd_bus_message_read(reply, "sss", &kind, &app, &certainty) > 0)
                snprintf(ret, 512, "%s %s %s", kind, app, certainty);
        sd_bus_message_unref(reply);
}

/* What it says of processes in units and sandboxes takes a booted system: tests/install/identity_cases.py. */
static void test_identify(void) {
        char said[512];
        _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        pid_t pid = fork();
        if (pid == 0) {
                pause();
                _exit(0);
        }
        _cleanup_close_ int child = (int) syscall(SYS_pidfd_open, pid, 0);
        CHECK(child >= 0 && null >= 0);
        identify(child, said);
        CHECK(!strstr(said, "sandboxed") && !strstr(said, "Error"));
        identify(null, said);
        CHECK_STR(said, "org.freedesktop.DBus.Error.InvalidArgs");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        identify(child, said);
        CHECK_STR(said, "org.freedesktop.DBus.Error.InvalidArgs");
}

static void write_desktop_file(void) {
        char path[256];
        static const char text[] = "[Desktop Entry]\nType=Application\nName=Notes<i>\nExec=true\n";
        snprintf(path, sizeof path, "%s/applications", folder);
        must(mkdir(path, 0700) < 0 ? -errno : 0, "mkdir");
        snprintf(path, sizeof path, "%s/applications/org.example.Notes.desktop", folder);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        must(fd < 0 || write(fd, text, sizeof text - 1) < 0 ? -errno : 0, "desktop file");
        snprintf(data_home, sizeof data_home, "XDG_DATA_HOME=%s", folder);
}

int main(int argc, char **argv) {
        static const TestCase cases[] = {
                { "registers as the desktop's agent", begin },
                { "each button", test_clicks },
                { "closing denies, this once", test_closing_denies },
                { "a click that another program sends", test_forged_click },
                { "strangers may not ask", test_strangers_may_not_ask },
                { "says who a process is", test_identify },
                { "text is text", test_markup },
                { "questions without sense", test_nonsense },
                { "one prompt an app, a queue with an end", test_queue },
                { "Cancel withdraws", test_cancel_withdraws },
                { "the portal's permission store", test_mirror },
                { "nobody to ask", test_nobody_to_ask },
                { "sparkd leaves", test_sparkd_leaves },
                { "the system bus' sparkd", test_system_bus },
                { "the agent ends while it asks", test_agent_ends },
                { "one agent a session", test_one_a_session },
                { "the dialog", test_dialog },
                { "ends without a fault", end },
        };
        if (argc != 3)
                return 2;
        agent_program = argv[1];
        dialog_program = argv[2];
        must(sd_event_default(&test_event), "event loop");
        if (!mkdtemp(folder))
                must(-errno, "mkdtemp");
        write_desktop_file();
        bus_start(&session);
        bus_start(&other);
        int r = test_main(cases, ELEMENTSOF(cases));
        sd_event_unref(test_event);
        return r;
}
