/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The few vector operations that matmul.c, vector.c and attend.c are written in, for the instruction set that this
 * file is compiled for: 8 or 16 float lanes. Those three files are compiled once for each level (see meson.build),
 * and a further instruction set is a further section here. All static: nothing of it may reach a caller that was
 * compiled for less. */

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define always_inline_ inline __attribute__((always_inline))

/* Loops over constant bounds around register arrays: an array that is not unrolled away lives in memory. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__AVX512F__)

#define VF_LANES 16u
typedef __m512 vf;
typedef __m512i vi;

static always_inline_ vf vf_set1(float x) { return _mm512_set1_ps(x); }
static always_inline_ vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static always_inline_ void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static always_inline_ vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static always_inline_ vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static always_inline_ vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static always_inline_ vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static always_inline_ vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static always_inline_ vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
static always_inline_ vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static always_inline_ vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static always_inline_ vf vf_abs(vf a) { return _mm512_abs_ps(a); }
static always_inline_ vf vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static always_inline_ vf vf_from_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
static always_inline_ void vf_to_f16(void *p, vf a) { _mm256_storeu_si256(p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT)); }
static always_inline_ vf vf_from_bf16(const void *p) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
static always_inline_ vf vf_from_u8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p))); }
static always_inline_ vf vf_from_i8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p))); }

/* a · 2^n for whole n with 2^n a normal number. */
static always_inline_ vf vf_scale2(vf a, vf n) { return _mm512_scalef_ps(a, n); }

/* For x ≤ 0, infinity too: x less the whole number below it, and a · 2^that number, or 0 where that is no normal number. */
static always_inline_ vf vf_fraction(vf x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
static always_inline_ vf vf_scale2_below(vf a, vf x) {
        return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(-126.0f), _CMP_GE_OQ), a, x);
}

/* a where base + lane lies in [lo, hi), else b. */
static always_inline_ vf vf_in_range(vf a, vf b, uint32_t base, uint32_t lo, uint32_t hi) {
        vi i = _mm512_add_epi32(_mm512_set1_epi32((int) base),
                                _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
        __mmask16 m = _mm512_cmpge_epi32_mask(i, _mm512_set1_epi32((int) lo));
        return _mm512_mask_blend_ps(_mm512_mask_cmplt_epi32_mask(m, i, _mm512_set1_epi32((int) hi)), b, a);
}

/* a where x >= y, else 0. */
static always_inline_ vf vf_keep_ge(vf a, vf x, vf y) {
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, y, _CMP_GE_OQ), a);
}

static always_inline_ int vf_any_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }

/* The first n < VF_LANES floats. */
static always_inline_ vf vf_load_n(const float *p, uint32_t n) { return _mm512_maskz_loadu_ps((__mmask16) ((1u << n) - 1), p); }
static always_inline_ void vf_store_n(float *p, vf a, uint32_t n) { _mm512_mask_storeu_ps(p, (__mmask16) ((1u << n) - 1), a); }

static always_inline_ __m256 half_low(vf a) { return _mm512_castps512_ps256(a); }
static always_inline_ __m256 half_high(vf a) { return _mm512_extractf32x8_ps(a, 1); }
static always_inline_ __m256 vf_fold_add(vf a) { return _mm256_add_ps(half_low(a), half_high(a)); }
static always_inline_ __m256 vf_fold_max(vf a) { return _mm256_max_ps(half_low(a), half_high(a)); }

