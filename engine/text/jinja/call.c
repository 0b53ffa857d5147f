/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how names reach behaviour: attributes, methods, filters, tests, functions, all from tables, so that what a
 * template can reach is what the tables say. What would change a value is there without a function: as in Jinja's
 * immutable sandbox, looking it up gives undefined, and using that is an error. */

#include <errno.h>

#include "engine/text/jinja/run.h"

const Builtin *jinja_builtin_find(const Builtin *table, Str name) {
        for (; table->name; table++)
                if (str_is(name, table->name))
                        return table;
        return NULL;
}

int jinja_builtin_value(Run *r, const Builtin *b, Value self, Value *ret) {
        Callable *c = jinja_alloc(&r->arena, sizeof(Callable));
        if (!c)
                return jinja_no_memory(r);
        c->builtin = b;
        c->self = self;
        *ret = (Value) { .kind = VALUE_CALLABLE, .callable = c };
        return 0;
}

/* Spreads arguments over the parameters that the table lists. */
int jinja_builtin_call(Run *r, const Builtin *b, Value self, const Args *args, Value *ret) {
        Value p[BUILTIN_PARAMETERS_MAX] = {};
        size_t n_named = 0, i = 0;

        TRY(jinja_step(r, 0));
        if (!b->parameters)
                return b->run(r, self, NULL, args, ret);
        for (const char *word = b->parameters; *word; i++) {
                bool optional = *word == '=';
                word += optional;
                size_t n = strcspn(word, " ");
                Str name = str_of(word, n, false);

                if (i < args->n)
                        p[i] = args->values[i];
                for (size_t k = 0; k < args->n_named; k++)
                        if (jinja_str_equal(args->names[k], name)) {
                                if (p[i].kind != VALUE_ABSENT)
                                        return jinja_fail(r, -EBADMSG, "%s: '%.*s' is given twice", b->name, (int) n, word);
                                p[i] = args->named[k];
                                n_named++;
                        }
                if (p[i].kind == VALUE_ABSENT && !optional)
                        return jinja_fail(r, -EBADMSG, "%s: '%.*s' is missing", b->name, (int) n, word);
                word += n + (word[n] == ' ');
        }
        if (args->n > i)
                return jinja_fail(r, -EBADMSG, "%s: %zu arguments at most, %zu given", b->name, i, args->n);
        if (n_named != args->n_named)
                return jinja_fail(r, -EBADMSG, "%s: an argument of a name that it does not have", b->name);
        return b->run(r, self, p, args, ret);
}

static int unknown(Run *r, const char *what, Str name) {
        return jinja_fail(r, -EBADMSG, "no %s named '%.*s'", what, (int) MIN(name.n, (size_t) 100), name.s);
}

int jinja_filter(Run *r, Str name, Value v, const Args *args, Value *ret) {
        const Builtin *b = jinja_builtin_find(jinja_text_filters, name) ?: jinja_builtin_find(jinja_sequence_filters, name);
        return b ? jinja_builtin_call(r, b, v, args, ret) : unknown(r, "filter", name);
}

int jinja_test(Run *r, Str name, Value v, const Args *args) {
        const Builtin *b = jinja_builtin_find(jinja_tests, name);
        Value holds;

        if (!b)
                return unknown(r, "test", name);
        TRY(jinja_builtin_call(r, b, v, args, &holds));
        return jinja_true(holds);
}

int jinja_call(Run *r, Value callee, const Args *args, Value *ret) {
        TRY(jinja_step(r, 0));
        if (callee.kind == VALUE_LOOP)
                return jinja_loop_call(r, callee.loop, args, ret);
        if (is_undefined(callee))
                return jinja_fail(r, -EBADMSG, "%s", callee.why ?: "what is called is undefined");
        if (callee.kind != VALUE_CALLABLE)
                return jinja_fail(r, -EBADMSG, "a %s cannot be called", jinja_type_name(callee));
        const Callable *c = callee.callable;
        return c->macro ? jinja_macro_call(r, c, args, ret) : jinja_builtin_call(r, c->builtin, c->self, args, ret);
}

