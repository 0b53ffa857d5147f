/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every refusal, tried from inside. The test starts itself by worker_spawn(), goes through the worker's own layers
 * (the same objects that spark-worker links) and then makes one forbidden call; its end tells what became of it: killed
 * by SIGSYS, or an errno as exit status. Calls are made with arguments that would work, or that the kernel would answer
 * with EFAULT or EBADF, so that reaching the kernel can be told from being stopped. */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "daemon/spawn/spawn.h"
#include "daemon/worker/sandbox.h"
#include "daemon/worker/sanitizers.h"
#include "daemon/worker/filter.h"
#include "tests/test.h"

#define DIES (-SIGSYS)
#define DONE 0

/* SYS_ names that are younger than the headers have one number on every architecture. */
#define NR_io_uring_setup 425
#define NR_openat2 437
#define NR_memfd_secret 447
/* … and what only x86 has, another call that nobody may make. */
#ifdef SYS_arch_prctl
#  define NR_arch_prctl SYS_arch_prctl
#else
#  define NR_arch_prctl SYS_personality
#endif

static char page[8192] __attribute__((aligned(4096)));
static int page_executable(void) {
        return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static volatile char *beyond_end;        /* of a mapped file */

static long try_call(const char *name);

typedef struct Try {
        const char *name;
        int filtered;          /* what becomes of it behind the filter: DIES, DONE or an errno */
} Try;

static const Try tries[] = {
        /* files */
        { "open", EACCES }, { "openat2", DIES }, { "creat", DIES }, { "stat", EACCES }, { "unlink", DIES }, { "mkdir", DIES },
        { "readlink", SANITIZERS ? EACCES : DIES }, { "memfd_create", DIES }, { "memfd_secret", DIES }, { "read-null", DIES }, { "write-socket", DIES },
        { "dup", DIES }, { "fcntl", DIES }, { "name_to_handle_at", DIES }, { "inotify", DIES }, { "ioctl", ENOTTY },
        /* sockets */
        { "socket-unix", DIES }, { "socket-inet", DIES }, { "socketpair", DIES }, { "connect", DIES }, { "bind", DIES },
        { "recvmsg-other", DIES }, { "sendmsg-other", DIES }, { "sendto", DIES }, { "shutdown", DIES },
        /* processes */
        { "fork", DIES }, { "vfork", DIES }, { "clone3", DIES }, { "thread", DIES }, { "execve", DIES }, { "execveat", DIES },
        { "ptrace", DIES }, { "process_vm_readv", DIES }, { "process_vm_writev", DIES }, { "pidfd_open", DIES }, { "kcmp", DIES },
        { "kill-parent", DIES }, { "kill-all", DIES }, { "tgkill-other", DIES }, { "tgkill-stop", DIES }, { "setpriority", DIES },
        /* memory */
        { "mmap-exec", DIES }, { "mmap-file", DIES }, { "mprotect-exec", DIES }, { "pkey_mprotect", DIES },
        { "remap_file_pages", DIES }, { "shmget", DIES }, { "userfaultfd", DIES }, { "mlock", DIES },
        /* the world */
        { "setns", DIES }, { "unshare", DIES }, { "mount", DIES }, { "umount", DIES }, { "pivot_root", DIES }, { "chroot", DIES },
        { "setuid", DIES }, { "capset", DIES }, { "prctl-dumpable", DIES }, { "personality", DIES }, { "amx-request", DIES },
        { "setrlimit", SANITIZERS ? EPERM : DIES },
        { "seccomp", DIES }, { "landlock", DIES }, { "sethostname", DIES }, { "settimeofday", DIES },
        /* the kernel's larger surfaces */
        { "io_uring_setup", DIES }, { "bpf", DIES }, { "perf_event_open", DIES }, { "keyctl", DIES }, { "add_key", DIES },
        { "init_module", DIES }, { "kexec_load", DIES }, { "syslog", DIES }, { "sigaction", SANITIZERS ? DONE : DIES },
        { "sigreturn", DIES }, { "timer_create", DIES }, { "epoll_create1", DIES }, { "eventfd2", DIES }, { "unknown", DIES },
        { "x32", DIES },
        /* what it may: the filter is not simply shut */
        { "malloc", DONE }, { "mmap", DONE }, { "clock", DONE }, { "poll", DONE }, { "peek-socket", EAGAIN },
        { "get-seccomp", DONE }, { "abort", SANITIZERS ? 1 : -SIGABRT },
        { "bus-error", SANITIZERS ? 1 : -SIGBUS },     /* a model that is cut short while it is mapped */
};

static long raw(long nr, long a, long b, long c, long d, long e) {
        return syscall(nr, a, b, c, d, e);
}

#define CASE(n) if (strcmp(name, n) == 0)

static void *nothing(void *arg) {
        return arg;
}

static long try_files(const char *name) {
        CASE("open") return open("/etc/passwd", O_RDONLY);
        CASE("openat2") return raw(NR_openat2, AT_FDCWD, (long) "/", 0, 24, 0);
        CASE("creat") return raw(SYS_creat, (long) "/x", 0600, 0, 0, 0);
        CASE("stat") { struct stat st; return stat("/", &st); }
        CASE("unlink") return unlink("/x");
        CASE("mkdir") return mkdir("/x", 0700);
        CASE("readlink") return readlink("/proc/self/exe", page, sizeof page);
        CASE("memfd_create") return memfd_create("x", 0);
        CASE("memfd_secret") return raw(NR_memfd_secret, 0, 0, 0, 0, 0);
        CASE("read-null") return read(0, page, 1);
        CASE("write-socket") return write(WORKER_SOCKET_FD, "x", 1);
        CASE("dup") return dup(0);
        CASE("fcntl") return fcntl(0, F_DUPFD, 0);
        CASE("name_to_handle_at") return raw(SYS_name_to_handle_at, AT_FDCWD, (long) "/", 0, 0, 0);
        CASE("inotify") return raw(SYS_inotify_init1, 0, 0, 0, 0, 0);
        CASE("ioctl") return raw(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, (long) "x", 0, 0);
        return -2;
}

static long try_sockets(const char *name) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "\0x" };
        struct msghdr mh = {};
        CASE("socket-unix") return socket(AF_UNIX, SOCK_STREAM, 0);
        CASE("socket-inet") return socket(AF_INET, SOCK_DGRAM, 0);
        CASE("socketpair") { int p[2]; return socketpair(AF_UNIX, SOCK_STREAM, 0, p); }
        CASE("connect") return connect(WORKER_SOCKET_FD, (struct sockaddr *) &sun, sizeof sun);
        CASE("bind") return bind(WORKER_SOCKET_FD, (struct sockaddr *) &sun, sizeof sun);
        CASE("recvmsg-other") return recvmsg(0, &mh, 0);
        CASE("sendmsg-other") return sendmsg(1, &mh, 0);
        CASE("sendto") return sendto(WORKER_SOCKET_FD, "x", 1, 0, NULL, 0);
        CASE("shutdown") return shutdown(WORKER_SOCKET_FD, SHUT_WR);
        return -2;
}

