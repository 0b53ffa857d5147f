/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What sets one architecture apart from another, as data. A new architecture is one file arch-NAME.c that fills one
 * Architecture, and one line in architecture.c; the loader and the forward pass know no names, only these fields.
 *
 * Everything read from a file is bounded by the limits below before anything is computed from it. */

#include <stdbool.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/format/gguf.h"

#define MODEL_LAYERS_MAX 512u
#define MODEL_EMBD_MAX 32768u
#define MODEL_FF_MAX (1u << 20)
#define MODEL_HEADS_MAX 512u
#define MODEL_HEAD_DIM_MAX 512u
#define MODEL_HEAD_DIM_STEP 16u       /* kernels read heads in vectors of this many floats */
#define MODEL_VOCAB_MAX (2u << 20)
#define MODEL_CONTEXT_MAX (16u << 20)
#define MODEL_EXPERTS_MAX 512u
#define MODEL_EXPERTS_USED_MAX 32u
#define MODEL_ROPES_MAX 2u
#define MODEL_KV_GROUPS_MAX 2u        /* layers that see everything; layers that see a window */

typedef enum RopeStyle {              /* which pairs of a head's vector turn together (Su et al., RoFormer, 2021) */
        ROPE_INTERLEAVED,             /* (2i, 2i + 1): what llama's converter permutes weights for */
        ROPE_HALVES,                  /* (i, i + n/2): as GPT-NeoX and transformers have it */
} RopeStyle;

typedef enum QkNorm {
        QK_NORM_NONE,
        QK_NORM_HEAD,                 /* RMS over each head's vector, before rope: qwen3, gemma3 */
        QK_NORM_WHOLE,                /* RMS over all heads' vectors together, before rope: olmoe */
        QK_NORM_L2,                   /* RMS without weights over each head, after rope, on rope layers: llama4 */
} QkNorm;

typedef enum Activation { ACTIVATION_SILU, ACTIVATION_GELU } Activation;

typedef enum Routing {                /* how expert scores become weights */
        ROUTE_SOFTMAX,                /* softmax over all, then the best k: olmoe */
        ROUTE_SOFTMAX_NORMED,         /* … and scaled to sum to 1: qwen3moe, granitemoe */
        ROUTE_SIGMOID_INPUT,          /* the best k, sigmoid, scaling the expert's input: llama4 */
} Routing;

typedef struct LayerPlan {
        uint32_t window;              /* a query sees so many positions back, itself included; 0: all */
        uint32_t chunk;               /* a query sees its own chunk of so many positions; 0: all */
        int rope;                     /* which of Hparams.rope; -1: none */
        bool experts;                 /* feed-forward by experts */
} LayerPlan;

typedef struct RopePlan {
        float base;
        float scale;                  /* positions are divided by it ("linear" scaling) */
} RopePlan;

typedef struct Hparams {
        uint32_t n_vocab, n_ctx_train, n_layers, n_embd, n_ff, n_heads, n_heads_kv, head_dim_k, head_dim_v, n_rot;
        float norm_eps;
        QkNorm qk_norm;               /* the architecture's, unless a model of it differs */
        float attn_scale;             /* on q·k; 1/√head_dim_k unless the architecture says otherwise */
        float embd_scale, residual_scale, logit_scale;  /* factors; 1: none */
        float attn_temp_scale;        /* llama4's layers without rope: q · (1 + scale · ln(1 + ⌊(p + 1)/floor⌋)); 0: none */
        uint32_t attn_temp_floor;
        uint32_t n_experts, n_experts_used, n_ff_expert, n_ff_shared;

        uint32_t n_ropes;
        RopePlan rope[MODEL_ROPES_MAX];
        LayerPlan layers[MODEL_LAYERS_MAX];
} Hparams;

typedef struct Architecture {
        const char *name;             /* as general.architecture has it, and the prefix of its keys */
        RopeStyle rope_style;
        QkNorm qk_norm;
        Activation activation;
        Routing routing;
        bool qkv_bias;                /* the three biases must be there (elsewhere they may be) */
        bool post_norms;              /* norms after attention and feed-forward as well as before */

        /* Particulars, after the common keys were read and every layer is dense with full attention and rope 0. */
        int (*plan)(const struct Architecture *a, const Gguf *g, Hparams *hp, EngineError *reterr);
} Architecture;

/* Finds the file's architecture and reads its parameters. -ENOTSUP names an architecture that Spark does not know;
 * -EBADMSG names the key that is missing, of the wrong type or out of bounds. */
int architecture_read(const Gguf *g, const Architecture **ret, Hparams *ret_hp, EngineError *reterr);

/* "ARCH.name" with bounds; *ret keeps its value where the key is missing and `required` is false. */
int architecture_u32(const Architecture *a, const Gguf *g, const char *name, bool required, uint32_t min, uint32_t max,
                     uint32_t *ret, EngineError *reterr);
int architecture_f32(const Architecture *a, const Gguf *g, const char *name, bool required, float min, float max,
                     float *ret, EngineError *reterr);

/* The common keys of experts, every layer made one of experts. `own_size`: expert_feed_forward_length must be there;
 * else n_ff_expert stands where the key is missing. */
int architecture_experts(const Architecture *a, const Gguf *g, Hparams *hp, bool own_size, EngineError *reterr);

extern const Architecture architecture_gemma3, architecture_granitemoe, architecture_llama, architecture_llama4,
        architecture_olmoe, architecture_qwen2, architecture_qwen3, architecture_qwen3moe;
