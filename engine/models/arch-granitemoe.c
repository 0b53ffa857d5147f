/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* granitemoe: IBM Granite 3 with experts: four factors of its own (embedding, residual, attention, logits), the softmax
 * of the best experts' scores, sometimes a shared expert. */

#include "engine/models/architecture.h"

static int plan(const Architecture *a, const Gguf *g, Hparams *hp, EngineError *reterr) {
        float logit_divisor = 1.0f;
        int r;
        hp->n_ff_expert = hp->n_ff;
        if ((r = architecture_experts(a, g, hp, false, reterr)) < 0 ||
            (r = architecture_u32(a, g, "expert_shared_feed_forward_length", false, 0, MODEL_FF_MAX, &hp->n_ff_shared, reterr)) < 0 ||
            (r = architecture_f32(a, g, "embedding_scale", false, 1e-6f, 1e6f, &hp->embd_scale, reterr)) < 0 ||
            (r = architecture_f32(a, g, "residual_scale", false, 1e-6f, 1e6f, &hp->residual_scale, reterr)) < 0 ||
            (r = architecture_f32(a, g, "attention.scale", false, 1e-6f, 1e6f, &hp->attn_scale, reterr)) < 0 ||
            (r = architecture_f32(a, g, "logit_scale", false, 1e-6f, 1e6f, &logit_divisor, reterr)) < 0)
                return r;
        hp->logit_scale = 1.0f / logit_divisor;
        return 0;
}

const Architecture architecture_granitemoe = {
        .name = "granitemoe",
        .rope_style = ROPE_INTERLEAVED,
        .qk_norm = QK_NORM_NONE,
        .activation = ACTIVATION_SILU,
        .routing = ROUTE_SOFTMAX_NORMED,
        .plan = plan,
};