static always_inline_ vi vi_zero(void) { return _mm512_setzero_si512(); }
static always_inline_ vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
static always_inline_ vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
static always_inline_ void vi_store(void *p, vi a) { _mm512_storeu_si512(p, a); }
static always_inline_ vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static always_inline_ vi vi_add32(vi a, vi b) { return _mm512_add_epi32(a, b); }
static always_inline_ vi vi_shl16(vi a, unsigned n) { return _mm512_slli_epi16(a, n); }
static always_inline_ vi vi_shr16(vi a, unsigned n) { return _mm512_srli_epi16(a, n); }
static always_inline_ vi vi_shl32(vi a, unsigned n) { return _mm512_slli_epi32(a, n); }
static always_inline_ vi vi_sra32(vi a, unsigned n) { return _mm512_srai_epi32(a, n); }
static always_inline_ vi vi_add8(vi a, vi b) { return _mm512_add_epi8(a, b); }
static always_inline_ vi vi_or_and(vi a, vi b, vi mask) { return _mm512_ternarylogic_epi32(a, b, mask, 0xf8); } /* a | (b & mask) */
static always_inline_ vi vi_lookup(const int8_t *table, vi i) {       /* table[16], i < 16 */
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const void *) table)), i);
}
static always_inline_ vf vf_from_i32(vi a) { return _mm512_cvtepi32_ps(a); }
static always_inline_ vf vi_as_vf(vi a) { return _mm512_castsi512_ps(a); }
static always_inline_ vi vi_from_f32(vf a) { return _mm512_cvtps_epi32(a); }
static always_inline_ vi vf_as_vi(vf a) { return _mm512_castps_si512(a); }
static always_inline_ vi vi_max32(vi a, vi b) { return _mm512_max_epi32(a, b); }


/* 32 whole numbers, in order, as int16, saturated. */
static always_inline_ void vi_store_i16(int16_t *p, const vi a[]) {
        _mm256_storeu_si256((void *) p, _mm512_cvtsepi32_epi16(a[0]));
        _mm256_storeu_si256((void *) (p + 16), _mm512_cvtsepi32_epi16(a[1]));
}

/* 32 whole numbers, in order, as bytes, saturated. */
static always_inline_ __m256i vi_bytes(const vi a[]) {
        return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm512_cvtsepi32_epi8(a[0])), _mm512_cvtsepi32_epi8(a[1]), 1);
}

#if defined(__AVX512VNNI__)

static always_inline_ vi vi_dot4(vi acc, vi u, vi s) { return _mm512_dpbusd_epi32(acc, u, s); }
static always_inline_ vi vi_dot4_wide(vi acc, vi u, vi s) { return _mm512_dpbusd_epi32(acc, u, s); }
static always_inline_ vi vi_dot2(vi acc, vi a, vi b) { return _mm512_dpwssd_epi32(acc, a, b); }

#else

static always_inline_ vi vi_dot4(vi acc, vi u, vi s) {
        return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(u, s), _mm512_set1_epi16(1)));
}
static always_inline_ vi vi_dot4_wide(vi acc, vi u, vi s) {
        vi even = _mm512_madd_epi16(_mm512_and_si512(u, _mm512_set1_epi16(0xff)), _mm512_srai_epi16(_mm512_slli_epi16(s, 8), 8));
        vi odd = _mm512_madd_epi16(_mm512_srli_epi16(u, 8), _mm512_srai_epi16(s, 8));
        return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
}
static always_inline_ vi vi_dot2(vi acc, vi a, vi b) { return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b)); }

#endif

#elif defined(__AVX2__)

#define VF_LANES 8u
typedef __m256 vf;
typedef __m256i vi;

static always_inline_ vf vf_set1(float x) { return _mm256_set1_ps(x); }
static always_inline_ vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static always_inline_ void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static always_inline_ vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static always_inline_ vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static always_inline_ vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static always_inline_ vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static always_inline_ vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static always_inline_ vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
static always_inline_ vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static always_inline_ vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static always_inline_ vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static always_inline_ vf vf_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static always_inline_ vf vf_from_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
static always_inline_ void vf_to_f16(void *p, vf a) { _mm_storeu_si128(p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT)); }
static always_inline_ vf vf_from_bf16(const void *p) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
static always_inline_ vf vf_from_u8(const void *p) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p))); }
static always_inline_ vf vf_from_i8(const void *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p))); }

