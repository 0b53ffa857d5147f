/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what operators do to values, with Python's rules: floor division, the sign of a remainder, slices with negative
 * steps, and errors where Python raises. Integers are 64 bits; beyond that is an error, never a wrap. */

#include <errno.h>
#include <math.h>

#include "engine/text/jinja/run.h"

static const char *const operator_names[] = {
        [OP_ADD] = "+", [OP_SUB] = "-", [OP_MUL] = "*", [OP_DIV] = "/", [OP_FLOORDIV] = "//", [OP_MOD] = "%", [OP_POW] = "**",
};

static int unfit(Run *r, Operator op, Value a, Value b) {
        if (is_undefined(a) || is_undefined(b))
                return jinja_fail(r, -EBADMSG, "%s", (is_undefined(a) ? a.why : b.why) ?: "a value is undefined");
        return jinja_fail(r, -EBADMSG, "a %s %s a %s is not defined", jinja_type_name(a), operator_names[op], jinja_type_name(b));
}

static int overflow(Run *r) {
        return jinja_fail(r, -EBADMSG, "an integer needs more than 64 bits");
}

static int power(Run *r, int64_t base, int64_t exponent, int64_t *ret) {
        int64_t v = 1;
        for (; exponent > 0; exponent >>= 1) {
                if ((exponent & 1) && __builtin_mul_overflow(v, base, &v))
                        return overflow(r);
                if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
                        return overflow(r);
        }
        *ret = v;
        return 0;
}

static int int_op(Run *r, Operator op, int64_t a, int64_t b, bool data, Value *ret) {
        int64_t v = 0;

        switch (op) {
        case OP_ADD:
                if (__builtin_add_overflow(a, b, &v))
                        return overflow(r);
                break;
        case OP_SUB:
                if (__builtin_sub_overflow(a, b, &v))
                        return overflow(r);
                break;
        case OP_MUL:
                if (__builtin_mul_overflow(a, b, &v))
                        return overflow(r);
                break;
        case OP_POW:
                if (b < 0) {
                        if (a == 0)
                                return jinja_fail(r, -EBADMSG, "division by zero");
                        *ret = value_float(pow((double) a, (double) b), data);
                        return 0;
                }
                TRY(power(r, a, b, &v));
                break;
        default:
                if (b == 0)
                        return jinja_fail(r, -EBADMSG, "division by zero");
                if (op == OP_DIV) {
                        *ret = value_float((double) a / (double) b, data);
                        return 0;
                }
                if (b == -1) {
                        if (op == OP_FLOORDIV && __builtin_sub_overflow((int64_t) 0, a, &v))
                                return overflow(r);
                        break;
                }
                v = op == OP_FLOORDIV ? a / b - (a % b != 0 && (a < 0) != (b < 0)) :
                        a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
        }
        *ret = value_int(v, data);
        return 0;
}

static int float_op(Run *r, Operator op, double a, double b, bool data, Value *ret) {
        double v;

        if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0)
                return jinja_fail(r, -EBADMSG, "division by zero");
        switch (op) {
        case OP_ADD: v = a + b; break;
        case OP_SUB: v = a - b; break;
        case OP_MUL: v = a * b; break;
        case OP_DIV: v = a / b; break;
        case OP_FLOORDIV: v = floor(a / b); break;
        case OP_MOD:
                v = fmod(a, b);
                if (v != 0 && (v < 0) != (b < 0))
                        v += b;
                break;
        default:
                v = pow(a, b);
                if (isnan(v) || (isinf(v) && !isinf(a)))
                        return jinja_fail(r, -EBADMSG, "a power out of range");
        }
        *ret = value_float(v, data);
        return 0;
}

