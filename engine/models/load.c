/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the binding of a file's tensors to the places where the forward pass looks for them. Every tensor is checked
 * against the hyperparameters; one that is missing, of another shape, or that nothing would read is an error that
 * names it: a model that loads is computed whole. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "basic/checked.h"
#include "engine/models/model.h"

typedef struct Loader {
        struct SparkModel *m;
        const GgufTensor **bound;
        size_t n_bound;
        float *vectors;                       /* NULL while they are only counted */
        size_t n_floats, n_floats_max;
        EngineError *reterr;
} Loader;

#define VECTOR_ALIGN 16u                      /* floats: KERNELS_ALIGN bytes */

static const GgufTensor *find(Loader *l, const char *name) {
        const GgufTensor *t = gguf_tensor(l->m->gguf, name);
        if (t)
                l->bound[l->n_bound++] = t;
        return t;
}

static int misshapen(Loader *l, const GgufTensor *t, uint64_t n_in, uint64_t n_out, uint64_t n_each) {
        return engine_fail(l->reterr, -EBADMSG, "tensor '%s' is %llu × %llu × %llu, %llu × %llu × %llu expected", t->name,
                           (unsigned long long) t->ne[0], (unsigned long long) t->ne[1], (unsigned long long) t->ne[2],
                           (unsigned long long) n_in, (unsigned long long) n_out, (unsigned long long) n_each);
}

static bool has_shape(const GgufTensor *t, uint64_t n_in, uint64_t n_out, uint64_t n_each) {
        return t->ne[0] == n_in && t->ne[1] == n_out && t->ne[2] == n_each && t->ne[3] == 1;
}

static size_t row_bytes(const GgufTensor *t) {
        return (size_t) (t->ne[0] / t->type->block_size) * t->type->block_bytes;
}

static void set_weight(Weight *w, const GgufTensor *t, size_t matrix) {
        *w = (Weight) {
                .type = t->type,
                .n_in = (uint32_t) t->ne[0],
                .n_out = (uint32_t) t->ne[1],
                .file = (const uint8_t *) t->data + matrix * row_bytes(t) * t->ne[1],
                .file_stride = row_bytes(t),
        };
}

/* blk.N.NAME.weight, [n_out][n_in] */
static int bind_weight(Loader *l, int layer, const char *name, bool required, uint32_t n_in, uint32_t n_out, Weight *ret) {
        char full[GGUF_NAME_MAX + 16];
        if (layer >= 0)
                snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
        else
                snprintf(full, sizeof full, "%s.weight", name);

        const GgufTensor *t = find(l, full);
        if (!t && !required)
                return 0;
        if (!t)
                return engine_fail(l->reterr, -EBADMSG, "tensor '%s' is missing", full);
        if (!has_shape(t, n_in, n_out, 1))
                return misshapen(l, t, n_in, n_out, 1);
        set_weight(ret, t, 0);
        return 0;
}

/* blk.N.NAME.weight, [n_experts][n_out][n_in]: one Weight each */
static int bind_experts(Loader *l, int layer, const char *name, uint32_t n_in, uint32_t n_out, Weight **ret) {
        char full[GGUF_NAME_MAX + 16];
        snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);

        const uint32_t n = l->m->hp.n_experts;
        const GgufTensor *t = find(l, full);
        if (!t)
                return engine_fail(l->reterr, -EBADMSG, "tensor '%s' is missing", full);
        if (!has_shape(t, n_in, n_out, n))
                return misshapen(l, t, n_in, n_out, n);

        *ret = calloc(n, sizeof **ret);
        if (!*ret)
                return -ENOMEM;
        for (uint32_t i = 0; i < n; i++)
                set_weight(*ret + i, t, i);
        return 0;
}

