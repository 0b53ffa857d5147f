/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The model that other tests stand on: the same bytes each time, readable in every weight type, of sane spread, and
 * wrong exactly where it was asked to be. */

#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "engine/format/gguf.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/test.h"

typedef struct Opened {
        void *data;
        size_t size;
        Gguf *g;
} Opened;

static void opened_done(Opened *o) {
        gguf_free(o->g);
        free(o->data);
}

static void open_tiny(const TinyModel *m, Opened *ret) {
        EngineError e = { 0 };
        CHECK_INT(tiny_model(m, &ret->data, &ret->size), 0);
        CHECK_INT(gguf_new(&(GgufPart) { ret->data, ret->size }, 1, &ret->g, &e), 0);
}

static void the_same_bytes_each_time(void) {
        _cleanup_(opened_done) Opened a = { 0 }, b = { 0 }, c = { 0 };
        open_tiny(NULL, &a);
        open_tiny(&(TinyModel) { .n_layers = 2, .n_embd = 64 }, &b);
        open_tiny(&(TinyModel) { .seed = 1 }, &c);
        CHECK(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
        CHECK(a.size == c.size && memcmp(a.data, c.data, a.size) != 0);
}

static void parameters_are_followed(void) {
        _cleanup_(opened_done) Opened o = { 0 };
        _cleanup_free_ GgufString *tokens = NULL;
        uint32_t v;
        size_t n;
        open_tiny(&(TinyModel) { .n_layers = 3, .n_embd = 96, .n_heads = 6, .n_heads_kv = 3, .n_ff = 160, .n_ctx = 1024, .n_vocab = 500, .untied = 1 }, &o);
        CHECK_INT(gguf_u32(o.g, "llama.block_count", &v, NULL), 0);
        CHECK_INT(v, 3);
        CHECK_INT(gguf_u32(o.g, "llama.context_length", &v, NULL), 0);
        CHECK_INT(v, 1024);
        CHECK_INT(gguf_strings(o.g, "tokenizer.ggml.tokens", &tokens, &n, NULL), 0);
        CHECK_INT(n, 500);
        CHECK(tokens[TINY_IM_END].size == 10 && memcmp(tokens[TINY_IM_END].data, "<|im_end|>", 10) == 0);
        CHECK(tokens[TINY_BYTES + 'A'].size == 1 && tokens[TINY_BYTES + 'A'].data[0] == 'A');
        CHECK(tokens[TINY_BYTES + ' '].size == 2 && memcmp(tokens[TINY_BYTES + ' '].data, "\xc4\xa0", 2) == 0);
        CHECK(tokens[TINY_BYTES + 0xff].size == 2 && memcmp(tokens[TINY_BYTES + 0xff].data, "\xc3\xbf", 2) == 0);
        CHECK_INT(gguf_n_tensors(o.g), 3 * 9 + 3);
        CHECK_INT(gguf_tensor(o.g, "blk.2.attn_k.weight")->ne[1], 48);
        CHECK_INT(gguf_tensor(o.g, "blk.2.ffn_down.weight")->ne[0], 160);
        CHECK_INT(gguf_tensor(o.g, "output.weight")->ne[1], 500);

        void *data = NULL;
        size_t size;
        CHECK_INT(tiny_model(&(TinyModel) { .n_vocab = 299 }, &data, &size), -EINVAL);
        CHECK_INT(tiny_model(&(TinyModel) { .n_embd = 65 }, &data, &size), -EINVAL);
        CHECK_INT(tiny_model(&(TinyModel) { .n_embd = 64, .type = TENSOR_Q4_K }, &data, &size), -EINVAL);
        CHECK(!data);
}

static void no_piece_stands_twice(void) {
        _cleanup_(opened_done) Opened o = { 0 };
        _cleanup_free_ GgufString *tokens = NULL;
        size_t n;
        open_tiny(&(TinyModel) { .n_vocab = 400 }, &o);
        CHECK_INT(gguf_strings(o.g, "tokenizer.ggml.tokens", &tokens, &n, NULL), 0);
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < i; j++)
                        CHECK(tokens[i].size != tokens[j].size || memcmp(tokens[i].data, tokens[j].data, tokens[i].size) != 0);
}

