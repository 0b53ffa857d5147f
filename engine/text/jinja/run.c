/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a run's bounds, errors and names. The first failure stays: everything above it only passes it on. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/text/chat-template.h"
#include "engine/text/jinja/run.h"

int jinja_fail(Run *r, int status, const char *format, ...) {
        char text[ENGINE_ERROR_MAX];
        va_list ap;

        if (r->status < 0)
                return r->status;
        va_start(ap, format);
        vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        r->status = status;
        /* What raise_exception says is for the person who called, without our own words. */
        return status == -EPROTO ? engine_fail(&r->error, status, "%s", text) :
                engine_fail(&r->error, status, "template line %u: %s", r->line, text);
}

int jinja_no_memory(Run *r) {
        return r->arena.over ? jinja_fail(r, -E2BIG, "its values need more than %zu MiB of memory", r->arena.max >> 20) :
                jinja_fail(r, -ENOMEM, "no memory");
}

int jinja_step(Run *r, size_t n) {
        r->steps += 1 + n / 256;
        return r->steps > CHAT_TEMPLATE_STEPS_MAX ?
                jinja_fail(r, -E2BIG, "more than %u steps", CHAT_TEMPLATE_STEPS_MAX) : 0;
}

int jinja_enter(Run *r) {
        if (r->nesting == JINJA_NESTING_MAX)
                return jinja_fail(r, -E2BIG, "evaluation is more than %u levels deep", JINJA_NESTING_MAX);
        r->nesting++;
        return 0;
}

void jinja_leave(Run *r) {
        r->nesting--;
}

int jinja_put(Run *r, Builder *b, Str t) {
        if (b == &r->out && t.n > r->output_max - b->n)
                return jinja_fail(r, -E2BIG, "more than %zu MiB of output", r->output_max >> 20);
        TRY(jinja_step(r, t.n));
        return jinja_checked(r, jinja_add_str(b, t));
}

int jinja_lookup(Run *r, const Env *env, uint32_t name, Value *ret) {
        Str text = r->template->names[name];

        for (; env; env = env->parent)
                for (const Variable *v = env->variables; v; v = v->next)
                        if (v->name == name) {
                                *ret = v->value;
                                return 0;
                        }
        return jinja_undefined(r, ret, "'%.*s' is undefined", (int) MIN(text.n, (size_t) 100), text.s);
}

int jinja_assign(Run *r, Env *env, uint32_t name, Value value) {
        for (Variable *v = env->variables; v; v = v->next)
                if (v->name == name) {
                        v->value = value;
                        return 0;
                }
        Variable *v = jinja_alloc(&r->arena, sizeof(Variable));
        if (!v)
                return jinja_no_memory(r);
        *v = (Variable) { .name = name, .value = value, .next = env->variables };
        env->variables = v;
        return 0;
}

int jinja_want_int(Run *r, const char *what, Value v, int64_t absent, int64_t *ret) {
        if (v.kind == VALUE_ABSENT || v.kind == VALUE_NONE) {
                *ret = absent;
                return 0;
        }
        if (!is_integral(v))
                return jinja_fail(r, -EBADMSG, "%s: an int expected, a %s given", what, jinja_type_name(v));
        *ret = as_int(v);
        return 0;
}

int jinja_want_str(Run *r, const char *what, Value v, Str *ret) {
        if (!is_str(v))
                return jinja_fail(r, -EBADMSG, "%s: a str expected, a %s given", what, jinja_type_name(v));
        *ret = *v.str;
        return 0;
}
