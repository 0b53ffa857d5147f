/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns byte-level BPE (Sennrich et al. 2016; Radford et al. 2019): a word begins as its bytes' tokens, and the pair of
 * lowest rank merges until none is left. Merges are kept as pairs of ids, so that merging never touches text; pairs
 * wait in a heap, so that a word of n bytes costs O(n log n).
 *
 * A byte that the vocabulary has no token for is left out, and its neighbours may merge, as the Hugging Face tokenizers
 * have it: the file's "unknown" token is no way out, for in such vocabularies it is often the one that ends a text. */

#include <errno.h>
#include <string.h>

#include "engine/text/merge-queue.h"
#include "engine/text/pretokenizers.h"
#include "engine/text/tokenizer-internal.h"

/* A longer word is cut here, which bounds the memory of one encoding; no known vocabulary has a token to notice. */
#define WORD_MAX (1u << 20)
#define PROBES_MAX 512u         /* see vocab.c */
#define END UINT32_MAX

typedef struct Merge {
        uint32_t left, right;           /* ids; left is VOCAB_NONE in an empty slot */
        uint32_t rank, merged;
} Merge;

typedef struct Bpe {
        Pretokenizer *pretokenizer;
        Merge *merges;                  /* open addressing */
        size_t mask;
        bool ignores_merges;
} Bpe;

static void bpe_free(void *state) {
        Bpe *b = state;

        if (!b)
                return;
        pretokenizer_free(b->pretokenizer);
        free(b->merges);
        free(b);
}

static size_t slot_of(const Bpe *b, uint32_t left, uint32_t right) {
        uint64_t h = ((uint64_t) left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
        return (h ^ h >> 32) & b->mask;
}

static const Merge *find_merge(const Bpe *b, uint32_t left, uint32_t right) {
        if (left == VOCAB_NONE)
                return NULL;
        for (size_t i = slot_of(b, left, right);; i = (i + 1) & b->mask) {
                const Merge *m = b->merges + i;
                if (m->left == VOCAB_NONE)
                        return NULL;
                if (m->left == left && m->right == right)
                        return m;
        }
}

static uint32_t find_plain(const Vocab *v, const char *text, size_t n) {
        uint32_t id = vocab_find(v, text, n, vocab_hash(text, n));
        return id != VOCAB_NONE && vocab_is_plain(v, id) ? id : VOCAB_NONE;
}

/* Merges of texts that are no tokens can never apply and are passed over; of equal ones the first counts. */
static int load_merges(Bpe *b, const Vocab *v, const Gguf *g, EngineError *reterr) {
        _cleanup_free_ GgufString *texts = NULL;
        size_t n, n_slots = 16;
        char joined[TOKENIZER_PIECE_MAX];

        int r = gguf_strings(g, "tokenizer.ggml.merges", &texts, &n, reterr);
        if (r == -ENOENT)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.merges is missing");
        if (r < 0)
                return r;
        if (n >= UINT32_MAX / 2)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.merges: %zu entries", n);
        while (n_slots < n * 2)
                n_slots *= 2;
        b->merges = malloc(n_slots * sizeof(Merge));
        if (!b->merges)
                return -ENOMEM;
        memset(b->merges, 0xff, n_slots * sizeof(Merge));
        b->mask = n_slots - 1;

        for (size_t i = 0; i < n; i++) {
                /* The first byte may itself be a space. */
                const char *text = texts[i].data;
                const char *space = texts[i].size > 1 ? memchr(text + 1, ' ', texts[i].size - 1) : NULL;
                if (!space || space == text + texts[i].size - 1)
                        return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.merges: entry %zu, '%.*s', is not two texts",
                                           i, (int) MIN(texts[i].size, (size_t) 64), text);
                size_t n_left = space - text, n_right = texts[i].size - n_left - 1;
                if (n_left + n_right > sizeof joined)
                        continue;
                memcpy(joined, text, n_left);
                memcpy(joined + n_left, space + 1, n_right);

                uint32_t left = find_plain(v, text, n_left), right = find_plain(v, space + 1, n_right);
                uint32_t merged = find_plain(v, joined, n_left + n_right);
                if (left == VOCAB_NONE || right == VOCAB_NONE || merged == VOCAB_NONE || find_merge(b, left, right))
                        continue;

                size_t slot = slot_of(b, left, right);
                for (unsigned probes = 0; b->merges[slot].left != VOCAB_NONE; slot = (slot + 1) & b->mask)
                        if (++probes > PROBES_MAX)
                                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.merges: entries made to collide (entry %zu)", i);
                b->merges[slot] = (Merge) { .left = left, .right = right, .rank = (uint32_t) i, .merged = merged };
        }
        return 0;
}

