/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the filters that give one text or number. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/text/jinja/methods.h"

static int change_case(Run *r, Value v, CaseChange to, Value *ret) {
        Str t;
        TRY(jinja_text(r, v, &t));
        return jinja_change_case(r, t, to, ret);
}

FILTER(filter_upper) { return change_case(r, self, CASE_UPPER, ret); }
FILTER(filter_lower) { return change_case(r, self, CASE_LOWER, ret); }
FILTER(filter_title) { return change_case(r, self, CASE_TITLE_FILTER, ret); }
FILTER(filter_capitalize) { return change_case(r, self, CASE_CAPITALIZE, ret); }

FILTER(filter_string) {
        Str t;
        if (is_str(self)) {
                *ret = self;
                return 0;
        }
        TRY(jinja_text(r, self, &t));
        return jinja_value_str(r, t, ret);
}

FILTER(filter_safe) {
        Str t;
        TRY(jinja_text(r, self, &t));
        t.safe = true;
        return jinja_value_str(r, t, ret);
}

FILTER(filter_escape) {
        Value empty;
        Str t, none = STR("");
        TRY(jinja_text(r, self, &t));
        none.safe = true;
        t.safe = is_str(self) && self.str->safe;
        TRY(jinja_value_str(r, none, &empty));
        TRY(jinja_value_str(r, t, &self));
        return jinja_binary(r, OP_ADD, empty, self, ret);
}

FILTER(filter_trim) {
        Str t, chars;
        bool set = p[0].kind != VALUE_ABSENT && p[0].kind != VALUE_NONE;
        TRY(jinja_text(r, self, &t));
        if (set)
                TRY(jinja_want_str(r, "trim", p[0], &chars));
        TRY(jinja_step(r, t.n));
        return jinja_value_str(r, jinja_strip(t, STRIP_BOTH, set ? &chars : NULL), ret);
}

FILTER(filter_replace) {
        int64_t count;
        Str t, from, to;
        TRY(jinja_text(r, self, &t));
        TRY(jinja_text(r, p[0], &from));
        TRY(jinja_text(r, p[1], &to));
        TRY(jinja_want_int(r, "replace", p[2], -1, &count));
        return jinja_replace(r, t, from, to, count, ret);
}

FILTER(filter_center) {
        int64_t width;
        Str t;
        TRY(jinja_text(r, self, &t));
        TRY(jinja_want_int(r, "center", p[0], 80, &width));
        return jinja_pad(r, t, width, STR(" "), SIDE_CENTER, ret);
}

FILTER(filter_indent) {
        Builder b = { .arena = &r->arena };
        bool first = jinja_true(p[1]), blank = jinja_true(p[2]);
        int64_t width = 4;
        Str t, with;
        Seq *lines;

        TRY(jinja_text(r, self, &t));
        if (is_str(p[0]))
                with = *p[0].str;
        else {
                TRY(jinja_want_int(r, "indent", p[0], 4, &width));
                Builder spaces = { .arena = &r->arena };
                for (int64_t i = 0; i < width; i++)
                        TRY(jinja_put(r, &spaces, STR(" ")));
                with = jinja_built(&spaces);
        }
        /* Jinja adds a newline and then splits, so that a newline at the end is kept. */
        Builder whole = { .arena = &r->arena };
        TRY(jinja_put(r, &whole, t));
        TRY(jinja_put(r, &whole, STR("\n")));
        TRY(jinja_split_lines(r, jinja_built(&whole), false, &lines));
        for (size_t i = 0; i < lines->n; i++) {
                Str line = *lines->items[i].str;
                if (i)
                        TRY(jinja_put(r, &b, STR("\n")));
                if (i ? blank || line.n > 0 : first)
                        TRY(jinja_put(r, &b, with));
                TRY(jinja_put(r, &b, line));
        }
        return jinja_value_str(r, jinja_built(&b), ret);
}

FILTER(filter_truncate) {
        int64_t length, leeway;
        Str t, end = STR("...");
        Value cut;

        TRY(jinja_text(r, self, &t));
        TRY(jinja_want_int(r, "truncate", p[0], 255, &length));
        if (p[2].kind != VALUE_ABSENT)
                TRY(jinja_want_str(r, "truncate", p[2], &end));
        TRY(jinja_want_int(r, "truncate", p[3], 5, &leeway));
        int64_t rest = length - (int64_t) jinja_chars(end);
        if (rest < 0 || leeway < 0)
                return jinja_fail(r, -EBADMSG, "truncate: a length of at least the end's expected");
        if ((int64_t) jinja_chars(t) - leeway <= length)
                return jinja_value_str(r, t, ret);
        TRY(jinja_value_str(r, t, &self));
        TRY(jinja_slice(r, self, NONE, value_int(rest, false), NONE, &cut));
        t = *cut.str;
        size_t space = jinja_true(p[1]) ? SIZE_MAX : jinja_find_last(t, STR(" "), t.n);
        Builder b = { .arena = &r->arena };
        TRY(jinja_put(r, &b, space == SIZE_MAX ? t : jinja_part(t, 0, space)));
        TRY(jinja_put(r, &b, end));
        return jinja_value_str(r, jinja_built(&b), ret);
}

