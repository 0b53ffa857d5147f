/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two applications of one user, for every capability there is: what one may, the other may not, whichever way the rules have
 * it. Each is this very program under another name, which is its identity in sparkd --user; each answers one question a
 * line on its standard input. */

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "policy/capability.h"
#include "tests/bus/client.h"
#include "tests/bus/permissions.h"
#include "tests/test.h"

typedef struct App {
        char path[512];
        pid_t pid;
        FILE *to, *from;
} App;

#define N_APPS 5u                       /* the first two, and more where a crowd is wanted */
static App apps[N_APPS];
static TestClient client;

/* ---- as one of the applications ---- */

static int on_answered(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name, *answer;
        uint64_t request;
        if (sd_bus_message_read(m, "t", &request) > 0 && sd_bus_message_enter_container(m, 'a', "{ss}") > 0 &&
            sd_bus_message_enter_container(m, 'e', "ss") > 0 && sd_bus_message_read(m, "ss", &name, &answer) > 0)
                snprintf(userdata, 32, "%s", answer);
        return 0;
}

static void app_check(TestClient *c, const char *name) {
        sd_bus_message *reply = NULL;
        const char *state = "error";
        if (call_permissions(c, "Check", NULL, &reply, "sa{sv}", name, 0) >= 0)
                (void) sd_bus_message_read(reply, "s", &state);
        printf("%s\n", state);
        sd_bus_message_unref(reply);
}

static void app_request(TestClient *c, const char *name) {
        char answer[32] = "";
        sd_bus_slot *slot = NULL;
        sd_bus_match_signal(c->bus, &slot, "org.spark.Assistant", "/org/spark/Assistant", "org.spark.Assistant.Permissions", "Answered", on_answered, answer);
        if (call_permissions(c, "Request", NULL, NULL, "assa{sv}", 1, name, "", 0) >= 0)
                for (int i = 0; i < 200 && !answer[0]; i++)
                        client_process(c, 50000);
        printf("%s\n", answer);
        sd_bus_slot_unref(slot);
}

/* "generate" or "background": a real reply. */
static void app_ask(TestClient *c, const char *name) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = call_root(c, "Ask", &error, NULL, "sa{sv}", "Hello", 2, "max-tokens", "u", 2, "priority", "s",
                          strcmp(name, "background") == 0 ? "background" : "interactive");
        printf("%s\n", r >= 0 ? "allow" : strcmp(error.name, "org.spark.Assistant.Error.NotAllowed") == 0 ? "deny" : error.name);
}

static int app_main(void) {
        char line[256];
        TestClient c;
        client_init(&c);
        setvbuf(stdout, NULL, _IOLBF, 0);
        while (fgets(line, sizeof line, stdin)) {
                line[strcspn(line, "\n")] = '\0';
                char *name = strchr(line, ' ') + 1;
                (line[0] == 'c' ? app_check : line[0] == 'r' ? app_request : app_ask)(&c, name);
        }
        client_done(&c);
        return 0;
}

/* ---- as the test ---- */

static void app_start(App *a, const char *name) {
        char command[1200];
        int in[2], out[2];
        snprintf(a->path, sizeof a->path, "%s/%s", getenv("XDG_RUNTIME_DIR"), name);
        snprintf(command, sizeof command, "cp /proc/%d/exe '%s'", getpid(), a->path);
        CHECK_INT(system(command), 0);
        CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
        a->pid = fork();
        CHECK(a->pid >= 0);
        if (a->pid == 0) {
                dup2(in[0], STDIN_FILENO);
                dup2(out[1], STDOUT_FILENO);
                execl(a->path, a->path, "app", NULL);
                _exit(127);
        }
        close(in[0]);
        close(out[1]);
        a->to = fdopen(in[1], "w");
        a->from = fdopen(out[0], "r");
        CHECK(a->to && a->from);
}

static void put(App *a, const char *question, const char *name) {
        CHECK(fprintf(a->to, "%s %s\n", question, name) > 0 && fflush(a->to) == 0);
}

static void check_line(App *a, const char *question, const char *name, const char *wanted) {
        char line[256] = "";
        CHECK(fgets(line, sizeof line, a->from));
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, wanted) != 0)
                printf("# %s %s of %s\n", question, name, a->path);
        CHECK_STR(line, wanted);
}

