/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each level that this machine has, forced by name: products and vectors against double precision and the scalar
 * level to a stated bound, and the same bits however the work is cut. */

#include <math.h>

#include "engine/kernels/cpu.h"
#include "engine/kernels/layout.h"
#include "tests/engine/kernels/kernels-data.h"
#include "tests/test.h"

static const struct { uint32_t n_in, n_out; } shapes[] = { { 256, 16 }, { 512, 37 }, { 2048, 5 }, { 768, 160 } };
static const struct { uint32_t n_in, n_out; } small_shapes[] = { { 32, 1 }, { 96, 18 }, { 576, 48 }, { 4896, 33 } };
static const struct { uint32_t n_in, n_out; } odd_shapes[] = { { 1, 1 }, { 80, 7 }, { 333, 21 } };

#define TOKENS 27u                    /* every tile width, and remainders */
#define MATMUL_BOUND 1e-5             /* of max |w| · Σ |x|: what float sums may lose */

static void *activations(const Kernels *k, const float *x, const Weight *w, uint32_t n_tokens) {
        const size_t size = k->activation_size(w->n_in, w->floats);
        uint8_t *act = buffer(n_tokens * size);
        for (uint32_t t = 0; t < n_tokens; t++)
                k->activation(x + (size_t) t * w->n_in, w->n_in, w->floats, act + t * size);
        return act;
}

/* `whole`: activations that int8 holds exactly, so that no error is the rounding's. Else each may be off by half a step
 * of its block's largest. */
static void check_matmul(const Kernels *k, const TypeCase *c, uint32_t n_in, uint32_t n_out, bool whole) {
        Weight w = random_weight(k, c, n_in, n_out);
        float *x = random_floats((size_t) TOKENS * n_in), *out = buffer(TOKENS * n_out * sizeof(float));
        float *row = buffer(n_in * sizeof(float));

        for (size_t i = 0; i < (size_t) TOKENS * n_in; i++)
                if (whole)
                        x[i] = i % n_in % 32 == 0 ? -127.0f * 0.25f : roundf(x[i] * 127.0f) * 0.25f;
                else
                        x[i] *= 10;
        void *act = activations(k, x, &w, TOKENS);
        memset(out, 0xff, TOKENS * n_out * sizeof(float));
        k->matmul(&w, act, TOKENS, out, n_out, 0, n_out);

        for (uint32_t r = 0; r < n_out; r++) {
                w.type->dequantize(w.file + r * w.file_stride, row, n_in);
                for (uint32_t t = r % 5; t < TOKENS; t += 5) {      /* that all are alike is another test */
                        double sum = 0, size = 0, largest = 0, rounding = 0;
                        for (uint32_t i = 0; i < n_in; i++) {
                                float y = x[(size_t) t * n_in + i];
                                sum += (double) row[i] * y;
                                size += fabs((double) y);
                                largest = fmax(largest, fabs((double) row[i]));
                                rounding += whole ? 0 : fabs((double) row[i]) * 10 / 127 * 0.5;
                        }
                        if (strcmp(k->name, "scalar") == 0)
                                rounding = 0;
                        CHECK(fabs(out[t * n_out + r] - sum) <= MATMUL_BOUND * largest * size + rounding);
                }
        }
        weight_done(&w);
        free(x);
        free(out);
        free(row);
        free(act);
}

static void check_all(void (*check)(const Kernels *k, const TypeCase *c, uint32_t n_in, uint32_t n_out)) {
        const Kernels *k;

        for (size_t level = 0; (k = kernels_at(level)); level++) {
                if (!kernels_select(k->name))
                        continue;
                for (size_t c = 0; c < ELEMENTSOF(type_cases); c++) {
                        unsigned block = tensor_type(type_cases[c].id)->block_size;
                        for (size_t s = 0; s < ELEMENTSOF(shapes); s++)
                                check(k, &type_cases[c], shapes[s].n_in, shapes[s].n_out);
                        for (size_t s = 0; block <= 32 && s < ELEMENTSOF(small_shapes); s++)
                                check(k, &type_cases[c], small_shapes[s].n_in, small_shapes[s].n_out);
                        for (size_t s = 0; block == 1 && s < ELEMENTSOF(odd_shapes); s++)
                                check(k, &type_cases[c], odd_shapes[s].n_in, odd_shapes[s].n_out);
                }
        }
}

