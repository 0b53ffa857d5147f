/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a turn hears or sees through a device of the user's: an agent opens it and hands over a descriptor, which sparkd
 * holds and never reads.
 *
 *   RESERVED (its seconds are taken off) ──▶ OPENING (an agent was asked) ──▶ OPEN ──▶ ended: the agent closed its end, or
 *   the time is up */

#include "daemon/sparkd/captures.h"

typedef enum RecordingState { RECORDING_NONE, RECORDING_RESERVED, RECORDING_OPENING, RECORDING_OPEN } RecordingState;

typedef struct RecordingWish {
        Capability device;                 /* CAPABILITY_MICROPHONE or CAPABILITY_CAMERA */
        uint32_t seconds;                  /* at most */
} RecordingWish;

typedef struct Recording Recording;
struct Recording {
        RecordingState state;
        RecordingWish wish;
        App *app;                          /* whoever embeds it keeps it alive */
        Identity asker;
        Reason reason;                     /* why it was allowed */
        uint64_t charged;                  /* seconds of the day taken off */
        uint64_t below;                    /* agents from this number on were asked, and have no such device */
        char id[24], *agent_name, *agent_path;
        sd_bus_slot *call;
        int fd;                            /* while OPEN */
        sd_event_source *io, *timeout;
        Capture capture;
        /* Called once, when it has ended by itself; error NULL: well, after so many microseconds. */
        void (*ended)(Recording *r, uint64_t usec, const char *error, const char *text);
};

/* Negative with reterr: too many are open, or the day's seconds are used up. */
int recording_reserve(Recording *r, App *a, const RecordingWish *wish, sd_bus_error *reterr);

/* NoDevice where there is nobody who could open it. ended() is not called before this returns, nor where it fails. */
int recording_open(Recording *r, const Identity *asker, Reason why, sd_bus_error *reterr);

/* Closes what is open, corrects what was taken off, writes down what was used. Nothing where there is none. */
void recording_stop(Recording *r, const char *outcome);
