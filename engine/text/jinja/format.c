/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns text formatting: Python's "…" % values and "…".format(values). One value is laid out in one place for both.
 * https://docs.python.org/3/library/string.html#format-specification-mini-language */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/text/jinja/methods.h"

#define FORMAT_WIDTH_MAX 100000         /* of a field, and of a precision */

static int integer_digits(Run *r, const FormatSpec *spec, uint64_t magnitude, bool data, Builder *digits) {
        char text[80];
        size_t n = 0;
        unsigned base = spec->type == 'x' || spec->type == 'X' ? 16 : spec->type == 'o' ? 8 : spec->type == 'b' ? 2 : 10;
        unsigned every = base == 10 ? 3 : 4;

        char reversed[80];
        for (unsigned i = 0; magnitude || i == 0; i++, magnitude /= base) {
                if (spec->thousands && i && i % every == 0)
                        reversed[n++] = base == 10 ? ',' : '_';
                reversed[n++] = (spec->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[magnitude % base];
        }
        for (size_t i = 0; i < n; i++)
                text[i] = reversed[n - 1 - i];
        return jinja_put(r, digits, str_of(text, n, data));
}

static int float_digits(Run *r, const FormatSpec *spec, double f, bool data, Builder *digits) {
        char text[512], grouped[700], how[] = "%#.*f";
        int precision = spec->precision < 0 ? 6 : (int) MIN(spec->precision, (int64_t) 100);
        size_t n;

        if (!spec->type && spec->precision < 0 && isfinite(f))
                n = jinja_format_float(f, text);
        else {
                char type = spec->type == '%' ? 'f' : spec->type ?: 'g';
                size_t k = spec->alternate ? 2 : 1;
                how[k] = '.';
                how[k + 1] = '*';
                how[k + 2] = type;
                how[k + 3] = 0;
                int written;
                #pragma GCC diagnostic push
                #pragma GCC diagnostic ignored "-Wformat-nonliteral"
                written = snprintf(text, sizeof text, how, precision, spec->type == '%' ? f * 100 : f);
                #pragma GCC diagnostic pop
                if (written < 0 || (size_t) written >= sizeof text)
                        return jinja_fail(r, -EBADMSG, "format: a number of more than %zu digits", sizeof text - 1);
                n = (size_t) written;
                /* Without a type a float keeps a digit after its point. */
                if (!spec->type && isfinite(f) && !memchr(text, '.', n) && !memchr(text, 'e', n)) {
                        memcpy(text + n, ".0", 2);
                        n += 2;
                }
        }
        if (spec->type == '%')
                text[n++] = '%';
        if (spec->thousands) {
                size_t whole = 0, k = 0;
                while (whole < n && text[whole] >= '0' && text[whole] <= '9')
                        whole++;
                for (size_t i = 0; i < n; i++) {
                        if (i && i < whole && (whole - i) % 3 == 0)
                                grouped[k++] = ',';
                        grouped[k++] = text[i];
                }
                return jinja_put(r, digits, str_of(grouped, k, data));
        }
        return jinja_put(r, digits, str_of(text, n, data));
}

static int put_fill(Run *r, Builder *out, uint32_t fill, int64_t n) {
        char bytes[4];
        Str one = str_of(bytes, jinja_encode(fill, bytes), false);
        for (; n > 0; n--)
                TRY(jinja_put(r, out, one));
        return 0;
}

/* sign and prefix, padding, body, in the order that the alignment asks for. */
static int lay_out(Run *r, const FormatSpec *spec, Str sign, Str body, char align, Builder *out) {
        int64_t n = (int64_t) (jinja_chars(sign) + jinja_chars(body)), all = spec->width > n ? spec->width - n : 0;
        int64_t left = align == '>' || align == '=' ? all : align == '^' ? all / 2 : 0;

        if (align == '=')
                TRY(jinja_put(r, out, sign));
        TRY(put_fill(r, out, spec->fill, left));
        if (align != '=')
                TRY(jinja_put(r, out, sign));
        TRY(jinja_put(r, out, body));
        return put_fill(r, out, spec->fill, all - left);
}

static int format_number(Run *r, const FormatSpec *spec, Value v, Builder *out) {
        Builder digits = { .arena = &r->arena };
        bool real = v.kind == VALUE_FLOAT || (spec->type && strchr("eEfFgG%", spec->type));
        bool minus = real ? signbit(as_float(v)) != 0 : as_int(v) < 0;
        char sign[4];
        size_t n = 0;

        if (minus || spec->sign == '+' || spec->sign == ' ')
                sign[n++] = minus ? '-' : spec->sign;
        if (real) {
                if (spec->type && !strchr("eEfFgG%", spec->type))
                        return jinja_fail(r, -EBADMSG, "format: '%c' is not for floats", spec->type);
                TRY(float_digits(r, spec, fabs(as_float(v)), v.data, &digits));
        } else {
                if (spec->alternate && spec->type && strchr("xXob", spec->type)) {
                        sign[n++] = '0';
                        sign[n++] = spec->type;
                }
                uint64_t magnitude = minus ? 0 - (uint64_t) as_int(v) : (uint64_t) as_int(v);
                TRY(integer_digits(r, spec, magnitude, v.data, &digits));
        }
        return lay_out(r, spec, str_of(sign, n, v.data), jinja_built(&digits), spec->align ?: '>', out);
}

int jinja_format_value(Run *r, const FormatSpec *spec, Value v, Builder *out) {
        Value cut;
        Str t;

        if (spec->width > FORMAT_WIDTH_MAX || spec->precision > FORMAT_WIDTH_MAX)
                return jinja_fail(r, -E2BIG, "format: a width of more than %d", FORMAT_WIDTH_MAX);
        /* A bool is a word only where nothing at all is specified. */
        bool laid_out = spec->width >= 0 || spec->precision >= 0 || spec->align || spec->sign != '-';
        if (is_number(v) && (spec->type ? spec->type != 's' : v.kind != VALUE_BOOL || laid_out))
                return format_number(r, spec, v, out);
        if (spec->type && spec->type != 's')
                return jinja_fail(r, -EBADMSG, "format: '%c' needs a number, a %s given", spec->type, jinja_type_name(v));
        TRY(jinja_text(r, v, &t));
        if (spec->precision >= 0) {
                TRY(jinja_value_str(r, t, &v));
                TRY(jinja_slice(r, v, NONE, value_int(spec->precision, false), NONE, &cut));
                t = *cut.str;
        }
        return lay_out(r, spec, STR(""), t, spec->align && spec->align != '=' ? spec->align : '<', out);
}

static size_t read_int(Str t, size_t i, int64_t *ret) {
        int64_t v = 0;
        for (; i < t.n && t.s[i] >= '0' && t.s[i] <= '9'; i++)
                v = MIN(v * 10 + (t.s[i] - '0'), (int64_t) FORMAT_WIDTH_MAX + 1);
        *ret = v;
        return i;
}

typedef struct PercentArgs {
        Value values;
        size_t next;
} PercentArgs;

static int next_value(Run *r, PercentArgs *a, Value *ret) {
        const Seq *s = is_seq(a->values, SEQ_TUPLE) ? a->values.seq : NULL;
        if (a->next >= (s ? s->n : 1))
                return jinja_fail(r, -EBADMSG, "%%: not enough values for the format");
        *ret = s ? s->items[a->next] : a->values;
        a->next++;
        return 0;
}

/* A width or precision: digits, or * for the next value. */
static int read_count(Run *r, Str t, size_t *i, PercentArgs *a, int64_t *ret) {
        Value v;
        if (*i < t.n && t.s[*i] == '*') {
                TRY(next_value(r, a, &v));
                TRY(jinja_want_int(r, "%", v, 0, ret));
                ++*i;
        } else
                *i = read_int(t, *i, ret);
        return 0;
}

/* What stands after a %, up to its letter. */
static int percent_one(Run *r, Str t, size_t *at, PercentArgs *a, Builder *out) {
        FormatSpec spec = { .fill = ' ', .sign = '-', .width = -1, .precision = -1, .align = '>' };
        bool named = false;
        size_t i = *at;
        Value v = ABSENT;

        if (i < t.n && t.s[i] == '(') {
                size_t end = jinja_find(t, STR(")"), i);
                if (end == SIZE_MAX || a->values.kind != VALUE_DICT)
                        return jinja_fail(r, -EBADMSG, "%%: a name needs a mapping");
                if (!TRY(jinja_dict_get_text(r, a->values.dict, jinja_part(t, i + 1, end), &v)))
                        return jinja_fail(r, -EBADMSG, "%%: the mapping lacks a name of the format");
                named = true;
                i = end + 1;
        }
        for (; i < t.n && t.s[i] && strchr("#0- +", t.s[i]); i++) {
                if (t.s[i] == '#')
                        spec.alternate = true;
                else if (t.s[i] == '-')
                        spec.align = '<';
                else if (t.s[i] == '0')
                        spec.zero = true;
                else if (spec.sign != '+')
                        spec.sign = t.s[i];
        }
        if (i < t.n && (t.s[i] == '*' || (t.s[i] >= '1' && t.s[i] <= '9')))
                TRY(read_count(r, t, &i, a, &spec.width));
        if (i < t.n && t.s[i] == '.') {
                i++;
                TRY(read_count(r, t, &i, a, &spec.precision));
        }
        if (i == t.n)
                return jinja_fail(r, -EBADMSG, "%%: an incomplete format");
        char type = t.s[i];
        *at = i + 1;
        if (type == '%')
                return jinja_put(r, out, jinja_part(t, i, i + 1));
        if (!named)
                TRY(next_value(r, a, &v));

        if (type == 's' || type == 'r') {
                spec.type = 's';
                if (type == 'r') {
                        Builder b = { .arena = &r->arena };
                        TRY(jinja_repr(r, v, &b));
                        TRY(jinja_value_str(r, jinja_built(&b), &v));
                }
                if (spec.width < 0)
                        spec.align = '<';
                return jinja_format_value(r, &spec, v, out);
        }
        if (type == 'c' && is_integral(v) && as_int(v) >= 0 && as_int(v) <= 0x10ffff) {
                Builder b = { .arena = &r->arena };
                TRY(jinja_checked(r, jinja_add_rune(&b, (uint32_t) as_int(v), v.data)));
                TRY(jinja_value_str(r, jinja_built(&b), &v));
        }
        if (type == 'c' && is_str(v) && jinja_chars(*v.str) == 1) {
                spec.type = 's';
                return jinja_format_value(r, &spec, v, out);
        }
        if (!type || !strchr("diuxXoeEfFgG", type) || !is_number(v))
                return jinja_fail(r, -EBADMSG, "%%: '%c' with a %s", type, jinja_type_name(v));
        bool integer = strchr("diuxXo", type) != NULL;
        if (integer && v.kind == VALUE_FLOAT) {
                if (!strchr("diu", type) || !(fabs(v.f) < 9e18))
                        return jinja_fail(r, -EBADMSG, "%%: '%c' with a float", type);
                v = value_int((int64_t) v.f, v.data);
        }
        spec.type = strchr("diu", type) ? 'd' : type;
        if (spec.zero && spec.align == '>') {
                spec.fill = '0';
                spec.align = '=';
        }
        if (integer)
                spec.precision = -1;
        return jinja_format_value(r, &spec, v, out);
}

int jinja_percent(Run *r, Str t, Value values, Value *ret) {
        PercentArgs a = { .values = values };
        Builder out = { .arena = &r->arena };
        bool names = values.kind == VALUE_DICT;

        for (size_t at = 0; at < t.n;) {
                size_t hit = jinja_find(t, STR("%"), at);
                TRY(jinja_put(r, &out, jinja_part(t, at, hit == SIZE_MAX ? t.n : hit)));
                if (hit == SIZE_MAX)
                        break;
                at = hit + 1;
                TRY(percent_one(r, t, &at, &a, &out));
        }
        if (!names && a.next < (is_seq(values, SEQ_TUPLE) ? values.seq->n : 1))
                return jinja_fail(r, -EBADMSG, "%%: more values than the format takes");
        return jinja_value_str(r, jinja_built(&out), ret);
}

/* str.format() */

typedef struct Formatter {
        const Args *args;
        int64_t next;                   /* of {} without a number */
        unsigned depth;
} Formatter;

static int format_into(Run *r, Formatter *f, Str t, Builder *out);

static int read_spec(Run *r, Str t, FormatSpec *ret) {
        FormatSpec s = { .fill = ' ', .sign = '-', .width = -1, .precision = -1 };
        size_t i = 0, n = t.n ? jinja_char(t, 0, &s.fill) : 0;

        if (n && n < t.n && strchr("<>=^", t.s[n])) {
                s.align = t.s[n];
                i = n + 1;
        } else {
                s.fill = ' ';
                if (t.n && t.s[0] && strchr("<>=^", t.s[0]))
                        s.align = t.s[i++];
        }
        if (i < t.n && t.s[i] && strchr("+- ", t.s[i]))
                s.sign = t.s[i++];
        if (i < t.n && t.s[i] == '#') {
                s.alternate = true;
                i++;
        }
        if (i < t.n && t.s[i] == '0') {
                if (!s.align) {
                        s.fill = '0';
                        s.align = '=';
                }
                i++;
        }
        if (i < t.n && t.s[i] >= '0' && t.s[i] <= '9')
                i = read_int(t, i, &s.width);
        if (i < t.n && (t.s[i] == ',' || t.s[i] == '_')) {
                s.thousands = true;
                i++;
        }
        if (i < t.n && t.s[i] == '.')
                i = read_int(t, i + 1, &s.precision);
        if (i < t.n && t.s[i] && strchr("bdeEfFgGosxX%", t.s[i]))
                s.type = t.s[i++];
        if (i < t.n)
                return jinja_fail(r, -EBADMSG, "format: a malformed specification '%.*s'", (int) MIN(t.n, (size_t) 60), t.s);
        *ret = s;
        return 0;
}

/* The value that a field's name means: an argument, then .attributes and [elements]. */
static int field_value(Run *r, Formatter *f, Str name, Value *ret) {
        size_t end = 0;
        int64_t place;

        while (end < name.n && name.s[end] != '.' && name.s[end] != '[')
                end++;
        Str first = jinja_part(name, 0, end);
        if (first.n == 0)
                place = f->next++;
        else if (read_int(first, 0, &place) != first.n) {
                place = -1;
                for (size_t i = 0; i < f->args->n_named && place < 0; i++)
                        if (jinja_str_equal(f->args->names[i], first)) {
                                *ret = f->args->named[i];
                                place = 0;
                        }
                if (place < 0)
                        return jinja_fail(r, -EBADMSG, "format: no argument named '%.*s'", (int) MIN(first.n, (size_t) 60), first.s);
                place = -1;
        }
        if (place >= 0) {
                if ((size_t) place >= f->args->n)
                        return jinja_fail(r, -EBADMSG, "format: fewer arguments than fields");
                *ret = f->args->values[place];
        }
        while (end < name.n) {
                bool item = name.s[end++] == '[';
                size_t from = end;
                while (end < name.n && (item ? name.s[end] != ']' : name.s[end] != '.' && name.s[end] != '['))
                        end++;
                Str part = jinja_part(name, from, end);
                Value key;
                if (item && end == name.n)
                        return jinja_fail(r, -EBADMSG, "format: '[' without ']'");
                end += item;
                if (!item) {
                        TRY(jinja_attribute(r, *ret, part, ret));
                        continue;
                }
                if (part.n && read_int(part, 0, &place) == part.n)
                        key = value_int(place, false);
                else
                        TRY(jinja_value_str(r, part, &key));
                TRY(jinja_item(r, *ret, key, ret));
        }
        return 0;
}

static int format_field(Run *r, Formatter *f, Str field, Builder *out) {
        Builder spec_text = { .arena = &r->arena };
        size_t colon = 0;
        char conversion = 0;
        FormatSpec spec;
        Value v;

        for (bool inside = false; colon < field.n && (inside || (field.s[colon] != ':' && field.s[colon] != '!')); colon++)
                inside = field.s[colon] == '[' || (inside && field.s[colon] != ']');
        TRY(field_value(r, f, jinja_part(field, 0, colon), &v));
        if (colon < field.n && field.s[colon] == '!') {
                conversion = colon + 1 < field.n ? field.s[colon + 1] : 0;
                colon += 2;
                if ((conversion != 's' && conversion != 'r') || (colon < field.n && field.s[colon] != ':'))
                        return jinja_fail(r, -EBADMSG, "format: only !s and !r convert");
        }
        if (conversion) {
                Builder b = { .arena = &r->arena };
                TRY(conversion == 'r' ? jinja_repr(r, v, &b) : jinja_print(r, v, &b));
                TRY(jinja_value_str(r, jinja_built(&b), &v));
        }
        if (colon < field.n) {
                if (++f->depth > 2)
                        return jinja_fail(r, -EBADMSG, "format: fields nested too deeply");
                TRY(format_into(r, f, jinja_part(field, colon + 1, field.n), &spec_text));
                f->depth--;
        }
        TRY(read_spec(r, jinja_built(&spec_text), &spec));
        return jinja_format_value(r, &spec, v, out);
}

static int format_into(Run *r, Formatter *f, Str t, Builder *out) {
        for (size_t i = 0; i < t.n;) {
                size_t from = i;
                while (i < t.n && t.s[i] != '{' && t.s[i] != '}')
                        i++;
                TRY(jinja_put(r, out, jinja_part(t, from, i)));
                if (i == t.n)
                        break;
                if (i + 1 < t.n && t.s[i + 1] == t.s[i]) {
                        TRY(jinja_put(r, out, jinja_part(t, i, i + 1)));
                        i += 2;
                        continue;
                }
                if (t.s[i] == '}')
                        return jinja_fail(r, -EBADMSG, "format: a single '}'");
                size_t depth = 1, end = i + 1;
                for (; end < t.n; end++) {
                        depth += t.s[end] == '{';
                        depth -= t.s[end] == '}';
                        if (depth == 0)
                                break;
                }
                if (depth)
                        return jinja_fail(r, -EBADMSG, "format: '{' without '}'");
                TRY(format_field(r, f, jinja_part(t, i + 1, end), out));
                i = end + 1;
        }
        return 0;
}

int jinja_format(Run *r, Str format, const Args *args, Value *ret) {
        Builder out = { .arena = &r->arena };
        Formatter f = { .args = args };
        TRY(format_into(r, &f, format, &out));
        return jinja_value_str(r, jinja_built(&out), ret);
}
