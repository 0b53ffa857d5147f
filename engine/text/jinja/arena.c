/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the memory of templates and their runs. Nothing is freed singly: a run is short, its bound is firm, and values
 * may then point at each other without anybody keeping count. */

#include <stdint.h>
#include <stdlib.h>

#include "basic/checked.h"
#include "engine/text/jinja/arena.h"

#define ARENA_BLOCK (64u << 10)

struct ArenaBlock {
        ArenaBlock *next;
        size_t used, size;
        max_align_t bytes[];
};

void *jinja_alloc(Arena *a, size_t size) {
        size_t aligned, total;

        if (!checked_align(size ?: 1, 16, &aligned) || !checked_add(a->used, aligned, &total) || total > a->max) {
                a->over = true;
                return NULL;
        }

        ArenaBlock *b = a->blocks;
        if (!b || b->size - b->used < aligned) {
                size_t room = aligned > ARENA_BLOCK / 4 ? aligned : ARENA_BLOCK;
                b = calloc(1, sizeof(ArenaBlock) + room);
                if (!b)
                        return NULL;
                b->size = room;
                /* A large piece fills its block: it goes behind the one that still has room. */
                if (room == aligned && a->blocks) {
                        b->next = a->blocks->next;
                        a->blocks->next = b;
                } else {
                        b->next = a->blocks;
                        a->blocks = b;
                }
        }

        void *p = (char *) b->bytes + b->used;
        b->used += aligned;
        a->used = total;
        return p;
}

void *jinja_alloc_array(Arena *a, size_t n, size_t size) {
        size_t total;

        if (!checked_mul(n, size, &total)) {
                a->over = true;
                return NULL;
        }
        return jinja_alloc(a, total);
}

void jinja_arena_done(Arena *a) {
        for (ArenaBlock *b = a->blocks; b;) {
                ArenaBlock *next = b->next;
                free(b);
                b = next;
        }
        *a = (Arena) { .max = a->max };
}
