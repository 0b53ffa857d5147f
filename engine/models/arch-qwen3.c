/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* qwen3 and qwen3moe (Yang et al., 2025): norms on each head's query and key; of experts, the best few, their softmax
 * weights scaled to sum to 1. */

#include "engine/models/architecture.h"

static int plan_experts(const Architecture *a, const Gguf *g, Hparams *hp, EngineError *reterr) {
        return architecture_experts(a, g, hp, true, reterr);
}

const Architecture architecture_qwen3 = {
        .name = "qwen3",
        .rope_style = ROPE_HALVES,
        .qk_norm = QK_NORM_HEAD,
        .activation = ACTIVATION_SILU,
};

const Architecture architecture_qwen3moe = {
        .name = "qwen3moe",
        .rope_style = ROPE_HALVES,
        .qk_norm = QK_NORM_HEAD,
        .activation = ACTIVATION_SILU,
        .routing = ROUTE_SOFTMAX_NORMED,
        .plan = plan_experts,
};
