/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the table of architectures and the keys that they share. Refuses every parameter outside the limits of
 * architecture.h by name, so that the loader and the forward pass may multiply and divide without a second thought. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/models/architecture.h"

static const Architecture *const architectures[] = {
        &architecture_gemma3,
        &architecture_granitemoe,
        &architecture_llama,
        &architecture_llama4,
        &architecture_olmoe,
        &architecture_qwen2,
        &architecture_qwen3,
        &architecture_qwen3moe,
};

#define KEY_MAX 128

int architecture_u32(const Architecture *a, const Gguf *g, const char *name, bool required, uint32_t min, uint32_t max,
                     uint32_t *ret, EngineError *reterr) {
        char key[KEY_MAX];
        snprintf(key, sizeof key, "%s.%s", a->name, name);

        uint32_t v;
        int r = gguf_u32(g, key, &v, reterr);
        if (r == -ENOENT && !required)
                return 0;
        if (r == -ENOENT)
                return engine_fail(reterr, -EBADMSG, "key '%s' is missing", key);
        if (r < 0)
                return r;
        if (v < min || v > max)
                return engine_fail(reterr, -EBADMSG, "key '%s' is %u, outside %u … %u", key, v, min, max);
        *ret = v;
        return 0;
}

int architecture_f32(const Architecture *a, const Gguf *g, const char *name, bool required, float min, float max,
                     float *ret, EngineError *reterr) {
        char key[KEY_MAX];
        snprintf(key, sizeof key, "%s.%s", a->name, name);

        float v;
        int r = gguf_f32(g, key, &v, reterr);
        if (r == -ENOENT && !required)
                return 0;
        if (r == -ENOENT)
                return engine_fail(reterr, -EBADMSG, "key '%s' is missing", key);
        if (r < 0)
                return r;
        if (!(v >= min && v <= max))
                return engine_fail(reterr, -EBADMSG, "key '%s' is %g, outside %g to %g", key, v, min, max);
        *ret = v;
        return 0;
}

static int read_rope_scaling(const Architecture *a, const Gguf *g, Hparams *hp, EngineError *reterr) {
        char key[KEY_MAX];
        snprintf(key, sizeof key, "%s.rope.scaling.type", a->name);

        GgufString s;
        int r = gguf_string(g, key, &s, reterr);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;

        /* Llama 3's scaling is not named here: its file carries the factors as a tensor, rope_freqs.weight. */
        if ((s.size == 4 && memcmp(s.data, "none", 4) == 0))
                return 0;
        if (s.size == 6 && memcmp(s.data, "linear", 6) == 0)
                return architecture_f32(a, g, "rope.scaling.factor", true, 1.0f, 1024.0f, &hp->rope[0].scale, reterr);
        return engine_fail(reterr, -ENOTSUP, "key '%s' is '%.*s'; Spark scales rope by 'linear', 'none' or a rope_freqs tensor",
                           key, (int) MIN(s.size, (size_t) 32), s.data);
}

