/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the look at a live process: its cgroup, the sandbox's word behind its root, its executable. All of it is read
 * between two questions to the pidfd, so that what is read belongs to the process that asked, or is thrown away. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "basic/file.h"
#include "policy/identity.h"

#define CGROUP_TEXT_MAX 8192u
#define FLATPAK_INFO_MAX 65536u
#define FUSE_MAGIC 0x65735546

static bool alive(int pidfd) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        return poll(&p, 1, 0) == 0;
}

static int read_small(int dirfd, const char *name, int flags, size_t max, char **ret) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        int r = file_open(dirfd, name, flags, &fd, &size);
        return r < 0 ? r : file_read_text(fd, max, ret);
}

/* [Application] name= of a .flatpak-info. */
static bool flatpak_name(const char *text, char *ret, size_t size) {
        bool inside = false;
        for (const char *line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
                size_t n = strcspn(line, "\n");
                if (*line == '[')
                        inside = n == 13 && memcmp(line, "[Application]", 13) == 0;
                else if (inside && n > 5 && memcmp(line, "name=", 5) == 0) {
                        if (n - 5 >= size)
                                return false;
                        memcpy(ret, line + 5, n - 5);
                        ret[n - 5] = 0;
                        return true;
                }
        }
        return false;
}

/* Behind the process' root stands .flatpak-info, put there by Flatpak before the app ran and read-only to it. A FUSE root
 * could be made by anybody and answer anything. Returns 1 where it confirms, 0 where there is none, negative where it
 * cannot be read: then nothing that the cgroup claims may be believed. */
static int confirm_flatpak(int dirfd, Identity *id) {
        _cleanup_close_ int root = openat(dirfd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return -errno;
        struct statfs fs;
        if (fstatfs(root, &fs) < 0)
                return -errno;
        if (fs.f_type == FUSE_MAGIC)
                return -EACCES;
        _cleanup_free_ char *text = NULL;
        int r = read_small(root, ".flatpak-info", O_NOFOLLOW, FLATPAK_INFO_MAX, &text);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        char name[APP_ID_MAX + 1];
        if (!flatpak_name(text, name, sizeof name) || strchr(name, '/') || !app_id_valid(name))
                return -EBADMSG;
        snprintf(id->app, sizeof id->app, "%s", name);
        id->kind = IDENTITY_FLATPAK;
        id->certainty = CERTAINTY_SANDBOXED;
        return 1;
}

static bool from_executable(int dirfd, Identity *id) {
        char path[APP_ID_MAX + 2];
        ssize_t n = readlinkat(dirfd, "exe", path, sizeof path);
        if (n <= 0 || (size_t) n > APP_ID_MAX || path[0] != '/')
                return false;
        path[n] = 0;
        if (strlen(path) != (size_t) n || !app_id_valid(path))
                return false;
        memcpy(id->app, path, (size_t) n);
        id->app[n] = 0;
        id->kind = IDENTITY_EXECUTABLE;
        id->certainty = CERTAINTY_PATH;
        return true;
}

int identity_of_process(const char *proc, int pidfd, pid_t pid, uid_t uid, bool confirm, Identity *ret) {
        char path[4096];
        Identity id;
        identity_unknown(uid, ret);
        identity_unknown(uid, &id);
        if (!alive(pidfd))
                return -ESRCH;
        if ((size_t) snprintf(path, sizeof path, "%s/%d", proc, (int) pid) >= sizeof path)
                return -ENAMETOOLONG;
        _cleanup_close_ int dirfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dirfd < 0)
                return alive(pidfd) ? 0 : -ESRCH;

        _cleanup_free_ char *cgroup = NULL;
        if (read_small(dirfd, "cgroup", 0, CGROUP_TEXT_MAX, &cgroup) == 0)
                identity_from_cgroup(cgroup, uid, &id);
        if (confirm) {
                int r = confirm_flatpak(dirfd, &id);
                if (r < 0)
                        identity_unknown(uid, &id);
                else if (r == 0 && id.kind == IDENTITY_FLATPAK)
                        identity_unknown(uid, &id);     /* claims a sandbox that is not there */
                else if (r == 0 && id.kind == IDENTITY_UNKNOWN && !from_executable(dirfd, &id))
                        identity_unknown(uid, &id);
        }
        if (!alive(pidfd))
                return -ESRCH;
        *ret = id;
        return 0;
}
