/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Token buckets (Turner, 1986), one per (subject, limit): a subject is an app of a user, or all apps of a user. Charged
 * before work starts, corrected after. Time is the caller's, in microseconds of one clock that never goes back.
 *
 * Rates refill evenly: RequestsPerMinute = 30 is a bucket of 30 that gains one every two seconds; TokensPerDay a bucket
 * of a day's tokens. Gauges (sessions, running replies, waiting turns) have no refill: what is taken is given back. */

#include <stddef.h>
#include <stdint.h>

#include "policy/rules.h"

#define QUOTA_SUBJECTS_MAX 4096u        /* known at once; a full bucket is forgotten to make room */

typedef struct Quota Quota;

int quota_new(Quota **ret);
Quota *quota_free(Quota *q);
DEFINE_CLEANUP(Quota, quota_free);

typedef struct QuotaKey {
        uid_t uid;
        const char *app;                /* NULL: all apps of the user together */
        RuleLimit limit;
} QuotaKey;

/* Takes `amount` where that much is there under a bucket of `size` (LIMIT_NONE: not limited, nothing is kept).
 * 0; -EDQUOT with *ret_wait_us: microseconds until it will be there (UINT64_MAX: never, more than the bucket holds, or
 * a gauge); -ENOSPC: too many subjects at once. Nothing is taken on failure. */
int quota_take(Quota *q, const QuotaKey *key, uint64_t size, uint64_t amount, uint64_t now_us, uint64_t *ret_wait_us);

/* Corrects: gives back what was not used, or takes what was used beyond (the bucket may then be in debt). */
void quota_give(Quota *q, const QuotaKey *key, uint64_t size, uint64_t amount, uint64_t now_us);
void quota_force(Quota *q, const QuotaKey *key, uint64_t size, uint64_t amount, uint64_t now_us);

/* What is there now (negative: debt); `size` where nothing is known of the subject. The number that is enforced. */
int64_t quota_left(const Quota *q, const QuotaKey *key, uint64_t size, uint64_t now_us);

size_t quota_n_subjects(const Quota *q);
