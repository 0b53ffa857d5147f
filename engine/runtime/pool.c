/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the engine's threads and how they wait for each other: futexes behind a short spin, nothing else of the kernel,
 * so that it works inside the worker's system call filter.
 *
 * Two threads that meet at 151 barriers a token lose everything on a busy desktop: whichever is preempted holds up the
 * other for a scheduler slice, and a single thread that meets nobody is faster. Each thread therefore measures, per
 * run, how long it was runnable with another process on its core: what was neither computing nor waiting, and how late
 * it came back from waiting. Where that is a large share of the last runs, the caller goes on alone for a while, and
 * for longer if nothing was better then. A small share is no reason: going on alone costs half of the speed. */

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/kernels/cpu.h"
#include "engine/runtime/pool.h"

#define POOL_SPIN_NS 30000u           /* then block; a futex round trip costs about as much */
#define POOL_LATE_NS 150000u          /* from a wake to running; less is what an idle core takes */
#define POOL_TAKEN_NS 300000u         /* in one run: another process had this core; less is noise of the clocks */
#define POOL_TAKEN_SHARE 4u           /* 1/4 of the last runs' time: one thread is faster */
#define POOL_MEMORY_NS 16000000u      /* of runs that are remembered, older ones ever less */
#define POOL_ALONE_MIN_NS 20000000u   /* on the caller alone before the next try */
#define POOL_ALONE_MAX_NS 320000000u

/* A number that threads wait on to change. */
typedef struct Gate {
        _Alignas(64) _Atomic uint32_t value;
        _Atomic uint32_t sleepers;
        _Atomic uint64_t woken_ns;    /* when sleepers were last let go */
} Gate;

typedef struct PoolThread {
        _Alignas(64) Pool *pool;
        pthread_t handle;
        unsigned index;
        uint64_t waited_ns, late_ns;  /* blocked in this run; of that, runnable already. Its own thread's only */
        uint64_t taken_ns;            /* in this run, by other processes; the caller's to read when it is over */
} PoolThread;

struct Pool {
        Gate start;                   /* one step for each run; wakes the threads */
        Gate barrier;                 /* one step for each barrier passed */
        Gate done;                    /* one step for each run ended */
        _Alignas(64) _Atomic uint32_t arrived;   /* at the barrier */
        _Alignas(64) _Atomic uint32_t finished;  /* threads beside the caller that are through with this run */
        bool stop;                    /* written before a step of start */
        bool together;                /* never alone */
        unsigned n_threads;
        unsigned n_run;               /* threads of the present run */
        unsigned spins;               /* pauses that take POOL_SPIN_NS */
        uint64_t run_ns, taken_ns;    /* what is remembered of runs on all threads */
        uint64_t alone_until_ns, alone_next_ns;   /* on the caller alone; how long the next time */
        PoolJob job;
        void *userdata;
        PoolThread threads[];         /* [0] is the caller */
};

static inline void pause_cpu(void) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
}

