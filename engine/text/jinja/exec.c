/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns statements: scopes, loops, macros, blocks whose output is caught. Scopes are Jinja's: `if` opens none, each turn
 * of a loop opens one, a macro sees where it was written, and only a namespace carries a value out. */

#include <errno.h>

#include "engine/text/chat-template.h"
#include "engine/text/jinja/run.h"

static int assign(Run *r, Env *env, const Node *target, Value v) {
        Seq *s;

        if (target->kind == NODE_NAME)
                return jinja_assign(r, env, target->name, v);
        if (target->kind == NODE_NAMESPACE_TARGET) {
                Value ns, key;
                TRY(jinja_lookup(r, env, target->name, &ns));
                if (ns.kind != VALUE_NAMESPACE)
                        return jinja_fail(r, -EBADMSG, "'%.*s' is not a namespace", (int) MIN(target->text.n, (size_t) 100),
                                          r->template->names[target->name].s);
                TRY(jinja_value_str(r, target->text, &key));
                return jinja_dict_set(r, ns.dict, key, v);
        }

        TRY(jinja_elements(r, v, &s));
        size_t i = 0;
        for (const Node *t = target->a; t; t = t->next, i++) {
                if (i == s->n)
                        return jinja_fail(r, -EBADMSG, "%zu values for more names", s->n);
                TRY(assign(r, env, t, s->items[i]));
        }
        return i == s->n ? 0 : jinja_fail(r, -EBADMSG, "%zu values for %zu names", s->n, i);
}

/* Scopes live in the arena: a macro made in one may be called after it. */
static int scope_new(Run *r, const Env *parent, Env **ret) {
        Env *env = jinja_alloc(&r->arena, sizeof(Env));
        if (!env)
                return jinja_no_memory(r);
        env->parent = parent;
        *ret = env;
        return 0;
}

/* Runs a body in a scope of its own and gives what it printed. */
static int capture(Run *r, const Env *parent, const Node *body, Value *ret) {
        Builder outside = r->out;
        size_t output_max = r->output_max;
        Env *env = NULL;

        TRY(scope_new(r, parent, &env));
        r->out = (Builder) { .arena = &r->arena };
        r->output_max = SIZE_MAX;       /* the arena's bound holds */
        int status = jinja_exec(r, env, body);
        Str text = jinja_built(&r->out);
        r->out = outside;
        r->output_max = output_max;
        return status < 0 ? status : jinja_value_str(r, text, ret);
}

/* An elif is an if alone in the other's else. */
static int exec_if(Run *r, Env *env, const Node *n) {
        do {
                Value v;
                TRY(jinja_step(r, 0));
                TRY(jinja_eval(r, env, n->a, &v));
                if (jinja_true(v))
                        return jinja_exec(r, env, n->body);
                n = n->otherwise;
        } while (n && n->kind == NODE_IF && !n->next);
        return jinja_exec(r, env, n);
}

/* The elements that the loop's own condition lets through. */
static int filtered(Run *r, const Env *env, const Node *n, const Seq *all, Seq **ret) {
        Seq *s;

        TRY(jinja_seq_new(r, SEQ_LIST, all->n, &s));
        s->n = 0;
        s->data = all->data;
        for (size_t i = 0; i < all->n; i++) {
                Env *scope = NULL;
                Value v;
                TRY(scope_new(r, env, &scope));
                TRY(assign(r, scope, n->a, all->items[i]));
                TRY(jinja_eval(r, scope, n->c, &v));
                if (jinja_true(v))
                        s->items[s->n++] = all->items[i];
        }
        *ret = s;
        return 0;
}

static int exec_loop(Run *r, const Env *env, const Node *n, Value over, unsigned depth) {
        Seq *items;

        TRY(jinja_elements(r, over, &items));
        if (n->c)
                TRY(filtered(r, env, n, items, &items));
        if (items->n == 0 && n->otherwise) {
                Env *scope = NULL;
                TRY(scope_new(r, env, &scope));
                return jinja_exec(r, scope, n->otherwise);
        }

        Loop *loop = jinja_alloc(&r->arena, sizeof(Loop));
        if (!loop)
                return jinja_no_memory(r);
        *loop = (Loop) { .items = items, .depth = depth, .node = n->flag ? n : NULL, .env = env };
        for (loop->i = 0; loop->i < items->n; loop->i++) {
                Env *turn = NULL;
                TRY(scope_new(r, env, &turn));
                TRY(jinja_step(r, 0));
                TRY(jinja_assign(r, turn, r->template->name_loop, (Value) { .kind = VALUE_LOOP, .loop = loop }));
                TRY(assign(r, turn, n->a, items->items[loop->i]));
                if (TRY(jinja_exec(r, turn, n->body)) == EXEC_BREAK)
                        break;
        }
        return EXEC_NEXT;
}

