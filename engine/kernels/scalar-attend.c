/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference attention: one query and one head at a time, page by page, in the order that attend.h fixes. */

#include <math.h>
#include <string.h>

#include "engine/kernels/level.h"
#include "engine/kernels/scalar.h"

#define SLICES(head_dim) (((head_dim) + KV_LANES - 1) / KV_LANES)

/* Where element d of position p of a K or V block stands, counted in numbers. */
static size_t k_at(uint32_t d, uint32_t p) {
        return (size_t) d * KV_PAGE_TOKENS + p;
}

static size_t v_at(uint32_t d, uint32_t p) {
        return ((size_t) d / KV_LANES * KV_PAGE_TOKENS + p) * KV_LANES + d % KV_LANES;
}

/* A KV_Q8 block's scales, behind its numbers. */
static size_t scale_at(uint32_t head_dim, uint32_t d, uint32_t p) {
        return (size_t) SLICES(head_dim) * KV_LANES * KV_PAGE_TOKENS
                + ((size_t) d / KV_LANES * KV_PAGE_TOKENS + p) * sizeof(uint16_t);
}

static float load(KvType type, const uint8_t *block, size_t i, size_t scale) {
        uint16_t h;
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
        }
        return 0;
}

static void store(KvType type, uint8_t *block, uint32_t head_dim, uint32_t p, const float *x,
                  size_t (*at)(uint32_t d, uint32_t p)) {
        for (uint32_t d0 = 0; d0 < head_dim; d0 += KV_LANES) {
                uint32_t n = MIN(head_dim - d0, KV_LANES);
                float y[KV_LANES];
                uint16_t h;

                for (uint32_t i = 0; i < n; i++)
                        y[i] = fminf(fmaxf(x[d0 + i], -KV_MAX), KV_MAX);

                if (type == KV_Q8) {
                        float max = 0;
                        for (uint32_t i = 0; i < n; i++)
                                max = fmaxf(max, fabsf(y[i]));
                        h = f32_to_f16(max / 127.0f);
                        memcpy(block + scale_at(head_dim, d0, p), &h, sizeof h);
                        float d = f16_to_f32(h), inverse = d > 0 ? 1.0f / d : 0;
                        for (uint32_t i = 0; i < n; i++) {
                                float q = fminf(fmaxf(rintf(y[i] * inverse), -127.0f), 127.0f);
                                block[at(d0 + i, p)] = (uint8_t) (int8_t) q;
                        }
                        continue;
                }
                for (uint32_t i = 0; i < n; i++)
                        if (type == KV_F16) {
                                h = f32_to_f16(y[i]);
                                memcpy(block + at(d0 + i, p) * sizeof h, &h, sizeof h);
                        } else
                                memcpy(block + at(d0 + i, p) * sizeof(float), &y[i], sizeof(float));
        }
}

void scalar_kv_store(KvType type, const KvBlock *block, uint32_t slot, const float *k, const float *v) {
        /* All bits zero is the number zero in every type. */
        if (type != KV_Q8 && block->head_dim_v % KV_LANES) {
                size_t size = type == KV_F16 ? sizeof(uint16_t) : sizeof(float);
                memset(block->v + v_at(block->head_dim_v / KV_LANES * KV_LANES, slot) * size, 0, KV_LANES * size);
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
                                s[p] += q[d] * load(a->type, k, k_at(d, p), scale_at(a->head_dim_k, d, p));
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
                                out[d] += weight * load(a->type, v, v_at(d, p), scale_at(a->head_dim_v, d, p));
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