/* A vector of floats, copied: the file aligns to 32 bytes, kernels want 64. Finite, or a token's whole row is lost. */
static int bind_vector(Loader *l, int layer, const char *name, bool required, uint32_t n, const float **ret) {
        char full[GGUF_NAME_MAX + 16];
        if (layer >= 0)
                snprintf(full, sizeof full, "blk.%d.%s", layer, name);
        else
                snprintf(full, sizeof full, "%s", name);

        const GgufTensor *t = find(l, full);
        if (!t && !required)
                return 0;
        if (!t)
                return engine_fail(l->reterr, -EBADMSG, "tensor '%s' is missing", full);
        if (!has_shape(t, n, 1, 1))
                return misshapen(l, t, n, 1, 1);

        float *v = l->vectors + l->n_floats;
        t->type->dequantize(t->data, v, n);
        for (uint32_t i = 0; i < n; i++)
                if (!isfinite(v[i]))
                        return engine_fail(l->reterr, -EBADMSG, "tensor '%s' holds a value that is not finite", full);
        l->n_floats += (n + VECTOR_ALIGN - 1) / VECTOR_ALIGN * VECTOR_ALIGN;
        *ret = v;
        return 0;
}

/* Vectors are those tensors that have one dimension; room for all of them, whichever are bound. */
static int allocate_vectors(Loader *l) {
        size_t n = 0;
        for (size_t i = 0; i < gguf_n_tensors(l->m->gguf); i++) {
                const GgufTensor *t = gguf_tensor_at(l->m->gguf, i);
                size_t padded;
                if (t->ne[1] != 1 || t->ne[2] != 1 || t->ne[3] != 1)
                        continue;
                if (!checked_align(t->ne[0], VECTOR_ALIGN, &padded) || !checked_add(n, padded, &n))
                        return -ENOMEM;
        }
        size_t bytes;
        if (!checked_mul(n + VECTOR_ALIGN, sizeof(float), &bytes))
                return -ENOMEM;
        l->vectors = l->m->vectors = aligned_alloc(KERNELS_ALIGN, bytes);
        if (!l->vectors)
                return -ENOMEM;
        memset(l->vectors, 0, bytes);
        return 0;
}

static int bind_attention(Loader *l, int i, ModelLayer *layer) {
        const Architecture *a = l->m->architecture;
        const Hparams *hp = &l->m->hp;
        const uint32_t n_q = hp->n_heads * hp->head_dim_k;
        const uint32_t n_k = hp->n_heads_kv * hp->head_dim_k, n_v = hp->n_heads_kv * hp->head_dim_v;
        const bool normed = hp->qk_norm == QK_NORM_HEAD || hp->qk_norm == QK_NORM_WHOLE;
        const uint32_t n_q_norm = hp->qk_norm == QK_NORM_WHOLE ? n_q : hp->head_dim_k;
        const uint32_t n_k_norm = hp->qk_norm == QK_NORM_WHOLE ? n_k : hp->head_dim_k;
        int r;

        if ((r = bind_vector(l, i, "attn_norm.weight", true, hp->n_embd, &layer->attn_norm)) < 0 ||
            (r = bind_weight(l, i, "attn_q", true, hp->n_embd, n_q, &layer->q)) < 0 ||
            (r = bind_weight(l, i, "attn_k", true, hp->n_embd, n_k, &layer->k)) < 0 ||
            (r = bind_weight(l, i, "attn_v", true, hp->n_embd, n_v, &layer->v)) < 0 ||
            (r = bind_weight(l, i, "attn_output", true, hp->n_heads * hp->head_dim_v, hp->n_embd, &layer->o)) < 0 ||
            (r = bind_vector(l, i, "attn_q.bias", a->qkv_bias, n_q, &layer->q_bias)) < 0 ||
            (r = bind_vector(l, i, "attn_k.bias", a->qkv_bias, n_k, &layer->k_bias)) < 0 ||
            (r = bind_vector(l, i, "attn_v.bias", a->qkv_bias, n_v, &layer->v_bias)) < 0 ||
            (r = bind_vector(l, i, "attn_output.bias", false, hp->n_embd, &layer->o_bias)) < 0)
                return r;
        if (normed &&
            ((r = bind_vector(l, i, "attn_q_norm.weight", true, n_q_norm, &layer->q_norm)) < 0 ||
             (r = bind_vector(l, i, "attn_k_norm.weight", true, n_k_norm, &layer->k_norm)) < 0))
                return r;
        if (a->post_norms &&
            (r = bind_vector(l, i, "post_attention_norm.weight", true, hp->n_embd, &layer->post_attn_norm)) < 0)
                return r;
        return 0;
}

