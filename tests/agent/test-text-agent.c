/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl agent on a pseudo-terminal, asked by a stand-in for sparkd; ask and chat with the real one:
 * tests/bus/test-consent.c. Run with the path of sparkctl. */

#include <signal.h>
#include <sys/wait.h>

#include "tests/agent/harness.h"
#include "tests/test.h"

static const char *sparkctl;
static char address[300];
static Bus bus;
static Sparkd sparkd;
static Terminal terminal;

static void start(const char *const *argv) {
        unsigned before = sparkd.n_registered;
        const char *const environment[] = { address, "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent", NULL };
        terminal_start(&terminal, argv, environment);
        UNTIL(sparkd.n_registered > before && terminal_shows(&terminal, "Questions will be asked here."));
        terminal_forget(&terminal);
}

static void begin(void) {
        sparkd_start(&sparkd, bus.address);
        start((const char *const[]) { sparkctl, "--user", "agent", NULL });
        CHECK_STR(sparkd.kind, "text");
}

static void test_answers(void) {
        static const struct { const char *typed, *answer; } table[] = {
                { "d\n", "deny" }, { "o\n", "once" }, { "s\n", "session" }, { "a\n", "always" }, { "n\n", "never" },
                { "Always\n", "always" }, { "  once \n", "once" }, { "\004", "deny" },
        };
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Asked a;
                sparkd_ask(&sparkd, &a, "1", "org.example.App", "generate");
                UNTIL(terminal_shows(&terminal, "within 60 seconds: "));
                CHECK(terminal_shows(&terminal, "May \u201corg.example.App\u201d ask the assistant?"));
                CHECK(terminal_shows(&terminal, "It is org.example.App, an application of your session, process 42."));
                CHECK(!a.ended);
                terminal_type(&terminal, table[i].typed);
                UNTIL(a.ended);
                CHECK_STR(a.answer, table[i].answer);
                terminal_forget(&terminal);
        }
}

static void test_nonsense_is_asked_again(void) {
        Asked a;
        sparkd_ask(&sparkd, &a, "1", "org.example.App", "microphone");
        UNTIL(terminal_shows(&terminal, "seconds: "));
        terminal_forget(&terminal);
        terminal_type(&terminal, "yes\n");
        UNTIL(terminal_shows(&terminal, "seconds: "));
        CHECK(!a.ended);
        terminal_type(&terminal, "\n");
        test_settle();
        CHECK(!a.ended);
        terminal_type(&terminal, "d\n");
        UNTIL(a.ended);
        CHECK_STR(a.answer, "deny");
        terminal_forget(&terminal);
}

static void test_typed_before(void) {
        Asked a;
        terminal_type(&terminal, "a\na\nalw");
        test_settle();
        sparkd_ask(&sparkd, &a, "1", "org.example.App", "generate");
        UNTIL(terminal_shows(&terminal, "seconds: "));
        test_settle();
        CHECK(!a.ended);
        terminal_type(&terminal, "o\n");
        UNTIL(a.ended);
        CHECK_STR(a.answer, "once");
        terminal_forget(&terminal);
}

static void test_one_after_the_other(void) {
        Asked a, b, c;
        sparkd_ask(&sparkd, &a, "a", "org.example.A", "generate");
        sparkd_ask(&sparkd, &b, "b", "org.example.B", "generate");
        sparkd_ask(&sparkd, &c, "c", "org.example.C", "generate");
        UNTIL(terminal_shows(&terminal, "example.A"));
        test_settle();
        CHECK(!terminal_shows(&terminal, "example.B"));
        sparkd_cancel(&sparkd, "b");
        UNTIL(b.ended);
        CHECK_STR(b.error, "org.spark.Assistant.Error.Cancelled");
        CHECK(!terminal_shows(&terminal, "withdrawn"));
        sparkd_cancel(&sparkd, "a");
        UNTIL(a.ended && terminal_shows(&terminal, "example.C"));
        CHECK(terminal_shows(&terminal, "withdrawn"));
        terminal_type(&terminal, "s\n");
        UNTIL(c.ended);
        CHECK_STR(c.answer, "session");
        CHECK(!terminal_shows(&terminal, "example.B"));
        terminal_forget(&terminal);
}

static void test_queue_has_an_end(void) {
        Asked a[17];
        char id[8];
        for (size_t i = 0; i < 17; i++) {
                snprintf(id, sizeof id, "%zu", i);
                sparkd_ask(&sparkd, &a[i], id, "org.example.A", "generate");
        }
        UNTIL(a[16].ended);
        CHECK_STR(a[16].error, "org.freedesktop.DBus.Error.LimitsExceeded");
        for (size_t i = 16; i-- > 0;) {
                snprintf(id, sizeof id, "%zu", i);
                sparkd_cancel(&sparkd, id);
        }
        UNTIL(a[0].ended && a[15].ended);
        terminal_forget(&terminal);
}