static long try_processes(const char *name) {
        char *argv[] = { (char *) "x", NULL };
        struct iovec iov = { page, 1 };
        pthread_t thread;
        CASE("fork") return fork();
        CASE("vfork") return raw(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) ?: (_exit(0), 0);
        CASE("clone3") return raw(SYS_clone3, 0, 0, 0, 0, 0);
        CASE("thread") { int r = pthread_create(&thread, NULL, nothing, NULL); errno = r; return r ? -1 : 0; }
        CASE("execve") return execve("/bin/true", argv, argv + 1);
        CASE("execveat") return raw(SYS_execveat, 0, (long) "", (long) argv, (long) (argv + 1), AT_EMPTY_PATH);
        CASE("ptrace") return raw(SYS_ptrace, 0, 0, 0, 0, 0);
        CASE("process_vm_readv") return raw(SYS_process_vm_readv, getpid(), (long) &iov, 1, (long) &iov, 1);
        CASE("process_vm_writev") return raw(SYS_process_vm_writev, getpid(), (long) &iov, 1, (long) &iov, 1);
        CASE("pidfd_open") return raw(SYS_pidfd_open, getpid(), 0, 0, 0, 0);
        CASE("kcmp") return raw(SYS_kcmp, getpid(), getpid(), 0, 0, 0);
        CASE("kill-parent") return kill(getppid(), 0);
        CASE("kill-all") return kill(-1, SIGKILL);
        CASE("tgkill-other") return raw(SYS_tgkill, getpid() + 1, getpid() + 1, SIGABRT, 0, 0);
        CASE("tgkill-stop") return raw(SYS_tgkill, getpid(), gettid(), SIGSTOP, 0, 0);
        CASE("setpriority") return setpriority(PRIO_PROCESS, 0, 19);
        return -2;
}

