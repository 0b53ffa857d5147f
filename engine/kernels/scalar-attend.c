/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference attention: one query and one head at a time, page by page, in the order that attend.h fixes. */

#include <math.h>
#include <string.h>

#include "engine/kernels/level.h"
#include "engine/kernels/scalar.h"

#define SLICES(head_dim) (((head_dim) + KV_LANES - 1) / KV_LANES)

/* Where element d of position p of a K or V block stands, counted in numbers. */
static size_t k_at(KvType type, uint32_t d, uint32_t p) {
        return type == KV_I16 ? ((size_t) d / 2 * KV_PAGE_TOKENS + p) * 2 + d % 2 : (size_t) d * KV_PAGE_TOKENS + p;
}

static size_t v_at(KvType type, uint32_t d, uint32_t p) {
        const size_t slice = (size_t) d / KV_LANES * KV_PAGE_TOKENS * KV_LANES;
        return slice + (type == KV_I16 ? (size_t) (p / 2 * KV_LANES + d % KV_LANES) * 2 + p % 2 : (size_t) p * KV_LANES + d % KV_LANES);
}

/* A KV_Q8 or KV_I16 block's scales, behind its numbers. */
static size_t scale_at(KvType type, uint32_t head_dim, uint32_t d, uint32_t p) {
        const size_t numbers = (size_t) SLICES(head_dim) * KV_LANES * KV_PAGE_TOKENS;
        return type == KV_I16 ? numbers * sizeof(int16_t) + p * sizeof(uint16_t)
                              : numbers + ((size_t) d / KV_LANES * KV_PAGE_TOKENS + p) * sizeof(uint16_t);
}

/* unit: of a KV_I16 block's scales, over what its numbers count to. */
static float load(KvType type, const uint8_t *block, size_t i, size_t scale, float unit) {
        uint16_t h;
        int16_t n;
        float f;

        switch (type) {
        case KV_F32:
                memcpy(&f, block + i * sizeof f, sizeof f);
                return f;
        case KV_F16:
                memcpy(&h, block + i * sizeof h, sizeof h);
                return f16_to_f32(h);
        case KV_Q8:
                memcpy(&h, block + scale, sizeof h);
                return (float) (int8_t) block[i] * f16_to_f32(h);
        case KV_I16:
                memcpy(&h, block + scale, sizeof h);
                memcpy(&n, block + i * sizeof n, sizeof n);
                return (float) n * (f16_to_f32(h) * unit);
        case KV_TYPES:
                break;
        }
        return 0;
}

static float load_k(const AttendArgs *a, const uint8_t *block, uint32_t d, uint32_t p) {
        return load(a->type, block, k_at(a->type, d, p), scale_at(a->type, a->head_dim_k, d, p), I16_KEY_UNIT / I16_NORM);
}

static float load_v(const AttendArgs *a, const uint8_t *block, uint32_t d, uint32_t p) {
        return load(a->type, block, v_at(a->type, d, p), scale_at(a->type, a->head_dim_v, d, p), 1 / I16_LARGEST);
}

static float clamped(float x) {
        return fminf(fmaxf(x, -KV_MAX), KV_MAX);
}

/* A whole number in [-most, most], NaN being zero. */
static int16_t whole(float x, float most) {
        return x > -most - 1 && x < most + 1 ? (int16_t) fminf(fmaxf(rintf(x), -most), most) : 0;
}

typedef size_t (*At)(KvType type, uint32_t d, uint32_t p);

static void store(KvType type, uint8_t *block, uint32_t head_dim, uint32_t p, const float *x, At at) {
        for (uint32_t d0 = 0; d0 < head_dim; d0 += KV_LANES) {
                uint32_t n = MIN(head_dim - d0, KV_LANES);
                float y[KV_LANES];
                uint16_t h;

                for (uint32_t i = 0; i < n; i++)
                        y[i] = clamped(x[d0 + i]);

                if (type == KV_Q8) {
                        float max = 0;
                        for (uint32_t i = 0; i < n; i++)
                                max = fmaxf(max, fabsf(y[i]));
                        h = f32_to_f16(max / 127.0f);
                        memcpy(block + scale_at(type, head_dim, d0, p), &h, sizeof h);
                        float d = f16_to_f32(h), inverse = d > 0 ? 1.0f / d : 0;
                        for (uint32_t i = 0; i < n; i++)
                                block[at(type, d0 + i, p)] = (uint8_t) (int8_t) whole(y[i] * inverse, 127);
                        continue;
                }
                for (uint32_t i = 0; i < n; i++)
                        if (type == KV_F16) {
                                h = f32_to_f16(y[i]);
                                memcpy(block + at(type, d0 + i, p) * sizeof h, &h, sizeof h);
                        } else
                                memcpy(block + at(type, d0 + i, p) * sizeof(float), &y[i], sizeof(float));
        }
}

