/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what may follow `is`. */

#include <errno.h>

#include "engine/text/jinja/run.h"
#include "engine/text/jinja/unicode.h"

#define TEST(name) static int name(Run *r, Value v, const Value *p, const Args *all, Value *ret)
#define KIND_TEST(name, holds)                  \
        TEST(name) {                            \
                *ret = value_bool(holds);       \
                return 0;                       \
        }

KIND_TEST(test_defined, !is_undefined(v))
KIND_TEST(test_undefined, is_undefined(v))
KIND_TEST(test_none, v.kind == VALUE_NONE)
KIND_TEST(test_boolean, v.kind == VALUE_BOOL)
KIND_TEST(test_true, v.kind == VALUE_BOOL && v.b)
KIND_TEST(test_false, v.kind == VALUE_BOOL && !v.b)
KIND_TEST(test_integer, v.kind == VALUE_INT || v.kind == VALUE_BIG)
KIND_TEST(test_float, v.kind == VALUE_FLOAT)
KIND_TEST(test_number, is_number(v) || v.kind == VALUE_BIG)
KIND_TEST(test_string, is_str(v))
KIND_TEST(test_mapping, v.kind == VALUE_DICT)
KIND_TEST(test_sequence, is_str(v) || v.kind == VALUE_DICT || is_undefined(v) || (v.kind == VALUE_SEQ && v.seq->kind <= SEQ_RANGE))
KIND_TEST(test_iterable, jinja_iterable(v))
KIND_TEST(test_callable, v.kind == VALUE_CALLABLE || v.kind == VALUE_LOOP || is_undefined(v))
KIND_TEST(test_escaped, is_str(v) && v.str->safe)

static int remainder_is(Run *r, Value v, Value by, int64_t want, Value *ret) {
        Value rest;
        TRY(jinja_binary(r, OP_MOD, v, by, &rest));
        *ret = value_bool(is_number(rest) && as_float(rest) == (double) want);
        return 0;
}

TEST(test_odd) { return remainder_is(r, v, value_int(2, false), 1, ret); }
TEST(test_even) { return remainder_is(r, v, value_int(2, false), 0, ret); }
TEST(test_divisibleby) { return remainder_is(r, v, p[0], 0, ret); }

static int order(Run *r, Value v, Value other, bool less, bool equal, bool more, Value *ret) {
        int c;
        TRY(jinja_compare(r, v, other, &c));
        *ret = value_bool((c == -1 && less) || (c == 0 && equal) || (c == 1 && more));
        return 0;
}

TEST(test_lt) { return order(r, v, p[0], true, false, false, ret); }
TEST(test_le) { return order(r, v, p[0], true, true, false, ret); }
TEST(test_gt) { return order(r, v, p[0], false, false, true, ret); }
TEST(test_ge) { return order(r, v, p[0], false, true, true, ret); }

TEST(test_eq) {
        *ret = value_bool(TRY(jinja_equal(r, v, p[0])));
        return 0;
}

TEST(test_ne) {
        *ret = value_bool(!TRY(jinja_equal(r, v, p[0])));
        return 0;
}

TEST(test_in) {
        *ret = value_bool(TRY(jinja_contains(r, p[0], v)));
        return 0;
}

/* Identity: for what is small, equality of kind and value; for containers, being the very same. */
TEST(test_sameas) {
        bool same = v.kind == p[0].kind;
        if (same && v.kind == VALUE_SEQ)
                same = v.seq == p[0].seq;
        else if (same && v.kind == VALUE_DICT)
                same = v.dict == p[0].dict;
        else if (same)
                same = TRY(jinja_equal(r, v, p[0]));
        *ret = value_bool(same);
        return 0;
}

static int has_case(Run *r, Value v, bool upper, Value *ret) {
        bool cased = false, other = false;
        uint32_t c;
        Str t;

        TRY(jinja_text(r, v, &t));
        TRY(jinja_step(r, t.n));
        for (size_t i = 0; i < t.n; i += jinja_char(t, i, &c), cased |= upper ? jinja_is_upper(c) : jinja_is_lower(c),
             other |= upper ? jinja_is_lower(c) : jinja_is_upper(c))
                ;
        *ret = value_bool(cased && !other);
        return 0;
}

TEST(test_lower) { return has_case(r, v, false, ret); }
TEST(test_upper) { return has_case(r, v, true, ret); }

static bool named(const Builtin *table, Value v) {
        return is_str(v) && jinja_builtin_find(table, *v.str);
}

KIND_TEST(test_filter, named(jinja_text_filters, v) || named(jinja_sequence_filters, v))
KIND_TEST(test_test, named(jinja_tests, v))

const Builtin jinja_tests[] = {
        { "defined", test_defined, "" }, { "undefined", test_undefined, "" }, { "none", test_none, "" },
        { "boolean", test_boolean, "" }, { "true", test_true, "" }, { "false", test_false, "" },
        { "integer", test_integer, "" }, { "float", test_float, "" }, { "number", test_number, "" },
        { "string", test_string, "" }, { "mapping", test_mapping, "" }, { "sequence", test_sequence, "" },
        { "iterable", test_iterable, "" }, { "callable", test_callable, "" }, { "escaped", test_escaped, "" },
        { "odd", test_odd, "" }, { "even", test_even, "" }, { "divisibleby", test_divisibleby, "num" },
        { "eq", test_eq, "other" }, { "equalto", test_eq, "other" }, { "==", test_eq, "other" },
        { "ne", test_ne, "other" }, { "!=", test_ne, "other" },
        { "lt", test_lt, "other" }, { "lessthan", test_lt, "other" }, { "<", test_lt, "other" },
        { "le", test_le, "other" }, { "<=", test_le, "other" },
        { "gt", test_gt, "other" }, { "greaterthan", test_gt, "other" }, { ">", test_gt, "other" },
        { "ge", test_ge, "other" }, { ">=", test_ge, "other" },
        { "in", test_in, "seq" }, { "sameas", test_sameas, "other" },
        { "lower", test_lower, "" }, { "upper", test_upper, "" }, { "filter", test_filter, "" }, { "test", test_test, "" },
        {},
};