static uint64_t now_ns(clockid_t clock) {
        struct timespec t;

        clock_gettime(clock, &t);
        return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static void gate_step(Gate *g) {
        if (atomic_load(&g->sleepers) > 0)
                atomic_store_explicit(&g->woken_ns, now_ns(CLOCK_MONOTONIC), memory_order_relaxed);
        atomic_fetch_add(&g->value, 1);
        if (atomic_load(&g->sleepers) > 0)
                syscall(SYS_futex, &g->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Returns when the gate's value is no longer `seen`; keeps account of the time blocked. */
static void gate_wait(Gate *g, uint32_t seen, unsigned spins, PoolThread *t) {
        for (unsigned i = 0; i < spins; i++) {
                if (atomic_load_explicit(&g->value, memory_order_acquire) != seen)
                        return;
                pause_cpu();
        }

        uint64_t begin = now_ns(CLOCK_MONOTONIC);
        atomic_fetch_add(&g->sleepers, 1);
        while (atomic_load(&g->value) == seen)
                syscall(SYS_futex, &g->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
        atomic_fetch_sub(&g->sleepers, 1);

        /* A step that saw no sleeper has left an older time. */
        uint64_t end = now_ns(CLOCK_MONOTONIC), woken = atomic_load_explicit(&g->woken_ns, memory_order_relaxed);
        t->waited_ns += end - begin;
        if (woken >= begin && woken + POOL_LATE_NS < end)
                t->late_ns += end - woken;
}

/* One thread's part of a run, with the account of where its time went. */
static void run_share(Pool *p, unsigned thread, uint32_t done_seen) {
        PoolThread *t = &p->threads[thread];
        uint64_t begin = now_ns(CLOCK_MONOTONIC), begin_cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);

        t->waited_ns = 0;
        p->job(p->userdata, thread, p->n_run);
        if (thread == 0)
                gate_wait(&p->done, done_seen, p->spins, t);

        uint64_t wall = now_ns(CLOCK_MONOTONIC) - begin + t->late_ns;
        uint64_t used = now_ns(CLOCK_THREAD_CPUTIME_ID) - begin_cpu + t->waited_ns;
        t->taken_ns = wall > used && wall - used > POOL_TAKEN_NS ? wall - used : 0;
        t->late_ns = 0;
}

static void *thread_main(void *userdata) {
        PoolThread *t = userdata;
        Pool *p = t->pool;

        for (uint32_t seen = 0;; seen++) {
                gate_wait(&p->start, seen, p->spins, t);
                if (p->stop)
                        return NULL;
                /* Once the last has counted itself, the caller may write the next run's number. */
                const unsigned n_run = p->n_run;
                run_share(p, t->index, 0);
                if (atomic_fetch_add(&p->finished, 1) + 1 == n_run - 1)
                        gate_step(&p->done);
        }
}

static unsigned measure_spins(void) {
        enum { N = 256 };
        uint64_t best = UINT64_MAX;

        for (unsigned k = 0; k < 4; k++) {
                uint64_t begin = now_ns(CLOCK_MONOTONIC);
                for (unsigned i = 0; i < N; i++)
                        pause_cpu();
                best = MIN(best, now_ns(CLOCK_MONOTONIC) - begin);
        }
        return (unsigned) (N * (uint64_t) POOL_SPIN_NS / MAX(best, (uint64_t) N)) + 1;
}

int pool_new(unsigned n_threads, Pool **ret) {
        n_threads = MIN(n_threads, POOL_THREADS_MAX);
        n_threads = MAX(n_threads, 1u);
        cpu_prepare();

        size_t size = sizeof(Pool) + n_threads * sizeof(PoolThread);
        Pool *p = aligned_alloc(_Alignof(Pool), size);
        if (!p)
                return -ENOMEM;
        *p = (Pool) {
                .n_threads = 1,
                .spins = measure_spins(),
                .alone_next_ns = POOL_ALONE_MIN_NS,
        };
        p->threads[0] = (PoolThread) { .pool = p };

        for (unsigned i = 1; i < n_threads; i++) {
                p->threads[i] = (PoolThread) { .pool = p, .index = i };
                if (pthread_create(&p->threads[i].handle, NULL, thread_main, &p->threads[i]) != 0)
                        break;
                p->n_threads++;
        }

        *ret = p;
        return 0;
}

Pool *pool_free(Pool *p) {
        if (!p)
                return NULL;
        p->stop = true;
        gate_step(&p->start);
        for (unsigned i = 1; i < p->n_threads; i++)
                pthread_join(p->threads[i].handle, NULL);
        free(p);
        return NULL;
}

unsigned pool_n_threads(const Pool *p) {
        return p->n_threads;
}

void pool_stay_together(Pool *p) {
        p->together = true;
}

/* After a run on all threads that ended at `end`: whether the next ones are better done alone. */
static void judge(Pool *p, uint64_t begin, uint64_t end) {
        uint64_t taken = 0;

        for (unsigned i = 0; i < p->n_threads; i++)
                taken = MAX(taken, p->threads[i].taken_ns);
        p->run_ns += end - begin;
        p->taken_ns += MIN(taken, end - begin);

        if (p->taken_ns * POOL_TAKEN_SHARE > p->run_ns) {
                p->alone_until_ns = end + p->alone_next_ns;
                p->alone_next_ns = MIN(2 * p->alone_next_ns, (uint64_t) POOL_ALONE_MAX_NS);
                p->run_ns = p->taken_ns = 0;
        } else if (p->run_ns > POOL_MEMORY_NS) {
                p->alone_next_ns = POOL_ALONE_MIN_NS;
                while (p->run_ns > POOL_MEMORY_NS) {
                        p->run_ns /= 2;
                        p->taken_ns /= 2;
                }
        }
}

void pool_run(Pool *p, PoolJob job, void *userdata) {
        const uint64_t begin = p->n_threads > 1 ? now_ns(CLOCK_MONOTONIC) : 0;

        if (p->n_threads == 1 || (begin < p->alone_until_ns && !p->together)) {
                p->n_run = 1;
                job(userdata, 0, 1);
                return;
        }

        uint32_t seen = atomic_load(&p->done.value);
        p->job = job;
        p->userdata = userdata;
        p->n_run = p->n_threads;
        atomic_store_explicit(&p->finished, 0, memory_order_relaxed);
        gate_step(&p->start);

        run_share(p, 0, seen);
        judge(p, begin, now_ns(CLOCK_MONOTONIC));
}

void pool_barrier(Pool *p, unsigned thread) {
        if (p->n_run == 1)
                return;

        uint32_t seen = atomic_load(&p->barrier.value);
        if (atomic_fetch_add(&p->arrived, 1) + 1 == p->n_run) {
                atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
                gate_step(&p->barrier);
        } else
                gate_wait(&p->barrier, seen, p->spins, &p->threads[thread]);
}

uint32_t pool_next(_Atomic uint32_t *counter, uint32_t n) {
        uint32_t i = atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
        return i < n ? i : UINT32_MAX;
}
