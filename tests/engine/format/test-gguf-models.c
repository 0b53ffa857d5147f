/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Real files: counts, a few values, and one tensor of each weight type bit for bit. The sums were taken with the
 * format's own Python package (PyPI gguf 0.19.0): over the float32 values' bits, Σ bits[i] · (i mod 65521 + 1) mod 2^64. */

#include "engine/format/gguf.h"
#include "tests/test-model.h"

typedef struct Expected {
        const char *tensor;
        TensorTypeId type;
        uint64_t columns, rows, sum;
} Expected;

static void check_tensor(const Gguf *g, const TestModelFile *f, const Expected *e) {
        const GgufTensor *t = gguf_tensor(g, e->tensor);
        uint64_t sum = 0, i = 0;
        CHECK(t);
        CHECK_INT(t->type->id, e->type);
        CHECK_INT(t->ne[0], e->columns);
        CHECK_INT(t->ne[1], e->rows);
        CHECK_INT(t->size, e->columns / t->type->block_size * t->type->block_bytes * e->rows);
        CHECK((const char *) t->data >= (const char *) f->data && (const char *) t->data + t->size <= (const char *) f->data + f->size);

        _cleanup_free_ float *row = malloc(e->columns * sizeof *row);
        CHECK(row);
        for (uint64_t r = 0; r < e->rows; r++) {
                t->type->dequantize((const char *) t->data + r * (t->size / e->rows), row, e->columns);
                for (uint64_t c = 0; c < e->columns; c++, i++) {
                        uint32_t bits;
                        memcpy(&bits, &row[c], sizeof bits);
                        sum += bits * (i % 65521 + 1);
                }
        }
        if (sum != e->sum)
                printf("# %s: %#llx\n", e->tensor, (unsigned long long) sum);
        CHECK(sum == e->sum);
}

static void check_file(const char *name, size_t n_tensors, const char *architecture, uint32_t n_embd, size_t n_tokens,
                       const Expected *expected, size_t n_expected) {
        TestModelFile f;
        EngineError e = { 0 };
        Gguf *g = NULL;
        GgufString s, *tokens = NULL;
        uint32_t *types = NULL, v;
        char key[64];
        size_t n;

        test_model_map(name, &f);
        CHECK_INT(gguf_new(&(GgufPart) { f.data, f.size }, 1, &g, &e), 0);
        CHECK_INT(gguf_n_tensors(g), n_tensors);
        CHECK_INT(gguf_n_kv(g), 33);
        CHECK_INT(gguf_string(g, "general.architecture", &s, &e), 0);
        CHECK(s.size == strlen(architecture) && memcmp(s.data, architecture, s.size) == 0);
        snprintf(key, sizeof key, "%s.embedding_length", architecture);
        CHECK_INT(gguf_u32(g, key, &v, &e), 0);
        CHECK_INT(v, n_embd);
        CHECK_INT(gguf_strings(g, "tokenizer.ggml.tokens", &tokens, &n, &e), 0);
        CHECK_INT(n, n_tokens);
        CHECK_INT(gguf_u32s(g, "tokenizer.ggml.token_type", &types, &n, &e), 0);
        CHECK_INT(n, n_tokens);
        for (size_t i = 0; i < gguf_n_tensors(g); i++)
                CHECK(gguf_tensor(g, gguf_tensor_at(g, i)->name) == gguf_tensor_at(g, i));
        for (size_t i = 0; i < n_expected; i++)
                check_tensor(g, &f, &expected[i]);

        /* the same file, cut: in its header, and in its last tensor */
        Gguf *none = NULL;
        for (size_t cut = 24; cut < f.size; cut = cut * 3 + 1)
                CHECK_INT(gguf_new(&(GgufPart) { f.data, cut }, 1, &none, &e), -EBADMSG);
        CHECK(!none && strstr(e.text, "byte "));

        free(tokens);
        free(types);
        gguf_free(g);
        munmap((void *) f.data, f.size);
}

static void smollm2(void) {
        static const Expected expected[] = {
                { "token_embd.weight", TENSOR_Q8_0, 576, 49152, 0xb6e9ca6f843ff40 },
                { "blk.0.attn_norm.weight", TENSOR_F32, 576, 1, 0x132a306ab0000 },
                { "blk.0.ffn_down.weight", TENSOR_Q4_1, 1536, 576, 0x409fdca6c6e8e400 },
        };
        check_file("smollm2-135m-instruct", 272, "llama", 576, 49152, expected, ELEMENTSOF(expected));
}

static void gemma3(void) {
        static const Expected expected[] = {
                { "output_norm.weight", TENSOR_F32, 640, 1, 0xcc6183408000 },
                { "token_embd.weight", TENSOR_Q8_0, 640, 262144, 0xd79737905c131b40 },
                { "blk.0.attn_k.weight", TENSOR_Q5_0, 640, 256, 0x870bc9a865e9d000 },
                { "blk.0.attn_output.weight", TENSOR_Q4_K, 1024, 640, 0x6dec9b2e751ca8c0 },
                { "blk.0.ffn_down.weight", TENSOR_Q6_K, 2048, 640, 0xc8a0403b1286b12a },
        };
        check_file("gemma-3-270m", 236, "gemma3", 640, 262144, expected, ELEMENTSOF(expected));
}

TEST_MAIN(
        { "smollm2-135m-instruct", smollm2 },
        { "gemma-3-270m", gemma3 },
)
