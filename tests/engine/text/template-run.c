/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Renders cases for check-templates.py: a JSON object a line comes in, {"text"} or {"error", "reason"} goes out. */


#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/engine/text/template-case.h"

int main(void) {
        _cleanup_free_ char *line = NULL;
        size_t allocated = 0;
        ssize_t n;

        while ((n = getline(&line, &allocated, stdin)) > 0) {
                json_t *c = json_loadb(line, (size_t) n, JSON_ALLOW_NUL, NULL);
                const json_t *source = json_object_get(c, "template");
                EngineError error = {};
                ChatText text = {};
                if (!source) {
                        fprintf(stderr, "not a case: %s", line);
                        return 1;
                }
                int r = template_case_render(json_string_value(source), json_string_length(source), c, &text, &error);
                json_t *answer = r < 0 ? json_pack("{s:s, s:s}", "error", r == -EPROTO ? "raised" : r == -E2BIG ? "bound" : "failed",
                                                   "reason", error.text) :
                        json_pack("{s:o}", "text", json_stringn(text.text, text.n));
                if (!answer)
                        return 1;
                json_dumpf(answer, stdout, JSON_COMPACT);
                putchar('\n');
                fflush(stdout);
                json_decref(answer);
                json_decref(c);
                chat_text_done(&text);
        }
        return 0;
}
