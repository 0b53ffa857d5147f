/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ids against others' on real vocabularies, from the records beside this file: llama.cpp's on awkward strings
 * (record-llama-cpp), the Hugging Face tokenizers' on 10,000 generated ones under every pre-tokenizer rule
 * (record-huggingface, which says how strings are generated). */

#include "engine/format/gguf-writer.h"
#include "engine/text/tokenizer.h"
#include "tests/test-model.h"

enum { N_STRINGS = 10000, BLOCK = 50, ROWS_MAX = 40, ALTERNATIVES_MAX = 256 };

static char *read_record(const char *name) {
        char path[4096];
        snprintf(path, sizeof path, "%s/tests/engine/text/data/%s", TEST_SOURCE_ROOT, name);
        FILE *f = fopen(path, "r");
        CHECK(f);
        char *text = malloc(1 << 20);
        CHECK(text);
        size_t n = fread(text, 1, (1 << 20) - 1, f);
        fclose(f);
        text[n] = 0;
        return text;
}

static size_t from_hex(const char *hex, char *out) {
        size_t n = 0;
        for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
                out[n] = (char) byte;
        return n;
}

/* ---- vocabularies ---- */

typedef struct Vocabulary {
        void *file;                             /* ours, where the rule was exchanged */
        Gguf *gguf;
        Tokenizer *tokenizer;
} Vocabulary;

static void vocabulary_done(Vocabulary *v) {
        tokenizer_free(v->tokenizer);
        gguf_free(v->gguf);
        free(v->file);
}

/* The byte-level vocabulary of `from` with another pre-tokenizer rule. */
static void exchange_rule(const Gguf *from, const char *pre, Vocabulary *v) {
        static const char *const arrays[] = { "tokenizer.ggml.tokens", "tokenizer.ggml.merges" };
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        _cleanup_free_ uint32_t *types = NULL;
        size_t n, size;

        CHECK_INT(gguf_writer_new(&w), 0);
        gguf_writer_string(w, "tokenizer.ggml.model", "gpt2", 4);
        gguf_writer_string(w, "tokenizer.ggml.pre", pre, strlen(pre));
        for (size_t i = 0; i < ELEMENTSOF(arrays); i++) {
                _cleanup_free_ GgufString *texts = NULL;
                CHECK_INT(gguf_strings(from, arrays[i], &texts, &n, NULL), 0);
                gguf_writer_strings(w, arrays[i], texts, n);
        }
        CHECK_INT(gguf_u32s(from, "tokenizer.ggml.token_type", &types, &n, NULL), 0);
        gguf_writer_u32s(w, "tokenizer.ggml.token_type", types, n);
        CHECK_INT(gguf_writer_to_memory(w, &v->file, &size), 0);
        CHECK_INT(gguf_new(&(GgufPart) { v->file, size }, 1, &v->gguf, NULL), 0);
}

static void load(const char *model, const char *pre, Vocabulary *v) {
        TestModelFile f;
        EngineError e = {};
        test_model_map(model, &f);
        _cleanup_(gguf_freep) Gguf *real = NULL;
        CHECK_INT(gguf_new(&(GgufPart) { f.data, f.size }, 1, &real, &e), 0);
        if (pre)
                exchange_rule(real, pre, v);
        else
                v->gguf = TAKE_PTR(real);
        int r = tokenizer_new(v->gguf, &v->tokenizer, &e);
        if (r < 0)
                printf("# %s\n", e.text);
        CHECK_INT(r, 0);
        munmap((void *) f.data, pre ? f.size : 0);
}

/* ---- generated strings ---- */

static char parts[ROWS_MAX][ALTERNATIVES_MAX][64];
static size_t n_parts[ROWS_MAX], n_rows;

