/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table's own consistency; every message there and back; every way in which a peer can be broken. Hostile frames
 * are written as bytes into a real socket, past wire_send(), and no case may leave a descriptor behind. */

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/wire/wire.h"
#include "tests/test.h"

static size_t count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static void pair(WireConn **daemon, WireConn **worker) {
        int fds[2];
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        CHECK_INT(wire_conn_new(fds[0], WIRE_TO_DAEMON, daemon), 0);
        CHECK_INT(wire_conn_new(fds[1], WIRE_TO_WORKER, worker), 0);
}

/* A connection, and the bare other end. */
static void bare(WireDirection receive, WireConn **c, int *ret_fd) {
        int fds[2];
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        CHECK_INT(wire_conn_new(fds[0], receive, c), 0);
        *ret_fd = fds[1];
}

static size_t header(char *p, uint32_t size, uint16_t type, uint16_t reserved) {
        size = htole32(size);
        type = htole16(type);
        reserved = htole16(reserved);
        memcpy(p, &size, 4);
        memcpy(p + 4, &type, 2);
        memcpy(p + 6, &reserved, 2);
        return WIRE_HEADER_SIZE;
}

static void raw_send(int fd, const void *p, size_t n, size_t n_fds) {
        int fds[200];
        char control[CMSG_SPACE(sizeof fds)] = {};
        struct iovec iov = { .iov_base = (void *) p, .iov_len = n };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
        if (n_fds > 0) {
                mh.msg_control = control;
                mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
                cm->cmsg_level = SOL_SOCKET;
                cm->cmsg_type = SCM_RIGHTS;
                cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                for (size_t i = 0; i < n_fds; i++)
                        fds[i] = STDOUT_FILENO;
                memcpy(CMSG_DATA(cm), fds, n_fds * sizeof(int));
        }
        CHECK_INT(sendmsg(fd, &mh, MSG_NOSIGNAL), n);
}

static void test_table(void) {
        for (unsigned type = 1; type < WIRE_TYPE_MAX; type++) {
                const WireSpec *spec = wire_spec(type);
                CHECK(spec);
                size_t least = 0;
                for (const char *f = spec->fields; *f; f++) {
                        CHECK(strchr("utfs", *f));
                        least += *f == 't' ? 8 : 4;
                }
                CHECK(strlen(spec->fields) > 0 && strlen(spec->fields) <= WIRE_FIELDS_MAX);
                CHECK(least <= spec->payload_max && spec->payload_max <= WIRE_PAYLOAD_MAX);
                CHECK(strchr(spec->fields, 's') || least == spec->payload_max);
                CHECK(spec->fds_min <= spec->fds_max && spec->fds_max <= WIRE_FDS_MAX);
                CHECK(spec->direction == WIRE_TO_WORKER || spec->fds_max == 0);   /* a worker hands out nothing */
                for (unsigned other = 1; other < type; other++)
                        CHECK(strcmp(wire_type_name(other), spec->name) != 0);
        }
        CHECK(!wire_spec(WIRE_INVALID));
        CHECK(!wire_spec(WIRE_TYPE_MAX));
        CHECK(!wire_spec((WireType) -1));
        CHECK_STR(wire_type_name(WIRE_INVALID), "?");
        CHECK_STR(wire_type_name(WIRE_LOAD), "LOAD");
        CHECK(WIRE_PAYLOAD_MAX + WIRE_HEADER_SIZE <= WIRE_BACKLOG_MAX);
        CHECK(wire_spec(WIRE_RESPOND)->payload_max >= WIRE_TRANSCRIPT_MAX + 256);
}