static long try_memory(const char *name) {
        CASE("mmap-exec") return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
        CASE("mmap-file") return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0) == MAP_FAILED ? -1 : 0;
        CASE("mprotect-exec") return page_executable();
        CASE("pkey_mprotect") return raw(SYS_pkey_mprotect, (long) page, 4096, PROT_READ | PROT_EXEC, -1, 0);
        CASE("remap_file_pages") return raw(SYS_remap_file_pages, (long) page, 4096, 0, 0, 0);
        CASE("shmget") return raw(SYS_shmget, 0, 4096, 01600, 0, 0);
        CASE("userfaultfd") return raw(SYS_userfaultfd, 1, 0, 0, 0, 0);
        CASE("mlock") return raw(SYS_mlock, (long) page, sizeof page, 0, 0, 0);
        return -2;
}

static long try_world(const char *name) {
        CASE("setns") return setns(0, 0);
        CASE("unshare") return unshare(CLONE_NEWUSER);
        CASE("mount") return raw(SYS_mount, (long) "none", (long) "/", (long) "tmpfs", 0, 0);
        CASE("umount") return raw(SYS_umount2, (long) "/", 2, 0, 0, 0);
        CASE("pivot_root") return raw(SYS_pivot_root, (long) ".", (long) ".", 0, 0, 0);
        CASE("chroot") return chroot("/");
        CASE("setuid") return raw(SYS_setuid, 0, 0, 0, 0, 0);
        CASE("capset") return raw(SYS_capset, 0, 0, 0, 0, 0);
        CASE("prctl-dumpable") return prctl(PR_SET_DUMPABLE, 1);
        CASE("personality") return raw(SYS_personality, 0xffffffff, 0, 0, 0, 0);
        CASE("amx-request") return raw(NR_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18, 0, 0, 0);
        CASE("setrlimit") { struct rlimit l = {}; return setrlimit(RLIMIT_CORE, &l); }
        CASE("seccomp") return raw(SYS_seccomp, 1, 0, 0, 0, 0);
        CASE("landlock") return raw(444, 0, 0, 1, 0, 0);
        CASE("sethostname") return raw(SYS_sethostname, (long) "x", 1, 0, 0, 0);
        CASE("settimeofday") return raw(SYS_settimeofday, 0, 0, 0, 0, 0);
        return -2;
}

static long try_kernel(const char *name) {
        CASE("io_uring_setup") return raw(NR_io_uring_setup, 1, 0, 0, 0, 0);
        CASE("bpf") return raw(SYS_bpf, 0, 0, 0, 0, 0);
        CASE("perf_event_open") return raw(SYS_perf_event_open, 0, 0, -1, -1, 0);
        CASE("keyctl") return raw(SYS_keyctl, 0, -3, 0, 0, 0);
        CASE("add_key") return raw(SYS_add_key, (long) "user", (long) "x", (long) "x", 1, -3);
        CASE("init_module") return raw(SYS_init_module, 0, 0, 0, 0, 0);
        CASE("kexec_load") return raw(SYS_kexec_load, 0, 0, 0, 0, 0);
        CASE("syslog") return raw(SYS_syslog, 10, 0, 0, 0, 0);
        CASE("sigaction") return raw(SYS_rt_sigaction, SIGUSR1, 0, 0, 8, 0);
        CASE("sigreturn") return raw(SANITIZERS ? 100000 : SYS_rt_sigreturn, 0, 0, 0, 0, 0);
        CASE("timer_create") return raw(SYS_timer_create, 0, 0, 0, 0, 0);
        CASE("epoll_create1") return raw(SYS_epoll_create1, 0, 0, 0, 0, 0);
        CASE("eventfd2") return raw(SYS_eventfd2, 0, 0, 0, 0, 0);
        CASE("unknown") return raw(100000, 0, 0, 0, 0, 0);
#ifdef __x86_64__
        CASE("x32") return raw(0x40000000 + SYS_getpid, 0, 0, 0, 0, 0);
#else
        CASE("x32") return raw(100001, 0, 0, 0, 0, 0);
#endif
        return -2;
}

