/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One sequence's pages, position by position: which are held, which must be had before a step writes, which can be
 * given back because every layer of their group looks past them. */

#include "engine/models/model.h"
#include "engine/runtime/kv-cache.h"

typedef struct KvTable {
        KvCache *cache;
        const KvGroup *groups;                /* the model's, [MODEL_KV_GROUPS_MAX] */
        KvDomain domain;
        size_t n_held;                        /* positions 0 … n_held - 1 have keys and values */
        size_t n_slots;
        KvPage **pages[MODEL_KV_GROUPS_MAX];  /* [n_slots]; NULL: behind the window, or not there yet */
        uint8_t **data[MODEL_KV_GROUPS_MAX];  /* their memory, as the forward pass wants it */
        KvDigest *digests;                    /* [n_slots], of the first n_held / KV_PAGE_TOKENS pages */
} KvTable;

/* The most pages of a group that a sequence of n positions holds, which reserves `step` of them at a time. */
size_t kv_table_pages(const KvGroup *group, size_t n, size_t step);

void kv_table_init(KvTable *t, KvCache *cache, const KvGroup *groups, KvDomain domain);
void kv_table_done(KvTable *t);
/* Gives every page back; the table can be used on. */
void kv_table_clear(KvTable *t);

/* Holds at most n positions from now on; fewer where a window's pages before n are gone. */
void kv_table_truncate(KvTable *t, size_t n);
/* Takes pages that others computed for the continuation of ids, up to at most n positions in all. */
int kv_table_adopt(KvTable *t, const uint32_t *ids, size_t n);
/* Pages to write the next n positions to. -ENOBUFS, -ENOMEM: t holds what it held. */
int kv_table_reserve(KvTable *t, size_t n);
/* The next n positions were written; ids is the whole sequence. */
void kv_table_advance(KvTable *t, const uint32_t *ids, size_t n);
/* `ret` (initialised, empty, of the same domain) holds what t holds. */
int kv_table_fork(const KvTable *t, KvTable *ret);
