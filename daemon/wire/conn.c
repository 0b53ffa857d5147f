/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a socket, one frame coming in and a queue of frames going out. Never blocks and never asks for more memory than
 * the caps say. A read never crosses the end of a frame: so it is certain which frame descriptors belong to (they come
 * with its header, or the peer is broken), and the buffer never holds more than one. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/wire/wire.h"

#define BUFFER_KEEP_MAX (64u << 10)       /* a larger buffer is given back after its message */

typedef struct OutFrame OutFrame;
struct OutFrame {
        OutFrame *next;
        char *data;
        size_t size, sent;
        size_t n_fds;
        int fds[];
};

struct WireConn {
        int fd;
        WireDirection receive;
        int broken;                       /* 0, or what every later call answers */

        char header[WIRE_HEADER_SIZE];
        size_t got;                       /* bytes of this frame so far, header included */
        WireType type;
        size_t size;                      /* of the payload; known once the header is whole */
        char *payload;
        size_t allocated;
        int fds[WIRE_FDS_MAX];
        size_t n_fds;

        OutFrame *out, *out_last;
        size_t backlog;
};

static void close_fds(int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                safe_close(fds[i]);
}

static OutFrame *out_frame_free(OutFrame *f) {
        if (!f)
                return NULL;
        close_fds(f->fds, f->n_fds);
        free(f->data);
        free(f);
        return NULL;
}
DEFINE_CLEANUP(OutFrame, out_frame_free);

int wire_conn_new(int fd, WireDirection receive, WireConn **ret) {
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;

        WireConn *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->fd = fd;
        c->receive = receive;
        *ret = c;
        return 0;
}

WireConn *wire_conn_free(WireConn *c) {
        if (!c)
                return NULL;
        while (c->out) {
                OutFrame *f = c->out;
                c->out = f->next;
                out_frame_free(f);
        }
        close_fds(c->fds, c->n_fds);
        safe_close(c->fd);
        free(c->payload);
        free(c);
        return NULL;
}

int wire_conn_fd(const WireConn *c) {
        return c->fd;
}

size_t wire_backlog(const WireConn *c) {
        return c->backlog;
}

int wire_send(WireConn *c, WireType type, const int *fds, size_t n_fds, ...) {
        const WireSpec *spec = wire_spec(type);
        if (!spec || spec->direction == c->receive || n_fds < spec->fds_min || n_fds > spec->fds_max)
                return -EINVAL;

        _cleanup_(out_frame_freep) OutFrame *f = calloc(1, sizeof *f + n_fds * sizeof f->fds[0]);
        if (!f)
                return -ENOMEM;
        for (; f->n_fds < n_fds; f->n_fds++) {
                f->fds[f->n_fds] = fcntl(fds[f->n_fds], F_DUPFD_CLOEXEC, 3);
                if (f->fds[f->n_fds] < 0)
                        return -errno;
        }

        va_list ap;
        va_start(ap, n_fds);
        int r = wire_encode(type, ap, &f->data, &f->size);
        va_end(ap);
        if (r < 0)
                return r;
        if (f->size > WIRE_BACKLOG_MAX - c->backlog)
                return -ENOBUFS;

        c->backlog += f->size;
        if (c->out)
                c->out_last->next = f;
        else
                c->out = f;
        c->out_last = TAKE_PTR(f);
        return 0;
}

static ssize_t send_some(int fd, const OutFrame *f) {
        struct iovec iov = { .iov_base = f->data + f->sent, .iov_len = f->size - f->sent };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))] = {};

        if (f->sent == 0 && f->n_fds > 0) {
                mh.msg_control = control;
                mh.msg_controllen = CMSG_SPACE(f->n_fds * sizeof(int));
                struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
                cm->cmsg_level = SOL_SOCKET;
                cm->cmsg_type = SCM_RIGHTS;
                cm->cmsg_len = CMSG_LEN(f->n_fds * sizeof(int));
                memcpy(CMSG_DATA(cm), f->fds, f->n_fds * sizeof(int));
        }
        return sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int wire_flush(WireConn *c) {
        if (c->broken < 0)
                return c->broken;
        while (c->out) {
                OutFrame *f = c->out;
                ssize_t n = send_some(c->fd, f);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno == EAGAIN)
                                return 1;
                        return errno == EPIPE ? -ECONNRESET : -errno;
                }
                f->sent += (size_t) n;
                c->backlog -= (size_t) n;
                if (f->sent < f->size)
                        continue;
                c->out = f->next;
                if (!c->out)
                        c->out_last = NULL;
                out_frame_free(f);
        }
        return 0;
}

