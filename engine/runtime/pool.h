/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The engine's threads. A job is one function that every thread runs (single program, multiple data), with barriers
 * inside; the caller is thread 0. Waiting spins for microseconds at most and then blocks on a futex, so that a busy
 * desktop costs a share of the speed and not all of it, and an idle pool costs nothing.
 *
 * Under contention a pool may run a job on fewer threads than it has (down to the caller alone) for a while: results
 * must not depend on n_threads, and with the kernels' fixed order of operations they do not. */

#include <stddef.h>
#include <stdint.h>

#include "basic/cleanup.h"

#define POOL_THREADS_MAX 64u

typedef struct Pool Pool;

/* All threads exist when this returns, and the kernel was asked for what the CPU's kernels need of it (a seccomp filter is
 * installed afterwards). Fewer than asked is no error: see pool_n_threads(); none beyond the caller is a pool of 1. */
int pool_new(unsigned n_threads, Pool **ret);
Pool *pool_free(Pool *p);
DEFINE_CLEANUP(Pool, pool_free);
unsigned pool_n_threads(const Pool *p);

/* From now on every run is on all threads, however busy the machine is: where it matters what they do to each other, and
 * not how long that takes. */
void pool_stay_together(Pool *p);

typedef void (*PoolJob)(void *userdata, unsigned thread, unsigned n_threads);

/* Runs job on 1 … pool_n_threads() threads and returns when all are through. Not reentrant; one caller at a time. */
void pool_run(Pool *p, PoolJob job, void *userdata);

/* Inside a job: returns when every thread of this run is here. Everything written before is visible after. */
void pool_barrier(Pool *p, unsigned thread);

/* Inside a job: hands out chunk numbers 0, 1, 2 … once each over all threads, until `n`; UINT32_MAX then. `counter`
 * is shared by the job's threads and was zeroed before a barrier. For uneven work. */
uint32_t pool_next(_Atomic uint32_t *counter, uint32_t n);