static always_inline_ vf vf_scale2(vf a, vf n) {
        vi exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
        return _mm256_mul_ps(a, _mm256_castsi256_ps(exponent));
}

static always_inline_ vf vf_below(vf x) { return _mm256_floor_ps(_mm256_max_ps(x, _mm256_set1_ps(-127.0f))); }
static always_inline_ vf vf_fraction(vf x) { return _mm256_sub_ps(_mm256_max_ps(x, _mm256_set1_ps(-127.0f)), vf_below(x)); }
static always_inline_ vf vf_scale2_below(vf a, vf x) { return vf_scale2(a, vf_below(x)); }

static always_inline_ vf vf_in_range(vf a, vf b, uint32_t base, uint32_t lo, uint32_t hi) {
        vi i = _mm256_add_epi32(_mm256_set1_epi32((int) base), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
        vi below = _mm256_cmpgt_epi32(_mm256_set1_epi32((int) lo), i);
        vi in = _mm256_andnot_si256(below, _mm256_cmpgt_epi32(_mm256_set1_epi32((int) hi), i));
        return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(in));
}

static always_inline_ vf vf_keep_ge(vf a, vf x, vf y) { return _mm256_and_ps(a, _mm256_cmp_ps(x, y, _CMP_GE_OQ)); }
static always_inline_ int vf_any_gt(vf a, vf b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0; }

static always_inline_ vi first_lanes(uint32_t n) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32((int) n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
static always_inline_ vf vf_load_n(const float *p, uint32_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
static always_inline_ void vf_store_n(float *p, vf a, uint32_t n) { _mm256_maskstore_ps(p, first_lanes(n), a); }

static always_inline_ __m256 vf_fold_add(vf a) { return a; }
static always_inline_ __m256 vf_fold_max(vf a) { return a; }

static always_inline_ vi vi_zero(void) { return _mm256_setzero_si256(); }
static always_inline_ vi vi_set1(int32_t x) { return _mm256_set1_epi32(x); }
static always_inline_ vi vi_load(const void *p) { return _mm256_loadu_si256(p); }
static always_inline_ void vi_store(void *p, vi a) { _mm256_storeu_si256(p, a); }
static always_inline_ vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static always_inline_ vi vi_add32(vi a, vi b) { return _mm256_add_epi32(a, b); }
static always_inline_ vi vi_shl16(vi a, unsigned n) { return _mm256_slli_epi16(a, (int) n); }
static always_inline_ vi vi_shr16(vi a, unsigned n) { return _mm256_srli_epi16(a, (int) n); }
static always_inline_ vi vi_shl32(vi a, unsigned n) { return _mm256_slli_epi32(a, (int) n); }
static always_inline_ vi vi_sra32(vi a, unsigned n) { return _mm256_srai_epi32(a, (int) n); }
static always_inline_ vi vi_add8(vi a, vi b) { return _mm256_add_epi8(a, b); }
static always_inline_ vi vi_or_and(vi a, vi b, vi mask) { return _mm256_or_si256(a, _mm256_and_si256(b, mask)); }
static always_inline_ vi vi_lookup(const int8_t *table, vi i) {
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const void *) table)), i);
}
static always_inline_ vf vf_from_i32(vi a) { return _mm256_cvtepi32_ps(a); }
static always_inline_ vf vi_as_vf(vi a) { return _mm256_castsi256_ps(a); }
static always_inline_ vi vi_from_f32(vf a) { return _mm256_cvtps_epi32(a); }
static always_inline_ vi vf_as_vi(vf a) { return _mm256_castps_si256(a); }
static always_inline_ vi vi_max32(vi a, vi b) { return _mm256_max_epi32(a, b); }


static always_inline_ void vi_store_i16(int16_t *p, const vi a[]) {
        for (unsigned i = 0; i < 2; i++)
                _mm256_storeu_si256((void *) (p + 16 * i),
                                    _mm256_permute4x64_epi64(_mm256_packs_epi32(a[2 * i], a[2 * i + 1]), 0xd8));
}

