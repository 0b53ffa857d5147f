/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the value of an expression. A walk over the tree: templates are short and run once per turn, so nothing faster
 * would be felt. */

#include <errno.h>

#include "engine/text/jinja/run.h"

static size_t count(const Node *list) {
        size_t n = 0;
        for (; list; list = list->next)
                n++;
        return n;
}

static int eval_seq(Run *r, const Env *env, const Node *n, SeqKind kind, Value *ret) {
        Seq *s;

        TRY(jinja_seq_new(r, kind, count(n->a), &s));
        size_t i = 0;
        for (const Node *e = n->a; e; e = e->next)
                TRY(jinja_eval(r, env, e, s->items + i++));
        *ret = value_seq(s);
        return 0;
}

static int eval_dict(Run *r, const Env *env, const Node *n, Value *ret) {
        Value key, v;
        Dict *d;

        TRY(jinja_dict_new(r, &d));
        for (const Node *e = n->a; e; e = e->next) {
                TRY(jinja_eval(r, env, e->a, &key));
                TRY(jinja_eval(r, env, e->b, &v));
                TRY(jinja_dict_set(r, d, key, v));
        }
        *ret = value_dict(d);
        return 0;
}

static int compare(Run *r, Operator op, Value a, Value b) {
        int c;

        switch (op) {
        case OP_EQ:
                return jinja_equal(r, a, b);
        case OP_NE:
                return !TRY(jinja_equal(r, a, b));
        case OP_IN:
                return jinja_contains(r, b, a);
        case OP_NOT_IN:
                return !TRY(jinja_contains(r, b, a));
        default:
                TRY(jinja_compare(r, a, b, &c));
                return c != 2 && (op == OP_LT ? c < 0 : op == OP_LE ? c <= 0 : op == OP_GT ? c > 0 : c >= 0);
        }
}

static int eval_compare(Run *r, const Env *env, const Node *n, Value *ret) {
        Value left, right;
        int holds = 1;

        TRY(jinja_eval(r, env, n->a, &left));
        for (const Node *o = n->b; o && holds; o = o->next) {
                TRY(jinja_eval(r, env, o->a, &right));
                holds = TRY(compare(r, o->op, left, right));
                left = right;
        }
        *ret = value_bool(holds);
        return 0;
}

static int eval_concat(Run *r, const Env *env, const Node *n, Value *ret) {
        Builder b = { .arena = &r->arena };
        Value v;

        for (const Node *part = n->a; part; part = part->next) {
                TRY(jinja_eval(r, env, part, &v));
                TRY(jinja_print(r, v, &b));
        }
        return jinja_value_str(r, jinja_built(&b), ret);
}

static int eval_cond(Run *r, const Env *env, const Node *n, Value *ret) {
        Value v;

        TRY(jinja_eval(r, env, n->b, &v));
        if (jinja_true(v))
                return jinja_eval(r, env, n->a, ret);
        return n->c ? jinja_eval(r, env, n->c, ret) : jinja_undefined(r, ret, "an inline if was false and has no else");
}

static int eval_item(Run *r, const Env *env, const Node *n, Value *ret) {
        Value v, key, parts[3] = { NONE, NONE, NONE };

        TRY(jinja_eval(r, env, n->a, &v));
        if (n->b->kind != NODE_SLICE) {
                TRY(jinja_eval(r, env, n->b, &key));
                return jinja_item(r, v, key, ret);
        }
        const Node *nodes[] = { n->b->a, n->b->b, n->b->c };
        for (size_t i = 0; i < 3; i++)
                if (nodes[i])
                        TRY(jinja_eval(r, env, nodes[i], parts + i));
        return jinja_slice(r, v, parts[0], parts[1], parts[2], ret);
}

/* Grows by what * and ** bring. */
static int spread(Run *r, const Node *k, Value v, Args *args) {
        Seq *s;

        if (k->op == 1) {
                TRY(jinja_elements(r, v, &s));
                Value *values = jinja_alloc_array(&r->arena, args->n + s->n, sizeof(Value));
                if (!values)
                        return jinja_no_memory(r);
                if (args->n)
                        memcpy(values, args->values, args->n * sizeof(Value));
                if (s->n)
                        memcpy(values + args->n, s->items, s->n * sizeof(Value));
                args->values = values;
                args->n += s->n;
                return jinja_step(r, args->n);
        }
        if (v.kind != VALUE_DICT)
                return jinja_fail(r, -EBADMSG, "** needs a dict, a %s given", jinja_type_name(v));
        size_t total = args->n_named + v.dict->n;
        Str *names = jinja_alloc_array(&r->arena, total, sizeof(Str));
        Value *named = jinja_alloc_array(&r->arena, total, sizeof(Value));
        if (!names || !named)
                return jinja_no_memory(r);
        for (size_t i = 0; i < total; i++) {
                const DictEntry *e = i < args->n_named ? NULL : v.dict->entries + (i - args->n_named);
                if (e && !is_str(e->key))
                        return jinja_fail(r, -EBADMSG, "** needs keys that are texts");
                names[i] = e ? *e->key.str : args->names[i];
                named[i] = e ? e->value : args->named[i];
        }
        args->names = names;
        args->named = named;
        args->n_named = total;
        return jinja_step(r, total);
}

