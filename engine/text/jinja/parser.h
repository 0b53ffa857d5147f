/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two halves of the parser, expressions and statements, share. */

#include "engine/text/jinja/ast.h"

#define JINJA_NAMES_MAX 1024u           /* different names in one template */
#define JINJA_PARSE_DEPTH_MAX 64u       /* brackets and blocks inside each other (CHAT_TEMPLATE_DEPTH_MAX) */

typedef struct Parser {
        Template *template;
        const Token *token;             /* the current one */
        unsigned depth;
        uint8_t uses;                   /* MACRO_*: names seen in the macro that is being parsed */
        EngineError *error;
} Parser;

typedef struct NodeList {
        Node *first, **end;
} NodeList;
static inline void node_list_init(NodeList *l) { l->first = NULL; l->end = &l->first; }
static inline void node_list_add(NodeList *l, Node *n) { *l->end = n; l->end = &n->next; }

int jinja_parse_fail(const Parser *p, const char *expected);    /* "… expected, … found" */
int jinja_node(Parser *p, NodeKind kind, Node **ret);
int jinja_parse_enter(Parser *p);                               /* counts depth; p->depth-- leaves */
int jinja_parse_name(Parser *p, uint32_t *ret, Str *ret_text);

static inline bool at_op(const Parser *p, const char *op) {
        return p->token->kind == TOKEN_OPERATOR && strcmp(p->token->op, op) == 0;
}
static inline bool token_is_name(const Token *t, const char *name) { return t->kind == TOKEN_NAME && str_is(t->text, name); }
static inline bool at_name(const Parser *p, const char *name) { return token_is_name(p->token, name); }
bool jinja_skip_op(Parser *p, const char *op);
bool jinja_skip_name(Parser *p, const char *name);
int jinja_expect_op(Parser *p, const char *op);
int jinja_expect(Parser *p, TokenKind kind, const char *what);

int jinja_parse_expression(Parser *p, bool cond, Node **ret);
/* One expression, or a tuple without brackets; `end` is a name that ends it, or NULL. */
int jinja_parse_tuple(Parser *p, bool cond, const char *end, Node **ret);
int jinja_parse_target(Parser *p, bool namespaces, const char *end, Node **ret);
int jinja_parse_filters(Parser *p, Node *of, bool inline_first, Node **ret);
