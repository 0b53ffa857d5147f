/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what all tokenizers share: which algorithm a file wants, finding control tokens in text (leftmost, then longest),
 * and which tokens begin and end a text. Text between control tokens goes to the algorithm in one stretch, whoever
 * wrote which part of it: the data mask bars control tokens and changes nothing else.
 *
 * Two kinds of text are never found as tokens in data, though files differ in how they call them: control tokens, and
 * user-defined ones, which some files use for the same purpose. User-defined runs of white space are the exception,
 * since they say nothing and models are trained with them. */

#include <errno.h>
#include <string.h>

#include "engine/text/tokenizer-internal.h"

/* Longer special tokens are not looked for: it bounds what each byte of a text may cost. The longest seen has 31. */
#define SPECIAL_MAX 256u

static const TokenizerAlgorithm *const algorithms[] = {
        &bpe_algorithm,
        &sentencepiece_algorithm,
        &unigram_algorithm,
        &wordpiece_algorithm,
};

/* Texts by which a model ends a reply, found in files that do not name all of them by key. The second field: only where
 * the file itself says that it is a control token; as a normal one it is but text. */
static const struct {
        const char *text;
        bool control_only;
} end_texts[] = {
        { "<|im_end|>" },               /* ChatML, Qwen, SmolLM */
        { "<|endoftext|>" },            /* GPT-2, OLMo, Granite */
        { "<|end_of_text|>" },          /* Llama 3, Granite */
        { "<|eot_id|>" },               /* Llama 3 */
        { "<|eom_id|>" },
        { "<|eot|>" },                  /* Llama 4 */
        { "<|eom|>" },
        { "<end_of_turn>" },            /* Gemma */
        { "<turn|>" },
        { "<|end|>" },                  /* Phi */
        { "<|return|>" },               /* o200k_harmony */
        { "<|call|>" },
        { "<|fim_pad|>" },              /* Qwen Coder */
        { "<|repo_name|>" },
        { "<|file_sep|>" },
        { "<end_of_utterance>" },
        { "<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>" },  /* DeepSeek */
        { "<eos>", true },
        { "</s>", true },
        { "<EOT>", true },
        { "[EOT]", true },
        { "[EOS]", true },
};

static void set_end(Tokenizer *t, uint32_t id, bool end) {
        t->ends[id / 8] = (uint8_t) ((t->ends[id / 8] & ~(1u << id % 8)) | (unsigned) end << id % 8);
}

/* *ret keeps its value where the key is missing. */
static int load_id(const Tokenizer *t, const Gguf *g, const char *key, uint32_t *ret, EngineError *reterr) {
        uint32_t id;

        int r = gguf_u32(g, key, &id, reterr);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        if (id >= t->vocab.n)
                return engine_fail(reterr, -EBADMSG, "%s is %u, but there are %zu tokens", key, id, t->vocab.n);
        *ret = id;
        return 1;
}

static int load_flag(const Gguf *g, const char *key, bool *ret, EngineError *reterr) {
        int r = gguf_bool(g, key, ret, reterr);
        return r == -ENOENT ? 0 : r;
}