static int bpe_load(Tokenizer *t, const Gguf *g, EngineError *reterr) {
        GgufString pre;

        Bpe *b = t->state = calloc(1, sizeof(Bpe));
        if (!b)
                return -ENOMEM;
        int r = gguf_string(g, "tokenizer.ggml.pre", &pre, reterr);
        if (r == -ENOENT)
                pre = (GgufString) { .data = "default", .size = strlen("default") };
        else if (r < 0)
                return r;
        if ((r = pretokenizer_new(pre.data, pre.size, &b->pretokenizer, reterr)) < 0)
                return r;
        b->ignores_merges = pretokenizer_ignores_merges(b->pretokenizer);
        t->adds_bos = pretokenizer_adds_bos(b->pretokenizer);
        return load_merges(b, &t->vocab, g, reterr);
}

typedef struct Symbol {
        uint32_t id;                    /* VOCAB_NONE: merged into the one before */
        uint32_t previous, next;        /* or END */
} Symbol;

typedef struct Encoding {
        const Tokenizer *t;
        TokenList *list;
        Symbol *symbols;
        size_t allocated;
        MergeQueue queue;
} Encoding;

static int consider(Encoding *e, uint32_t left, uint32_t right) {
        if (left == END || right == END)
                return 0;
        const Merge *m = find_merge(e->t->state, e->symbols[left].id, e->symbols[right].id);
        return m ? merge_queue_push(&e->queue, m->rank, left) : 0;
}

static int merge_word(Encoding *e, const char *word, size_t n) {
        const Vocab *v = &e->t->vocab;
        int r;

        if (n > e->allocated) {
                size_t allocated = MAX(n, e->allocated * 2);
                Symbol *symbols = reallocarray(e->symbols, allocated, sizeof(Symbol));
                if (!symbols)
                        return -ENOMEM;
                e->symbols = symbols;
                e->allocated = allocated;
        }
        Symbol *symbols = e->symbols;
        uint32_t n_symbols = 0;
        for (size_t i = 0; i < n; i++) {
                uint32_t id = v->bytes[(uint8_t) word[i]];
                if (id == VOCAB_NONE)
                        continue;
                symbols[n_symbols] = (Symbol) { .id = id, .previous = n_symbols == 0 ? END : n_symbols - 1, .next = n_symbols + 1 };
                n_symbols++;
        }
        if (n_symbols == 0)
                return 0;
        symbols[n_symbols - 1].next = END;
        for (uint32_t i = 0; i + 1 < n_symbols; i++)
                if ((r = consider(e, i, i + 1)) < 0)
                        return r;

        while (e->queue.n > 0) {
                uint64_t key = merge_queue_pop(&e->queue);
                uint32_t left = (uint32_t) key, right = symbols[left].next;
                if (right == END)
                        continue;
                const Merge *m = find_merge(e->t->state, symbols[left].id, symbols[right].id);
                if (!m || m->rank != key >> 32)
                        continue;       /* void since one of the two merged with another */

                symbols[left].id = m->merged;
                symbols[left].next = symbols[right].next;
                symbols[right].id = VOCAB_NONE;
                if (symbols[left].next != END)
                        symbols[symbols[left].next].previous = left;
                if ((r = consider(e, symbols[left].previous, left)) < 0 ||
                    (r = consider(e, left, symbols[left].next)) < 0)
                        return r;
        }

        for (uint32_t i = 0; i != END; i = symbols[i].next)
                if ((r = token_list_append(e->list, &symbols[i].id, 1)) < 0)
                        return r;
        return 0;
}

static int encode_word(void *userdata, const char *word, size_t n) {
        Encoding *e = userdata;
        const Bpe *b = e->t->state;
        int r;

        if (b->ignores_merges && n <= e->t->vocab.text_max) {
                char text[2 * TOKENIZER_PIECE_MAX];
                uint32_t id = find_plain(&e->t->vocab, text, vocab_byte_level(word, n, text));
                if (id != VOCAB_NONE)
                        return token_list_append(e->list, &id, 1);
        }
        for (size_t i = 0; i < n; i += WORD_MAX)
                if ((r = merge_word(e, word + i, MIN(n - i, (size_t) WORD_MAX))) < 0)
                        return r;
        return 0;
}

static int bpe_encode(const Tokenizer *t, const char *text, size_t n, TokenList *list) {
        const Bpe *b = t->state;
        Encoding e = { .t = t, .list = list };

        int r = pretokenizer_split(b->pretokenizer, text, n, encode_word, &e);
        free(e.symbols);
        free(e.queue.keys);
        return r;
}

const TokenizerAlgorithm bpe_algorithm = {
        .model = "gpt2",
        .form = VOCAB_BYTE_LEVEL,
        .bos_key = "tokenizer.ggml.bos_token_id",
        .eos_key = "tokenizer.ggml.eos_token_id",
        .bos = VOCAB_NONE, .eos = VOCAB_NONE, .unknown = VOCAB_NONE,
        .load = bpe_load,
        .free = bpe_free,
        .encode = bpe_encode,
};
