/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* GGUF reading: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little endian.
 *
 * A Gguf is an index over bytes that the caller mapped (and keeps mapped while it lives): it copies names, never data.
 * Everything in the file is hostile until checked: one cursor, one comparison (`n > size - pos`), checked arithmetic,
 * caps below, unknown types refused, no assertion on content; cost is n log n in the file's header. A tensor that
 * gguf_tensor() hands out lies whole inside the mapping and is aligned to at least 32 bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"
#include "engine/format/tensor-type.h"

#define GGUF_KV_MAX 65536u
#define GGUF_KEY_MAX 65535u           /* bytes, as the format has it */
#define GGUF_TENSORS_MAX 65536u
#define GGUF_STRING_MAX (16u << 20)   /* chat templates are the longest strings seen: about 20 kB */
#define GGUF_ARRAY_MAX (8u << 20)     /* elements; vocabularies reach 262,144 */
#define GGUF_NAME_MAX 64u             /* tensor names, with room for a NUL in the field's own reader */
#define GGUF_PARTS_MAX 64u
#define GGUF_ALIGNMENT_MAX (1u << 20)

typedef struct Gguf Gguf;

typedef struct GgufPart {             /* one mapped file */
        const void *data;             /* at a multiple of 32, as mmap() and aligned_alloc(32, …) have it */
        size_t size;
} GgufPart;

typedef struct GgufString {           /* bytes in the mapping; not NUL-terminated, may hold anything */
        const char *data;
        size_t size;
} GgufString;

typedef struct GgufTensor {
        const char *name;             /* NUL-terminated, owned by the Gguf, printable ASCII */
        const TensorType *type;
        unsigned n_dims;              /* 1 … 4 */
        uint64_t ne[4];               /* elements; ne[0] runs fastest; unused ones are 1; none is 0 */
        const void *data;             /* in the mapping */
        size_t size;                  /* bytes: exactly ne[1]·ne[2]·ne[3] rows of ne[0] */
} GgufTensor;

/* One file, or the parts of a split one in any order (split.no, split.count, split.tensors.count are checked).
 * -EBADMSG: broken; -ENOTSUP: well formed, but a version or type that we do not read. The text holds byte offsets. */
int gguf_new(const GgufPart *parts, size_t n_parts, Gguf **ret, EngineError *reterr);
Gguf *gguf_free(Gguf *g);
DEFINE_CLEANUP(Gguf, gguf_free);

size_t gguf_n_tensors(const Gguf *g);
const GgufTensor *gguf_tensor_at(const Gguf *g, size_t i);
const GgufTensor *gguf_tensor(const Gguf *g, const char *name);   /* NULL where there is none; by bisection */

/* Metadata. -ENOENT: no such key; -EBADMSG: there, but of another type (the text says which). Integers of any width
 * and signedness are read where their value fits; a float is read from F32 or F64 and must be finite. */
int gguf_u32(const Gguf *g, const char *key, uint32_t *ret, EngineError *reterr);
int gguf_u64(const Gguf *g, const char *key, uint64_t *ret, EngineError *reterr);
int gguf_f32(const Gguf *g, const char *key, float *ret, EngineError *reterr);
int gguf_bool(const Gguf *g, const char *key, bool *ret, EngineError *reterr);
int gguf_string(const Gguf *g, const char *key, GgufString *ret, EngineError *reterr);

/* Arrays. The strings variant fills a vector that the caller frees; the numbers variants convert with a range check. */
int gguf_strings(const Gguf *g, const char *key, GgufString **ret, size_t *ret_n, EngineError *reterr);
int gguf_u32s(const Gguf *g, const char *key, uint32_t **ret, size_t *ret_n, EngineError *reterr);
int gguf_f32s(const Gguf *g, const char *key, float **ret, size_t *ret_n, EngineError *reterr);

/* For `spark-lm inspect`: the i-th entry, its value as short text (arrays: their length and first elements). */
size_t gguf_n_kv(const Gguf *g);
const char *gguf_kv_at(const Gguf *g, size_t i, char *value, size_t value_size);
