/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the rule which pages a sequence of n positions needs: all of them for layers that see everything; for layers
 * of a window, those that the query at position n can still see. */

#include <errno.h>
#include <string.h>

#include "engine/runtime/kv-table.h"

void kv_table_init(KvTable *t, KvCache *cache, const KvGroup *groups, KvDomain domain) {
        *t = (KvTable) { .cache = cache, .groups = groups, .domain = domain };
}

size_t kv_table_pages(const KvGroup *group, size_t n, size_t step) {
        const size_t seen = group->window > 0 ? MIN(n, group->window + step) : n;
        return seen / KV_PAGE_TOKENS + 2;
}

static void set_page(KvTable *t, unsigned group, size_t i, KvPage *p) {
        t->pages[group][i] = p;
        t->data[group][i] = p ? p->data : NULL;
}

static void drop_from(KvTable *t, size_t slot) {
        /* Backwards, so that the end of a prefix is dropped from the cache before its beginning. */
        for (size_t i = t->n_slots; i-- > slot;)
                for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                        kv_page_unref(t->cache, t->pages[g][i]);
                        set_page(t, g, i, NULL);
                }
}

void kv_table_clear(KvTable *t) {
        drop_from(t, 0);
        t->n_held = 0;
}

void kv_table_done(KvTable *t) {
        kv_table_clear(t);
        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                free(t->pages[g]);
                free(t->data[g]);
        }
        free(t->digests);
        *t = (KvTable) {};
}

static int grow(KvTable *t, size_t n_positions) {
        const size_t need = (n_positions + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
        if (need <= t->n_slots)
                return 0;
        const size_t n = MAX(need, t->n_slots * 2);     /* positions are below 2^25: nothing here can overflow */

        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                KvPage **pages = realloc(t->pages[g], n * sizeof *pages);
                if (!pages)
                        return -ENOMEM;
                t->pages[g] = pages;
                uint8_t **data = realloc(t->data[g], n * sizeof *data);
                if (!data)
                        return -ENOMEM;
                t->data[g] = data;
        }
        KvDigest *digests = realloc(t->digests, n * sizeof *digests);
        if (!digests)
                return -ENOMEM;
        t->digests = digests;

        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                memset(t->pages[g] + t->n_slots, 0, (n - t->n_slots) * sizeof *t->pages[g]);
                memset(t->data[g] + t->n_slots, 0, (n - t->n_slots) * sizeof *t->data[g]);
        }
        t->n_slots = n;
        return 0;
}

/* The first page of a group that the query at position n, or a later one, can see. */
static size_t first_needed(const KvTable *t, unsigned group, size_t n) {
        const size_t window = t->groups[group].window;
        return window > 0 && n + 1 > window ? (n + 1 - window) / KV_PAGE_TOKENS : 0;
}

/* Whether every page that n positions need is in the table, or (whole ones) can be found. */
static bool reachable(const KvTable *t, size_t n) {
        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                if (t->groups[g].n_layers == 0)
                        continue;
                for (size_t i = first_needed(t, g, n); i * KV_PAGE_TOKENS < n; i++)
                        if (!t->pages[g][i] &&
                            ((i + 1) * KV_PAGE_TOKENS > n || !kv_cache_has(t->cache, t->domain, g, t->digests[i])))
                                return false;
        }
        return true;
}

/* Takes what n positions need, which is reachable, and gives back the rest. */
static void hold(KvTable *t, size_t n) {
        const size_t end = (n + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
        drop_from(t, end);
        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                if (t->groups[g].n_layers == 0)
                        continue;
                const size_t first = first_needed(t, g, n);
                for (size_t i = first; i < end; i++)
                        if (!t->pages[g][i])
                                set_page(t, g, i, kv_cache_find(t->cache, t->domain, g, t->digests[i]));
                for (size_t i = MIN(first, end); i-- > 0 && t->pages[g][i];) {
                        kv_page_unref(t->cache, t->pages[g][i]);
                        set_page(t, g, i, NULL);
                }
        }
        t->n_held = n;
}

void kv_table_truncate(KvTable *t, size_t n) {
        if (n >= t->n_held)
                return;
        while (n > 0 && !reachable(t, n))
                n = (n - 1) / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
        if (n == 0)
                kv_table_clear(t);
        else
                hold(t, n);
}

int kv_table_adopt(KvTable *t, const uint32_t *ids, size_t n) {
        if (t->n_held % KV_PAGE_TOKENS != 0)
                return 0;
        /* Pages of a step that was not computed in the end: nothing is in them. */
        drop_from(t, t->n_held / KV_PAGE_TOKENS);
        int r = grow(t, n);
        if (r < 0)
                return r;

        size_t i = t->n_held / KV_PAGE_TOKENS;
        const unsigned g = t->groups[0].n_layers > 0 ? 0 : 1;
        for (; (i + 1) * KV_PAGE_TOKENS <= n; i++) {
                t->digests[i] = kv_digest(i > 0 ? t->digests[i - 1] : KV_DIGEST_EMPTY, ids + i * KV_PAGE_TOKENS);
                if (!kv_cache_has(t->cache, t->domain, g, t->digests[i]))
                        break;
        }
        while (i * KV_PAGE_TOKENS > t->n_held && !reachable(t, i * KV_PAGE_TOKENS))
                i--;
        if (i * KV_PAGE_TOKENS > t->n_held)
                hold(t, i * KV_PAGE_TOKENS);
        return 0;
}

int kv_table_reserve(KvTable *t, size_t n) {
        int r = grow(t, t->n_held + n);
        if (r < 0)
                return r;
        for (size_t i = t->n_held / KV_PAGE_TOKENS; i * KV_PAGE_TOKENS < t->n_held + n; i++)
                for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++) {
                        if (t->groups[g].n_layers == 0)
                                continue;
                        KvPage *p = t->pages[g][i];
                        r = p ? kv_page_writable(t->cache, p, &p) : kv_cache_page(t->cache, g, &p);
                        if (r < 0) {
                                drop_from(t, (t->n_held + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS);
                                return r;
                        }
                        set_page(t, g, i, p);
                }
        return 0;
}

void kv_table_advance(KvTable *t, const uint32_t *ids, size_t n) {
        const size_t before = t->n_held / KV_PAGE_TOKENS, after = (t->n_held + n) / KV_PAGE_TOKENS;
        for (size_t i = before; i < after; i++) {
                t->digests[i] = kv_digest(i > 0 ? t->digests[i - 1] : KV_DIGEST_EMPTY, ids + i * KV_PAGE_TOKENS);
                for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++)
                        if (t->pages[g][i])
                                set_page(t, g, i, kv_cache_list(t->cache, t->pages[g][i], t->domain, t->digests[i]));
        }
        t->n_held += n;

        for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++)
                for (size_t i = first_needed(t, g, t->n_held); i-- > 0 && t->pages[g][i];) {
                        kv_page_unref(t->cache, t->pages[g][i]);
                        set_page(t, g, i, NULL);
                }
}

int kv_table_fork(const KvTable *t, KvTable *ret) {
        int r = grow(ret, t->n_held);
        if (r < 0)
                return r;
        for (size_t i = 0; i * KV_PAGE_TOKENS < t->n_held; i++) {
                ret->digests[i] = t->digests[i];
                for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++)
                        if (t->pages[g][i])
                                set_page(ret, g, i, kv_page_ref(t->pages[g][i]));
        }
        ret->n_held = t->n_held;
        return 0;
}
