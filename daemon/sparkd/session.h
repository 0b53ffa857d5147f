/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sessions: a transcript, defaults for its replies, and at most one turn. An Ask() is a session without a path that
 * ends with its only turn. */

#include <systemd/sd-id128.h>

#include "daemon/sparkd/manager.h"
#include "daemon/sparkd/options.h"
#include "daemon/sparkd/transcript.h"

#define SESSION_PATH_MAX (sizeof SPARK_SESSION_PREFIX "/" + SD_ID128_STRING_MAX)

struct Session {
        User *user;                        /* referenced, as is the app: a session may outlive its client by one turn */
        App *app;
        Client *client;                    /* NULL: it left the bus */
        Link link;                         /* in client->sessions */
        Session *next;                     /* in its bucket */
        uint64_t number;                   /* towards the worker; never used again */
        sd_id128_t id;
        char path[SESSION_PATH_MAX];       /* "" of an Ask */
        Transcript transcript;
        size_t accounted;                  /* bytes of it in user->transcript_bytes */
        Generation generation;
        IgnoredKeys ignored;
        QueuePriority priority;
        bool drop_oldest;                  /* where the context is full, its oldest turns go */
        bool asks_background;              /* it wants to go on while the user does something else */
        bool closed;                       /* no longer to be found: waits for its turn's end */
        sd_bus_message *ask;               /* the call to be answered */
        Turn *turn;
        uint64_t last_turn;
        uint64_t generation_of_worker;     /* that was given a turn of it; 0: none was */
};

typedef struct SessionParams {
        Generation generation;
        QueuePriority priority;
        bool drop_oldest;
        const char *instructions;          /* "" or NULL: none */
        const IgnoredKeys *ignored;
        sd_bus_message *ask;               /* NULL: a session with a path */
} SessionParams;

/* Where it fails, c may be gone with it. */
int session_new(Client *c, const SessionParams *p, Session **ret, sd_bus_error *reterr);
int session_fork(Session *s, Session **ret, sd_bus_error *reterr);

/* No longer to be found; freed at once, or when its turn has ended. */
void session_close(Session *s);
/* For the end of a turn: frees a session that was closed meanwhile. */
void session_settle(Session *s);

/* The session of this path, where it is open and the client's own; NULL otherwise. */
Session *session_find(Manager *m, const char *path, const char *sender);

/* Appends what the user says now. Negative with reterr filled; the transcript is then as before. */
int session_append(Session *s, Role role, Origin origin, const char *text, sd_bus_error *reterr);
void session_truncate(Session *s, size_t n_messages);
/* The first n messages after the instructions are forgotten. */
void session_drop(Session *s, size_t n_messages);
