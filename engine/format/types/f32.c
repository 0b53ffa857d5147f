/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* F32: IEEE 754 single precision, as it is. */

#include "engine/format/types/types.h"

static void dequantize(const void *blocks, float *out, size_t n) {
        memcpy(out, blocks, n * sizeof *out);
}

const TensorType tensor_type_f32 = { TENSOR_F32, "F32", 1, 4, dequantize };
