/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The protocol between sparkd and a worker: one table. A frame is
 *   u32 length (of the payload) · u16 type · u16 reserved (0) · payload
 * little endian, over a SOCK_STREAM socketpair; payload fields follow one another as the FIELDS column says:
 *   u = u32, t = u64, f = f32, s = bytes with a u32 length before them.
 * Descriptors travel by SCM_RIGHTS with the frame's first byte. Both sides check direction, length bounds, field
 * structure and number of descriptors by this table, in one loop, and treat anything else as a broken peer: the worker
 * exits, sparkd replaces the worker.
 *
 * `session` is sparkd's number of a session (never reused in one worker); `request` its number of a turn.
 * A transcript is the whole conversation each time, as a JSON array of {"role", "content"} (and what chat templates
 * know beyond it): the worker finds out itself what it still holds. A new worker therefore needs no replay protocol. */

#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 2u
#define WIRE_PAYLOAD_MAX (8u << 20)       /* a transcript of WIRE_TRANSCRIPT_MAX with its envelope */
#define WIRE_TRANSCRIPT_MAX (4u << 20)
#define WIRE_TEXT_MAX (64u << 10)         /* one delta, one error text */
#define WIRE_FDS_MAX 64u                  /* parts of a split model */

typedef enum WireDirection { WIRE_TO_WORKER, WIRE_TO_DAEMON } WireDirection;

/*      name           direction  fields        payload max            descriptors (min, max) */
#define WIRE_MESSAGES(X)                                                                                        \
        /* sparkd → worker */                                                                                   \
        X(LOAD,        TO_WORKER, "uuutsu",     4096,                  1, WIRE_FDS_MAX)                         \
                /* version, threads, n_ctx, kv budget bytes, kernels ("" = best), the engine's KvType */        \
        X(RESPOND,     TO_WORKER, "ttttusffffuutu", WIRE_PAYLOAD_MAX,   0, 0)                                    \
                /* session, request, domain, flags (WIRE_RESPOND_*), max tokens (0: up to the context's end),   \
                   transcript JSON (worker/transcript.h), then the sampler: temperature, top-p, min-p,          \
                   repeat penalty, top-k, repeat window, seed; then the most tokens that prompt and reply may \
                   have together (0: the model's context) */                                          \
        X(CANCEL,      TO_WORKER, "t",          8,                     0, 0)  /* request */                     \
        X(HOLD,        TO_WORKER, "tu",         12,                    0, 0)  /* request, 1: it goes no further, until 0 */ \
        X(FORGET,      TO_WORKER, "t",          8,                     0, 0)  /* session: its cache may go */   \
        X(FORK,        TO_WORKER, "tt",         16,                    0, 0)  /* session, new session */        \
        X(COUNT,       TO_WORKER, "ts",         WIRE_PAYLOAD_MAX,      0, 0)  /* request, text */               \
        X(PING,        TO_WORKER, "t",          8,                     0, 0)  /* number, to come back */        \
        X(INSPECT,     TO_WORKER, "t",          8,                     0, 0)  /* request: facts, see FACTS */   \
        /* worker → sparkd */                                                                                   \
        X(HELLO,       TO_DAEMON, "us",         4096,                  0, 0)  /* version, build */              \
        X(READY,       TO_DAEMON, "sssuuttt",   8192,                  0, 0)                                    \
                /* architecture, model's own name, kernels, n_ctx, threads, parameters, weight bytes,           \
                   microseconds to load */                                                                      \
        X(FAILED,      TO_DAEMON, "us",         WIRE_TEXT_MAX,         0, 0)  /* errno, text: LOAD failed; the worker then exits */ \
        X(DELTA,       TO_DAEMON, "ts",         WIRE_TEXT_MAX,         0, 0)  /* request, whole characters */   \
        X(FINISHED,    TO_DAEMON, "tuuuuttts",  WIRE_TEXT_MAX,         0, 0)                                    \
                /* request, reason (WireFinish), prompt, cached, generated tokens, µs to first token,           \
                   µs generating, seed used, error text */                                                      \
        X(COUNTED,     TO_DAEMON, "tu",         12,                    0, 0)  /* request, tokens (UINT32_MAX: failed) */ \
        X(PONG,        TO_DAEMON, "t",          8,                     0, 0)                                    \
        X(FACTS,       TO_DAEMON, "ts",         WIRE_TEXT_MAX,         0, 0)  /* request, JSON: see worker/facts.h */

typedef enum WireType {
        WIRE_INVALID = 0,
#define X(name, ...) WIRE_##name,
        WIRE_MESSAGES(X)
#undef X
        WIRE_TYPE_MAX,
} WireType;

#define WIRE_RESPOND_BACKGROUND   (UINT64_C(1) << 0)
#define WIRE_RESPOND_PREWARM      (UINT64_C(1) << 1)   /* read the prompt, say nothing */
#define WIRE_RESPOND_KEEP_ROOM    (UINT64_C(1) << 2)   /* CONTEXT_FULL also where a quarter of the context, or the reply's
                                                        * max tokens, would not be left for the reply */
#define WIRE_RESPOND_FLAGS_ALL    (WIRE_RESPOND_BACKGROUND | WIRE_RESPOND_PREWARM | WIRE_RESPOND_KEEP_ROOM)

typedef enum WireFinish {                 /* why a turn ended; numbers are the protocol's */
        WIRE_FINISH_STOP = 0,
        WIRE_FINISH_LENGTH = 1,
        WIRE_FINISH_CANCELLED = 2,
        WIRE_FINISH_CONTEXT_FULL = 3,     /* prompt tokens = requested; text = "REQUESTED AVAILABLE" in decimal */
        WIRE_FINISH_INVALID = 4,          /* the input cannot be rendered: text says why */
        WIRE_FINISH_NO_MEMORY = 5,
        WIRE_FINISH_FAILED = 6,           /* the engine's fault: text */
} WireFinish;
