/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* llama: Llama 1 to 3.3, SmolLM, Mistral (Touvron et al., 2023; Dubey et al., 2024). The converter permutes q and k so
 * that rope turns neighbouring pairs; Llama 3.1's rope scaling comes as the tensor rope_freqs.weight. */

#include "engine/models/architecture.h"

const Architecture architecture_llama = {
        .name = "llama",
        .rope_style = ROPE_INTERLEAVED,
        .qk_norm = QK_NORM_NONE,
        .activation = ACTIVATION_SILU,
};
