/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private buses, a real spark-agent, and stand-ins for what it talks to: a notification server that clicks what it is
 * told to, and the portal's permission store. All in one event loop. What had to work and did not ends the program. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define NOTIFICATIONS_MAX 32u

typedef struct Bus {
        pid_t pid;
        char address[256];
} Bus;

typedef struct Shown {                     /* a notification, as the stand-in got it */
        uint32_t id;                       /* 0: closed */
        char *title, *body, *actions;      /* "key=label;…" */
        uint8_t urgency;
} Shown;

typedef struct NotificationServer {        /* stand-in */
        sd_bus *bus;
        const char *capabilities;          /* separated by blanks */
        Shown shown[NOTIFICATIONS_MAX];
        unsigned n_shown, n_withdrawn;     /* ever; by CloseNotification() */
        uint32_t last_id;
} NotificationServer;

typedef struct PermissionStore {           /* stand-in */
        sd_bus *bus;
        char log[1024];                    /* "table/id/app=permission;…" */
} PermissionStore;

typedef struct Sparkd {                    /* stand-in, as far as agents see it */
        sd_bus *bus;
        char agent[64], kind[32];          /* the one that registered last */
        unsigned n_registered, n_unregistered;
} Sparkd;

typedef struct Asked {                     /* a question of the stand-in's */
        bool ended;
        char answer[32], error[128];
} Asked;

typedef struct Terminal {                  /* a program on a pseudo-terminal */
        pid_t pid;
        int fd;
        sd_event_source *source;
        char seen[16384];                  /* what it wrote since terminal_forget() */
        size_t n_seen;
} Terminal;

extern sd_event *test_event;

/* Turns the loop until it holds; ten seconds, then the program ends and says what it waited for. */
#define UNTIL(x)                                                        \
        do {                                                            \
                uint64_t _end = test_now() + 10000000;                  \
                while (!(x))                                            \
                        test_turn(_end, __FILE__, __LINE__, #x);        \
        } while (0)
uint64_t test_now(void);
void test_turn(uint64_t end, const char *file, int line, const char *what);
/* Turns the loop a little: for what must not happen. */
void test_settle(void);
void must(int r, const char *what);

void bus_start(Bus *b);
void bus_stop(Bus *b);
sd_bus *bus_connect(const char *address);  /* attached to test_event */

/* `environment`: NULL-terminated "NAME=VALUE" beside ours. */
pid_t agent_start(const char *program, const char *dialog, const char *session, const char *system, const char *const *environment);
int process_end(pid_t pid, int signo);     /* its wait status; signo 0: only waits */

void sparkd_start(Sparkd *s, const char *address);
void sparkd_stop(Sparkd *s);
/* RequestConsent of the agent that registered last, about an app of certainty "unit" and process 42. */
void sparkd_ask(Sparkd *s, Asked *a, const char *id, const char *app, const char *capability);
void sparkd_cancel(Sparkd *s, const char *id);
int sparkd_on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr);

void terminal_start(Terminal *t, const char *const *argv, const char *const *environment);
void terminal_type(Terminal *t, const char *keys);
bool terminal_shows(Terminal *t, const char *text);
void terminal_forget(Terminal *t);
int terminal_end(Terminal *t);             /* waits; its wait status */

void server_start(NotificationServer *s, const char *address, const char *capabilities);
void server_stop(NotificationServer *s);
/* The one that is shown and has this in its title; NULL: none. */
Shown *server_find(NotificationServer *s, const char *title);
size_t server_count(NotificationServer *s);
void server_click(NotificationServer *s, uint32_t id, const char *key);
void server_close(NotificationServer *s, uint32_t id, uint32_t reason);

void store_start(PermissionStore *s, const char *address);
