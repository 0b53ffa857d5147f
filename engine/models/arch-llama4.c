/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* llama4 (Meta, 2025): three layers of four turn by rope and see their own chunk, norms without weights on their queries
 * and keys; the fourth sees everything, without rope, its queries scaled up with the position. Every so many layers
 * experts, one of them shared; an expert's sigmoid scales its input. The 128-expert model has no norms on queries. */

#include "engine/models/architecture.h"

#define CHUNK_DEFAULT 8192u
#define LAYERS_PER_FULL 4u
#define TEMPERATURE_SCALE 0.1f
#define EXPERTS_WITHOUT_NORM 128u

static int plan(const Architecture *a, const Gguf *g, Hparams *hp, EngineError *reterr) {
        uint32_t step = 1, chunk = CHUNK_DEFAULT;
        int r;
        hp->attn_temp_floor = CHUNK_DEFAULT;
        hp->attn_temp_scale = TEMPERATURE_SCALE;
        if ((r = architecture_experts(a, g, hp, true, reterr)) < 0 ||
            (r = architecture_u32(a, g, "interleave_moe_layer_step", false, 1, MODEL_LAYERS_MAX, &step, reterr)) < 0 ||
            (r = architecture_u32(a, g, "attention.chunk_size", false, 1, MODEL_CONTEXT_MAX, &chunk, reterr)) < 0 ||
            (r = architecture_u32(a, g, "attention.temperature_length", false, 1, MODEL_CONTEXT_MAX, &hp->attn_temp_floor, reterr)) < 0)
                return r;
        hp->n_ff_shared = hp->n_ff_expert;
        if (hp->n_experts == EXPERTS_WITHOUT_NORM)
                hp->qk_norm = QK_NORM_NONE;
        for (uint32_t i = 0; i < hp->n_layers; i++) {
                const bool full = (i + 1) % LAYERS_PER_FULL == 0;
                hp->layers[i] = (LayerPlan) {
                        .chunk = full ? 0 : chunk,
                        .rope = full ? -1 : 0,
                        .experts = (i + 1) % step == 0,
                };
        }
        return 0;
}

const Architecture architecture_llama4 = {
        .name = "llama4",
        .rope_style = ROPE_INTERLEAVED,
        .qk_norm = QK_NORM_L2,
        .activation = ACTIVATION_SILU,
        .routing = ROUTE_SIGMOID_INPUT,
        .plan = plan,
};
