/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A parsed template: tokens, then a tree. Names are numbered once, so that a run compares numbers. All of it lives in
 * the template's arena and is never written again. Grammar: https://jinja.palletsprojects.com/en/stable/templates/ */

#include "engine/error.h"
#include "engine/text/jinja/value.h"

typedef enum TokenKind {
        TOKEN_END,
        TOKEN_DATA,
        TOKEN_BLOCK_BEGIN, TOKEN_BLOCK_END,
        TOKEN_PRINT_BEGIN, TOKEN_PRINT_END,
        TOKEN_NAME, TOKEN_STRING, TOKEN_NUMBER,
        TOKEN_OPERATOR,
} TokenKind;

typedef struct Token {
        uint8_t kind;
        char op[3];             /* of TOKEN_OPERATOR, ends with 0 */
        uint32_t line;
        Str text;               /* data, a name, a string with its escapes resolved */
        Value number;
} Token;

typedef enum Operator {
        OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD, OP_POW,
        OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_NOT_IN,
} Operator;

typedef enum NodeKind {
        /* Expressions */
        NODE_CONST,             /* value */
        NODE_NAME,              /* name */
        NODE_LIST, NODE_TUPLE,  /* a: elements */
        NODE_DICT,              /* a: keys, each key's b its value */
        NODE_NOT, NODE_NEG, NODE_POS,           /* a */
        NODE_AND, NODE_OR, NODE_BINARY,         /* a, b, op */
        NODE_COMPARE,           /* a: first; b: NODE_OPERANDs, each with op and a */
        NODE_OPERAND,
        NODE_CONCAT,            /* a: parts */
        NODE_COND,              /* a if b else c (NULL) */
        NODE_ATTRIBUTE,         /* a.text */
        NODE_ITEM,              /* a[b] */
        NODE_SLICE,             /* as b of an item: a:b:c, each may be NULL */
        NODE_CALL,              /* a(args) */
        NODE_FILTER, NODE_TEST, /* a, text, args */
        /* Statements */
        NODE_DATA,              /* value */
        NODE_PRINT,             /* a */
        NODE_IF,                /* a: condition, body, otherwise */
        NODE_FOR,               /* a: target, b: iterable, c: condition or NULL; body, otherwise, flag: recursive */
        NODE_SET,               /* a: target, b: expression */
        NODE_SET_BLOCK,         /* a: target, b: filters or NULL, body */
        NODE_NAMESPACE_TARGET,  /* name.text, as a target */
        NODE_MACRO,             /* name, args: NODE_NAMEs, each with its default as a; body, op: MACRO_* */
        NODE_CALL_BLOCK,        /* a: the call, b: a NODE_MACRO of the body */
        NODE_FILTER_BLOCK,      /* b: filters, body */
        NODE_WITH,              /* args: NODE_SETs, body */
        NODE_SCOPE,             /* body */
        NODE_BREAK, NODE_CONTINUE,
} NodeKind;

enum { MACRO_CALLER = 1, MACRO_VARARGS = 2, MACRO_KWARGS = 4 };    /* what a macro's body asks for by name */

typedef struct Node Node;
struct Node {
        uint8_t kind, op;
        bool flag;
        uint32_t line, name;
        Node *next;             /* in a list */
        Node *a, *b, *c;
        Node *body, *otherwise;
        Node *args;             /* NODE of each positional argument; keywords and * ** are in `keywords` */
        Node *keywords;         /* NODE_OPERANDs: text the name, a the value; op 1: *a, op 2: **a */
        Str text;
        Value value;
};

typedef struct Template {
        Arena arena;
        const Node *body;
        Str *names;             /* by number */
        uint32_t n_names, allocated_names;
        uint32_t name_loop, name_caller, name_varargs, name_kwargs;
} Template;

/* *ret: an array ending with TOKEN_END, in the arena. -EBADMSG with line and reason; -ENOMEM. */
int jinja_lex(Arena *arena, const char *source, size_t n, Token **ret, size_t *ret_n, EngineError *reterr);

/* t->arena is set up; on failure too jinja_arena_done() frees everything. -E2BIG: nested too deeply. */
int jinja_parse(Template *t, const char *source, size_t n, EngineError *reterr);

/* Number of a name, made on first sight; UINT32_MAX without memory. `jinja_name_find`: UINT32_MAX where unused. */
uint32_t jinja_name(Template *t, Str name);
uint32_t jinja_name_find(const Template *t, Str name);
