/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A binary heap of 64-bit keys, least first: the merges that a text could make, best first, leftmost first among equals.
 * A key is (rank << 32 | index of the left symbol). Entries are not taken out when a merge makes them void: whoever
 * pops one checks that it still holds. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct MergeQueue {             /* init with {}; free(keys) */
        uint64_t *keys;
        size_t n, allocated;
} MergeQueue;

static inline int merge_queue_push(MergeQueue *q, uint32_t rank, uint32_t left) {
        uint64_t key = (uint64_t) rank << 32 | left;

        if (q->n == q->allocated) {
                size_t allocated = q->allocated ? q->allocated * 2 : 64;
                uint64_t *keys = reallocarray(q->keys, allocated, sizeof(uint64_t));
                if (!keys)
                        return -ENOMEM;
                q->keys = keys;
                q->allocated = allocated;
        }
        size_t i = q->n++;
        while (i > 0 && q->keys[(i - 1) / 2] > key) {
                q->keys[i] = q->keys[(i - 1) / 2];
                i = (i - 1) / 2;
        }
        q->keys[i] = key;
        return 0;
}

/* n > 0 */
static inline uint64_t merge_queue_pop(MergeQueue *q) {
        uint64_t least = q->keys[0], key = q->keys[--q->n];
        size_t i = 0;

        for (size_t child; (child = 2 * i + 1) < q->n; i = child) {
                child += child + 1 < q->n && q->keys[child + 1] < q->keys[child];
                if (q->keys[child] >= key)
                        break;
                q->keys[i] = q->keys[child];
        }
        q->keys[i] = key;
        return least;
}
