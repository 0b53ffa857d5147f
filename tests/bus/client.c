/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the connection and what its signals said; see client.h. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/bus/client.h"

#define ROOT "/org/spark/Assistant"
#define CALL_USEC (170ull * 1000000)
#define WAIT_SECONDS 170

Reply *client_reply(TestClient *c, const char *path, uint64_t turn) {
        for (size_t i = 0; i < c->n_replies; i++)
                if (c->replies[i].turn == turn && strcmp(c->replies[i].path, path) == 0)
                        return c->replies + i;
        REQUIRE(c->n_replies < REPLIES_MAX);
        Reply *r = c->replies + c->n_replies++;
        *r = (Reply) { .turn = turn };
        snprintf(r->path, sizeof r->path, "%s", path);
        r->text = strdup("");
        return r;
}

static void read_usage(sd_bus_message *m, Reply *reply) {
        REQUIRE(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                const char *key, *contents, *s;
                REQUIRE(sd_bus_message_read(m, "s", &key) > 0);
                REQUIRE(sd_bus_message_peek_type(m, NULL, &contents) > 0);
                const struct { const char *key, *type; void *target; } numbers[] = {
                        { "prompt-tokens", "u", &reply->n_prompt }, { "cached-tokens", "u", &reply->n_cached },
                        { "generated-tokens", "u", &reply->n_generated }, { "dropped-turns", "u", &reply->n_dropped },
                        { "seed", "t", &reply->seed },
                        { "first-token-ms", "d", &reply->first_token_ms }, { "tokens-per-second", "d", &reply->tokens_per_second },
                };
                bool known = false;
                for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                        if (strcmp(numbers[i].key, key) == 0) {
                                REQUIRE(strcmp(contents, numbers[i].type) == 0);
                                REQUIRE(sd_bus_message_read(m, "v", contents, numbers[i].target) > 0);
                                known = true;
                        }
                if (strcmp(key, "error") == 0 || strcmp(key, "message") == 0) {
                        REQUIRE(sd_bus_message_read(m, "v", "s", &s) > 0);
                        snprintf(key[0] == 'e' ? reply->error : reply->message, key[0] == 'e' ? sizeof reply->error : sizeof reply->message, "%s", s);
                        known = true;
                } else if (strcmp(key, "ignored") == 0) {
                        REQUIRE(sd_bus_message_enter_container(m, 'v', "as") > 0);
                        REQUIRE(sd_bus_message_enter_container(m, 'a', "s") >= 0);
                        while (sd_bus_message_read(m, "s", &s) > 0)
                                snprintf(reply->ignored + strlen(reply->ignored), sizeof reply->ignored - strlen(reply->ignored), "%s ", s);
                        sd_bus_message_exit_container(m);
                        sd_bus_message_exit_container(m);
                        known = true;
                }
                if (!known)
                        REQUIRE(sd_bus_message_skip(m, "v") > 0);
                REQUIRE(sd_bus_message_exit_container(m) > 0);
        }
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        TestClient *c = userdata;
        uint64_t turn;

        bool delta = sd_bus_message_is_signal(m, "org.spark.Assistant.Session", "Delta") > 0;
        if (!delta && sd_bus_message_is_signal(m, "org.spark.Assistant.Session", "Finished") <= 0)
                return 0;
        const char *unique, *to = sd_bus_message_get_destination(m);
        REQUIRE(sd_bus_get_unique_name(c->bus, &unique) >= 0);
        if (!to || strcmp(to, unique) != 0)
                c->n_strange++;

        REQUIRE(sd_bus_message_read(m, "t", &turn) > 0);
        Reply *r = client_reply(c, sd_bus_message_get_path(m), turn);
        const char *text;
        REQUIRE(sd_bus_message_read(m, "s", &text) > 0);
        if (delta) {
                size_t n = strlen(text);
                r->text = realloc(r->text, r->size + n + 1);
                memcpy(r->text + r->size, text, n + 1);
                r->size += n;
                r->n_deltas++;
                r->broken |= r->n_finished > 0;
        } else {
                snprintf(r->reason, sizeof r->reason, "%s", text);
                read_usage(m, r);
                r->n_finished++;
        }
        return 1;
}

