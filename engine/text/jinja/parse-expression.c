/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns expressions: Jinja's precedence, which is not Python's everywhere (`~` binds tighter than `+`, `**` to the left,
 * filters and tests tighter than any operator). Each rule is one function, named as in Jinja's grammar. */

#include <errno.h>

#include "basic/cleanup.h"
#include "engine/text/jinja/parser.h"
#include "engine/text/jinja/run.h"

static int parse_unary(Parser *p, bool with_filter, Node **ret);

static int new_binary(Parser *p, NodeKind kind, uint8_t op, Node *a, Node *b, Node **ret) {
        Node *n;
        TRY(jinja_node(p, kind, &n));
        n->op = op;
        n->a = a;
        n->b = b;
        n->line = a->line;
        *ret = n;
        return 0;
}

typedef struct OperatorToken {
        const char *token;                /* a sign or a word */
        Operator op;
} OperatorToken;

static const OperatorToken *find_operator(const Parser *p, const OperatorToken *table) {
        for (; table->token; table++)
                if (at_op(p, table->token) || at_name(p, table->token))
                        return table;
        return NULL;
}

/* operand { token operand }, to the left. */
static int parse_left(Parser *p, NodeKind kind, const OperatorToken *tokens, int (*operand)(Parser *p, Node **ret), Node **ret) {
        const OperatorToken *op;
        Node *left, *right;
        TRY(operand(p, &left));
        while ((op = find_operator(p, tokens))) {
                p->token++;
                TRY(operand(p, &right));
                TRY(new_binary(p, kind, op->op, left, right, &left));
        }
        *ret = left;
        return 0;
}

static int parse_filtered(Parser *p, Node **ret) {
        return parse_unary(p, true, ret);
}

static int parse_pow(Parser *p, Node **ret) {
        static const OperatorToken tokens[] = { { "**", OP_POW }, {} };
        return parse_left(p, NODE_BINARY, tokens, parse_filtered, ret);
}

static int parse_product(Parser *p, Node **ret) {
        static const OperatorToken tokens[] = { { "*", OP_MUL }, { "/", OP_DIV }, { "//", OP_FLOORDIV }, { "%", OP_MOD }, {} };
        return parse_left(p, NODE_BINARY, tokens, parse_pow, ret);
}

static int parse_concat(Parser *p, Node **ret) {
        NodeList parts;
        Node *n, *concat;

        TRY(parse_product(p, &n));
        if (!at_op(p, "~")) {
                *ret = n;
                return 0;
        }
        node_list_init(&parts);
        node_list_add(&parts, n);
        while (jinja_skip_op(p, "~")) {
                TRY(parse_product(p, &n));
                node_list_add(&parts, n);
        }
        TRY(jinja_node(p, NODE_CONCAT, &concat));
        concat->a = parts.first;
        *ret = concat;
        return 0;
}

static int parse_sum(Parser *p, Node **ret) {
        static const OperatorToken tokens[] = { { "+", OP_ADD }, { "-", OP_SUB }, {} };
        return parse_left(p, NODE_BINARY, tokens, parse_concat, ret);
}

static int parse_compare(Parser *p, Node **ret) {
        static const OperatorToken tokens[] = {
                { "==", OP_EQ }, { "!=", OP_NE }, { "<", OP_LT }, { "<=", OP_LE }, { ">", OP_GT }, { ">=", OP_GE }, { "in", OP_IN }, {},
        };
        NodeList operands;
        Node *first, *n;

        TRY(parse_sum(p, &first));
        node_list_init(&operands);
        for (;;) {
                const OperatorToken *op = find_operator(p, tokens);
                bool not_in = at_name(p, "not") && token_is_name(p->token + 1, "in");
                if (!op && !not_in)
                        break;
                p->token += not_in ? 2 : 1;
                TRY(jinja_node(p, NODE_OPERAND, &n));
                n->op = not_in ? OP_NOT_IN : op->op;
                TRY(parse_sum(p, &n->a));
                node_list_add(&operands, n);
        }
        if (operands.first)
                return new_binary(p, NODE_COMPARE, 0, first, operands.first, ret);
        *ret = first;
        return 0;
}

static int parse_not(Parser *p, Node **ret) {
        if (!at_name(p, "not"))
                return parse_compare(p, ret);
        Node *n;
        TRY(jinja_node(p, NODE_NOT, &n));
        p->token++;
        TRY(jinja_parse_enter(p));
        TRY(parse_not(p, &n->a));
        p->depth--;
        *ret = n;
        return 0;
}