static int bind_feed_forward(Loader *l, int i, ModelLayer *layer) {
        const Architecture *a = l->m->architecture;
        const Hparams *hp = &l->m->hp;
        int r = bind_vector(l, i, "ffn_norm.weight", true, hp->n_embd, &layer->ffn_norm);
        if (r < 0)
                return r;
        if (a->post_norms && (r = bind_vector(l, i, "post_ffw_norm.weight", true, hp->n_embd, &layer->post_ffn_norm)) < 0)
                return r;

        if (!hp->layers[i].experts) {
                if ((r = bind_weight(l, i, "ffn_gate", true, hp->n_embd, hp->n_ff, &layer->gate)) < 0 ||
                    (r = bind_weight(l, i, "ffn_up", true, hp->n_embd, hp->n_ff, &layer->up)) < 0 ||
                    (r = bind_weight(l, i, "ffn_down", true, hp->n_ff, hp->n_embd, &layer->down)) < 0)
                        return r;
                return 0;
        }

        ModelExperts *e = &layer->experts;
        if ((r = bind_weight(l, i, "ffn_gate_inp", true, hp->n_embd, hp->n_experts, &e->router)) < 0 ||
            (r = bind_experts(l, i, "ffn_gate_exps", hp->n_embd, hp->n_ff_expert, &e->gate)) < 0 ||
            (r = bind_experts(l, i, "ffn_up_exps", hp->n_embd, hp->n_ff_expert, &e->up)) < 0 ||
            (r = bind_experts(l, i, "ffn_down_exps", hp->n_ff_expert, hp->n_embd, &e->down)) < 0)
                return r;
        if (hp->n_ff_shared > 0 &&
            ((r = bind_weight(l, i, "ffn_gate_shexp", true, hp->n_embd, hp->n_ff_shared, &e->shared_gate)) < 0 ||
             (r = bind_weight(l, i, "ffn_up_shexp", true, hp->n_embd, hp->n_ff_shared, &e->shared_up)) < 0 ||
             (r = bind_weight(l, i, "ffn_down_shexp", true, hp->n_ff_shared, hp->n_embd, &e->shared_down)) < 0))
                return r;
        return 0;
}

/* The embedding's row count is the vocabulary; the tokenizer and the optional key must agree with it. */
static int bind_embedding(Loader *l) {
        struct SparkModel *m = l->m;
        Hparams *hp = &m->hp;
        const size_t n_vocab = tokenizer_n_vocab(m->tokenizer);

        const GgufTensor *embd = find(l, "token_embd.weight");
        if (!embd)
                return engine_fail(l->reterr, -EBADMSG, "tensor 'token_embd.weight' is missing");
        if (n_vocab == 0 || n_vocab > MODEL_VOCAB_MAX || !has_shape(embd, hp->n_embd, n_vocab, 1))
                return misshapen(l, embd, hp->n_embd, n_vocab, 1);
        if (hp->n_vocab != 0 && hp->n_vocab != n_vocab)
                return engine_fail(l->reterr, -EBADMSG, "key '%s.vocab_size' is %u, but the tokenizer has %zu tokens",
                                   m->architecture->name, hp->n_vocab, n_vocab);
        hp->n_vocab = (uint32_t) n_vocab;

        set_weight(&m->token_embd, embd, 0);
        m->output = m->token_embd;
        int r = bind_weight(l, -1, "output", false, hp->n_embd, hp->n_vocab, &m->output);
        if (r < 0)
                return r;
        return bind_vector(l, -1, "output_norm.weight", true, hp->n_embd, &m->output_norm);
}