void client_init(TestClient *c) {
        *c = (TestClient) { .replies = calloc(REPLIES_MAX, sizeof *c->replies) };
        const char *system = getenv("DBUS_SYSTEM_BUS_ADDRESS");
        REQUIRE((system ? sd_bus_open_system(&c->bus) : sd_bus_open_user(&c->bus)) >= 0);
        REQUIRE(sd_bus_set_method_call_timeout(c->bus, CALL_USEC) >= 0);
        REQUIRE(sd_bus_add_filter(c->bus, NULL, on_message, c) >= 0);
}

void client_done(TestClient *c) {
        c->bus = sd_bus_flush_close_unref(c->bus);
        for (size_t i = 0; i < c->n_replies; i++)
                free(c->replies[i].text);
        free(c->replies);
        *c = (TestClient) {};
}

static int call(TestClient *c, const char *path, const char *interface, const char *method, sd_bus_error *error, sd_bus_message **reply, const char *types, va_list ap) {
        sd_bus_message *m = NULL;
        REQUIRE(sd_bus_message_new_method_call(c->bus, &m, BUS_NAME, path, interface, method) >= 0);
        REQUIRE(sd_bus_message_appendv(m, types, ap) >= 0);
        int r = sd_bus_call(c->bus, m, 0, error, reply);
        sd_bus_message_unref(m);
        return r;
}

int call_root(TestClient *c, const char *method, sd_bus_error *error, sd_bus_message **reply, const char *types, ...) {
        va_list ap;
        va_start(ap, types);
        int r = call(c, ROOT, strcmp(method, "Verify") == 0 ? BUS_NAME ".Debug" : BUS_NAME, method, error, reply, types, ap);
        va_end(ap);
        return r;
}

int call_interface(TestClient *c, const char *interface, const char *method, sd_bus_error *error, sd_bus_message **reply, const char *types, ...) {
        va_list ap;
        va_start(ap, types);
        int r = call(c, ROOT, interface, method, error, reply, types, ap);
        va_end(ap);
        return r;
}

int call_session(TestClient *c, const char *path, const char *method, sd_bus_error *error, sd_bus_message **reply, const char *types, ...) {
        va_list ap;
        va_start(ap, types);
        int r = call(c, path, BUS_NAME ".Session", method, error, reply, types, ap);
        va_end(ap);
        return r;
}

void session_open(TestClient *c, uint32_t max_tokens, char ret_path[PATH_SIZE]) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        const char *path;

        if (call_root(c, "CreateSession", &error, &reply, "a{sv}", 2, "temperature", "d", 0.0, "max-tokens", "u", max_tokens) < 0)
                printf("# %s: %s\n", error.name, error.message);
        REQUIRE(reply);
        REQUIRE(sd_bus_message_read(reply, "o", &path) > 0);
        snprintf(ret_path, PATH_SIZE, "%s", path);
        sd_bus_message_unref(reply);
}

static int respond(TestClient *c, const char *path, const char *text, uint64_t *turn, sd_bus_error *error) {
        sd_bus_message *reply = NULL;
        int r = call_session(c, path, "Respond", error, &reply, "a(sa{sv})a{sv}", 1, "text", 1, "text", "s", text, 0);
        if (r >= 0)
                REQUIRE(sd_bus_message_read(reply, "t", turn) > 0);
        sd_bus_message_unref(reply);
        return r;
}

uint64_t session_respond(TestClient *c, const char *path, const char *text) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        uint64_t turn = 0;
        if (respond(c, path, text, &turn, &error) < 0)
                printf("# %s: %s\n", error.name, error.message);
        REQUIRE(turn > 0);
        return turn;
}

int session_try(TestClient *c, const char *path, const char *text, sd_bus_error *error) {
        uint64_t turn;
        return respond(c, path, text, &turn, error);
}

