/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the way from the file's blocks to layout.h's: a reader for each type that spreads 32 weights of a row into bytes,
 * and one writer. Four weights move at a time in a 32-bit word. And the way back for a single row, which is an embedding:
 * where a matrix is both, nothing of it need be resident twice. */

#include <string.h>

#include "engine/kernels/layout.h"

typedef struct RowBlock {             /* 32 weights of one row */
        uint32_t q[8];                /* four to a word, one to a byte */
        uint16_t d, min;              /* float16 or bfloat16; of a K type its d and dmin */
        uint8_t scale[2], scale_min[2]; /* of a K type, for each half */
} RowBlock;

static uint16_t load16(const uint8_t *p) {
        return (uint16_t) (p[0] | p[1] << 8);
}

static uint32_t load32(const uint8_t *p) {
        return p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

/* 16 bytes whose low nibbles are the first 16 weights and whose high nibbles are the others. */
static void read_nibbles(const uint8_t *p, RowBlock *ret) {
        for (unsigned i = 0; i < 4; i++) {
                uint32_t w = load32(p + 4 * i);
                ret->q[i] = w & 0x0f0f0f0f;
                ret->q[i + 4] = w >> 4 & 0x0f0f0f0f;
        }
}

/* Bit j of `bits` is the fifth of weight j. */
static void read_fifth_bits(uint32_t bits, RowBlock *ret) {
        for (unsigned i = 0; i < 8; i++) {
                uint32_t n = bits >> 4 * i & 15;
                ret->q[i] |= ((n & 1) | (n & 2) << 7 | (n & 4) << 14 | (n & 8) << 21) << 4;
        }
}

static void read_q4_0(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) k * 18;
        ret->d = load16(b);
        read_nibbles(b + 2, ret);
}

static void read_q4_1(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) k * 20;
        ret->d = load16(b);
        ret->min = load16(b + 2);
        read_nibbles(b + 4, ret);
}

static void read_q5_0(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) k * 22;
        ret->d = load16(b);
        read_nibbles(b + 6, ret);
        read_fifth_bits(load32(b + 2), ret);
}

static void read_q5_1(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) k * 24;
        ret->d = load16(b);
        ret->min = load16(b + 2);
        read_nibbles(b + 8, ret);
        read_fifth_bits(load32(b + 4), ret);
}

static void read_q8_0(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) k * 34;
        ret->d = load16(b);
        for (unsigned i = 0; i < 8; i++)
                ret->q[i] = load32(b + 2 + 4 * i) ^ 0x80808080;
}

static void read_mxfp4(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) k * 17;
        /* 2^(e - 128) as a bfloat16; the two smallest are subnormal. */
        ret->d = (uint16_t) (b[0] < 2 ? 0x20 << b[0] : (b[0] - 1) << 7);
        read_nibbles(b + 1, ret);
}

/* K types: a superblock holds 8 of our blocks. */
static void read_q2_k(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) (k / 8) * 84;
        unsigned run = k % 8;
        ret->d = load16(b + 80);
        ret->min = load16(b + 82);
        for (unsigned h = 0; h < 2; h++) {
                ret->scale[h] = b[2 * run + h] & 15;
                ret->scale_min[h] = b[2 * run + h] >> 4;
        }
        for (unsigned i = 0; i < 8; i++)
                ret->q[i] = load32(b + 16 + 32 * (run / 4) + 4 * i) >> 2 * (run % 4) & 0x03030303;
}

static void read_q3_k(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) (k / 8) * 110, *scales = b + 96;
        unsigned run = k % 8;
        ret->d = load16(b + 108);
        for (unsigned h = 0; h < 2; h++) {
                unsigned s = 2 * run + h;
                ret->scale[h] = (uint8_t) (((scales[s % 8] >> 4 * (s / 8) & 15) | (scales[8 + s % 4] >> 2 * (s / 4) & 3) << 4) - 32);
        }
        for (unsigned i = 0; i < 8; i++)
                ret->q[i] = (load32(b + 32 + 32 * (run / 4) + 4 * i) >> 2 * (run % 4) & 0x03030303)
                        | (load32(b + 4 * i) >> run & 0x01010101) << 2;
}

/* The 12 bytes of Q4_K's and Q5_K's scales: see engine/format/types/. */
static void read_k_scale(const uint8_t *s, unsigned run, RowBlock *ret) {
        if (run < 4) {
                ret->scale[0] = s[run] & 63;
                ret->scale_min[0] = s[run + 4] & 63;
        } else {
                ret->scale[0] = (uint8_t) ((s[run + 4] & 15) | s[run - 4] >> 6 << 4);
                ret->scale_min[0] = (uint8_t) (s[run + 4] >> 4 | s[run] >> 6 << 4);
        }
}