/* Radians a position of every pair; Llama 3.1's factors stretch the slow ones (Dubey et al., 2024). */
static int bind_rope(Loader *l) {
        struct SparkModel *m = l->m;
        const uint32_t n = m->hp.n_rot / 2;
        const float *factors = NULL;
        int r = bind_vector(l, -1, "rope_freqs.weight", false, n, &factors);
        if (r < 0)
                return r;
        for (uint32_t i = 0; factors && i < n; i++)
                if (!(factors[i] >= 1e-3f && factors[i] <= 1e6f))
                        return engine_fail(l->reterr, -EBADMSG, "tensor 'rope_freqs.weight': factor %u is %g", i, factors[i]);

        for (uint32_t k = 0; k < m->hp.n_ropes; k++) {
                m->rope_freqs[k] = calloc(n, sizeof(float));
                if (!m->rope_freqs[k])
                        return -ENOMEM;
                for (uint32_t i = 0; i < n; i++)
                        m->rope_freqs[k][i] = (float) (pow(m->hp.rope[k].base, -2.0 * i / m->hp.n_rot) / m->hp.rope[k].scale /
                                                       (factors && k == 0 ? factors[i] : 1.0));
        }
        return 0;
}

/* Layers of a window (or chunk) keep their keys and values apart, so that pages behind it can be given back. */
static void assign_kv_groups(struct SparkModel *m) {
        for (uint32_t i = 0; i < m->hp.n_layers; i++) {
                const LayerPlan *plan = &m->hp.layers[i];
                const uint32_t reach = MAX(plan->window, plan->chunk);
                KvGroup *group = &m->kv_groups[reach > 0];
                m->layers[i].kv_group = reach > 0;
                m->layers[i].kv_index = group->n_layers++;
                group->window = MAX(group->window, reach);
        }
}

/* A tensor that nothing reads means that the file is of another architecture than it says. */
static int check_superfluous(Loader *l) {
        const size_t n = gguf_n_tensors(l->m->gguf);
        for (size_t i = 0; i < n && l->n_bound < n; i++) {
                const GgufTensor *t = gguf_tensor_at(l->m->gguf, i);
                size_t k = 0;
                while (k < l->n_bound && l->bound[k] != t)
                        k++;
                if (k == l->n_bound)
                        return engine_fail(l->reterr, -ENOTSUP, "tensor '%s' has no place in architecture '%s'", t->name,
                                           l->m->architecture->name);
        }
        return 0;
}

int model_bind(struct SparkModel *m, EngineError *reterr) {
        const size_t n_tensors = gguf_n_tensors(m->gguf);
        _cleanup_free_ const GgufTensor **bound = calloc(n_tensors + 1, sizeof *bound);
        Loader l = { .m = m, .bound = bound, .reterr = reterr };
        int r;

        m->layers = calloc(m->hp.n_layers, sizeof *m->layers);
        if (!bound || !m->layers)
                return engine_fail(reterr, -ENOMEM, "no memory for the table of layers");
        if ((r = allocate_vectors(&l)) < 0)
                return engine_fail(reterr, r, "no memory for norms and biases");

        if ((r = bind_embedding(&l)) < 0 || (r = bind_rope(&l)) < 0)
                return r;
        for (uint32_t i = 0; i < m->hp.n_layers; i++)
                if ((r = bind_attention(&l, (int) i, &m->layers[i])) < 0 ||
                    (r = bind_feed_forward(&l, (int) i, &m->layers[i])) < 0)
                        return r;
        if ((r = check_superfluous(&l)) < 0)
                return r;
        assign_kv_groups(m);

        for (size_t i = 0; i < n_tensors; i++) {
                const GgufTensor *t = gguf_tensor_at(m->gguf, i);
                m->n_parameters += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
                m->weights_bytes += t->size;
        }
        return 0;
}
