/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files that others may have put there: opened without being led elsewhere or kept waiting, read up to a bound. */

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/cleanup.h"

static inline void dir_close(DIR *d) {
        closedir(d);
}
DEFINE_CLEANUP(DIR, dir_close);

/* Opens a regular file for reading; of a FIFO or a device nothing is waited for, it is -EBADMSG like all else that is no
 * regular file. `flags`: more of open(2)'s, O_NOFOLLOW for instance. The sizes of /proc's files are 0. */
int file_open(int dir_fd, const char *name, int flags, int *ret_fd, uint64_t *ret_size);

/* All that is left to read, NUL-terminated, to be freed. -EFBIG: more than max bytes; -EBADMSG: a NUL among them. */
int file_read_text(int fd, size_t max, char **ret);

/* S_IFREG, S_IFIFO, … of a descriptor that somebody handed over, as the kernel has it. The file system is not asked, as
 * fstat() would: one that is a program of theirs (FUSE), or on a network, may never answer. */
int file_type(int fd, mode_t *ret);
