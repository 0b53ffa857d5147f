/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The loader on models that are wrong in one place: each is refused with a text that names the place, and nothing is
 * divided, multiplied or reserved on the strength of it. */

#include <math.h>

#include "engine/spark-engine.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/test.h"

typedef struct Wrong {
        TinyChange change;
        int error;
        const char *names;              /* stands in the text */
} Wrong;

#define SET(k, v) { .kind = TINY_SET_U32, .key = k, .u = v }
#define SETF(k, v) { .kind = TINY_SET_F32, .key = k, .f = v }
#define SETS(k, v) { .kind = TINY_SET_STRING, .key = k, .s = v }
#define OMIT(k) { .kind = TINY_OMIT, .key = k }
#define SHAPE(t, d, v) { .kind = TINY_SHAPE, .key = t, .u = d, .n = v }

static const Wrong wrongs[] = {
        { SETS("general.architecture", "mamba"), -ENOTSUP, "mamba" },
        { SETS("general.architecture", ""), -ENOTSUP, "architecture" },
        { OMIT("general.architecture"), -EBADMSG, "general.architecture" },
        { SETS("general.architecture", "qwen2"), -EBADMSG, "qwen2." },

        { SET("llama.attention.head_count", 0), -EBADMSG, "head_count" },
        { SET("llama.attention.head_count", 3), -EBADMSG, "head_count" },
        { SET("llama.attention.head_count", 0x80000000u), -EBADMSG, "head_count" },
        { SET("llama.attention.head_count_kv", 0), -EBADMSG, "head_count_kv" },
        { SET("llama.attention.head_count_kv", 3), -EBADMSG, "head_count_kv" },
        { SET("llama.attention.head_count_kv", 8), -EBADMSG, "head_count_kv" },
        { SET("llama.attention.key_length", 0), -EBADMSG, "key_length" },
        { SET("llama.attention.key_length", 24), -ENOTSUP, "24" },
        { SET("llama.attention.key_length", 1024), -EBADMSG, "key_length" },
        { SET("llama.attention.value_length", 7), -ENOTSUP, "7" },
        { SET("llama.block_count", 0), -EBADMSG, "block_count" },
        { SET("llama.block_count", 3), -EBADMSG, "blk.2." },
        { SET("llama.block_count", 1), -ENOTSUP, "blk.1." },
        { SET("llama.block_count", 513), -EBADMSG, "block_count" },
        { SET("llama.block_count", 0x80000000u), -EBADMSG, "block_count" },
        { SET("llama.embedding_length", 0), -EBADMSG, "embedding_length" },
        { SET("llama.embedding_length", 128), -EBADMSG, "token_embd.weight" },
        { SET("llama.embedding_length", 0xffffffffu), -EBADMSG, "embedding_length" },
        { SET("llama.feed_forward_length", 0), -EBADMSG, "feed_forward_length" },
        { SET("llama.feed_forward_length", 64), -EBADMSG, "ffn_" },
        { SET("llama.feed_forward_length", 0xffffffffu), -EBADMSG, "feed_forward_length" },
        { SET("llama.context_length", 0), -EBADMSG, "context_length" },
        { SET("llama.context_length", 0xffffffffu), -EBADMSG, "context_length" },
        { SETF("llama.context_length", 512.0f), -EBADMSG, "context_length" },
        { SET("llama.vocab_size", 299), -EBADMSG, "vocab_size" },
        { SET("llama.rope.dimension_count", 0), -EBADMSG, "rope.dimension_count" },
        { SET("llama.rope.dimension_count", 15), -EBADMSG, "rope.dimension_count" },
        { SET("llama.rope.dimension_count", 17), -EBADMSG, "rope.dimension_count" },
        { SETF("llama.rope.freq_base", 0.0f), -EBADMSG, "rope.freq_base" },
        { SETF("llama.rope.freq_base", -1.0f), -EBADMSG, "rope.freq_base" },
        { SETF("llama.rope.freq_base", NAN), -EBADMSG, "rope.freq_base" },
        { SETF("llama.rope.freq_base", INFINITY), -EBADMSG, "rope.freq_base" },
        { SETS("llama.rope.scaling.type", "yarn"), -ENOTSUP, "yarn" },
        { SETS("llama.rope.scaling.type", "linear"), -EBADMSG, "rope.scaling.factor" },
        { SETF("llama.attention.layer_norm_rms_epsilon", 0.0f), -EBADMSG, "layer_norm_rms_epsilon" },
        { SETF("llama.attention.layer_norm_rms_epsilon", NAN), -EBADMSG, "layer_norm_rms_epsilon" },
        { SETF("llama.attention.layer_norm_rms_epsilon", -1e-5f), -EBADMSG, "layer_norm_rms_epsilon" },
        { OMIT("llama.attention.layer_norm_rms_epsilon"), -EBADMSG, "layer_norm_rms_epsilon" },

        { OMIT("token_embd.weight"), -EBADMSG, "token_embd.weight" },
        { OMIT("output_norm.weight"), -EBADMSG, "output_norm.weight" },
        { OMIT("blk.0.attn_q.weight"), -EBADMSG, "blk.0.attn_q.weight" },
        { OMIT("blk.1.ffn_down.weight"), -EBADMSG, "blk.1.ffn_down.weight" },
        { SHAPE("blk.0.attn_k.weight", 1, 64), -EBADMSG, "blk.0.attn_k.weight" },
        { SHAPE("blk.0.attn_q.weight", 0, 32), -EBADMSG, "blk.0.attn_q.weight" },
        { SHAPE("blk.1.ffn_up.weight", 1, 127), -EBADMSG, "blk.1.ffn_up.weight" },
        { SHAPE("token_embd.weight", 1, 299), -EBADMSG, "token_embd.weight" },
        { SHAPE("output_norm.weight", 0, 32), -EBADMSG, "output_norm.weight" },
        { { .kind = TINY_FILL, .key = "blk.0.attn_norm.weight", .f = NAN }, -EBADMSG, "blk.0.attn_norm.weight" },
        { { .kind = TINY_SHORTEN, .key = "tokenizer.ggml.tokens", .u = 1 }, 0, "" },
};

