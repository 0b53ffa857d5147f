/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns reading a vocabulary out of a file, which is hostile: array lengths that disagree, tokens too long, byte tokens
 * that name no byte, scores that are no numbers and texts made to collide are each refused by name. Empty texts are
 * let through, as files have them, and are never found. */

#include <errno.h>
#include <math.h>
#include <string.h>

#include "basic/checked.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"
#include "engine/text/vocab.h"

#define SPACE_MARK "\xe2\x96\x81"
#define HASH_BASE UINT64_C(0x9e6c63d0876a9a35)

/* An honest table, at most half full, needs a few dozen probes at worst; one that needs more was made to. */
#define PROBES_MAX 512u

uint64_t vocab_hash(const char *text, size_t n) {
        uint64_t h = 0;

        for (size_t i = 0; i < n; i++)
                h = h * HASH_BASE + (uint8_t) text[i] + 1;
        return h;
}

static uint64_t mix(uint64_t h) {
        h ^= h >> 32;
        h *= UINT64_C(0xd6e8feb86659fd93);
        return h ^ h >> 32;
}

uint32_t vocab_find(const Vocab *v, const char *text, size_t n, uint64_t hash) {
        if (n == 0 || n > v->text_max)
                return VOCAB_NONE;
        hash = mix(hash);
        for (size_t i = hash & v->mask;; i = (i + 1) & v->mask) {
                const VocabSlot *slot = v->slots + i;
                if (slot->id == VOCAB_NONE)
                        return VOCAB_NONE;
                if (slot->tag != (uint32_t) (hash >> 32))
                        continue;
                const VocabToken *token = v->tokens + slot->id;
                if (token->text_size == n && memcmp(v->arena + token->text, text, n) == 0)
                        return slot->id;
        }
}

static int index_texts(Vocab *v, EngineError *reterr) {
        size_t n_slots = 16;

        while (n_slots < v->n * 2)
                n_slots *= 2;
        v->slots = malloc(n_slots * sizeof(VocabSlot));
        if (!v->slots)
                return -ENOMEM;
        memset(v->slots, 0xff, n_slots * sizeof(VocabSlot));
        v->mask = n_slots - 1;

        for (uint32_t id = 0; id < v->n; id++) {
                size_t size;
                const char *text = vocab_text(v, id, &size);
                if (size == 0)
                        continue;
                uint64_t hash = mix(vocab_hash(text, size));
                size_t i = hash & v->mask;
                unsigned probes = 0;
                bool known = false;
                for (; v->slots[i].id != VOCAB_NONE; i = (i + 1) & v->mask) {
                        if (++probes > PROBES_MAX)
                                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.tokens: texts made to collide (token %u)", id);
                        const VocabToken *other = v->tokens + v->slots[i].id;
                        if (v->slots[i].tag == (uint32_t) (hash >> 32) && other->text_size == size &&
                            memcmp(v->arena + other->text, text, size) == 0) {
                                known = true;
                                break;
                        }
                }
                if (!known)
                        v->slots[i] = (VocabSlot) { .id = id, .tag = (uint32_t) (hash >> 32) };
        }
        return 0;
}

/* GPT-2's table: printable bytes of Latin-1 stand for themselves, the others, in order, for U+0100 and on. */
static bool byte_is_itself(unsigned b) {
        return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
}

static uint32_t rune_of_byte(unsigned b) {
        if (byte_is_itself(b))
                return b;
        if (b <= 0x20)
                return 0x100 + b;
        return b == 0xad ? 0x143 : 0x121 + (b - 0x7f);
}

/* -1: stands for no byte. */
static int byte_of_rune(uint32_t rune) {
        if (rune < 0x100)
                return byte_is_itself(rune) ? (int) rune : -1;
        if (rune <= 0x120)
                return (int) (rune - 0x100);
        if (rune <= 0x142)
                return (int) (rune - 0x121 + 0x7f);
        return rune == 0x143 ? 0xad : -1;
}

