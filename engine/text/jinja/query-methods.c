/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the methods of texts that answer a question: where, how often, of what kind. Places are counted in characters. */

#include <errno.h>

#include "engine/text/jinja/methods.h"
#include "engine/text/jinja/unicode.h"

/* The part of self that the optional start and end arguments name; *ret_before its place in characters. */
static int range(Run *r, Str t, Value from, Value to, Str *ret, int64_t *ret_before) {
        int64_t first, last, n = 0;

        *ret = t;
        *ret_before = 0;
        if (from.kind == VALUE_ABSENT && to.kind == VALUE_ABSENT)
                return jinja_step(r, t.n);
        TRY(jinja_step(r, t.n * 2));
        n = (int64_t) jinja_chars(t);
        TRY(jinja_want_int(r, "start", from, 0, &first));
        TRY(jinja_want_int(r, "end", to, n, &last));
        first = first < 0 ? MAX(first + n, (int64_t) 0) : first;
        last = last < 0 ? MAX(last + n, (int64_t) 0) : MIN(last, n);
        if (first > last) {
                *ret_before = -1;       /* nothing is found there, not even an empty text */
                *ret = jinja_part(t, 0, 0);
                return 0;
        }
        size_t begin = 0, end;
        for (int64_t i = 0; i < first; i++)
                begin += jinja_char(t, begin, NULL);
        end = begin;
        for (int64_t i = first; i < last; i++)
                end += jinja_char(t, end, NULL);
        *ret = jinja_part(t, begin, end);
        *ret_before = first;
        return 0;
}

static int find(Run *r, Str t, const Value *p, bool last, bool must, Value *ret) {
        int64_t before;
        Str what, part;

        TRY(jinja_want_str(r, "find", p[0], &what));
        TRY(range(r, t, p[1], p[2], &part, &before));
        size_t hit = before < 0 ? SIZE_MAX : last ? jinja_find_last(part, what, part.n) : jinja_find(part, what, 0);
        if (hit == SIZE_MAX && must)
                return jinja_fail(r, -EBADMSG, "index: the text is not in it");
        *ret = value_int(hit == SIZE_MAX ? -1 : before + (int64_t) jinja_chars(jinja_part(part, 0, hit)), false);
        return 0;
}

FILTER(str_find) { return find(r, *self.str, p, false, false, ret); }
FILTER(str_rfind) { return find(r, *self.str, p, true, false, ret); }
FILTER(str_index) { return find(r, *self.str, p, false, true, ret); }
FILTER(str_rindex) { return find(r, *self.str, p, true, true, ret); }

FILTER(str_count) {
        int64_t before, n = 0;
        Str what, part;

        TRY(jinja_want_str(r, "count", p[0], &what));
        TRY(range(r, *self.str, p[1], p[2], &part, &before));
        if (what.n == 0)
                n = before < 0 ? 0 : (int64_t) jinja_chars(part) + 1;
        else
                for (size_t at = 0; (at = jinja_find(part, what, at)) != SIZE_MAX; at += what.n)
                        n++;
        *ret = value_int(n, false);
        return 0;
}

static int with_fix(Run *r, Str t, const Value *p, bool end, Value *ret) {
        Value one[1] = { p[0] };
        Seq single = { .items = one, .n = 1 };
        const Seq *s = is_seq(p[0], SEQ_TUPLE) ? p[0].seq : &single;
        int64_t before;
        Str part, f;
        bool holds = false;

        TRY(range(r, t, p[1], p[2], &part, &before));
        for (size_t i = 0; i < s->n; i++) {
                TRY(jinja_want_str(r, end ? "endswith" : "startswith", s->items[i], &f));
                holds |= before >= 0 && f.n <= part.n && memcmp(end ? part.s + part.n - f.n : part.s, f.s, f.n) == 0;
        }
        *ret = value_bool(holds);
        return 0;
}

FILTER(str_startswith) { return with_fix(r, *self.str, p, false, ret); }
FILTER(str_endswith) { return with_fix(r, *self.str, p, true, ret); }

static int all_are(Run *r, Str t, bool (*is)(uint32_t), Value *ret) {
        bool holds = t.n > 0;
        uint32_t c;

        TRY(jinja_step(r, t.n));
        for (size_t i = 0; i < t.n && holds; holds = is(c))
                i += jinja_char(t, i, &c);
        *ret = value_bool(holds);
        return 0;
}

static bool is_alnum(uint32_t c) { return jinja_is_alpha(c) || jinja_is_digit(c); }
static bool is_ascii(uint32_t c) { return c < 0x80; }

FILTER(str_isalpha) { return all_are(r, *self.str, jinja_is_alpha, ret); }
FILTER(str_isdigit) { return all_are(r, *self.str, jinja_is_digit, ret); }
FILTER(str_isalnum) { return all_are(r, *self.str, is_alnum, ret); }
FILTER(str_isspace) { return all_are(r, *self.str, jinja_is_space, ret); }

FILTER(str_isascii) {
        TRY(all_are(r, *self.str, is_ascii, ret));
        ret->b |= self.str->n == 0;
        return 0;
}

FILTER(str_isupper) { *ret = value_bool(TRY(jinja_test(r, STR("upper"), self, &(Args) {}))); return 0; }
FILTER(str_islower) { *ret = value_bool(TRY(jinja_test(r, STR("lower"), self, &(Args) {}))); return 0; }

const Builtin jinja_str_query_methods[] = {
        { "find", str_find, "sub =start =end" }, { "rfind", str_rfind, "sub =start =end" },
        { "index", str_index, "sub =start =end" }, { "rindex", str_rindex, "sub =start =end" },
        { "count", str_count, "sub =start =end" },
        { "startswith", str_startswith, "prefix =start =end" }, { "endswith", str_endswith, "suffix =start =end" },
        { "isalpha", str_isalpha, "" }, { "isdigit", str_isdigit, "" }, { "isnumeric", str_isdigit, "" },
        { "isdecimal", str_isdigit, "" }, { "isalnum", str_isalnum, "" }, { "isspace", str_isspace, "" },
        { "isascii", str_isascii, "" }, { "isupper", str_isupper, "" }, { "islower", str_islower, "" },
        {},
};