static void test_no_control_reaches_the_terminal(void) {
        Asked a;
        sparkd_ask(&sparkd, &a, "1", "a\033[2Jb\nMay c\r", "generate");
        UNTIL(terminal_shows(&terminal, "seconds: "));
        CHECK(terminal_shows(&terminal, "May \u201ca\ufffd[2Jb May c\u201d ask"));
        CHECK(!terminal_shows(&terminal, "\033[2J"));
        terminal_type(&terminal, "d\n");
        UNTIL(a.ended);
        terminal_forget(&terminal);
}

static void test_strangers_may_not_ask(void) {
        Asked a;
        Sparkd stranger = { .bus = bus_connect(bus.address) };
        memcpy(stranger.agent, sparkd.agent, sizeof stranger.agent);
        sparkd_ask(&stranger, &a, "1", "org.example.App", "generate");
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.freedesktop.DBus.Error.AccessDenied");
        sparkd_stop(&stranger);
}

static void test_sparkd_leaves(void) {
        Asked a;
        sparkd_ask(&sparkd, &a, "1", "org.example.App", "generate");
        UNTIL(terminal_shows(&terminal, "seconds: "));
        sparkd_stop(&sparkd);
        UNTIL(terminal_shows(&terminal, "sparkd has ended."));
        sparkd_start(&sparkd, bus.address);
        UNTIL(sparkd.n_registered == 1);
        terminal_forget(&terminal);
        sparkd_ask(&sparkd, &a, "1", "org.example.App", "generate");
        UNTIL(terminal_shows(&terminal, "seconds: "));
        terminal_type(&terminal, "d\n");
        UNTIL(a.ended);
        CHECK_STR(a.answer, "deny");
}

static void test_interrupt(void) {
        Asked a;
        terminal_forget(&terminal);
        sparkd_ask(&sparkd, &a, "1", "org.example.App", "generate");
        UNTIL(terminal_shows(&terminal, "seconds: "));
        terminal_type(&terminal, "\003");
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.spark.Assistant.Error.NoAgent");
        int status = terminal_end(&terminal);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        UNTIL(sparkd.n_unregistered == 1);
}

/* In the background it would be stopped by the kernel if it read, and take a line that was meant for the shell. */
static void test_background(void) {
        Asked a;
        char command[512];
        snprintf(command, sizeof command, "set -m; '%s' --user agent & wait", sparkctl);
        start((const char *const[]) { "bash", "-c", command, NULL });
        sparkd_ask(&sparkd, &a, "1", "org.example.App", "generate");
        UNTIL(a.ended);
        CHECK_STR(a.error, "org.spark.Assistant.Error.NoAgent");
        kill(terminal.pid, SIGKILL);
        terminal_end(&terminal);
}

static void test_no_terminal(void) {
        pid_t pid = fork();
        if (pid == 0) {
                setsid();
                putenv(address);
                fclose(stderr);
                execl(sparkctl, sparkctl, "--user", "agent", NULL);
                _exit(127);
        }
        int status = process_end(pid, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

int main(int argc, char **argv) {
        static const TestCase cases[] = {
                { "registers as a text agent", begin },
                { "each answer", test_answers },
                { "nonsense is asked again", test_nonsense_is_asked_again },
                { "what was typed before is no answer", test_typed_before },
                { "one after the other", test_one_after_the_other },
                { "a queue with an end", test_queue_has_an_end },
                { "no control reaches the terminal", test_no_control_reaches_the_terminal },
                { "strangers may not ask", test_strangers_may_not_ask },
                { "sparkd leaves, and comes again", test_sparkd_leaves },
                { "Ctrl-C ends it", test_interrupt },
                { "in the background it asks nobody", test_background },
                { "without a terminal it says so", test_no_terminal },
        };
        if (argc != 2)
                return 2;
        sparkctl = argv[1];
        setenv("LC_ALL", "C.UTF-8", 1);         /* the characters that are looked for */
        must(sd_event_default(&test_event), "event loop");
        bus_start(&bus);
        snprintf(address, sizeof address, "DBUS_SESSION_BUS_ADDRESS=%s", bus.address);
        int r = test_main(cases, ELEMENTSOF(cases));
        sparkd_stop(&sparkd);
        bus_stop(&bus);
        sd_event_unref(test_event);
        return r;
}
