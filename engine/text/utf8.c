/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a character is. One classifier, after table 3-7 of the Unicode standard, serves the three functions, so
 * that validation, decoding and the stream can never disagree about where a character ends. */

#include <string.h>

#include "engine/text/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* How much of a character bytes[0 … n) is: its length (1 … 4) where it is whole, 0 where it could still become one,
 * -1 where it never will. n ≥ 1. */
static int classify(const uint8_t *bytes, size_t n) {
        uint8_t first = bytes[0], low = 0x80, high = 0xbf;
        int need;

        if (first < 0x80)
                return 1;
        if (first >= 0xc2 && first <= 0xdf)
                need = 2;
        else if (first >= 0xe0 && first <= 0xef) {
                need = 3;
                if (first == 0xe0)
                        low = 0xa0;             /* overlong */
                else if (first == 0xed)
                        high = 0x9f;            /* surrogates */
        } else if (first >= 0xf0 && first <= 0xf4) {
                need = 4;
                if (first == 0xf0)
                        low = 0x90;             /* overlong */
                else if (first == 0xf4)
                        high = 0x8f;            /* above U+10FFFF */
        } else
                return -1;

        for (size_t i = 1; i < n && i < (size_t) need; i++) {
                if (bytes[i] < low || bytes[i] > high)
                        return -1;
                low = 0x80;
                high = 0xbf;
        }
        return n >= (size_t) need ? need : 0;
}

size_t utf8_decode(const char *text, size_t n, uint32_t *ret_rune) {
        const uint8_t *p = (const uint8_t *) text;

        if (n == 0)
                return 0;
        int size = classify(p, n);
        switch (size) {
        case 1:
                *ret_rune = p[0];
                return 1;
        case 2:
                *ret_rune = (uint32_t) (p[0] & 0x1f) << 6 | (p[1] & 0x3f);
                return 2;
        case 3:
                *ret_rune = (uint32_t) (p[0] & 0x0f) << 12 | (uint32_t) (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
                return 3;
        case 4:
                *ret_rune = (uint32_t) (p[0] & 0x07) << 18 | (uint32_t) (p[1] & 0x3f) << 12 |
                            (uint32_t) (p[2] & 0x3f) << 6 | (p[3] & 0x3f);
                return 4;
        default:
                return 0;
        }
}

bool utf8_valid(const char *text, size_t n) {
        const uint8_t *p = (const uint8_t *) text;

        for (size_t i = 0; i < n;) {
                int size = classify(p + i, n - i);
                if (size <= 0)
                        return false;
                i += size;
        }
        return true;
}

size_t utf8_stream_push(Utf8Stream *s, const char *bytes, size_t n, bool last, char *out) {
        char *o = out;

        for (size_t i = 0; i < n;) {
                s->pending[s->n_pending++] = bytes[i];
                int size = classify((const uint8_t *) s->pending, s->n_pending);
                if (size > 0) {
                        memcpy(o, s->pending, size);
                        o += size;
                        s->n_pending = 0;
                } else if (size < 0) {
                        memcpy(o, REPLACEMENT, 3);
                        o += 3;
                        /* The byte that broke a sequence off may itself begin a character: look at it again. */
                        bool again = s->n_pending > 1;
                        s->n_pending = 0;
                        if (again)
                                continue;
                }
                i++;
        }
        if (last && s->n_pending > 0) {
                memcpy(o, REPLACEMENT, 3);
                o += 3;
                s->n_pending = 0;
        }
        return o - out;
}
