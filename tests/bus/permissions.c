/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the agent of the tests and the calls of Permissions; see permissions.h. */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bus/permissions.h"

#define AGENT_PATH "/org/spark/Assistant/Agent"

/* ---- the agent ---- */

static void read_details(sd_bus_message *m, TestAgent *a) {
        const char *key, *contents, *s;

        REQUIRE(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                REQUIRE(sd_bus_message_read(m, "s", &key) > 0);
                REQUIRE(sd_bus_message_peek_type(m, NULL, &contents) > 0);
                if (strcmp(key, "capabilities") == 0) {
                        a->capabilities[0] = '\0';
                        REQUIRE(sd_bus_message_enter_container(m, 'v', "as") > 0);
                        REQUIRE(sd_bus_message_enter_container(m, 'a', "s") > 0);
                        while (sd_bus_message_read(m, "s", &s) > 0)
                                snprintf(a->capabilities + strlen(a->capabilities), sizeof a->capabilities - strlen(a->capabilities), "%s ", s);
                        sd_bus_message_exit_container(m);
                        sd_bus_message_exit_container(m);
                } else if (strcmp(key, "pid") == 0)
                        REQUIRE(sd_bus_message_read(m, "v", "u", &a->pid) > 0);
                else if (strcmp(key, "seconds") == 0)
                        REQUIRE(sd_bus_message_skip(m, "v") > 0);
                else {
                        REQUIRE(strcmp(contents, "s") == 0);
                        REQUIRE(sd_bus_message_read(m, "v", "s", &s) > 0);
                        if (strcmp(key, "app") == 0)
                                snprintf(a->app, sizeof a->app, "%s", s);
                        else if (strcmp(key, "certainty") == 0)
                                snprintf(a->certainty, sizeof a->certainty, "%s", s);
                }
                REQUIRE(sd_bus_message_exit_container(m) > 0);
        }
}

static int on_request(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        TestAgent *a = userdata;
        const char *request;

        REQUIRE(sd_bus_message_read(m, "s", &request) > 0);
        snprintf(a->request, sizeof a->request, "%s", request);
        read_details(m, a);
        a->n_asked++;
        if (a->answer)
                return sd_bus_reply_method_return(m, "s", a->answer);
        sd_bus_message_unref(a->open);
        a->open = sd_bus_message_ref(m);
        return 1;
}

static int on_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        TestAgent *a = userdata;
        const char *request;

        REQUIRE(sd_bus_message_read(m, "s", &request) > 0);
        snprintf(a->cancelled, sizeof a->cancelled, "%s", request);
        a->n_cancelled++;
        return sd_bus_reply_method_return(m, NULL);
}

static int on_open(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        TestAgent *a = userdata;
        const char *request, *key;
        int ends[2];

        if (!a->has_devices)
                return sd_bus_error_set(error, "org.spark.Assistant.Error.NoDevice", "none here");
        REQUIRE(sd_bus_message_read(m, "s", &request) > 0);
        snprintf(a->request, sizeof a->request, "%s", request);
        REQUIRE(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                const char *s;
                REQUIRE(sd_bus_message_read(m, "s", &key) > 0);
                if (strcmp(key, "seconds") == 0)
                        REQUIRE(sd_bus_message_read(m, "v", "u", &a->seconds) > 0);
                else {
                        REQUIRE(sd_bus_message_read(m, "v", "s", &s) > 0);
                        if (strcmp(key, "app") == 0)
                                snprintf(a->app, sizeof a->app, "%s", s);
                }
                REQUIRE(sd_bus_message_exit_container(m) > 0);
        }
        a->n_opened++;
        if (a->holds_opening) {
                sd_bus_message_unref(a->opening);
                a->opening = sd_bus_message_ref(m);
                return 1;
        }
        if (a->gives_file) {
                _cleanup_close_ int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
                return sd_bus_reply_method_return(m, "h", file);
        }
        REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        if (a->device >= 0)
                close(a->device);
        a->device = ends[1];
        int r = sd_bus_reply_method_return(m, "h", ends[0]);
        close(ends[0]);
        return r;
}

