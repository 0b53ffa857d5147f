/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The products of level amx on any machine: matmul-amx.c, compiled for AVX2 and for AVX-512 VNNI, on emulated tiles that
 * fault where silicon does. The same bits as the level that has the same vectors and no tiles, and the scalar level's
 * values to a stated bound. Where tiles are real, test-kernels tries them as it does every level. */

#include <math.h>

#include "engine/kernels/layout.h"
#include "tests/engine/kernels/emulated-tiles.h"
#include "tests/engine/kernels/kernels-data.h"
#include "tests/test.h"

#define DECLARE(id)                                                                                                             \
        void matmul_wide_##id(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,               \
                              uint32_t row0, uint32_t row1);                                                                    \
        bool tiles_work_##id(void);
DECLARE(tiles_avx2)
DECLARE(tiles_avx512_vnni)

static const struct {
        const char *name;             /* the level with the same vectors */
        void (*matmul)(const Weight *w, const void *act, uint32_t n_tokens, float *out, size_t out_stride,
                       uint32_t row0, uint32_t row1);
        bool (*work)(void);
} twins[] = {
        { "avx2", matmul_wide_tiles_avx2, tiles_work_tiles_avx2 },
        { "avx512-vnni", matmul_wide_tiles_avx512_vnni, tiles_work_tiles_avx512_vnni },
};

#define TOKENS_MIN 20u                /* WIDE_TOKENS */
#define TOKENS_MAX 70u
#define BLOCKS_MAX 50u
#define BOUND 1e-5                    /* of max |w| · Σ |x|, beside half a step of each activation */

/* Every fourth row, tokens by turns: against the scalar level. */
static void check_scalar(const Weight *w, const float *x, uint32_t n_tokens, const float *out) {
        const Kernels *k = kernels_at(0);
        float *want = buffer(n_tokens * sizeof(float)), *row = buffer(w->n_in * sizeof(float));

        for (uint32_t r = 0; r < w->n_out; r += 4) {
                Weight one = *w;
                one.file += r * w->file_stride;
                one.packed = NULL;
                w->type->dequantize(one.file, row, w->n_in);
                for (uint32_t t = r % 3; t < n_tokens; t += 3) {
                        const float *y = x + (size_t) t * w->n_in;
                        double size = 0, largest = 0, rounding = 0, step = 0;
                        uint8_t *act = buffer(k->activation_size(w->n_in, true));

                        k->activation(y, w->n_in, true, act);
                        k->matmul(&one, act, 1, want, 1, 0, 1);
                        for (uint32_t i = 0; i < w->n_in; i++) {
                                if (i % BLOCK_COLUMNS == 0) {
                                        step = 0;
                                        for (uint32_t j = i; j < i + BLOCK_COLUMNS; j++)
                                                step = fmax(step, fabs((double) y[j]) / 127);
                                }
                                size += fabs((double) y[i]);
                                largest = fmax(largest, fabs((double) row[i]));
                                rounding += fabs((double) row[i]) * step * 0.5;
                        }
                        CHECK(fabs((double) out[t * w->n_out + r] - (double) want[0]) <= BOUND * largest * size + rounding);
                        free(act);
                }
        }
        free(want);
        free(row);
}

static void check(const Kernels *k, size_t twin, const TypeCase *c, uint32_t n_in, uint32_t n_out, uint32_t n_tokens) {
        Weight w = random_weight(k, c, n_in, n_out);
        float *x = random_floats((size_t) n_tokens * n_in);
        size_t act_size = k->activation_size(n_in, false), size = (size_t) n_tokens * n_out * sizeof(float);
        uint8_t *act = buffer(n_tokens * act_size);
        float *want = buffer(size), *got = buffer(size);
        uint32_t cut = n_out / 2 / GROUP_ROWS * GROUP_ROWS;

        for (uint32_t t = 0; t < n_tokens; t++)
                k->activation(x + (size_t) t * n_in, n_in, false, act + t * act_size);
        memset(want, 0xff, size);
        memset(got, 0xff, size);
        k->matmul(&w, act, n_tokens, want, n_out, 0, n_out);
        twins[twin].matmul(&w, act, n_tokens, got, n_out, 0, cut);
        twins[twin].matmul(&w, act, n_tokens, got, n_out, cut, n_out);
        CHECK(memcmp(want, got, size) == 0);
        CHECK(emulated_tiles_products() > 0);
        check_scalar(&w, x, n_tokens, got);

        weight_done(&w);
        free(x);
        free(act);
        free(want);
        free(got);
}

static void check_twin(size_t twin) {
        const Kernels *k = kernels_select(twins[twin].name);
        Layout l;

        if (!k)
                SKIP("not on this CPU");
        for (size_t c = 0; c < ELEMENTSOF(type_cases); c++) {
                const uint32_t columns = tensor_type(type_cases[c].id)->block_size;

                if (!layout_of(type_cases[c].id, &l))
                        continue;
                for (uint32_t n = 1; n <= BLOCKS_MAX; n++)
                        if (n * BLOCK_COLUMNS % columns == 0)
                                check(k, twin, &type_cases[c], n * BLOCK_COLUMNS, 1 + n * 7 % 67, TOKENS_MIN + n * 11 % (TOKENS_MAX - TOKENS_MIN));
                for (uint32_t t = TOKENS_MIN; t <= TOKENS_MAX; t++)
                        check(k, twin, &type_cases[c], columns, 1 + t * 13 % 50, t);
        }
}

static void test_avx2(void) {
        check_twin(0);
}

static void test_avx512_vnni(void) {
        check_twin(1);
}

/* By which a level says that it is supported. */
static void test_trial(void) {
        for (size_t i = 0; i < ELEMENTSOF(twins); i++) {
                if (!kernels_select(twins[i].name))
                        continue;
                CHECK(twins[i].work());
                CHECK_INT(emulated_tiles_products(), 1);
                emulated_tiles_break(true);
                bool work = twins[i].work();
                emulated_tiles_break(false);
                CHECK(!work);
                CHECK_INT(emulated_tiles_products(), 1);
        }
}

TEST_MAIN(
        { "tiles are tried before they are believed", test_trial },
        { "products beside AVX2's, bit for bit", test_avx2 },
        { "products beside AVX-512 VNNI's, bit for bit", test_avx512_vnni },
)
