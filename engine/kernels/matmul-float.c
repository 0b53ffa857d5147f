/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Products with weights that the file keeps as floats, read where they lie, and of any type that has no packed layout,
 * by its dequantize(). Compiled once for each vector level. Each (token, row) sums by lanes in ascending order, the
 * lanes in a fixed order at the end, whatever the tile. */

#include "engine/kernels/layout.h"
#include "engine/kernels/level.h"
#include "engine/kernels/simd.h"

#define CHUNK_BYTES (192u << 10)
#define DEQUANTIZE_MAX 256u           /* a multiple of every type's block */
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
                        vf w = load(f, a->rows + r * a->row_stride + (size_t) i * form_size(f));
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

/* A few rows at a time through a buffer of floats. */
static void matmul_dequantized(const Weight *w, TileArgs a, uint32_t n_tokens, uint32_t row0, uint32_t row1) {
        _Alignas(64) float values[TILE_ROWS][DEQUANTIZE_MAX];
        float *out = a.out;
        const uint8_t *act = a.act;

        for (uint32_t row = row0; row < row1; row += TILE_ROWS)
                for (uint32_t i = 0; i < w->n_in; i += DEQUANTIZE_MAX) {
                        uint32_t n_rows = MIN(row1 - row, TILE_ROWS), n = MIN(w->n_in - i, DEQUANTIZE_MAX);
                        for (uint32_t r = 0; r < n_rows; r++)
                                w->type->dequantize(w->file + (row + r) * w->file_stride
                                                    + i / w->type->block_size * w->type->block_bytes, values[r], n);
                        a.rows = (const uint8_t *) values;
                        a.row_stride = sizeof values[0];
                        a.n_in = n;
                        a.act = act + i * sizeof(float);
                        a.out = out + row;
                        a.accumulate = i > 0;
                        run(tiles_F32[0], a, n_rows, n_tokens);
                }
}

void LEVEL(matmul_float)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                         uint32_t row0, uint32_t row1) {
        TileArgs a = {
                .n_in = w->n_in,
                .act = (const uint8_t *) act + activation_blocks(w->n_in) * sizeof(ActivationBlock),
                .act_stride = layout_activation_size(w->n_in, w->floats),
                .out = out,
                .out_stride = out_stride,
        };

        if (w->type->block_size > 1) {
                matmul_dequantized(w, a, n_tokens, row0, row1);
                return;
        }

        uint32_t chunk = (uint32_t) MAX(CHUNK_BYTES / (TILE_ROWS * w->file_stride), (size_t) 1) * TILE_ROWS;
        for (uint32_t row = row0; row < row1; row += MIN(chunk, row1 - row)) {
                a.rows = w->file + row * w->file_stride;
                a.row_stride = w->file_stride;
                a.out = out + row;
                run(tiles_of(w->type), a, MIN(chunk, row1 - row), n_tokens);
        }
}