static void load_parts(const char *name) {
        _cleanup_free_ char *record = read_record(name);
        char *lines, *words;
        n_rows = 0;
        for (char *line = strtok_r(record, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines), n_rows++) {
                CHECK(n_rows < ROWS_MAX);
                n_parts[n_rows] = 0;
                strtok_r(line, " ", &words);
                for (char *word; (word = strtok_r(NULL, " ", &words)); n_parts[n_rows]++) {
                        CHECK(n_parts[n_rows] < ALTERNATIVES_MAX && strlen(word) / 2 < sizeof parts[0][0]);
                        char *part = parts[n_rows][n_parts[n_rows]];
                        part[from_hex(word, part)] = 0;
                }
        }
        CHECK(n_rows > 25);
}

static size_t below(uint64_t *state, size_t n) {        /* splitmix64 */
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return (z ^ z >> 31) % n;
}

/* NUL is among the code points, and the only part of length 0 as a C string. */
static size_t make_string(uint64_t number, char *out) {
        char *o = out;
        for (size_t left = 1 + below(&number, 16); left > 0; left--) {
                size_t row = below(&number, 2) ? 0 : SIZE_MAX;
                if (row != 0)
                        row = 1 + below(&number, n_rows - 1);
                const char *part = parts[row][below(&number, n_parts[row])];
                size_t n = strlen(part);
                memcpy(o, part, n ?: 1);
                o += n ?: 1;
        }
        return o - out;
}

static void check_huggingface(const char *name, const Vocabulary *v, const char *kind) {
        load_parts(kind);

        _cleanup_free_ char *record = read_record("huggingface.txt");
        char *lines, *words, *line = strtok_r(record, "\n", &lines);
        while (line && (strncmp(line, name, strlen(name)) != 0 || line[strlen(name)] != ' '))
                line = strtok_r(NULL, "\n", &lines);
        CHECK(line);
        strtok_r(line, " ", &words);

        uint64_t h = UINT64_C(0xcbf29ce484222325);
        unsigned wrong = 0;
        for (uint64_t i = 0; i < N_STRINGS; i++) {
                _cleanup_(token_list_done) TokenList list = {};
                char text[2048];
                size_t n = make_string(i, text);
                CHECK_INT(tokenizer_encode(v->tokenizer, text, n, NULL, &list), 0);
                CHECK_INT(token_list_append(&list, &(uint32_t) { UINT32_MAX }, 1), 0);
                for (size_t j = 0; j < list.n; j++)
                        h = (h ^ list.ids[j]) * UINT64_C(0x100000001b3);
                if (i % BLOCK != BLOCK - 1)
                        continue;
                const char *expected = strtok_r(NULL, " ", &words);
                CHECK(expected);
                if (strtoul(expected, NULL, 16) != h >> 32) {
                        printf("# %s: strings %lld to %lld differ\n", name, (long long) i - BLOCK + 1, (long long) i);
                        wrong++;
                }
                h = UINT64_C(0xcbf29ce484222325);
        }
        CHECK_INT(wrong, 0);
}

/* ---- llama.cpp ---- */