/* Takes descriptors out of what came; -EBADMSG where there are too many or they stand inside a frame. What it took is
 * the connection's, also then. */
static int take_fds(WireConn *c, struct msghdr *mh, bool at_start) {
        int r = (mh->msg_flags & MSG_CTRUNC) ? -EBADMSG : 0;
        for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
                if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS) {
                        r = -EBADMSG;
                        continue;
                }
                size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;
                        memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof fd);
                        if (!at_start || c->n_fds >= WIRE_FDS_MAX) {
                                safe_close(fd);
                                r = -EBADMSG;
                        } else
                                c->fds[c->n_fds++] = fd;
                }
        }
        return r;
}

/* Reads up to n bytes to p. Their number, 0: would block, -ECONNRESET: end of stream, -EBADMSG. */
static ssize_t receive_some(WireConn *c, char *p, size_t n) {
        struct iovec iov = { .iov_base = p, .iov_len = n };
        _Alignas(struct cmsghdr) char control[CMSG_SPACE((WIRE_FDS_MAX + 1) * sizeof(int))];
        struct msghdr mh = {
                .msg_iov = &iov, .msg_iovlen = 1,
                .msg_control = control, .msg_controllen = sizeof control,
        };

        ssize_t got;
        do
                got = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return errno == EAGAIN ? 0 : -errno;

        int r = take_fds(c, &mh, c->got == 0);
        if (r < 0)
                return r;
        return got == 0 ? -ECONNRESET : got;
}

static int make_room(WireConn *c, size_t size) {
        if (size + 1 > c->allocated) {
                char *p = realloc(c->payload, size + 1);
                if (!p)
                        return -ENOMEM;
                c->payload = p;
                c->allocated = size + 1;
        } else if (c->allocated > BUFFER_KEEP_MAX && size < BUFFER_KEEP_MAX) {
                char *p = realloc(c->payload, size + 1);
                if (p) {
                        c->payload = p;
                        c->allocated = size + 1;
                }
        }
        return 0;
}

static int receive_frame(WireConn *c, WireMessage *ret) {
        for (;;) {
                if (c->got >= WIRE_HEADER_SIZE && c->got == WIRE_HEADER_SIZE + c->size)
                        break;
                ssize_t n = c->got < WIRE_HEADER_SIZE ?
                        receive_some(c, c->header + c->got, WIRE_HEADER_SIZE - c->got) :
                        receive_some(c, c->payload + (c->got - WIRE_HEADER_SIZE), WIRE_HEADER_SIZE + c->size - c->got);
                if (n <= 0)
                        return (int) n;
                c->got += (size_t) n;

                if (c->got == WIRE_HEADER_SIZE) {
                        int r = wire_decode_header(c->header, c->receive, &c->type, &c->size);
                        if (r >= 0)
                                r = make_room(c, c->size);
                        if (r < 0)
                                return r;
                }
        }

        int r = wire_decode(c->type, c->payload, c->size, c->n_fds, c->receive, ret);
        if (r < 0)
                return r;
        memcpy(ret->fds, c->fds, c->n_fds * sizeof c->fds[0]);
        ret->n_fds = c->n_fds;
        c->n_fds = c->got = 0;
        return 1;
}

int wire_receive(WireConn *c, WireMessage *ret) {
        if (c->broken < 0)
                return c->broken;
        int r = receive_frame(c, ret);
        if (r < 0) {
                c->broken = r;
                close_fds(c->fds, c->n_fds);
                c->n_fds = 0;
        }
        return r;
}

void wire_message_done(WireMessage *m) {
        close_fds(m->fds, m->n_fds);
        m->n_fds = 0;
}
