/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns statements, and the parser's entry. What loads other templates (include, import, extends) is refused: there is
 * nothing else to load. */

#include <errno.h>

#include "basic/cleanup.h"
#include "engine/text/jinja/parser.h"
#include "engine/text/jinja/run.h"

static int parse_body(Parser *p, const char *const *ends, Node **ret);

int jinja_parse_fail(const Parser *p, const char *expected) {
        const Token *t = p->token;
        Str found = t->kind == TOKEN_OPERATOR ? str_of(t->op, strlen(t->op), false) :
                t->kind == TOKEN_NAME || t->kind == TOKEN_STRING || t->kind == TOKEN_NUMBER ? t->text :
                t->kind == TOKEN_END ? STR("end of template") : t->kind == TOKEN_DATA ? STR("text") : STR("delimiter");
        return engine_fail(p->error, -EBADMSG, "template line %u: %s expected, '%.*s' found", t->line, expected,
                           (int) MIN(found.n, (size_t) 60), found.s);
}

int jinja_node(Parser *p, NodeKind kind, Node **ret) {
        Node *n = jinja_alloc(&p->template->arena, sizeof(Node));
        if (!n)
                return -ENOMEM;
        n->kind = kind;
        n->line = p->token->line;
        *ret = n;
        return 0;
}

int jinja_parse_enter(Parser *p) {
        /* An expression counts twice, once as such and once as an operand. */
        if (p->depth == 2 * JINJA_PARSE_DEPTH_MAX)
                return engine_fail(p->error, -E2BIG, "template line %u: nested more than %u deep", p->token->line,
                                   JINJA_PARSE_DEPTH_MAX);
        p->depth++;
        return 0;
}

bool jinja_skip_op(Parser *p, const char *op) {
        if (!at_op(p, op))
                return false;
        p->token++;
        return true;
}

bool jinja_skip_name(Parser *p, const char *name) {
        if (!at_name(p, name))
                return false;
        p->token++;
        return true;
}

int jinja_expect_op(Parser *p, const char *op) {
        char what[] = "'  '";
        if (jinja_skip_op(p, op))
                return 0;
        memcpy(what + 1, op, strlen(op));
        return jinja_parse_fail(p, what);
}

int jinja_expect(Parser *p, TokenKind kind, const char *what) {
        if (p->token->kind != kind)
                return jinja_parse_fail(p, what);
        p->token++;
        return 0;
}

uint32_t jinja_name_find(const Template *t, Str name) {
        for (uint32_t i = 0; i < t->n_names; i++)
                if (jinja_str_equal(t->names[i], name))
                        return i;
        return UINT32_MAX;
}

uint32_t jinja_name(Template *t, Str name) {
        uint32_t i = jinja_name_find(t, name);
        if (i != UINT32_MAX || t->n_names == JINJA_NAMES_MAX)
                return i;
        if (!t->names && !(t->names = jinja_alloc_array(&t->arena, JINJA_NAMES_MAX, sizeof(Str))))
                return UINT32_MAX;
        t->names[t->n_names] = name;
        return t->n_names++;
}

int jinja_parse_name(Parser *p, uint32_t *ret, Str *ret_text) {
        const Token *t = p->token;
        TRY(jinja_expect(p, TOKEN_NAME, "name"));
        uint32_t name = jinja_name(p->template, t->text);
        if (name == UINT32_MAX)
                return engine_fail(p->error, -E2BIG, "template line %u: more than %u names", t->line, JINJA_NAMES_MAX);
        if (name == p->template->name_caller)
                p->uses |= MACRO_CALLER;
        else if (name == p->template->name_varargs)
                p->uses |= MACRO_VARARGS;
        else if (name == p->template->name_kwargs)
                p->uses |= MACRO_KWARGS;
        *ret = name;
        *ret_text = t->text;
        return 0;
}

static int end_block(Parser *p) {
        return jinja_expect(p, TOKEN_BLOCK_END, "end of the block's tag");
}

/* The body of a block whose opening tag ends here, through its end tag `end`. */
static int parse_block_body(Parser *p, const char *end, Node **ret) {
        const char *const ends[] = { end, NULL };
        jinja_skip_op(p, ":");
        TRY(end_block(p));
        TRY(parse_body(p, ends, ret));
        p->token++;
        return end_block(p);
}