static void check_answer(App *a, const char *question, const char *name, const char *wanted) {
        put(a, question, name);
        check_line(a, question, name, wanted);
}

static void test_start(void) {
        client_init(&client);
        static const char *const names[N_APPS] = { "editor", "game", "player", "reader", "writer" };
        for (size_t i = 0; i < N_APPS; i++)
                app_start(&apps[i], names[i]);
}

static const char *capability_name(Capability c) {
        return c == CAPABILITY_TOOL ? "tool:open-file" : capability_info(c)->name;
}

static void test_every_capability(void) {
        char rules[4096];
        for (unsigned c = 0; c < CAPABILITY_MAX_; c++)
                for (int allowed = 0; allowed < 2; allowed++) {
                        const char *name = capability_name((Capability) c);
                        snprintf(rules, sizeof rules, "[App *]\nAllow=generate\n[App %s]\nAllow=%s\n[App %s]\nDeny=%s\n",
                                 apps[allowed].path, name, apps[!allowed].path, name);
                        rules_write(rules);
                        rules_reload(&client);
                        for (int i = 0; i < 2; i++) {
                                const char *wanted = i == allowed ? "allow" : "deny";
                                check_answer(&apps[i], "check", name, wanted);
                                check_answer(&apps[i], "request", name, wanted);
                                if (c == CAPABILITY_GENERATE || c == CAPABILITY_BACKGROUND)
                                        check_answer(&apps[i], "ask", name, wanted);
                        }
                }
}

/* The user's word for one says nothing of the other. */
static void test_answers_are_an_apps_own(void) {
        rules_write("[App *]\nAsk=generate\n");
        rules_reload(&client);
        CHECK(call_permissions(&client, "Set", NULL, NULL, "sssa{sv}", apps[0].path, "generate", "always", 0) >= 0);
        check_answer(&apps[0], "ask", "generate", "allow");
        check_answer(&apps[1], "ask", "generate", "deny");
        CHECK(call_permissions(&client, "Set", NULL, NULL, "sssa{sv}", apps[0].path, "generate", "never", 0) >= 0);
        CHECK(call_permissions(&client, "Set", NULL, NULL, "sssa{sv}", apps[1].path, "generate", "always", 0) >= 0);
        check_answer(&apps[0], "ask", "generate", "deny");
        check_answer(&apps[1], "ask", "generate", "allow");
        static Listed l;
        list_permissions(&client, &l);
        CHECK(listed(&l, apps[0].path, "generate") && listed(&l, apps[1].path, "generate"));
}

/* However many applications want something, the user sees three questions at a time. */
static void test_a_crowd(void) {
        TestAgent agent;
        rules_write("[App *]\nAsk=camera\n");
        rules_reload(&client);
        agent_init(&agent);
        for (size_t i = 0; i < N_APPS; i++)
                put(&apps[i], "request", "camera");
        for (int i = 0; i < 200; i++)
                agent_process(&agent, 2000);
        CHECK_INT(agent.n_asked, 3);
        agent_answer(&agent, "deny");
        for (int i = 0; i < 200; i++)
                agent_process(&agent, 2000);
        CHECK_INT(agent.n_asked, 4);
        agent_done(&agent);                     /* nobody is left to ask the others */
        for (size_t i = 0; i < N_APPS; i++)
                check_line(&apps[i], "request", "camera", "deny");
}

static void test_leave(void) {
        for (size_t i = 0; i < N_APPS; i++) {
                int status;
                fclose(apps[i].to);
                fclose(apps[i].from);
                CHECK_INT(waitpid(apps[i].pid, &status, 0), apps[i].pid);
                CHECK_INT(status, 0);
        }
        client_done(&client);
}

int main(int argc, char **argv) {
        static const TestCase cases[] = {
                { "two applications", test_start }, { "every capability, both ways", test_every_capability },
                { "answers are an application's own", test_answers_are_an_apps_own }, { "a crowd", test_a_crowd }, { "they leave", test_leave },
        };
        return argc > 1 ? app_main() : test_main(cases, ELEMENTSOF(cases));
}
