/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns `inspect` (what a file holds, without loading its weights) and `tokenize`. */

#include <errno.h>
#include <stdio.h>

#include "cli/spark-lm.h"

static int inspect(const LmCall *call) {
        _cleanup_(lm_done) Lm lm;
        _cleanup_(gguf_freep) Gguf *g = NULL;
        EngineError e = {};
        const char *path = call->arguments[0];

        int r = lm_map(path, &lm);
        if (r < 0)
                return 1;
        r = gguf_new(lm.parts, lm.n_parts, &g, &e);
        if (r < 0) {
                lm_print_error(r, path, &e);
                return 1;
        }

        for (size_t i = 0; i < gguf_n_kv(g); i++) {
                char value[160];
                printf("%s = %s\n", gguf_kv_at(g, i, value, sizeof value), value);
        }
        uint64_t bytes = 0;
        for (size_t i = 0; i < gguf_n_tensors(g); i++) {
                const GgufTensor *t = gguf_tensor_at(g, i);
                printf("%-40s %-6s", t->name, t->type->name);
                for (unsigned d = 0; d < t->n_dims; d++)
                        printf("%s%llu", d > 0 ? " × " : " ", (unsigned long long) t->ne[d]);
                printf("\n");
                bytes += t->size;
        }
        printf("%zu tensors, %.1f MB\n", gguf_n_tensors(g), (double) bytes / 1e6);
        return 0;
}

const LmCommand lm_inspect = {
        .name = "inspect",
        .arguments = "MODEL",
        .summary = "print a model file's metadata and tensors",
        .n_arguments = 1,
        .run = inspect,
};

enum { TOKENIZE_SPECIAL };

static int tokenize(const LmCall *call) {
        _cleanup_(lm_done) Lm lm;
        _cleanup_(gguf_freep) Gguf *g = NULL;
        _cleanup_(tokenizer_freep) Tokenizer *t = NULL;
        _cleanup_(token_list_done) TokenList list = {};
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        EngineError e = {};

        int r = lm_map(call->arguments[0], &lm);
        if (r < 0)
                return 1;
        if ((r = gguf_new(lm.parts, lm.n_parts, &g, &e)) < 0 || (r = tokenizer_new(g, &t, &e)) < 0) {
                lm_print_error(r, call->arguments[0], &e);
                return 1;
        }
        if (lm_read(NULL, &text, &n) < 0)
                return 1;
        r = call->values[TOKENIZE_SPECIAL] ? tokenizer_encode(t, text, n, NULL, &list) : tokenizer_encode_data(t, text, n, &list);
        if (r < 0) {
                lm_print_error(r, "text", NULL);
                return 1;
        }
        printf("[");
        for (size_t i = 0; i < list.n; i++)
                printf("%s%u", i > 0 ? ", " : "", list.ids[i]);
        printf("]\n");
        return fflush(stdout) == 0 ? 0 : 1;
}

const LmCommand lm_tokenize = {
        .name = "tokenize",
        .arguments = "MODEL [--special] < TEXT",
        .summary = "standard input as one JSON array of token ids",
        .n_arguments = 1,
        .options = (const LmOption[]) { { "special", NULL, "find control tokens in the text" }, {} },
        .run = tokenize,
};
