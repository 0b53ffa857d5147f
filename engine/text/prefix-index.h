/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Some of a vocabulary's tokens, sorted by text, so that all that begin as a given text does are found byte by byte:
 * four bytes a token, nothing to build but a sort, no node for a hostile vocabulary to multiply. */

#include <stddef.h>
#include <stdint.h>

#include "engine/text/vocab.h"

typedef struct PrefixIndex {
        uint32_t *ids;                  /* [n], by text, then by id */
        size_t n;
        uint32_t first[257];            /* ids[first[b] … first[b + 1]) begin with byte b */
} PrefixIndex;

/* Of the tokens that `wanted` says yes to; empty texts are left out. */
int prefix_index_init(PrefixIndex *p, const Vocab *v, bool (*wanted)(const Vocab *v, uint32_t id));
void prefix_index_done(PrefixIndex *p);

/* A walk along a text: prefix_walk_start() takes its first byte, prefix_walk_next() one more each. Both return false
 * where no token begins so. */
typedef struct PrefixWalk {
        uint32_t low, high;             /* ids[low … high) begin with the bytes taken so far */
        uint32_t depth;
} PrefixWalk;

static inline bool prefix_walk_start(PrefixWalk *w, const PrefixIndex *p, char byte) {
        *w = (PrefixWalk) { .low = p->first[(uint8_t) byte], .high = p->first[(uint8_t) byte + 1], .depth = 1 };
        return w->low < w->high;
}
bool prefix_walk_next(PrefixWalk *w, const PrefixIndex *p, const Vocab *v, char byte);

/* The token that is exactly what was taken so far, or VOCAB_NONE. */
static inline uint32_t prefix_walk_token(const PrefixWalk *w, const PrefixIndex *p, const Vocab *v) {
        uint32_t id = p->ids[w->low];
        return v->tokens[id].text_size == w->depth ? id : VOCAB_NONE;
}