static always_inline_ __m256i vi_bytes(const vi a[]) {
        vi low = _mm256_packs_epi32(a[0], a[1]), high = _mm256_packs_epi32(a[2], a[3]);
        vi bytes = _mm256_packs_epi16(low, high);             /* 4-byte pieces in the order 0 2 4 6 1 3 5 7 */
        return _mm256_permutevar8x32_epi32(bytes, _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0));
}

#if defined(__AVXVNNI__)

static always_inline_ vi vi_dot4(vi acc, vi u, vi s) { return _mm256_dpbusd_avx_epi32(acc, u, s); }
static always_inline_ vi vi_dot4_wide(vi acc, vi u, vi s) { return _mm256_dpbusd_avx_epi32(acc, u, s); }
static always_inline_ vi vi_dot2(vi acc, vi a, vi b) { return _mm256_dpwssd_avx_epi32(acc, a, b); }

#else

static always_inline_ vi vi_dot4(vi acc, vi u, vi s) {
        return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
}
static always_inline_ vi vi_dot4_wide(vi acc, vi u, vi s) {
        vi even = _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(0xff)), _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8));
        vi odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(s, 8));
        return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
}
static always_inline_ vi vi_dot2(vi acc, vi a, vi b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }

#endif

#else
#error "no vector instruction set was named"
#endif

/* vi_dot4: acc + the four products u·s of each 32-bit lane, u unsigned and below 128, s signed bytes.
 * vi_dot4_wide: the same for any u. vi_dot2: acc + the two products of each lane's int16. */

static always_inline_ float vf_sum(vf a) {
        __m256 b = vf_fold_add(a);
        __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
        c = _mm_add_ps(c, _mm_movehl_ps(c, c));
        return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}

static always_inline_ float vf_hmax(vf a) {
        __m256 b = vf_fold_max(a);
        __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
        c = _mm_max_ps(c, _mm_movehl_ps(c, c));
        return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

/* exp(x) to 2e-7 relative, 0 below the smallest normal number, large and finite above 88: 2^n · p(r) with p the
 * degree-6 polynomial of Cephes' expf (S. Moshier), r = x - n·ln 2 in two steps. */
static always_inline_ vf vf_exp(vf x) {
        const vf lowest = vf_set1(-87.33654f);
        vf y = vf_max(vf_min(x, vf_set1(88.0f)), lowest);
        vf n = vf_round(vf_mul(y, vf_set1(1.44269504088896341f)));
        vf r = vf_fnma(n, vf_set1(0.693359375f), y);
        r = vf_fnma(n, vf_set1(-2.12194440e-4f), r);

        vf p = vf_set1(1.9875691500e-4f);
        p = vf_fma(p, r, vf_set1(1.3981999507e-3f));
        p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
        p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
        p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
        p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
        p = vf_add(vf_fma(p, vf_mul(r, r), r), vf_set1(1.0f));
        return vf_keep_ge(vf_scale2(p, n), x, lowest);
}

/* 2^x for x up to 0, to 2e-7 relative: 2^floor(x) · p(x - floor(x)), p being the polynomial of degree 5 whose largest
 * relative error in [0, 1) is least. */
static always_inline_ vf vf_exp2(vf x) {
        vf r = vf_fraction(x), p = vf_set1(0.00187757667f);
        p = vf_fma(p, r, vf_set1(0.00898934034f));
        p = vf_fma(p, r, vf_set1(0.0558263176f));
        p = vf_fma(p, r, vf_set1(0.240153617f));
        p = vf_fma(p, r, vf_set1(0.693153073f));
        p = vf_fma(p, r, vf_set1(0.999999925f));
        return vf_scale2_below(p, x);
}

static always_inline_ float f16_scalar(uint16_t h) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))); }
static always_inline_ uint16_t f16_from_scalar(float f) {
        return (uint16_t) _mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(f), _MM_FROUND_TO_NEAREST_INT));
}
