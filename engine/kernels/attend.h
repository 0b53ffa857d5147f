/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Attention of consecutive queries of one sequence over its pages of keys and values, for one layer and one KV head
 * (with the n_group query heads that share it; Ainslie et al., GQA, 2023). Softmax runs online over blocks of
 * KV_PAGE_TOKENS positions that start at multiples of it, in ascending order, so that a query's result does not depend
 * on how the prompt was cut into chunks (Milakov & Gimelshein, 2018). */

#include <stddef.h>
#include <stdint.h>

#define KV_PAGE_TOKENS 32u            /* positions in a page */

typedef enum KvType {
        KV_F32,                       /* for the reference and for tests */
        KV_F16,
        KV_Q8,                        /* int8 with one float16 scale per 32 values of a head's vector */
        KV_I16,                       /* the default: int16 with one float16 scale for a head's vector */
        KV_TYPES,
} KvType;

/* Where one layer's one KV head keeps a page's 32 keys or values. The layout inside (transposed, interleaved) is the
 * kernels' own affair: kv_store() writes it and attend() reads it; equal size for every level. */
typedef struct KvBlock {
        uint8_t *k, *v;               /* 64-byte aligned; kv_block_size(type, head_dim) bytes each */
        uint32_t head_dim_k, head_dim_v;
} KvBlock;

/* Bytes of 32 positions of one head's K (or V), rounded up to 64. head_dim is a multiple of 32 for KV_Q8, even for KV_I16. */
size_t kv_block_size(KvType type, uint32_t head_dim);

typedef struct AttendArgs {
        KvType type;
        uint32_t head_dim_k, head_dim_v;
        uint32_t n_group;             /* query heads on this KV head */
        uint32_t n_queries;           /* consecutive positions pos0 … pos0 + n_queries - 1 */
        uint32_t pos0;
        uint32_t first;               /* lowest position in the pages that any query may see (0: from the start) */
        uint32_t window;              /* a query at p sees (p - window, p]; 0: all up to p */
        uint32_t chunk;               /* a query at p sees [p - p % chunk, p]; 0: not chunked (llama4) */
        float scale;                  /* on q·k */
        float softcap;                /* 0: none; else c·tanh(s/c) */

        const float *q;               /* query t, head h of the group: q[t · q_stride + h · head_dim_k] */
        size_t q_stride;
        float *out;                   /* out[t · out_stride + h · head_dim_v] */
        size_t out_stride;

        const uint8_t *const *pages;  /* pages[p / KV_PAGE_TOKENS]; entries wholly outside every window may be NULL */
        size_t k_offset, v_offset;    /* of this layer's and head's blocks inside a page */

        float *scratch;               /* at least attend_scratch() bytes, one per thread */
} AttendArgs;

#define ATTEND_QUERIES_MAX 128u       /* n_queries at most */
size_t attend_scratch(uint32_t head_dim_k, uint32_t head_dim_v, uint32_t n_group);
