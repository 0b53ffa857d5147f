/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A client of sparkd's for tests: sessions, turns and their signals, one connection each. Run under tests/with-spark.
 * What had to work and did not ends the program: "Bail out!", as TAP says it. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>

#include "basic/cleanup.h"

#define BUS_NAME "org.spark.Assistant"

#define REQUIRE(x)                                                                      \
        do {                                                                            \
                if (!(x)) {                                                             \
                        printf("Bail out! %s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
                        exit(1);                                                        \
                }                                                                       \
        } while (0)

#define REPLIES_MAX 4096u
#define PATH_SIZE 128u

/* What bad behaviour may add to sparkd's memory. AddressSanitizer keeps what was freed for a while. */
#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_SLACK ((size_t) 512 << 20)
#else
#define MEMORY_SLACK ((size_t) 64 << 20)
#endif

typedef struct Reply {                     /* of one turn, as its signals told it */
        char path[PATH_SIZE];
        uint64_t turn;
        char *text;
        size_t size, n_deltas;
        unsigned n_finished;
        bool broken;                       /* a Delta after Finished */
        char reason[16], error[64], message[512], ignored[512];
        uint32_t n_prompt, n_cached, n_generated, n_dropped;
        uint64_t seed;
        double first_token_ms, tokens_per_second;
} Reply;

typedef struct TestClient {
        sd_bus *bus;
        Reply *replies;
        size_t n_replies;
        unsigned n_strange;                /* signals of sessions that are not this client's */
} TestClient;

void client_init(TestClient *c);
void client_done(TestClient *c);

/* Root method with a format of options, e.g. call_root(c, "Ask", &error, &reply, "sa{sv}", "Hi", 0). Negative: the error. */
int call_root(TestClient *c, const char *method, sd_bus_error *error, sd_bus_message **reply, const char *types, ...);
/* The root object's other interfaces. */
int call_interface(TestClient *c, const char *interface, const char *method, sd_bus_error *error, sd_bus_message **reply, const char *types, ...);
int call_session(TestClient *c, const char *path, const char *method, sd_bus_error *error, sd_bus_message **reply, const char *types, ...);

/* New session with greedy replies of at most max_tokens. */
void session_open(TestClient *c, uint32_t max_tokens, char ret_path[PATH_SIZE]);
/* One text part; the turn's number. */
uint64_t session_respond(TestClient *c, const char *path, const char *text);
/* 0, or negative with the error's name in `error`. */
int session_try(TestClient *c, const char *path, const char *text, sd_bus_error *error);

Reply *client_reply(TestClient *c, const char *path, uint64_t turn);       /* as far as it has come */
void client_process(TestClient *c, uint64_t usec);                         /* at most so long, returns at once after one message */
Reply *client_finish(TestClient *c, const char *path, uint64_t turn);      /* waits for Finished */
Reply *client_first_text(TestClient *c, const char *path, uint64_t turn);  /* waits for a Delta */

pid_t worker_pid(TestClient *c, char ret_state[32]);                       /* 0: none */
void wait_for_state(TestClient *c, const char *state);
size_t process_memory(pid_t pid);                                          /* resident bytes */
pid_t daemon_pid(void);

/* A prompt of about n words, different for every `salt`. */
char *long_prompt(size_t n, unsigned salt);