static int read_common(const Architecture *a, const Gguf *g, Hparams *hp, EngineError *reterr) {
        const struct {
                const char *name;
                uint32_t min, max;
                uint32_t *ret;
        } sizes[] = {
                { "context_length", 1, MODEL_CONTEXT_MAX, &hp->n_ctx_train },
                { "block_count", 1, MODEL_LAYERS_MAX, &hp->n_layers },
                { "embedding_length", 1, MODEL_EMBD_MAX, &hp->n_embd },
                { "feed_forward_length", 1, MODEL_FF_MAX, &hp->n_ff },
                { "attention.head_count", 1, MODEL_HEADS_MAX, &hp->n_heads },
        };
        int r;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                r = architecture_u32(a, g, sizes[i].name, true, sizes[i].min, sizes[i].max, sizes[i].ret, reterr);
                if (r < 0)
                        return r;
        }

        hp->n_heads_kv = hp->n_heads;
        r = architecture_u32(a, g, "attention.head_count_kv", false, 1, MODEL_HEADS_MAX, &hp->n_heads_kv, reterr);
        if (r < 0)
                return r;
        if (hp->n_heads % hp->n_heads_kv != 0)
                return engine_fail(reterr, -EBADMSG, "attention.head_count %u is no multiple of head_count_kv %u",
                                   hp->n_heads, hp->n_heads_kv);

        hp->head_dim_k = hp->n_embd / hp->n_heads;
        r = architecture_u32(a, g, "attention.key_length", false, 1, MODEL_HEAD_DIM_MAX, &hp->head_dim_k, reterr);
        if (r < 0)
                return r;
        hp->head_dim_v = hp->head_dim_k;
        r = architecture_u32(a, g, "attention.value_length", false, 1, MODEL_HEAD_DIM_MAX, &hp->head_dim_v, reterr);
        if (r < 0)
                return r;
        if (hp->head_dim_k == 0 || hp->head_dim_k > MODEL_HEAD_DIM_MAX || hp->head_dim_k % MODEL_HEAD_DIM_STEP != 0 ||
            hp->head_dim_v % MODEL_HEAD_DIM_STEP != 0)
                return engine_fail(reterr, -ENOTSUP, "attention heads of %u and %u values; Spark needs multiples of %u up to %u",
                                   hp->head_dim_k, hp->head_dim_v, MODEL_HEAD_DIM_STEP, MODEL_HEAD_DIM_MAX);

        hp->n_rot = hp->head_dim_k;
        r = architecture_u32(a, g, "rope.dimension_count", false, 2, hp->head_dim_k, &hp->n_rot, reterr);
        if (r < 0)
                return r;
        if (hp->n_rot % 2 != 0)
                return engine_fail(reterr, -EBADMSG, "rope.dimension_count is odd: %u", hp->n_rot);

        r = architecture_f32(a, g, "attention.layer_norm_rms_epsilon", true, 1e-12f, 1e-1f, &hp->norm_eps, reterr);
        if (r < 0)
                return r;

        hp->n_ropes = 1;
        hp->rope[0] = (RopePlan) { .base = 10000.0f, .scale = 1.0f };
        r = architecture_f32(a, g, "rope.freq_base", false, 1.0f, 1e12f, &hp->rope[0].base, reterr);
        if (r < 0)
                return r;
        r = read_rope_scaling(a, g, hp, reterr);
        if (r < 0)
                return r;

        /* Optional: vocabularies are counted by the tokenizer and by the embedding's rows, which must agree. */
        hp->n_vocab = 0;
        r = architecture_u32(a, g, "vocab_size", false, 1, MODEL_VOCAB_MAX, &hp->n_vocab, reterr);
        if (r < 0)
                return r;

        hp->attn_scale = 1.0f / sqrtf((float) hp->head_dim_k);
        hp->embd_scale = hp->residual_scale = hp->logit_scale = 1.0f;
        hp->qk_norm = a->qk_norm;
        for (uint32_t i = 0; i < hp->n_layers; i++)
                hp->layers[i] = (LayerPlan) {};
        return 0;
}

int architecture_experts(const Architecture *a, const Gguf *g, Hparams *hp, bool own_size, EngineError *reterr) {
        int r;
        if ((r = architecture_u32(a, g, "expert_count", true, 1, MODEL_EXPERTS_MAX, &hp->n_experts, reterr)) < 0 ||
            (r = architecture_u32(a, g, "expert_used_count", true, 1, MIN(hp->n_experts, MODEL_EXPERTS_USED_MAX),
                                  &hp->n_experts_used, reterr)) < 0 ||
            (r = architecture_u32(a, g, "expert_feed_forward_length", own_size, 1, MODEL_FF_MAX, &hp->n_ff_expert, reterr)) < 0)
                return r;
        for (uint32_t i = 0; i < hp->n_layers; i++)
                hp->layers[i].experts = true;
        return 0;
}

int architecture_read(const Gguf *g, const Architecture **ret, Hparams *ret_hp, EngineError *reterr) {
        GgufString name;
        int r = gguf_string(g, "general.architecture", &name, reterr);
        if (r == -ENOENT)
                return engine_fail(reterr, -EBADMSG, "key 'general.architecture' is missing");
        if (r < 0)
                return r;

        const Architecture *a = NULL;
        for (size_t i = 0; i < ELEMENTSOF(architectures); i++)
                if (strlen(architectures[i]->name) == name.size && memcmp(architectures[i]->name, name.data, name.size) == 0)
                        a = architectures[i];
        if (!a)
                return engine_fail(reterr, -ENOTSUP, "architecture '%.*s' is not one that Spark knows",
                                   (int) MIN(name.size, (size_t) 64), name.data);

        Hparams hp = {};
        r = read_common(a, g, &hp, reterr);
        if (r < 0)
                return r;
        if (a->plan) {
                r = a->plan(a, g, &hp, reterr);
                if (r < 0)
                        return r;
        }

        *ret = a;
        *ret_hp = hp;
        return 0;
}
