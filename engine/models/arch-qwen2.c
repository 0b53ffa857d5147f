/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* qwen2: Qwen2 and Qwen2.5 (Yang et al., 2024): biases on queries, keys and values. */

#include "engine/models/architecture.h"

const Architecture architecture_qwen2 = {
        .name = "qwen2",
        .rope_style = ROPE_HALVES,
        .qk_norm = QK_NORM_NONE,
        .activation = ACTIVATION_SILU,
        .qkv_bias = true,
};