/* markupsafe's escape(), for what is joined to a `safe` text. */
static int escape(Run *r, Str t, Builder *b) {
        static const char *const names[] = { ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&#34;", ['\''] = "&#39;" };

        if (t.safe)
                return jinja_put(r, b, t);
        for (size_t i = 0; i < t.n; i++) {
                unsigned char c = (unsigned char) t.s[i];
                const char *name = c < ELEMENTSOF(names) ? names[c] : NULL;
                TRY(jinja_put(r, b, name ? str_of(name, strlen(name), str_tag(t, i)) : jinja_part(t, i, i + 1)));
        }
        return 0;
}

static int concat(Run *r, Str a, Str b, Value *ret) {
        Builder out = { .arena = &r->arena };

        if (a.safe || b.safe) {
                TRY(escape(r, a, &out));
                TRY(escape(r, b, &out));
        } else {
                TRY(jinja_put(r, &out, a));
                TRY(jinja_put(r, &out, b));
        }
        Str t = jinja_built(&out);
        t.safe = a.safe || b.safe;
        return jinja_value_str(r, t, ret);
}

static int join_seqs(Run *r, const Seq *a, const Seq *b, Value *ret) {
        Seq *s;

        TRY(jinja_step(r, (a->n + b->n) * 16));
        TRY(jinja_seq_new(r, a->kind, a->n + b->n, &s));
        if (a->n)
                memcpy(s->items, a->items, a->n * sizeof(Value));
        if (b->n)
                memcpy(s->items + a->n, b->items, b->n * sizeof(Value));
        s->data = a->data || b->data;
        *ret = value_seq(s);
        return 0;
}

static int repeat(Run *r, Value v, int64_t times, Value *ret) {
        Builder b = { .arena = &r->arena };
        Seq *s;

        times = times < 0 ? 0 : times;
        if (is_str(v)) {
                for (int64_t i = 0; i < times && v.str->n; i++)
                        TRY(jinja_put(r, &b, *v.str));
                return jinja_value_str(r, jinja_built(&b), ret);
        }
        size_t total;
        if (__builtin_mul_overflow(v.seq->n, (size_t) times, &total) || total > SIZE_MAX / sizeof(Value))
                return jinja_fail(r, -E2BIG, "a list of more than 2^60 elements");
        TRY(jinja_step(r, total < SIZE_MAX / 16 ? total * 16 : SIZE_MAX));
        TRY(jinja_seq_new(r, v.seq->kind, total, &s));
        for (size_t i = 0; i < total; i++)
                s->items[i] = v.seq->items[i % v.seq->n];
        s->data = v.seq->data;
        *ret = value_seq(s);
        return 0;
}

static bool joinable(Value v) {
        return v.kind == VALUE_SEQ && v.seq->kind <= SEQ_TUPLE;
}

int jinja_binary(Run *r, Operator op, Value a, Value b, Value *ret) {
        bool data = a.data || b.data;

        if (is_integral(a) && is_integral(b))
                return int_op(r, op, as_int(a), as_int(b), data, ret);
        if (is_number(a) && is_number(b))
                return float_op(r, op, as_float(a), as_float(b), data, ret);
        if (op == OP_ADD && is_str(a) && is_str(b))
                return concat(r, *a.str, *b.str, ret);
        if (op == OP_ADD && joinable(a) && joinable(b) && a.seq->kind == b.seq->kind)
                return join_seqs(r, a.seq, b.seq, ret);
        if (op == OP_MUL && (is_str(a) || joinable(a)) && is_integral(b))
                return repeat(r, a, as_int(b), ret);
        if (op == OP_MUL && (is_str(b) || joinable(b)) && is_integral(a))
                return repeat(r, b, as_int(a), ret);
        if (op == OP_MOD && is_str(a) && !is_undefined(b))
                return jinja_percent(r, *a.str, b, ret);
        return unfit(r, op, a, b);
}

int jinja_negate(Run *r, bool minus, Value v, Value *ret) {
        if (is_integral(v))
                return int_op(r, minus ? OP_SUB : OP_ADD, 0, as_int(v), v.data, ret);
        if (v.kind == VALUE_FLOAT) {
                *ret = value_float(minus ? -v.f : v.f, v.data);
                return 0;
        }
        return jinja_fail(r, -EBADMSG, "%s", is_undefined(v) && v.why ? v.why : "the sign of what is not a number");
}

int jinja_contains(Run *r, Value container, Value item) {
        Value v;

        switch ((ValueKind) container.kind) {
        case VALUE_STR:
                if (!is_str(item))
                        return jinja_fail(r, -EBADMSG, "'in' a str: a str expected, a %s given", jinja_type_name(item));
                TRY(jinja_step(r, container.str->n));
                return jinja_find(*container.str, *item.str, 0) != SIZE_MAX;
        case VALUE_DICT:
                if (!jinja_hashable(item))
                        return jinja_fail(r, -EBADMSG, "a %s cannot be a key", jinja_type_name(item));
                return jinja_dict_get(r, container.dict, item, &v);
        case VALUE_SEQ: case VALUE_UNDEFINED: {
                Seq *s;
                TRY(jinja_elements(r, container, &s));
                for (size_t i = 0; i < s->n; i++)
                        if (TRY(jinja_equal(r, s->items[i], item)))
                                return 1;
                return 0;
        }
        default:
                return jinja_fail(r, -EBADMSG, "'in': a %s contains nothing", jinja_type_name(container));
        }
}

/* Byte places of the characters of a text, with one more for its end; for slices. */
static int places(Run *r, Str t, size_t **ret, size_t *ret_n) {
        size_t n = jinja_chars(t), k = 0;
        size_t *p = jinja_alloc_array(&r->arena, n + 1, sizeof(size_t));

        if (!p)
                return jinja_no_memory(r);
        TRY(jinja_step(r, t.n * 8));
        for (size_t i = 0; i < t.n; i += jinja_char(t, i, NULL))
                p[k++] = i;
        p[k] = t.n;
        *ret = p;
        *ret_n = n;
        return 0;
}

static int64_t clamp(int64_t i, int64_t low, int64_t high) {
        return i < low ? low : i > high ? high : i;
}

/* Python's slice.indices(): first element, step, how many. */
static int indices(Run *r, int64_t length, Value from, Value to, Value by, int64_t *ret_first, int64_t *ret_step, int64_t *ret_n) {
        int64_t step, first, last;

        TRY(jinja_want_int(r, "slice", by, 1, &step));
        if (step == 0)
                return jinja_fail(r, -EBADMSG, "a slice's step is 0");
        step = clamp(step, -INT64_MAX, INT64_MAX);
        int64_t low = step < 0 ? -1 : 0, high = step < 0 ? length - 1 : length;
        TRY(jinja_want_int(r, "slice", from, step < 0 ? INT64_MAX : 0, &first));
        TRY(jinja_want_int(r, "slice", to, step < 0 ? INT64_MIN : INT64_MAX, &last));
        bool to_start = step < 0 && last == INT64_MIN;
        first = clamp(first < 0 ? first + length : first, low, high);
        last = to_start ? -1 : clamp(last < 0 ? clamp(last, -length - 1, 0) + length : last, low, high);
        *ret_first = first;
        *ret_step = step;
        *ret_n = step > 0 ? (last > first ? (last - first - 1) / step + 1 : 0) : (first > last ? (first - last - 1) / -step + 1 : 0);
        return 0;
}

int jinja_slice(Run *r, Value v, Value from, Value to, Value by, Value *ret) {
        int64_t first, step, n;
        Seq *s;

        if (is_str(v)) {
                size_t *at, length;
                TRY(places(r, *v.str, &at, &length));
                TRY(indices(r, (int64_t) length, from, to, by, &first, &step, &n));
                if (step == 1)
                        return jinja_value_str(r, n ? jinja_part(*v.str, at[first], at[first + n]) : STR(""), ret);
                Builder b = { .arena = &r->arena };
                for (int64_t i = 0, k = first; i < n; i++, k += i < n ? step : 0)
                        TRY(jinja_put(r, &b, jinja_part(*v.str, at[k], at[k + 1])));
                return jinja_value_str(r, jinja_built(&b), ret);
        }
        if (v.kind != VALUE_SEQ || v.seq->kind > SEQ_RANGE) {
                if (is_undefined(v))
                        return jinja_fail(r, -EBADMSG, "%s", v.why ?: "a value is undefined");
                return jinja_undefined(r, ret, "a %s has no slices", jinja_type_name(v));
        }
        TRY(indices(r, (int64_t) v.seq->n, from, to, by, &first, &step, &n));
        TRY(jinja_step(r, (size_t) n * 16));
        TRY(jinja_seq_new(r, v.seq->kind, (size_t) n, &s));
        for (int64_t i = 0, k = first; i < n; i++, k += i < n ? step : 0)
                s->items[i] = v.seq->items[k];
        s->data = v.seq->data;
        *ret = value_seq(s);
        return 0;
}

int jinja_item(Run *r, Value v, Value key, Value *ret) {
        if (is_undefined(v))
                return jinja_fail(r, -EBADMSG, "%s", v.why ?: "a value is undefined");
        if (v.kind == VALUE_DICT && jinja_hashable(key) && TRY(jinja_dict_get(r, v.dict, key, ret)))
                return 0;
        if (v.kind == VALUE_SEQ && v.seq->kind <= SEQ_RANGE && is_integral(key)) {
                int64_t i = as_int(key), n = (int64_t) v.seq->n;
                if (i < n && i >= -n) {
                        *ret = v.seq->items[i < 0 ? i + n : i];
                        return 0;
                }
        } else if (is_str(v) && is_integral(key)) {
                size_t *at, n;
                TRY(places(r, *v.str, &at, &n));
                int64_t i = as_int(key), length = (int64_t) n;
                if (i < length && i >= -length) {
                        i = i < 0 ? i + length : i;
                        return jinja_value_char(r, *v.str, at[i], at[i + 1], ret);
                }
        } else if (is_str(key) && v.kind != VALUE_DICT)
                return jinja_attribute(r, v, *key.str, ret);
        if (is_str(key)) {
                const Builtin *method = jinja_builtin_find(jinja_dict_methods, *key.str);
                if (method && method->run)
                        return jinja_builtin_value(r, method, v, ret);
                return jinja_undefined(r, ret, "'%s object' has no attribute '%.*s'", jinja_type_name(v),
                                       (int) MIN(key.str->n, (size_t) 100), key.str->s);
        }
        return jinja_undefined(r, ret, "%s object has no such element", jinja_type_name(v));
}
