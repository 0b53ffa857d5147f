/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the careful opening and bounded reading of small files. A size that was told before is never relied on: files
 * grow, and /proc tells none. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/cleanup.h"
#include "basic/file.h"

int file_open(int dir_fd, const char *name, int flags, int *ret_fd, uint64_t *ret_size) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
        if (fd < 0)
                return -errno;
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;
        *ret_size = (uint64_t) st.st_size;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int file_type(int fd, mode_t *ret) {
        struct statx st;
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
                return -errno;
        *ret = st.stx_mode & S_IFMT;
        return 0;
}

int file_read_text(int fd, size_t max, char **ret) {
        _cleanup_free_ char *text = malloc(max + 1);
        if (!text)
                return -ENOMEM;
        size_t n = 0;
        for (;;) {
                ssize_t k = read(fd, text + n, max + 1 - n);
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
                if (n > max)
                        return -EFBIG;
        }
        if (memchr(text, 0, n))
                return -EBADMSG;
        text[n] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}
