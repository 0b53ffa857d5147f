/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a chat template is given and what comes out. The interpreter is in jinja/. Messages, tools and extra
 * variables are data to the last byte; a role out of the closed set below is a word of the protocol, as in
 * `'<|' + message.role + '|>'`, and counts as the template's own. */

#include <errno.h>
#include <stdlib.h>

#include "basic/checked.h"
#include "engine/text/chat-template.h"
#include "engine/text/jinja/run.h"

#define CHAT_TEMPLATE_TREE_MAX (64u << 20)      /* memory of a parsed template */

struct ChatTemplate {
        Template template;
};

int chat_template_new(const char *source, size_t n, ChatTemplate **ret, EngineError *reterr) {
        if (n > CHAT_TEMPLATE_SOURCE_MAX)
                return engine_fail(reterr, -E2BIG, "template: %zu bytes of source, at most %u", n, CHAT_TEMPLATE_SOURCE_MAX);

        _cleanup_(chat_template_freep) ChatTemplate *t = calloc(1, sizeof *t);
        if (!t)
                return engine_fail(reterr, -ENOMEM, "template: no memory");
        t->template.arena.max = CHAT_TEMPLATE_TREE_MAX;
        TRY(jinja_parse(&t->template, source, n, reterr));
        *ret = TAKE_PTR(t);
        return 0;
}

ChatTemplate *chat_template_free(ChatTemplate *t) {
        if (!t)
                return NULL;
        jinja_arena_done(&t->template.arena);
        free(t);
        return NULL;
}

void chat_text_done(ChatText *t) {
        free(t->text);
        free(t->data);
        *t = (ChatText) {};
}

static bool is_role(const char *role) {
        static const char *const roles[] = { "system", "developer", "user", "assistant", "tool" };
        for (size_t i = 0; i < ELEMENTSOF(roles); i++)
                if (strcmp(role, roles[i]) == 0)
                        return true;
        return false;
}

static int set_text(Run *r, Dict *d, const char *key, const char *s, size_t n, bool data) {
        Value v;
        TRY(jinja_value_str(r, str_of(s, n, data), &v));
        return jinja_dict_set_text(r, d, key, v);
}

/* Calls as the OpenAI convention has them carry their arguments as a text of JSON; most templates want the object, to
 * write it their own way. Where `objects` is set what reads as an object becomes one. */
static int read_arguments(Run *r, Value call, bool *ret_any) {
        Value function = call, text, arguments;

        if (call.kind == VALUE_DICT)
                (void) jinja_dict_get_text(r, call.dict, STR("function"), &function);
        if (function.kind != VALUE_DICT || TRY(jinja_dict_get_text(r, function.dict, STR("arguments"), &text)) == 0 || !is_str(text))
                return 0;
        if (jinja_json_read(r, "arguments", text.str->s, text.str->n, true, &arguments) < 0) {
                if (r->status != -EBADMSG)
                        return r->status;
                r->status = 0;  /* a text that is no JSON stays a text */
                return 0;
        }
        if (arguments.kind != VALUE_DICT)
                return 0;
        arguments.dict->arguments = true;
        *ret_any = true;
        return jinja_dict_set_text(r, function.dict, "arguments", arguments);
}

static int message_value(Run *r, const ChatMessage *m, bool objects, bool *ret_any, Value *ret) {
        Value calls;
        Dict *d;

        TRY(jinja_dict_new(r, &d));
        d->data = true;
        TRY(set_text(r, d, "role", m->role, strlen(m->role), !is_role(m->role)));
        if (m->content)
                TRY(set_text(r, d, "content", m->content, m->content_size, true));
        else
                TRY(jinja_dict_set_text(r, d, "content", NONE));
        if (m->name)
                TRY(set_text(r, d, "name", m->name, strlen(m->name), true));
        if (m->tool_call_id)
                TRY(set_text(r, d, "tool_call_id", m->tool_call_id, strlen(m->tool_call_id), true));
        if (m->reasoning)
                TRY(set_text(r, d, "reasoning_content", m->reasoning, strlen(m->reasoning), true));
        if (m->tool_calls_json) {
                TRY(jinja_json_read(r, "tool_calls", m->tool_calls_json, strlen(m->tool_calls_json), true, &calls));
                if (!is_seq(calls, SEQ_LIST))
                        return jinja_fail(r, -EBADMSG, "tool_calls: an array expected");
                for (size_t i = 0; objects && i < calls.seq->n; i++)
                        TRY(read_arguments(r, calls.seq->items[i], ret_any));
                TRY(jinja_dict_set_text(r, d, "tool_calls", calls));
        }
        *ret = value_dict(d);
        return 0;
}