static int parse_and(Parser *p, Node **ret) {
        static const OperatorToken tokens[] = { { "and", 0 }, {} };
        return parse_left(p, NODE_AND, tokens, parse_not, ret);
}

static int parse_or(Parser *p, Node **ret) {
        static const OperatorToken tokens[] = { { "or", 0 }, {} };
        return parse_left(p, NODE_OR, tokens, parse_and, ret);
}

int jinja_parse_expression(Parser *p, bool cond, Node **ret) {
        Node *n, *c;

        TRY(jinja_parse_enter(p));
        TRY(parse_or(p, &n));
        while (cond && jinja_skip_name(p, "if")) {
                TRY(jinja_node(p, NODE_COND, &c));
                c->a = n;
                TRY(parse_or(p, &c->b));
                if (jinja_skip_name(p, "else"))
                        TRY(jinja_parse_expression(p, true, &c->c));
                n = c;
        }
        p->depth--;
        *ret = n;
        return 0;
}

typedef int (*ParseItem)(Parser *p, bool flag, Node **ret);

/* [a, b] or {a: b, c: d}; a comma may stand behind the last. */
static int parse_collection(Parser *p, NodeKind kind, const char *end, ParseItem item, Node **ret) {
        NodeList items;
        Node *all, *n;

        TRY(jinja_node(p, kind, &all));
        p->token++;
        node_list_init(&items);
        while (!at_op(p, end)) {
                if (items.first)
                        TRY(jinja_expect_op(p, ","));
                if (at_op(p, end))
                        break;
                TRY(item(p, true, &n));
                node_list_add(&items, n);
        }
        p->token++;
        all->a = items.first;
        *ret = all;
        return 0;
}

static int parse_pair(Parser *p, bool cond, Node **ret) {
        Node *pair;
        TRY(jinja_node(p, NODE_OPERAND, &pair));
        TRY(jinja_parse_expression(p, cond, &pair->a));
        TRY(jinja_expect_op(p, ":"));
        TRY(jinja_parse_expression(p, cond, &pair->b));
        *ret = pair;
        return 0;
}

static int parse_strings(Parser *p, Node **ret) {
        Builder b = { .arena = &p->template->arena };
        Node *n;

        TRY(jinja_node(p, NODE_CONST, &n));
        for (; p->token->kind == TOKEN_STRING; p->token++)
                TRY(jinja_add_str(&b, p->token->text));
        Str *text = jinja_alloc(&p->template->arena, sizeof(Str));
        if (!text)
                return -ENOMEM;
        *text = jinja_built(&b);
        n->value = (Value) { .kind = VALUE_STR, .str = text };
        *ret = n;
        return 0;
}

static int parse_name(Parser *p, Node **ret) {
        static const struct { const char *name; Value value; } constants[] = {
                { "true", { .kind = VALUE_BOOL, .b = true } }, { "True", { .kind = VALUE_BOOL, .b = true } },
                { "false", { .kind = VALUE_BOOL } }, { "False", { .kind = VALUE_BOOL } },
                { "none", { .kind = VALUE_NONE } }, { "None", { .kind = VALUE_NONE } },
        };
        Node *n;

        for (size_t i = 0; i < ELEMENTSOF(constants); i++)
                if (at_name(p, constants[i].name)) {
                        TRY(jinja_node(p, NODE_CONST, &n));
                        n->value = constants[i].value;
                        p->token++;
                        *ret = n;
                        return 0;
                }
        TRY(jinja_node(p, NODE_NAME, &n));
        TRY(jinja_parse_name(p, &n->name, &n->text));
        *ret = n;
        return 0;
}

static int parse_primary(Parser *p, Node **ret) {
        Node *n;

        switch (p->token->kind) {
        case TOKEN_NAME:
                return parse_name(p, ret);
        case TOKEN_STRING:
                return parse_strings(p, ret);
        case TOKEN_NUMBER:
                TRY(jinja_node(p, NODE_CONST, &n));
                n->value = p->token++->number;
                *ret = n;
                return 0;
        default:
                if (at_op(p, "["))
                        return parse_collection(p, NODE_LIST, "]", jinja_parse_expression, ret);
                if (at_op(p, "{"))
                        return parse_collection(p, NODE_DICT, "}", parse_pair, ret);
                if (!jinja_skip_op(p, "("))
                        return jinja_parse_fail(p, "expression");
                if (jinja_skip_op(p, ")")) {
                        TRY(jinja_node(p, NODE_TUPLE, ret));
                        return 0;
                }
                TRY(jinja_parse_tuple(p, true, NULL, ret));
                return jinja_expect_op(p, ")");
        }
}

