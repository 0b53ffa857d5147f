/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Turns: one reply each, from Respond() or Ask() to Finished.
 *
 *   ASKING (the user, where the rules say so) ──▶ RECORDING (where it hears or sees first) ──▶ WAITING (in the user's queue)
 *                               ──▶ RUNNING (in the worker) ──▶ SENDING (done, text still goes out) ──▶ gone
 *
 * Exactly one end is told for each, whatever happens. A turn that ends with an error takes back what it added to the
 * transcript; a cancelled one keeps what was said, if anything was. */

#include "daemon/sparkd/consent.h"
#include "daemon/sparkd/manager.h"
#include "daemon/sparkd/options.h"
#include "daemon/sparkd/recording.h"

typedef enum TurnState { TURN_ASKING, TURN_RECORDING, TURN_WAITING, TURN_RUNNING, TURN_SENDING } TurnState;

#define TURN_WANTS_MAX 3u                  /* generate, background, a device */

struct Turn {
        Session *session;
        Link link;                         /* in user->asking, the queue, or user->turns */
        TurnState state;
        bool cancelled;                    /* the worker has been told */
        bool held;                         /* the worker goes no further with it: background work, and the mains have gone */
        bool cut;                          /* REPLY_BYTES_MAX was reached */
        uint64_t number, request;
        Generation generation;
        IgnoredKeys ignored;
        PenaltyKey penalty;
        size_t n_before;                   /* messages before it */
        size_t n_skipped;                  /* of these, after the instructions: the worker is not given them */
        uint32_t n_dropped;                /* the turns that they were */
        uint64_t receipt;                  /* of the worker, once RUNNING */
        bool given_back;                   /* a worker died before it had read this: it waits a second time */
        char *reply;
        size_t reply_size, n_sent;
        uint64_t called_usec, given_usec, first_usec, sent_usec;
        sd_event_source *flush;
        WorkerFinished finished;           /* from SENDING on */
        Want wants[TURN_WANTS_MAX];        /* what it has to be allowed */
        size_t n_wants;
        ConsentWaiter consent;             /* while ASKING */
        Recording recording;
        bool once;                         /* the user allowed this very turn */
        Reason reason;                     /* why it was allowed */
        uint64_t checked;                  /* of user->recheck: looked at already */
        uint64_t n_tokens;                 /* that the worker has sent, about */
        uint64_t charged;                  /* tokens of the day taken off for it */
};

/* The session's transcript ends with what was asked; n_before messages come before that. Where it fails, reterr is
 * filled and the caller truncates. The turn is the session's from here on. `ignored` is taken over. `wish`: what it is to
 * hear or see, or NULL. */
int turn_begin(Session *s, const Generation *g, IgnoredKeys *ignored, const RecordingWish *wish, size_t n_before, Turn **ret, sd_bus_error *reterr);
void turn_cancel(Turn *t);

/* Ends it with an error, without the worker having said so. */
void turn_fail(Turn *t, const char *error, const char *text);

/* Its client does not read: where text waits for it, the turn ends with Timeout. */
void turn_stalled(Turn *t);

/* Writes out what can be written: the client has read. */
void turn_flush(Turn *t);

/* ---- the user's turns ---- */
void turns_schedule(User *u);                              /* gives the worker what it can take */
void turns_lost(User *u);                                  /* the worker was lost */
void turns_expire(User *u);                                /* those that have waited too long end with Timeout */
void turns_stop(User *u, const char *text);                /* those that run end with Cancelled */
void turns_fail_waiting(User *u, const char *error, const char *text);
/* The rules or the answers have changed: ends with NotAllowed what is no longer allowed. */
void turns_recheck(User *u);
void turns_forget_once(User *u, const char *app);          /* app NULL: of all */
/* The next turn of any state that was not looked at in this round. NULL: there is none. */
Turn *turns_next(User *u, uint64_t round);
/* What turns wait for beside their turn has changed: quotas, or the battery. */
void turns_hold(User *u);
void turns_delta(User *u, uint64_t request, const char *text, size_t size);
void turns_finished(User *u, const WorkerFinished *f);

/* ---- usage.c ---- */
typedef struct TurnEnd {
        const char *reason;                /* "stop", "length", "cancelled", "error" */
        const char *error, *text;          /* of an error */
        const WorkerFinished *finished;    /* NULL: the worker had no part in it */
} TurnEnd;
int usage_append(sd_bus_message *m, const Turn *t, const TurnEnd *end);
