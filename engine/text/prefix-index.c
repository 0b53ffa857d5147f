/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns finding tokens by what they begin with. A walk narrows a range of the sorted array by binary search and stops
 * at the first byte that no token has, which in prose is nearly always the second. */

#include <errno.h>
#include <string.h>

#include "basic/cleanup.h"
#include "engine/text/prefix-index.h"

static int compare(const void *a, const void *b, void *userdata) {
        const Vocab *v = userdata;
        uint32_t ia = *(const uint32_t *) a, ib = *(const uint32_t *) b;
        size_t na, nb;
        const char *ta = vocab_text(v, ia, &na), *tb = vocab_text(v, ib, &nb);

        int c = memcmp(ta, tb, MIN(na, nb));
        if (c != 0)
                return c;
        if (na != nb)
                return na < nb ? -1 : 1;
        return ia < ib ? -1 : ia > ib;
}

int prefix_index_init(PrefixIndex *p, const Vocab *v, bool (*wanted)(const Vocab *v, uint32_t id)) {
        size_t n = 0;

        *p = (PrefixIndex) {};
        for (uint32_t id = 0; id < v->n; id++)
                n += v->tokens[id].text_size > 0 && wanted(v, id);
        p->ids = malloc(MAX(n, (size_t) 1) * sizeof(uint32_t));
        if (!p->ids)
                return -ENOMEM;
        for (uint32_t id = 0; id < v->n; id++)
                if (v->tokens[id].text_size > 0 && wanted(v, id))
                        p->ids[p->n++] = id;
        qsort_r(p->ids, p->n, sizeof(uint32_t), compare, (void *) v);

        size_t i = 0;
        for (unsigned b = 0; b <= 256; b++) {
                while (i < p->n && (uint8_t) v->arena[v->tokens[p->ids[i]].text] < b)
                        i++;
                p->first[b] = (uint32_t) i;
        }
        return 0;
}

void prefix_index_done(PrefixIndex *p) {
        free(p->ids);
        *p = (PrefixIndex) {};
}

/* The first in the range whose byte at depth is at least `byte` (0 … 256); one that ends there counts as -1. */
static uint32_t lower_bound(const PrefixWalk *w, const PrefixIndex *p, const Vocab *v, int byte) {
        uint32_t low = w->low, high = w->high;

        while (low < high) {
                uint32_t middle = low + (high - low) / 2;
                const VocabToken *token = v->tokens + p->ids[middle];
                int at = token->text_size > w->depth ? (uint8_t) v->arena[token->text + w->depth] : -1;
                if (at < byte)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

bool prefix_walk_next(PrefixWalk *w, const PrefixIndex *p, const Vocab *v, char byte) {
        uint32_t low = lower_bound(w, p, v, (uint8_t) byte);

        w->high = lower_bound(w, p, v, (uint8_t) byte + 1);
        w->low = low;
        w->depth++;
        return low < w->high;
}
