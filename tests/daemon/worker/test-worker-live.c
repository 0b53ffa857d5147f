/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The running worker, seen and handled from outside. The kernel's account of every one of its threads; its filter, read
 * back from the kernel and compared with what it says of itself; and forbidden calls made by the live process itself:
 * a debugger stops it where it waits, in a system call, and has it make another one at the same place. Needs the right
 * to trace it, which the owner of its user namespace has. */

#include <dirent.h>
#include <jansson.h>
#include <linux/filter.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "tests/daemon/worker/harness.h"
#include "tests/engine/format/tiny-model.h"

static Harness h;

static void start_tiny(void) {
        harness_stop(&h);
        harness_start(&h);
        _cleanup_close_ int fd = tiny_model_fd(NULL);
        harness_load(&h, fd, 2, 0);
        harness_ready(&h);
}

static void test_status(void) {
        char path[300], line[256];
        size_t n = 0;
        start_tiny();
        snprintf(path, sizeof path, "/proc/%d/task", h.process.pid);
        DIR *d = opendir(path);
        CHECK(d);
        for (struct dirent *e; (e = readdir(d));) {
                if (e->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof path, "/proc/%d/task/%s/status", h.process.pid, e->d_name);
                FILE *f = fopen(path, "re");
                CHECK(f);
                int seccomp = -1, nnp = -1;
                unsigned long long effective = 1, permitted = 1, inheritable = 1, ambient = 1;
                while (fgets(line, sizeof line, f)) {
                        sscanf(line, "Seccomp: %d", &seccomp);
                        sscanf(line, "NoNewPrivs: %d", &nnp);
                        sscanf(line, "CapEff: %llx", &effective);
                        sscanf(line, "CapPrm: %llx", &permitted);
                        sscanf(line, "CapInh: %llx", &inheritable);
                        sscanf(line, "CapAmb: %llx", &ambient);
                }
                fclose(f);
                CHECK_INT(seccomp, 2);
                CHECK_INT(nnp, 1);
                CHECK(!effective && !permitted && !inheritable && !ambient);
                n++;
        }
        closedir(d);
        CHECK(n >= 2);                           /* the threads of the pool too */
}

static void test_descriptors(void) {
        char path[64], target[128];
        start_tiny();
        if (!h.process.user_namespace)
                SKIP("no user namespaces here");
        for (int fd = 0; fd < 64; fd++) {
                snprintf(path, sizeof path, "/proc/%d/fd/%d", h.process.pid, fd);
                ssize_t n = readlink(path, target, sizeof target - 1);
                CHECK_INT(n > 0, fd <= WORKER_SOCKET_FD);      /* the model's too is closed: it is mapped */
                if (n > 0)
                        target[n] = 0;
                if (fd < 2)
                        CHECK_STR(target, "/dev/null");
                if (fd == WORKER_SOCKET_FD)
                        CHECK(strncmp(target, "socket:", 7) == 0);
        }
}