static void read_q4_k(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) (k / 8) * 144;
        unsigned run = k % 8;
        ret->d = load16(b);
        ret->min = load16(b + 2);
        read_k_scale(b + 4, run, ret);
        for (unsigned i = 0; i < 8; i++)
                ret->q[i] = load32(b + 16 + 32 * (run / 2) + 4 * i) >> 4 * (run % 2) & 0x0f0f0f0f;
}

static void read_q5_k(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) (k / 8) * 176;
        unsigned run = k % 8;
        ret->d = load16(b);
        ret->min = load16(b + 2);
        read_k_scale(b + 4, run, ret);
        for (unsigned i = 0; i < 8; i++)
                ret->q[i] = (load32(b + 48 + 32 * (run / 2) + 4 * i) >> 4 * (run % 2) & 0x0f0f0f0f)
                        | (load32(b + 16 + 4 * i) >> run & 0x01010101) << 4;
}

static void read_q6_k(const uint8_t *row, uint32_t k, RowBlock *ret) {
        const uint8_t *b = row + (size_t) (k / 8) * 210;
        unsigned run = k % 8, half = run / 4, r = run % 4;
        ret->d = load16(b + 208);
        memcpy(ret->scale, b + 192 + 2 * run, 2);
        for (unsigned i = 0; i < 8; i++)
                ret->q[i] = (load32(b + 64 * half + 32 * (r % 2) + 4 * i) >> 4 * (r / 2) & 0x0f0f0f0f)
                        | (load32(b + 128 + 32 * half + 4 * i) >> 2 * r & 0x03030303) << 4;
}

typedef void (*Reader)(const uint8_t *row, uint32_t k, RowBlock *ret);

static const Reader readers[] = {
        [TENSOR_Q4_0] = read_q4_0,
        [TENSOR_Q4_1] = read_q4_1,
        [TENSOR_Q5_0] = read_q5_0,
        [TENSOR_Q5_1] = read_q5_1,
        [TENSOR_Q8_0] = read_q8_0,
        [TENSOR_Q2_K] = read_q2_k,
        [TENSOR_Q3_K] = read_q3_k,
        [TENSOR_Q4_K] = read_q4_k,
        [TENSOR_Q5_K] = read_q5_k,
        [TENSOR_Q6_K] = read_q6_k,
        [TENSOR_IQ4_NL] = read_q4_0,  /* the same block; the table is the kernels' affair */
        [TENSOR_MXFP4] = read_mxfp4,
};

static void store16(uint8_t *p, unsigned i, uint16_t x) {
        memcpy(p + 2 * i, &x, sizeof x);
}

static void store32(uint8_t *p, unsigned i, uint32_t x) {
        memcpy(p + 4 * i, &x, sizeof x);
}

static void write_scales(Layout l, uint8_t *header, uint8_t *block, unsigned row, const RowBlock *b) {
        switch (l.scales) {
        case SCALES_F16_MIN:
                store16(block + 32, row, b->min);
                store16(block, row, b->d);
                return;
        case SCALES_F16:
        case SCALES_BF16:
                store16(block, row, b->d);
                return;
        case SCALES_32:
                block[row] = b->scale[0];
                block[16 + row] = b->scale_min[0];
                break;
        case SCALES_16_MIN:
                block[32 + row] = b->scale_min[0];
                block[48 + row] = b->scale_min[1];
                block[row] = b->scale[0];
                block[16 + row] = b->scale[1];
                break;
        case SCALES_16:
                block[row] = b->scale[0];
                block[16 + row] = b->scale[1];
                break;
        }
        store16(header, row, b->d);
        if (layout_has_min(l))
                store16(header + 32, row, b->min ^ 0x8000);
}

static void write_quants(Layout l, uint8_t *block, unsigned row, const uint32_t q[8]) {
        uint8_t *high = block + layout_high(l), *quants = block + layout_quants(l);

        if (l.bits == 8) {
                for (unsigned v = 0; v < 8; v++)
                        store32(quants + 64 * v, row, q[v]);
                return;
        }
        for (unsigned v = 0; v < 4; v++)
                store32(quants + 64 * v, row, (q[v] & 0x0f0f0f0f) | (q[v + 4] & 0x0f0f0f0f) << 4);
        if (l.bits == 5) {
                uint32_t plane = 0;
                for (unsigned v = 0; v < 8; v++)
                        plane |= (q[v] >> 4 & 0x01010101) << v;
                store32(high, row, plane);
        } else if (l.bits == 6)
                for (unsigned p = 0; p < 2; p++) {
                        uint32_t plane = 0;
                        for (unsigned v = 0; v < 4; v++)
                                plane |= (q[4 * p + v] >> 4 & 0x03030303) << 2 * v;
                        store32(high + 64 * p, row, plane);
                }
}

