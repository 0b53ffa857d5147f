/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what all sources share: the cap, the bar, and Ctrl-C. Signals are blocked for the whole of an install and looked
 * for between blocks, so that no handler and no global flag is needed and a half-written block never is left. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/cleanup.h"
#include "cli/fetch.h"
#include "cli/interrupt.h"
#include "cli/sparkctl.h"
#include "cli/terminal.h"

#define BLOCK (256u << 10)

int fetch_write(Fetch *f, const void *data, size_t size) {
        if (size > f->size_max - f->at)
                return -EFBIG;
        for (const char *p = data; size > 0;) {
                ssize_t k = pwrite(f->fd, p, size, (off_t) f->at);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                p += k;
                size -= (size_t) k;
                f->at += (uint64_t) k;
        }
        return 0;
}

bool fetch_interrupted(Fetch *f) {
        sigset_t s = interrupts();
        if (sigtimedwait(&s, NULL, &(struct timespec) {}) > 0)
                f->interrupted = true;
        return f->interrupted;
}

void fetch_progress(Fetch *f, bool last) {
        if (!f->show || !terminal_is(stderr))
                return;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t ms = (now.tv_sec - f->drawn.tv_sec) * 1000 + (now.tv_nsec - f->drawn.tv_nsec) / 1000000;
        if (!last && ms < 100)
                return;
        f->drawn = now;

        char have[SIZE_TEXT_MAX], all[SIZE_TEXT_MAX];
        bool known = f->size_max < FETCH_SIZE_MAX && f->size_max > 0;
        size_t columns = terminal_columns(stderr), room = columns > 40 ? MIN(columns - 34, (size_t) 60) : 0;
        size_t full = known ? (size_t) ((double) room * (double) f->at / (double) f->size_max) : 0;
        fprintf(stderr, "\r\033[K%10s of %-10s", size_text(f->at, have), known ? size_text(f->size_max, all) : "?");
        if (known) {
                fputs(" [", stderr);
                for (size_t i = 0; i < room; i++)
                        fputc(i < full ? '#' : ' ', stderr);
                fprintf(stderr, "] %3.0f %%", 100.0 * (double) f->at / (double) f->size_max);
        }
        if (last)
                fputc('\n', stderr);
        fflush(stderr);
}

int fetch_file(Fetch *f, const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0) {
                int r = -errno;
                complain(0, "Cannot open '%s': %s.", path, strerror(-r));
                return r;
        }
        if (!S_ISREG(st.st_mode)) {
                complain(0, "'%s' is no regular file.", path);
                return -EINVAL;
        }
        if ((uint64_t) st.st_size > f->size_max - f->at) {
                complain(0, "'%s' has %lld bytes, %llu at most were promised.", path, (long long) st.st_size,
                         (unsigned long long) (f->size_max - f->at));
                return -EFBIG;
        }
        _cleanup_free_ char *block = malloc(BLOCK);
        if (!block)
                return -ENOMEM;
        for (;;) {
                if (fetch_interrupted(f))
                        return -EINTR;
                ssize_t k = read(fd, block, BLOCK);
                int r = k < 0 ? -errno : k > 0 ? fetch_write(f, block, (size_t) k) : 0;
                if (r < 0) {
                        complain(0, "Cannot copy '%s': %s.", path, strerror(-r));
                        return r;
                }
                if (k == 0)
                        return 0;
                fetch_progress(f, false);
        }
}