static void every_type_has_the_wanted_spread(void) {
        for (uint32_t id = 0; id < 64; id++) {
                if (!tensor_type(id))
                        continue;
                _cleanup_(opened_done) Opened o = { 0 };
                open_tiny(&(TinyModel) { .n_layers = 1, .n_embd = 256, .n_ff = 256, .type = (TensorTypeId) id }, &o);
                const GgufTensor *t = gguf_tensor(o.g, "blk.0.attn_q.weight");
                _cleanup_free_ float *x = malloc(65536 * sizeof *x);
                double sum = 0, squares = 0;
                CHECK(x && t->type->id == id && t->ne[0] * t->ne[1] == 65536);
                t->type->dequantize(t->data, x, 65536);
                for (size_t i = 0; i < 65536; i++) {
                        CHECK(isfinite(x[i]));
                        sum += (double) x[i];
                        squares += (double) x[i] * (double) x[i];
                }
                CHECK(fabs(sum / 65536) < 0.02);
                CHECK(sqrt(squares / 65536) > 0.09 && sqrt(squares / 65536) < 0.11);
        }
}

static void changes_are_made(void) {
        static const TinyChange changes[] = {
                { TINY_SET_U32, "llama.attention.head_count", .u = 0 },
                { TINY_SET_U32, "split.count", .u = 1 },
                { TINY_SET_U32, "split.no", .u = 0 },
                { TINY_SET_U32, "llama.expert_count", .u = 8 },
                { TINY_SET_F32, "llama.rope.freq_base", .f = NAN },
                { TINY_SET_STRING, "llama.block_count", .s = "two" },
                { TINY_OMIT, "general.name" },
                { TINY_OMIT, "blk.1.ffn_up.weight" },
                { TINY_SHORTEN, "tokenizer.ggml.token_type", .u = 3 },
                { TINY_ELEMENT, "tokenizer.ggml.tokens", .u = 7, .s = "<0x-1>" },
                { TINY_ELEMENT_NUMBER, "tokenizer.ggml.token_type", .u = 7, .f = 6 },
                { TINY_SHAPE, "blk.0.attn_q.weight", .u = 1, .n = 63 },
                { TINY_FILL, "output_norm.weight", .f = INFINITY },
        };
        _cleanup_(opened_done) Opened o = { 0 };
        _cleanup_free_ GgufString *tokens = NULL;
        _cleanup_free_ uint32_t *types = NULL;
        GgufString s;
        uint32_t v;
        size_t n;
        float f;
        open_tiny(&(TinyModel) { .changes = changes, .n_changes = ELEMENTSOF(changes) }, &o);
        CHECK_INT(gguf_u32(o.g, "llama.attention.head_count", &v, NULL), 0);
        CHECK_INT(v, 0);
        CHECK_INT(gguf_u32(o.g, "split.count", &v, NULL), 0);
        CHECK_INT(gguf_u32(o.g, "llama.expert_count", &v, NULL), 0);
        CHECK_INT(v, 8);
        CHECK_INT(gguf_f32(o.g, "llama.rope.freq_base", &f, NULL), -EBADMSG);
        CHECK_INT(gguf_u32(o.g, "llama.block_count", &v, NULL), -EBADMSG);
        CHECK_INT(gguf_string(o.g, "general.name", &s, NULL), -ENOENT);
        CHECK(!gguf_tensor(o.g, "blk.1.ffn_up.weight") && gguf_tensor(o.g, "blk.0.ffn_up.weight"));
        CHECK_INT(gguf_u32s(o.g, "tokenizer.ggml.token_type", &types, &n, NULL), 0);
        CHECK(n == 297 && types[7] == 6);
        CHECK_INT(gguf_strings(o.g, "tokenizer.ggml.tokens", &tokens, &n, NULL), 0);
        CHECK(n == 300 && tokens[7].size == 6 && memcmp(tokens[7].data, "<0x-1>", 6) == 0);
        CHECK_INT(gguf_tensor(o.g, "blk.0.attn_q.weight")->ne[1], 63);
        CHECK(isinf(((const float *) gguf_tensor(o.g, "output_norm.weight")->data)[5]));
}

static void a_descriptor_that_nobody_can_write(void) {
        _cleanup_close_ int fd = tiny_model_fd(NULL);
        _cleanup_(opened_done) Opened o = { 0 };
        struct stat st;
        char byte = 0;
        CHECK(fd >= 0);
        CHECK_INT(fstat(fd, &st), 0);
        open_tiny(NULL, &o);
        CHECK_INT(st.st_size, o.size);
        CHECK(write(fd, &byte, 1) < 0 && errno == EPERM);
        void *p = mmap(NULL, o.size, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK(p != MAP_FAILED && memcmp(p, o.data, o.size) == 0);
        munmap(p, o.size);
}

TEST_MAIN(
        { "the same bytes each time", the_same_bytes_each_time },
        { "parameters are followed", parameters_are_followed },
        { "no piece stands twice", no_piece_stands_twice },
        { "every type has the wanted spread", every_type_has_the_wanted_spread },
        { "changes are made", changes_are_made },
        { "a descriptor that nobody can write", a_descriptor_that_nobody_can_write },
)
