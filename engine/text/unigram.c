/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns SentencePiece's unigram model (Kudo 2018; T5, XLM-R and their kin): of all ways to cut a text into pieces the one
 * of the highest sum of scores, by Viterbi over its characters. What no piece covers is the unknown token, one for a
 * whole run, or its bytes' tokens where the vocabulary has them. */

#include <errno.h>
#include <float.h>
#include <string.h>

#include "engine/text/charsmap.h"
#include "engine/text/tokenizer-internal.h"
#include "engine/text/utf8.h"

#define SPACE_MARK "\xe2\x96\x81"
#define PIECE_MAX 256u                  /* longer pieces are not looked for: it bounds what each character may cost */
#define NORMALISED_MAX (4u * TOKENIZER_TEXT_MAX)

/* Memory of the search is bounded by taking a text in stretches of about so many bytes, which end in front of U+2581:
 * pieces do not cross it. */
#define STRETCH_MAX (1u << 20)
#define UNKNOWN_PENALTY 10.0            /* so much less than the worst piece scores an unknown character */

typedef struct Unigram {
        PrefixIndex pieces;
        Charsmap charsmap;
        double unknown_score;
        bool space_prefix, merges_spaces;
} Unigram;

typedef struct Best {                   /* the best cut of what lies before a place */
        double score;                   /* -DBL_MAX: none */
        uint32_t from, id;              /* of its last piece; VOCAB_NONE: an unknown character */
} Best;

typedef struct Text {                   /* normalised */
        char *bytes;
        size_t n, allocated;
} Text;

static bool is_piece(const Vocab *v, uint32_t id) {
        return vocab_is_plain(v, id) && v->tokens[id].text_size <= PIECE_MAX;
}

static void unigram_free(void *state) {
        Unigram *u = state;

        if (!u)
                return;
        prefix_index_done(&u->pieces);
        charsmap_done(&u->charsmap);
        free(u);
}

static int unigram_load(Tokenizer *t, const Gguf *g, EngineError *reterr) {
        double worst = DBL_MAX;
        int r;

        Unigram *u = t->state = calloc(1, sizeof(Unigram));
        if (!u)
                return -ENOMEM;
        u->space_prefix = u->merges_spaces = true;
        if (((r = gguf_bool(g, "tokenizer.ggml.add_space_prefix", &u->space_prefix, reterr)) < 0 && r != -ENOENT) ||
            ((r = gguf_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &u->merges_spaces, reterr)) < 0 && r != -ENOENT) ||
            (r = charsmap_load(&u->charsmap, g, reterr)) < 0)
                return r;
        for (uint32_t id = 0; id < t->vocab.n; id++)
                if (t->vocab.tokens[id].type == TOKEN_NORMAL)
                        worst = MIN(worst, (double) t->vocab.scores[id]);
        u->unknown_score = worst - UNKNOWN_PENALTY;
        return prefix_index_init(&u->pieces, &t->vocab, is_piece);
}

static int append(Text *o, const char *bytes, size_t n) {
        if (n > NORMALISED_MAX - o->n)
                return -E2BIG;
        if (n > o->allocated - o->n) {
                size_t allocated = MAX(o->allocated * 2, o->n + n);
                char *grown = realloc(o->bytes, allocated);
                if (!grown)
                        return -ENOMEM;
                o->bytes = grown;
                o->allocated = allocated;
        }
        memcpy(o->bytes + o->n, bytes, n);
        o->n += n;
        return 0;
}

/* Replaces what the character map replaces, then spaces by U+2581: with merges_spaces one for each run within the text
 * and none at its ends, and with space_prefix one in front of it all. */
static int normalise(const Unigram *u, const char *text, size_t n, Text *o) {
        bool pending = u->space_prefix;
        int r = 0;

        for (size_t i = 0; i < n && r >= 0;) {
                const char *with;
                size_t n_with;
                i += charsmap_replace(&u->charsmap, text + i, n - i, &with, &n_with);
                for (size_t j = 0; j < n_with && r >= 0; j++) {
                        if (with[j] == ' ' && u->merges_spaces) {
                                pending = pending || o->n > 0;
                                continue;
                        }
                        if (pending)
                                r = append(o, SPACE_MARK, 3);
                        pending = false;
                        if (r >= 0)
                                r = with[j] == ' ' ? append(o, SPACE_MARK, 3) : append(o, with + j, 1);
                }
        }
        return r;
}

static void better(Best *b, double score, size_t from, uint32_t id) {
        if (score > b->score)
                *b = (Best) { .score = score, .from = (uint32_t) from, .id = id };
}

