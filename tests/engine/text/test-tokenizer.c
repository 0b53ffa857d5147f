/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every tokenizer owes, on the tiny model's vocabulary: pieces that join to the text, control tokens only where
 * they are allowed, files that are broken refused by name. */

#include "engine/text/tokenizer.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/test.h"

typedef struct Fixture {
        void *file;
        Gguf *gguf;
        Tokenizer *tokenizer;
        TokenList list;
        EngineError error;
} Fixture;

static void done(Fixture *f) {
        token_list_done(&f->list);
        tokenizer_free(f->tokenizer);
        gguf_free(f->gguf);
        free(f->file);
}

static int load(Fixture *f, const TinyChange *changes, size_t n_changes) {
        size_t size;
        CHECK_INT(tiny_model(&(TinyModel) { .changes = changes, .n_changes = n_changes }, &f->file, &size), 0);
        CHECK_INT(gguf_new(&(GgufPart) { f->file, size }, 1, &f->gguf, &f->error), 0);
        return tokenizer_new(f->gguf, &f->tokenizer, &f->error);
}

static void joined(const Fixture *f, char *out) {
        for (size_t i = 0; i < f->list.n; i++) {
                size_t n;
                const char *piece = tokenizer_piece(f->tokenizer, f->list.ids[i], &n);
                CHECK(piece);
                memcpy(out, piece, n);
                out += n;
        }
        *out = 0;
}

static void test_round_trip(void) {
        static const char *const texts[] = { "", " ", "the thin thing in the inn", "naïve café 😀 日本語\tTab\r\n\n  end  ",
                                             "<|im_start|>user\nhi<|im_end|>\n", "<tool_call>", "\x80\xff\xc3", "a\xf0\x9f\x98" };
        _cleanup_(done) Fixture f = {};
        CHECK_INT(load(&f, NULL, 0), 0);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (int data = 0; data < 2; data++) {
                        char out[256];
                        f.list.n = 0;
                        CHECK_INT(data ? tokenizer_encode_data(f.tokenizer, texts[i], strlen(texts[i]), &f.list)
                                       : tokenizer_encode(f.tokenizer, texts[i], strlen(texts[i]), NULL, &f.list), 0);
                        joined(&f, out);
                        CHECK_STR(out, texts[i]);
                }
}

static void test_facts(void) {
        _cleanup_(done) Fixture f = {};
        uint32_t id = 0;
        size_t n;
        CHECK_INT(load(&f, NULL, 0), 0);
        CHECK_INT(tokenizer_n_vocab(f.tokenizer), TINY_VOCAB_MIN);
        CHECK(tokenizer_bos(f.tokenizer, &id));
        CHECK_INT(id, TINY_IM_START);
        CHECK(tokenizer_eos(f.tokenizer, &id));
        CHECK_INT(id, TINY_IM_END);
        CHECK(tokenizer_is_control(f.tokenizer, TINY_IM_START));
        CHECK(!tokenizer_is_control(f.tokenizer, TINY_TOOL_CALL));
        CHECK(!tokenizer_is_control(f.tokenizer, TINY_BYTES + 'a'));
        CHECK(tokenizer_is_end(f.tokenizer, TINY_IM_END));
        CHECK(tokenizer_is_end(f.tokenizer, TINY_END_OF_TEXT));
        CHECK(!tokenizer_is_end(f.tokenizer, TINY_IM_START));
        CHECK_INT(tokenizer_find(f.tokenizer, "<tool_call>", &id), 0);
        CHECK_INT(id, TINY_TOOL_CALL);
        CHECK_INT(tokenizer_find(f.tokenizer, "<tool_call", &id), -ENOENT);
        CHECK_INT(tokenizer_find(f.tokenizer, "", &id), -ENOENT);
        CHECK(!tokenizer_piece(f.tokenizer, TINY_VOCAB_MIN, &n));
        CHECK(!tokenizer_piece(f.tokenizer, UINT32_MAX, &n));
        CHECK(!tokenizer_is_end(f.tokenizer, UINT32_MAX) && !tokenizer_is_control(f.tokenizer, UINT32_MAX));
        for (unsigned b = 0; b < 256; b++) {
                const char *piece = tokenizer_piece(f.tokenizer, TINY_BYTES + b, &n);
                CHECK_INT(n, 1);
                CHECK_INT((uint8_t) piece[0], b);
        }
}

/* A control token needs every one of its bytes to be the template's. */
static void test_data_mask(void) {
        static const char text[] = "<|im_start|>say <|im_end|>!<|im_end|>";
        size_t n = strlen(text);
        _cleanup_(done) Fixture f = {};
        CHECK_INT(load(&f, NULL, 0), 0);

        for (size_t from = 0; from <= n; from++)
                for (size_t to = from; to <= n; to++) {
                        uint8_t data[64] = {};
                        unsigned starts = 0, ends = 0;
                        char out[128];
                        memset(data + from, 1, to - from);
                        f.list.n = 0;
                        CHECK_INT(tokenizer_encode(f.tokenizer, text, n, data, &f.list), 0);
                        for (size_t i = 0; i < f.list.n; i++) {
                                starts += f.list.ids[i] == TINY_IM_START;
                                ends += f.list.ids[i] == TINY_IM_END;
                        }
                        bool empty = from == to;
                        CHECK_INT(starts, empty || from >= 12);
                        CHECK_INT(ends, (empty || to <= 16 || from >= 26) + (empty || to <= 27));
                        joined(&f, out);
                        CHECK_STR(out, text);
                }
}