/* A variable that the template never names need not exist. */
static int define(Run *r, Str name, Value v) {
        uint32_t number = jinja_name_find(r->template, name);
        return number == UINT32_MAX ? 0 : jinja_assign(r, &r->root, number, v);
}

static int define_token(Run *r, Str name, const char *token) {
        Value v;
        TRY(jinja_value_str(r, str_of(token ?: "", token ? strlen(token) : 0, false), &v));
        return define(r, name, v);
}

static int define_context(Run *r, const ChatContext *c, bool objects, bool *ret_any) {
        Value v;
        Seq *messages;

        TRY(jinja_define_globals(r));
        TRY(jinja_seq_new(r, SEQ_LIST, c->n_messages, &messages));
        messages->data = true;
        for (size_t i = 0; i < c->n_messages; i++)
                TRY(message_value(r, c->messages + i, objects, ret_any, messages->items + i));
        TRY(define(r, STR("messages"), value_seq(messages)));
        TRY(define(r, STR("add_generation_prompt"), value_bool(c->add_generation_prompt)));
        TRY(define_token(r, STR("bos_token"), c->bos_token));
        TRY(define_token(r, STR("eos_token"), c->eos_token));

        v = NONE;
        if (c->tools_json)
                TRY(jinja_json_read(r, "tools", c->tools_json, strlen(c->tools_json), true, &v));
        TRY(define(r, STR("tools"), v));
        TRY(define(r, STR("documents"), NONE));         /* as transformers: named, and none */
        if (c->extra_json) {
                TRY(jinja_json_read(r, "extra variables", c->extra_json, strlen(c->extra_json), true, &v));
                if (v.kind != VALUE_DICT)
                        return jinja_fail(r, -EBADMSG, "extra variables: an object expected");
                for (size_t i = 0; i < v.dict->n; i++)
                        TRY(define(r, *v.dict->entries[i].key.str, v.dict->entries[i].value));
        }
        return 0;
}

static int render(Run *r, const ChatContext *c, bool objects, bool *ret_any, ChatText *ret) {
        Env *env;

        TRY(define_context(r, c, objects, ret_any));
        if (!(env = jinja_alloc(&r->arena, sizeof(Env))))
                return jinja_no_memory(r);
        env->parent = &r->root;
        TRY(jinja_exec(r, env, r->template->body));

        Str t = jinja_built(&r->out);
        _cleanup_free_ char *text = malloc(t.n + 1);
        _cleanup_free_ uint8_t *data = malloc(t.n + 1);
        if (!text || !data)
                return jinja_fail(r, -ENOMEM, "no memory");
        memcpy(text, t.s, t.n);
        text[t.n] = 0;
        if (t.mask)
                memcpy(data, t.mask, t.n);
        else
                memset(data, t.data, t.n);
        *ret = (ChatText) { .text = TAKE_PTR(text), .data = TAKE_PTR(data), .n = t.n };
        return 0;
}

static int attempt(const ChatTemplate *t, const ChatContext *c, bool objects, bool *ret_any, ChatText *ret, EngineError *reterr) {
        Run r = { .template = &t->template, .arena.max = CHAT_TEMPLATE_MEMORY_MAX, .output_max = CHAT_TEMPLATE_OUTPUT_MAX,
                  .now = c->now };

        r.out.arena = &r.arena;
        int status = render(&r, c, objects, ret_any, ret);
        jinja_arena_done(&r.arena);
        if (status < 0 && reterr)
                *reterr = r.error;
        return status;
}

int chat_template_render(const ChatTemplate *t, const ChatContext *c, ChatText *ret, EngineError *reterr) {
        bool any = false;
        int r = attempt(t, c, true, &any, ret, reterr);

        /* A template that joins arguments to its text, or prints them, wants them as the text that they came as. */
        if (r == -EBADMSG && any)
                r = attempt(t, c, false, &any, ret, reterr);
        return r;
}