static long try_allowed(const char *name) {
        struct timespec ts;
        CASE("malloc") {
                for (size_t n = 16; n < 64 << 20; n *= 3) {
                        char *p = malloc(n), *q = p ? realloc(p, n * 2) : NULL;
                        if (!q)
                                return -1;
                        memset(q, 1, n * 2);
                        free(q);
                }
                return 0;
        }
        CASE("mmap") {
                void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                return p == MAP_FAILED || madvise(p, 1 << 20, MADV_HUGEPAGE) < 0 || mprotect(p, 4096, PROT_READ) < 0 ? -1 : munmap(p, 1 << 20);
        }
        CASE("clock") return raw(SYS_clock_gettime, CLOCK_MONOTONIC, (long) &ts, 0, 0, 0);
        CASE("poll") return raw(SYS_ppoll, 0, 0, (long) &(struct timespec) { .tv_nsec = 1000 }, 0, 0);
        CASE("peek-socket") {
                char c;
                struct iovec iov = { &c, 1 };
                struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
                return recvmsg(WORKER_SOCKET_FD, &mh, MSG_DONTWAIT | MSG_PEEK);
        }
        CASE("get-seccomp") return prctl(PR_GET_SECCOMP) == 2 ? 0 : -1;
        CASE("abort") abort();
        CASE("bus-error") return beyond_end[0];
        return -2;
}

static long try_call(const char *name) {
        static long (*const groups[])(const char *) = { try_files, try_sockets, try_processes, try_memory, try_world, try_kernel, try_allowed };
        for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
                errno = 0;
                long r = groups[i](name);
                if (r != -2)
                        return r;
        }
        _exit(250);
}

/* ---- inside ---- */

static void *other_thread(void *arg) {
        volatile int *go = arg;
        while (!*go)
                sched_yield();
        *go = 2;
        _exit(socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : errno);
}