static void attach(pid_t pid) {
        siginfo_t si;
        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
                SKIP("tracing is not allowed here");
        CHECK_INT(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
        CHECK_INT(waitid(P_PID, (id_t) pid, &si, WSTOPPED), 0);
}

static void test_filter(void) {
        start_tiny();
        WireMessage m;
        harness_send(&h, WIRE_INSPECT, UINT64_C(1));
        harness_flush(&h);
        harness_expect(&h, WIRE_FACTS, &m);
        json_t *facts = json_loadb(m.fields[1].s.data, m.fields[1].s.size, 0, NULL);
        char said[32];
        snprintf(said, sizeof said, "%s", json_string_value(json_object_get(json_object_get(facts, "seccomp"), "filter_digest")) ?: "");
        json_decref(facts);

        attach(h.process.pid);
        static struct sock_filter filter[4096];
        long n = ptrace((enum __ptrace_request) 0x420c /* PTRACE_SECCOMP_GET_FILTER */, h.process.pid, 0, NULL);
        if (n < 0)
                SKIP("only an administrator of the whole machine may read filters");
        CHECK(n > 20 && n <= 4096);
        CHECK_INT(ptrace((enum __ptrace_request) 0x420c, h.process.pid, 0, filter), n);
        CHECK(ptrace((enum __ptrace_request) 0x420c, h.process.pid, (void *) 1, NULL) < 0);     /* it is the only one */
        uint64_t digest = UINT64_C(0xcbf29ce484222325);
        for (size_t i = 0; i < (size_t) n * sizeof filter[0]; i++)
                digest = (digest ^ ((unsigned char *) filter)[i]) * UINT64_C(0x100000001b3);
        char read_back[32];
        snprintf(read_back, sizeof read_back, "%016llx", (unsigned long long) digest);
        CHECK_STR(said, read_back);
}

#ifdef __x86_64__
/* Has the process make this call where it stands. Its result, or what killed it as 1000 + signal. */
static long inject(long nr, const long a[6]) {
        struct user_regs_struct saved, r;
        siginfo_t si;
        pid_t pid = h.process.pid;
        for (unsigned tries = 0;; tries++) {
                CHECK(tries < 60000);
                attach(pid);
                CHECK_INT(ptrace(PTRACE_GETREGS, pid, NULL, &saved), 0);
                /* It waits: two bytes back stands the instruction. */
                if (saved.orig_rax == SYS_poll || saved.orig_rax == SYS_restart_syscall)
                        break;
                CHECK_INT(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
                usleep(1000);
        }
        r = saved;
        r.rip -= 2;
        r.orig_rax = (unsigned long long) -1;
        r.rax = (unsigned long long) nr;
        r.rdi = (unsigned long long) a[0];
        r.rsi = (unsigned long long) a[1];
        r.rdx = (unsigned long long) a[2];
        r.r10 = (unsigned long long) a[3];
        r.r8 = (unsigned long long) a[4];
        r.r9 = (unsigned long long) a[5];
        CHECK_INT(ptrace(PTRACE_SETREGS, pid, NULL, &r), 0);
        CHECK_INT(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        CHECK_INT(waitid(P_PID, (id_t) pid, &si, WSTOPPED | WEXITED), 0);
        if (si.si_code == CLD_KILLED || si.si_code == CLD_DUMPED) {
                h.reaped = true;
                return 1000 + si.si_status;
        }
        CHECK_INT(ptrace(PTRACE_GETREGS, pid, NULL, &r), 0);
        CHECK_INT(ptrace(PTRACE_SETREGS, pid, NULL, &saved), 0);
        CHECK_INT(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
        return (long) r.rax;
}
#endif

static void test_inject(void) {
#ifdef __x86_64__
        static const struct {
                const char *name;
                long nr, result;
                long args[6];
        } calls[] = {
                { "getpid",           SYS_getpid,           1,             { 0 } },     /* the way itself works */
                { "openat",           SYS_openat,           -EACCES,       { -100, 0, 0 } },
                { "openat2",          437,                  1000 + SIGSYS, { -100, 0, 0, 24 } },
                { "socket",           SYS_socket,           1000 + SIGSYS, { 1, 1, 0 } },
                { "connect",          SYS_connect,          1000 + SIGSYS, { 3, 0, 0 } },
                { "fork",             SYS_fork,             1000 + SIGSYS, { 0 } },
                { "clone",            SYS_clone,            1000 + SIGSYS, { SIGCHLD } },
                { "clone3",           SYS_clone3,           1000 + SIGSYS, { 0 } },
                { "execve",           SYS_execve,           1000 + SIGSYS, { 0 } },
                { "ptrace",           SYS_ptrace,           1000 + SIGSYS, { 0 } },
                { "process_vm_readv", SYS_process_vm_readv, 1000 + SIGSYS, { 1 } },
                { "mmap exec",        SYS_mmap,             1000 + SIGSYS, { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
                { "mmap file",        SYS_mmap,             1000 + SIGSYS, { 0, 4096, PROT_READ, MAP_PRIVATE, 0, 0 } },
                { "mprotect exec",    SYS_mprotect,         1000 + SIGSYS, { 0, 4096, PROT_EXEC } },
                { "kill",             SYS_kill,             1000 + SIGSYS, { -1, SIGTERM } },
                { "unshare",          SYS_unshare,          1000 + SIGSYS, { 0x10000000 } },
                { "mount",            SYS_mount,            1000 + SIGSYS, { 0 } },
                { "io_uring_setup",   425,                  1000 + SIGSYS, { 1, 0 } },
                { "userfaultfd",      SYS_userfaultfd,      1000 + SIGSYS, { 1 } },
                { "bpf",              SYS_bpf,              1000 + SIGSYS, { 0 } },
        };
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                if (i < 1 || h.reaped)
                        start_tiny();
                long r = inject(calls[i].nr, calls[i].args);
                if (r == 1 && calls[i].nr == SYS_getpid && !h.process.pid_namespace)
                        continue;
                if (r != calls[i].result)
                        printf("# %s\n", calls[i].name);
                CHECK_INT(r, calls[i].result);
        }

        /* And after the harmless ones it went on as if nothing had been. */
        WireMessage m;
        start_tiny();
        inject(SYS_getpid, calls[0].args);
        harness_send(&h, WIRE_PING, UINT64_C(3));
        harness_flush(&h);
        harness_expect(&h, WIRE_PONG, &m);
#else
        SKIP("registers of this machine are not known here");
#endif
}

static void test_gone(void) {
        harness_stop(&h);
}

int main(void) {
        static const TestCase cases[] = {
                { "every thread is confined", test_status },
                { "it holds its socket and nothing else", test_descriptors },
                { "the filter in the kernel is the one it tells of", test_filter },
                { "forbidden calls from inside the live worker", test_inject },
                { "nothing is left", test_gone },
        };
        h.reaped = true;
        h.process.pidfd = -1;
        return test_main(cases, ELEMENTSOF(cases));
}
