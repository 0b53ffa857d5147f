/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An application for tests/bench/fairness; built under two names, which are two applications to sparkd.
 *
 *   crowd N WORDS    keeps N replies to prompts of so many words open, each as long as it can be; "ready" once N were
 *                    asked for and one speaks; until standard input ends
 *   first N WORDS    N replies one after another, a line each: milliseconds from the call to the first text, the same as
 *                    sparkd has them, tokens of the prompt */

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bus/client.h"

#define OPEN_MAX 60u

static double now_ms(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

/* Another beginning each time, so that nothing of it is known. */
static uint64_t ask(TestClient *c, char path[PATH_SIZE], uint32_t max_tokens, size_t words) {
        static unsigned salt;
        char *text = long_prompt(words, (unsigned) getpid() * 1000 + salt++);
        session_open(c, max_tokens, path);
        uint64_t turn = session_respond(c, path, text);
        free(text);
        return turn;
}

static void close_session(TestClient *c, const char *path) {
        (void) call_session(c, path, "Close", NULL, NULL, "a{sv}", 0);
}

static bool input_ended(void) {
        struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
        return poll(&p, 1, 0) > 0;
}

static void crowd(TestClient *c, size_t n, size_t words) {
        char paths[OPEN_MAX][PATH_SIZE];
        uint64_t turns[OPEN_MAX];
        bool ready = false;

        for (size_t i = 0; i < n; i++)
                turns[i] = ask(c, paths[i], 2000, words);
        while (!input_ended()) {
                client_process(c, 100000);
                for (size_t i = 0; i < n; i++) {
                        const Reply *r = client_reply(c, paths[i], turns[i]);
                        if (!ready && r->n_deltas > 0) {
                                printf("ready\n");
                                fflush(stdout);
                                ready = true;
                        }
                        if (r->n_finished > 0) {
                                close_session(c, paths[i]);
                                turns[i] = ask(c, paths[i], 2000, words);
                        }
                }
        }
}

static void first(TestClient *c, size_t n, size_t words) {
        char path[PATH_SIZE];
        for (size_t i = 0; i < n; i++) {
                const double begin = now_ms();
                const uint64_t turn = ask(c, path, 4, words);
                const Reply *r = client_reply(c, path, turn);
                while (r->n_deltas == 0 && r->n_finished == 0)
                        client_process(c, 1000000);
                const double ms = now_ms() - begin;
                client_finish(c, path, turn);
                printf("%.1f %.1f %u\n", ms, r->first_token_ms, r->n_prompt);
                fflush(stdout);
                close_session(c, path);
        }
}

int main(int argc, char **argv) {
        TestClient c;
        if (argc != 4 || atoi(argv[2]) < 1 || atoi(argv[2]) > (int) OPEN_MAX || atoi(argv[3]) < 1) {
                fprintf(stderr, "usage: %s crowd|first N WORDS\n", argv[0]);
                return 2;
        }
        client_init(&c);
        (strcmp(argv[1], "crowd") == 0 ? crowd : first)(&c, (size_t) atoi(argv[2]), (size_t) atoi(argv[3]));
        client_done(&c);
        return 0;
}
