/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Blocks of layout.h in registers: quants as unsigned bytes, scales and minima as floats. What matmul.c does for each
 * tile and matmul-wide.c once for many. `part`: which vector of the group's 16 rows. */

#include "engine/kernels/layout.h"
#include "engine/kernels/simd.h"

#define PARTS (GROUP_ROWS / VF_LANES) /* vectors that 16 rows take */

/* Vector v (columns 4v … 4v + 3) of a block, as unsigned bytes. */
static always_inline_ vi unpack(Layout l, const uint8_t *block, unsigned v, unsigned part) {
        unsigned at = part * (unsigned) sizeof(vi);
        const uint8_t *high = block + layout_high(l) + at, *quants = block + layout_quants(l) + at;

        if (l.bits == 8)
                return vi_load(quants + 64 * v);

        vi q = vi_load(quants + 64 * (v % 4));
        q = vi_and(v < 4 ? q : vi_shr16(q, 4), vi_set1(0x0f0f0f0f));
        if (l.table)
                return vi_lookup(l.table, q);
        if (l.bits == 5) {
                vi plane = vi_load(high);
                plane = v < 4 ? vi_shl16(plane, 4 - v) : vi_shr16(plane, v - 4);
                return vi_or_and(q, plane, vi_set1(0x10101010));
        }
        if (l.bits == 6) {
                vi plane = vi_load(high + 64 * (v / 4));
                plane = v % 4 < 2 ? vi_shl16(plane, 4 - 2 * (v % 4)) : vi_shr16(plane, 2 * (v % 4) - 4);
                return vi_or_and(q, plane, vi_set1(0x30303030));
        }
        return q;
}

static always_inline_ vf load_scale(Layout l, const uint8_t *header, const uint8_t *block, unsigned half, unsigned part) {
        unsigned i = part * VF_LANES;

        switch (l.scales) {
        case SCALES_BF16:
                return vf_from_bf16(block + 2 * i);
        case SCALES_32:
                return vf_mul(vf_from_f16(header + 2 * i), vf_from_u8(block + i));
        case SCALES_16:
        case SCALES_16_MIN:
                return vf_mul(vf_from_f16(header + 2 * i), vf_from_i8(block + 16 * half + i));
        default:
                return vf_from_f16(block + 2 * i);
        }
}

static always_inline_ vf load_min(Layout l, const uint8_t *header, const uint8_t *block, unsigned half, unsigned part) {
        unsigned i = part * VF_LANES;

        switch (l.scales) {
        case SCALES_32:
                return vf_mul(vf_from_f16(header + 32 + 2 * i), vf_from_u8(block + 16 + i));
        case SCALES_16_MIN:
                return vf_mul(vf_from_f16(header + 32 + 2 * i), vf_from_u8(block + 32 + 16 * half + i));
        default:
                return vf_from_f16(block + 32 + 2 * i);
        }
}

static always_inline_ vi load_q4(const int8_t *q) {
        int32_t x;
        memcpy(&x, q, sizeof x);
        return vi_set1(x);
}
