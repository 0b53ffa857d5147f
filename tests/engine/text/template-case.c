/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Turns a case's JSON into what chat_template_render() takes. */

#include <errno.h>
#include <string.h>

#include "tests/engine/text/template-case.h"

static const char *dump(const json_t *v, char **store) {
        return v && !json_is_null(v) ? (*store = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY)) : NULL;
}

static const char *text(const json_t *o, const char *key) {
        return json_string_value(json_object_get(o, key));
}

int template_case_render(const char *source, size_t n, const json_t *c, ChatText *ret, EngineError *reterr) {
        _cleanup_(chat_template_freep) ChatTemplate *t = NULL;
        _cleanup_free_ char *tools = NULL, *extra = NULL;
        const json_t *list = json_object_get(c, "messages"), *m;
        size_t n_messages = json_array_size(list), i;

        int r = chat_template_new(source, n, &t, reterr);
        if (r < 0)
                return r;

        _cleanup_free_ ChatMessage *messages = calloc(n_messages ?: 1, sizeof *messages);
        _cleanup_free_ char **calls = calloc(n_messages ?: 1, sizeof *calls);
        if (!messages || !calls)
                return -ENOMEM;
        json_array_foreach(list, i, m) {
                messages[i] = (ChatMessage) {
                        .role = text(m, "role"), .name = text(m, "name"), .content = text(m, "content"),
                        .content_size = json_string_length(json_object_get(m, "content")),
                        .tool_calls_json = dump(json_object_get(m, "tool_calls"), calls + i),
                        .tool_call_id = text(m, "tool_call_id"), .reasoning = text(m, "reasoning_content"),
                };
        }

        const char *bos = text(c, "bos_token"), *eos = text(c, "eos_token");
        ChatContext context = {
                .messages = messages, .n_messages = n_messages, .tools_json = dump(json_object_get(c, "tools"), &tools),
                .add_generation_prompt = json_is_true(json_object_get(c, "add_generation_prompt")),
                .bos_token = bos ?: "", .eos_token = eos ?: "", .now = TEMPLATE_CASE_NOW,
                .extra_json = dump(json_object_get(c, "extra"), &extra),
        };
        r = chat_template_render(t, &context, ret, reterr);
        for (i = 0; i < n_messages; i++)
                free(calls[i]);
        return r;
}