FILTER(filter_wordcount) {
        int64_t n = 0;
        bool word = false;
        uint32_t c;
        Str t;

        TRY(jinja_text(r, self, &t));
        TRY(jinja_step(r, t.n));
        for (size_t i = 0; i < t.n;) {
                i += jinja_char(t, i, &c);
                bool now = c == '_' || (c < 0x80 ? (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') : !jinja_is_space(c));
                n += now && !word;
                word = now;
        }
        *ret = value_int(n, false);
        return 0;
}

/* Digits as Python's int() and float() take them: blanks around, single underscores within. */
static bool plain_number(Str t, char out[static 128]) {
        size_t k = 0;

        t = jinja_strip(t, STRIP_BOTH, NULL);
        for (size_t i = 0; i < t.n; i++) {
                if (t.s[i] == '_') {
                        if (i == 0 || i + 1 == t.n || t.s[i - 1] == '_')
                                return false;
                        continue;
                }
                if (k == 127 || !t.s[i])
                        return false;
                out[k++] = t.s[i];
        }
        out[k] = 0;
        return k > 0 && strspn(out, "+-") <= 1;
}

static bool to_float(Value v, double *ret) {
        char text[128], *end;

        if (is_number(v)) {
                *ret = as_float(v);
                return true;
        }
        if (!is_str(v) || !plain_number(*v.str, text) || strpbrk(text, "xX(pP"))
                return false;
        *ret = strtod(text, &end);
        return !*end;
}

static int undefined_number(Run *r, Value v) {
        return is_undefined(v) ? jinja_fail(r, -EBADMSG, "%s", v.why ?: "a value is undefined") : 0;
}

FILTER(filter_int) {
        int64_t base;
        char text[128], *end;
        bool data = jinja_value_data(self);
        double f;

        TRY(undefined_number(r, self));
        TRY(jinja_want_int(r, "int", p[1], 10, &base));
        if (is_integral(self)) {
                *ret = value_int(as_int(self), data);
                return 0;
        }
        if (base != 0 && (base < 2 || base > 36))
                return jinja_fail(r, -EBADMSG, "int: a base between 2 and 36 expected");
        if (is_str(self) && plain_number(*self.str, text)) {
                const char *digits = text + strspn(text, "+-");
                /* C takes 0x with any text where Python wants the base to agree; binary and octal C does not know. */
                bool prefix = digits[0] == '0' && digits[1] && strchr("xXoObB", digits[1]);
                if (!prefix || ((digits[1] | 32) == 'x' && base == 16)) {
                        errno = 0;
                        int64_t i = strtoll(text, &end, (int) base);
                        if (!*end && end > text) {
                                if (errno == ERANGE)
                                        return jinja_fail(r, -EBADMSG, "int: an integer needs more than 64 bits");
                                *ret = value_int(i, data);
                                return 0;
                        }
                }
        }
        if (to_float(self, &f) && isfinite(f)) {
                if (fabs(f) >= 9223372036854775808.0)
                        return jinja_fail(r, -EBADMSG, "int: an integer needs more than 64 bits");
                *ret = value_int((int64_t) f, data);
                return 0;
        }
        *ret = p[0].kind == VALUE_ABSENT ? value_int(0, false) : p[0];
        return 0;
}

FILTER(filter_float) {
        double f;
        TRY(undefined_number(r, self));
        if (to_float(self, &f))
                *ret = value_float(f, jinja_value_data(self));
        else
                *ret = p[0].kind == VALUE_ABSENT ? value_float(0, false) : p[0];
        return 0;
}

FILTER(filter_abs) {
        if (is_integral(self) && as_int(self) >= 0)
                *ret = value_int(as_int(self), self.data);
        else if (self.kind == VALUE_FLOAT)
                *ret = value_float(fabs(self.f), self.data);
        else
                return jinja_negate(r, true, self, ret);
        return 0;
}

FILTER(filter_round) {
        int64_t precision;
        Str method = STR("common");
        char text[400];

        TRY(jinja_want_int(r, "round", p[0], 0, &precision));
        if (p[1].kind != VALUE_ABSENT)
                TRY(jinja_want_str(r, "round", p[1], &method));
        if (!is_number(self))
                return jinja_fail(r, -EBADMSG, "round: a number expected, a %s given", jinja_type_name(self));
        if (precision > 30 || precision < -30)
                return jinja_fail(r, -EBADMSG, "round: a precision between -30 and 30 expected");
        double f = as_float(self), scale = pow(10, (double) precision);
        if (str_is(method, "common")) {
                if (is_integral(self) && precision >= 0) {
                        *ret = value_int(as_int(self), self.data);
                        return 0;
                }
                if (is_integral(self)) {
                        *ret = value_int((int64_t) (nearbyint(f * scale) / scale), self.data);
                        return 0;
                }
                /* printf rounds the exact value, half to even, as Python does. */
                if (precision >= 0 && snprintf(text, sizeof text, "%.*f", (int) precision, f) < (int) sizeof text)
                        f = strtod(text, NULL);
                else
                        f = nearbyint(f * scale) / scale;
        } else if (str_is(method, "ceil") || str_is(method, "floor"))
                f = (method.s[0] == 'c' ? ceil(f * scale) : floor(f * scale)) / scale;
        else
                return jinja_fail(r, -EBADMSG, "round: method must be common, ceil or floor");
        *ret = value_float(f, self.data);
        return 0;
}

FILTER(filter_format) {
        Str t;
        Seq *s;
        Dict *d;
        Value key;

        TRY(jinja_text(r, self, &t));
        if (all->n && all->n_named)
                return jinja_fail(r, -EBADMSG, "format: positional and keyword arguments at the same time");
        if (!all->n_named) {
                TRY(jinja_seq_new(r, SEQ_TUPLE, all->n, &s));
                if (all->n)
                        memcpy(s->items, all->values, all->n * sizeof(Value));
                return jinja_percent(r, t, value_seq(s), ret);
        }
        TRY(jinja_dict_new(r, &d));
        for (size_t i = 0; i < all->n_named; i++) {
                TRY(jinja_value_str(r, all->names[i], &key));
                TRY(jinja_dict_set(r, d, key, all->named[i]));
        }
        return jinja_percent(r, t, value_dict(d), ret);
}

/* transformers' tojson: json.dumps with these arguments, and no escaping for HTML. */
FILTER(filter_tojson) {
        JsonStyle style = { .ascii = jinja_true(p[0]), .between_items = STR(", "), .between_pair = STR(": "),
                            .sort_keys = jinja_true(p[3]) };
        Builder b = { .arena = &r->arena };
        Seq *pair;

        if (is_str(p[1])) {
                style.has_indent = true;
                style.indent = *p[1].str;
        } else if (p[1].kind != VALUE_ABSENT && p[1].kind != VALUE_NONE) {
                int64_t width;
                Builder spaces = { .arena = &r->arena };
                TRY(jinja_want_int(r, "tojson: indent", p[1], 0, &width));
                for (int64_t i = 0; i < width; i++)
                        TRY(jinja_put(r, &spaces, STR(" ")));
                style.has_indent = true;
                style.indent = jinja_built(&spaces);
        }
        if (style.has_indent)
                style.between_items = STR(",");
        if (p[2].kind != VALUE_ABSENT && p[2].kind != VALUE_NONE) {
                TRY(jinja_elements(r, p[2], &pair));
                if (pair->n != 2)
                        return jinja_fail(r, -EBADMSG, "tojson: two separators expected");
                TRY(jinja_want_str(r, "tojson: separators", pair->items[0], &style.between_items));
                TRY(jinja_want_str(r, "tojson: separators", pair->items[1], &style.between_pair));
        }
        TRY(jinja_json_write(r, self, &style, &b));
        return jinja_value_str(r, jinja_built(&b), ret);
}

const Builtin jinja_text_filters[] = {
        { "upper", filter_upper, "" }, { "lower", filter_lower, "" }, { "title", filter_title, "" },
        { "capitalize", filter_capitalize, "" }, { "string", filter_string, "" }, { "safe", filter_safe, "" },
        { "escape", filter_escape, "" }, { "e", filter_escape, "" }, { "trim", filter_trim, "=chars" },
        { "replace", filter_replace, "old new =count" }, { "center", filter_center, "=width" },
        { "indent", filter_indent, "=width =first =blank" }, { "truncate", filter_truncate, "=length =killwords =end =leeway" },
        { "wordcount", filter_wordcount, "" }, { "int", filter_int, "=default =base" }, { "float", filter_float, "=default" },
        { "abs", filter_abs, "" }, { "round", filter_round, "=precision =method" }, { "format", filter_format, NULL },
        { "tojson", filter_tojson, "=ensure_ascii =indent =separators =sort_keys" },
        {},
};