/* What holds with every layer but the filter. Exits with the line that did not. */
static void layers_alone(const SandboxFacts *f) {
#define HOLDS(x) do { if (!(x)) { fprintf(stderr, "# %s: errno %d\n", #x, errno); _exit(1); } } while (0)
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct caps[2];
        struct rlimit l;

        HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
        HOLDS(prctl(PR_GET_DUMPABLE) == 0);
        HOLDS(syscall(SYS_capget, &header, caps) == 0 && !caps[0].permitted && !caps[1].permitted && !caps[0].effective && !caps[0].inheritable);
        HOLDS(getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_max == 0);
        HOLDS(getrlimit(RLIMIT_FSIZE, &l) == 0 && l.rlim_max == 0);
        HOLDS(getrlimit(RLIMIT_DATA, &l) == 0 && (l.rlim_max == UINT64_C(1) << 30 || SANITIZERS));
        if (f->empty_root || f->landlock_abi > 0) {
                HOLDS(open("/etc/passwd", O_RDONLY) < 0 && (errno == ENOENT || errno == EACCES));
                HOLDS(open("/", O_RDONLY | O_DIRECTORY) < 0 || f->landlock_abi == 0);
                HOLDS(mkdir("/x", 0700) < 0);
                HOLDS(open("/proc/self/status", O_RDONLY) < 0);
                HOLDS(open("/dev/null", O_RDONLY) < 0);
        }
        if (f->empty_root) {
                struct stat st;
                HOLDS(stat("/etc", &st) < 0 && errno == ENOENT);
                HOLDS(stat("/..", &st) == 0 && stat("/../etc", &st) < 0);
        }
        if (f->network_namespace) {
                _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                uint32_t address[4] = { 2 | 9u << 24, 0x0100007f };   /* 127.0.0.1, discard */
                HOLDS(fd < 0 || (connect(fd, (struct sockaddr *) address, sizeof address) < 0 && errno == ENETUNREACH));
        }
        HOLDS(mount("none", "/", "tmpfs", 0, NULL) < 0);
        HOLDS(unshare(CLONE_NEWNET) < 0);
        HOLDS(sethostname("x", 1) < 0);
        HOLDS(syscall(SYS_setuid, 12345) < 0);
        if (!SANITIZERS) {
                /* RLIMIT_DATA: the limit that the test spawned with */
                HOLDS(mmap(NULL, (UINT64_C(1) << 30) + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
        }
        _exit(0);
}

static int inside(const char *memory, const char *what, bool drop_root) {
        SandboxParams p = { .memory_max = strtoull(memory, NULL, 10), .drop_root = drop_root };
        SandboxFacts facts;
        const char *step;
        if (strcmp(what, "bus-error") == 0) {
                _cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
                struct stat st;
                if (self >= 0 && fstat(self, &st) == 0)
                        beyond_end = (char *) mmap(NULL, (size_t) st.st_size + (1 << 20), PROT_READ, MAP_PRIVATE, self, 0) + st.st_size + (1 << 19);
        }
        int r = sandbox_enter(&p, &facts, &step);
        if (r < 0) {
                fprintf(stderr, "# %s: %s\n", step, strerror(-r));
                _exit(WORKER_EXIT_SANDBOX);
        }
        if (strcmp(what, "layers") == 0)
                layers_alone(&facts);
        if (strcmp(what, "facts") == 0)
                _exit(facts.mount_namespace | facts.network_namespace << 1 | facts.ipc_namespace << 2 | facts.uts_namespace << 3 |
                      facts.cgroup_namespace << 4 | facts.empty_root << 5 | (facts.landlock_abi > 0) << 6);
        if (sandbox_close_limits(p.memory_max, 0) < 0)
                _exit(WORKER_EXIT_SANDBOX);

        volatile int go = 0;
        pthread_t thread;
        if (strcmp(what, "tsync") == 0 && pthread_create(&thread, NULL, other_thread, (void *) &go) != 0)
                _exit(251);

        uint64_t digest;
        if (filter_install(&filter_worker, &digest) < 0)
                _exit(WORKER_EXIT_SECCOMP);
        if (strcmp(what, "tsync") == 0) {
                go = 1;
                for (;;)
                        sched_yield();
        }
        if (strcmp(what, "wait") == 0)
                for (;;)
                        syscall(SYS_ppoll, 0, 0, 0, 0, 0);
        long result = try_call(what);
        syscall(SYS_exit_group, result < 0 ? errno : 0);
        __builtin_unreachable();
}

/* ---- outside ---- */

static WorkerProcess start(const char *what) {
        WorkerProcess w;
        char try[64];
        snprintf(try, sizeof try, "--try=%s", what);
        const char *arguments[] = { try, NULL };
        WorkerSpawnParams p = { .binary = "/proc/self/exe", .memory_max = UINT64_C(1) << 30, .arguments = arguments };
        CHECK_INT(worker_spawn(&p, &w), 0);
        return w;
}

/* Exit status, or a negative signal. */
static int end(WorkerProcess *w) {
        siginfo_t si = {};
        CHECK_INT(waitid(P_PIDFD, (id_t) w->pidfd, &si, WEXITED), 0);
        close(w->pidfd);
        close(w->socket);
        CHECK(si.si_code != CLD_DUMPED);
        return si.si_code == CLD_EXITED ? si.si_status : -si.si_status;
}

static int outcome(const char *what) {
        WorkerProcess w = start(what);
        return end(&w);
}

static void test_refusals(void) {
        size_t bad = 0;
        for (size_t i = 0; i < ELEMENTSOF(tries); i++) {
                int r = outcome(tries[i].name), expected = tries[i].filtered;
                /* The first process of a PID namespace ignores its own SIGABRT; abort() then runs into a trap. */
                if (r == expected || (expected == -SIGABRT && (r == -SIGSEGV || r == -SIGILL || r == -SIGTRAP)))
                        continue;
                printf("# %s: %s %d, not %d\n", tries[i].name, r < 0 ? "signal" : "status", r, expected);
                bad++;
        }
        CHECK_INT(bad, 0);
}

static void test_threads(void) {
        CHECK_INT(outcome("tsync"), DIES);
}

static void test_layers(void) {
        CHECK_INT(outcome("layers"), 0);
}

static void test_facts(void) {
        WorkerProcess w = start("facts");
        bool userns = w.user_namespace;
        int r = end(&w);
        if (!userns)
                SKIP("no user namespaces here");
        CHECK_INT(r & 63, 63);
}

typedef struct Status {
        unsigned seccomp, filters;
        int no_new_privs;
        unsigned long long capabilities;       /* of any set but the bounding one */
} Status;

static Status status_of(pid_t pid) {
        Status s = { .no_new_privs = -1 };
        char path[64], line[256];
        unsigned long long v;
        snprintf(path, sizeof path, "/proc/%d/status", (int) pid);
        FILE *f = fopen(path, "re");
        CHECK(f);
        while (fgets(line, sizeof line, f)) {
                sscanf(line, "Seccomp: %u", &s.seccomp);
                sscanf(line, "Seccomp_filters: %u", &s.filters);
                sscanf(line, "NoNewPrivs: %d", &s.no_new_privs);
                if (strncmp(line, "Cap", 3) == 0 && sscanf(line + 7, "%llx", &v) == 1 && strncmp(line, "CapBnd", 6) != 0)
                        s.capabilities |= v;
        }
        fclose(f);
        return s;
}

/* The kernel's own account of a process that has been through all of it. A container may have a filter on us already. */
static void test_outside(void) {
        WorkerProcess w = start("wait");
        char path[64];
        const unsigned inherited = status_of(getpid()).filters;
        Status s = {};
        for (unsigned tries_left = 500; tries_left > 0 && s.filters <= inherited; tries_left--) {
                usleep(10000);
                s = status_of(w.pid);
        }
        CHECK_INT(s.seccomp, 2);
        CHECK(s.filters > inherited);
        CHECK_INT(s.no_new_privs, 1);
        CHECK_INT(s.capabilities, 0);

        static const char *const namespaces[] = { "user", "pid", "mnt", "net", "ipc", "uts", "cgroup" };
        char theirs[64], ours[64];
        for (size_t i = 0; w.user_namespace && i < ELEMENTSOF(namespaces); i++) {
                snprintf(path, sizeof path, "/proc/%d/ns/%s", w.pid, namespaces[i]);
                ssize_t n = readlink(path, theirs, sizeof theirs - 1);
                CHECK(n > 0);
                theirs[n] = 0;
                snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i]);
                n = readlink(path, ours, sizeof ours - 1);
                CHECK(n > 0);
                ours[n] = 0;
                CHECK(strcmp(theirs, ours) != 0);
        }
        for (int fd = 0; w.user_namespace && fd < 64; fd++) {
                snprintf(path, sizeof path, "/proc/%d/fd/%d", w.pid, fd);
                ssize_t n = readlink(path, theirs, sizeof theirs - 1);
                CHECK_INT(n > 0, fd <= WORKER_SOCKET_FD);
                if (fd < 2) {
                        theirs[n] = 0;
                        CHECK_STR(theirs, "/dev/null");
                }
        }
        kill(w.pid, SIGKILL);
        CHECK_INT(end(&w), -SIGKILL);
}

