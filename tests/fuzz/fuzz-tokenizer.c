/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tokenizers of every kind on vocabularies and texts that are both the fuzzer's (tests/engine/text/vocabulary.h says how
 * they are written). Whatever a file says: ids are in range, data gives no control token, encoding twice gives the same,
 * and where every byte has a token the pieces join to the text. */

#include <stdlib.h>
#include <string.h>

#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"
#include "tests/engine/text/vocabulary.h"
#include "tests/fuzz/promise.h"

static bool white(const char *piece, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (piece[i] != ' ' && (piece[i] < '\t' || piece[i] > '\r') && strncmp(piece + i, "\xe2\x96\x81", MIN(n - i, (size_t) 3)) != 0)
                        return false;
                else if (piece[i] == '\xe2')
                        i += 2;
        return true;
}

/* The unknown token is the one control token that data may give. */
static void check_ids(const Tokenizer *t, const TokenList *list, bool data, bool unknown_allowed) {
        for (size_t i = 0; i < list->n; i++) {
                size_t n;
                const char *piece = tokenizer_piece(t, list->ids[i], &n);
                PROMISE(piece && n <= TOKENIZER_PIECE_MAX);
                if (data && tokenizer_is_control(t, list->ids[i]))
                        PROMISE(unknown_allowed || white(piece, n));
                (void) tokenizer_is_end(t, list->ids[i]);
        }
}

static void check_joined(const Tokenizer *t, const TokenList *list, const char *text, size_t n) {
        size_t at = 0;

        for (size_t i = 0; i < list->n; i++) {
                size_t size;
                const char *piece = tokenizer_piece(t, list->ids[i], &size);
                PROMISE(size <= n - at && memcmp(piece, text + at, size) == 0);
                at += size;
        }
        PROMISE(at == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
        _cleanup_(gguf_freep) Gguf *g = NULL;
        _cleanup_(tokenizer_freep) Tokenizer *t = NULL;
        _cleanup_free_ void *file = NULL;
        _cleanup_free_ uint8_t *mask = NULL;
        const char *spec = (const char *) bytes, *text;
        TokenList all = {}, again = {}, data = {}, mixed = {};
        size_t size, n;
        EngineError e = {};

        if (vocabulary_file(spec, n_bytes, &file, &size, &text, &n) < 0 || gguf_new(&(GgufPart) { file, size }, 1, &g, &e) < 0)
                return 0;
        int r = tokenizer_new(g, &t, &e);
        PROMISE(r == 0 || (e.text[0] && utf8_valid(e.text, strlen(e.text))));
        if (r < 0)
                return 0;
        GgufString model = {};
        PROMISE(gguf_string(g, "tokenizer.ggml.model", &model, NULL) == 0);
        bool byte_level = model.size == 4 && memcmp(model.data, "gpt2", 4) == 0;
        g = gguf_free(g);               /* nothing may point into the file any more */
        free(TAKE_PTR(file));

        mask = calloc(1, n + 1);
        PROMISE(mask != NULL);
        for (size_t i = 0; i < n; i++)
                mask[i] = (uint8_t) text[i] >> 1 & 1;
        PROMISE(tokenizer_encode(t, text, n, NULL, &all) == 0);
        PROMISE(tokenizer_encode(t, text, n, NULL, &again) == 0);
        PROMISE(tokenizer_encode_data(t, text, n, &data) == 0);
        PROMISE(tokenizer_encode(t, text, n, mask, &mixed) == 0);
        PROMISE(all.n == again.n && (all.n == 0 || memcmp(all.ids, again.ids, all.n * sizeof(uint32_t)) == 0));

        check_ids(t, &all, false, true);
        check_ids(t, &mixed, false, true);
        check_ids(t, &data, true, !byte_level);
        if (byte_level && memmem(spec, text - spec, "\nA\n", 3)) {
                check_joined(t, &all, text, n);
                check_joined(t, &data, text, n);
                check_joined(t, &mixed, text, n);
        }
        token_list_done(&all);
        token_list_done(&again);
        token_list_done(&data);
        token_list_done(&mixed);
        return 0;
}
