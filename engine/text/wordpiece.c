/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns WordPiece (Schuster & Nakajima 2012; Devlin et al. 2019): text loses control characters and, for uncased
 * vocabularies, case and accents; words end at white space, punctuation and ideographs; each word is cut into the
 * longest pieces from its beginning on, or is the unknown token. In a GGUF, what the vocabulary wrote "##ing" is "ing",
 * and a piece that begins a word has U+2581 in front.
 *
 * Which characters are marks, punctuation and so on PCRE2 knows: two expressions cut the text into stretches, the first
 * into what is dropped, what stands alone and the rest. */

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <string.h>

#include "engine/text/fold.h"
#include "engine/text/tokenizer-internal.h"
#include "engine/text/utf8.h"

#define WORD_MARK "\xe2\x96\x81"
#define WORD_MAX 100u                   /* characters; a longer word is unknown, as the field has it */

/* Ideographs are words each; the ranges are those of BERT's own tokenizer. */
#define IDEOGRAPHS \
        "\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{20000}-\\x{2a6df}\\x{2a700}-\\x{2b73f}\\x{2b740}-\\x{2b81f}" \
        "\\x{2b920}-\\x{2ceaf}\\x{f900}-\\x{faff}\\x{2f800}-\\x{2fa1f}"

/* One alternative each, so that the group that matched says which. White space that is also a control character is
 * dropped, but for three. */
static const char classes[] =
        "([\\t\\n\\r]|(?!\\p{Cc})\\p{White_Space})"
        "|([\\p{Cc}\\p{Cf}\\p{Co}\\x{fffd}])"
        "|(\\p{Mn})"
        "|([\\p{P}!-/:-@\\[-`{-~" IDEOGRAPHS "])";
enum { SPACE = 2, DROPPED, MARK, ALONE };       /* pcre2_match()'s result: one more than the group's number */

typedef struct Wordpiece {
        PrefixIndex pieces;
        pcre2_code *classes;
        bool folds;
} Wordpiece;

typedef struct Encoding {
        const Tokenizer *t;
        TokenList *list;
        char word[sizeof WORD_MARK + 4 * WORD_MAX];     /* begins with WORD_MARK */
        size_t n_bytes, n_characters;                   /* without it */
} Encoding;

static void wordpiece_free(void *state) {
        Wordpiece *w = state;

        if (!w)
                return;
        prefix_index_done(&w->pieces);
        pcre2_code_free(w->classes);
        free(w);
}

static int wordpiece_load(Tokenizer *t, const Gguf *g, EngineError *reterr) {
        static const char lowercase_key[] = "tokenizer.ggml.normalizer.lowercase";
        static const char accents_key[] = "tokenizer.ggml.normalizer.strip_accents";
        bool strips_accents = true;
        int error, r;
        PCRE2_SIZE at;

        Wordpiece *w = t->state = calloc(1, sizeof(Wordpiece));
        if (!w)
                return -ENOMEM;
        w->folds = true;
        if ((r = gguf_bool(g, lowercase_key, &w->folds, reterr)) < 0 && r != -ENOENT)
                return r;
        if ((r = gguf_bool(g, accents_key, &strips_accents, reterr)) == -ENOENT)
                strips_accents = w->folds;
        else if (r < 0)
                return r;
        if (strips_accents != w->folds)
                return engine_fail(reterr, -ENOTSUP, "%s and %s differ, which is not supported", lowercase_key, accents_key);

        w->classes = pcre2_compile((PCRE2_SPTR) classes, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED,
                                   &error, &at, NULL);
        if (!w->classes)
                return engine_fail(reterr, error == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -ENOTSUP,
                                   "WordPiece: PCRE2 refuses the character classes at %zu (error %d)", (size_t) at, error);
        return prefix_index_init(&w->pieces, &t->vocab, vocab_is_plain);
}

/* The longest piece that text[0 … n) begins with; its size, or 0. A mark with more behind it is the beginning of a word,
 * and a mark alone is U+2581 as such, within one. */
static size_t longest_piece(const Encoding *e, const char *text, size_t n, bool begins, uint32_t *ret_id) {
        const Wordpiece *w = e->t->state;
        bool marked = n >= strlen(WORD_MARK) && memcmp(text, WORD_MARK, strlen(WORD_MARK)) == 0;
        size_t longest = 0;
        PrefixWalk walk;

        if (!prefix_walk_start(&walk, &w->pieces, text[0]))
                return 0;
        for (;;) {
                uint32_t id = prefix_walk_token(&walk, &w->pieces, &e->t->vocab);
                if (id != VOCAB_NONE && (!marked || begins == (walk.depth > strlen(WORD_MARK)))) {
                        longest = walk.depth;
                        *ret_id = id;
                }
                if (walk.depth == n || !prefix_walk_next(&walk, &w->pieces, &e->t->vocab, text[walk.depth]))
                        return longest;
        }
}

