/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A loaded model as the forward pass sees it: weights bound and checked against the hyperparameters, repacked for the
 * kernels in use. Immutable once built. Shapes are [n_out][n_in], as rows lie in the file. */

#include "engine/format/gguf.h"
#include "engine/kernels/kernels.h"
#include "engine/models/architecture.h"
#include "engine/runtime/pool.h"
#include "engine/text/chat-template.h"
#include "engine/text/tokenizer.h"

typedef struct ModelExperts {
        Weight router;                        /* [n_experts][n_embd] */
        Weight *gate, *up;                    /* n_experts of [n_ff_expert][n_embd] */
        Weight *down;                         /* n_experts of [n_embd][n_ff_expert] */
        Weight shared_gate, shared_up;        /* [n_ff_shared][n_embd]; type NULL where there is none */
        Weight shared_down;                   /* [n_embd][n_ff_shared] */
} ModelExperts;

typedef struct ModelLayer {
        const float *attn_norm;               /* [n_embd] */
        Weight q, k, v;                       /* [n_heads · head_dim_k], [n_heads_kv · head_dim_k], [n_heads_kv · head_dim_v] */
        Weight o;                             /* [n_embd][n_heads · head_dim_v] */
        const float *q_bias, *k_bias, *v_bias, *o_bias;   /* NULL: none */
        const float *q_norm, *k_norm;         /* [head_dim_k], or all heads' for QK_NORM_WHOLE */
        const float *post_attn_norm, *post_ffn_norm;      /* [n_embd]; NULL: none */
        const float *ffn_norm;                /* [n_embd] */
        Weight gate, up;                      /* [n_ff][n_embd] */
        Weight down;                          /* [n_embd][n_ff] */
        ModelExperts experts;                 /* where LayerPlan.experts */
        unsigned kv_group;                    /* which pages hold this layer's keys and values … */
        uint32_t kv_index;                    /* … and the how-manieth layer it is there */
} ModelLayer;

typedef struct KvGroup {
        uint32_t n_layers;                    /* 0: this model has no such layers */
        uint32_t window;                      /* the widest; 0: everything back to the start is needed */
} KvGroup;

struct SparkModel {
        GgufPart parts[GGUF_PARTS_MAX];
        size_t n_parts;
        Gguf *gguf;
        const Architecture *architecture;
        Hparams hp;
        const Kernels *kernels;
        Tokenizer *tokenizer;
        ChatTemplate *chat_template;          /* NULL: none, or one that does not parse */
        EngineError chat_template_error;      /* why */
        char *name;

        Weight token_embd;                    /* [n_vocab][n_embd], read row by row; packed only where it is the output, too */
        Weight output;                        /* [n_vocab][n_embd] */
        const float *output_norm;             /* [n_embd] */
        float *rope_freqs[MODEL_ROPES_MAX];   /* [n_rot / 2]: radians a position */
        ModelLayer *layers;
        KvGroup kv_groups[MODEL_KV_GROUPS_MAX];
        uint64_t n_parameters, weights_bytes;

        float *vectors;                       /* norms and biases, copied to be aligned */
        uint8_t *packed;                      /* every weight's repacked form, in the order of execution */
        size_t packed_size;
        bool unpacked;                        /* some weight is read as the file has it: activations have floats, too */
};

/* load.c: binds every tensor, refusing a missing, superfluous or misshapen one by name. */
int model_bind(struct SparkModel *m, EngineError *reterr);

/* pack.c */
int model_pack(struct SparkModel *m, Pool *pool, EngineError *reterr);
void model_pack_done(struct SparkModel *m);

/* Calls f for every weight matrix that matmul() reads, in the order of execution; stops at the first negative. */
int model_each_weight(struct SparkModel *m, int (*f)(void *userdata, Weight *w), void *userdata);
