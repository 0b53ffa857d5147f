/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pages of keys and values: KV_PAGE_TOKENS positions of all layers of one group. A page that is full and whose tokens
 * are known can be found again by (domain, group, digest of all tokens up to its end): a later turn, a fork or another
 * sequence of the same domain takes it instead of computing it. Such a page, or one with more than one owner, is never
 * written.
 *
 * Pages that nobody owns any more stay for as long as the budget has room and go least recently used first. Content
 * is a function of the tokens alone (kernels.h), so that equal pages are interchangeable. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/cleanup.h"
#include "engine/kernels/attend.h"
#include "engine/models/architecture.h"

typedef struct KvCache KvCache;

typedef struct KvDigest {                     /* of a prefix of tokens: 128 bits; its own domain's apps alone can collide it */
        uint64_t a, b;
} KvDigest;

typedef struct KvDomain {                     /* pages are found only inside one */
        uint64_t app;                         /* sequences that may share; 0: */
        uint64_t sequence;                    /* one sequence and its forks alone */
} KvDomain;

#define KV_DIGEST_EMPTY ((KvDigest) { 0x243f6a8885a308d3u, 0x13198a2e03707344u })

typedef struct KvPage {
        uint8_t *data;
        uint32_t n_owners;
        uint8_t group;
        bool listed;                          /* can be found */
        KvDomain domain;
        KvDigest digest;
        struct KvPage *hash_next;
        struct KvPage *lru_prev, *lru_next;   /* while nobody owns it */
} KvPage;

/* page_sizes[group] in bytes, 0 for a group without layers. */
int kv_cache_new(const size_t page_sizes[MODEL_KV_GROUPS_MAX], uint64_t budget, KvCache **ret);
KvCache *kv_cache_free(KvCache *c);           /* every page was given back before */
DEFINE_CLEANUP(KvCache, kv_cache_free);

KvDigest kv_digest(KvDigest before, const uint32_t ids[KV_PAGE_TOKENS]);

/* A page of one's own. -ENOBUFS: the budget is used up by pages that have owners; -ENOMEM: no memory. */
int kv_cache_page(KvCache *c, unsigned group, KvPage **ret);
KvPage *kv_page_ref(KvPage *p);
void kv_page_unref(KvCache *c, KvPage *p);    /* NULL allowed */

/* The page of that prefix with one owner more, or NULL. */
KvPage *kv_cache_find(KvCache *c, KvDomain domain, unsigned group, KvDigest digest);
bool kv_cache_has(const KvCache *c, KvDomain domain, unsigned group, KvDigest digest);

/* Makes a full page known; where an equal one is known already, gives `p` back and returns that one. */
KvPage *kv_cache_list(KvCache *c, KvPage *p, KvDomain domain, KvDigest digest);

/* A page that may be written in place of p, with its content: p itself, or a copy. p's ownership passes on success. */
int kv_page_writable(KvCache *c, KvPage *p, KvPage **ret);

uint64_t kv_cache_bytes(const KvCache *c);
uint64_t kv_cache_budget(const KvCache *c);
uint64_t kv_cache_evictions(const KvCache *c);
