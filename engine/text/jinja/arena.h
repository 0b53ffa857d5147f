/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Memory that is given out in pieces and taken back at once: what a parsed template, or one run of it, is made of.
 * Capped, so that no template can ask for more than its bound. Not safe for use from two threads. */

#include <stdbool.h>
#include <stddef.h>

typedef struct ArenaBlock ArenaBlock;

typedef struct Arena {          /* {.max = …} to begin with; jinja_arena_done() frees */
        ArenaBlock *blocks;
        size_t used, max;       /* bytes given out, and the bound on them */
        bool over;              /* the bound was met (else a NULL means that the machine has no memory) */
} Arena;

/* Zeroed, aligned to 16 bytes, alive until jinja_arena_done(). NULL past the bound or without memory. */
void *jinja_alloc(Arena *a, size_t size);
void *jinja_alloc_array(Arena *a, size_t n, size_t size);
void jinja_arena_done(Arena *a);
