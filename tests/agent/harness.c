/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See harness.h. The stand-ins do what the specifications ask of the real ones, and keep what they were told. */

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "basic/cleanup.h"
#include "tests/agent/harness.h"

#define AGENT_PATH "/org/spark/Assistant/Agent"

sd_event *test_event;

void must(int r, const char *what) {
        if (r >= 0)
                return;
        printf("Bail out! %s: %s\n", what, strerror(-r));
        exit(1);
}

uint64_t test_now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

void test_turn(uint64_t end, const char *file, int line, const char *what) {
        if (test_now() > end) {
                printf("Bail out! %s:%d: waited in vain for: %s\n", file, line, what);
                exit(1);
        }
        must(sd_event_run(test_event, 100000), "event loop");
}

void test_settle(void) {
        for (int i = 0; i < 10; i++)
                must(sd_event_run(test_event, 20000), "event loop");
}

/* ---- processes ---- */

/* In the child: nothing that a test has started outlives it, however it ends. */
static void end_with_test(void) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void bus_start(Bus *b) {
        static const char config[] =
                "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
                "  \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
                "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>\n"
                "<policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy>\n"
                "</busconfig>\n";
        char file[] = "/tmp/spark-test-bus-XXXXXX";
        _cleanup_close_ int fd = mkostemp(file, O_CLOEXEC);
        int out[2];
        if (fd < 0 || write(fd, config, sizeof config - 1) < 0 || pipe(out) < 0)
                must(-errno, "bus");
        b->pid = fork();
        if (b->pid == 0) {
                end_with_test();
                _cleanup_free_ char *config_option = NULL, *print = NULL;
                if (asprintf(&config_option, "--config-file=%s", file) > 0 && asprintf(&print, "--print-address=%d", out[1]) > 0)
                        execlp("dbus-daemon", "dbus-daemon", config_option, "--nofork", "--nopidfile", print, NULL);
                _exit(127);
        }
        close(out[1]);
        ssize_t n = read(out[0], b->address, sizeof b->address - 1);
        close(out[0]);
        unlink(file);
        must(n > 0 ? 0 : -EIO, "dbus-daemon");
        b->address[n] = 0;
        b->address[strcspn(b->address, "\n")] = 0;
}

int process_end(pid_t pid, int signo) {
        int status = 0;
        if (signo)
                kill(pid, signo);
        uint64_t end = test_now() + 20000000;
        pid_t r;
        while ((r = waitpid(pid, &status, WNOHANG)) == 0)
                test_turn(end, __FILE__, __LINE__, "a process to end");
        must(r < 0 ? -errno : 0, "waitpid");
        return status;
}

void bus_stop(Bus *b) {
        process_end(b->pid, SIGTERM);
        *b = (Bus) {};
}

sd_bus *bus_connect(const char *address) {
        sd_bus *bus = NULL;
        must(sd_bus_new(&bus), "bus");
        must(sd_bus_set_address(bus, address), "bus");
        must(sd_bus_set_bus_client(bus, true), "bus");
        must(sd_bus_start(bus), "bus");
        must(sd_bus_attach_event(bus, test_event, 0), "bus");
        return bus;
}

pid_t agent_start(const char *program, const char *dialog, const char *session, const char *system, const char *const *environment) {
        pid_t pid = fork();
        if (pid != 0)
                return pid;
        end_with_test();
        unsetenv("DISPLAY");
        unsetenv("WAYLAND_DISPLAY");
        setenv("DBUS_SESSION_BUS_ADDRESS", session, true);
        setenv("DBUS_SYSTEM_BUS_ADDRESS", system, true);
        for (; environment && *environment; environment++)
                putenv((char *) *environment);
        execl(program, program, "--dialog", dialog, NULL);
        _exit(127);
}

/* ---- sparkd ---- */

static int on_register(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Sparkd *s = userdata;
        const char *path, *key, *kind;
        must(sd_bus_message_read(m, "oa{sv}", &path, 1, &key, "s", &kind), "RegisterAgent");
        must(strcmp(path, AGENT_PATH) == 0 && strcmp(key, "kind") == 0 ? 0 : -EBADMSG, "RegisterAgent");
        snprintf(s->agent, sizeof s->agent, "%s", sd_bus_message_get_sender(m));
        snprintf(s->kind, sizeof s->kind, "%s", kind);
        s->n_registered++;
        return sd_bus_reply_method_return(m, "");
}

