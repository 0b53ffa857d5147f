/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gemma3 (Gemma Team, 2025): embeddings scaled by √n_embd, norms before and after each block (the converter has added
 * the 1 to their weights), norms on each head's query and key, GELU; of six layers five see a window and turn by a rope
 * of their own. */

#include <math.h>

#include "engine/models/architecture.h"

#define LAYERS_PER_FULL 6u
#define LOCAL_ROPE_BASE 10000.0f
#define LAYERS_OF_27B 62u

enum { ROPE_FULL, ROPE_LOCAL };

static int plan(const Architecture *a, const Gguf *g, Hparams *hp, EngineError *reterr) {
        uint32_t window;
        int r = architecture_u32(a, g, "attention.sliding_window", true, 1, MODEL_CONTEXT_MAX, &window, reterr);
        if (r < 0)
                return r;
        hp->n_ropes = 2;
        hp->rope[ROPE_LOCAL] = (RopePlan) { .base = LOCAL_ROPE_BASE, .scale = 1.0f };
        r = architecture_f32(a, g, "rope.freq_base_swa", false, 1.0f, 1e12f, &hp->rope[ROPE_LOCAL].base, reterr);
        if (r < 0)
                return r;

        for (uint32_t i = 0; i < hp->n_layers; i++)
                if (i % LAYERS_PER_FULL != LAYERS_PER_FULL - 1)
                        hp->layers[i] = (LayerPlan) { .window = window, .rope = ROPE_LOCAL };
        hp->embd_scale = sqrtf((float) hp->n_embd);
        /* The one size that does not scale by its heads' width; the file does not say so. */
        if (hp->n_layers == LAYERS_OF_27B)
                hp->attn_scale = 1.0f / sqrtf((float) (hp->n_embd / hp->n_heads));
        return 0;
}

const Architecture architecture_gemma3 = {
        .name = "gemma3",
        .rope_style = ROPE_HALVES,
        .qk_norm = QK_NORM_HEAD,
        .activation = ACTIVATION_GELU,
        .post_norms = true,
        .plan = plan,
};
