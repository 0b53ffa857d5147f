/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a cgroup's text to an identity, as a table; and from live processes: this one, one that is gone, one whose root
 * carries a Flatpak's word, one whose root cannot be read. */

#include <fcntl.h>
#include <signal.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "policy/identity.h"
#include "tests/test.h"

#define U1000 "0::/user.slice/user-1000.slice/user@1000.service/"

static const struct {
        const char *cgroup;
        IdentityKind kind;
        Certainty certainty;
        const char *app;
} rows[] = {
        /* Flatpak and snap: claimed by the name, not yet confirmed */
        { U1000 "app.slice/app-flatpak-org.mozilla.firefox-12345.scope\n", IDENTITY_FLATPAK, CERTAINTY_UNIT, "org.mozilla.firefox" },
        { U1000 "app.slice/app-flatpak-org.gnome.Text\\x2dEditor-77.scope\n", IDENTITY_FLATPAK, CERTAINTY_UNIT, "org.gnome.Text-Editor" },
        { U1000 "app.slice/snap.firefox.firefox-0f1e2d3c.scope\n", IDENTITY_SNAP, CERTAINTY_UNIT, "firefox" },
        { U1000 "app.slice/snap.lxd.daemon.service\n", IDENTITY_SNAP, CERTAINTY_UNIT, "lxd" },
        /* Desktop launches */
        { U1000 "app.slice/app-gnome-org.gnome.Terminal-2345.scope\n", IDENTITY_SCOPE, CERTAINTY_UNIT, "org.gnome.Terminal" },
        { U1000 "app.slice/app-org.kde.kate-abcdef.scope\n", IDENTITY_SCOPE, CERTAINTY_UNIT, "org.kde.kate" },
        { U1000 "app.slice/app-KDE-libreoffice\\x2dwriter-9.scope\n", IDENTITY_SCOPE, CERTAINTY_UNIT, "libreoffice-writer" },
        { U1000 "app.slice/app-org.kde.dolphin@4f3c.service\n", IDENTITY_USER_SERVICE, CERTAINTY_UNIT, "org.kde.dolphin" },
        { U1000 "app.slice/app-gnome-org.gnome.Evolution@autostart.service\n", IDENTITY_USER_SERVICE, CERTAINTY_UNIT, "org.gnome.Evolution" },
        { U1000 "app.slice/backup.service\n", IDENTITY_USER_SERVICE, CERTAINTY_UNIT, "backup.service" },
        { U1000 "app.slice/snap.service\n", IDENTITY_USER_SERVICE, CERTAINTY_UNIT, "snap.service" },    /* no snap has that name */
        { U1000 "app.slice/app-.service\n", IDENTITY_USER_SERVICE, CERTAINTY_UNIT, "app-.service" },
        /* The app's own cgroups below its unit are its own affair */
        { U1000 "app.slice/app-org.kde.kate-1.scope/app-flatpak-org.bank.App-2.scope\n", IDENTITY_SCOPE, CERTAINTY_UNIT, "org.kde.kate" },
        /* System services */
        { "0::/system.slice/cups.service\n", IDENTITY_SYSTEM_SERVICE, CERTAINTY_UNIT, "cups.service" },
        { "0::/system.slice/system-getty.slice/getty@tty1.service\n", IDENTITY_SYSTEM_SERVICE, CERTAINTY_UNIT, "getty@tty1.service" },
        /* Hybrid hierarchies name more lines; the unified one counts */
        { "1:name=systemd:/user.slice/x\n" U1000 "app.slice/app-org.a.B-1.scope\n", IDENTITY_SCOPE, CERTAINTY_UNIT, "org.a.B" },
        /* No app: sessions, other users' managers, nonsense */
        { "0::/user.slice/user-1000.slice/session-3.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { "0::/user.slice/user-1001.slice/user@1001.service/app.slice/app-org.a.B-1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { U1000 "app.slice/app-.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { U1000 "app.slice/app-org.a.B-.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { U1000 "app.slice/app-flatpak--1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { U1000 "app.slice/app-org.a\\x2fB-1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },       /* a slash */
        { U1000 "app.slice/app-org.a\\x0aB-1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },       /* a line feed */
        { U1000 "app.slice/app-org.a\\x00B-1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },       /* a NUL */
        { U1000 "app.slice/app-org.a\\xff-1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },       /* no UTF-8 */
        { U1000 "app.slice/app-org.a\\xc2\\x9b-1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },  /* a terminal's escape */
        { U1000 "app.slice/app-org.\\xc3\\xa9-1.scope\n", IDENTITY_SCOPE, CERTAINTY_UNIT, "org.\xc3\xa9" },
        { U1000 "app.slice/app-org.a\\xZZ-1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { U1000 "app.slice/app-org.a\\x2-1.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { U1000 "init.scope\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { "0::/\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { "0::/user.slice\n", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { "", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { "rubbish", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
        { "0::", IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?" },
};

static void test_cgroups(void) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Identity id;
                identity_from_cgroup(rows[i].cgroup, 1000, &id);
                if (id.kind != rows[i].kind || id.certainty != rows[i].certainty || strcmp(id.app, rows[i].app) != 0) {
                        printf("# %s gives %s %s '%s'\n", rows[i].cgroup, identity_kind_name(id.kind), certainty_name(id.certainty), id.app);
                        CHECK(!"as the table says");
                }
                CHECK_INT(id.uid, 1000);
        }
}

/* The unit is told also where it is no app's: by it, an agent of the same login session is found. */
static void test_units(void) {
        static const struct { const char *cgroup, *unit; bool in_login_session; } units[] = {
                { "0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", true },
                { "0::/user.slice/user-1000.slice/session-c1.scope/payload\n", "session-c1.scope", true },
                /* What a session's processes make below it says nothing. */
                { "0::/user.slice/user-1000.slice/session-3.scope/user@1000.service/app.slice/app-org.a.B-1.scope\n", "session-3.scope", true },
                { U1000 "app.slice/app-org.kde.kate-1.scope\n", "app-org.kde.kate-1.scope" },
                { U1000 "app.slice/session-4.scope\n", "session-4.scope" },
                { "0::/system.slice/cups.service\n", "cups.service" },
                { "0::/\n", "" },
        };
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                Identity id;
                identity_from_cgroup(units[i].cgroup, 1000, &id);
                CHECK_STR(id.unit, units[i].unit);
                CHECK_INT(id.in_login_session, units[i].in_login_session);
        }
}

static void test_long_names(void) {
        char text[2048], name[1024];
        Identity id;
        memset(name, 'a', sizeof name - 1);
        name[sizeof name - 1] = 0;
        snprintf(text, sizeof text, U1000 "app.slice/app-%s-1.scope\n", name);
        identity_from_cgroup(text, 1000, &id);
        CHECK_INT(id.kind, IDENTITY_UNKNOWN);
        CHECK_STR(id.app, "?");
}

static int open_pidfd(pid_t pid) {
        return (int) syscall(SYS_pidfd_open, pid, 0);
}

static void test_this_process(void) {
        _cleanup_close_ int fd = open_pidfd(getpid());
        CHECK(fd >= 0);
        Identity id;
        CHECK_INT(identity_of_process("/proc", fd, getpid(), getuid(), true, &id), 0);
        CHECK(id.kind != IDENTITY_FLATPAK);
        if (id.kind == IDENTITY_EXECUTABLE) {
                CHECK_INT(id.certainty, CERTAINTY_PATH);
                CHECK(strstr(id.app, "test-identity"));
        }
}

static void test_gone(void) {
        pid_t pid = fork();
        if (pid == 0)
                _exit(0);
        _cleanup_close_ int fd = open_pidfd(pid);
        CHECK(fd >= 0);
        siginfo_t info;
        CHECK_INT(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT), 0);
        Identity id;
        /* A zombie still has its /proc; its pidfd says that it is gone. */
        CHECK_INT(identity_of_process("/proc", fd, pid, getuid(), true, &id), -ESRCH);
        CHECK_INT(id.kind, IDENTITY_UNKNOWN);
        CHECK_STR(id.app, "?");
        waitpid(pid, NULL, 0);
}

/* The pid that came with the pidfd is another process' by now: the pidfd decides, the pid is never believed alone. */
static void test_recycled(void) {
        pid_t pid = fork();
        if (pid == 0)
                _exit(0);
        _cleanup_close_ int fd = open_pidfd(pid);
        waitpid(pid, NULL, 0);
        Identity id;
        CHECK_INT(identity_of_process("/proc", fd, getpid(), getuid(), true, &id), -ESRCH);
        CHECK_INT(id.certainty, CERTAINTY_UNKNOWN);
}

/* A process in a root of its own; `info` is what stands in its /.flatpak-info. */
static pid_t in_own_root(const char *info) {
        int pipes[2];
        char root[] = "/tmp/spark-identity-XXXXXX", path[64];
        CHECK(mkdtemp(root));
        if (info) {
                snprintf(path, sizeof path, "%s/.flatpak-info", root);
                FILE *f = fopen(path, "we");
                CHECK(f && fputs(info, f) >= 0 && fclose(f) == 0);
        }
        CHECK_INT(pipe2(pipes, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
                bool ok = chroot(root) == 0 || (unshare(CLONE_NEWUSER) == 0 && chroot(root) == 0);
                if (write(pipes[1], ok ? "y" : "n", 1) == 1)
                        pause();
                _exit(1);
        }
        char ok = 'n';
        close(pipes[1]);
        bool got = read(pipes[0], &ok, 1) == 1 && ok == 'y';
        close(pipes[0]);
        if (!got) {
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                rmdir(root);
                return -1;
        }
        return pid;
}

static void look(const char *info, Identity *ret, int *ret_r) {
        pid_t pid = in_own_root(info);
        if (pid < 0)
                SKIP("no right to change the root here");
        _cleanup_close_ int fd = open_pidfd(pid);
        *ret_r = identity_of_process("/proc", fd, pid, getuid(), true, ret);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void test_flatpak(void) {
        Identity id;
        int r;
        look("[Application]\nname=org.mozilla.firefox\nruntime=runtime/x\n\n[Instance]\nname=no\n", &id, &r);
        CHECK_INT(r, 0);
        CHECK_INT(id.kind, IDENTITY_FLATPAK);
        CHECK_INT(id.certainty, CERTAINTY_SANDBOXED);
        CHECK_STR(id.app, "org.mozilla.firefox");
        look("[Instance]\nname=org.evil.App\n", &id, &r);
        CHECK_INT(r, 0);
        CHECK_INT(id.kind, IDENTITY_UNKNOWN);
        look("[Application]\nname=\n", &id, &r);
        CHECK_INT(id.kind, IDENTITY_UNKNOWN);
        look("[Application]\nname=/etc/passwd\n", &id, &r);
        CHECK_INT(id.kind, IDENTITY_UNKNOWN);
}

TEST_MAIN(
        { "cgroups to identities", test_cgroups },
        { "units and login sessions", test_units },
        { "a name beyond every length is unknown", test_long_names },
        { "this process", test_this_process },
        { "a process that is gone", test_gone },
        { "a pid that was recycled", test_recycled },
        { "a Flatpak's root, and roots that are none", test_flatpak },
)