static int parse_if(Parser *p, Node **ret) {
        static const char *const ends[] = { "elif", "else", "endif", NULL };
        Node *first = NULL, **at = &first, *n;

        /* A chain of elif nests to the right without nesting the parser. */
        for (;;) {
                TRY(jinja_node(p, NODE_IF, &n));
                *at = n;
                at = &n->otherwise;
                TRY(jinja_parse_tuple(p, false, NULL, &n->a));
                jinja_skip_op(p, ":");
                TRY(end_block(p));
                TRY(parse_body(p, ends, &n->body));
                if (jinja_skip_name(p, "elif"))
                        continue;
                if (jinja_skip_name(p, "else"))
                        TRY(parse_block_body(p, "endif", at));
                else {
                        p->token++;
                        TRY(end_block(p));
                }
                *ret = first;
                return 0;
        }
}

static int parse_for(Parser *p, Node **ret) {
        static const char *const ends[] = { "else", "endfor", NULL };
        Node *n;

        TRY(jinja_node(p, NODE_FOR, &n));
        TRY(jinja_parse_target(p, false, "in", &n->a));
        if (n->a->kind == NODE_NAME && n->a->name == p->template->name_loop)
                return jinja_parse_fail(p, "loop variable of another name than 'loop'");
        if (!jinja_skip_name(p, "in"))
                return jinja_parse_fail(p, "'in'");
        TRY(jinja_parse_tuple(p, false, "recursive", &n->b));
        if (jinja_skip_name(p, "if"))
                TRY(jinja_parse_expression(p, true, &n->c));
        n->flag = jinja_skip_name(p, "recursive");
        jinja_skip_op(p, ":");
        TRY(end_block(p));
        TRY(parse_body(p, ends, &n->body));
        if (jinja_skip_name(p, "else"))
                TRY(parse_block_body(p, "endfor", &n->otherwise));
        else {
                p->token++;
                TRY(end_block(p));
        }
        *ret = n;
        return 0;
}

static int parse_set(Parser *p, Node **ret) {
        Node *n;

        TRY(jinja_node(p, NODE_SET, &n));
        TRY(jinja_parse_target(p, true, NULL, &n->a));
        *ret = n;
        if (jinja_skip_op(p, "=")) {
                TRY(jinja_parse_tuple(p, true, NULL, &n->b));
                return end_block(p);
        }
        n->kind = NODE_SET_BLOCK;
        TRY(jinja_parse_filters(p, NULL, false, &n->b));
        return parse_block_body(p, "endset", &n->body);
}

static int parse_signature(Parser *p, Node *macro) {
        NodeList args;
        bool defaults = false;
        Node *n;

        node_list_init(&args);
        TRY(jinja_expect_op(p, "("));
        while (!at_op(p, ")")) {
                if (args.first)
                        TRY(jinja_expect_op(p, ","));
                TRY(jinja_node(p, NODE_NAME, &n));
                TRY(jinja_parse_name(p, &n->name, &n->text));
                if (jinja_skip_op(p, "=")) {
                        TRY(jinja_parse_expression(p, true, &n->a));
                        defaults = true;
                } else if (defaults)
                        return jinja_parse_fail(p, "default value");
                node_list_add(&args, n);
        }
        p->token++;
        macro->args = args.first;
        return 0;
}

static int parse_macro_body(Parser *p, const char *end, Node *macro) {
        uint8_t outer = p->uses;
        p->uses = 0;
        TRY(parse_block_body(p, end, &macro->body));
        macro->op = p->uses;
        p->uses |= outer;
        return 0;
}

static int parse_macro(Parser *p, Node **ret) {
        Node *n;
        TRY(jinja_node(p, NODE_MACRO, &n));
        TRY(jinja_parse_name(p, &n->name, &n->text));
        TRY(parse_signature(p, n));
        *ret = n;
        return parse_macro_body(p, "endmacro", n);
}

static int parse_call_block(Parser *p, Node **ret) {
        Node *n;
        TRY(jinja_node(p, NODE_CALL_BLOCK, &n));
        TRY(jinja_node(p, NODE_MACRO, &n->b));
        n->b->text = STR("caller");
        n->b->name = p->template->name_caller;
        if (at_op(p, "("))
                TRY(parse_signature(p, n->b));
        TRY(jinja_parse_expression(p, true, &n->a));
        if (n->a->kind != NODE_CALL)
                return jinja_parse_fail(p, "call");
        *ret = n;
        return parse_macro_body(p, "endcall", n->b);
}

static int parse_filter_block(Parser *p, Node **ret) {
        Node *n;
        TRY(jinja_node(p, NODE_FILTER_BLOCK, &n));
        TRY(jinja_parse_filters(p, NULL, true, &n->b));
        *ret = n;
        return parse_block_body(p, "endfilter", &n->body);
}

