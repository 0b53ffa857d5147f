/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a chat template, with content and tools of the same making: the input is cut at its first two zero bytes
 * into source, content and tools. Whatever happens is a text with its marks, or an error in words. Seeds:
 * make-template-seeds.py. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/chat-template.h"
#include "tests/fuzz/promise.h"

static const char *cut(const char **at, const char *end, size_t *ret_size) {
        const char *from = *at, *zero = memchr(from, 0, (size_t) (end - from));
        *ret_size = (size_t) ((zero ?: end) - from);
        *at = zero ? zero + 1 : end;
        return from;
}

static void render(const ChatTemplate *t, const char *content, size_t content_size, const char *tools) {
        const ChatMessage messages[] = {
                { .role = "system", .content = "Be kind.", .content_size = 8 },
                { .role = "user", .content = content, .content_size = content_size },
                { .role = "assistant", .tool_calls_json = "[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": 1}\"}}]" },
                { .role = "tool", .content = content, .content_size = content_size, .name = "f", .tool_call_id = "a" },
        };
        const ChatContext c = { .messages = messages, .n_messages = ELEMENTSOF(messages), .tools_json = tools[0] ? tools : NULL,
                                .add_generation_prompt = true, .bos_token = "<s>", .eos_token = "</s>", .now = 1700000000,
                                .extra_json = "{\"n\": 7, \"s\": \"Hello\", \"l\": [3, 1, 2], \"d\": {\"a\": 1}}" };
        EngineError error = {};
        ChatText text = {};

        int r = chat_template_render(t, &c, &text, &error);
        PROMISE(r == 0 ? text.text[text.n] == 0 : r < 0 && text.text == NULL);
        PROMISE(r == 0 || r == -EPROTO || ((r == -EBADMSG || r == -E2BIG) && error.text[0]));
        for (size_t i = 0; i < text.n; i++)
                PROMISE(text.data[i] <= 1);
        chat_text_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(chat_template_freep) ChatTemplate *t = NULL;
        const char *at = (const char *) data, *end = at + size, *source, *content, *tools;
        size_t n, content_size, tools_size;
        EngineError error = {};

        if (size == 0)
                return 0;
        source = cut(&at, end, &n);
        content = cut(&at, end, &content_size);
        tools = cut(&at, end, &tools_size);
        _cleanup_free_ char *tools_text = strndup(tools, tools_size);
        PROMISE(tools_text);

        int r = chat_template_new(source, n, &t, &error);
        PROMISE((r == 0) == (t != NULL));
        PROMISE(r == 0 || ((r == -EBADMSG || r == -E2BIG) && error.text[0]));
        if (t)
                render(t, content, content_size, tools_text);
        return 0;
}
