/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is opened and what is not, on real files; what is read, up to the last byte that fits; what a descriptor is of,
 * also where its file system says nothing. */

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

static void test_type(void) {
        mode_t type = 7;
        int ends[2], pair[2];
        CHECK_INT(file_type(-1, &type), -EBADF);
        CHECK_INT(type, 7);
        _cleanup_close_ int file = file_of("", 0);
        CHECK_INT(file_type(file, &type), 0);
        CHECK_INT(type, S_IFREG);
        CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
        CHECK_INT(file_type(ends[0], &type), 0);
        CHECK_INT(type, S_IFIFO);
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        CHECK_INT(file_type(pair[1], &type), 0);
        CHECK_INT(type, S_IFSOCK);
        for (int i = 0; i < 2; i++) {
                close(ends[i]);
                close(pair[i]);
        }
}

enum { SILENT_OK, SILENT_NONE, SILENT_WRONG };

/* In a process of its own: a file system whose program never says a word, and the folder at its top. */
static int silent_file_system(void) {
        char options[64];
        mode_t type;
        int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
        if (fuse < 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("spark-test", "/mnt", "fuse", MS_NOSUID | MS_NODEV, options) < 0)
                return SILENT_NONE;
        int top = open("/mnt", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (top < 0)
                return SILENT_NONE;
        alarm(10);
        return file_type(top, &type) == 0 && type == S_IFDIR ? SILENT_OK : SILENT_WRONG;
}

static void test_silent(void) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
                _exit(silent_file_system());
        CHECK(pid > 0);
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));               /* and was not ended by the alarm */
        if (WEXITSTATUS(status) == SILENT_NONE)
                SKIP("FUSE cannot be mounted here");
        CHECK_INT(WEXITSTATUS(status), SILENT_OK);
}

TEST_MAIN(
        { "regular files are opened, and nothing else", test_open },
        { "a FIFO keeps nobody waiting", test_fifo },
        { "all of a file, up to the bound", test_read },
        { "what a descriptor is of", test_type },
        { "a file system that does not answer is not asked", test_silent },
)