static int parse_with(Parser *p, Node **ret) {
        NodeList sets;
        Node *n, *set;

        TRY(jinja_node(p, NODE_WITH, &n));
        node_list_init(&sets);
        while (p->token->kind != TOKEN_BLOCK_END) {
                if (sets.first)
                        TRY(jinja_expect_op(p, ","));
                TRY(jinja_node(p, NODE_SET, &set));
                TRY(jinja_parse_target(p, false, NULL, &set->a));
                TRY(jinja_expect_op(p, "="));
                TRY(jinja_parse_expression(p, true, &set->b));
                node_list_add(&sets, set);
        }
        n->args = sets.first;
        *ret = n;
        return parse_block_body(p, "endwith", &n->body);
}

/* transformers' {% generation %} marks what a model said, for training; it only opens a scope here. */
static int parse_generation(Parser *p, Node **ret) {
        Node *n;
        TRY(jinja_node(p, NODE_SCOPE, &n));
        *ret = n;
        return parse_block_body(p, "endgeneration", &n->body);
}

static int parse_block(Parser *p, Node **ret) {
        Node *n;
        TRY(jinja_node(p, NODE_SCOPE, &n));
        TRY(jinja_expect(p, TOKEN_NAME, "name of the block"));
        *ret = n;
        return parse_block_body(p, "endblock", &n->body);
}

static int parse_print(Parser *p, Node **ret) {
        Node *n;
        TRY(jinja_node(p, NODE_PRINT, &n));
        TRY(jinja_parse_expression(p, true, &n->a));
        *ret = n;
        return end_block(p);
}

static int parse_loop_control(Parser *p, NodeKind kind, Node **ret) {
        TRY(jinja_node(p, kind, ret));
        return end_block(p);
}

static int parse_break(Parser *p, Node **ret) { return parse_loop_control(p, NODE_BREAK, ret); }
static int parse_continue(Parser *p, Node **ret) { return parse_loop_control(p, NODE_CONTINUE, ret); }

static int parse_statement(Parser *p, Node **ret) {
        static const struct { const char *name; int (*parse)(Parser *p, Node **ret); } statements[] = {
                { "if", parse_if }, { "for", parse_for }, { "set", parse_set }, { "macro", parse_macro },
                { "call", parse_call_block }, { "filter", parse_filter_block }, { "with", parse_with },
                { "generation", parse_generation }, { "block", parse_block }, { "print", parse_print },
                { "break", parse_break }, { "continue", parse_continue },
        };

        for (size_t i = 0; i < ELEMENTSOF(statements); i++)
                if (jinja_skip_name(p, statements[i].name)) {
                        TRY(jinja_parse_enter(p));
                        TRY(statements[i].parse(p, ret));
                        p->depth--;
                        return 0;
                }
        return jinja_parse_fail(p, "statement");
}

/* Up to the tag named in `ends` (then p stands at that name), or to the template's end where `ends` is NULL. */
static int parse_body(Parser *p, const char *const *ends, Node **ret) {
        NodeList body;
        Node *n;

        node_list_init(&body);
        for (;;) {
                switch (p->token->kind) {
                case TOKEN_DATA:
                        TRY(jinja_node(p, NODE_DATA, &n));
                        n->text = p->token++->text;
                        break;
                case TOKEN_PRINT_BEGIN:
                        p->token++;
                        TRY(jinja_node(p, NODE_PRINT, &n));
                        TRY(jinja_parse_tuple(p, true, NULL, &n->a));
                        TRY(jinja_expect(p, TOKEN_PRINT_END, "'}}'"));
                        break;
                case TOKEN_BLOCK_BEGIN:
                        p->token++;
                        for (size_t i = 0; ends && ends[i]; i++)
                                if (at_name(p, ends[i])) {
                                        *ret = body.first;
                                        return 0;
                                }
                        TRY(parse_statement(p, &n));
                        break;
                default:
                        if (ends || p->token->kind != TOKEN_END)
                                return jinja_parse_fail(p, ends ? ends[0] : "text");
                        *ret = body.first;
                        return 0;
                }
                node_list_add(&body, n);
        }
}

int jinja_parse(Template *t, const char *source, size_t n, EngineError *reterr) {
        Parser p = { .template = t, .error = reterr };
        Token *tokens;
        Node *body = NULL;
        size_t n_tokens;

        TRY(jinja_lex(&t->arena, source, n, &tokens, &n_tokens, reterr));
        p.token = tokens;
        t->name_loop = jinja_name(t, STR("loop"));
        t->name_caller = jinja_name(t, STR("caller"));
        t->name_varargs = jinja_name(t, STR("varargs"));
        t->name_kwargs = jinja_name(t, STR("kwargs"));
        int r = parse_body(&p, NULL, &body);
        if (r == -ENOMEM)
                return engine_fail(reterr, t->arena.over ? -E2BIG : r, "template: no memory for its tree");
        t->body = body;
        return r;
}
