/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns work on texts that is both a method and a filter: case, replacing, lines, padding, joining. Each byte that comes
 * out keeps the mark of the byte that it was made from. */

#include <errno.h>

#include "engine/text/jinja/methods.h"
#include "engine/text/jinja/unicode.h"

int jinja_seq_add(Run *r, SeqBuilder *b, Value v) {
        TRY(jinja_step(r, sizeof(Value)));
        if (!b->seq)
                TRY(jinja_seq_new(r, SEQ_LIST, 0, &b->seq));
        if (b->seq->n == b->allocated) {
                size_t want = b->allocated ? b->allocated * 2 : 8;
                Value *items = jinja_alloc_array(&r->arena, want, sizeof(Value));
                if (!items)
                        return jinja_no_memory(r);
                if (b->seq->n)
                        memcpy(items, b->seq->items, b->seq->n * sizeof(Value));
                b->seq->items = items;
                b->allocated = want;
        }
        b->seq->items[b->seq->n++] = v;
        return 0;
}

int jinja_seq_add_str(Run *r, SeqBuilder *b, Str t) {
        Value v;
        t.safe = false;
        TRY(jinja_value_str(r, t, &v));
        return jinja_seq_add(r, b, v);
}

int jinja_seq_built(Run *r, SeqBuilder *b, SeqKind kind, Seq **ret) {
        if (!b->seq)
                TRY(jinja_seq_new(r, kind, 0, &b->seq));
        b->seq->kind = kind;
        *ret = b->seq;
        return 0;
}

static bool is_cased(uint32_t c) {
        return jinja_is_upper(c) || jinja_is_lower(c);
}

/* A capital sigma at a word's end has a lower case of its own (Unicode, SpecialCasing.txt, Final_Sigma). */
static bool is_final_sigma(Str t, size_t at) {
        uint32_t c;
        if (at == 0)
                return false;
        jinja_char(t, at - jinja_char_before(t, at), &c);
        if (!is_cased(c))
                return false;
        size_t next = at + 2;
        if (next >= t.n)
                return true;
        jinja_char(t, next, &c);
        return !is_cased(c);
}

/* What begins a word for Jinja's title filter: after one of these. */
static bool splits_title(uint32_t c) {
        return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || jinja_is_space(c);
}

int jinja_change_case(Run *r, Str t, CaseChange to, Value *ret) {
        Builder b = { .arena = &r->arena };
        bool first = true;      /* of the text or word */

        TRY(jinja_step(r, t.n * 4));
        for (size_t i = 0, n; i < t.n; i += n) {
                uint32_t c, out[3];
                size_t k;
                n = jinja_char(t, i, &c);
                if (c == 0xfffd) {      /* itself, or a stray byte that must stay */
                        TRY(jinja_put(r, &b, jinja_part(t, i, i + n)));
                        first = to == CASE_TITLE ? true : false;
                        continue;
                }
                bool upper = to == CASE_UPPER || (to == CASE_TITLE_FILTER && first) || (to == CASE_SWAP && jinja_is_lower(c));
                bool keep = to == CASE_SWAP && !is_cased(c);
                if (keep) {
                        out[0] = c;
                        k = 1;
                } else if (upper)
                        k = jinja_to_upper(c, out);
                else if (first && (to == CASE_CAPITALIZE || to == CASE_TITLE))
                        k = jinja_to_title(c, out);
                else if (c == 0x3a3 && is_final_sigma(t, i)) {
                        out[0] = 0x3c2;
                        k = 1;
                } else
                        k = jinja_to_lower(c, out);
                for (size_t j = 0; j < k; j++)
                        TRY(jinja_checked(r, jinja_add_rune(&b, out[j], str_tag(t, i))));
                first = to == CASE_TITLE ? !is_cased(c) : to == CASE_TITLE_FILTER ? splits_title(c) : false;
        }
        return jinja_value_str(r, jinja_built(&b), ret);
}

int jinja_replace(Run *r, Str t, Str from, Str to, int64_t count, Value *ret) {
        Builder b = { .arena = &r->arena };
        size_t at = 0;

        TRY(jinja_step(r, t.n));
        if (from.n == 0) {
                /* Between all characters, and at both ends. */
                for (size_t n; at < t.n && count != 0; at += n, count -= count > 0) {
                        n = jinja_char(t, at, NULL);
                        TRY(jinja_put(r, &b, to));
                        TRY(jinja_put(r, &b, jinja_part(t, at, at + n)));
                }
                if (count != 0)
                        TRY(jinja_put(r, &b, to));
        } else
                for (size_t hit; count != 0 && (hit = jinja_find(t, from, at)) != SIZE_MAX; count -= count > 0) {
                        TRY(jinja_put(r, &b, jinja_part(t, at, hit)));
                        TRY(jinja_put(r, &b, to));
                        at = hit + from.n;
                }
        TRY(jinja_put(r, &b, jinja_part(t, at, t.n)));
        return jinja_value_str(r, jinja_built(&b), ret);
}

int jinja_split_lines(Run *r, Str t, bool keep_ends, Seq **ret) {
        SeqBuilder lines = {};
        size_t from = 0;

        TRY(jinja_step(r, t.n));
        for (size_t i = 0, n; i < t.n; i += n) {
                uint32_t c;
                n = jinja_char(t, i, &c);
                if (!jinja_is_line_end(c))
                        continue;
                if (c == '\r' && i + 1 < t.n && t.s[i + 1] == '\n')
                        n++;
                TRY(jinja_seq_add_str(r, &lines, jinja_part(t, from, keep_ends ? i + n : i)));
                from = i + n;
        }
        if (from < t.n)
                TRY(jinja_seq_add_str(r, &lines, jinja_part(t, from, t.n)));
        return jinja_seq_built(r, &lines, SEQ_LIST, ret);
}

int jinja_pad(Run *r, Str t, int64_t width, Str fill, Side side, Value *ret) {
        Builder b = { .arena = &r->arena };
        int64_t n = (int64_t) jinja_chars(t);
        int64_t all = width > n ? width - n : 0;
        /* Python puts the odd one of a centred text to the left where the width is odd. */
        int64_t left = side == SIDE_LEFT ? 0 : side == SIDE_RIGHT ? all : all / 2 + (all & width & 1);

        if (jinja_chars(fill) != 1)
                return jinja_fail(r, -EBADMSG, "the fill must be one character");
        for (int64_t i = 0; i < left; i++)
                TRY(jinja_put(r, &b, fill));
        TRY(jinja_put(r, &b, t));
        for (int64_t i = left; i < all; i++)
                TRY(jinja_put(r, &b, fill));
        return jinja_value_str(r, jinja_built(&b), ret);
}

int jinja_join(Run *r, Str between, const Seq *parts, bool convert, Value *ret) {
        Builder b = { .arena = &r->arena };

        for (size_t i = 0; i < parts->n; i++) {
                if (i)
                        TRY(jinja_put(r, &b, between));
                if (!convert && !is_str(parts->items[i]))
                        return jinja_fail(r, -EBADMSG, "join: a str expected, a %s found", jinja_type_name(parts->items[i]));
                TRY(jinja_print(r, parts->items[i], &b));
        }
        return jinja_value_str(r, jinja_built(&b), ret);
}
