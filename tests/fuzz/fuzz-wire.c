/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything that a broken or taken-over peer can put on the wire. The first byte chooses: one payload through the
 * codec (the second byte is its type), a stream of frames through a real socket to either side, in pieces, or the JSON
 * of a transcript. What decodes is encoded again and must be the same bytes. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/wire/wire.h"
#include "daemon/worker/transcript.h"
#include "tests/fuzz/promise.h"

#define INPUT_MAX 4096

/* Through the variadic interface only a type's own signature fits, so the comparison is of types with one. */
static char *encode(WireType type, size_t *ret_size, ...) {
        char *frame = NULL;
        va_list ap;
        va_start(ap, ret_size);
        PROMISE(wire_encode(type, ap, &frame, ret_size) >= 0);
        va_end(ap);
        return frame;
}

static void encode_again(const WireMessage *m, const char *payload, size_t size) {
        _cleanup_free_ char *frame = NULL;
        size_t n;
        const WireField *f = m->fields;
        if (m->type == WIRE_COUNT || m->type == WIRE_DELTA)
                frame = encode(m->type, &n, f[0].t, f[1].s.data, f[1].s.size);
        else if (m->type == WIRE_FINISHED)
                frame = encode(m->type, &n, f[0].t, f[1].u, f[2].u, f[3].u, f[4].u, f[5].t, f[6].t, f[7].t, f[8].s.data, f[8].s.size);
        else if (m->type == WIRE_READY)
                frame = encode(m->type, &n, f[0].s.data, f[0].s.size, f[1].s.data, f[1].s.size, f[2].s.data, f[2].s.size, f[3].u, f[4].u,
                               f[5].t, f[6].t, f[7].t);
        else
                return;
        PROMISE(n == size + WIRE_HEADER_SIZE && memcmp(frame + WIRE_HEADER_SIZE, payload, size) == 0);
}

static void check_message(const WireMessage *m) {
        const WireSpec *spec = wire_spec(m->type);
        PROMISE(spec && m->n_fields == strlen(spec->fields));
        for (size_t i = 0; i < m->n_fields; i++)
                if (spec->fields[i] == 's')
                        PROMISE(m->fields[i].s.size <= spec->payload_max && m->fields[i].s.data[m->fields[i].s.size] == 0);
}

static void fuzz_payload(const uint8_t *data, size_t size) {
        if (size == 0)
                return;
        WireType type = data[0] % (WIRE_TYPE_MAX + 2);
        const WireSpec *spec = wire_spec(type);
        size--;
        _cleanup_free_ char *payload = malloc(size + 1);
        memcpy(payload, data + 1, size);
        WireMessage m;
        if (wire_decode(type, payload, size, spec ? spec->fds_min : 0, spec ? spec->direction : WIRE_TO_WORKER, &m) < 0)
                return;
        PROMISE(spec);
        check_message(&m);
        encode_again(&m, (const char *) data + 1, size);
}

static void fuzz_stream(const uint8_t *data, size_t size, WireDirection receive) {
        int fds[2];
        WireConn *c;
        WireMessage m;
        if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return;
        PROMISE(wire_conn_new(fds[0], receive, &c) >= 0);
        size_t piece = data[0] + 1u;
        int r = 0;
        for (size_t pos = 1; pos < size && r >= 0; pos += piece) {
                size_t n = MIN(piece, size - pos);
                PROMISE(send(fds[1], data + pos, n, MSG_NOSIGNAL) == (ssize_t) n);
                while ((r = wire_receive(c, &m)) == 1) {
                        PROMISE(wire_spec(m.type)->direction == receive);
                        check_message(&m);
                        wire_message_done(&m);
                }
        }
        close(fds[1]);
        if (r >= 0)
                PROMISE(wire_receive(c, &m) == -ECONNRESET);
        wire_conn_free(c);
}

static void fuzz_transcript(const uint8_t *data, size_t size) {
        _cleanup_(transcript_freep) Transcript *t = NULL;
        EngineError e = {};
        if (transcript_new((const char *) data, size, &t, &e) < 0)
                return;
        size_t n;
        const ChatMessage *messages = transcript_messages(t, &n);
        PROMISE(n > 0 && n <= TRANSCRIPT_MESSAGES_MAX);
        for (size_t i = 0; i < n; i++) {
                PROMISE(messages[i].role && (messages[i].content || messages[i].tool_calls_json));
                PROMISE(!messages[i].content || strlen(messages[i].content) == messages[i].content_size);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0 || size > INPUT_MAX)
                return 0;
        switch (data[0] % 4) {
        case 0:
                fuzz_payload(data + 1, size - 1);
                break;
        case 1:
                fuzz_stream(data + 1, size - 1, WIRE_TO_WORKER);
                break;
        case 2:
                fuzz_stream(data + 1, size - 1, WIRE_TO_DAEMON);
                break;
        case 3:
                fuzz_transcript(data + 1, size - 1);
                break;
        }
        return 0;
}
