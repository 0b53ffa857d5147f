/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the pages' memory and the table that finds them again. Refuses to go past the budget: it drops pages without
 * owners, oldest first, and then says -ENOBUFS; whose pages to take away is the scheduler's choice. */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/runtime/kv-cache.h"

#define HASH_SIZE_MIN 64u
#define HASH_SIZE_MAX (1u << 20)

struct KvCache {
        size_t page_sizes[MODEL_KV_GROUPS_MAX];
        uint64_t budget, bytes, evictions;
        KvPage **hash;
        size_t hash_mask;
        KvPage *lru_first, *lru_last;         /* first: dropped first */
};

int kv_cache_new(const size_t page_sizes[MODEL_KV_GROUPS_MAX], uint64_t budget, KvCache **ret) {
        _cleanup_(kv_cache_freep) KvCache *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;

        size_t smallest = SIZE_MAX;
        for (size_t i = 0; i < MODEL_KV_GROUPS_MAX; i++) {
                c->page_sizes[i] = page_sizes[i];
                if (page_sizes[i] > 0)
                        smallest = MIN(smallest, page_sizes[i]);
        }
        c->budget = budget;

        size_t n = HASH_SIZE_MIN;
        while (n < HASH_SIZE_MAX && n < budget / smallest)
                n *= 2;
        c->hash = calloc(n, sizeof *c->hash);
        if (!c->hash)
                return -ENOMEM;
        c->hash_mask = n - 1;

        *ret = TAKE_PTR(c);
        return 0;
}

static void lru_remove(KvCache *c, KvPage *p) {
        *(p->lru_prev ? &p->lru_prev->lru_next : &c->lru_first) = p->lru_next;
        *(p->lru_next ? &p->lru_next->lru_prev : &c->lru_last) = p->lru_prev;
        p->lru_prev = p->lru_next = NULL;
}

static void lru_append(KvCache *c, KvPage *p) {
        p->lru_prev = c->lru_last;
        p->lru_next = NULL;
        *(c->lru_last ? &c->lru_last->lru_next : &c->lru_first) = p;
        c->lru_last = p;
}

static KvPage **bucket(const KvCache *c, KvDigest digest) {
        return &c->hash[digest.a & c->hash_mask];
}

static void unlist(KvCache *c, KvPage *p) {
        for (KvPage **i = bucket(c, p->digest); *i; i = &(*i)->hash_next)
                if (*i == p) {
                        *i = p->hash_next;
                        break;
                }
        p->hash_next = NULL;
        p->listed = false;
}

static void page_free(KvCache *c, KvPage *p) {
        c->bytes -= c->page_sizes[p->group];
        munmap(p->data, c->page_sizes[p->group]);
        free(p);
}

static bool drop_oldest(KvCache *c) {
        KvPage *p = c->lru_first;
        if (!p)
                return false;
        lru_remove(c, p);
        unlist(c, p);
        page_free(c, p);
        c->evictions++;
        return true;
}

KvCache *kv_cache_free(KvCache *c) {
        if (!c)
                return NULL;
        while (drop_oldest(c))
                ;
        free(c->hash);
        free(c);
        return NULL;
}

/* Two multiply-and-fold lanes of different constants over the ids, seeded by the prefix before. */
static uint64_t fold(uint64_t a, uint64_t b) {
        const __uint128_t p = (__uint128_t) a * b;
        return (uint64_t) p ^ (uint64_t) (p >> 64);
}

KvDigest kv_digest(KvDigest before, const uint32_t ids[KV_PAGE_TOKENS]) {
        KvDigest d = before;
        for (size_t i = 0; i < KV_PAGE_TOKENS; i++) {
                d.a = fold(d.a ^ ids[i], 0x9e3779b97f4a7c15u) + (d.b << 1 | 1);
                d.b = fold(d.b + ids[i], 0xd6e8feb86659fd93u) ^ d.a;
        }
        return d;
}

int kv_cache_page(KvCache *c, unsigned group, KvPage **ret) {
        const size_t size = c->page_sizes[group];
        while (size > c->budget || c->bytes > c->budget - size)
                if (!drop_oldest(c))
                        return -ENOBUFS;

        _cleanup_free_ KvPage *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        /* Kernels read whole blocks and mask: what lies past the last position must be numbers. Zeros come with mapped
         * memory, and its first touch is paid for by the threads that store, not here while they wait. */
        void *data;
        while ((data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) == MAP_FAILED)
                if (!drop_oldest(c))
                        return -ENOMEM;
        p->data = data;
        p->group = (uint8_t) group;
        p->n_owners = 1;
        c->bytes += size;
        *ret = TAKE_PTR(p);
        return 0;
}

KvPage *kv_page_ref(KvPage *p) {
        p->n_owners++;
        return p;
}

void kv_page_unref(KvCache *c, KvPage *p) {
        if (!p || --p->n_owners > 0)
                return;
        if (p->listed)
                lru_append(c, p);
        else
                page_free(c, p);
}

static KvPage *look_up(const KvCache *c, KvDomain domain, unsigned group, KvDigest digest) {
        for (KvPage *p = *bucket(c, digest); p; p = p->hash_next)
                if (p->digest.a == digest.a && p->digest.b == digest.b && p->group == group &&
                    p->domain.app == domain.app && p->domain.sequence == domain.sequence)
                        return p;
        return NULL;
}

bool kv_cache_has(const KvCache *c, KvDomain domain, unsigned group, KvDigest digest) {
        return look_up(c, domain, group, digest) != NULL;
}

KvPage *kv_cache_find(KvCache *c, KvDomain domain, unsigned group, KvDigest digest) {
        KvPage *p = look_up(c, domain, group, digest);
        if (!p)
                return NULL;
        if (p->n_owners++ == 0)
                lru_remove(c, p);
        return p;
}

KvPage *kv_cache_list(KvCache *c, KvPage *p, KvDomain domain, KvDigest digest) {
        if (p->listed)
                return p;
        KvPage *known = kv_cache_find(c, domain, p->group, digest);
        if (known) {
                kv_page_unref(c, p);
                return known;
        }
        p->domain = domain;
        p->digest = digest;
        p->listed = true;
        p->hash_next = *bucket(c, digest);
        *bucket(c, digest) = p;
        return p;
}

int kv_page_writable(KvCache *c, KvPage *p, KvPage **ret) {
        if (p->n_owners == 1) {
                if (p->listed)
                        unlist(c, p);
                *ret = p;
                return 0;
        }

        KvPage *copy;
        int r = kv_cache_page(c, p->group, &copy);
        if (r < 0)
                return r;
        memcpy(copy->data, p->data, c->page_sizes[p->group]);
        kv_page_unref(c, p);
        *ret = copy;
        return 0;
}

uint64_t kv_cache_bytes(const KvCache *c) {
        return c->bytes;
}

uint64_t kv_cache_budget(const KvCache *c) {
        return c->budget;
}

uint64_t kv_cache_evictions(const KvCache *c) {
        return c->evictions;
}
