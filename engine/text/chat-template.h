/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The model file's own chat template, run: a small interpreter of the Jinja that templates use (expressions, if, for
 * with loop.*, set, macro, call, filter blocks, namespace, tests, filters, slices, tojson, strftime_now,
 * raise_exception, whitespace control as transformers sets it: trim_blocks, lstrip_blocks).
 * https://jinja.palletsprojects.com/en/stable/templates/
 *
 * The template is text from a file and so hostile: parsing and running are bounded in depth, steps and output, nothing
 * is reachable from it but the values below, and every error is a text. Output carries, byte by byte, whether it came
 * from the template or from data (a message, a tool), through every filter: only the template's own bytes may later
 * become control tokens. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "engine/error.h"

#define CHAT_TEMPLATE_SOURCE_MAX (256u << 10)
#define CHAT_TEMPLATE_STEPS_MAX (4u << 20)
#define CHAT_TEMPLATE_OUTPUT_MAX (32u << 20)
#define CHAT_TEMPLATE_DEPTH_MAX 64u
#define CHAT_TEMPLATE_MEMORY_MAX (256u << 20)  /* values alive in one run */

typedef struct ChatTemplate ChatTemplate;   /* parsed; immutable */

typedef struct ChatMessage {
        const char *role;                   /* "system", "user", "assistant", "tool": these, and "developer", count as the
                                             * template's own words; any other role is data */
        const char *content;                /* bytes; may be NULL where tool_calls is set */
        size_t content_size;
        const char *tool_calls_json;        /* NULL, or a JSON array as the OpenAI convention has it; `arguments` may be a
                                             * text of JSON or an object, the template gets what it can use */
        const char *name;                   /* NULL, or the tool's name for role "tool" */
        const char *tool_call_id;           /* NULL, or which call a message of role "tool" answers */
        const char *reasoning;              /* NULL, or what an assistant thought first (`reasoning_content`) */
} ChatMessage;

typedef struct ChatContext {
        const ChatMessage *messages;
        size_t n_messages;
        const char *tools_json;             /* NULL, or a JSON array of tool descriptions */
        bool add_generation_prompt;
        const char *bos_token, *eos_token;  /* text; "" where there is none; counted as the template's own bytes */
        time_t now;                         /* for strftime_now, in local time: where files cannot be opened later, the
                                             * process has called tzset() before */
        const char *extra_json;             /* NULL, or a JSON object of further variables (enable_thinking, …) */
} ChatContext;

typedef struct ChatText {                   /* chat_text_done() frees */
        char *text;
        uint8_t *data;                      /* one byte per byte of text: 1 where it came from a message or a tool */
        size_t n;
} ChatText;

int chat_template_new(const char *source, size_t n, ChatTemplate **ret, EngineError *reterr);
ChatTemplate *chat_template_free(ChatTemplate *t);
DEFINE_CLEANUP(ChatTemplate, chat_template_free);

/* -EBADMSG: the template failed, with line and reason; -EPROTO: it called raise_exception (the text is its message);
 * -E2BIG: a bound above was reached (the text says which). */
int chat_template_render(const ChatTemplate *t, const ChatContext *c, ChatText *ret, EngineError *reterr);
void chat_text_done(ChatText *t);