size_t vocab_byte_level(const char *bytes, size_t n, char *out) {
        char *o = out;

        for (size_t i = 0; i < n; i++) {
                uint32_t rune = rune_of_byte((uint8_t) bytes[i]);
                if (rune < 0x80)
                        *o++ = (char) rune;
                else {
                        *o++ = (char) (0xc0 | rune >> 6);
                        *o++ = (char) (0x80 | (rune & 0x3f));
                }
        }
        return o - out;
}

/* The bytes a normal token stands for; never more than its text. A character that stands for no byte stays as it is. */
static size_t decode_normal(VocabForm form, const char *text, size_t n, char *out) {
        char *o = out;

        for (size_t i = 0; i < n;) {
                uint32_t rune;
                size_t size = utf8_decode(text + i, n - i, &rune);
                int byte = form == VOCAB_BYTE_LEVEL && size > 0 ? byte_of_rune(rune) : -1;
                if (byte >= 0)
                        *o++ = (char) byte;
                else if (form != VOCAB_BYTE_LEVEL && size == 3 && memcmp(text + i, SPACE_MARK, 3) == 0)
                        *o++ = ' ';
                else {
                        size = MAX(size, (size_t) 1);
                        memcpy(o, text + i, size);
                        o += size;
                }
                i += MAX(size, (size_t) 1);
        }
        return o - out;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "<0xAB>", exactly. */
static int parse_byte(const char *text, size_t n) {
        if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
                return -1;
        int high = hex_digit(text[3]), low = hex_digit(text[4]);
        return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static int fill_arena(Vocab *v, VocabForm form, const GgufString *texts, EngineError *reterr) {
        size_t total = 0;

        for (size_t i = 0; i < v->n; i++) {
                if (texts[i].size > TOKENIZER_PIECE_MAX)
                        return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.tokens: token %zu has %zu bytes, at most %u expected",
                                           i, texts[i].size, TOKENIZER_PIECE_MAX);
                total += 2 * texts[i].size;
                v->text_max = MAX(v->text_max, texts[i].size);
        }
        if (total > UINT32_MAX)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.tokens: %zu bytes of text", total / 2);
        v->arena = malloc(MAX(total, (size_t) 1));
        if (!v->arena)
                return -ENOMEM;

        uint32_t at = 0;
        for (size_t i = 0; i < v->n; i++) {
                VocabToken *token = v->tokens + i;
                size_t n = texts[i].size;
                if (n == 0)
                        continue;
                char *text = v->arena + at;
                memcpy(text, texts[i].data, n);
                token->text = at;
                token->text_size = (uint16_t) n;
                at += n;

                size_t piece_size = n;
                if (token->type == TOKEN_BYTE) {
                        int byte = parse_byte(text, n);
                        if (byte < 0)
                                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.tokens: token %zu is a byte, '<0xHH>' expected, not '%.*s'",
                                                   i, (int) n, texts[i].data);
                        v->arena[at] = (char) byte;
                        piece_size = 1;
                        if (v->bytes[byte] == VOCAB_NONE)
                                v->bytes[byte] = (uint32_t) i;
                } else if (token->type == TOKEN_NORMAL)
                        piece_size = decode_normal(form, text, n, v->arena + at);
                else
                        memcpy(v->arena + at, text, n);

                /* Most pieces are their texts: one copy serves both. */
                token->piece_size = (uint16_t) piece_size;
                if (piece_size == n && memcmp(text, v->arena + at, n) == 0)
                        token->piece = token->text;
                else {
                        token->piece = at;
                        at += piece_size;
                }
        }

        char *fit = realloc(v->arena, MAX(at, 1u));
        if (fit)
                v->arena = fit;
        return 0;
}