static int exec_for(Run *r, Env *env, const Node *n) {
        Value over;
        TRY(jinja_eval(r, env, n->b, &over));
        return exec_loop(r, env, n, over, 0);
}

/* loop(children), in a recursive loop: the loop again over these, as text. */
int jinja_loop_call(Run *r, const Loop *loop, const Args *args, Value *ret) {
        if (!loop->node)
                return jinja_fail(r, -EBADMSG, "only a loop marked 'recursive' can be called");
        if (args->n != 1)
                return jinja_fail(r, -EBADMSG, "loop(): one argument expected");
        if (r->calls == CHAT_TEMPLATE_DEPTH_MAX)
                return jinja_fail(r, -E2BIG, "calls are more than %u deep", CHAT_TEMPLATE_DEPTH_MAX);

        Builder outside = r->out;
        size_t output_max = r->output_max;
        r->out = (Builder) { .arena = &r->arena };
        r->output_max = SIZE_MAX;
        r->calls++;
        int status = exec_loop(r, loop->env, loop->node, args->values[0], loop->depth + 1);
        r->calls--;
        Str text = jinja_built(&r->out);
        r->out = outside;
        r->output_max = output_max;
        return status < 0 ? status : jinja_value_str(r, text, ret);
}

int jinja_macro_new(Run *r, const Env *env, const Node *macro, Value *ret) {
        Callable *c = jinja_alloc(&r->arena, sizeof(Callable));
        if (!c)
                return jinja_no_memory(r);
        c->macro = macro;
        c->env = env;
        *ret = (Value) { .kind = VALUE_CALLABLE, .callable = c };
        return 0;
}

/* What is left over after the macro's own parameters, for a body that asks for `varargs` or `kwargs`. */
static int bind_rest(Run *r, Env *env, const Node *macro, const Args *args, size_t n_taken, const bool *taken) {
        Value key;
        Seq *rest;
        Dict *named;

        if (args->n > n_taken && !(macro->op & MACRO_VARARGS))
                return jinja_fail(r, -EBADMSG, "macro '%.*s' takes not more than %zu argument(s)", (int) MIN(macro->text.n, (size_t) 100),
                                  macro->text.s, n_taken);
        TRY(jinja_seq_new(r, SEQ_TUPLE, args->n - n_taken, &rest));
        for (size_t i = 0; i < rest->n; i++)
                rest->items[i] = args->values[n_taken + i];
        TRY(jinja_dict_new(r, &named));
        for (size_t i = 0; i < args->n_named; i++) {
                if (taken[i])
                        continue;
                if (!(macro->op & MACRO_KWARGS))
                        return jinja_fail(r, -EBADMSG, "macro '%.*s' takes no keyword argument '%.*s'",
                                          (int) MIN(macro->text.n, (size_t) 100), macro->text.s,
                                          (int) MIN(args->names[i].n, (size_t) 100), args->names[i].s);
                TRY(jinja_value_str(r, args->names[i], &key));
                TRY(jinja_dict_set(r, named, key, args->named[i]));
        }
        if (macro->op & MACRO_VARARGS)
                TRY(jinja_assign(r, env, r->template->name_varargs, value_seq(rest)));
        return macro->op & MACRO_KWARGS ? jinja_assign(r, env, r->template->name_kwargs, value_dict(named)) : 0;
}

static Value take_named(const Args *args, bool *taken, Str name) {
        for (size_t k = 0; k < args->n_named; k++)
                if (!taken[k] && jinja_str_equal(args->names[k], name)) {
                        taken[k] = true;
                        return args->named[k];
                }
        return ABSENT;
}

