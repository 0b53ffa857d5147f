/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How the vector levels keep weights and activations: the same bytes for every level, so that pack.c needs no
 * instruction set of its own and the levels differ in arithmetic only.
 *
 * Weights. A group is 16 rows; along it stand blocks of 32 columns. A vector of 64 bytes holds 4 columns of the 16
 * rows, row by row, so that a 32-bit lane belongs to a row and products need no sum across lanes; half of it serves
 * where registers have 256 bits. Block, in this order:
 *   scales   as the type has them, 16 numbers for the 16 rows each
 *   high     5 bits: one vector, bit v of a byte is the fifth bit of the byte's place in vector v
 *            6 bits: two vectors, bits 2·(v mod 4) … of vector v / 4 are the upper two
 *   quants   8 bits: eight vectors; else four: low nibbles are vectors 0 … 3 (columns 0 … 15), high ones 4 … 7
 * In front of every 8 blocks of a K type stand the 16 rows' float16 d, and -dmin where it has minima.
 *
 * A weight is scale · (q - zero) + min, or scale · (table[q] - zero). Activations are int8 in blocks of 32 with a float
 * scale, to nearest, and the sums of the block and its halves, from which zero and min take their share. */

#include <stdbool.h>

#include "engine/kernels/kernels.h"

#define GROUP_ROWS 16u
#define BLOCK_COLUMNS 32u
#define SUPER_BLOCKS 8u

typedef enum Scales {
        SCALES_F16,                   /* one float16 a block */
        SCALES_F16_MIN,               /* … and one for the minimum */
        SCALES_BF16,                  /* one bfloat16: powers of two */
        SCALES_32,                    /* d · u8, -dmin · u8, for the block */
        SCALES_16,                    /* d · i8, for each half */
        SCALES_16_MIN,                /* d · i8, -dmin · u8, for each half */
} Scales;

typedef struct Layout {
        Scales scales;
        unsigned bits;                /* 4, 5, 6, 8 */
        unsigned zero_shift;          /* zero is 1 << zero_shift; NO_ZERO: there is none */
        const int8_t *table;          /* 16 bytes with their top bit flipped, or NULL */
} Layout;
#define NO_ZERO 32u

/* The formats' tables, each value + 128. */
static const int8_t iq4_nl_table[16] = {
        1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15,
};
static const int8_t mxfp4_table[16] = {
        -128, -127, -126, -125, -124, -122, -120, -116, -128, 127, 126, 125, 124, 122, 120, 116,
};

#define LAYOUT_TYPES(X) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_NL) X(MXFP4)

/* false: no packed layout; such a type is read as the file has it. Folds to constants where the id is one. */
static inline __attribute__((always_inline)) bool layout_of(TensorTypeId id, Layout *ret) {
        switch (id) {
        case TENSOR_Q4_0:
                *ret = (Layout) { SCALES_F16, 4, 3 };
                return true;
        case TENSOR_Q4_1:
                *ret = (Layout) { SCALES_F16_MIN, 4, NO_ZERO };
                return true;
        case TENSOR_Q5_0:
                *ret = (Layout) { SCALES_F16, 5, 4 };
                return true;
        case TENSOR_Q5_1:
                *ret = (Layout) { SCALES_F16_MIN, 5, NO_ZERO };
                return true;
        case TENSOR_Q8_0:
                *ret = (Layout) { SCALES_F16, 8, 7 };
                return true;
        case TENSOR_Q2_K:
                *ret = (Layout) { SCALES_16_MIN, 4, NO_ZERO };
                return true;
        case TENSOR_Q3_K:
                *ret = (Layout) { SCALES_16, 4, 2 };
                return true;
        case TENSOR_Q4_K:
                *ret = (Layout) { SCALES_32, 4, NO_ZERO };
                return true;
        case TENSOR_Q5_K:
                *ret = (Layout) { SCALES_32, 5, NO_ZERO };
                return true;
        case TENSOR_Q6_K:
                *ret = (Layout) { SCALES_16, 6, 5 };
                return true;
        case TENSOR_IQ4_NL:
                *ret = (Layout) { SCALES_F16, 4, 7, iq4_nl_table };
                return true;
        case TENSOR_MXFP4:
                *ret = (Layout) { SCALES_BF16, 4, 7, mxfp4_table };
                return true;
        default:
                return false;
        }
}

static inline __attribute__((always_inline)) bool layout_has_min(Layout l) {
        return l.scales == SCALES_F16_MIN || l.scales == SCALES_32 || l.scales == SCALES_16_MIN;
}

static inline __attribute__((always_inline)) bool layout_by_half(Layout l) {
        return l.scales == SCALES_16 || l.scales == SCALES_16_MIN;
}

/* Bytes in front of every SUPER_BLOCKS blocks. */
static inline __attribute__((always_inline)) unsigned layout_header(Layout l) {
        return l.scales == SCALES_16 ? 32 : l.scales == SCALES_32 || l.scales == SCALES_16_MIN ? 64 : 0;
}

/* Offsets in a block, and its size. */
static inline __attribute__((always_inline)) unsigned layout_high(Layout l) {
        return l.scales == SCALES_F16 || l.scales == SCALES_BF16 || l.scales == SCALES_32 || l.scales == SCALES_16 ? 32 : 64;
}

static inline __attribute__((always_inline)) unsigned layout_quants(Layout l) {
        return layout_high(l) + (l.bits == 5 ? 64 : l.bits == 6 ? 128 : 0);
}

static inline __attribute__((always_inline)) unsigned layout_block(Layout l) {
        return layout_quants(l) + (l.bits == 8 ? 512 : 256);
}

static inline __attribute__((always_inline)) size_t layout_group(Layout l, uint32_t n_in) {
        return (size_t) (n_in / BLOCK_COLUMNS) * layout_block(l)
                + (size_t) (n_in / BLOCK_COLUMNS / SUPER_BLOCKS) * layout_header(l);
}

/* Activations: blocks, then, where weights are floats, the floats themselves, padded with zeros. */
typedef struct ActivationBlock {
        int8_t q[BLOCK_COLUMNS];
        float d;
        float sum_d;                  /* d · the sum of q */
        float half_sum_d[2];
        int32_t sum_128;              /* -128 · the sum of q */
        int32_t sum_32, half_sum_32[2]; /* -32 · the sums */
} ActivationBlock;
_Static_assert(sizeof(ActivationBlock) == 64, "one cache line");

static inline uint32_t activation_blocks(uint32_t n_in) {
        return (n_in + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
}

/* pack.c, for the levels' tables. */
size_t layout_packed_size(const Weight *w);
void layout_pack(const Weight *w, uint32_t row0, uint32_t row1);
size_t layout_activation_size(uint32_t n_in, bool floats);
