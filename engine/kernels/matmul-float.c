/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products with weights that the file keeps as floats, read where they lie, and of any type that has no packed layout,
 * by its dequantize(). Compiled once for each vector level.
 *
 * A few rows at a time, a part of their columns at a time; all tokens pass these. For each (token, row) a part's products
 * are summed by lanes in ascending order, the lanes in a fixed order at its end, whatever the tile and wherever weights
 * became floats: in registers for few tokens, in a buffer for many. The next rows are fetched ahead: the hardware does
 * not see where a row goes on.
 *
 * BF16 is multiplied as float32, in every level: an fma takes half as many products as VDPBF16PS in a quarter of its time
 * on the CPUs that were measured, and needs no activation rounded to 8 bits (docs/measurements.md). */

#include "engine/kernels/layout.h"
#include "engine/kernels/level.h"
#include "engine/kernels/simd.h"

#define CHUNK_COLUMNS 1024u           /* summed up at a time; a multiple of every type's block */
#define EXPAND_TOKENS 16u             /* from so many on, weights are made floats once for all */
#define TILE_ROWS 4u
#if VF_LANES == 16
#define TILE_TOKENS 4u
#else
#define TILE_TOKENS 2u
#endif

typedef enum Form { FORM_F32, FORM_F16, FORM_BF16 } Form;

typedef struct TileArgs {
        const uint8_t *rows;
        size_t row_stride;
        uint32_t n_in;
        const uint8_t *act;           /* the floats of the first token */
        size_t act_stride;
        float *out;
        size_t out_stride;
        bool accumulate;
} TileArgs;
typedef void (*Tile)(const TileArgs *a);

static always_inline_ unsigned form_size(Form f) {
        return f == FORM_F32 ? 4 : 2;
}

static always_inline_ vf load(Form f, const uint8_t *p) {
        return f == FORM_F32 ? vf_load((const float *) (const void *) p) : f == FORM_F16 ? vf_from_f16(p) : vf_from_bf16(p);
}

static always_inline_ void tile(const Form f, const unsigned R, const unsigned T, const TileArgs *a) {
        vf sum[TILE_ROWS][TILE_TOKENS];
        uint32_t i = 0;

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned t = 0; t < T; t++)
                        sum[r][t] = vf_set1(0);

        for (; i + VF_LANES <= a->n_in; i += VF_LANES) {
                vf x[TILE_TOKENS];
                UNROLL for (unsigned t = 0; t < T; t++)
                        x[t] = vf_load((const float *) (const void *) (a->act + t * a->act_stride) + i);
                UNROLL for (unsigned r = 0; r < R; r++) {
                        const uint8_t *at = a->rows + r * a->row_stride + (size_t) i * form_size(f);
                        vf w = load(f, at);
                        if (f != FORM_F32)
                                _mm_prefetch((const char *) at + TILE_ROWS * a->row_stride, _MM_HINT_T0);
                        UNROLL for (unsigned t = 0; t < T; t++)
                                sum[r][t] = vf_fma(w, x[t], sum[r][t]);
                }
        }
        if (i < a->n_in)
                for (unsigned r = 0; r < R; r++) {
                        uint8_t tail[VF_LANES * sizeof(float)] = {};
                        memcpy(tail, a->rows + r * a->row_stride + (size_t) i * form_size(f), (a->n_in - i) * form_size(f));
                        for (unsigned t = 0; t < T; t++) {
                                vf x = vf_load((const float *) (const void *) (a->act + t * a->act_stride) + i);
                                sum[r][t] = vf_fma(load(f, tail), x, sum[r][t]);
                        }
                }

        UNROLL for (unsigned r = 0; r < R; r++)
                UNROLL for (unsigned t = 0; t < T; t++) {
                        float *out = &a->out[t * a->out_stride + r];
                        *out = (a->accumulate ? *out : 0) + vf_sum(sum[r][t]);
                }
}

#define DEFINE_TILE(form, R, T)                                                 \
        static void tile_##form##_##R##_##T(const TileArgs *a) {                \
                tile(FORM_##form, R, T, a);                                     \
        }