size_t layout_packed_size(const Weight *w) {
        Layout l;

        if (!layout_of(w->type->id, &l))
                return 0;
        return (size_t) ((w->n_out + GROUP_ROWS - 1) / GROUP_ROWS) * layout_group(l, w->n_in);
}

void layout_pack(const Weight *w, uint32_t row0, uint32_t row1) {
        Layout l;

        if (!layout_of(w->type->id, &l))
                return;
        Reader reader = readers[w->type->id];
        for (uint32_t group = row0 / GROUP_ROWS; group * GROUP_ROWS < row1; group++) {
                uint8_t *block = w->packed + group * layout_group(l, w->n_in), *header = block;

                for (uint32_t k = 0; k < w->n_in / BLOCK_COLUMNS; k++, block += layout_block(l)) {
                        if (layout_header(l) > 0 && k % SUPER_BLOCKS == 0) {
                                header = block;
                                block += layout_header(l);
                        }
                        for (unsigned row = 0; row < GROUP_ROWS; row++) {
                                uint32_t i = group * GROUP_ROWS + row;
                                RowBlock b = {};

                                /* Rows that the matrix lacks are zeros; their results are not stored. */
                                if (i < w->n_out)
                                        reader(w->file + i * w->file_stride, k, &b);
                                write_scales(l, header, block, row, &b);
                                write_quants(l, block, row, b.q);
                        }
                }
        }
}

static float load_half(const uint8_t *p, unsigned i) {
        return f16_to_f32(load16(p + 2 * i));
}

static float scale_of(Layout l, const uint8_t *header, const uint8_t *block, unsigned half, unsigned row) {
        switch (l.scales) {
        case SCALES_BF16:
                return bf16_to_f32(load16(block + 2 * row));
        case SCALES_32:
                return load_half(header, row) * (float) block[row];
        case SCALES_16:
        case SCALES_16_MIN:
                return load_half(header, row) * (float) (int8_t) block[16 * half + row];
        default:
                return load_half(block, row);
        }
}

static float min_of(Layout l, const uint8_t *header, const uint8_t *block, unsigned half, unsigned row) {
        switch (l.scales) {
        case SCALES_F16_MIN:
                return load_half(block + 32, row);
        case SCALES_32:
                return load_half(header + 32, row) * (float) block[16 + row];
        case SCALES_16_MIN:
                return load_half(header + 32, row) * (float) block[32 + 16 * half + row];
        default:
                return 0;
        }
}

/* Column `c` of a block, as the kernels' unsigned number. */
static unsigned quant_of(Layout l, const uint8_t *block, unsigned row, unsigned c) {
        const uint8_t *high = block + layout_high(l), *quants = block + layout_quants(l);
        const unsigned v = c / 4, at = 4 * row + c % 4;

        if (l.bits == 8)
                return quants[64 * v + at];
        unsigned q = quants[64 * (v % 4) + at] >> (v < 4 ? 0 : 4) & 15;
        if (l.table)
                return (uint8_t) l.table[q];
        if (l.bits == 5)
                q |= (high[at] >> v & 1u) << 4;
        if (l.bits == 6)
                q |= (high[64 * (v / 4) + at] >> 2 * (v % 4) & 3u) << 4;
        return q;
}

void weight_row(const Weight *w, uint32_t row, float *ret) {
        Layout l;

        if (!w->packed || !layout_of(w->type->id, &l)) {
                w->type->dequantize(w->file + row * w->file_stride, ret, w->n_in);
                return;
        }
        const uint8_t *block = w->packed + row / GROUP_ROWS * layout_group(l, w->n_in), *header = block;
        const int zero = l.zero_shift == NO_ZERO ? 0 : 1 << l.zero_shift;

        for (uint32_t k = 0; k < w->n_in / BLOCK_COLUMNS; k++, block += layout_block(l)) {
                if (layout_header(l) > 0 && k % SUPER_BLOCKS == 0) {
                        header = block;
                        block += layout_header(l);
                }
                for (unsigned half = 0; half < 2; half++) {
                        const float scale = scale_of(l, header, block, half, row % GROUP_ROWS);
                        const float min = min_of(l, header, block, half, row % GROUP_ROWS);

                        for (unsigned c = 16 * half; c < 16 * half + 16; c++)
                                *ret++ = scale * (float) ((int) quant_of(l, block, row % GROUP_ROWS, c) - zero) + min;
                }
        }
}

/* An odd number of cache lines, so that the rows of a tile do not fall on the same few sets of the cache. */
size_t layout_activation_size(uint32_t n_in, bool floats) {
        size_t lines = floats ? ((size_t) n_in * sizeof(float) + 63) / 64 : 0;

        return (((size_t) activation_blocks(n_in) + lines) | 1) * 64;
}