void client_process(TestClient *c, uint64_t usec) {
        int r = sd_bus_process(c->bus, NULL);
        REQUIRE(r >= 0);
        if (r == 0)
                REQUIRE(sd_bus_wait(c->bus, usec) >= 0);
}

Reply *client_finish(TestClient *c, const char *path, uint64_t turn) {
        time_t end = time(NULL) + WAIT_SECONDS;
        Reply *r = client_reply(c, path, turn);
        while (r->n_finished == 0 && time(NULL) < end)
                client_process(c, 1000000);
        REQUIRE((r->n_finished) == 1);
        REQUIRE(!r->broken);
        return r;
}

Reply *client_first_text(TestClient *c, const char *path, uint64_t turn) {
        time_t end = time(NULL) + WAIT_SECONDS;
        Reply *r = client_reply(c, path, turn);
        while (r->n_deltas == 0 && r->n_finished == 0 && time(NULL) < end)
                client_process(c, 1000000);
        REQUIRE(r->n_deltas > 0);
        REQUIRE((r->n_finished) == 0);
        return r;
}

pid_t worker_pid(TestClient *c, char ret_state[32]) {
        sd_bus_message *reply = NULL;
        const char *key, *state;
        uint32_t pid = 0;

        /* It asks the worker, which may have been killed a moment ago. */
        for (int i = 0; i < 100 && call_root(c, "Verify", NULL, &reply, "a{sv}", 0) < 0; i++)
                usleep(10000);
        REQUIRE(reply);
        REQUIRE(sd_bus_message_enter_container(reply, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
                REQUIRE(sd_bus_message_read(reply, "s", &key) > 0);
                if (strcmp(key, "pid") == 0)
                        REQUIRE(sd_bus_message_read(reply, "v", "u", &pid) > 0);
                else if (strcmp(key, "state") == 0) {
                        REQUIRE(sd_bus_message_read(reply, "v", "s", &state) > 0);
                        if (ret_state)
                                snprintf(ret_state, 32, "%s", state);
                } else
                        REQUIRE(sd_bus_message_skip(reply, "v") > 0);
                REQUIRE(sd_bus_message_exit_container(reply) > 0);
        }
        sd_bus_message_unref(reply);
        return (pid_t) pid;
}

void wait_for_state(TestClient *c, const char *state) {
        char now[32] = "";
        for (time_t end = time(NULL) + WAIT_SECONDS; strcmp(now, state) != 0 && time(NULL) < end; usleep(5000)) {
                char *s = NULL;
                REQUIRE(sd_bus_get_property_string(c->bus, BUS_NAME, ROOT, BUS_NAME, "State", NULL, &s) >= 0);
                snprintf(now, sizeof now, "%s", s);
                free(s);
        }
        REQUIRE(strcmp(now, state) == 0);
}

size_t process_memory(pid_t pid) {
        char path[64];
        unsigned long size, resident = 0;
        snprintf(path, sizeof path, "/proc/%d/statm", (int) pid);
        FILE *f = fopen(path, "re");
        REQUIRE(f);
        REQUIRE((fscanf(f, "%lu %lu", &size, &resident)) == 2);
        fclose(f);
        return resident * (size_t) sysconf(_SC_PAGESIZE);
}

pid_t daemon_pid(void) {
        const char *pid = getenv("SPARK_TEST_DAEMON_PID");
        REQUIRE(pid);
        return (pid_t) atoi(pid);
}

char *long_prompt(size_t n, unsigned salt) {
        static const char *const words[] = { "river", "stone", "lamp", "winter", "garden", "letter", "music", "window" };
        char *text = malloc(n * 8 + 64);
        REQUIRE(text);
        char *p = text + sprintf(text, "Story %u:", salt);
        for (size_t i = 0; i < n; i++)
                p += sprintf(p, " %s", words[(i * 7 + i / 8 + salt) % ELEMENTSOF(words)]);
        strcpy(p, ".");
        return text;
}