static void check_exact(const Kernels *k, const TypeCase *c, uint32_t n_in, uint32_t n_out) {
        check_matmul(k, c, n_in, n_out, true);
}

static void check_rounded(const Kernels *k, const TypeCase *c, uint32_t n_in, uint32_t n_out) {
        check_matmul(k, c, n_in, n_out, false);
}

static void test_matmul(void) {
        check_all(check_exact);
}

static void test_matmul_rounded(void) {
        check_all(check_rounded);
}

/* Any number of tokens in a call, any share of the rows, packed in any shares: the same bits. */
static void check_cuts(const Kernels *k, const TypeCase *c, uint32_t n_in, uint32_t n_out) {
        Weight w = random_weight(k, c, n_in, n_out);
        float *x = random_floats((size_t) TOKENS * n_in);
        size_t size = TOKENS * n_out * sizeof(float), act_size = k->activation_size(n_in, w.floats);
        float *all = buffer(size), *cut = buffer(size);
        uint8_t *act = activations(k, x, &w, TOKENS);

        CHECK_INT(act_size % KERNELS_ALIGN, 0);
        k->matmul(&w, act, TOKENS, all, n_out, 0, n_out);
        for (uint32_t n = 1; n <= 14; n++) {
                memset(cut, 0xff, size);
                if (w.packed)
                        memset(w.packed, 0xff, k->packed_size(&w));
                for (uint32_t row = 0; row < n_out; row += 16 * n) {
                        uint32_t end = MIN(n_out, row + 16 * n);
                        k->pack(&w, row, end);
                        for (uint32_t t = 0; t < TOKENS; t += n)
                                k->matmul(&w, act + t * act_size, MIN(n, TOKENS - t), cut + t * n_out, n_out, row, end);
                }
                CHECK(memcmp(all, cut, size) == 0);
        }
        weight_done(&w);
        free(x);
        free(all);
        free(cut);
        free(act);
}

static void test_cuts(void) {
        check_all(check_cuts);
}

/* A row back from where it was packed is the row that the type defines. */
static void check_row(const Kernels *k, const TypeCase *c, uint32_t n_in, uint32_t n_out) {
        Weight w = random_weight(k, c, n_in, n_out);
        float *want = buffer(n_in * sizeof(float)), *got = buffer(n_in * sizeof(float));

        for (uint32_t r = 0; r < n_out; r++) {
                w.type->dequantize(w.file + r * w.file_stride, want, n_in);
                memset(got, 0xff, n_in * sizeof(float));
                weight_row(&w, r, got);
                float largest = 0;
                for (uint32_t i = 0; i < n_in; i++)
                        largest = fmaxf(largest, fabsf(want[i]));
                for (uint32_t i = 0; i < n_in; i++)
                        CHECK(fabsf(got[i] - want[i]) <= 1e-6f * largest);
        }
        weight_done(&w);
        free(want);
        free(got);
}

static void test_row(void) {
        check_all(check_row);
}

