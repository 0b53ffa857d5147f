/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every bound on what a client can make sparkd hold or do, by name. Each is met with a named error that says the
 * number; none grows with what a client sends. */

#include "daemon/wire/messages.h"

/* ---- who ---- */
/* One match for NameOwnerChanged each; dbus-daemon allows 512 a connection on the system bus. */
#define CLIENTS_MAX 448u
#define CLIENTS_PER_USER 256u                   /* dbus-daemon's own limit of connections */
#define CLIENTS_PER_USER_SYSTEM 64u             /* so that one user leaves room for others */
#define WORKERS_MAX 16u                         /* users served at a time */

/* ---- sessions ---- */
#define SESSIONS_PER_CLIENT 64u
#define SESSIONS_PER_USER 512u                  /* below the engine's sequences, with room for Ask */
#define SESSIONS_MAX 4096u
#define ASKS_PER_CLIENT 8u
#define ASKS_PER_USER 64u
#define COUNTS_PER_USER 64u                     /* CountTokens() and Verify() that wait for the worker */

#define PREWARMS_PER_USER 8u                    /* applications whose instructions are read ahead */

/* ---- questions to a person ---- */
#define AGENTS_MAX 64u
#define AGENTS_PER_USER 4u
#define AGENT_START_USEC (10ull * 1000000)      /* for the session bus to start one */
#define AGENT_COME_USEC (10ull * 1000000)       /* for a started one to register */
#define AGENT_FIND_USEC (2ull * 1000000)        /* for those of sessions to find a sparkd of the system's that has just begun */
#define AGENT_MISSING_USEC (10ull * 1000000)    /* none came: so long nobody is expected */
#define CONSENT_WANTS_MAX 16u                   /* capabilities of one question */
#define CONSENT_WAITERS_MAX 64u                 /* calls that wait for the same answer */
#define CONSENTS_PER_APP 4u                     /* one of them before the user, the others in line */
#define CONSENTS_PER_USER 32u
#define CONSENTS_ASKED_PER_USER 3u              /* of different apps, before the user at a time */
#define CONFIRM_USEC 3000000ull                 /* for an agent to say who calls */
#define CONFIRMS_MAX 64u                        /* calls held meanwhile */
#define CONFIRMS_PER_USER 16u
#define HELD_PER_CLIENT 8u                      /* CountTokens(), Prewarm() that wait for the user's word */
#define REQUESTS_PER_CLIENT 8u                  /* Request() not answered yet */
#define KEPT_ANSWERS_PER_USER 256u              /* "for this session" */

/* ---- devices ---- */
#define RECORDINGS_PER_APP 2u                   /* open or being opened */
#define RECORDINGS_PER_USER 8u
#define RECORDING_SECONDS_MAX 300u              /* of one microphone part */
#define RECORDING_SECONDS_DEFAULT 30u
#define CAMERA_SECONDS 30u                      /* for a picture */
#define DEVICE_OPEN_USEC (30ull * 1000000)      /* for an agent to open one; a person may have to choose which */

/* ---- administration ---- */
#define LEDGER_REPLY_MAX 1000u                  /* uses in one answer */
#define LIST_REPLY_MAX 4096u                    /* apps and capabilities in one answer */
#define AUTHORIZATIONS_MAX 64u                  /* calls that wait for polkit */
#define AUTHORIZATIONS_PER_USER 8u
#define AUTHORIZE_USEC (120ull * 1000000)       /* a person may have to type a password */

/* ---- bytes ---- */
#define PROMPT_BYTES_MAX (1u << 20)             /* of one call, all parts */
#define INSTRUCTIONS_BYTES_MAX (64u << 10)
#define REPLY_BYTES_MAX (256u << 10)            /* a turn ends with "length" there */
#define TRANSCRIPT_BYTES_MAX (2u << 20)         /* of one session, as JSON */
#define TRANSCRIPT_BYTES_PER_USER (64u << 20)   /* all sessions */
#define TRANSCRIPT_MESSAGES_MAX 4096u           /* of one session */

/* ---- shape of a call ---- */
#define PARTS_MAX 64u
#define OPTIONS_MAX 64u                         /* keys of one dictionary */
#define OPTION_STRINGS_MAX 32u                  /* strings of one option */
#define IGNORED_MAX 32u                         /* unknown keys that are told; the rest is dropped */
#define IGNORED_KEY_BYTES_MAX 64u

/* ---- turns ---- */
#define TURNS_RUNNING_MAX 16u                   /* in one worker's batch, as configured; as many of background work */
#define TURNS_RUNNING_EXTRA 8u                  /* beside these: the first of an application that has none running */
#define TURNS_QUEUED_PER_APP 64u
#define TURNS_QUEUED_PER_USER 256u
#define TURN_WAIT_USEC (180ull * 1000000)       /* in the queue, the model's loading included; then Timeout */

/* ---- what goes out ---- */
#define DELTA_INTERVAL_USEC (25ull * 1000)
/* Text sent to one client that it has not shown to have read (it answers org.freedesktop.DBus.Peer.Ping). Beyond
 * it the text waits in its turn, at most REPLY_BYTES_MAX, and after DELTA_STALL_USEC the turn ends with Timeout. So
 * neither sparkd nor the bus holds more for a client that never reads than this and one Finished a turn. */
#define DELTA_WINDOW_BYTES (32u << 10)
#define DELTA_STALL_USEC (30ull * 1000000)
/* Messages in our own queue towards the bus from which on text waits; sd-bus refuses far later (192 Ki). */
#define OUTGOING_MESSAGES_MAX 2048u

/* ---- the bus' own answers ---- */
#define BUS_CALL_USEC (5ull * 1000000)          /* questions to the bus driver */

/* ---- memory ---- */
/* So much stalling within a window, and models that nobody uses leave memory. The kernel takes whole multiples of two
 * seconds from processes without privileges. */
#define PRESSURE_STALL_USEC (200ull * 1000)
#define PRESSURE_WINDOW_USEC (2ull * 1000000)

/* ---- memory of misdeeds ---- */
#define PENALTIES_MAX 256u                      /* inputs remembered; the oldest gives way */
#define PENALTY_LOST_MAX 3u                     /* workers that one input may cost */

_Static_assert(TRANSCRIPT_BYTES_MAX + REPLY_BYTES_MAX <= WIRE_TRANSCRIPT_MAX, "a transcript fits a frame");
_Static_assert(PROMPT_BYTES_MAX <= TRANSCRIPT_BYTES_MAX, "a prompt fits a transcript");
