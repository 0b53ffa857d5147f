/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Consent end to end: an app (sparkctl without a terminal) asks the real sparkd, which has the bus start the real spark-agent, which
 * shows a notification to a stand-in server, which clicks; or sparkctl asks on its own pseudo-terminal. Under tests/with-spark with
 * rules that ask, and a time-out of three seconds. */

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/agent/harness.h"
#include "tests/test.h"

typedef struct App {                       /* a program that asks, without a terminal */
        pid_t pid;
        char output[80], said[8192];
} App;

static NotificationServer server;
static char folder[] = "/tmp/spark-test-consent-XXXXXX", notes[64];
static unsigned n_apps;

/* ---- programs ---- */

static void app_start(App *a, const char *const *argv) {
        *a = (App) {};
        snprintf(a->output, sizeof a->output, "%s/output-%u", folder, ++n_apps);
        a->pid = fork();
        if (a->pid == 0) {
                int fd = open(a->output, O_RDWR | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_RDONLY);
                setsid();
                dup2(null, STDIN_FILENO);
                dup2(fd, STDOUT_FILENO);
                dup2(fd, STDERR_FILENO);
                execvp(argv[0], (char *const *) argv);
                _exit(127);
        }
}

/* Whether it has said that, so far. */
static bool app_said(App *a, const char *text) {
        _cleanup_close_ int fd = open(a->output, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, a->said, sizeof a->said - 1);
        a->said[n < 0 ? 0 : n] = 0;
        return strstr(a->said, text);
}

/* Its exit status; what it said is in a->said. */
static int app_end(App *a) {
        int status = process_end(a->pid, 0);
        app_said(a, "");
        unlink(a->output);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(a, ...) ({ app_start(a, (const char *const[]) { __VA_ARGS__, NULL }); app_end(a); })
#define SAYS(a, text)                                                   \
        do {                                                            \
                if (!strstr((a)->said, text))                           \
                        printf("# it said: %s\n", (a)->said);           \
                CHECK(strstr((a)->said, text));                         \
        } while (0)

static void ask_start(App *a) {
        app_start(a, (const char *const[]) { notes, "ask", "--max-tokens", "4", "Hello", NULL });
}

/* Asks, clicks the button, ends. */
static int ask_click(App *a, const char *key) {
        ask_start(a);
        UNTIL(server_count(&server) == 1);
        server_click(&server, server_find(&server, "notes")->id, key);
        int status = app_end(a);
        UNTIL(server_count(&server) == 0);
        return status;
}

static int ask_unasked(App *a) {
        unsigned before = server.n_shown;
        int status = RUN(a, notes, "ask", "--max-tokens", "4", "Hello");
        CHECK_INT(server.n_shown, before);
        return status;
}

static void forget(void) {
        App a;
        CHECK_INT(RUN(&a, "sparkctl", "permission", "reset", "--all"), 0);
        CHECK_INT(RUN(&a, "sparkctl", "permission", "reset", notes), 0);
}

/* ---- by notification ---- */

static void test_once(void) {
        App a;
        ask_start(&a);
        UNTIL(server_count(&server) == 1);      /* nobody started the agent but the bus */
        Shown *n = server_find(&server, "ask the assistant?");
        CHECK(n && strstr(n->title, notes));
        char process[64];
        snprintf(process, sizeof process, "a program, process %d.", (int) a.pid);
        CHECK(strstr(n->body, process));
        CHECK(strstr(n->body, "Known by its file alone"));
        server_click(&server, n->id, "once");
        CHECK_INT(app_end(&a), 0);
        CHECK_INT(ask_click(&a, "once"), 0);    /* once is once */
}

static void test_session(void) {
        App a;
        CHECK_INT(ask_click(&a, "session"), 0);
        CHECK_INT(ask_unasked(&a), 0);
        CHECK_INT(RUN(&a, "sparkctl", "permission", "list", "--json", notes), 0);
        SAYS(&a, "\"session\"");
        forget();
}

static void test_deny(void) {
        App a;
        CHECK_INT(ask_click(&a, "deny"), 4);
        SAYS(&a, "Not allowed");
        CHECK_INT(ask_unasked(&a), 4);          /* not again at once */
        SAYS(&a, "asked again in");
        forget();
        ask_start(&a);
        UNTIL(server_count(&server) == 1);
        server_close(&server, server_find(&server, "notes")->id, 2);
        CHECK_INT(app_end(&a), 4);
        forget();
}

static void test_always_and_never(void) {
        App a;
        CHECK_INT(ask_click(&a, "always"), 0);
        CHECK_INT(ask_unasked(&a), 0);
        CHECK_INT(RUN(&a, "sparkctl", "permission", "list"), 0);
        SAYS(&a, "always");
        CHECK_INT(RUN(&a, "sparkctl", "permission", "set", notes, "generate", "never"), 0);
        CHECK_INT(ask_unasked(&a), 4);
        SAYS(&a, "sparkctl permission reset");
        CHECK_INT(RUN(&a, "sparkctl", "permission", "reset", notes, "generate"), 0);
        SAYS(&a, "1 answer taken back.");
        CHECK_INT(ask_click(&a, "once"), 0);
}

static void test_nobody_answers(void) {
        App a;
        ask_start(&a);
        UNTIL(server_count(&server) == 1);
        CHECK_INT(app_end(&a), 4);
        SAYS(&a, "nobody answered");
        UNTIL(server_count(&server) == 0);
        forget();
}

static void test_asker_leaves(void) {
        App a;
        ask_start(&a);
        UNTIL(server_count(&server) == 1);
        kill(a.pid, SIGKILL);
        app_end(&a);
        UNTIL(server_count(&server) == 0);
}

static pid_t agent_pid(void) {
        sd_bus_creds *creds = NULL;
        pid_t pid = 0;
        sd_bus *bus = NULL;
        must(sd_bus_open_user(&bus), "bus");
        if (sd_bus_get_name_creds(bus, "org.spark.Assistant.Agent", SD_BUS_CREDS_PID, &creds) >= 0)
                sd_bus_creds_get_pid(creds, &pid);
        sd_bus_creds_unref(creds);
        sd_bus_flush_close_unref(bus);
        return pid;
}

static void test_agent_dies(void) {
        App a;
        ask_start(&a);
        UNTIL(server_count(&server) == 1);
        pid_t pid = agent_pid();
        CHECK(pid > 0);
        kill(pid, SIGKILL);
        CHECK_INT(app_end(&a), 4);
        SAYS(&a, "sparkctl agent");
        /* What it showed stays on the screen, and leads nowhere. */
        server_click(&server, server_find(&server, "notes")->id, "always");
        server_close(&server, server_find(&server, "notes")->id, 2);
        CHECK_INT(ask_click(&a, "once"), 0);    /* the bus starts another one */
}

/* ---- on a terminal ---- */

static Terminal terminal;

static void on_terminal(const char *const *argv) {
        terminal_start(&terminal, argv, NULL);
}

static void test_terminal_ask(void) {
        unsigned before = server.n_shown;
        on_terminal((const char *const[]) { notes, "ask", "--max-tokens", "4", "Hello", NULL });
        UNTIL(terminal_shows(&terminal, "within 3 seconds: "));
        CHECK(terminal_shows(&terminal, "ask the assistant?"));
        terminal_type(&terminal, "o\n");
        int status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

        on_terminal((const char *const[]) { notes, "ask", "--max-tokens", "4", "Hello", NULL });
        UNTIL(terminal_shows(&terminal, "within 3 seconds: "));
        terminal_type(&terminal, "d\n");
        UNTIL(terminal_shows(&terminal, "Not allowed"));
        status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 4);
        CHECK_INT(server.n_shown, before);
        forget();
}