static void test_round_trip(void) {
        size_t before = count_fds();
        {
                _cleanup_(wire_conn_freep) WireConn *d = NULL, *w = NULL;
                WireMessage m;
                pair(&d, &w);
                CHECK_INT(wire_receive(w, &m), 0);

                int fds[2] = { STDIN_FILENO, STDOUT_FILENO };
                CHECK_INT(wire_send(d, WIRE_LOAD, fds, 2, 1u, 2u, 3u, UINT64_C(1) << 40, "avx2", (size_t) 4, 7u), 0);
                CHECK_INT(wire_send(d, WIRE_RESPOND, NULL, 0, UINT64_MAX, UINT64_C(2), UINT64_C(3), UINT64_C(4), 5u, "a\0b", (size_t) 3,
                                    0.5, 0.25, -1.0, 1.125, 40u, 64u, UINT64_C(99), 7u), 0);
                CHECK_INT(wire_send(d, WIRE_COUNT, NULL, 0, UINT64_C(8), "", (size_t) 0), 0);
                CHECK_INT(wire_flush(d), 0);
                CHECK_INT(wire_backlog(d), 0);

                CHECK_INT(wire_receive(w, &m), 1);
                CHECK_INT(m.type, WIRE_LOAD);
                CHECK_INT(m.n_fds, 2);
                CHECK(m.fds[0] > 2 && m.fds[1] > 2 && (fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC));
                CHECK_INT(m.fields[3].t, INT64_C(1) << 40);
                CHECK_STR(m.fields[4].s.data, "avx2");
                CHECK_INT(m.fields[5].u, 7);
                wire_message_done(&m);

                CHECK_INT(wire_receive(w, &m), 1);
                CHECK_INT(m.type, WIRE_RESPOND);
                CHECK_INT(m.n_fds, 0);
                CHECK(m.fields[0].t == UINT64_MAX);
                CHECK_INT(m.fields[5].s.size, 3);
                CHECK(memcmp(m.fields[5].s.data, "a\0b", 4) == 0);
                CHECK(m.fields[6].f == 0.5f && m.fields[8].f == -1.0f && m.fields[9].f == 1.125f);
                CHECK_INT(m.fields[12].t, 99);
                CHECK_INT(m.fields[13].u, 7);

                CHECK_INT(wire_receive(w, &m), 1);
                CHECK_INT(m.type, WIRE_COUNT);
                CHECK_STR(m.fields[1].s.data, "");
                CHECK_INT(wire_receive(w, &m), 0);

                d = wire_conn_free(d);
                CHECK_INT(wire_receive(w, &m), -ECONNRESET);
                CHECK_INT(wire_receive(w, &m), -ECONNRESET);
                CHECK_INT(wire_send(w, WIRE_PONG, NULL, 0, UINT64_C(1)), 0);
                CHECK_INT(wire_flush(w), -ECONNRESET);
        }
        CHECK_INT(count_fds(), before);
}

/* FINISHED has every kind of field but f: cut at every byte, it is a message at its last one and not before. */
static void test_split(void) {
        _cleanup_(wire_conn_freep) WireConn *d = NULL, *w = NULL;
        WireMessage m;
        pair(&d, &w);
        CHECK_INT(wire_send(w, WIRE_FINISHED, NULL, 0, UINT64_C(1), 2u, 3u, 4u, 5u, UINT64_C(6), UINT64_C(7), UINT64_C(8), "why", (size_t) 3), 0);
        CHECK_INT(wire_send(w, WIRE_PONG, NULL, 0, UINT64_C(77)), 0);
        CHECK_INT(wire_flush(w), 0);
        char bytes[256];
        ssize_t n = recv(wire_conn_fd(d), bytes, sizeof bytes, 0);
        CHECK(n > 40);
        size_t first = (size_t) n - WIRE_HEADER_SIZE - 8;

        for (size_t cut = 0; cut <= (size_t) n; cut++) {
                _cleanup_(wire_conn_freep) WireConn *c = NULL;
                _cleanup_close_ int fd = -1;
                bare(WIRE_TO_DAEMON, &c, &fd);
                if (cut > 0)
                        raw_send(fd, bytes, cut, 0);
                CHECK_INT(wire_receive(c, &m), cut >= first);
                if (cut < (size_t) n)
                        raw_send(fd, bytes + cut, (size_t) n - cut, 0);
                if (cut < first)
                        CHECK_INT(wire_receive(c, &m), 1);
                CHECK_INT(m.type, WIRE_FINISHED);
                CHECK_STR(m.fields[8].s.data, "why");
                CHECK_INT(m.fields[7].t, 8);
                CHECK_INT(wire_receive(c, &m), 1);
                CHECK_INT(m.type, WIRE_PONG);
                CHECK_INT(m.fields[0].t, 77);
                CHECK_INT(wire_receive(c, &m), 0);
        }

        _cleanup_(wire_conn_freep) WireConn *c = NULL;
        _cleanup_close_ int fd = -1;
        bare(WIRE_TO_DAEMON, &c, &fd);
        for (size_t i = 0; i < (size_t) n; i++) {
                raw_send(fd, bytes + i, 1, 0);
                CHECK_INT(wire_receive(c, &m), i + 1 == first || i + 1 == (size_t) n);
        }
}

