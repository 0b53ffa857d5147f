/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sequence's pages: what others computed is taken as it is, and what nobody computed is not taken for it. */

#include "engine/runtime/kv-table.h"
#include "tests/test.h"

#define PAGE 64u
#define N (3 * KV_PAGE_TOKENS)

static const KvGroup groups[MODEL_KV_GROUPS_MAX] = { { .n_layers = 1 } };
static const KvDomain domain = { .app = 1 };
static uint32_t ids[N];

static KvCache *cache(void) {
        const size_t sizes[MODEL_KV_GROUPS_MAX] = { PAGE };
        KvCache *c = NULL;
        CHECK_INT(kv_cache_new(sizes, 100 * PAGE, &c), 0);
        for (uint32_t i = 0; i < N; i++)
                ids[i] = i;
        return c;
}

/* n more positions, each page filled with its number and `mark`. */
static void compute(KvTable *t, size_t n, uint8_t mark) {
        CHECK_INT(kv_table_reserve(t, n), 0);
        for (size_t i = t->n_held / KV_PAGE_TOKENS; i * KV_PAGE_TOKENS < t->n_held + n; i++)
                memset(t->data[0][i], (int) (mark + i), PAGE);
        kv_table_advance(t, ids, n);
}

static void test_adopt(void) {
        KvCache *c = cache();
        KvTable a, b;
        kv_table_init(&a, c, groups, domain);
        kv_table_init(&b, c, groups, domain);
        compute(&a, N, 10);
        CHECK_INT(kv_table_adopt(&b, ids, N), 0);
        CHECK_INT(b.n_held, N);
        for (size_t i = 0; i < 3; i++)
                CHECK(b.pages[0][i] == a.pages[0][i] && b.data[0][i][0] == 10 + i);
        kv_table_done(&a);
        kv_table_done(&b);
        kv_cache_free(c);
}

/* Pages were had for a step that then was not computed: they are empty, whatever their place would mean. */
static void test_not_computed(void) {
        KvCache *c = cache();
        KvTable a, b;
        kv_table_init(&a, c, groups, domain);
        kv_table_init(&b, c, groups, domain);
        compute(&a, N, 10);
        compute(&b, KV_PAGE_TOKENS, 10);
        CHECK_INT(kv_table_reserve(&b, KV_PAGE_TOKENS), 0);
        CHECK(b.pages[0][1] != a.pages[0][1]);
        CHECK_INT(kv_table_adopt(&b, ids, N), 0);
        CHECK_INT(b.n_held, N);
        for (size_t i = 0; i < 3; i++)
                CHECK_INT(b.data[0][i][0], 10 + i);
        kv_table_done(&a);
        kv_table_done(&b);
        kv_cache_free(c);
}

TEST_MAIN({ "what others computed", test_adopt }, { "what nobody computed", test_not_computed })