static int end_word(Encoding *e) {
        size_t n_before = e->list->n, n = strlen(WORD_MARK) + e->n_bytes;
        bool known = e->n_characters <= WORD_MAX;
        int r;

        if (e->n_characters == 0)
                return 0;
        for (size_t at = 0; known && at < n;) {
                uint32_t id = VOCAB_NONE;
                size_t size = longest_piece(e, e->word + at, n - at, at == 0, &id);
                known = size > 0;
                if (known && (r = token_list_append(e->list, &id, 1)) < 0)
                        return r;
                at += size;
        }
        e->n_bytes = e->n_characters = 0;
        if (known)
                return 0;
        e->list->n = n_before;
        return e->t->unknown == VOCAB_NONE ? 0 : token_list_append(e->list, &e->t->unknown, 1);
}

static void add_character(Encoding *e, uint32_t rune) {
        char *o = e->word + strlen(WORD_MARK) + e->n_bytes;

        if (e->n_characters++ >= WORD_MAX)
                return;
        if (rune < 0x80) {
                *o = (char) rune;
                e->n_bytes += 1;
        } else if (rune < 0x800) {
                o[0] = (char) (0xc0 | rune >> 6);
                o[1] = (char) (0x80 | (rune & 0x3f));
                e->n_bytes += 2;
        } else if (rune < 0x10000) {
                o[0] = (char) (0xe0 | rune >> 12);
                o[1] = (char) (0x80 | (rune >> 6 & 0x3f));
                o[2] = (char) (0x80 | (rune & 0x3f));
                e->n_bytes += 3;
        } else {
                o[0] = (char) (0xf0 | rune >> 18);
                o[1] = (char) (0x80 | (rune >> 12 & 0x3f));
                o[2] = (char) (0x80 | (rune >> 6 & 0x3f));
                o[3] = (char) (0x80 | (rune & 0x3f));
                e->n_bytes += 4;
        }
}

static int add(Encoding *e, int class, uint32_t rune) {
        const Wordpiece *w = e->t->state;
        uint32_t folded[FOLD_MAX] = { rune };
        int r;

        if (class == DROPPED || (class == MARK && w->folds))
                return 0;
        size_t n = w->folds ? fold(rune, folded) : 1;
        /* Some symbols are punctuation but for their accent: U+226E folds to '<'. */
        if (n == 1 && folded[0] < 0x7f && ispunct((int) folded[0]))
                class = ALONE;
        if ((class == SPACE || class == ALONE) && (r = end_word(e)) < 0)
                return r;
        if (class == SPACE)
                return 0;
        for (size_t i = 0; i < n; i++)
                add_character(e, folded[i]);
        return class == ALONE ? end_word(e) : 0;
}

static int wordpiece_encode(const Tokenizer *t, const char *text, size_t n, TokenList *list) {
        const Wordpiece *w = t->state;
        Encoding e = { .t = t, .list = list, .word = WORD_MARK };
        pcre2_match_data *match;
        int r = 0;

        match = pcre2_match_data_create(ALONE, NULL);
        if (!match)
                return -ENOMEM;
        for (size_t at = 0; at < n && r >= 0;) {
                uint32_t rune;
                size_t size = utf8_decode(text + at, n - at, &rune);
                if (size == 0) {
                        at++;           /* the replacement character that others would read here is dropped */
                        continue;
                }
                bool plain = (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z') || (rune >= '0' && rune <= '9');
                int class = plain ? 0 : pcre2_match(w->classes, (PCRE2_SPTR) text + at, size, 0, PCRE2_NO_UTF_CHECK, match, NULL);
                if (class < 0 && class != PCRE2_ERROR_NOMATCH)
                        r = class == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EIO;
                else
                        r = add(&e, class, rune);
                at += size;
        }
        if (r >= 0)
                r = end_word(&e);
        pcre2_match_data_free(match);
        return r;
}

const TokenizerAlgorithm wordpiece_algorithm = {
        .model = "bert",
        .form = VOCAB_WORD_MARK,
        .adds_bos = true,
        .adds_eos = true,
        .bos_key = "tokenizer.ggml.bos_token_id",           /* [CLS] */
        .eos_key = "tokenizer.ggml.seperator_token_id",         /* [SEP]; so spelled in the format */
        .bos = 101, .eos = 102, .unknown = 100,
        .load = wordpiece_load,
        .free = wordpiece_free,
        .encode = wordpiece_encode,
};
