/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pool's promises: every thread runs, barriers order what was written, chunks are handed out once, threads that
 * cannot be had are no error, and waiting costs no CPU. Meant to be run under ThreadSanitizer too. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/runtime/pool.h"
#include "tests/test.h"

#define THREADS 3u
#define ROUNDS 400u

typedef struct Relay {
        Pool *pool;
        unsigned cells[POOL_THREADS_MAX];     /* plain memory: the barriers alone order it */
        _Atomic uint32_t wrong;
        _Atomic uint32_t counter;
        _Atomic uint32_t taken[1000];
        _Atomic uint32_t ran;
} Relay;

/* Each thread reads what its neighbour wrote before the barrier, round after round. */
static void relay(void *userdata, unsigned thread, unsigned n_threads) {
        Relay *r = userdata;

        atomic_fetch_add(&r->ran, 1);
        for (unsigned i = 1; i <= ROUNDS; i++) {
                r->cells[thread] = i;
                pool_barrier(r->pool, thread);
                unsigned seen = r->cells[(thread + 1) % n_threads];
                pool_barrier(r->pool, thread);
                if (seen != i)
                        atomic_fetch_add(&r->wrong, 1);
        }
}

static void test_barrier(void) {
        _cleanup_(pool_freep) Pool *p = NULL;
        CHECK_INT(pool_new(THREADS, &p), 0);
        CHECK_INT(pool_n_threads(p), THREADS);

        for (unsigned i = 0; i < 20; i++) {
                Relay r = { .pool = p };
                pool_run(p, relay, &r);
                CHECK_INT(r.wrong, 0);
                CHECK(r.ran >= 1 && r.ran <= THREADS);
        }
}

static void take(void *userdata, unsigned thread, unsigned n_threads) {
        Relay *r = userdata;

        for (uint32_t i; (i = pool_next(&r->counter, ELEMENTSOF(r->taken))) != UINT32_MAX;)
                atomic_fetch_add(&r->taken[i], 1);
}

static void test_next(void) {
        _cleanup_(pool_freep) Pool *p = NULL;
        CHECK_INT(pool_new(THREADS, &p), 0);

        Relay r = { .pool = p };
        pool_run(p, take, &r);
        for (size_t i = 0; i < ELEMENTSOF(r.taken); i++)
                CHECK_INT(r.taken[i], 1);
}

static void test_one(void) {
        _cleanup_(pool_freep) Pool *p = NULL;
        CHECK_INT(pool_new(0, &p), 0);
        CHECK_INT(pool_n_threads(p), 1);

        Relay r = { .pool = p };
        pool_run(p, relay, &r);
        CHECK_INT(r.ran, 1);
        CHECK(pool_free(NULL) == NULL);
}

static void test_idle(void) {
        _cleanup_(pool_freep) Pool *p = NULL;
        CHECK_INT(pool_new(THREADS, &p), 0);
        Relay r = { .pool = p };
        pool_run(p, take, &r);

        struct timespec begin, end, pause = { .tv_nsec = 100 * 1000 * 1000 };
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        long used = (end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec;
        CHECK(used < 10 * 1000 * 1000);
}

/* The kernel refuses threads: clone3 does not exist (so that libc falls back) and clone fails. */
static int refuse_threads(void) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ELEMENTSOF(filter), .filter = filter };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static void test_refused(void) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                if (refuse_threads() < 0)
                        _exit(77);
                Pool *p = NULL;
                Relay r = {};
                if (pool_new(THREADS, &p) < 0 || pool_n_threads(p) != 1)
                        _exit(1);
                r.pool = p;
                pool_run(p, take, &r);
                pool_run(p, relay, &r);
                pool_free(p);
                _exit(r.taken[999] == 1 && r.ran == 1 ? 0 : 2);
        }

        int status;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                SKIP("this kernel takes no system call filter here");
        CHECK_INT(WEXITSTATUS(status), 0);
}

TEST_MAIN(
        { "one thread", test_one },
        { "barriers order memory", test_barrier },
        { "chunks are handed out once", test_next },
        { "an idle pool uses no CPU", test_idle },
        { "threads that cannot be had", test_refused },
)
