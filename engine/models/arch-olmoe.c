/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* olmoe (Muennighoff et al., 2024): norms over all heads together; the best experts' softmax weights as they are. */

#include "engine/models/architecture.h"

static int plan(const Architecture *a, const Gguf *g, Hparams *hp, EngineError *reterr) {
        /* Its feed_forward_length is one expert's. */
        hp->n_ff_expert = hp->n_ff;
        return architecture_experts(a, g, hp, false, reterr);
}

const Architecture architecture_olmoe = {
        .name = "olmoe",
        .rope_style = ROPE_HALVES,
        .qk_norm = QK_NORM_WHOLE,
        .activation = ACTIVATION_SILU,
        .routing = ROUTE_SOFTMAX,
        .plan = plan,
};
