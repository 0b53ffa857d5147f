/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how values become text: str() and repr() as Python writes them. What belongs to no byte of a text (brackets,
 * numbers) is data where the container or number is. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/text/jinja/run.h"
#include "engine/text/jinja/unicode.h"

/* The shortest digits that read back as the same number; an exponent below 1e-4 and from 1e16 on. */
size_t jinja_format_float(double f, char out[static 40]) {
        char digits[32];
        int precision;

        if (isnan(f))
                return (size_t) sprintf(out, "nan");
        if (isinf(f))
                return (size_t) sprintf(out, f < 0 ? "-inf" : "inf");
        for (precision = 0; precision < 17; precision++) {
                snprintf(digits, sizeof digits, "%.*e", precision, f);
                if (strtod(digits, NULL) == f)
                        break;
        }

        int exponent = atoi(strchr(digits, 'e') + 1);
        if (exponent < -4 || exponent >= 16) {
                char *e = strchr(digits, 'e');
                return (size_t) sprintf(out, "%.*se%c%02d", (int) (e - digits), digits, exponent < 0 ? '-' : '+', abs(exponent));
        }
        int decimals = precision - exponent;
        return (size_t) sprintf(out, "%.*f", decimals > 1 ? decimals : 1, f);
}

static int put(Run *r, Builder *b, const char *s, bool data) {
        return jinja_put(r, b, str_of(s, strlen(s), data));
}

static int repr_str(Run *r, Str t, Builder *b) {
        bool data = jinja_any_data(t);
        char quote = memchr(t.s, '\'', t.n) && !memchr(t.s, '"', t.n) ? '"' : '\'';
        char text[16];

        TRY(jinja_step(r, t.n));
        TRY(jinja_put(r, b, str_of(&quote, 1, data)));
        for (size_t i = 0, n; i < t.n; i += n) {
                uint32_t c;
                n = jinja_char(t, i, &c);
                if (c == (uint32_t) quote || c == '\\')
                        snprintf(text, sizeof text, "\\%c", (char) c);
                else if (c == '\n' || c == '\r' || c == '\t')
                        snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
                else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !jinja_is_printable(c)))
                        snprintf(text, sizeof text, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
                else {
                        TRY(jinja_put(r, b, jinja_part(t, i, i + n)));
                        continue;
                }
                TRY(put(r, b, text, str_tag(t, i)));
        }
        return jinja_put(r, b, str_of(&quote, 1, data));
}

static int repr_seq(Run *r, const Seq *s, Builder *b) {
        static const char *const open[] = {
                [SEQ_LIST] = "[", [SEQ_TUPLE] = "(", [SEQ_KEYS] = "dict_keys([", [SEQ_VALUES] = "dict_values([",
                [SEQ_ITEMS] = "dict_items([",
        };
        if (s->kind == SEQ_ITERATOR)
                return put(r, b, "<generator object>", s->data);
        if (s->kind == SEQ_RANGE) {
                char text[80];
                int64_t step = s->n > 1 ? s->items[1].i - s->items[0].i : 1, first = s->n ? s->items[0].i : 0;
                int n = snprintf(text, sizeof text, "range(%lld, %lld", (long long) first,
                                 (long long) (s->n ? s->items[s->n - 1].i + (step < 0 ? -1 : 1) : 0));
                if (step != 1)
                        n += snprintf(text + n, sizeof text - (size_t) n, ", %lld", (long long) step);
                snprintf(text + n, sizeof text - (size_t) n, ")");
                return put(r, b, text, s->data);
        }
        TRY(put(r, b, open[s->kind], s->data));
        for (size_t i = 0; i < s->n; i++) {
                if (i)
                        TRY(put(r, b, ", ", s->data));
                TRY(jinja_repr(r, s->items[i], b));
        }
        return put(r, b, s->kind == SEQ_LIST ? "]" : s->kind > SEQ_RANGE ? "])" : s->n == 1 ? ",)" : ")", s->data);
}

static int repr_dict(Run *r, const Dict *d, Builder *b) {
        if (d->arguments)
                return jinja_fail(r, -EBADMSG, "a call's arguments are printed as they are");
        TRY(put(r, b, "{", d->data));
        for (size_t i = 0; i < d->n; i++) {
                if (i)
                        TRY(put(r, b, ", ", d->data));
                TRY(jinja_repr(r, d->entries[i].key, b));
                TRY(put(r, b, ": ", d->data));
                TRY(jinja_repr(r, d->entries[i].value, b));
        }
        return put(r, b, "}", d->data);
}

static int repr(Run *r, Value v, Builder *b) {
        char text[64];

        switch ((ValueKind) v.kind) {
        case VALUE_NONE:
                return put(r, b, "None", v.data);
        case VALUE_BOOL:
                return put(r, b, v.b ? "True" : "False", v.data);
        case VALUE_INT:
                snprintf(text, sizeof text, "%lld", (long long) v.i);
                return put(r, b, text, v.data);
        case VALUE_FLOAT:
                return jinja_put(r, b, str_of(text, jinja_format_float(v.f, text), v.data));
        case VALUE_BIG:
                return jinja_put(r, b, *v.str);
        case VALUE_STR:
                return repr_str(r, *v.str, b);
        case VALUE_SEQ:
                return repr_seq(r, v.seq, b);
        case VALUE_DICT:
                return repr_dict(r, v.dict, b);
        case VALUE_NAMESPACE:
                TRY(put(r, b, "<Namespace ", v.dict->data));
                TRY(repr_dict(r, v.dict, b));
                return put(r, b, ">", v.dict->data);
        case VALUE_CALLABLE:
                if (!v.callable->macro)
                        return put(r, b, "<function>", false);
                TRY(put(r, b, "<Macro ", false));
                TRY(repr_str(r, v.callable->macro->text, b));
                return put(r, b, ">", false);
        case VALUE_LOOP:
                snprintf(text, sizeof text, "<LoopContext %zu/%zu>", v.loop->i + 1, v.loop->items->n);
                return put(r, b, text, false);
        default:
                return put(r, b, "Undefined", false);
        }
}

int jinja_repr(Run *r, Value v, Builder *b) {
        TRY(jinja_step(r, 0));
        TRY(jinja_enter(r));
        int status = repr(r, v, b);
        jinja_leave(r);
        return status;
}

int jinja_print(Run *r, Value v, Builder *b) {
        return is_str(v) ? jinja_put(r, b, *v.str) : is_undefined(v) ? 0 : jinja_repr(r, v, b);
}

int jinja_text(Run *r, Value v, Str *ret) {
        if (is_str(v)) {
                *ret = *v.str;
                ret->safe = false;
                return 0;
        }
        Builder b = { .arena = &r->arena };
        TRY(jinja_print(r, v, &b));
        *ret = jinja_built(&b);
        return 0;
}
