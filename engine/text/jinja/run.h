/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One run of a template: its memory, its bounds, where it is, what it has written. */

#include <time.h>

#include "engine/error.h"
#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/value.h"

#define JINJA_NESTING_MAX 1500u         /* C frames of evaluation at once: what bounds the stack */

typedef struct Variable Variable;
typedef struct Env Env;

struct Variable {
        uint32_t name;
        Value value;
        Variable *next;
};

struct Env {                            /* one scope; an inner one sees the outer ones */
        const Env *parent;
        Variable *variables;
};

struct Run {
        Arena arena;
        const Template *template;
        Builder out;
        uint64_t steps;
        unsigned nesting, calls;        /* C frames; macro calls */
        uint32_t line;
        time_t now;
        size_t output_max;
        Env root;
        int status;                     /* the first failure; 0 while all is well */
        EngineError error;
};

struct Loop {
        const Seq *items;
        size_t i;
        unsigned depth;
        const Node *node;               /* of a recursive loop, else NULL */
        const Env *env;
        Value changed;
};

/* A step counts as 1, and moving n bytes or elements as 1 per 256. */
int jinja_step(Run *r, size_t n);
int jinja_enter(Run *r);                /* one frame deeper; jinja_leave() again on success */
void jinja_leave(Run *r);
int jinja_fail(Run *r, int status, const char *format, ...) _printf_(3, 4);
int jinja_no_memory(Run *r);            /* the bound, or the machine: says which */

#define TRY(x)                          \
        ({                              \
                int _r = (x);           \
                if (_r < 0)             \
                        return _r;      \
                _r;                     \
        })

/* Appends, and fails the run where it cannot. */
static inline int jinja_checked(Run *r, int status) { return status < 0 ? jinja_no_memory(r) : 0; }
int jinja_put(Run *r, Builder *b, Str t);       /* charged */

int jinja_lookup(Run *r, const Env *env, uint32_t name, Value *ret);
int jinja_assign(Run *r, Env *env, uint32_t name, Value v);
int jinja_eval(Run *r, const Env *env, const Node *n, Value *ret);
int jinja_eval_call(Run *r, const Env *env, const Node *call, Value caller, Value *ret);
int jinja_eval_filters(Run *r, const Env *env, const Node *filters, Value v, Value *ret);       /* of a block's text */
int jinja_exec(Run *r, Env *env, const Node *list);     /* EXEC_* or a negative errno */
enum { EXEC_NEXT, EXEC_BREAK, EXEC_CONTINUE };

/* Operators, on values. */
int jinja_binary(Run *r, Operator op, Value a, Value b, Value *ret);
int jinja_negate(Run *r, bool minus, Value v, Value *ret);
int jinja_contains(Run *r, Value container, Value item);        /* 1, 0 */
int jinja_item(Run *r, Value v, Value key, Value *ret);         /* v[key] */
int jinja_attribute(Run *r, Value v, Str name, Value *ret);     /* v.name */
int jinja_slice(Run *r, Value v, Value from, Value to, Value step, Value *ret);
int jinja_percent(Run *r, Str format, Value args, Value *ret);  /* "…" % args */

/* Arguments of a call. */
typedef struct Args {
        Value *values;                  /* positional */
        size_t n;
        Str *names;                     /* keywords */
        Value *named;
        size_t n_named;
} Args;

typedef int (*BuiltinRun)(Run *r, Value self, const Value *p, const Args *all, Value *ret);

/* Parameters as a word list, "=" before those that may be left out (then VALUE_ABSENT); NULL: `all` is read instead. */
#define BUILTIN_PARAMETERS_MAX 6
typedef struct Builtin {
        const char *name;
        BuiltinRun run;
        const char *parameters;
} Builtin;

extern const Builtin jinja_text_filters[], jinja_sequence_filters[], jinja_tests[], jinja_functions[], jinja_str_methods[],
        jinja_str_query_methods[], jinja_dict_methods[], jinja_list_methods[], jinja_loop_methods[];

const Builtin *jinja_builtin_find(const Builtin *table, Str name);
int jinja_builtin_call(Run *r, const Builtin *b, Value self, const Args *args, Value *ret);
int jinja_filter(Run *r, Str name, Value v, const Args *args, Value *ret);
int jinja_test(Run *r, Str name, Value v, const Args *args);    /* 1, 0 */
int jinja_call(Run *r, Value callee, const Args *args, Value *ret);
int jinja_define_globals(Run *r);

struct Callable {
        const Builtin *builtin;         /* of a method or function: with self; else a macro: */
        Value self;
        const Node *macro;
        const Env *env;
        Value state;                    /* joiner and cycler: a namespace */
};

int jinja_loop_call(Run *r, const Loop *loop, const Args *args, Value *ret);
int jinja_macro_call(Run *r, const Callable *c, const Args *args, Value *ret);
int jinja_macro_new(Run *r, const Env *env, const Node *macro, Value *ret);
int jinja_builtin_value(Run *r, const Builtin *b, Value self, Value *ret);

/* What an argument must be; the error names the argument. */
int jinja_want_int(Run *r, const char *what, Value v, int64_t absent, int64_t *ret);
int jinja_want_str(Run *r, const char *what, Value v, Str *ret);