#define DEFINE_TILES(form)                                                      \
        DEFINE_TILE(form, 1, 1) DEFINE_TILE(form, 4, 1)                         \
        DEFINE_TILE(form, 1, TILE_TOKENS) DEFINE_TILE(form, 4, TILE_TOKENS)     \
        static const Tile tiles_##form[2][2] = {                                \
                { tile_##form##_1_1, tile_##form##_4_1 },                       \
                { tile_##form##_1_TILE_TOKENS, tile_##form##_4_TILE_TOKENS },   \
        };
DEFINE_TILES(F32)
DEFINE_TILES(F16)
DEFINE_TILES(BF16)

static const Tile *tiles_of(const TensorType *type) {
        switch (type->id) {
        case TENSOR_F16:
                return tiles_F16[0];
        case TENSOR_BF16:
                return tiles_BF16[0];
        default:
                return tiles_F32[0];
        }
}

static void run(const Tile *tiles, TileArgs a, uint32_t n_rows, uint32_t n_tokens) {
        const uint8_t *act = a.act;
        float *out = a.out;

        for (uint32_t t = 0; t < n_tokens;) {
                bool many = n_tokens - t >= TILE_TOKENS;
                for (uint32_t r = 0; r < n_rows;) {
                        bool four = n_rows - r >= TILE_ROWS;
                        TileArgs b = a;
                        b.rows = a.rows + r * a.row_stride;
                        b.act = act + t * a.act_stride;
                        b.out = out + t * a.out_stride + r;
                        tiles[2 * many + four](&b);
                        r += four ? TILE_ROWS : 1;
                }
                t += many ? TILE_TOKENS : 1;
        }
}

/* Returns how many of n numbers there were in whole vectors. */
static always_inline_ uint32_t expand_form(const Form f, const uint8_t *at, size_t ahead, uint32_t n, float *ret) {
        uint32_t k = 0;

        for (; k + VF_LANES <= n; k += VF_LANES, at += VF_LANES * form_size(f)) {
                vf_store(ret + k, load(f, at));
                _mm_prefetch((const char *) at + ahead, _MM_HINT_T0);
        }
        return k;
}

/* Columns [i, i + n) of a row as floats. */
static void expand(const Weight *w, uint32_t row, uint32_t i, uint32_t n, float *ret) {
        const TensorType *type = w->type;
        const uint8_t *at = w->file + row * w->file_stride + i / type->block_size * type->block_bytes;
        uint32_t k = 0;

        if (type->id == TENSOR_F16)
                k = expand_form(FORM_F16, at, TILE_ROWS * w->file_stride, n, ret);
        else if (type->id == TENSOR_BF16)
                k = expand_form(FORM_BF16, at, TILE_ROWS * w->file_stride, n, ret);
        if (k < n)
                type->dequantize(at + k / type->block_size * type->block_bytes, ret + k, n - k);
}

void LEVEL(matmul_float)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                         uint32_t row0, uint32_t row1) {
        _Alignas(64) float values[TILE_ROWS][CHUNK_COLUMNS];
        const bool direct = w->type->id == TENSOR_F32 || (w->type->block_size == 1 && n_tokens < EXPAND_TOKENS);
        const Tile *tiles = direct ? tiles_of(w->type) : tiles_F32[0];
        const uint8_t *floats = (const uint8_t *) act + activation_blocks(w->n_in) * sizeof(ActivationBlock);
        TileArgs a = {
                .row_stride = direct ? w->file_stride : sizeof values[0],
                .act_stride = layout_activation_size(w->n_in, w->floats),
                .out_stride = out_stride,
        };

        for (uint32_t row = row0; row < row1; row += TILE_ROWS)
                for (uint32_t i = 0; i < w->n_in; i += CHUNK_COLUMNS) {
                        const uint32_t n_rows = MIN(row1 - row, TILE_ROWS);

                        a.n_in = MIN(w->n_in - i, CHUNK_COLUMNS);
                        a.rows = direct ? w->file + row * w->file_stride + i * w->type->block_bytes : (const uint8_t *) values;
                        a.act = floats + i * sizeof(float);
                        a.out = out + row;
                        a.accumulate = i > 0;
                        for (uint32_t r = 0; !direct && r < n_rows; r++)
                                expand(w, row + r, i, a.n_in, values[r]);
                        run(tiles, a, n_rows, n_tokens);
                }
}
