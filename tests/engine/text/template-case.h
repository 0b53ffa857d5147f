/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A rendering described in JSON, as make-template-vectors.py writes it and transformers takes it:
 * {"template": text, "messages": [{role, content, tool_calls, name, tool_call_id, …}], "tools": …,
 *  "add_generation_prompt": bool, "extra": {…}, "text": what jinja2 gave, or "error": kind} */

#include <jansson.h>

#include "engine/text/chat-template.h"

#define TEMPLATE_CASE_NOW 1700000000    /* 2023-11-14 22:13:20 UTC, what strftime_now sees */

/* Parses and renders `source` with what the case says; both -errno and text as chat-template.h has them. */
int template_case_render(const char *source, size_t n, const json_t *c, ChatText *ret, EngineError *reterr);
