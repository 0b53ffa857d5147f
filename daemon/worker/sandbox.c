/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the worker's world: what exists in it. Namespaces and the empty root decide that there is nothing to reach;
 * capabilities, limits and Landlock, that nothing could be done to it. Each step checks its own effect where the kernel
 * tells it, and the whole is repeated from outside by tests and `sparkctl verify`. */

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "basic/cleanup.h"
#include "basic/checked.h"
#include "daemon/worker/sandbox.h"
#include "daemon/worker/sanitizers.h"

#define NOBODY 65534
#define FILES_WHILE_LOADING 80        /* WIRE_FDS_MAX parts of a model, and our own */
#define FILES_AFTERWARDS 6          /* 0, 1, 2, the socket, and the pipe by which the filter is digested */

static bool refused(int error) {
        return error == EPERM || error == EINVAL || error == ENOSYS || error == ENOSPC || error == EUSERS;
}

static int enter_namespaces(SandboxFacts *f) {
        const struct {
                int flag;
                bool *ret;
        } namespaces[] = {
                { CLONE_NEWNS,     &f->mount_namespace },
                { CLONE_NEWNET,    &f->network_namespace },
                { CLONE_NEWIPC,    &f->ipc_namespace },
                { CLONE_NEWUTS,    &f->uts_namespace },
                { CLONE_NEWCGROUP, &f->cgroup_namespace },
        };
        for (size_t i = 0; i < ELEMENTSOF(namespaces); i++) {
                if (unshare(namespaces[i].flag) == 0)
                        *namespaces[i].ret = true;
                else if (!refused(errno))
                        return -errno;
        }
        return 0;
}

/* A tmpfs without a single free inode becomes the root; the old one is let go. Inside a chroot pivot_root() is refused:
 * there, chroot() does, since the capability to climb out again is dropped next. */
static int empty_root(SandboxFacts *f) {
        if (!f->mount_namespace)
                return 0;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL)
                return refused(errno) || errno == EACCES ? 0 : -errno;
        if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=0555") < 0)
                return refused(errno) || errno == EACCES ? 0 : -errno;   /* a security module may refuse mounts */
        if (chdir("/tmp") < 0)
                return -errno;
        if (syscall(SYS_pivot_root, ".", ".") == 0) {
                if (umount2(".", MNT_DETACH) < 0)
                        return -errno;
        } else if (chroot(".") < 0)
                return -errno;
        if (chdir("/") < 0)
                return -errno;
        if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return -errno;
        f->empty_root = true;
        return 0;
}

/* The bounding set first, while there is still the capability to change it. Where there never was one, no_new_privs
 * already says that no exec brings capabilities back. */
static int drop_bounding_set(void) {
        for (int cap = 0; cap < 64; cap++) {
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
                        continue;
                if (errno == EINVAL || errno == EPERM)
                        break;        /* past the last one, or not allowed to */
                return -errno;
        }
        if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                  SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) < 0 && errno != EPERM)
                return -errno;
        return 0;
}

static int change_user(SandboxFacts *f) {
        if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0 ||
            syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0)
                return refused(errno) ? 0 : -errno;
        f->changed_user = true;
        return 0;
}

static int drop_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {}, now[_LINUX_CAPABILITY_U32S_3];

        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
                return -errno;
        if (syscall(SYS_capset, &header, none) < 0 || syscall(SYS_capget, &header, now) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(now); i++)
                if (now[i].effective || now[i].permitted || now[i].inheritable)
                        return -ENOTRECOVERABLE;
        return 0;
}

static int limit(int resource, uint64_t value) {
        struct rlimit now;
        if (getrlimit(resource, &now) < 0)
                return -errno;
        if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value)
                value = now.rlim_max;
        return setrlimit(resource, &(struct rlimit) { .rlim_cur = value, .rlim_max = value }) < 0 ? -errno : 0;
}

/* Not RLIMIT_NPROC: a library that waits for a thread it could not start hangs. The filter ends who clones. */
static int set_limits(uint64_t memory_max) {
        static const struct {
                int resource;
                uint64_t value;
        } limits[] = {
                { RLIMIT_CORE,     0 },       /* weights are public, conversations are not */
                { RLIMIT_FSIZE,    0 },
                { RLIMIT_MEMLOCK,  0 },
                { RLIMIT_MSGQUEUE, 0 },
                { RLIMIT_RTPRIO,   0 },
                { RLIMIT_NOFILE,   FILES_WHILE_LOADING },
        };
        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                int r = limit(limits[i].resource, limits[i].value);
                if (r < 0)
                        return r;
        }
        /* Sanitizers' shadow memory is larger than any limit worth setting. */
        return memory_max > 0 && !SANITIZERS ? limit(RLIMIT_DATA, memory_max) : 0;
}

/* The C library's own wrappers and the newer constants are younger than the kernels that have Landlock. */
typedef struct LandlockAttr {
        uint64_t handled_fs, handled_net, scoped;
} LandlockAttr;

static int enter_landlock(SandboxFacts *f) {
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (abi < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ? 0 : -errno;

        /* Everything handled, nothing allowed. Numbers: linux/landlock.h by ABI. */
        LandlockAttr attr = {
                .handled_fs = (UINT64_C(1) << (abi >= 5 ? 16 : abi >= 3 ? 15 : abi >= 2 ? 14 : 13)) - 1,
                .handled_net = abi >= 4 ? 3 : 0,      /* bind and connect of TCP */
                .scoped = abi >= 6 ? 3 : 0,           /* abstract sockets and signals out of the domain */
        };
        _cleanup_close_ int ruleset = (int) syscall(SYS_landlock_create_ruleset, &attr, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
        if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
                return -errno;
        f->landlock_abi = (int) abi;
        return 0;
}

static int forbid_privileges(void) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -ENOTRECOVERABLE;
}

/* A change of user undoes both, so this runs last as well as first. */
static int hide(void) {
        if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        return prctl(PR_GET_DUMPABLE) == 0 ? 0 : -ENOTRECOVERABLE;
}

int sandbox_enter(const SandboxParams *p, SandboxFacts *ret, const char **reterr_step) {
        SandboxFacts f = {};
        const char *step;
        int r;

#define STEP(name, call)                \
        step = name;                    \
        r = call;                       \
        if (r < 0)                      \
                goto fail

        STEP("no new privileges", forbid_privileges());
        STEP("not dumpable", hide());
        STEP("namespaces", enter_namespaces(&f));
        STEP("empty root", empty_root(&f));
        STEP("bounding set", drop_bounding_set());
        if (p->drop_root) {
                STEP("user", change_user(&f));
        }
        STEP("capabilities", drop_capabilities());
        STEP("limits", set_limits(p->memory_max));
        STEP("landlock", enter_landlock(&f));
        STEP("not dumpable", hide());
#undef STEP

        *ret = f;
        return 0;
fail:
        *reterr_step = step;
        return r;
}

int sandbox_close_limits(uint64_t memory_max, uint64_t mapped) {
        int r = limit(RLIMIT_NOFILE, FILES_AFTERWARDS);
        if (r < 0 || memory_max == 0 || SANITIZERS)
                return r;
        size_t total;
        if (!checked_add(memory_max, mapped, &total) || !checked_add(total, SANDBOX_ADDRESS_SPACE_SLACK, &total))
                return -EOVERFLOW;
        return limit(RLIMIT_AS, total);
}
