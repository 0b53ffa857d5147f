/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is opened and what is not, on real files; what is read, up to the last byte that fits. */

#include <fcntl.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "tests/test.h"

/* A file that is not anywhere, with that in it, to be read from its beginning. */
static int file_of(const char *bytes, size_t n) {
        int fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK(write(fd, bytes, n) == (ssize_t) n);
        CHECK_INT(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static void test_open(void) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t size = 7;
        CHECK_INT(file_open(AT_FDCWD, "/tmp/spark-test-nothing", 0, &fd, &size), -ENOENT);
        CHECK_INT(file_open(AT_FDCWD, "/tmp", 0, &fd, &size), -EBADMSG);
        CHECK_INT(file_open(AT_FDCWD, "/dev/null", 0, &fd, &size), -EBADMSG);
        CHECK_INT(file_open(AT_FDCWD, "/proc/self/exe", O_NOFOLLOW, &fd, &size), -ELOOP);
        CHECK_INT(size, 7);
        CHECK_INT(fd, -EBADF);

        struct stat st;
        CHECK_INT(file_open(AT_FDCWD, "/proc/self/exe", 0, &fd, &size), 0);
        CHECK_INT(fstat(fd, &st), 0);
        CHECK_INT(size, st.st_size);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* Nobody writes to it: an open() that waits for that would never return. */
static void test_fifo(void) {
        char path[] = "/tmp/spark-test-file-XXXXXX", fifo[sizeof path + 8];
        CHECK(mkdtemp(path));
        snprintf(fifo, sizeof fifo, "%s/fifo", path);
        CHECK_INT(mkfifo(fifo, 0600), 0);
        int fd = -EBADF;
        uint64_t size;
        int r = file_open(AT_FDCWD, fifo, 0, &fd, &size);
        CHECK_INT(unlink(fifo), 0);
        CHECK_INT(rmdir(path), 0);
        CHECK_INT(r, -EBADMSG);
}

static const struct {
        const char *name, *bytes;
        size_t n, max;
        int r;
} reads[] = {
        { "nothing in it",         "",           0, 4, 0         },
        { "less than the bound",   "abc",        3, 4, 0         },
        { "as much as the bound",  "abcd",       4, 4, 0         },
        { "one more",              "abcde",      5, 4, -EFBIG    },
        { "much more",             "abcdefghij", 10, 4, -EFBIG   },
        { "a NUL",                 "a\0c",       3, 4, -EBADMSG  },
};

static void test_read(void) {
        for (size_t i = 0; i < ELEMENTSOF(reads); i++) {
                _cleanup_close_ int fd = file_of(reads[i].bytes, reads[i].n);
                _cleanup_free_ char *text = NULL;
                int r = file_read_text(fd, reads[i].max, &text);
                if (r != reads[i].r)
                        printf("# %s\n", reads[i].name);
                CHECK_INT(r, reads[i].r);
                if (r == 0)
                        CHECK_STR(text, reads[i].bytes);
                else
                        CHECK(!text);
        }
}

TEST_MAIN(
        { "regular files are opened, and nothing else", test_open },
        { "a FIFO keeps nobody waiting", test_fifo },
        { "all of a file, up to the bound", test_read },
)