/* Each block alone, by its definition. */
static void check_activation(const Kernels *k, uint32_t n, bool floats, float odd_one) {
        float *x = random_floats(n);
        uint8_t *act = buffer(k->activation_size(n, floats));

        for (uint32_t i = 0; i < n; i++)
                x[i] *= i / 32 % 3 == 1 ? 0 : (float) (i / 32 + 1);
        x[n / 2] = odd_one;
        k->activation(x, n, floats, act);
        for (uint32_t b = 0; b < activation_blocks(n); b++) {
                const ActivationBlock *got = (const ActivationBlock *) (void *) act + b;
                const uint32_t end = MIN(n, 32 * b + 32);
                int32_t sums[2] = {};
                float largest = 0;

                if (n / 2 / 32 == b && !isfinite(odd_one)) {
                        CHECK(!isfinite(got->d));
                        continue;
                }
                for (uint32_t i = 32 * b; i < end; i++)
                        largest = fmaxf(largest, fabsf(x[i]));
                CHECK(got->d == largest / 127);
                for (uint32_t i = 32 * b; i < 32 * b + 32; i++) {
                        const float want = i < end && largest > 0 ? rintf(x[i] * (127 / largest)) : 0;
                        CHECK_INT(got->q[i - 32 * b], (int) want);
                        sums[i % 32 / 16] += (int) want;
                }
                for (unsigned h = 0; h < 2; h++) {
                        CHECK(got->half_sum_d[h] == got->d * (float) sums[h]);
                        CHECK_INT(got->half_sum_32[h], -32 * sums[h]);
                }
                CHECK(got->sum_d == got->d * (float) (sums[0] + sums[1]));
                CHECK_INT(got->sum_32, -32 * (sums[0] + sums[1]));
                CHECK_INT(got->sum_128, -128 * (sums[0] + sums[1]));
        }
        if (floats)
                CHECK(memcmp(act + activation_blocks(n) * sizeof(ActivationBlock), x, n * sizeof *x) == 0);
        free(x);
        free(act);
}

static void test_activations(void) {
        const Kernels *k;

        for (size_t level = 1; (k = kernels_at(level)); level++)
                for (uint32_t n = 1; kernels_select(k->name) && n < 600; n += n < 300 ? 7 : 31)
                        for (unsigned floats = 0; floats < 2; floats++) {
                                check_activation(k, n, floats, -0.0f);
                                check_activation(k, n, floats, 1e5f);
                                check_activation(k, n, floats, INFINITY);
                                check_activation(k, n, floats, NAN);
                        }
}

typedef struct Vectors {
        float *x, *y, *got;
        uint32_t n;
} Vectors;

/* Relative to the result, and to `floor` where sums may cancel. */
static void check_close(const Vectors *v, double (*want)(const Vectors *v, uint32_t i), double bound, double floor) {
        for (uint32_t i = 0; i < v->n; i++) {
                double w = want(v, i);
                CHECK(fabs(v->got[i] - w) <= bound * (fabs(w) + floor));
        }
}

static double want_rms_norm(const Vectors *v, uint32_t i) {
        double sum = 0;
        for (uint32_t j = 0; j < v->n; j++)
                sum += (double) v->x[j] * v->x[j];
        return v->x[i] / sqrt(sum / v->n + 1e-5) * v->y[i];
}

static double want_add(const Vectors *v, uint32_t i) {
        return (double) v->x[i] + v->y[i];
}

static double want_axpy(const Vectors *v, uint32_t i) {
        return (double) v->x[i] + 0.37f * (double) v->y[i];
}

static double want_silu(const Vectors *v, uint32_t i) {
        return v->x[i] / (1 + exp(-(double) v->x[i])) * v->y[i];
}

static double want_gelu(const Vectors *v, uint32_t i) {
        double g = v->x[i];
        return 0.5 * g * (1 + tanh(0.7978845608028654 * (g + 0.044715 * g * g * g))) * v->y[i];
}

static void check_vectors(const Kernels *k, uint32_t n) {
        Vectors v = { .x = random_floats(n), .y = random_floats(n), .got = buffer(n * sizeof(float)), .n = n };

        for (uint32_t i = 0; i < n; i++)
                v.x[i] *= i % 7 == 3 ? 30.0f : 4.0f;

        k->rms_norm(v.x, v.y, n, 1e-5f, v.got);
        check_close(&v, want_rms_norm, 2e-6, 1e-9);
        memcpy(v.got, v.x, n * sizeof(float));
        k->rms_norm(v.got, v.y, n, 1e-5f, v.got);
        check_close(&v, want_rms_norm, 2e-6, 1e-9);

        memcpy(v.got, v.x, n * sizeof(float));
        k->add(v.got, v.y, n);
        check_close(&v, want_add, 1e-7, 30);
        memcpy(v.got, v.x, n * sizeof(float));
        k->axpy(v.got, v.y, 0.37f, n);
        check_close(&v, want_axpy, 1e-7, 30);
        memcpy(v.got, v.x, n * sizeof(float));
        k->silu_mul(v.got, v.y, n);
        check_close(&v, want_silu, 2e-6, 1e-9);
        /* 1 + tanh loses digits where it nears zero; a form without that cancellation would only differ there. */
        memcpy(v.got, v.x, n * sizeof(float));
        k->gelu_mul(v.got, v.y, n);
        for (uint32_t i = 0; i < n; i++)
                CHECK(fabs(v.got[i] - want_gelu(&v, i)) <= 2e-6 * (fabs((double) v.x[i]) + 1e-6));

        free(v.x);
        free(v.y);
        free(v.got);
}

