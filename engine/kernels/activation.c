/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Activations on their way to the products, as layout.h has them. Compiled once for each vector level.
 *
 * Blocks of a row are taken four at a time: alone, one's largest number, scale and sums are a chain of shuffles and
 * divisions in which all lanes but one wait. */

#include <stddef.h>

#include "engine/kernels/layout.h"
#include "engine/kernels/level.h"
#include "engine/kernels/simd.h"

#define VECTORS (BLOCK_COLUMNS / VF_LANES)    /* that a block takes */
#define TOGETHER 4u                           /* blocks that are quantised at once */

#if VF_LANES == 16

/* The largest 32-bit number of each. */
static always_inline_ __m128i largest_each(const vi a[4]) {
        vi b = _mm512_max_epi32(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
        vi c = _mm512_max_epi32(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
        b = _mm512_max_epi32(_mm512_unpacklo_epi64(b, c), _mm512_unpackhi_epi64(b, c));
        __m256i d = _mm256_max_epi32(_mm512_castsi512_si256(b), _mm512_extracti64x4_epi64(b, 1));
        return _mm_max_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1));
}

/* Each number in all lanes. */
static always_inline_ void spread(__m128 a, vf ret[4]) {
        const vf b = _mm512_broadcast_f32x4(a);
        ret[0] = _mm512_permute_ps(b, 0x00);
        ret[1] = _mm512_permute_ps(b, 0x55);
        ret[2] = _mm512_permute_ps(b, 0xaa);
        ret[3] = _mm512_permute_ps(b, 0xff);
}

/* Each block's numbers in order, saturated. */
static always_inline_ void bytes_each(const vi a[4][2], __m256i ret[4]) {
        const vi order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
        UNROLL for (unsigned i = 0; i < 4; i += 2) {
                vi bytes = _mm512_packs_epi16(_mm512_packs_epi32(a[i][0], a[i][1]), _mm512_packs_epi32(a[i + 1][0], a[i + 1][1]));
                bytes = _mm512_permutexvar_epi32(order, bytes);
                ret[i] = _mm512_castsi512_si256(bytes);
                ret[i + 1] = _mm512_extracti64x4_epi64(bytes, 1);
        }
}

#else

static always_inline_ __m128i largest_each(const vi a[4]) {
        vi b = _mm256_max_epi32(_mm256_unpacklo_epi32(a[0], a[1]), _mm256_unpackhi_epi32(a[0], a[1]));
        vi c = _mm256_max_epi32(_mm256_unpacklo_epi32(a[2], a[3]), _mm256_unpackhi_epi32(a[2], a[3]));
        b = _mm256_max_epi32(_mm256_unpacklo_epi64(b, c), _mm256_unpackhi_epi64(b, c));
        return _mm_max_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
}

static always_inline_ void spread(__m128 a, vf ret[4]) {
        const vf b = _mm256_broadcast_ps(&a);
        ret[0] = _mm256_permute_ps(b, 0x00);
        ret[1] = _mm256_permute_ps(b, 0x55);
        ret[2] = _mm256_permute_ps(b, 0xaa);
        ret[3] = _mm256_permute_ps(b, 0xff);
}

static always_inline_ void bytes_each(const vi a[4][4], __m256i ret[4]) {
        UNROLL for (unsigned i = 0; i < 4; i++)
                ret[i] = vi_bytes(a[i]);
}

#endif

/* ret[i] is a[0][i] … a[3][i] in both halves of a register. */
static always_inline_ void transpose(const __m256 a[4], __m256 ret[4]) {
        const __m256 low01 = _mm256_unpacklo_ps(a[0], a[1]), low23 = _mm256_unpacklo_ps(a[2], a[3]);
        const __m256 high01 = _mm256_unpackhi_ps(a[0], a[1]), high23 = _mm256_unpackhi_ps(a[2], a[3]);

        ret[0] = _mm256_shuffle_ps(low01, low23, 0x44);
        ret[1] = _mm256_shuffle_ps(low01, low23, 0xee);
        ret[2] = _mm256_shuffle_ps(high01, high23, 0x44);
        ret[3] = _mm256_shuffle_ps(high01, high23, 0xee);
}

/* The sums of the first 16 signed bytes of each in the lower half, of the others in the upper. */
static always_inline_ __m256i bytes_sums(const __m256i a[4]) {
        __m256i s[4];
        UNROLL for (unsigned i = 0; i < 4; i++)
                s[i] = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), a[i]), _mm256_set1_epi16(1));
        const __m256i s01 = _mm256_add_epi32(_mm256_unpacklo_epi32(s[0], s[1]), _mm256_unpackhi_epi32(s[0], s[1]));
        const __m256i s23 = _mm256_add_epi32(_mm256_unpacklo_epi32(s[2], s[3]), _mm256_unpackhi_epi32(s[2], s[3]));
        return _mm256_add_epi32(_mm256_unpacklo_epi64(s01, s23), _mm256_unpackhi_epi64(s01, s23));
}