/* What a frame of these bytes is to a connection that receives in this direction. Sticky, and nothing leaks. */
static int verdict(WireDirection receive, const char *bytes, size_t n, size_t n_fds, size_t fds_at) {
        size_t before = count_fds();
        int r;
        {
                _cleanup_(wire_conn_freep) WireConn *c = NULL;
                _cleanup_close_ int fd = -1;
                WireMessage m;
                bare(receive, &c, &fd);
                if (fds_at > 0)
                        raw_send(fd, bytes, fds_at, 0);
                raw_send(fd, bytes + fds_at, n - fds_at, n_fds);
                r = wire_receive(c, &m);
                if (r == 1)
                        wire_message_done(&m);
                else if (r < 0)
                        CHECK_INT(wire_receive(c, &m), r);
        }
        CHECK_INT(count_fds(), before);
        return r;
}

static void test_broken_header(void) {
        char f[64] = {};
        header(f, 8, WIRE_PING, 0);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 16, 0, 0), 1);
        CHECK_INT(verdict(WIRE_TO_DAEMON, f, 16, 0, 0), -EBADMSG);      /* the wrong way */
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 15, 0, 0), 0);
        header(f, 8, WIRE_PING, 1);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 16, 0, 0), -EBADMSG);
        header(f, 9, WIRE_PING, 0);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 8, 0, 0), -EBADMSG);       /* known by its header */
        header(f, 7, WIRE_PING, 0);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 15, 0, 0), -EBADMSG);
        header(f, 0, WIRE_PING, 0);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 8, 0, 0), -EBADMSG);
        header(f, UINT32_MAX, WIRE_PING, 0);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 16, 0, 0), -EBADMSG);
        header(f, WIRE_PAYLOAD_MAX + 1, WIRE_RESPOND, 0);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 16, 0, 0), -EBADMSG);
        for (unsigned type = 0; type < 65536; type += type < 64 ? 1 : 997) {
                const WireSpec *spec = wire_spec(type);
                header(f, 8, (uint16_t) type, 0);
                if (!spec || spec->direction != WIRE_TO_WORKER)
                        CHECK_INT(verdict(WIRE_TO_WORKER, f, 8, 0, 0), -EBADMSG);
        }
}

static void test_broken_fields(void) {
        char f[64] = {};
        uint32_t n;

        /* COUNT "ts": 12 bytes and the string */
        header(f, 12 + 4, WIRE_COUNT, 0);
        for (uint32_t i = 0; i < 8; i++) {
                n = htole32(i);
                memcpy(f + 16, &n, 4);
                CHECK_INT(verdict(WIRE_TO_WORKER, f, 24, 0, 0), i == 4 ? 1 : -EBADMSG);
        }
        n = UINT32_MAX;
        memcpy(f + 16, &n, 4);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 24, 0, 0), -EBADMSG);
        header(f, 11, WIRE_COUNT, 0);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 19, 0, 0), -EBADMSG);

        /* every type: a payload one byte short of its fields, of zeros (strings empty), and one byte too long */
        for (unsigned type = 1; type < WIRE_TYPE_MAX; type++) {
                const WireSpec *spec = wire_spec(type);
                char payload[256] = {};
                WireMessage m;
                size_t least = 0;
                for (const char *c = spec->fields; *c; c++)
                        least += *c == 't' ? 8 : 4;
                for (size_t size = 0; size <= least + 1; size++)
                        CHECK_INT(wire_decode(type, payload, size, spec->fds_min, spec->direction, &m), size == least ? 0 : -EBADMSG);
                CHECK_INT(wire_decode(type, payload, least, spec->fds_max + 1, spec->direction, &m), -EBADMSG);
                CHECK_INT(wire_decode(type, payload, least, spec->fds_min, !spec->direction, &m), -EBADMSG);
        }
}

static void test_broken_fds(void) {
        char f[64] = {};
        header(f, 28, WIRE_LOAD, 0);
        f[8] = 1;
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 36, 0, 0), -EBADMSG);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 36, 1, 0), 1);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 36, 1, 8), -EBADMSG);      /* not with the header */
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 36, 1, 20), -EBADMSG);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 36, WIRE_FDS_MAX, 0), 1);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 36, WIRE_FDS_MAX + 1, 0), -EBADMSG);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 36, 200, 0), -EBADMSG);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 7, 3, 0), 0);              /* held, and closed with the connection */
        header(f, 8, WIRE_PING, 0);
        CHECK_INT(verdict(WIRE_TO_WORKER, f, 16, 1, 0), -EBADMSG);
        header(f, 8, WIRE_PONG, 0);
        CHECK_INT(verdict(WIRE_TO_DAEMON, f, 16, 1, 0), -EBADMSG);      /* a worker has nothing to hand over */
}