static bool at_subscript_end(const Parser *p) {
        return at_op(p, ":") || at_op(p, "]") || at_op(p, ",");
}

/* [key], [from:to:step] or [a, b] (a tuple as key). */
static int parse_brackets(Parser *p, Node **ret) {
        NodeList keys;
        Node *n, *slice;

        node_list_init(&keys);
        while (!at_op(p, "]")) {
                n = NULL;
                if (keys.first)
                        TRY(jinja_expect_op(p, ","));
                if (!at_op(p, ":"))
                        TRY(jinja_parse_expression(p, true, &n));
                if (at_op(p, ":")) {
                        TRY(jinja_node(p, NODE_SLICE, &slice));
                        slice->a = n;
                        p->token++;
                        if (!at_subscript_end(p))
                                TRY(jinja_parse_expression(p, true, &slice->b));
                        if (jinja_skip_op(p, ":") && !at_subscript_end(p))
                                TRY(jinja_parse_expression(p, true, &slice->c));
                        n = slice;
                }
                node_list_add(&keys, n);
        }
        p->token++;
        if (!keys.first)
                return jinja_parse_fail(p, "subscript");
        if (!keys.first->next) {
                *ret = keys.first;
                return 0;
        }
        TRY(jinja_node(p, NODE_TUPLE, &n));
        n->a = keys.first;
        *ret = n;
        return 0;
}

static int parse_args(Parser *p, Node *call) {
        NodeList args, keywords;
        bool star = false;
        Node *n, *k;

        node_list_init(&args);
        node_list_init(&keywords);
        TRY(jinja_expect_op(p, "("));
        for (bool first = true; !at_op(p, ")"); first = false) {
                if (!first)
                        TRY(jinja_expect_op(p, ","));
                if (at_op(p, ")"))
                        break;
                bool one = at_op(p, "*"), two = at_op(p, "**");
                bool named = p->token->kind == TOKEN_NAME && p->token[1].kind == TOKEN_OPERATOR && strcmp(p->token[1].op, "=") == 0;
                if (!one && !two && !named) {
                        if (keywords.first)
                                return jinja_parse_fail(p, "keyword argument");
                        TRY(jinja_parse_expression(p, true, &n));
                        node_list_add(&args, n);
                        continue;
                }
                if (star && one)
                        return jinja_parse_fail(p, "one * argument");
                star |= one;
                TRY(jinja_node(p, NODE_OPERAND, &k));
                k->op = one ? 1 : two ? 2 : 0;
                k->text = p->token->text;
                p->token += named ? 2 : 1;
                TRY(jinja_parse_expression(p, true, &k->a));
                node_list_add(&keywords, k);
        }
        p->token++;
        call->args = args.first;
        call->keywords = keywords.first;
        return 0;
}

static int parse_call(Parser *p, Node *callee, Node **ret) {
        Node *n;
        TRY(jinja_node(p, NODE_CALL, &n));
        n->a = callee;
        TRY(parse_args(p, n));
        *ret = n;
        return 0;
}

static int parse_postfix(Parser *p, Node *n, Node **ret) {
        for (;;) {
                Node *of = n;
                if (at_op(p, "(")) {
                        TRY(parse_call(p, of, &n));
                } else if (jinja_skip_op(p, "[")) {
                        TRY(jinja_node(p, NODE_ITEM, &n));
                        n->a = of;
                        TRY(parse_brackets(p, &n->b));
                } else if (jinja_skip_op(p, ".")) {
                        bool number = p->token->kind == TOKEN_NUMBER && p->token->number.kind == VALUE_INT;
                        if (p->token->kind != TOKEN_NAME && !number)
                                return jinja_parse_fail(p, "attribute");
                        TRY(jinja_node(p, number ? NODE_ITEM : NODE_ATTRIBUTE, &n));
                        n->a = of;
                        n->text = p->token->text;
                        if (number) {
                                TRY(jinja_node(p, NODE_CONST, &n->b));
                                n->b->value = p->token->number;
                        }
                        p->token++;
                } else {
                        *ret = n;
                        return 0;
                }
        }
}

static int parse_dotted(Parser *p, Str *ret) {
        Str name = p->token->text;
        TRY(jinja_expect(p, TOKEN_NAME, "name"));
        if (at_op(p, "."))
                return jinja_parse_fail(p, "name without dots");
        *ret = name;
        return 0;
}