static int load_special(Tokenizer *t, const Gguf *g, EngineError *reterr) {
        static const char *const end_keys[] = { "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id" };
        const TokenizerAlgorithm *a = t->algorithm;
        int r;

        t->bos = a->bos < t->vocab.n ? a->bos : VOCAB_NONE;
        t->eos = a->eos < t->vocab.n ? a->eos : VOCAB_NONE;
        t->unknown = a->unknown < t->vocab.n ? a->unknown : VOCAB_NONE;
        if ((r = load_id(t, g, a->bos_key, &t->bos, reterr)) < 0 ||
            (r = load_id(t, g, a->eos_key, &t->eos, reterr)) < 0 ||
            (r = load_id(t, g, "tokenizer.ggml.unknown_token_id", &t->unknown, reterr)) < 0 ||
            (r = load_flag(g, "tokenizer.ggml.add_bos_token", &t->adds_bos, reterr)) < 0 ||
            (r = load_flag(g, "tokenizer.ggml.add_eos_token", &t->adds_eos, reterr)) < 0)
                return r;
        t->adds_bos = t->adds_bos && t->bos != VOCAB_NONE;
        t->adds_eos = t->adds_eos && t->eos != VOCAB_NONE;

        t->ends = calloc((t->vocab.n + 7) / 8, 1);
        if (!t->ends)
                return -ENOMEM;
        if (t->eos != VOCAB_NONE)
                set_end(t, t->eos, true);
        for (size_t i = 0; i < ELEMENTSOF(end_keys); i++) {
                uint32_t id;
                if ((r = load_id(t, g, end_keys[i], &id, reterr)) < 0)
                        return r;
                if (r > 0)
                        set_end(t, id, true);
        }
        for (size_t i = 0; i < ELEMENTSOF(end_texts); i++) {
                uint32_t id;
                if (tokenizer_find(t, end_texts[i].text, &id) < 0)
                        continue;
                VocabToken *token = t->vocab.tokens + id;
                if (end_texts[i].control_only && token->type != TOKEN_CONTROL)
                        continue;
                token->type = TOKEN_CONTROL;
                set_end(t, id, true);
        }

        /* In o200k_harmony <|end|> only closes one of a reply's messages. */
        uint32_t end, other;
        if (tokenizer_find(t, "<|end|>", &end) >= 0 && tokenizer_find(t, "<|return|>", &other) >= 0 &&
            tokenizer_find(t, "<|call|>", &other) >= 0)
                set_end(t, end, end == t->eos);
        return 0;
}

static bool is_special(const Vocab *v, uint32_t id) {
        uint8_t type = v->tokens[id].type;
        return (type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_USER_DEFINED) &&
               v->tokens[id].text_size <= SPECIAL_MAX;
}