static int eval_args(Run *r, const Env *env, const Node *n, size_t more, Args *ret) {
        Args args = {};
        size_t n_named = more;

        for (const Node *k = n->keywords; k; k = k->next)
                n_named += k->op == 0;
        args.values = jinja_alloc_array(&r->arena, count(n->args), sizeof(Value));
        args.names = jinja_alloc_array(&r->arena, n_named, sizeof(Str));
        args.named = jinja_alloc_array(&r->arena, n_named, sizeof(Value));
        if (!args.values || !args.names || !args.named)
                return jinja_no_memory(r);
        for (const Node *a = n->args; a; a = a->next)
                TRY(jinja_eval(r, env, a, args.values + args.n++));
        for (const Node *k = n->keywords; k; k = k->next) {
                Value v;
                TRY(jinja_eval(r, env, k->a, &v));
                if (k->op) {
                        TRY(spread(r, k, v, &args));
                        continue;
                }
                args.names[args.n_named] = k->text;
                args.named[args.n_named++] = v;
        }
        *ret = args;
        return 0;
}

static int eval_call(Run *r, const Env *env, const Node *n, Value caller, Value *ret) {
        Value callee;
        Args args;

        TRY(jinja_eval(r, env, n->a, &callee));
        TRY(eval_args(r, env, n, 1, &args));
        if (caller.kind != VALUE_ABSENT) {
                /* After ** there may be no room left: the arrays are made anew by spread(). */
                Str *names = jinja_alloc_array(&r->arena, args.n_named + 1, sizeof(Str));
                Value *named = jinja_alloc_array(&r->arena, args.n_named + 1, sizeof(Value));
                if (!names || !named)
                        return jinja_no_memory(r);
                if (args.n_named) {
                        memcpy(names, args.names, args.n_named * sizeof(Str));
                        memcpy(named, args.named, args.n_named * sizeof(Value));
                }
                names[args.n_named] = STR("caller");
                named[args.n_named++] = caller;
                args.names = names;
                args.named = named;
        }
        r->line = n->line;
        return jinja_call(r, callee, &args, ret);
}

static int eval_filter(Run *r, const Env *env, const Node *n, Value block, Value *ret) {
        Value v = block;
        Args args;

        if (n->a)
                TRY(n->a->kind == NODE_FILTER ? eval_filter(r, env, n->a, block, &v) : jinja_eval(r, env, n->a, &v));
        TRY(eval_args(r, env, n, 0, &args));
        r->line = n->line;
        return jinja_filter(r, n->text, v, &args, ret);
}

static int eval_test(Run *r, const Env *env, const Node *n, Value *ret) {
        Args args;
        Value v;

        TRY(jinja_eval(r, env, n->a, &v));
        TRY(eval_args(r, env, n, 0, &args));
        r->line = n->line;
        *ret = value_bool(TRY(jinja_test(r, n->text, v, &args)));
        return 0;
}

static int eval(Run *r, const Env *env, const Node *n, Value *ret) {
        Value a, b;

        switch ((NodeKind) n->kind) {
        case NODE_CONST:
                *ret = n->value;
                return 0;
        case NODE_NAME:
                return jinja_lookup(r, env, n->name, ret);
        case NODE_LIST:
                return eval_seq(r, env, n, SEQ_LIST, ret);
        case NODE_TUPLE:
                return eval_seq(r, env, n, SEQ_TUPLE, ret);
        case NODE_DICT:
                return eval_dict(r, env, n, ret);
        case NODE_NOT:
                TRY(jinja_eval(r, env, n->a, &a));
                *ret = value_bool(!jinja_true(a));
                return 0;
        case NODE_NEG: case NODE_POS:
                TRY(jinja_eval(r, env, n->a, &a));
                return jinja_negate(r, n->kind == NODE_NEG, a, ret);
        case NODE_AND: case NODE_OR:
                TRY(jinja_eval(r, env, n->a, ret));
                return jinja_true(*ret) == (n->kind == NODE_AND) ? jinja_eval(r, env, n->b, ret) : 0;
        case NODE_BINARY:
                TRY(jinja_eval(r, env, n->a, &a));
                TRY(jinja_eval(r, env, n->b, &b));
                return jinja_binary(r, n->op, a, b, ret);
        case NODE_COMPARE:
                return eval_compare(r, env, n, ret);
        case NODE_CONCAT:
                return eval_concat(r, env, n, ret);
        case NODE_COND:
                return eval_cond(r, env, n, ret);
        case NODE_ATTRIBUTE:
                TRY(jinja_eval(r, env, n->a, &a));
                return jinja_attribute(r, a, n->text, ret);
        case NODE_ITEM:
                return eval_item(r, env, n, ret);
        case NODE_CALL:
                return eval_call(r, env, n, ABSENT, ret);
        case NODE_FILTER:
                return eval_filter(r, env, n, ABSENT, ret);
        case NODE_TEST:
                return eval_test(r, env, n, ret);
        default:
                return jinja_fail(r, -EBADMSG, "not an expression");
        }
}

int jinja_eval(Run *r, const Env *env, const Node *n, Value *ret) {
        TRY(jinja_step(r, 0));
        TRY(jinja_enter(r));
        r->line = n->line;
        int status = eval(r, env, n, ret);
        jinja_leave(r);
        return status;
}

int jinja_eval_call(Run *r, const Env *env, const Node *call, Value caller, Value *ret) {
        return eval_call(r, env, call, caller, ret);
}

int jinja_eval_filters(Run *r, const Env *env, const Node *filters, Value v, Value *ret) {
        return eval_filter(r, env, filters, v, ret);
}
