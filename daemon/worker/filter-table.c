/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns every decision on system calls, one line each. A process that computes on memory it has and talks over one
 * socket needs very little; what is not here, it does not get:
 *   - no thread is started after the filter, so there is no clone;
 *   - no signal handler exists, so there is no sigreturn;
 *   - the model is mapped, so mmap takes no descriptor, and nothing becomes executable.
 * Calls that the C library makes to find things out, and does without, fail instead of killing. */

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "basic/cleanup.h"
#include "daemon/spawn/spawn.h"
#include "daemon/worker/sanitizers.h"
#include "daemon/worker/filter.h"

#define ALLOW(call)               { .name = #call, .number = SCMP_SYS(call) }
#define ALLOW_IF(call, ...)       { .name = #call, .number = SCMP_SYS(call), \
                                    .n_args = sizeof((struct scmp_arg_cmp[]) { __VA_ARGS__ }) / sizeof(struct scmp_arg_cmp), \
                                    .args = { __VA_ARGS__ } }
#define ALLOW_SELF_IF(call, ...)  { .name = #call, .number = SCMP_SYS(call), .own_pid = true, .n_args = 1, .args = { __VA_ARGS__ } }
#define FAIL(call, e)             { .name = #call, .number = SCMP_SYS(call), .error = e }

#define ARG_IS(i, value)          { i, SCMP_CMP_EQ, value, 0 }
#define ARG_HAS(i, bits)          { i, SCMP_CMP_MASKED_EQ, bits, bits }
#define ARG_LACKS(i, bits)        { i, SCMP_CMP_MASKED_EQ, bits, 0 }

#ifndef MADV_POPULATE_READ
#  define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#  define MADV_POPULATE_WRITE 23
#endif
#define ARCH_GET_XCOMP_PERM_ 0x1022   /* asm/prctl.h; AMX tiles were asked for before the filter */

static const FilterRule worker_rules[] = {
        /* the socket, and a last line on standard error */
        ALLOW_IF(recvmsg, ARG_IS(0, WORKER_SOCKET_FD)),
        ALLOW_IF(sendmsg, ARG_IS(0, WORKER_SOCKET_FD)),
        ALLOW(poll),
        ALLOW(ppoll),
        ALLOW(close),
        ALLOW_IF(write, ARG_IS(0, STDERR_FILENO)),
        ALLOW_IF(writev, ARG_IS(0, STDERR_FILENO)),       /* the C library's own last words */

        /* memory: anonymous, never executable */
        ALLOW_IF(mmap, ARG_LACKS(2, PROT_EXEC), ARG_HAS(3, MAP_ANONYMOUS)),
        ALLOW_IF(mprotect, ARG_LACKS(2, PROT_EXEC)),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(brk),
        ALLOW_IF(madvise, ARG_IS(2, MADV_DONTNEED)),
        ALLOW_IF(madvise, ARG_IS(2, MADV_FREE)),
        ALLOW_IF(madvise, ARG_IS(2, MADV_WILLNEED)),
        ALLOW_IF(madvise, ARG_IS(2, MADV_RANDOM)),
        ALLOW_IF(madvise, ARG_IS(2, MADV_SEQUENTIAL)),
        ALLOW_IF(madvise, ARG_IS(2, MADV_HUGEPAGE)),
        ALLOW_IF(madvise, ARG_IS(2, MADV_NOHUGEPAGE)),
        ALLOW_IF(madvise, ARG_IS(2, MADV_POPULATE_READ)),
        ALLOW_IF(madvise, ARG_IS(2, MADV_POPULATE_WRITE)),

        /* threads that exist, and time */
        ALLOW(set_robust_list),                           /* a thread's first two calls: the youngest may come to */
        ALLOW(rseq),                                      /* them when the filter is on already */
        ALLOW(futex),
        ALLOW(sched_yield),
        ALLOW(getcpu),
        ALLOW(restart_syscall),
        ALLOW_IF(clock_gettime, ARG_IS(0, CLOCK_REALTIME)),
        ALLOW_IF(clock_gettime, ARG_IS(0, CLOCK_MONOTONIC)),
        ALLOW_IF(clock_gettime, ARG_IS(0, CLOCK_THREAD_CPUTIME_ID)),      /* how the pool sees a busy machine */
        ALLOW_IF(clock_gettime, ARG_IS(0, CLOCK_MONOTONIC_RAW)),
        ALLOW_IF(clock_gettime, ARG_IS(0, CLOCK_REALTIME_COARSE)),
        ALLOW_IF(clock_gettime, ARG_IS(0, CLOCK_MONOTONIC_COARSE)),
        ALLOW_IF(clock_gettime, ARG_IS(0, CLOCK_BOOTTIME)),
        ALLOW_IF(clock_nanosleep, ARG_IS(0, CLOCK_MONOTONIC)),
        ALLOW_IF(clock_nanosleep, ARG_IS(0, CLOCK_REALTIME)),
        ALLOW(gettimeofday),
        ALLOW(time),
        ALLOW_IF(getrandom, ARG_LACKS(2, ~UINT64_C(7))),

        /* abort(), and the end */
        ALLOW(getpid),
        ALLOW(gettid),
        ALLOW(rt_sigprocmask),
        ALLOW_IF(rt_sigaction, ARG_IS(0, SIGABRT)),
        ALLOW_SELF_IF(tgkill, ARG_IS(2, SIGABRT)),
        ALLOW(exit_group),

        /* what a worker says of itself when asked */
        ALLOW_IF(prctl, ARG_IS(0, PR_GET_SECCOMP)),
        ALLOW_IF(prctl, ARG_IS(0, PR_GET_NO_NEW_PRIVS)),
        ALLOW_IF(prctl, ARG_IS(0, PR_GET_DUMPABLE)),
        ALLOW(capget),
        ALLOW(getrusage),
#ifdef __x86_64__
        ALLOW_IF(arch_prctl, ARG_IS(0, ARCH_GET_XCOMP_PERM_)),
#endif

        /* asked by the C library on the way to something else; "no" is an answer it knows */
        FAIL(open, EACCES),
        FAIL(openat, EACCES),
        FAIL(access, EACCES),
        FAIL(stat, EACCES),
        FAIL(fstat, EACCES),
        FAIL(newfstatat, EACCES),
        FAIL(statx, EACCES),
        FAIL(lseek, ESPIPE),
        FAIL(ioctl, ENOTTY),
        FAIL(sysinfo, EPERM),
#if !SANITIZERS
        FAIL(sched_getaffinity, EPERM),
#endif
        FAIL(sched_setaffinity, EPERM),
        FAIL(mbind, EPERM),
        FAIL(set_mempolicy, EPERM),
        FAIL(get_mempolicy, EPERM),
};

const FilterTable filter_worker = { "worker", worker_rules, ELEMENTSOF(worker_rules) };

#if SANITIZERS
static const FilterRule sanitizer_rules[] = {
        ALLOW(sigaltstack),
        ALLOW(rt_sigaction),
        ALLOW(rt_sigreturn),
        ALLOW(madvise),
        ALLOW(sched_getaffinity),                         /* a thread that starts looks for the end of its stack */
        FAIL(readlink, EACCES),
        FAIL(pipe, EMFILE),
        FAIL(pipe2, EMFILE),
        FAIL(getppid, EPERM),
        FAIL(prlimit64, EPERM),
};
const FilterTable filter_sanitizers = { "sanitizers", sanitizer_rules, ELEMENTSOF(sanitizer_rules) };
#else
const FilterTable filter_sanitizers = { "sanitizers", NULL, 0 };
#endif