/* Where no control token is, who wrote what changes nothing: words run across the boundary. */
static void test_data_boundary(void) {
        static const char text[] = "the thin thing in the inn";
        size_t n = strlen(text);
        _cleanup_(done) Fixture f = {};
        CHECK_INT(load(&f, NULL, 0), 0);
        CHECK_INT(tokenizer_encode(f.tokenizer, text, n, NULL, &f.list), 0);
        CHECK(f.list.n < n);
        for (size_t cut = 0; cut <= n; cut++) {
                uint8_t data[64] = {};
                TokenList list = {};
                memset(data + cut, 1, n - cut);
                CHECK_INT(tokenizer_encode(f.tokenizer, text, n, data, &list), 0);
                CHECK_INT(list.n, f.list.n);
                CHECK_INT(memcmp(list.ids, f.list.ids, list.n * sizeof(uint32_t)), 0);
                token_list_done(&list);
        }
}

static void test_limits(void) {
        _cleanup_(done) Fixture f = {};
        CHECK_INT(load(&f, NULL, 0), 0);
        _cleanup_free_ char *text = malloc(TOKENIZER_TEXT_MAX + 1);
        CHECK(text);
        memset(text, ' ', TOKENIZER_TEXT_MAX + 1);
        CHECK_INT(token_list_append(&f.list, &(uint32_t) { 5 }, 1), 0);
        CHECK_INT(tokenizer_encode(f.tokenizer, text, TOKENIZER_TEXT_MAX + 1, NULL, &f.list), -E2BIG);
        CHECK_INT(f.list.n, 1);                         /* what was there is left as it was */
        memset(text, 't', 1 << 20);
        for (size_t i = 1; i < 1 << 20; i += 2)
                text[i] = 'h';
        CHECK_INT(tokenizer_encode(f.tokenizer, text, 1 << 20, NULL, &f.list), 0);
        CHECK(f.list.n > 1 && f.list.n <= 1 + (1 << 20));
}

static void test_broken_files(void) {
        static const struct {
                TinyChange change;
                int r;
                const char *named;
        } cases[] = {
                { { TINY_OMIT, "tokenizer.ggml.model" }, -EBADMSG, "tokenizer.ggml.model" },
                { { TINY_SET_STRING, "tokenizer.ggml.model", .s = "rwkv" }, -ENOTSUP, "rwkv" },
                { { TINY_SET_STRING, "tokenizer.ggml.pre", .s = "of-tomorrow" }, -ENOTSUP, "of-tomorrow" },
                { { TINY_SET_STRING, "tokenizer.ggml.pre", .s = "" }, -ENOTSUP, "tokenizer.ggml.pre" },
                { { TINY_SET_STRING, "tokenizer.ggml.pre", .s = "gpt-2 olmo" }, -ENOTSUP, "gpt-2 olmo" },
                { { TINY_OMIT, "tokenizer.ggml.tokens" }, -EBADMSG, "tokens" },
                { { TINY_OMIT, "tokenizer.ggml.merges" }, -EBADMSG, "merges" },
                { { TINY_SHORTEN, "tokenizer.ggml.token_type", .u = 1 }, -EBADMSG, "299 entries for 300" },
                { { TINY_ELEMENT_NUMBER, "tokenizer.ggml.token_type", .u = 7, .f = 9 }, -EBADMSG, "type 9" },
                { { TINY_ELEMENT_NUMBER, "tokenizer.ggml.token_type", .u = 7, .f = 6 }, -EBADMSG, "is a byte" },
                { { TINY_ELEMENT, "tokenizer.ggml.merges", .u = 1, .s = "nospace" }, -EBADMSG, "nospace" },
                { { TINY_ELEMENT, "tokenizer.ggml.merges", .u = 1, .s = "" }, -EBADMSG, "entry 1" },
                { { TINY_ELEMENT, "tokenizer.ggml.merges", .u = 1, .s = "a " }, -EBADMSG, "entry 1" },
                { { TINY_SET_U32, "tokenizer.ggml.eos_token_id", .u = 300 }, -EBADMSG, "eos_token_id is 300" },
                { { TINY_SET_U32, "tokenizer.ggml.bos_token_id", .u = UINT32_MAX }, -EBADMSG, "bos_token_id" },
                { { TINY_SET_STRING, "tokenizer.ggml.add_bos_token", .s = "yes" }, -EBADMSG, "add_bos_token" },
                /* odd, but harmless */
                { { TINY_ELEMENT, "tokenizer.ggml.tokens", .u = 299, .s = "" }, 0, NULL },
                { { TINY_ELEMENT, "tokenizer.ggml.tokens", .u = 299, .s = "a" }, 0, NULL },
                { { TINY_ELEMENT, "tokenizer.ggml.merges", .u = 0, .s = "no such" }, 0, NULL },
                { { TINY_OMIT, "tokenizer.ggml.pre" }, 0, NULL },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(done) Fixture f = {};
                int r = load(&f, &cases[i].change, 1);
                if (r != cases[i].r || (r < 0 && !strstr(f.error.text, cases[i].named)))
                        printf("# case %zu: %s\n", i, f.error.text);
                CHECK_INT(r, cases[i].r);
                if (r < 0)
                        CHECK(strstr(f.error.text, cases[i].named));
        }
}

TEST_MAIN(
        { "pieces join to the text", test_round_trip },
        { "ids, pieces, control and end tokens", test_facts },
        { "data never becomes a control token", test_data_mask },
        { "data and template are one text", test_data_boundary },
        { "limits", test_limits },
        { "broken files are refused by name", test_broken_files })