static const sd_bus_vtable agent_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("RequestConsent", "sa{sv}", "s", on_request, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Cancel", "s", NULL, on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("OpenMicrophone", "sa{sv}", "h", on_open, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("OpenCamera", "sa{sv}", "h", on_open, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

void agent_init(TestAgent *a) {
        *a = (TestAgent) { .device = -1 };
        REQUIRE((getenv("DBUS_SYSTEM_BUS_ADDRESS") ? sd_bus_open_system(&a->bus) : sd_bus_open_user(&a->bus)) >= 0);
        REQUIRE(sd_bus_add_object_vtable(a->bus, &a->slot, AGENT_PATH, "org.spark.Assistant.Agent", agent_vtable, a) >= 0);
        REQUIRE(sd_bus_call_method(a->bus, "org.spark.Assistant", "/org/spark/Assistant", PERMISSIONS, "RegisterAgent", NULL, NULL, "oa{sv}", AGENT_PATH, 0) >= 0);
}

void agent_done(TestAgent *a) {
        sd_bus_message_unref(a->open);
        sd_bus_message_unref(a->opening);
        sd_bus_slot_unref(a->slot);
        sd_bus_flush_close_unref(a->bus);
        if (a->device >= 0)
                close(a->device);
        *a = (TestAgent) { .device = -1 };
}

void agent_process(TestAgent *a, uint64_t usec) {
        if (!a->bus)
                return;
        int r = sd_bus_process(a->bus, NULL);
        REQUIRE(r >= 0);
        if (r == 0)
                REQUIRE(sd_bus_wait(a->bus, usec) >= 0);
}

void agent_answer(TestAgent *a, const char *answer) {
        REQUIRE(a->open);
        REQUIRE(sd_bus_reply_method_return(a->open, "s", answer) >= 0);
        a->open = sd_bus_message_unref(a->open);
        REQUIRE(sd_bus_flush(a->bus) >= 0);
}

/* ---- calls ---- */

int permissions_new_call(TestClient *c, const char *method, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(c->bus, ret, "org.spark.Assistant", "/org/spark/Assistant", PERMISSIONS, method);
}

void rules_write(const char *text) {
        const char *folder = getenv("SPARK_TEST_RULES");
        char path[512];
        REQUIRE(folder);
        DIR *d = opendir(folder);
        REQUIRE(d);
        for (struct dirent *e; (e = readdir(d)); )
                if (e->d_name[0] != '.') {
                        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
                        REQUIRE(unlink(path) == 0);
                }
        closedir(d);
        snprintf(path, sizeof path, "%s/test.conf", folder);
        FILE *f = fopen(path, "we");
        REQUIRE(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* A signal comes before the answer to a call made after it: both are in the same loop, and the signal has no queue. */
void rules_reload(TestClient *c) {
        REQUIRE(kill(daemon_pid(), SIGHUP) == 0);
        for (int i = 0; i < 2; i++) {
                sd_bus_message *reply = NULL;
                REQUIRE(call_permissions(c, "Problems", NULL, &reply, "") >= 0);
                sd_bus_message_unref(reply);
        }
}

/* ---- lists ---- */

static void read_list(sd_bus_message *m, Listed *ret) {
        const char *key, *contents, *s;
        uint64_t t;

        REQUIRE(sd_bus_message_enter_container(m, 'a', "a{sv}") > 0);
        while (sd_bus_message_enter_container(m, 'a', "{sv}") > 0) {
                REQUIRE(ret->n < ELEMENTSOF(ret->entries));
                typeof(ret->entries[0]) *e = ret->entries + ret->n++;
                memset(e, 0, sizeof *e);
                while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                        const struct { const char *key; char *target; size_t size; } strings[] = {
                                { "app", e->app, sizeof e->app }, { "capability", e->capability, sizeof e->capability },
                                { "answer", e->answer, sizeof e->answer }, { "decision", e->decision, sizeof e->decision },
                                { "reason", e->reason, sizeof e->reason }, { "outcome", e->outcome, sizeof e->outcome },
                                { "state", e->state, sizeof e->state },
                        };
                        REQUIRE(sd_bus_message_read(m, "s", &key) > 0);
                        REQUIRE(sd_bus_message_peek_type(m, NULL, &contents) > 0);
                        if (strcmp(contents, "s") == 0) {
                                REQUIRE(sd_bus_message_read(m, "v", "s", &s) > 0);
                                for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                                        if (strcmp(strings[i].key, key) == 0)
                                                snprintf(strings[i].target, strings[i].size, "%s", s);
                        } else if (strcmp(contents, "t") == 0) {
                                REQUIRE(sd_bus_message_read(m, "v", "t", &t) > 0);
                                if (strstr(key, "-tokens"))
                                        e->tokens += t;
                                else if (strcmp(key, "audio-ms") == 0)
                                        e->audio_ms = t;
                        } else
                                REQUIRE(sd_bus_message_skip(m, "v") > 0);
                        REQUIRE(sd_bus_message_exit_container(m) > 0);
                }
                REQUIRE(sd_bus_message_exit_container(m) > 0);
        }
        REQUIRE(sd_bus_message_exit_container(m) > 0);
}

static void list(TestClient *c, const char *method, Listed *ret) {
        sd_bus_message *reply = NULL;
        ret->n = 0;
        REQUIRE(call_permissions(c, method, NULL, &reply, "a{sv}", 0) >= 0);
        read_list(reply, ret);
        sd_bus_message_unref(reply);
}

void list_permissions(TestClient *c, Listed *ret) {
        list(c, "List", ret);
}

void monitored(TestClient *c, Listed *ret) {
        list(c, "Monitor", ret);
}

void ledger_of(TestClient *c, const char *app, Listed *ret) {
        sd_bus_message *reply = NULL;
        int more;
        ret->n = 0;
        REQUIRE(call_permissions(c, "Ledger", NULL, &reply, "a{sv}", 1, "app", "s", app) >= 0);
        read_list(reply, ret);
        REQUIRE(sd_bus_message_read(reply, "b", &more) > 0);
        sd_bus_message_unref(reply);
}

bool listed(const Listed *l, const char *app, const char *capability) {
        for (size_t i = 0; i < l->n; i++)
                if (strcmp(l->entries[i].app, app) == 0 && strcmp(l->entries[i].capability, capability) == 0)
                        return true;
        return false;
}