static void test_vectors(void) {
        const Kernels *k;

        for (size_t level = 0; (k = kernels_at(level)); level++)
                if (kernels_select(k->name))
                        for (uint32_t n = 1; n < 100; n += n < 40 ? 1 : 13)
                                check_vectors(k, n);
}

/* Either kind of pairs by the reference's steps: the same bits, and nothing else of the vector is touched. */
static void test_rope(void) {
        const Kernels *k;

        for (size_t level = 0; (k = kernels_at(level)); level++)
                for (uint32_t n = 1; kernels_select(k->name) && n < 70; n++)
                        for (unsigned adjacent = 0; adjacent < 2; adjacent++) {
                                float *x = random_floats(2 * n + 1), *c = random_floats(n), *s = random_floats(n);
                                float *got = buffer((2 * n + 1) * sizeof *got);

                                memcpy(got, x, (2 * n + 1) * sizeof *got);
                                k->rope(got, c, s, n, adjacent);
                                for (uint32_t i = 0; i < n; i++) {
                                        const uint32_t p = adjacent ? 2 * i : i, q = adjacent ? p + 1 : p + n;
                                        CHECK(got[p] == x[p] * c[i] - x[q] * s[i]);
                                        CHECK(got[q] == x[p] * s[i] + x[q] * c[i]);
                                }
                                CHECK(got[2 * n] == x[2 * n]);
                                free(x);
                                free(c);
                                free(s);
                                free(got);
                        }
}

/* Numbers beyond all measure stay numbers where the result is one. */
static void test_vectors_extreme(void) {
        const Kernels *k;

        for (size_t level = 0; (k = kernels_at(level)); level++) {
                if (!kernels_select(k->name))
                        continue;
                _Alignas(64) float gate[4] = { -1e30f, 1e30f, -200, 200 }, up[4] = { 1, 1, 1, 1 };
                k->silu_mul(gate, up, 4);
                CHECK(fabsf(gate[0]) < 1e-3f && gate[1] == 1e30f && fabsf(gate[2]) < 1e-30f && gate[3] == 200);
                _Alignas(64) float gelu[4] = { -1e9f, 1e9f, -50, 50 };
                k->gelu_mul(gelu, up, 4);
                CHECK(fabsf(gelu[0]) < 1e-3f && gelu[1] == 1e9f && fabsf(gelu[2]) < 1e-20f && gelu[3] == 50);
        }
}

static void test_select(void) {
        cpu_prepare();
        CHECK_STR(kernels_at(0)->name, "scalar");
        CHECK(kernels_select("scalar") == kernels_at(0));
        CHECK(kernels_select("") == NULL);
        CHECK(kernels_select("abacus") == NULL);
        CHECK(kernels_select(NULL) != NULL);

        size_t n = 0;
        for (; kernels_at(n); n++)
                printf("# %s: %s\n", kernels_at(n)->name, kernels_select(kernels_at(n)->name) ? "here" : "not on this CPU");
        CHECK(kernels_at(n + 1) == NULL);
}

TEST_MAIN(
        { "choice", test_select },
        { "products, exact activations", test_matmul },
        { "products, rounded activations", test_matmul_rounded },
        { "products, however cut", test_cuts },
        { "a row as floats", test_row },
        { "activations", test_activations },
        { "vectors", test_vectors },
        { "vectors, extreme", test_vectors_extreme },
        { "rope", test_rope },
)
