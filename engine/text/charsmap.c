/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns reading and walking a SentencePiece character map. A unit of the double array has: the label, bits 0 to 7 with
 * bit 31 (set in leaves, so that no byte equals it); whether a leaf hangs on it, bit 8; the offset to its children, from
 * bit 10 on, shifted 8 more where bit 9 is set. A leaf's lower 31 bits are its value: where the replacement begins. */

#include <errno.h>
#include <string.h>

#include "basic/cleanup.h"
#include "engine/text/charsmap.h"
#include "engine/text/utf8.h"

int charsmap_load(Charsmap *c, const Gguf *g, EngineError *reterr) {
        static const char key[] = "tokenizer.ggml.precompiled_charsmap";
        _cleanup_free_ uint32_t *bytes = NULL;
        size_t n;

        int r = gguf_u32s(g, key, &bytes, &n, reterr);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        if (n == 0)
                return 0;
        if (n < 4 || n > CHARSMAP_MAX)
                return engine_fail(reterr, -EBADMSG, "%s has %zu bytes, 4 to %u expected", key, n, CHARSMAP_MAX);
        for (size_t i = 0; i < n; i++)
                if (bytes[i] > 0xff)
                        return engine_fail(reterr, -EBADMSG, "%s: element %zu is no byte", key, i);

        size_t n_trie = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (size_t) bytes[3] << 24;
        if (n_trie > n - 4 || n_trie % 4 != 0)
                return engine_fail(reterr, -EBADMSG, "%s: a trie of %zu bytes in %zu", key, n_trie, n);
        c->n_units = n_trie / 4;
        c->n_texts = n - 4 - n_trie + 1;
        c->units = malloc(MAX(n_trie, (size_t) 1));
        c->texts = malloc(c->n_texts);
        if (!c->units || !c->texts)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_units; i++) {
                const uint32_t *b = bytes + 4 + 4 * i;
                c->units[i] = b[0] | b[1] << 8 | b[2] << 16 | b[3] << 24;
        }
        for (size_t i = 0; i + 1 < c->n_texts; i++)
                c->texts[i] = (char) bytes[4 + n_trie + i];
        c->texts[c->n_texts - 1] = 0;
        return 0;
}

void charsmap_done(Charsmap *c) {
        free(c->units);
        free(c->texts);
        *c = (Charsmap) {};
}

static uint32_t offset_of(uint32_t unit) {
        return unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* Longer keys and replacements are not looked at; those of real files have a few characters. It bounds what each
 * character of a text may cost. */
#define KEY_MAX 64u
#define TEXT_MAX 256u

size_t charsmap_replace(const Charsmap *c, const char *text, size_t n, const char **ret, size_t *ret_size) {
        size_t longest = 0;
        uint32_t rune, at = c->n_units > 0 ? offset_of(c->units[0]) : 0;

        for (size_t i = 0; i < MIN(n, (size_t) KEY_MAX) && c->n_units > 0; i++) {
                at ^= (uint8_t) text[i];
                if (at >= c->n_units || (c->units[at] & 0x800000ffu) != (uint8_t) text[i])
                        break;
                uint32_t unit = c->units[at];
                at ^= offset_of(unit);
                if (!(unit & 1u << 8) || at >= c->n_units)
                        continue;
                uint32_t value = c->units[at] & 0x7fffffffu;
                size_t size = value < c->n_texts ? strnlen(c->texts + value, TEXT_MAX) : TEXT_MAX;
                if (size < TEXT_MAX) {
                        longest = i + 1;
                        *ret = c->texts + value;
                        *ret_size = size;
                }
        }
        if (longest > 0)
                return longest;
        *ret = text;
        *ret_size = MAX(utf8_decode(text, n, &rune), (size_t) 1);
        return *ret_size;
}