static int load(const TinyModel *tiny, const char *kernels, EngineError *e) {
        _cleanup_free_ void *file = NULL;
        _cleanup_(pool_freep) Pool *pool = NULL;
        _cleanup_(spark_model_freep) SparkModel *m = NULL;
        GgufPart part;
        CHECK_INT(tiny_model(tiny, &file, &part.size), 0);
        part.data = file;
        CHECK_INT(pool_new(1, &pool), 0);
        return spark_model_new(&part, 1, kernels, pool, &m, e);
}

static void test_right(void) {
        EngineError e = {};
        CHECK_INT(load(NULL, NULL, &e), 0);
        CHECK_INT(load(&(TinyModel) { .untied = 1, .n_layers = 3, .type = TENSOR_Q8_0 }, NULL, &e), 0);
        CHECK_INT(load(&(TinyModel) { .changes = &(TinyChange) SETS("llama.rope.scaling.type", "none"), .n_changes = 1 }, NULL, &e), 0);
        CHECK_INT(load(NULL, "no-such-kernels", &e), -EINVAL);
        CHECK(strstr(e.text, "no-such-kernels"));
}

static void test_wrong(void) {
        for (size_t i = 0; i < ELEMENTSOF(wrongs); i++) {
                EngineError e = {};
                int r = load(&(TinyModel) { .changes = &wrongs[i].change, .n_changes = 1 }, NULL, &e);
                if (r >= 0 || (wrongs[i].error != 0 && (r != wrongs[i].error || !strstr(e.text, wrongs[i].names))))
                        printf("# case %zu (%s): %d, '%s'\n", i, wrongs[i].change.key, r, e.text);
                CHECK(r < 0);
                CHECK(e.text[0]);
                if (wrongs[i].error != 0) {
                        CHECK_INT(r, wrongs[i].error);
                        CHECK(strstr(e.text, wrongs[i].names));
                }
        }
}

TEST_MAIN(
        { "complete models load", test_right },
        { "a model that is wrong in one place is refused, and the place is named", test_wrong },
)