static int load_types(Vocab *v, const Gguf *g, EngineError *reterr) {
        _cleanup_free_ uint32_t *types = NULL;
        size_t n;

        int r = gguf_u32s(g, "tokenizer.ggml.token_type", &types, &n, reterr);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r >= 0 && n != v->n)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.token_type: %zu entries for %zu tokens", n, v->n);
        for (size_t i = 0; i < v->n; i++) {
                uint32_t type = r >= 0 ? types[i] : TOKEN_NORMAL;
                if (type > TOKEN_BYTE)
                        return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.token_type: token %zu is of unknown type %u", i, type);
                v->tokens[i].type = type == 0 ? TOKEN_NORMAL : (uint8_t) type;
        }
        return 0;
}

static int load_scores(Vocab *v, const Gguf *g, EngineError *reterr) {
        size_t n;

        int r = gguf_f32s(g, "tokenizer.ggml.scores", &v->scores, &n, reterr);
        if (r == -ENOENT)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.scores is missing");
        if (r < 0)
                return r;
        if (n != v->n)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.scores: %zu entries for %zu tokens", n, v->n);
        for (size_t i = 0; i < n; i++)
                if (!isfinite(v->scores[i]))
                        return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.scores: the score of token %zu is no number", i);
        return 0;
}

/* Not by the index, which would find a control token of the same text where that has a lower id. */
static void find_byte_level(Vocab *v) {
        for (uint32_t id = 0; id < v->n; id++) {
                const VocabToken *token = v->tokens + id;
                const char *piece = v->arena + token->piece;
                char text[2];
                if (token->type == TOKEN_NORMAL && token->piece_size == 1 && v->bytes[(uint8_t) *piece] == VOCAB_NONE &&
                    vocab_byte_level(piece, 1, text) == token->text_size &&
                    memcmp(text, v->arena + token->text, token->text_size) == 0)
                        v->bytes[(uint8_t) *piece] = id;
        }
}

int vocab_load(Vocab *v, const Gguf *g, VocabForm form, bool with_scores, EngineError *reterr) {
        _cleanup_free_ GgufString *texts = NULL;

        memset(v->bytes, 0xff, sizeof v->bytes);
        int r = gguf_strings(g, "tokenizer.ggml.tokens", &texts, &v->n, reterr);
        if (r == -ENOENT)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.tokens is missing");
        if (r < 0)
                return r;
        if (v->n == 0 || v->n > TOKENIZER_VOCAB_MAX)
                return engine_fail(reterr, -EBADMSG, "tokenizer.ggml.tokens: %zu tokens, 1 to %u expected", v->n, TOKENIZER_VOCAB_MAX);

        v->tokens = calloc(v->n, sizeof(VocabToken));
        if (!v->tokens)
                return -ENOMEM;
        if ((r = load_types(v, g, reterr)) < 0 ||
            (with_scores && (r = load_scores(v, g, reterr)) < 0) ||
            (r = fill_arena(v, form, texts, reterr)) < 0 ||
            (r = index_texts(v, reterr)) < 0)
                return r;

        v->powers = malloc((v->text_max + 1) * sizeof(uint64_t));
        if (!v->powers)
                return -ENOMEM;
        v->powers[0] = 1;
        for (size_t i = 1; i <= v->text_max; i++)
                v->powers[i] = v->powers[i - 1] * HASH_BASE;

        if (form == VOCAB_BYTE_LEVEL)
                find_byte_level(v);
        return 0;
}

void vocab_done(Vocab *v) {
        free(v->tokens);
        free(v->scores);
        free(v->arena);
        free(v->slots);
        free(v->powers);
        *v = (Vocab) {};
}

bool vocab_is_plain(const Vocab *v, uint32_t id) {
        const VocabToken *token = v->tokens + id;

        if (token->type == TOKEN_NORMAL)
                return true;
        if (token->type != TOKEN_USER_DEFINED || token->text_size == 0)
                return false;
        const char *text = v->arena + token->text;
        for (size_t i = 0; i < token->text_size;) {
                if (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r'))
                        i++;
                else if (token->text_size - i >= 3 && memcmp(text + i, SPACE_MARK, 3) == 0)
                        i += 3;
                else
                        return false;
        }
        return true;
}
