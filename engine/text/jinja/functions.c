/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the functions that every template finds: Jinja's own, and the two that transformers adds (raise_exception,
 * strftime_now); besides them the methods of `loop`. */

#include <errno.h>

#include "engine/text/jinja/run.h"

#define RANGE_MAX 100000        /* elements, as Jinja's sandbox has it */

#define FUNCTION(name) static int name(Run *r, Value self, const Value *p, const Args *all, Value *ret)

FUNCTION(function_range) {
        int64_t from, to, step;
        Seq *s;

        TRY(jinja_want_int(r, "range", p[0], 0, &from));
        TRY(jinja_want_int(r, "range", p[1], from, &to));
        TRY(jinja_want_int(r, "range", p[2], 1, &step));
        if (p[1].kind == VALUE_ABSENT)
                from = 0;
        if (step == 0)
                return jinja_fail(r, -EBADMSG, "range: a step of 0");

        __int128 span = step > 0 ? (__int128) to - from : (__int128) from - to, by = step > 0 ? step : -(__int128) step;
        __int128 n = span <= 0 ? 0 : (span - 1) / by + 1;
        if (n > RANGE_MAX)
                return jinja_fail(r, -E2BIG, "range: more than %d elements", RANGE_MAX);
        TRY(jinja_step(r, (size_t) n * 16));
        TRY(jinja_seq_new(r, SEQ_RANGE, (size_t) n, &s));
        for (size_t i = 0; i < s->n; i++)
                s->items[i] = value_int(from + (int64_t) i * step, false);
        *ret = value_seq(s);
        return 0;
}

/* dict(…) and namespace(…): a mapping or pairs, then keywords. */
static int make_dict(Run *r, const char *what, const Args *all, Dict **ret) {
        Dict *d;
        Seq *pairs, *pair;
        Value key;

        if (all->n > 1)
                return jinja_fail(r, -EBADMSG, "%s: one argument at most", what);
        TRY(jinja_dict_new(r, &d));
        if (all->n == 1 && all->values[0].kind == VALUE_DICT) {
                const Dict *from = all->values[0].dict;
                for (size_t i = 0; i < from->n; i++)
                        TRY(jinja_dict_set(r, d, from->entries[i].key, from->entries[i].value));
                d->data = from->data;
        } else if (all->n == 1) {
                TRY(jinja_elements(r, all->values[0], &pairs));
                for (size_t i = 0; i < pairs->n; i++) {
                        TRY(jinja_elements(r, pairs->items[i], &pair));
                        if (pair->n != 2)
                                return jinja_fail(r, -EBADMSG, "%s: pairs expected", what);
                        TRY(jinja_dict_set(r, d, pair->items[0], pair->items[1]));
                }
        }
        for (size_t i = 0; i < all->n_named; i++) {
                TRY(jinja_value_str(r, all->names[i], &key));
                TRY(jinja_dict_set(r, d, key, all->named[i]));
        }
        *ret = d;
        return 0;
}

FUNCTION(function_dict) {
        Dict *d;
        TRY(make_dict(r, "dict", all, &d));
        *ret = value_dict(d);
        return 0;
}

FUNCTION(function_namespace) {
        Dict *d;
        TRY(make_dict(r, "namespace", all, &d));
        *ret = (Value) { .kind = VALUE_NAMESPACE, .dict = d };
        return 0;
}

FUNCTION(function_raise_exception) {
        Str t;
        TRY(jinja_text(r, p[0], &t));
        return jinja_fail(r, -EPROTO, "%.*s", (int) MIN(t.n, (size_t) ENGINE_ERROR_MAX), t.s);
}

FUNCTION(function_strftime_now) {
        char format[256], text[1024];
        struct tm tm;
        Str t;

        TRY(jinja_want_str(r, "strftime_now", p[0], &t));
        if (t.n >= sizeof format)
                return jinja_fail(r, -EBADMSG, "strftime_now: a format of more than %zu bytes", sizeof format - 1);
        memcpy(format, t.s, t.n);
        format[t.n] = 0;
        if (!localtime_r(&r->now, &tm))
                return jinja_fail(r, -EBADMSG, "strftime_now: the time has no date");
        /* The format is the template's, and bounded: strftime() reads nothing but tm. */
        #pragma GCC diagnostic push
        #pragma GCC diagnostic ignored "-Wformat-nonliteral"
        size_t n = strftime(text, sizeof text, format, &tm);
        #pragma GCC diagnostic pop
        char *copy = jinja_alloc(&r->arena, n);
        if (!copy)
                return jinja_no_memory(r);
        memcpy(copy, text, n);
        return jinja_value_str(r, str_of(copy, n, jinja_any_data(t)), ret);
}