/* KV_I16. length: of x, which counts `most`, and is stored over `unit`. */
static void store_pairs(uint8_t *block, uint32_t head_dim, uint32_t p, const float *x, At at, float length, float unit, float most) {
        uint16_t h = f32_to_f16(fminf(length / unit, KV_MAX));
        if (f16_to_f32(h) < length / unit && f16_to_f32(h) < KV_MAX)
                h++;
        const float inverse = h > 0 ? most / (f16_to_f32(h) * unit) : 0;

        memcpy(block + scale_at(KV_I16, head_dim, 0, p), &h, sizeof h);
        for (uint32_t d = 0; d < SLICES(head_dim) * KV_LANES; d++) {
                const int16_t n = d < head_dim ? whole(clamped(x[d]) * inverse, I16_LARGEST) : 0;
                memcpy(block + at(KV_I16, d, p) * sizeof n, &n, sizeof n);
        }
}

void scalar_kv_store(KvType type, const KvBlock *block, uint32_t slot, const float *k, const float *v) {
        if (type == KV_I16) {
                float squares = 0, max = 0;
                for (uint32_t d = 0; d < block->head_dim_k; d++)
                        squares += clamped(k[d]) * clamped(k[d]);
                for (uint32_t d = 0; d < block->head_dim_v; d++)
                        max = fmaxf(max, fabsf(clamped(v[d])));
                store_pairs(block->k, block->head_dim_k, slot, k, k_at, sqrtf(squares), I16_KEY_UNIT, I16_NORM);
                store_pairs(block->v, block->head_dim_v, slot, v, v_at, max, 1, I16_LARGEST);
                return;
        }
        /* All bits zero is the number zero in every type. */
        if (type != KV_Q8 && block->head_dim_v % KV_LANES) {
                size_t size = type == KV_F16 ? sizeof(uint16_t) : sizeof(float);
                memset(block->v + v_at(type, block->head_dim_v / KV_LANES * KV_LANES, slot) * size, 0, KV_LANES * size);
        }
        store(type, block->k, block->head_dim_k, slot, k, k_at);
        store(type, block->v, block->head_dim_v, slot, v, v_at);
}

/* Lowest position that a query at `pos` sees. */
static uint32_t first_seen(const AttendArgs *a, uint32_t pos) {
        uint32_t first = a->first;

        if (a->window > 0 && pos >= a->window)
                first = MAX(first, pos - a->window + 1);
        if (a->chunk > 0)
                first = MAX(first, pos - pos % a->chunk);
        return first;
}

static void attend_row(const AttendArgs *a, const float *q, uint32_t pos, float *out) {
        float max = -INFINITY, sum = 0;

        memset(out, 0, a->head_dim_v * sizeof(float));
        for (uint32_t p0 = first_seen(a, pos) / KV_PAGE_TOKENS * KV_PAGE_TOKENS; p0 <= pos; p0 += KV_PAGE_TOKENS) {
                const uint8_t *k = a->pages[p0 / KV_PAGE_TOKENS] + a->k_offset;
                const uint8_t *v = a->pages[p0 / KV_PAGE_TOKENS] + a->v_offset;
                uint32_t begin = MAX(first_seen(a, pos), p0) - p0, end = MIN(pos - p0 + 1, KV_PAGE_TOKENS);
                float s[KV_PAGE_TOKENS], block_max = max;

                for (uint32_t p = begin; p < end; p++) {
                        s[p] = 0;
                        for (uint32_t d = 0; d < a->head_dim_k; d++)
                                s[p] += q[d] * load_k(a, k, d, p);
                        s[p] *= a->scale;
                        if (a->softcap > 0)
                                s[p] = a->softcap * tanhf(s[p] / a->softcap);
                        block_max = fmaxf(block_max, s[p]);
                }

                float correction = expf(max - block_max);
                max = block_max;
                sum *= correction;
                for (uint32_t d = 0; d < a->head_dim_v; d++)
                        out[d] *= correction;
                for (uint32_t p = begin; p < end; p++) {
                        float weight = expf(s[p] - max);
                        sum += weight;
                        for (uint32_t d = 0; d < a->head_dim_v; d++)
                                out[d] += weight * load_v(a, v, d, p);
                }
        }
        for (uint32_t d = 0; d < a->head_dim_v; d++)
                out[d] /= sum;
}

void scalar_attend(const AttendArgs *a) {
        for (uint32_t t = 0; t < a->n_queries; t++)
                for (uint32_t h = 0; h < a->n_group; h++)
                        attend_row(a, a->q + t * a->q_stride + (size_t) h * a->head_dim_k, a->pos0 + t,
                                   a->out + t * a->out_stride + (size_t) h * a->head_dim_v);
}
