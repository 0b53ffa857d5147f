/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the table of the weight types that Spark reads. What is not in it is refused by name of its number: a type
 * whose size we do not know cannot be bounds-checked. */

#include "basic/cleanup.h"
#include "engine/format/types/types.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weights are used where they lie in the file");

static const TensorType *const types[] = {
        &tensor_type_f32,
        &tensor_type_f16,
        &tensor_type_bf16,
        &tensor_type_q4_0,
        &tensor_type_q4_1,
        &tensor_type_q5_0,
        &tensor_type_q5_1,
        &tensor_type_q8_0,
        &tensor_type_q2_k,
        &tensor_type_q3_k,
        &tensor_type_q4_k,
        &tensor_type_q5_k,
        &tensor_type_q6_k,
        &tensor_type_iq4_nl,
        &tensor_type_mxfp4,
};

const TensorType *tensor_type(uint32_t id) {
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if ((uint32_t) types[i]->id == id)
                        return types[i];
        return NULL;
}