/* joiner and cycler keep their state in a namespace of their own. */
static int stateful(Run *r, const Builtin *b, Value items, Value *ret) {
        Callable *c = jinja_alloc(&r->arena, sizeof(Callable));
        Dict *d;

        if (!c)
                return jinja_no_memory(r);
        TRY(jinja_dict_new(r, &d));
        TRY(jinja_dict_set_text(r, d, "items", items));
        TRY(jinja_dict_set_text(r, d, "at", value_int(0, false)));
        *c = (Callable) { .builtin = b, .self = { .kind = VALUE_NAMESPACE, .dict = d } };
        *ret = (Value) { .kind = VALUE_CALLABLE, .callable = c };
        return 0;
}

FUNCTION(call_joiner) {
        Value at, items;
        TRY(jinja_dict_get_text(r, self.dict, STR("at"), &at));
        TRY(jinja_dict_get_text(r, self.dict, STR("items"), &items));
        TRY(jinja_dict_set_text(r, self.dict, "at", value_int(1, false)));
        if (at.i == 0)
                return jinja_value_str(r, STR(""), ret);
        *ret = items;
        return 0;
}

FUNCTION(function_joiner) {
        static const Builtin joiner = { "joiner", call_joiner, "" };
        Value separator = p[0];
        if (separator.kind == VALUE_ABSENT)
                TRY(jinja_value_str(r, STR(", "), &separator));
        return stateful(r, &joiner, separator, ret);
}

static int cycler_state(Run *r, Value self, Value *ret_at, Value *ret_items) {
        TRY(jinja_dict_get_text(r, self.dict, STR("at"), ret_at));
        return jinja_dict_get_text(r, self.dict, STR("items"), ret_items);
}

FUNCTION(cycler_next) {
        Value at, items;
        TRY(cycler_state(r, self, &at, &items));
        *ret = items.seq->items[at.i];
        return jinja_dict_set_text(r, self.dict, "at", value_int((at.i + 1) % (int64_t) items.seq->n, false));
}

FUNCTION(cycler_reset) {
        *ret = NONE;
        return jinja_dict_set_text(r, self.dict, "at", value_int(0, false));
}

FUNCTION(function_cycler) {
        static const Builtin next = { "next", cycler_next, "" }, reset = { "reset", cycler_reset, "" };
        Value state, method;
        Callable *c;
        Seq *items;
        Dict *d;

        if (all->n == 0)
                return jinja_fail(r, -EBADMSG, "cycler: nothing to cycle through");
        TRY(jinja_seq_new(r, SEQ_TUPLE, all->n, &items));
        memcpy(items->items, all->values, all->n * sizeof(Value));
        TRY(stateful(r, &next, value_seq(items), &state));
        TRY(jinja_dict_new(r, &d));
        TRY(jinja_dict_set_text(r, d, "next", state));
        TRY(jinja_builtin_value(r, &reset, state.callable->self, &method));
        TRY(jinja_dict_set_text(r, d, "reset", method));
        if (!(c = jinja_alloc(&r->arena, sizeof(Callable))))
                return jinja_no_memory(r);
        *c = (Callable) { .builtin = &next, .self = state.callable->self, .state = { .kind = VALUE_NAMESPACE, .dict = d } };
        *ret = (Value) { .kind = VALUE_CALLABLE, .callable = c };
        return 0;
}

FUNCTION(loop_cycle) {
        if (all->n == 0)
                return jinja_fail(r, -EBADMSG, "loop.cycle: nothing to cycle through");
        *ret = all->values[self.loop->i % all->n];
        return 0;
}

FUNCTION(loop_changed) {
        Seq *s;
        TRY(jinja_seq_new(r, SEQ_TUPLE, all->n, &s));
        if (all->n)
                memcpy(s->items, all->values, all->n * sizeof(Value));
        bool same = self.loop->changed.kind != VALUE_ABSENT && TRY(jinja_equal(r, self.loop->changed, value_seq(s)));
        self.loop->changed = value_seq(s);
        *ret = value_bool(!same);
        return 0;
}

const Builtin jinja_loop_methods[] = { { "cycle", loop_cycle, NULL }, { "changed", loop_changed, NULL }, {} };

const Builtin jinja_functions[] = {
        { "range", function_range, "start =stop =step" },
        { "dict", function_dict, NULL },
        { "namespace", function_namespace, NULL },
        { "raise_exception", function_raise_exception, "message" },
        { "strftime_now", function_strftime_now, "format" },
        { "joiner", function_joiner, "=sep" },
        { "cycler", function_cycler, NULL },
        {},
};

int jinja_define_globals(Run *r) {
        for (const Builtin *b = jinja_functions; b->name; b++) {
                uint32_t name = jinja_name_find(r->template, str_of(b->name, strlen(b->name), false));
                Value v;
                if (name == UINT32_MAX)
                        continue;
                TRY(jinja_builtin_value(r, b, NONE, &v));
                TRY(jinja_assign(r, &r->root, name, v));
        }
        return 0;
}