/* To nearest, as the field does (d = max / 127). What is not finite in x is not finite in d, and so in the result: as
 * whole numbers, infinities and then NaN are the largest. */
static always_inline_ void quantize(const vf x[TOGETHER][VECTORS], __m256i bytes[TOGETHER], __m256 about[TOGETHER]) {
        vi largest[TOGETHER], q[TOGETHER][VECTORS];
        UNROLL for (unsigned b = 0; b < TOGETHER; b++) {
                largest[b] = vf_as_vi(vf_abs(x[b][0]));
                UNROLL for (unsigned i = 1; i < VECTORS; i++)
                        largest[b] = vi_max32(largest[b], vf_as_vi(vf_abs(x[b][i])));
        }
        const __m128 max = _mm_castsi128_ps(largest_each(largest));
        const __m128 inverse = _mm_and_ps(_mm_div_ps(_mm_set1_ps(127.0f), max), _mm_cmpgt_ps(max, _mm_setzero_ps()));
        const __m128 d = _mm_div_ps(max, _mm_set1_ps(127.0f));

        vf scale[TOGETHER];
        spread(inverse, scale);
        UNROLL for (unsigned b = 0; b < TOGETHER; b++)
                UNROLL for (unsigned i = 0; i < VECTORS; i++)
                        q[b][i] = vi_from_f32(vf_mul(x[b][i], scale[b]));
        bytes_each(q, bytes);

        /* Of each block's halves; then what ActivationBlock has behind q: floats, whole numbers. */
        const __m256i sums = bytes_sums(bytes);
        const __m128i half[2] = { _mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1) };
        const __m128i sum = _mm_add_epi32(half[0], half[1]), zero = _mm_setzero_si128();
        const __m128 parts[4] = { d, _mm_mul_ps(d, _mm_cvtepi32_ps(sum)), _mm_mul_ps(d, _mm_cvtepi32_ps(half[0])),
                                  _mm_mul_ps(d, _mm_cvtepi32_ps(half[1])) };
        const __m128i whole[4] = { _mm_sub_epi32(zero, _mm_slli_epi32(sum, 7)), _mm_sub_epi32(zero, _mm_slli_epi32(sum, 5)),
                                   _mm_sub_epi32(zero, _mm_slli_epi32(half[0], 5)), _mm_sub_epi32(zero, _mm_slli_epi32(half[1], 5)) };
        _Static_assert(offsetof(ActivationBlock, d) == 32 && offsetof(ActivationBlock, sum_128) == 48, "two registers");
        __m256 both[4];
        UNROLL for (unsigned i = 0; i < 4; i++)
                both[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(parts[i]), _mm_castsi128_ps(whole[i]), 1);
        transpose(both, about);
}

/* Blocks [k, k + TOGETHER); whole: they are all there, and no floats are wanted. */
static always_inline_ void activation_blocks_at(const float *x, uint32_t n_in, float *floats, ActivationBlock *blocks, uint32_t k,
                                                const bool whole) {
        __m256i bytes[TOGETHER];
        __m256 about[TOGETHER];
        vf v[TOGETHER][VECTORS];

        UNROLL for (unsigned b = 0; b < TOGETHER; b++)
                UNROLL for (unsigned i = 0; i < VECTORS; i++) {
                        const uint32_t at = (k + b) * BLOCK_COLUMNS + i * VF_LANES;
                        v[b][i] = whole || at + VF_LANES <= n_in ? vf_load(x + at) : at < n_in ? vf_load_n(x + at, n_in - at) : vf_set1(0);
                        if (!whole && floats && at < n_in)
                                vf_store(floats + at, v[b][i]);
                }
        quantize(v, bytes, about);
        UNROLL for (unsigned b = 0; b < TOGETHER; b++)
                if (whole || k + b < activation_blocks(n_in)) {
                        _mm256_storeu_si256((__m256i *) (void *) blocks[k + b].q, bytes[b]);
                        _mm256_storeu_ps(&blocks[k + b].d, about[b]);
                }
}

void LEVEL(activation)(const float *x, uint32_t n_in, bool with_floats, void *ret) {
        ActivationBlock *blocks = ret;
        const uint32_t n_blocks = activation_blocks(n_in);
        float *floats = with_floats ? (float *) (void *) (blocks + n_blocks) : NULL;
        uint32_t k = 0;

        for (; !floats && (k + TOGETHER) * BLOCK_COLUMNS <= n_in; k += TOGETHER)
                activation_blocks_at(x, n_in, NULL, blocks, k, true);
        for (; k < n_blocks; k += TOGETHER)
                activation_blocks_at(x, n_in, floats, blocks, k, false);
}