static int bind(Run *r, Env *env, const Node *macro, const Args *args) {
        bool *taken = jinja_alloc(&r->arena, args->n_named);
        bool has_caller = false;
        size_t i = 0;
        Value v;

        if (!taken)
                return jinja_no_memory(r);
        for (const Node *p = macro->args; p; p = p->next, i++) {
                has_caller |= p->name == r->template->name_caller;
                v = i < args->n ? args->values[i] : take_named(args, taken, p->text);
                if (v.kind == VALUE_ABSENT && p->a)
                        TRY(jinja_eval(r, env, p->a, &v));
                else if (v.kind == VALUE_ABSENT)
                        TRY(jinja_undefined(r, &v, "parameter '%.*s' was not provided", (int) MIN(p->text.n, (size_t) 100), p->text.s));
                TRY(jinja_assign(r, env, p->name, v));
        }
        if ((macro->op & MACRO_CALLER) && !has_caller) {
                v = take_named(args, taken, STR("caller"));
                if (v.kind == VALUE_ABSENT)
                        TRY(jinja_undefined(r, &v, "no caller is defined"));
                TRY(jinja_assign(r, env, r->template->name_caller, v));
        }
        return bind_rest(r, env, macro, args, MIN(i, args->n), taken);
}

int jinja_macro_call(Run *r, const Callable *c, const Args *args, Value *ret) {
        Env *env = NULL;

        if (r->calls == CHAT_TEMPLATE_DEPTH_MAX)
                return jinja_fail(r, -E2BIG, "calls are more than %u deep", CHAT_TEMPLATE_DEPTH_MAX);
        TRY(scope_new(r, c->env, &env));
        r->calls++;
        int status = bind(r, env, c->macro, args);
        if (status >= 0)
                status = capture(r, env, c->macro->body, ret);
        r->calls--;
        return status;
}

static int exec_set_block(Run *r, Env *env, const Node *n) {
        Value v;
        TRY(capture(r, env, n->body, &v));
        if (n->b)
                TRY(jinja_eval_filters(r, env, n->b, v, &v));
        return assign(r, env, n->a, v);
}

static int exec_call_block(Run *r, Env *env, const Node *n) {
        Value caller, v;
        TRY(jinja_macro_new(r, env, n->b, &caller));
        TRY(jinja_eval_call(r, env, n->a, caller, &v));
        return jinja_print(r, v, &r->out);
}

static int exec_filter_block(Run *r, Env *env, const Node *n) {
        Value v;
        TRY(capture(r, env, n->body, &v));
        TRY(jinja_eval_filters(r, env, n->b, v, &v));
        return jinja_print(r, v, &r->out);
}

static int exec_scope(Run *r, Env *env, const Node *n) {
        Env *scope = NULL;
        Value v;

        TRY(scope_new(r, env, &scope));
        for (const Node *set = n->args; set; set = set->next) {
                TRY(jinja_eval(r, env, set->b, &v));
                TRY(assign(r, scope, set->a, v));
        }
        return jinja_exec(r, scope, n->body);
}

static int exec(Run *r, Env *env, const Node *n) {
        Value v;

        switch ((NodeKind) n->kind) {
        case NODE_DATA:
                return jinja_put(r, &r->out, n->text);
        case NODE_PRINT:
                TRY(jinja_eval(r, env, n->a, &v));
                return jinja_print(r, v, &r->out);
        case NODE_IF:
                return exec_if(r, env, n);
        case NODE_FOR:
                return exec_for(r, env, n);
        case NODE_SET:
                TRY(jinja_eval(r, env, n->b, &v));
                return assign(r, env, n->a, v);
        case NODE_SET_BLOCK:
                return exec_set_block(r, env, n);
        case NODE_MACRO:
                TRY(jinja_macro_new(r, env, n, &v));
                return jinja_assign(r, env, n->name, v);
        case NODE_CALL_BLOCK:
                return exec_call_block(r, env, n);
        case NODE_FILTER_BLOCK:
                return exec_filter_block(r, env, n);
        case NODE_WITH: case NODE_SCOPE:
                return exec_scope(r, env, n);
        case NODE_BREAK:
                return EXEC_BREAK;
        case NODE_CONTINUE:
                return EXEC_CONTINUE;
        default:
                return jinja_fail(r, -EBADMSG, "not a statement");
        }
}

int jinja_exec(Run *r, Env *env, const Node *list) {
        int status = EXEC_NEXT;

        TRY(jinja_enter(r));
        for (const Node *n = list; n && status == EXEC_NEXT; n = n->next) {
                r->line = n->line;
                status = jinja_step(r, 0);
                if (status >= 0)
                        status = exec(r, env, n);
        }
        jinja_leave(r);
        return status;
}