/* best[0 … n] is filled; characters are whole, or single bytes of what is no UTF-8. */
static void viterbi(const Tokenizer *t, const char *text, size_t n, Best *best) {
        const Unigram *u = t->state;

        for (size_t i = 1; i <= n; i++)
                best[i].score = -DBL_MAX;
        best[0] = (Best) {};
        for (size_t i = 0; i < n;) {
                uint32_t rune;
                size_t size = MAX(utf8_decode(text + i, n - i, &rune), (size_t) 1);
                bool covered = false;
                PrefixWalk w;
                for (bool more = prefix_walk_start(&w, &u->pieces, text[i]); more;
                     more = i + w.depth < n && prefix_walk_next(&w, &u->pieces, &t->vocab, text[i + w.depth])) {
                        uint32_t id = prefix_walk_token(&w, &u->pieces, &t->vocab);
                        if (id == VOCAB_NONE)
                                continue;
                        bool own = t->vocab.tokens[id].type == TOKEN_USER_DEFINED;
                        better(best + i + w.depth, best[i].score + (own ? 0 : (double) t->vocab.scores[id]), i, id);
                        covered = covered || w.depth == size;
                }
                if (!covered)
                        better(best + i + size, best[i].score + u->unknown_score, i, VOCAB_NONE);
                i += size;
        }
}

static int emit_unknown(const Tokenizer *t, const char *text, size_t n, bool again, TokenList *list) {
        bool as_bytes = true;
        int r = 0;

        for (size_t i = 0; i < n; i++)
                as_bytes = as_bytes && t->vocab.bytes[(uint8_t) text[i]] != VOCAB_NONE;
        if (!as_bytes)
                return again || t->unknown == VOCAB_NONE ? 0 : token_list_append(list, &t->unknown, 1);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = token_list_append(list, &t->vocab.bytes[(uint8_t) text[i]], 1);
        return r;
}

static int encode_stretch(const Tokenizer *t, const char *text, size_t n, Best *best, TokenList *list) {
        int r = 0;

        viterbi(t, text, n, best);
        /* The way back, turned round in place: best[i] becomes the piece that begins at i, `from` where it ends. */
        uint32_t end = (uint32_t) n, id = best[n].id, from = best[n].from;
        for (;;) {
                Best before = best[from];
                best[from] = (Best) { .from = end, .id = id };
                if (from == 0)
                        break;
                end = from;
                from = before.from;
                id = before.id;
        }
        bool again = false;
        for (uint32_t i = 0; i < n && r >= 0; i = best[i].from) {
                bool unknown = best[i].id == VOCAB_NONE;
                r = unknown ? emit_unknown(t, text + i, best[i].from - i, again, list) : token_list_append(list, &best[i].id, 1);
                again = unknown;
        }
        return r;
}

static size_t stretch_of(const char *text, size_t n) {
        if (n <= STRETCH_MAX)
                return n;
        for (size_t i = STRETCH_MAX - 3; i > STRETCH_MAX / 2; i--)
                if (memcmp(text + i, SPACE_MARK, 3) == 0)
                        return i;
        size_t i = STRETCH_MAX;
        while (i > STRETCH_MAX - 4 && ((uint8_t) text[i] & 0xc0) == 0x80)
                i--;
        return i;
}

static int unigram_encode(const Tokenizer *t, const char *text, size_t n, TokenList *list) {
        Text o = {};
        Best *best = NULL;

        int r = normalise(t->state, text, n, &o);
        if (r >= 0) {
                best = reallocarray(NULL, MIN(o.n, (size_t) STRETCH_MAX) + 1, sizeof(Best));
                if (!best)
                        r = -ENOMEM;
        }
        for (size_t at = 0, size; at < o.n && r >= 0; at += size) {
                size = stretch_of(o.bytes + at, o.n - at);
                r = encode_stretch(t, o.bytes + at, size, best, list);
        }
        free(best);
        free(o.bytes);
        return r;
}

const TokenizerAlgorithm unigram_algorithm = {
        .model = "t5",
        .form = VOCAB_SPACE_MARK,
        .scores = true,
        .adds_eos = true,
        .bos_key = "tokenizer.ggml.bos_token_id",
        .eos_key = "tokenizer.ggml.eos_token_id",
        .bos = VOCAB_NONE, .eos = 1, .unknown = 2,
        .load = unigram_load,
        .free = unigram_free,
        .encode = unigram_encode,
};