static void check_llama_cpp(const char *model) {
        _cleanup_(vocabulary_done) Vocabulary v = {};
        load(model, NULL, &v);
        _cleanup_free_ char *record = read_record("llama-cpp.txt");
        _cleanup_free_ char *text = malloc(1 << 16);
        CHECK(text);
        char *lines, *words;
        unsigned n_compared = 0, wrong = 0;

        for (char *line = strtok_r(record, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
                if (strcmp(strtok_r(line, " ", &words), model) != 0)
                        continue;
                bool data = strcmp(strtok_r(NULL, " ", &words), "data") == 0;
                size_t repeat = strtoul(strtok_r(NULL, " ", &words), NULL, 10);
                const char *hex = strtok_r(NULL, " ", &words);
                size_t n = from_hex(hex, text);
                CHECK(n > 0 && n * repeat <= 1 << 16);
                for (size_t i = 1; i < repeat; i++)
                        memcpy(text + i * n, text, n);

                _cleanup_(token_list_done) TokenList list = {};
                CHECK_INT(data ? tokenizer_encode_data(v.tokenizer, text, n * repeat, &list)
                               : tokenizer_encode(v.tokenizer, text, n * repeat, NULL, &list), 0);
                size_t at = 0;
                bool same = true;
                for (char *word; (word = strtok_r(NULL, " ", &words));) {
                        unsigned id, count = 1;
                        CHECK(sscanf(word, "%u*%u", &id, &count) >= 1);
                        for (; count > 0; count--, at++)
                                same = same && at < list.n && list.ids[at] == id;
                }
                if (!same || at != list.n) {
                        printf("# %s, %s: %zu times %s differs\n", model, data ? "data" : "special", repeat, hex);
                        wrong++;
                }
                n_compared++;
        }
        CHECK(n_compared >= 150);
        CHECK_INT(wrong, 0);
}

static void test_llama_cpp_smollm(void) {
        check_llama_cpp("smollm2-135m-instruct");
}

static void test_llama_cpp_gemma(void) {
        check_llama_cpp("gemma-3-270m");
}

/* ---- Hugging Face ---- */

static void check_model(const char *name, const char *model, const char *pre) {
        _cleanup_(vocabulary_done) Vocabulary v = {};
        load(model, pre, &v);
        check_huggingface(name, &v, "strings.txt");
}

/* A vocabulary made up by the recorder: data/NAME.gguf. */
static void check_made_up(const char *name, const char *kind) {
        _cleanup_(vocabulary_done) Vocabulary v = {};
        char path[4096];
        EngineError e = {};
        snprintf(path, sizeof path, "%s/tests/engine/text/data/%s.gguf", TEST_SOURCE_ROOT, name);
        FILE *f = fopen(path, "r");
        CHECK(f);
        v.file = aligned_alloc(32, 1 << 20);
        CHECK(v.file);
        size_t size = fread(v.file, 1, 1 << 20, f);
        fclose(f);
        CHECK_INT(gguf_new(&(GgufPart) { v.file, size }, 1, &v.gguf, &e), 0);
        CHECK_INT(tokenizer_new(v.gguf, &v.tokenizer, &e), 0);
        check_huggingface(name, &v, kind);
}

#define RULE(symbol, pre)                                                       \
        static void test_##symbol(void) {                                       \
                check_model(pre, "smollm2-135m-instruct", pre);                 \
        }
RULE(smollm, "smollm")
RULE(gpt2, "gpt-2")
RULE(default, "default")
RULE(falcon, "falcon")
RULE(llama3, "llama-bpe")
RULE(dbrx, "dbrx")
RULE(qwen2, "qwen2")
RULE(qwen35, "qwen35")
RULE(llama4, "llama4")
RULE(tekken, "tekken")
RULE(deepseek, "deepseek-v3")

static void test_gemma(void) {
        check_model("gemma-3-270m", "gemma-3-270m", NULL);
}

static void test_wordpiece(void) {
        check_made_up("wordpiece", "old-strings.txt");
        check_made_up("wordpiece-cased", "old-strings.txt");
}

static void test_unigram(void) {
        check_made_up("unigram", "strings.txt");
}

TEST_MAIN(
        { "llama.cpp, SmolLM2", test_llama_cpp_smollm },
        { "llama.cpp, Gemma 3", test_llama_cpp_gemma },
        { "Hugging Face, SmolLM2", test_smollm },
        { "Hugging Face, rule gpt-2", test_gpt2 },
        { "Hugging Face, rule default", test_default },
        { "Hugging Face, rule falcon", test_falcon },
        { "Hugging Face, rule llama-bpe", test_llama3 },
        { "Hugging Face, rule dbrx", test_dbrx },
        { "Hugging Face, rule qwen2", test_qwen2 },
        { "Hugging Face, rule qwen35", test_qwen35 },
        { "Hugging Face, rule llama4", test_llama4 },
        { "Hugging Face, rule tekken", test_tekken },
        { "Hugging Face, rule deepseek-v3", test_deepseek },
        { "Hugging Face, Gemma 3", test_gemma },
        { "Hugging Face, WordPiece", test_wordpiece },
        { "Hugging Face, unigram", test_unigram })