/* The method of that name: 1 where *ret is it, or an undefined for what a template may not do. */
static int method(Run *r, const Builtin *table, Value v, Str name, Value *ret) {
        const Builtin *b = jinja_builtin_find(table, name);
        if (!b)
                return 0;
        if (b->run)
                TRY(jinja_builtin_value(r, b, v, ret));
        else
                TRY(jinja_undefined(r, ret, "access to attribute '%s' of a %s is unsafe", b->name, jinja_type_name(v)));
        return 1;
}

static int loop_attribute(Run *r, Loop *loop, Str name, Value *ret) {
        const struct { const char *name; int64_t value; } numbers[] = {
                { "index", (int64_t) loop->i + 1 }, { "index0", (int64_t) loop->i }, { "length", (int64_t) loop->items->n },
                { "revindex", (int64_t) (loop->items->n - loop->i) }, { "revindex0", (int64_t) (loop->items->n - loop->i) - 1 },
                { "depth", loop->depth + 1 }, { "depth0", loop->depth },
        };
        bool first = loop->i == 0, last = loop->i + 1 >= loop->items->n;

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (str_is(name, numbers[i].name)) {
                        *ret = value_int(numbers[i].value, false);
                        return 1;
                }
        if (str_is(name, "first") || str_is(name, "last"))
                *ret = value_bool(name.s[0] == 'f' ? first : last);
        else if (str_is(name, "previtem")) {
                if (first)
                        TRY(jinja_undefined(r, ret, "there is no previous item"));
                else
                        *ret = loop->items->items[loop->i - 1];
        } else if (str_is(name, "nextitem")) {
                if (last)
                        TRY(jinja_undefined(r, ret, "there is no next item"));
                else
                        *ret = loop->items->items[loop->i + 1];
        } else
                return method(r, jinja_loop_methods, (Value) { .kind = VALUE_LOOP, .loop = loop }, name, ret);
        return 1;
}

static bool private(Str name) {
        return name.n > 2 && name.s[0] == '_' && name.s[1] == '_';
}

int jinja_attribute(Run *r, Value v, Str name, Value *ret) {
        int found = 0;

        TRY(jinja_step(r, 0));
        if (is_undefined(v))
                return jinja_fail(r, -EBADMSG, "%s", v.why ?: "a value is undefined");
        if (private(name))
                return jinja_undefined(r, ret, "access to attribute '%.*s' is unsafe", (int) MIN(name.n, (size_t) 100), name.s);
        switch ((ValueKind) v.kind) {
        case VALUE_STR:
                found = TRY(method(r, jinja_str_methods, v, name, ret)) || TRY(method(r, jinja_str_query_methods, v, name, ret));
                break;
        case VALUE_DICT:
                found = TRY(method(r, jinja_dict_methods, v, name, ret)) || TRY(jinja_dict_get_text(r, v.dict, name, ret));
                break;
        case VALUE_NAMESPACE:
                found = TRY(jinja_dict_get_text(r, v.dict, name, ret));
                break;
        case VALUE_SEQ:
                if (v.seq->kind <= SEQ_TUPLE)
                        found = TRY(method(r, jinja_list_methods, v, name, ret));
                break;
        case VALUE_LOOP:
                found = TRY(loop_attribute(r, v.loop, name, ret));
                break;
        case VALUE_CALLABLE:
                found = v.callable->state.kind == VALUE_NAMESPACE && TRY(jinja_dict_get_text(r, v.callable->state.dict, name, ret));
                break;
        default:
                break;
        }
        return found ? 0 : jinja_undefined(r, ret, "'%s object' has no attribute '%.*s'", jinja_type_name(v),
                                           (int) MIN(name.n, (size_t) 100), name.s);
}
