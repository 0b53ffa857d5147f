/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Storing a position's key and value in a page (for the layout, see level.h). Compiled once for each vector level.
 * Positions of one page may be stored by several threads at once: each writes its own numbers only. */

#include <math.h>

#include "engine/kernels/kv-numbers.h"

/* The slice of x[n] that begins at `at`, padded with zeros. Stored numbers are finite, so that a weight of zero hides
 * them from a query that does not see them. */
static always_inline_ void load_slice(const float *x, uint32_t at, uint32_t n, vf ret[VECTORS]) {
        UNROLL for (unsigned i = 0; i < VECTORS; i++) {
                vf v = load_padded(x, at + i * VF_LANES, n);
                ret[i] = vf_max(vf_min(v, vf_set1(KV_MAX)), vf_set1(-KV_MAX));
        }
}

static always_inline_ float largest(const vf v[VECTORS]) {
        vf max = vf_set1(0);
        UNROLL for (unsigned i = 0; i < VECTORS; i++)
                max = vf_max(max, vf_abs(v[i]));
        return vf_hmax(max);
}

/* 32 numbers as a line of the type. */
static void encode(KvType type, const float *x, uint32_t at, uint32_t n, uint8_t line[KV_LANES * sizeof(float)], uint8_t *scale) {
        vf v[VECTORS];
        vi q[VECTORS];

        load_slice(x, at, n, v);
        if (type == KV_Q8) {
                uint16_t h = f16_from_scalar(largest(v) / 127.0f);
                float d = f16_scalar(h);
                UNROLL for (unsigned i = 0; i < VECTORS; i++)
                        q[i] = vi_from_f32(vf_mul(v[i], vf_set1(d > 0 ? 1.0f / d : 0)));
                _mm256_storeu_si256((__m256i *) (void *) line, vi_bytes(q));
                memcpy(scale, &h, sizeof h);
                return;
        }
        UNROLL for (unsigned i = 0; i < VECTORS; i++)
                if (type == KV_F16)
                        vf_to_f16(line + i * VF_LANES * sizeof(uint16_t), v[i]);
                else
                        vf_store((float *) (void *) line + i * VF_LANES, v[i]);
}

/* The least float16 that is no less than x ≥ 0, and not infinite. */
static uint16_t f16_above(float x) {
        const uint16_t most = 0x7bff;
        uint16_t h = f16_from_scalar(MIN(x, KV_MAX));
        return (uint16_t) (h + (h < most && f16_scalar(h) < x));
}

/* Stores the unit of a vector of this length as its float16 scale; returns what its numbers are to be multiplied by, so
 * that `most` stands for the length. */
static float choose_unit(float length, float unit, float most, uint8_t *scale) {
        const uint16_t h = f16_above(length / unit);
        const float d = f16_scalar(h) * unit;

        memcpy(scale, &h, sizeof h);
        return d > 0 ? most / d : 0;
}

/* The slice of x[n] that begins at `at`, as whole numbers. */
static void slice_to_pairs(const float *x, uint32_t at, uint32_t n, float inverse, int16_t line[KV_LANES]) {
        vf v[VECTORS];
        vi q[VECTORS];

        load_slice(x, at, n, v);
        UNROLL for (unsigned i = 0; i < VECTORS; i++)
                q[i] = vi_from_f32(vf_mul(v[i], vf_set1(inverse)));
        vi_store_i16(line, q);
}

/* A slice's whole numbers at every second place from `to` on, or from behind it. */
static always_inline_ void store_alternate(int16_t *to, bool behind, const int16_t line[KV_LANES]) {
#if VF_LANES == 16
        const __m128i shift = _mm_cvtsi32_si128(behind ? 16 : 0);
        const __mmask32 places = behind ? 0xaaaaaaaa : 0x55555555;
        UNROLL for (unsigned i = 0; i < KV_LANES; i += VF_LANES) {
                vi pairs = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *) (const void *) (line + i)));
                _mm512_mask_storeu_epi16(to + (size_t) 2 * i, places, _mm512_sll_epi32(pairs, shift));
        }
#else
        for (uint32_t i = 0; i < KV_LANES; i++)
                to[(size_t) 2 * i + behind] = line[i];
#endif
}

static void store_pairs(const KvBlock *block, uint32_t slot, const float *k, const float *v, uint8_t *k_scales, uint8_t *v_scales) {
        const size_t slice = (size_t) KV_LANES * KV_PAGE_TOKENS;
        int16_t line[KV_LANES], *to;
        float squares = 0, max = 0;
        vf x[VECTORS];

        for (uint32_t d = 0; d < block->head_dim_k; d += KV_LANES) {
                vf sum = vf_set1(0);
                load_slice(k, d, block->head_dim_k, x);
                UNROLL for (unsigned i = 0; i < VECTORS; i++)
                        sum = vf_fma(x[i], x[i], sum);
                squares += vf_sum(sum);
        }
        const float k_inverse = choose_unit(sqrtf(squares), I16_KEY_UNIT, I16_NORM, k_scales + slot * sizeof(uint16_t));
        for (uint32_t d = 0; d < block->head_dim_k; d += KV_LANES) {
                slice_to_pairs(k, d, block->head_dim_k, k_inverse, line);
                to = (int16_t *) (void *) block->k + d / KV_LANES * slice + (size_t) slot * 2;
                for (uint32_t i = 0; i < KV_LANES; i += 2)
                        memcpy(to + i * KV_PAGE_TOKENS, line + i, 2 * sizeof *line);
        }

        for (uint32_t d = 0; d < block->head_dim_v; d += KV_LANES) {
                load_slice(v, d, block->head_dim_v, x);
                max = MAX(max, largest(x));
        }
        const float v_inverse = choose_unit(max, 1, I16_LARGEST, v_scales + slot * sizeof(uint16_t));
        for (uint32_t d = 0; d < block->head_dim_v; d += KV_LANES) {
                slice_to_pairs(v, d, block->head_dim_v, v_inverse, line);
                to = (int16_t *) (void *) block->v + d / KV_LANES * slice + (size_t) slot / 2 * 2 * KV_LANES;
                store_alternate(to, slot % 2, line);
        }
}

void LEVEL(kv_store)(KvType type, const KvBlock *block, uint32_t slot, const float *k, const float *v) {
        _Alignas(64) uint8_t line[KV_LANES * sizeof(float)];
        const unsigned size = number_size(type);
        uint8_t *k_scales = block->k + (size_t) SLICES(block->head_dim_k) * KV_LANES * KV_PAGE_TOKENS * size;
        uint8_t *v_scales = block->v + (size_t) SLICES(block->head_dim_v) * KV_LANES * KV_PAGE_TOKENS * size;

        if (type == KV_I16) {
                store_pairs(block, slot, k, v, k_scales, v_scales);
                return;
        }
        for (uint32_t d = 0; d < block->head_dim_k; d += KV_LANES) {
                uint32_t n = MIN(block->head_dim_k - d, KV_LANES);

                encode(type, k, d, block->head_dim_k, line, k_scales + (d + slot) * sizeof(uint16_t));
                for (uint32_t i = 0; i < n; i++)
                        memcpy(block->k + ((size_t) (d + i) * KV_PAGE_TOKENS + slot) * size, line + i * size, size);
        }
        for (uint32_t d = 0; d < block->head_dim_v; d += KV_LANES) {
                encode(type, v, d, block->head_dim_v, line, v_scales + (d + slot) * sizeof(uint16_t));
                memcpy(block->v + ((size_t) d * KV_PAGE_TOKENS + (size_t) slot * KV_LANES) * size, line, KV_LANES * size);
        }
}