static void test_send_refuses(void) {
        _cleanup_(wire_conn_freep) WireConn *d = NULL, *w = NULL;
        _cleanup_free_ char *big = calloc(1, WIRE_PAYLOAD_MAX);
        pair(&d, &w);
        CHECK_INT(wire_send(d, WIRE_PONG, NULL, 0, UINT64_C(1)), -EINVAL);
        CHECK_INT(wire_send(w, WIRE_PING, NULL, 0, UINT64_C(1)), -EINVAL);
        CHECK_INT(wire_send(d, WIRE_INVALID, NULL, 0), -EINVAL);
        CHECK_INT(wire_send(d, WIRE_PING, (int[]) { 0 }, 1, UINT64_C(1)), -EINVAL);
        CHECK_INT(wire_send(d, WIRE_LOAD, NULL, 0, 1u, 1u, 1u, UINT64_C(1), "", (size_t) 0, 1u), -EINVAL);
        CHECK_INT(wire_send(d, WIRE_LOAD, (int[]) { -1 }, 1, 1u, 1u, 1u, UINT64_C(1), "", (size_t) 0, 1u), -EBADF);
        CHECK_INT(wire_send(d, WIRE_COUNT, NULL, 0, UINT64_C(1), big, (size_t) WIRE_PAYLOAD_MAX), -EINVAL);
        CHECK_INT(wire_send(d, WIRE_COUNT, NULL, 0, UINT64_C(1), big, SIZE_MAX - 4), -EINVAL);
        CHECK_INT(wire_send(w, WIRE_DELTA, NULL, 0, UINT64_C(1), big, (size_t) WIRE_TEXT_MAX), -EINVAL);
        CHECK_INT(wire_backlog(d), 0);
        CHECK_INT(wire_backlog(w), 0);
}

/* A peer that never reads costs the backlog's cap and no more; one that reads again gets everything, in order. */
static void test_backlog(void) {
        _cleanup_(wire_conn_freep) WireConn *d = NULL, *w = NULL;
        _cleanup_free_ char *text = malloc(WIRE_TRANSCRIPT_MAX);
        WireMessage m;
        memset(text, 'x', WIRE_TRANSCRIPT_MAX);
        pair(&d, &w);

        uint64_t n = 0;
        int r;
        while ((r = wire_send(d, WIRE_COUNT, NULL, 0, n, text, (size_t) WIRE_TRANSCRIPT_MAX)) == 0) {
                n++;
                CHECK_INT(wire_flush(d), 1);
                CHECK(wire_backlog(d) <= WIRE_BACKLOG_MAX);
        }
        CHECK_INT(r, -ENOBUFS);
        CHECK(n >= 7);

        uint64_t got = 0;
        while (got < n) {
                CHECK(wire_flush(d) >= 0);
                r = wire_receive(w, &m);
                CHECK(r >= 0);
                if (r == 0)
                        continue;
                CHECK_INT(m.fields[0].t, got);
                CHECK_INT(m.fields[1].s.size, WIRE_TRANSCRIPT_MAX);
                CHECK(memcmp(m.fields[1].s.data, text, WIRE_TRANSCRIPT_MAX) == 0);
                got++;
        }
        CHECK_INT(wire_flush(d), 0);
        CHECK_INT(wire_backlog(d), 0);
        CHECK_INT(wire_send(d, WIRE_PING, NULL, 0, UINT64_C(5)), 0);
        CHECK_INT(wire_flush(d), 0);
        CHECK_INT(wire_receive(w, &m), 1);
        CHECK_INT(m.fields[0].t, 5);
}

/* End of stream in the middle of a frame, with descriptors already taken. */
static void test_cut_off(void) {
        size_t before = count_fds();
        {
                _cleanup_(wire_conn_freep) WireConn *c = NULL;
                WireMessage m;
                int fd;
                char f[64] = {};
                bare(WIRE_TO_WORKER, &c, &fd);
                header(f, 28, WIRE_LOAD, 0);
                raw_send(fd, f, 20, 5);
                CHECK_INT(wire_receive(c, &m), 0);
                close(fd);
                CHECK_INT(wire_receive(c, &m), -ECONNRESET);
        }
        CHECK_INT(count_fds(), before);
}

TEST_MAIN(
        { "the table is consistent", test_table },
        { "messages go there and back", test_round_trip },
        { "a frame may be split at every byte", test_split },
        { "a broken header is a broken peer", test_broken_header },
        { "broken fields are a broken peer", test_broken_fields },
        { "misplaced descriptors are a broken peer", test_broken_fds },
        { "sending keeps to the table", test_send_refuses },
        { "a peer that does not read costs the cap", test_backlog },
        { "a stream that ends inside a frame", test_cut_off },
)
