/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Frames of daemon/wire/messages.h over one socket: encoding, decoding, buffered non-blocking transport. Used by both
 * sides; knows neither sd-event nor the engine. A WireConn never blocks: what the socket does not take waits in a
 * buffer of at most WIRE_BACKLOG_MAX bytes. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/cleanup.h"
#include "daemon/wire/messages.h"

#define WIRE_BACKLOG_MAX (32u << 20)
#define WIRE_HEADER_SIZE 8u

typedef struct WireConn WireConn;

typedef struct WireField {                 /* in the order of the table's fields */
        union {
                uint32_t u;
                uint64_t t;
                float f;
                struct { const char *data; size_t size; } s;   /* in the connection's buffer; NUL-terminated after size */
        };
} WireField;

#define WIRE_FIELDS_MAX 16u

typedef struct WireMessage {
        WireType type;
        WireField fields[WIRE_FIELDS_MAX];
        size_t n_fields;
        int fds[WIRE_FDS_MAX];             /* owned by the message: wire_message_done() closes what is left (≥ 0) */
        size_t n_fds;
} WireMessage;

/* Takes the socket over (made non-blocking, close-on-exec). `receive` is the direction that this side accepts. */
int wire_conn_new(int fd, WireDirection receive, WireConn **ret);
WireConn *wire_conn_free(WireConn *c);
DEFINE_CLEANUP(WireConn, wire_conn_free);
int wire_conn_fd(const WireConn *c);

/* Queues one message; arguments as the table's fields say: u → uint32_t, t → uint64_t, f → double, s → const char *,
 * size_t. Descriptors are duplicated. -EINVAL: against the table; -ENOBUFS: the backlog is full. */
int wire_send(WireConn *c, WireType type, const int *fds, size_t n_fds, ...);

/* Writes what the socket takes. 1: more is waiting (poll for POLLOUT), 0: all gone, negative: the peer is lost. */
int wire_flush(WireConn *c);
size_t wire_backlog(const WireConn *c);

/* Reads what is there and hands out the next whole message. 1: a message (fields valid until the next call on c),
 * 0: none yet, -ECONNRESET: end of stream, -EBADMSG: the peer broke the table. */
int wire_receive(WireConn *c, WireMessage *ret);
void wire_message_done(WireMessage *m);

/* The codec alone, without a socket: for the connection, for tests and the fuzzer. */
typedef struct WireSpec {                  /* one line of the table */
        const char *name, *fields;
        WireDirection direction;
        size_t payload_max, fds_min, fds_max;
} WireSpec;

const WireSpec *wire_spec(WireType type);  /* NULL: no such type */
const char *wire_type_name(WireType type); /* "?": no such type */

/* A whole frame, header and payload, to be freed; arguments as for wire_send(). -EINVAL, -ENOMEM. */
int wire_encode(WireType type, va_list ap, char **ret, size_t *ret_size);

/* WIRE_HEADER_SIZE bytes: is this a message that may come, and is its length one that it may have? -EBADMSG. */
int wire_decode_header(const char *header, WireDirection receive, WireType *ret_type, size_t *ret_size);

/* One payload. One byte after its end is writable (the last string's NUL goes there), and strings inside get theirs
 * over bytes already read: a payload is decoded once. n_fds is checked; the message gets no descriptors. -EBADMSG. */
int wire_decode(WireType type, char *payload, size_t size, size_t n_fds, WireDirection receive, WireMessage *ret);