static int on_unregister(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        ((Sparkd *) userdata)->n_unregistered++;
        return sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable permissions_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("RegisterAgent", "oa{sv}", "", on_register, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("UnregisterAgent", "o", "", on_unregister, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

void sparkd_start(Sparkd *s, const char *address) {
        *s = (Sparkd) { .bus = bus_connect(address) };
        must(sd_bus_add_object_vtable(s->bus, NULL, "/org/spark/Assistant", "org.spark.Assistant.Permissions", permissions_vtable, s),
             "sparkd");
        must(sd_bus_request_name(s->bus, "org.spark.Assistant", 0), "sparkd");
}

void sparkd_stop(Sparkd *s) {
        s->bus = sd_bus_flush_close_unref(s->bus);
}

int sparkd_on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Asked *a = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        const char *answer = "";
        if (e)
                snprintf(a->error, sizeof a->error, "%s", e->name);
        else
                must(sd_bus_message_read(m, "s", &answer), "answer");
        snprintf(a->answer, sizeof a->answer, "%s", answer);
        a->ended = true;
        return 0;
}

void sparkd_ask(Sparkd *s, Asked *a, const char *id, const char *app, const char *capability) {
        *a = (Asked) {};
        must(sd_bus_call_method_async(s->bus, NULL, s->agent, AGENT_PATH, "org.spark.Assistant.Agent", "RequestConsent",
                                      sparkd_on_answer, a, "sa{sv}", id, 6, "seconds", "u", 60u, "app", "s", app, "kind", "s", "scope", "certainty", "s",
                                      "unit", "pid", "u", 42u, "capabilities", "as", 1, capability), "RequestConsent");
}

void sparkd_cancel(Sparkd *s, const char *id) {
        must(sd_bus_call_method_async(s->bus, NULL, s->agent, AGENT_PATH, "org.spark.Assistant.Agent", "Cancel", NULL, NULL, "s", id),
             "Cancel");
}

/* ---- terminal ---- */

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Terminal *t = userdata;
        ssize_t n = read(fd, t->seen + t->n_seen, sizeof t->seen - 1 - t->n_seen);
        if (n <= 0)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        t->n_seen += (size_t) n;
        t->seen[t->n_seen] = 0;
        return 0;
}

void terminal_start(Terminal *t, const char *const *argv, const char *const *environment) {
        *t = (Terminal) { .fd = -1 };
        t->pid = forkpty(&t->fd, NULL, NULL, NULL);
        if (t->pid == 0) {
                end_with_test();
                setenv("TERM", "dumb", true);
                for (; environment && *environment; environment++)
                        putenv((char *) *environment);
                execvp(argv[0], (char *const *) argv);
                _exit(127);
        }
        must(t->pid < 0 ? -errno : sd_event_add_io(test_event, &t->source, t->fd, EPOLLIN, on_output, t), "pseudo-terminal");
}

void terminal_type(Terminal *t, const char *keys) {
        must(write(t->fd, keys, strlen(keys)) < 0 ? -errno : 0, "typing");
}

bool terminal_shows(Terminal *t, const char *text) {
        return strstr(t->seen, text);
}

void terminal_forget(Terminal *t) {
        t->n_seen = 0;
        t->seen[0] = 0;
}

int terminal_end(Terminal *t) {
        int status = process_end(t->pid, 0);
        sd_event_source_disable_unref(t->source);
        close(t->fd);
        *t = (Terminal) { .fd = -1 };
        return status;
}

/* ---- notification server ---- */

static int on_capabilities(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        NotificationServer *s = userdata;
        _cleanup_free_ char *copy = strdup(s->capabilities);
        char *words[8] = {}, *rest = copy;
        size_t n = 0;
        for (char *w; n + 1 < ELEMENTSOF(words) && (w = strtok_r(rest, " ", &rest));)
                words[n++] = w;
        sd_bus_message *reply = NULL;
        must(sd_bus_message_new_method_return(m, &reply), "reply");
        must(sd_bus_message_append_strv(reply, words), "reply");
        int r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

static int on_notify(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        NotificationServer *s = userdata;
        Shown *n = &s->shown[s->n_shown % NOTIFICATIONS_MAX];
        const char *app, *icon, *title, *body, *key, *label;
        uint32_t replaces;
        must(n->id ? -ENOBUFS : 0, "room for notifications");
        must(sd_bus_message_read(m, "susss", &app, &replaces, &icon, &title, &body), "Notify");
        free(n->title);
        free(n->body);
        free(n->actions);
        *n = (Shown) { .id = ++s->last_id, .title = strdup(title), .body = strdup(body), .actions = strdup("") };
        must(sd_bus_message_enter_container(m, 'a', "s"), "actions");
        while (sd_bus_message_read(m, "s", &key) > 0) {
                char *more;
                must(sd_bus_message_read(m, "s", &label), "actions");
                must(asprintf(&more, "%s%s=%s;", n->actions, key, label), "actions");
                free(n->actions);
                n->actions = more;
        }
        must(sd_bus_message_exit_container(m), "actions");
        must(sd_bus_message_enter_container(m, 'a', "{sv}"), "hints");
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                must(sd_bus_message_read(m, "s", &key), "hints");
                if (strcmp(key, "urgency") == 0)
                        must(sd_bus_message_read(m, "v", "y", &n->urgency), "hints");
                else
                        must(sd_bus_message_skip(m, "v"), "hints");
                must(sd_bus_message_exit_container(m), "hints");
        }
        s->n_shown++;
        return sd_bus_reply_method_return(m, "u", n->id);
}

static Shown *shown_by_id(NotificationServer *s, uint32_t id) {
        for (size_t i = 0; i < NOTIFICATIONS_MAX; i++)
                if (id && s->shown[i].id == id)
                        return &s->shown[i];
        return NULL;
}

static int on_close(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        NotificationServer *s = userdata;
        uint32_t id;
        must(sd_bus_message_read(m, "u", &id), "CloseNotification");
        if (shown_by_id(s, id)) {
                s->n_withdrawn++;
                server_close(s, id, 3);
        }
        return sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable server_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("GetCapabilities", "", "as", on_capabilities, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Notify", "susssasa{sv}i", "u", on_notify, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CloseNotification", "u", "", on_close, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL("NotificationClosed", "uu", 0),
        SD_BUS_SIGNAL("ActionInvoked", "us", 0),
        SD_BUS_VTABLE_END,
};

void server_start(NotificationServer *s, const char *address, const char *capabilities) {
        *s = (NotificationServer) { .bus = bus_connect(address), .capabilities = capabilities };
        must(sd_bus_add_object_vtable(s->bus, NULL, "/org/freedesktop/Notifications", "org.freedesktop.Notifications", server_vtable, s),
             "notification server");
        must(sd_bus_request_name(s->bus, "org.freedesktop.Notifications", 0), "notification server");
}

void server_stop(NotificationServer *s) {
        sd_bus_flush_close_unref(s->bus);
        for (size_t i = 0; i < NOTIFICATIONS_MAX; i++) {
                free(s->shown[i].title);
                free(s->shown[i].body);
                free(s->shown[i].actions);
        }
        *s = (NotificationServer) {};
}

Shown *server_find(NotificationServer *s, const char *title) {
        for (size_t i = 0; i < NOTIFICATIONS_MAX; i++)
                if (s->shown[i].id && strstr(s->shown[i].title, title))
                        return &s->shown[i];
        return NULL;
}

size_t server_count(NotificationServer *s) {
        size_t n = 0;
        for (size_t i = 0; i < NOTIFICATIONS_MAX; i++)
                n += s->shown[i].id != 0;
        return n;
}

void server_click(NotificationServer *s, uint32_t id, const char *key) {
        must(sd_bus_emit_signal(s->bus, "/org/freedesktop/Notifications", "org.freedesktop.Notifications", "ActionInvoked", "us",
                                id, key), "ActionInvoked");
}

void server_close(NotificationServer *s, uint32_t id, uint32_t reason) {
        Shown *n = shown_by_id(s, id);
        if (n)
                n->id = 0;
        must(sd_bus_emit_signal(s->bus, "/org/freedesktop/Notifications", "org.freedesktop.Notifications", "NotificationClosed",
                                "uu", id, reason), "NotificationClosed");
}

/* ---- permission store ---- */

static int on_set_permission(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        PermissionStore *s = userdata;
        const char *table, *id, *app, *permission;
        int create;
        must(sd_bus_message_read(m, "sbss", &table, &create, &id, &app), "SetPermission");
        must(sd_bus_message_read(m, "as", 1, &permission), "SetPermission");
        size_t n = strlen(s->log);
        snprintf(s->log + n, sizeof s->log - n, "%s/%s/%s=%s;", table, id, app, permission);
        return sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable store_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("SetPermission", "sbssas", "", on_set_permission, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

void store_start(PermissionStore *s, const char *address) {
        s->bus = bus_connect(address);
        must(sd_bus_add_object_vtable(s->bus, NULL, "/org/freedesktop/impl/portal/PermissionStore",
                                      "org.freedesktop.impl.portal.PermissionStore", store_vtable, s), "permission store");
        must(sd_bus_request_name(s->bus, "org.freedesktop.impl.portal.PermissionStore", 0), "permission store");
}
