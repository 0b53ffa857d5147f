/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns SentencePiece BPE (Kudo & Richardson 2018): spaces become U+2581, the text becomes its characters, and the
 * neighbours that join to the piece of highest score do so, leftmost first, until none do. What is no piece becomes its
 * bytes' tokens. There are no words: a whole text is one sequence, so merges wait in a heap, and whether two neighbours
 * join to a piece is asked by a hash that follows from theirs. */

#include <errno.h>
#include <string.h>

#include "engine/text/merge-queue.h"
#include "engine/text/tokenizer-internal.h"
#include "engine/text/utf8.h"

#define SPACE_MARK "\xe2\x96\x81"
#define END UINT32_MAX

/* Memory of one encoding is bounded by taking a long text in stretches of so many bytes, which end in front of a space
 * that follows none: pieces do not cross it. Text without such a space is cut anyway. */
#define STRETCH_MAX (1u << 20)

typedef struct Symbol {
        uint64_t hash;
        uint32_t at, size;              /* in the stretch's marked text; size 0: merged into the one before */
        uint32_t previous, next;        /* or END */
} Symbol;

typedef struct Encoding {
        const Vocab *vocab;
        TokenList *list;
        uint32_t unknown;
        char *text;                     /* with U+2581 for spaces */
        Symbol *symbols;
        MergeQueue queue;
} Encoding;

typedef struct Sentencepiece {
        bool space_prefix;
} Sentencepiece;

static int sentencepiece_load(Tokenizer *t, const Gguf *g, EngineError *reterr) {
        Sentencepiece *s = t->state = calloc(1, sizeof(Sentencepiece));
        if (!s)
                return -ENOMEM;
        s->space_prefix = true;
        int r = gguf_bool(g, "tokenizer.ggml.add_space_prefix", &s->space_prefix, reterr);
        return r == -ENOENT ? 0 : r;
}

/* A key that orders falling scores rising; scores are finite. */
static uint32_t rank_of_score(float score) {
        uint32_t u;

        score += 0.0f;                  /* -0 is 0 */
        memcpy(&u, &score, sizeof u);
        return u & UINT32_C(0x80000000) ? u : ~u & UINT32_C(0x7fffffff);
}

/* The piece that two neighbours join to, or VOCAB_NONE. */
static uint32_t join(const Encoding *e, uint32_t left, uint32_t right, uint64_t *ret_hash) {
        const Symbol *l = e->symbols + left, *r = e->symbols + right;

        if ((size_t) l->size + r->size > e->vocab->text_max)
                return VOCAB_NONE;
        *ret_hash = vocab_hash_join(e->vocab, l->hash, r->hash, r->size);
        uint32_t id = vocab_find(e->vocab, e->text + l->at, l->size + r->size, *ret_hash);
        return id != VOCAB_NONE && vocab_is_plain(e->vocab, id) ? id : VOCAB_NONE;
}

static int consider(Encoding *e, uint32_t left, uint32_t right) {
        uint64_t hash;

        if (left == END || right == END)
                return 0;
        uint32_t id = join(e, left, right, &hash);
        return id == VOCAB_NONE ? 0 : merge_queue_push(&e->queue, rank_of_score(e->vocab->scores[id]), left);
}

static int merge_all(Encoding *e) {
        Symbol *symbols = e->symbols;
        int r;

        while (e->queue.n > 0) {
                uint64_t key = merge_queue_pop(&e->queue), hash;
                uint32_t left = (uint32_t) key, right = symbols[left].next;
                if (symbols[left].size == 0 || right == END)
                        continue;
                uint32_t id = join(e, left, right, &hash);
                if (id == VOCAB_NONE || rank_of_score(e->vocab->scores[id]) != key >> 32)
                        continue;       /* void since one of the two merged with another */

                symbols[left].hash = hash;
                symbols[left].size += symbols[right].size;
                symbols[left].next = symbols[right].next;
                symbols[right].size = 0;
                if (symbols[left].next != END)
                        symbols[symbols[left].next].previous = left;
                if ((r = consider(e, symbols[left].previous, left)) < 0 ||
                    (r = consider(e, left, symbols[left].next)) < 0)
                        return r;
        }
        return 0;
}