int jinja_parse_filters(Parser *p, Node *of, bool inline_first, Node **ret) {
        Node *n;
        while (inline_first || jinja_skip_op(p, "|")) {
                inline_first = false;
                TRY(jinja_node(p, NODE_FILTER, &n));
                TRY(parse_dotted(p, &n->text));
                n->a = of;
                if (at_op(p, "("))
                        TRY(parse_args(p, n));
                of = n;
        }
        *ret = of;
        return 0;
}

static int parse_test(Parser *p, Node *of, Node **ret) {
        Node *n, *not;

        p->token++;
        bool negated = jinja_skip_name(p, "not");
        TRY(jinja_node(p, NODE_TEST, &n));
        TRY(parse_dotted(p, &n->text));
        n->a = of;
        bool name = p->token->kind == TOKEN_NAME && !at_name(p, "else") && !at_name(p, "or") && !at_name(p, "and");
        if (at_op(p, "("))
                TRY(parse_args(p, n));
        else if (name || p->token->kind == TOKEN_STRING || p->token->kind == TOKEN_NUMBER || at_op(p, "[") || at_op(p, "{")) {
                if (at_name(p, "is"))
                        return jinja_parse_fail(p, "one test");
                TRY(parse_primary(p, &n->args));
                TRY(parse_postfix(p, n->args, &n->args));
        }
        if (negated) {
                TRY(jinja_node(p, NODE_NOT, &not));
                not->a = n;
                n = not;
        }
        *ret = n;
        return 0;
}

static int parse_unary(Parser *p, bool with_filter, Node **ret) {
        Node *n;

        TRY(jinja_parse_enter(p));
        if (at_op(p, "-") || at_op(p, "+")) {
                TRY(jinja_node(p, at_op(p, "-") ? NODE_NEG : NODE_POS, &n));
                p->token++;
                TRY(parse_unary(p, false, &n->a));
        } else
                TRY(parse_primary(p, &n));
        TRY(parse_postfix(p, n, &n));
        while (with_filter) {
                if (at_op(p, "|"))
                        TRY(jinja_parse_filters(p, n, false, &n));
                else if (at_name(p, "is"))
                        TRY(parse_test(p, n, &n));
                else if (at_op(p, "("))
                        TRY(parse_call(p, n, &n));
                else
                        break;
        }
        p->depth--;
        *ret = n;
        return 0;
}

static bool at_tuple_end(const Parser *p, const char *end) {
        return p->token->kind == TOKEN_PRINT_END || p->token->kind == TOKEN_BLOCK_END || at_op(p, ")") || (end && at_name(p, end));
}

/* One item by itself, or a tuple of those between commas; `wanted` names what is missing where there is none. */
static int parse_commas(Parser *p, ParseItem item, bool flag, const char *end, const char *wanted, Node **ret) {
        NodeList items;
        bool tuple = false;
        Node *n;

        node_list_init(&items);
        while (!at_tuple_end(p, end)) {
                TRY(item(p, flag, &n));
                node_list_add(&items, n);
                if (!jinja_skip_op(p, ","))
                        break;
                tuple = true;
        }
        if (!items.first)
                return jinja_parse_fail(p, wanted);
        if (!tuple) {
                *ret = items.first;
                return 0;
        }
        TRY(jinja_node(p, NODE_TUPLE, &n));
        n->a = items.first;
        *ret = n;
        return 0;
}

int jinja_parse_tuple(Parser *p, bool cond, const char *end, Node **ret) {
        return parse_commas(p, jinja_parse_expression, cond, end, "expression", ret);
}

static int parse_one_target(Parser *p, bool namespaces, Node **ret) {
        Node *n;

        if (jinja_skip_op(p, "(")) {
                TRY(jinja_parse_enter(p));
                TRY(jinja_parse_target(p, namespaces, NULL, ret));
                p->depth--;
                return jinja_expect_op(p, ")");
        }
        if (p->token->kind != TOKEN_NAME)
                return jinja_parse_fail(p, "name to assign to");
        TRY(parse_name(p, &n));
        if (n->kind != NODE_NAME)
                return jinja_parse_fail(p, "name that can be assigned to");
        if (namespaces && jinja_skip_op(p, ".")) {
                n->kind = NODE_NAMESPACE_TARGET;
                n->text = p->token->text;
                TRY(jinja_expect(p, TOKEN_NAME, "attribute"));
        }
        *ret = n;
        return 0;
}

int jinja_parse_target(Parser *p, bool namespaces, const char *end, Node **ret) {
        return parse_commas(p, parse_one_target, namespaces, end, "name to assign to", ret);
}
