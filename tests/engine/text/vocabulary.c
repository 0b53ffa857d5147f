/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Turns a vocabulary written as text into a GGUF: see vocabulary.h. Believes everything, so that what is broken reaches
 * the tokenizer as it is. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/format/gguf-writer.h"
#include "engine/text/vocab.h"
#include "tests/engine/text/vocabulary.h"

enum { TOKENS_MAX = 2048, MERGES_MAX = 512 };

typedef struct Spec {
        GgufWriter *w;
        GgufString tokens[TOKENS_MAX], merges[MERGES_MAX];
        uint32_t types[TOKENS_MAX];
        float scores[TOKENS_MAX];
        size_t n_tokens, n_merges, n_types, n_scores;
        char own[64 << 10];             /* texts that are not in the spec as they are */
        size_t n_own;
} Spec;

static int add(Spec *s, unsigned type, float score, const char *text, size_t n) {
        if (s->n_tokens == TOKENS_MAX)
                return -EINVAL;
        s->types[s->n_tokens] = type;
        s->scores[s->n_tokens] = score;
        s->tokens[s->n_tokens++] = (GgufString) { text, n };
        return 0;
}

static int add_own(Spec *s, unsigned type, const char *text, size_t n) {
        if (n > sizeof s->own - s->n_own)
                return -EINVAL;
        char *own = s->own + s->n_own;
        s->n_own += n;
        memcpy(own, text, n);
        return add(s, type, 0, own, n);
}

static int add_token(Spec *s, const char *line, size_t n) {
        char number[32] = {}, text[4200];
        const char *space = n > 2 ? memchr(line + 2, ' ', n - 2) : NULL;
        size_t n_text = 0;

        if (!space || (size_t) (space - line - 2) >= sizeof number)
                return -EINVAL;
        memcpy(number, line + 2, space - line - 2);
        for (const char *p = space + 1; p < line + n; p++) {
                bool escaped = p + 1 < line + n && p[0] == '\\' && p[1] == 'n';
                if (n_text == sizeof text)
                        return -EINVAL;
                text[n_text++] = escaped ? '\n' : *p;
                p += escaped;
        }
        int r = add_own(s, (unsigned) (line[0] - '0'), text, n_text);
        if (r >= 0)
                s->scores[s->n_tokens - 1] = strtof(number, NULL);
        return r;
}

static int add_bytes(Spec *s, bool byte_level) {
        for (unsigned b = 0; b < 256; b++) {
                char text[8];
                size_t n = byte_level ? vocab_byte_level(&(char) { (char) b }, 1, text) : (size_t) snprintf(text, sizeof text, "<0x%02X>", b);
                int r = add_own(s, byte_level ? TOKEN_NORMAL : TOKEN_BYTE, text, n);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_key(Spec *s, char kind, const char *line, size_t n) {
        char copy[64] = {}, key[96];
        char *value;

        if (n >= sizeof copy)
                return -EINVAL;
        memcpy(copy, line, n);
        value = strchr(copy, ' ');
        if (!value || value == copy)
                return -EINVAL;
        *value++ = 0;
        snprintf(key, sizeof key, "tokenizer.ggml.%s", copy);
        return kind == 'U' ? gguf_writer_u32(s->w, key, (uint32_t) strtoul(value, NULL, 10)) : gguf_writer_bool(s->w, key, value[0] == '1');
}

static int add_line(Spec *s, const char *line, size_t n) {
        const char *rest = line + MIN(n, (size_t) 2);
        size_t n_rest = n - (rest - line);
        char number[16] = {};

        memcpy(number, rest, MIN(n_rest, sizeof number - 1));
        switch (n > 0 ? line[0] : 0) {
        case 'M':
                return gguf_writer_string(s->w, "tokenizer.ggml.model", rest, n_rest);
        case 'P':
                return gguf_writer_string(s->w, "tokenizer.ggml.pre", rest, n_rest);
        case 'T':
                return add_token(s, rest, n_rest);
        case 'A':
        case 'H':
                return add_bytes(s, line[0] == 'A');
        case 'G':
                if (s->n_merges == MERGES_MAX)
                        return -EINVAL;
                s->merges[s->n_merges++] = (GgufString) { rest, n_rest };
                return 0;
        case 'U':
        case 'B':
                return add_key(s, line[0], rest, n_rest);
        case 'Y':
                s->n_types = strtoul(number, NULL, 10);
                return 0;
        case 'S':
                s->n_scores = strtoul(number, NULL, 10);
                return 0;
        default:
                return 0;
        }
}

int vocabulary_file(const char *spec, size_t n, void **ret, size_t *ret_size, const char **ret_text, size_t *ret_n_text) {
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        _cleanup_free_ Spec *s = calloc(1, sizeof(Spec));
        const char *end = spec + n;
        int r;

        if (!s || gguf_writer_new(&w) < 0)
                return -ENOMEM;
        *s = (Spec) { .w = w, .n_types = SIZE_MAX, .n_scores = SIZE_MAX };
        *ret_text = end;
        for (const char *line = spec; line < end;) {
                const char *stop = memchr(line, '\n', end - line) ?: end;
                const char *next = stop + (stop < end);
                if (stop == line + 1 && line[0] == '=') {
                        *ret_text = next;
                        break;
                }
                if ((r = add_line(s, line, stop - line)) < 0)
                        return r;
                line = next;
        }
        *ret_n_text = end - *ret_text;

        gguf_writer_strings(w, "tokenizer.ggml.tokens", s->tokens, s->n_tokens);
        gguf_writer_u32s(w, "tokenizer.ggml.token_type", s->types, MIN(s->n_types, s->n_tokens));
        gguf_writer_f32s(w, "tokenizer.ggml.scores", s->scores, MIN(s->n_scores, s->n_tokens));
        gguf_writer_strings(w, "tokenizer.ggml.merges", s->merges, s->n_merges);
        return gguf_writer_to_memory(w, ret, ret_size);
}
