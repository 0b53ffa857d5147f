/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The weight types of GGUF: one const table, one file a type in engine/format/types/. A new type is one new file and
 * one line in tensor-type.c.
 *
 * A row of ne[0] elements is ne[0] / block_size blocks of block_bytes; a row that is no whole number of blocks is
 * refused by the reader. dequantize() is the definition that everything else is measured against: plain C, float32,
 * what the format's arithmetic says. It reads only the n / block_size blocks and cannot fail. */

#include <stddef.h>
#include <stdint.h>

typedef enum TensorTypeId {            /* the file format's numbers */
        TENSOR_F32 = 0, TENSOR_F16 = 1, TENSOR_Q4_0 = 2, TENSOR_Q4_1 = 3, TENSOR_Q5_0 = 6, TENSOR_Q5_1 = 7,
        TENSOR_Q8_0 = 8, TENSOR_Q2_K = 10, TENSOR_Q3_K = 11, TENSOR_Q4_K = 12, TENSOR_Q5_K = 13, TENSOR_Q6_K = 14,
        TENSOR_IQ4_NL = 20, TENSOR_BF16 = 30, TENSOR_MXFP4 = 39,
} TensorTypeId;

typedef struct TensorType {
        TensorTypeId id;
        const char *name;               /* "Q4_1" */
        unsigned block_size;            /* elements; never 0 */
        unsigned block_bytes;           /* never 0 */
        void (*dequantize)(const void *blocks, float *out, size_t n); /* n: a multiple of block_size */
} TensorType;

const TensorType *tensor_type(uint32_t id);      /* NULL: not a type that Spark reads */

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);                    /* to nearest even; overflow to infinity */
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float f);