static void test_spawn_errors(void) {
        WorkerProcess w;
        WorkerSpawnParams p = { .binary = "/nonexistent" };
        CHECK_INT(worker_spawn(&p, &w), -ENOENT);
        p.binary = "/";
        CHECK_INT(worker_spawn(&p, &w), -EACCES);
        p.binary = "/proc/self/status";
        CHECK_INT(worker_spawn(&p, &w), -EACCES);
        CHECK_STR(worker_exit_name(WORKER_EXIT_SECCOMP), "no seccomp filter");
        CHECK(!worker_exit_name(1));
        CHECK(waitpid(-1, NULL, WNOHANG) < 0);   /* what failed was reaped */
}

#if SANITIZERS
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
        return "detect_leaks=0";   /* its leak checker is another process */
}
#endif

int main(int argc, char *argv[]) {
        static const TestCase cases[] = {
                { "every forbidden call is refused", test_refusals },
                { "the filter holds on threads that were there before", test_threads },
                { "the other layers hold without the filter", test_layers },
                { "every namespace is entered", test_facts },
                { "the kernel says the same from outside", test_outside },
                { "a worker that cannot be run is an error", test_spawn_errors },
        };
        if (argc >= 3 && strncmp(argv[2], "--try=", 6) == 0)
                return inside(argv[1] + strlen("--memory="), argv[2] + 6, argc > 3);
        return test_main(cases, ELEMENTSOF(cases));
}