static int emit(Encoding *e, const Symbol *s) {
        const Vocab *v = e->vocab;
        uint32_t id = vocab_find(v, e->text + s->at, s->size, s->hash);
        int r;

        if (id != VOCAB_NONE && vocab_is_plain(v, id))
                return token_list_append(e->list, &id, 1);
        for (uint32_t i = 0; i < s->size; i++)
                if (v->bytes[(uint8_t) e->text[s->at + i]] == VOCAB_NONE)
                        return e->unknown == VOCAB_NONE ? 0 : token_list_append(e->list, &e->unknown, 1);
        for (uint32_t i = 0; i < s->size; i++)
                if ((r = token_list_append(e->list, &v->bytes[(uint8_t) e->text[s->at + i]], 1)) < 0)
                        return r;
        return 0;
}

/* n ≤ STRETCH_MAX; with `prefix`, as if a space stood before it. */
static int encode_stretch(Encoding *e, const char *text, size_t n, bool prefix) {
        uint32_t n_symbols = 0, at = 0;
        int r;

        for (size_t i = 0; i < n || prefix;) {
                uint32_t rune, size;
                if (prefix || text[i] == ' ') {
                        memcpy(e->text + at, SPACE_MARK, 3);
                        size = 3;
                        i += !prefix;
                        prefix = false;
                } else {
                        size = (uint32_t) utf8_decode(text + i, n - i, &rune);
                        size = MAX(size, 1u);
                        memcpy(e->text + at, text + i, size);
                        i += size;
                }
                e->symbols[n_symbols] = (Symbol) {
                        .hash = vocab_hash(e->text + at, size), .at = at, .size = size,
                        .previous = n_symbols == 0 ? END : n_symbols - 1, .next = n_symbols + 1,
                };
                n_symbols++;
                at += size;
        }
        e->symbols[n_symbols - 1].next = END;

        for (uint32_t i = 0; i + 1 < n_symbols; i++)
                if ((r = consider(e, i, i + 1)) < 0)
                        return r;
        if ((r = merge_all(e)) < 0)
                return r;
        for (uint32_t i = 0; i != END; i = e->symbols[i].next)
                if ((r = emit(e, e->symbols + i)) < 0)
                        return r;
        return 0;
}

/* How much of text to take at once. */
static size_t stretch_of(const char *text, size_t n) {
        if (n <= STRETCH_MAX)
                return n;
        for (size_t i = STRETCH_MAX; i > STRETCH_MAX / 2; i--)
                if (text[i] == ' ' && text[i - 1] != ' ')
                        return i;
        size_t i = STRETCH_MAX;
        while (i > STRETCH_MAX - 4 && ((uint8_t) text[i] & 0xc0) == 0x80)
                i--;
        return i;
}

static int sentencepiece_encode(const Tokenizer *t, const char *text, size_t n, TokenList *list) {
        const Sentencepiece *s = t->state;
        Encoding e = { .vocab = &t->vocab, .list = list, .unknown = t->unknown };
        size_t most = MIN(n, (size_t) STRETCH_MAX) + 1;
        bool prefix = s->space_prefix;
        int r = 0;

        e.text = malloc(3 * most);
        e.symbols = malloc(most * sizeof(Symbol));
        if (!e.text || !e.symbols)
                r = -ENOMEM;
        while (n > 0 && r >= 0) {
                size_t size = stretch_of(text, n);
                r = encode_stretch(&e, text, size, prefix);
                prefix = false;
                text += size;
                n -= size;
        }
        free(e.text);
        free(e.symbols);
        free(e.queue.keys);
        return r;
}

const TokenizerAlgorithm sentencepiece_algorithm = {
        .model = "llama",
        .form = VOCAB_SPACE_MARK,
        .scores = true,
        .adds_bos = true,
        .bos_key = "tokenizer.ggml.bos_token_id",
        .eos_key = "tokenizer.ggml.eos_token_id",
        .bos = 1, .eos = 2, .unknown = 0,
        .load = sentencepiece_load,
        .free = free,
        .encode = sentencepiece_encode,
};
