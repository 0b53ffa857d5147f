/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns text with provenance: parts, search, strip, and the one way in which texts are joined, so that no filter can
 * lose track of what is data. Most texts are all of one kind and carry no mask. */

#include <errno.h>

#include "basic/checked.h"
#include "basic/cleanup.h"
#include "engine/text/jinja/str.h"
#include "engine/text/utf8.h"

size_t jinja_char(Str t, size_t i, uint32_t *ret_rune) {
        uint32_t rune;
        size_t n;

        if ((unsigned char) t.s[i] < 0x80) {
                rune = (unsigned char) t.s[i];
                n = 1;
        } else if ((n = utf8_decode(t.s + i, t.n - i, &rune)) == 0) {
                rune = 0xfffd;
                n = 1;
        }
        if (ret_rune)
                *ret_rune = rune;
        return n;
}

size_t jinja_char_before(Str t, size_t i) {
        for (size_t n = 2; n <= 4 && n <= i; n++)
                if (jinja_char(t, i - n, NULL) == n)
                        return n;
        return 1;
}

size_t jinja_chars(Str t) {
        size_t n = 0;
        for (size_t i = 0; i < t.n; i += jinja_char(t, i, NULL))
                n++;
        return n;
}

size_t jinja_encode(uint32_t rune, char out[static 4]) {
        if (rune < 0x80) {
                out[0] = (char) rune;
                return 1;
        }
        size_t n = rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
        for (size_t k = n - 1; k > 0; k--, rune >>= 6)
                out[k] = (char) (0x80 | (rune & 0x3f));
        out[0] = (char) ((0xf00u >> n & 0xff) | rune);
        return n;
}

Str jinja_part(Str t, size_t from, size_t to) {
        t.s += from;
        t.n = to - from;
        if (t.mask)
                t.mask += from;
        return t;
}

bool jinja_any_data(Str t) {
        return t.mask ? memchr(t.mask, 1, t.n) != NULL : t.data;
}

int jinja_str_compare(Str a, Str b) {
        /* UTF-8 sorts by its bytes as by its code points. */
        int c = memcmp(a.s, b.s, MIN(a.n, b.n));
        return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

bool jinja_str_equal(Str a, Str b) {
        return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

size_t jinja_find(Str t, Str what, size_t from) {
        if (from > t.n || what.n > t.n - from)
                return SIZE_MAX;
        if (what.n == 0)
                return from;
        const char *p = memmem(t.s + from, t.n - from, what.s, what.n);
        return p ? (size_t) (p - t.s) : SIZE_MAX;
}

size_t jinja_find_last(Str t, Str what, size_t end) {
        if (what.n > end)
                return SIZE_MAX;
        for (size_t i = end - what.n + 1; i-- > 0;)
                if (memcmp(t.s + i, what.s, what.n) == 0)
                        return i;
        return SIZE_MAX;
}

bool jinja_is_space(uint32_t c) {
        return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
                (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool jinja_is_line_end(uint32_t c) {
        return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static bool strips(Str t, size_t i, size_t n, const Str *chars) {
        uint32_t rune;

        if (chars) {
                for (size_t k = 0; k < chars->n;) {
                        size_t m = jinja_char(*chars, k, NULL);
                        if (m == n && memcmp(chars->s + k, t.s + i, n) == 0)
                                return true;
                        k += m;
                }
                return false;
        }
        jinja_char(t, i, &rune);
        return jinja_is_space(rune);
}

Str jinja_strip(Str t, StripSide side, const Str *chars) {
        size_t from = 0, to = t.n;

        while ((side & STRIP_LEFT) && from < to) {
                size_t n = jinja_char(t, from, NULL);
                if (!strips(t, from, n, chars))
                        break;
                from += n;
        }
        while ((side & STRIP_RIGHT) && to > from) {
                size_t n = jinja_char_before(t, to);
                if (!strips(t, to - n, n, chars))
                        break;
                to -= n;
        }
        return jinja_part(t, from, to);
}

static int reserve(Builder *b, size_t more) {
        size_t need, want;

        if (!checked_add(b->n, more, &need)) {
                b->arena->over = true;
                return -ENOMEM;
        }
        if (need <= b->allocated)
                return 0;
        want = MAX(need, (size_t) 64);
        want = MAX(want, b->allocated * 2);

        char *s = jinja_alloc(b->arena, want);
        if (!s)
                return -ENOMEM;
        if (b->n)
                memcpy(s, b->s, b->n);
        if (b->mask) {
                uint8_t *mask = jinja_alloc(b->arena, want);
                if (!mask)
                        return -ENOMEM;
                memcpy(mask, b->mask, b->n);
                b->mask = mask;
        }
        b->s = s;
        b->allocated = want;
        return 0;
}

/* From here on bytes differ: the mask begins, with what all had in common so far. */
static int begin_mask(Builder *b) {
        b->mask = jinja_alloc(b->arena, b->allocated);
        if (!b->mask)
                return -ENOMEM;
        memset(b->mask, b->data, b->n);
        return 0;
}

int jinja_add(Builder *b, const char *s, size_t n, bool data) {
        return jinja_add_str(b, str_of(s, n, data));
}

int jinja_add_str(Builder *b, Str t) {
        if (t.n == 0)
                return 0;
        int r = reserve(b, t.n);
        if (r < 0)
                return r;
        if (b->n == 0 && !t.mask)
                b->data = t.data;
        if (!b->mask && (t.mask || t.data != b->data)) {
                r = begin_mask(b);
                if (r < 0)
                        return r;
        }
        memcpy(b->s + b->n, t.s, t.n);
        if (b->mask) {
                if (t.mask)
                        memcpy(b->mask + b->n, t.mask, t.n);
                else
                        memset(b->mask + b->n, t.data, t.n);
        }
        b->n += t.n;
        return 0;
}

int jinja_add_rune(Builder *b, uint32_t rune, bool data) {
        char bytes[4];
        return jinja_add(b, bytes, jinja_encode(rune, bytes), data);
}

int jinja_add_fill(Builder *b, char c, size_t n, bool data) {
        char bytes[64];

        memset(bytes, c, sizeof bytes);
        for (size_t k; n > 0; n -= k) {
                k = MIN(n, sizeof bytes);
                int r = jinja_add(b, bytes, k, data);
                if (r < 0)
                        return r;
        }
        return 0;
}

Str jinja_built(const Builder *b) {
        return (Str) { .s = b->s ?: "", .n = b->n, .mask = b->mask, .data = b->data };
}