int tokenizer_new(const Gguf *g, Tokenizer **ret, EngineError *reterr) {
        GgufString model;

        int r = gguf_string(g, "tokenizer.ggml.model", &model, reterr);
        if (r == -ENOENT)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.model is missing: the file has no vocabulary");
        if (r < 0)
                return r;

        _cleanup_(tokenizer_freep) Tokenizer *t = calloc(1, sizeof(Tokenizer));
        if (!t)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(algorithms); i++)
                if (strlen(algorithms[i]->model) == model.size && memcmp(algorithms[i]->model, model.data, model.size) == 0)
                        t->algorithm = algorithms[i];
        if (!t->algorithm)
                return engine_fail(reterr, -ENOTSUP, "tokenizer.ggml.model: '%.*s' is not supported",
                                   (int) MIN(model.size, (size_t) 64), model.data);
        t->adds_bos = t->algorithm->adds_bos;
        t->adds_eos = t->algorithm->adds_eos;

        if ((r = vocab_load(&t->vocab, g, t->algorithm->form, t->algorithm->scores, reterr)) < 0 ||
            (r = t->algorithm->load(t, g, reterr)) < 0 ||
            (r = load_special(t, g, reterr)) < 0 ||
            (r = prefix_index_init(&t->special, &t->vocab, is_special)) < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

Tokenizer *tokenizer_free(Tokenizer *t) {
        if (!t)
                return NULL;
        if (t->algorithm)
                t->algorithm->free(t->state);
        vocab_done(&t->vocab);
        prefix_index_done(&t->special);
        free(t->ends);
        free(t);
        return NULL;
}

/* The longest special token that text[0 … n) begins with and may become; VOCAB_NONE where there is none. */
static uint32_t match_special(const Tokenizer *t, const char *text, size_t n, const uint8_t *data, bool all_data) {
        uint32_t best = VOCAB_NONE;
        PrefixWalk w;

        if (!prefix_walk_start(&w, &t->special, text[0]))
                return VOCAB_NONE;
        for (bool tainted = all_data;;) {
                tainted = tainted || (data && data[w.depth - 1]);
                uint32_t id = prefix_walk_token(&w, &t->special, &t->vocab);
                if (id != VOCAB_NONE && (!tainted || vocab_is_plain(&t->vocab, id)))
                        best = id;
                if (w.depth == n || !prefix_walk_next(&w, &t->special, &t->vocab, text[w.depth]))
                        return best;
        }
}

static int encode(const Tokenizer *t, const char *text, size_t n, const uint8_t *data, bool all_data, TokenList *list) {
        size_t n_before = list->n, from = 0;
        int r = 0;

        if (n > TOKENIZER_TEXT_MAX)
                return -E2BIG;
        for (size_t at = 0; at < n;) {
                uint32_t id = match_special(t, text + at, n - at, data ? data + at : NULL, all_data);
                if (id == VOCAB_NONE) {
                        at++;
                        continue;
                }
                if (at > from && (r = t->algorithm->encode(t, text + from, at - from, list)) < 0)
                        goto fail;
                if ((r = token_list_append(list, &id, 1)) < 0)
                        goto fail;
                from = at += t->vocab.tokens[id].text_size;
        }
        if (n > from && (r = t->algorithm->encode(t, text + from, n - from, list)) < 0)
                goto fail;
        return 0;
fail:
        list->n = n_before;
        return r;
}

int tokenizer_encode(const Tokenizer *t, const char *text, size_t n, const uint8_t *data, TokenList *list) {
        return encode(t, text, n, data, false, list);
}

int tokenizer_encode_data(const Tokenizer *t, const char *text, size_t n, TokenList *list) {
        return encode(t, text, n, NULL, true, list);
}

void token_list_done(TokenList *list) {
        free(list->ids);
        *list = (TokenList) {};
}

int token_list_append(TokenList *list, const uint32_t *ids, size_t n) {
        if (n > list->allocated - list->n) {
                size_t wanted = MAX(list->n + n, list->allocated * 2);
                wanted = MAX(wanted, (size_t) 64);
                uint32_t *grown = reallocarray(list->ids, wanted, sizeof(uint32_t));
                if (!grown)
                        return -ENOMEM;
                list->ids = grown;
                list->allocated = wanted;
        }
        if (n > 0)
                memcpy(list->ids + list->n, ids, n * sizeof(uint32_t));
        list->n += n;
        return 0;
}

const char *tokenizer_piece(const Tokenizer *t, uint32_t id, size_t *ret_size) {
        if (id >= t->vocab.n)
                return NULL;
        *ret_size = t->vocab.tokens[id].piece_size;
        return t->vocab.arena + t->vocab.tokens[id].piece;
}

bool tokenizer_is_control(const Tokenizer *t, uint32_t id) {
        return id < t->vocab.n && (t->vocab.tokens[id].type == TOKEN_CONTROL || t->vocab.tokens[id].type == TOKEN_UNKNOWN);
}

bool tokenizer_is_end(const Tokenizer *t, uint32_t id) {
        return id < t->vocab.n && (t->ends[id / 8] >> id % 8 & 1);
}

int tokenizer_find(const Tokenizer *t, const char *piece, uint32_t *ret_id) {
        size_t n = strlen(piece);
        uint32_t id = vocab_find(&t->vocab, piece, n, vocab_hash(piece, n));

        if (id == VOCAB_NONE)
                return -ENOENT;
        *ret_id = id;
        return 0;
}

size_t tokenizer_n_vocab(const Tokenizer *t) {
        return t->vocab.n;
}

bool tokenizer_bos(const Tokenizer *t, uint32_t *ret_id) {
        if (t->bos == VOCAB_NONE)
                return false;
        *ret_id = t->bos;
        return true;
}

bool tokenizer_eos(const Tokenizer *t, uint32_t *ret_id) {
        if (t->eos == VOCAB_NONE)
                return false;
        *ret_id = t->eos;
        return true;
}

bool tokenizer_adds_bos(const Tokenizer *t) {
        return t->adds_bos;
}

bool tokenizer_adds_eos(const Tokenizer *t) {
        return t->adds_eos;
}
