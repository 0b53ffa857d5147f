/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A complete model of random weights, small enough to be made anew by every test that needs one: llama architecture,
 * byte-level BPE of about 300 tokens (control tokens, one user-defined token, all 256 bytes, some merges), a chat
 * template. The same parameters give the same bytes. What it says is noise; that it can be loaded, prompted and
 * stepped is the point. Zero in a parameter means the default in brackets. */

#include <stddef.h>
#include <stdint.h>

#include "engine/format/tensor-type.h"

enum {                                  /* ids */
        TINY_END_OF_TEXT = 0,           /* "<|endoftext|>", control; also unknown */
        TINY_IM_START = 1,              /* "<|im_start|>", control; BOS */
        TINY_IM_END = 2,                /* "<|im_end|>", control; EOS */
        TINY_TOOL_CALL = 3,             /* "<tool_call>", user-defined */
        TINY_BYTES = 4,                 /* 256 of them, in the order of the byte's value */
        TINY_MERGES = 260,              /* one token for each merge */
        TINY_VOCAB_MIN = 300,
};

#define TINY_CHANGES_MAX 64u

/* One thing made otherwise, for tests of loaders. */
typedef enum TinyChangeKind {
        TINY_SET_U32 = 1,               /* key (in place or added): u */
        TINY_SET_F32,                   /* key (in place or added): f */
        TINY_SET_STRING,                /* key (in place or added): s */
        TINY_OMIT,                      /* key or tensor: not written */
        TINY_SHORTEN,                   /* array: its last u elements are missing */
        TINY_ELEMENT,                   /* array of strings: element u is s */
        TINY_ELEMENT_NUMBER,            /* array of numbers: element u is f */
        TINY_SHAPE,                     /* tensor: ne[u] is n */
        TINY_FILL,                      /* tensor of F32: every element is f */
} TinyChangeKind;

typedef struct TinyChange {
        TinyChangeKind kind;
        const char *key;                /* or a tensor's name */
        uint32_t u;
        float f;
        const char *s;
        uint64_t n;
} TinyChange;

typedef struct TinyModel {
        uint32_t n_layers;              /* [2] */
        uint32_t n_embd;                /* [64]; a multiple of the type's block size and of n_heads */
        uint32_t n_heads, n_heads_kv;   /* [4, 2] */
        uint32_t n_ff;                  /* [128] */
        uint32_t n_ctx;                 /* [512] */
        uint32_t n_vocab;               /* [300]; what is above 300 are unused tokens "<|extra_N|>" */
        TensorTypeId type;              /* [F32] of all matrices; any of tensor-type.h */
        int untied;                     /* with an output.weight of its own */
        uint64_t seed;
        const TinyChange *changes;
        size_t n_changes;
} TinyModel;

/* The file in memory, aligned as gguf_new() wants it; free() it. `m` may be NULL. */
int tiny_model(const TinyModel *m, void **ret, size_t *ret_size);

/* The file as a sealed memfd, read-only and close-on-exec, or a negative errno. */
int tiny_model_fd(const TinyModel *m);
