/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the buckets, in one open-addressing table of fixed size. A bucket that is full again says nothing that a missing
 * one would not say, so full ones make room; what an app owes is never forgotten by making up other names. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "policy/quota.h"

#define SLOTS (QUOTA_SUBJECTS_MAX * 2u)         /* a power of two; at most half full */
#define AMOUNT_MAX (INT64_MAX / 4)

typedef struct Bucket {
        bool used;
        uid_t uid;
        RuleLimit limit;
        char app[APP_ID_MAX + 1];               /* "" for all apps of the user */
        int64_t left;
        uint64_t rest;                          /* of the refill, in units of 1/period: nothing is lost by asking often */
        uint64_t size, at_us;
} Bucket;

struct Quota {
        Bucket buckets[SLOTS];
        size_t n;
};

static const uint64_t periods_us[LIMIT_MAX_] = {        /* 0: a gauge */
        [LIMIT_REQUESTS_PER_MINUTE]   = UINT64_C(60) * 1000000,
        [LIMIT_TOKENS_PER_DAY]        = UINT64_C(86400) * 1000000,
        [LIMIT_AUDIO_SECONDS_PER_DAY] = UINT64_C(86400) * 1000000,
};

int quota_new(Quota **ret) {
        Quota *q = calloc(1, sizeof *q);
        if (!q)
                return -ENOMEM;
        *ret = q;
        return 0;
}

Quota *quota_free(Quota *q) {
        free(q);
        return NULL;
}

size_t quota_n_subjects(const Quota *q) {
        return q->n;
}

/* FNV-1a; the table is bounded and half empty, so that a collision costs a bounded walk. */
static uint64_t hash(const QuotaKey *k) {
        uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (((uint64_t) k->uid << 8) | k->limit);
        h *= UINT64_C(0x100000001b3);
        for (const char *p = k->app ?: ""; *p; p++)
                h = (h ^ (unsigned char) *p) * UINT64_C(0x100000001b3);
        return h ^ (h >> 32);
}

static bool is(const Bucket *b, const QuotaKey *k) {
        return b->uid == k->uid && b->limit == k->limit && strcmp(b->app, k->app ?: "") == 0;
}

static size_t find(const Quota *q, const QuotaKey *k) {
        size_t i = hash(k) & (SLOTS - 1);
        while (q->buckets[i].used && !is(&q->buckets[i], k))
                i = (i + 1) & (SLOTS - 1);
        return i;
}

static void refill(Bucket *b, uint64_t size, uint64_t now_us) {
        uint64_t period = periods_us[b->limit];
        size = MIN(size, (uint64_t) AMOUNT_MAX);
        if (size != b->size) {                  /* the rules changed: what was taken stays taken */
                b->left += (int64_t) size - (int64_t) b->size;
                b->size = size;
        }
        if (period > 0 && now_us > b->at_us) {
                unsigned __int128 gained = (unsigned __int128) (now_us - b->at_us) * size + b->rest;
                unsigned __int128 whole = gained / period;
                b->rest = (uint64_t) (gained % period);
                b->left = whole > (unsigned __int128) AMOUNT_MAX ? (int64_t) size
                                                                 : MIN(b->left + (int64_t) whole, (int64_t) size);
        }
        b->at_us = MAX(b->at_us, now_us);
        if (b->left >= (int64_t) size)
                b->rest = 0;
}

static void forget(Quota *q, size_t i) {
        q->buckets[i].used = false;
        q->n--;
        for (size_t j = (i + 1) & (SLOTS - 1); q->buckets[j].used; j = (j + 1) & (SLOTS - 1)) {
                Bucket b = q->buckets[j];       /* re-seat what stood behind the gap */
                q->buckets[j].used = false;
                q->buckets[find(q, &(QuotaKey) { b.uid, b.app, b.limit })] = b;
        }
}

static void forget_full(Quota *q, uint64_t now_us) {
        for (size_t i = 0; i < SLOTS;) {
                Bucket *b = &q->buckets[i];
                if (b->used) {
                        refill(b, b->size, now_us);
                        if (b->left >= (int64_t) b->size) {
                                forget(q, i);
                                continue;       /* another may stand here now */
                        }
                }
                i++;
        }
}

static Bucket *get(Quota *q, const QuotaKey *k, uint64_t size, uint64_t now_us) {
        size_t i = find(q, k);
        if (!q->buckets[i].used) {
                if (q->n >= QUOTA_SUBJECTS_MAX) {
                        forget_full(q, now_us);
                        if (q->n >= QUOTA_SUBJECTS_MAX)
                                return NULL;
                        i = find(q, k);
                }
                Bucket *b = &q->buckets[i];
                *b = (Bucket) { .used = true, .uid = k->uid, .limit = k->limit, .size = MIN(size, (uint64_t) AMOUNT_MAX), .at_us = now_us };
                b->left = (int64_t) b->size;
                strncpy(b->app, k->app ?: "", APP_ID_MAX);
                q->n++;
        }
        refill(&q->buckets[i], size, now_us);
        return &q->buckets[i];
}

int quota_take(Quota *q, const QuotaKey *key, uint64_t size, uint64_t amount, uint64_t now_us, uint64_t *ret_wait_us) {
        if (size == LIMIT_NONE)
                return 0;
        amount = MIN(amount, (uint64_t) AMOUNT_MAX);
        Bucket *b = get(q, key, size, now_us);
        if (!b)
                return -ENOSPC;
        if ((int64_t) amount <= b->left) {
                b->left -= (int64_t) amount;
                return 0;
        }
        uint64_t period = periods_us[key->limit];
        if (period == 0 || amount > b->size)
                *ret_wait_us = UINT64_MAX;
        else {
                unsigned __int128 missing = (unsigned __int128) ((int64_t) amount - b->left) * period - b->rest;
                unsigned __int128 wait = (missing + b->size - 1) / b->size;
                *ret_wait_us = wait > UINT64_MAX ? UINT64_MAX : (uint64_t) wait;
        }
        return -EDQUOT;
}

void quota_give(Quota *q, const QuotaKey *key, uint64_t size, uint64_t amount, uint64_t now_us) {
        if (size == LIMIT_NONE)
                return;
        size_t i = find(q, key);
        if (!q->buckets[i].used)
                return;
        Bucket *b = &q->buckets[i];
        refill(b, size, now_us);
        b->left = MIN(b->left + (int64_t) MIN(amount, (uint64_t) AMOUNT_MAX), (int64_t) b->size);
}

void quota_force(Quota *q, const QuotaKey *key, uint64_t size, uint64_t amount, uint64_t now_us) {
        Bucket *b = size == LIMIT_NONE ? NULL : get(q, key, size, now_us);
        if (b)
                b->left = MAX(b->left - (int64_t) MIN(amount, (uint64_t) AMOUNT_MAX), -(int64_t) AMOUNT_MAX);
}

int64_t quota_left(const Quota *q, const QuotaKey *key, uint64_t size, uint64_t now_us) {
        if (size == LIMIT_NONE)
                return INT64_MAX;
        size_t i = find(q, key);
        if (!q->buckets[i].used)
                return (int64_t) MIN(size, (uint64_t) AMOUNT_MAX);
        Bucket b = q->buckets[i];
        refill(&b, size, now_us);
        return b.left;
}