static void test_terminal_interrupt(void) {
        on_terminal((const char *const[]) { notes, "ask", "--max-tokens", "4", "Hello", NULL });
        UNTIL(terminal_shows(&terminal, "within 3 seconds: "));
        terminal_type(&terminal, "\003");
        int status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 130);
        forget();
}

static void test_terminal_time_out(void) {
        on_terminal((const char *const[]) { notes, "ask", "--max-tokens", "4", "Hello", NULL });
        UNTIL(terminal_shows(&terminal, "within 3 seconds: "));
        UNTIL(terminal_shows(&terminal, "(withdrawn") && terminal_shows(&terminal, "nobody answered"));
        int status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 4);
        forget();
}

static void test_terminal_no_agent(void) {
        on_terminal((const char *const[]) { notes, "ask", "--no-agent", "--max-tokens", "4", "Hello", NULL });
        UNTIL(server_count(&server) == 1);
        CHECK(!terminal_shows(&terminal, "seconds: "));
        server_click(&server, server_find(&server, "notes")->id, "once");
        int status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_terminal_chat(void) {
        on_terminal((const char *const[]) { notes, "chat", "--no-history", "--max-tokens", "4", NULL });
        UNTIL(terminal_shows(&terminal, "/help says more."));
        terminal_type(&terminal, "Hello\n");
        UNTIL(terminal_shows(&terminal, "within 3 seconds: "));
        terminal_forget(&terminal);
        terminal_type(&terminal, "s\n");
        UNTIL(terminal_shows(&terminal, "> "));
        /* Between turns it is no agent: the desktop's is asked about others. */
        App other;
        char program[80];
        snprintf(program, sizeof program, "%s/other", folder);
        app_start(&other, (const char *const[]) { program, "ask", "--max-tokens", "4", "Hello", NULL });
        UNTIL(server_count(&server) == 1);
        CHECK(server_find(&server, program));
        server_click(&server, server_find(&server, program)->id, "once");
        CHECK_INT(app_end(&other), 0);
        terminal_type(&terminal, "\004");
        int status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        forget();
}

static void test_sparkctl_agent(void) {
        App a;
        on_terminal((const char *const[]) { "sparkctl", "agent", NULL });
        UNTIL(terminal_shows(&terminal, "Questions will be asked here."));
        ask_start(&a);
        UNTIL(terminal_shows(&terminal, "within 3 seconds: "));
        CHECK(terminal_shows(&terminal, notes));
        terminal_type(&terminal, "once\n");
        CHECK_INT(app_end(&a), 0);
        terminal_type(&terminal, "\003");
        int status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK_INT(ask_click(&a, "once"), 0);    /* the desktop's again */
}

/* ---- looking back, and at the rules ---- */

static void test_ledger(void) {
        App a;
        CHECK_INT(RUN(&a, "sparkctl", "ledger", "--since", "1h"), 0);
        SAYS(&a, "TIME");
        SAYS(&a, notes);
        SAYS(&a, "generate");
        CHECK_INT(RUN(&a, "sparkctl", "ledger", "--json", "--app", "org.example.Nobody"), 0);
        SAYS(&a, "\"uses\": []");
        CHECK_INT(RUN(&a, "sparkctl", "ledger", "--json", "--app", notes, "--since", "today"), 0);
        SAYS(&a, "\"generated-tokens\": ");
        SAYS(&a, "\"deny\"");
        CHECK(!strstr(a.said, "Hello"));
}

static void test_policy(void) {
        App a;
        CHECK_INT(RUN(&a, "sparkctl", "policy", "explain", notes, "generate"), 0);
        SAYS(&a, "consent.conf:");
        CHECK_INT(RUN(&a, "sparkctl", "policy", "explain", "--json", notes, "remote"), 0);
        SAYS(&a, "\"deny\"");
        CHECK_INT(RUN(&a, "sparkctl", "policy", "explain", notes, "smell"), 1);
        CHECK_INT(RUN(&a, "sparkctl", "policy", "check"), 1);
        SAYS(&a, "consent.conf:");
        SAYS(&a, "'sing'");
        CHECK_INT(RUN(&a, "sparkctl", "permission", "set", notes, "smell", "never"), 1);
}

static void test_monitor(void) {
        App a, m;
        app_start(&m, (const char *const[]) { "sparkctl", "monitor", NULL });
        ask_start(&a);
        UNTIL(server_count(&server) == 1);
        UNTIL(app_said(&m, " generate asking interactive "));
        on_terminal((const char *const[]) { "sparkctl", "monitor", NULL });
        UNTIL(terminal_shows(&terminal, "CAPABILITY") && terminal_shows(&terminal, notes) && terminal_shows(&terminal, "asking"));
        terminal_type(&terminal, "\003");
        int status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        server_click(&server, server_find(&server, "notes")->id, "once");
        CHECK_INT(app_end(&a), 0);
        UNTIL(app_said(&m, " end "));
        kill(m.pid, SIGINT);
        CHECK_INT(app_end(&m), 0);
        SAYS(&m, " begin ");
        CHECK(!strchr(m.said, '\033'));
}

static void copy_sparkctl(const char *name) {
        char command[512];
        snprintf(command, sizeof command, "cp \"$(command -v sparkctl)\" %s/%s", folder, name);
        must(system(command) == 0 ? 0 : -EIO, "copy of sparkctl");
}

int main(int argc, char **argv) {
        static const TestCase cases[] = {
                { "once; the bus starts the agent", test_once },
                { "for this session", test_session },
                { "deny, and closing", test_deny },
                { "always, never, and taken back", test_always_and_never },
                { "nobody answers", test_nobody_answers },
                { "whoever asked leaves", test_asker_leaves },
                { "the agent dies while it asks", test_agent_dies },
                { "sparkctl ask on a terminal", test_terminal_ask },
                { "Ctrl-C at the question", test_terminal_interrupt },
                { "nobody answers on the terminal", test_terminal_time_out },
                { "--no-agent leaves it to the desktop's", test_terminal_no_agent },
                { "sparkctl chat on a terminal", test_terminal_chat },
                { "sparkctl agent for others", test_sparkctl_agent },
                { "sparkctl ledger", test_ledger },
                { "sparkctl policy", test_policy },
                { "sparkctl monitor", test_monitor },
        };
        const char *address = getenv("DBUS_SESSION_BUS_ADDRESS");
        must(address && mkdtemp(folder) ? 0 : -EINVAL, "to be run under tests/with-spark");
        snprintf(notes, sizeof notes, "%s/notes", folder);
        copy_sparkctl("notes");
        copy_sparkctl("other");
        must(sd_event_default(&test_event), "event loop");
        server_start(&server, address, "actions body body-markup");
        int r = test_main(cases, ELEMENTSOF(cases));
        pid_t agent = agent_pid();
        if (agent > 0)
                kill(agent, SIGTERM);
        server_stop(&server);
        sd_event_unref(test_event);
        return r;
}
