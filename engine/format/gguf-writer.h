/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* GGUF writing, version 3, little endian: for converters and for tests. The caller adds metadata, then tensors, and
 * writes once. Metadata is copied; tensor data is not: it stays the caller's, and in place, until the file is written.
 *
 * Adding returns 0 or a negative errno, and the first failure sticks: every later call, writing too, returns it. A
 * caller may therefore add a whole table and check once. Keys and names are the caller's to keep unique. -EINVAL: a key
 * or name that the reader would refuse, a row that is no whole number of blocks, no dimension or an empty one.
 * -E2BIG: above a cap of gguf.h. */

#include "engine/format/gguf.h"

typedef struct GgufWriter GgufWriter;

int gguf_writer_new(GgufWriter **ret);
GgufWriter *gguf_writer_free(GgufWriter *w);
DEFINE_CLEANUP(GgufWriter, gguf_writer_free);

int gguf_writer_u16(GgufWriter *w, const char *key, uint16_t v);
int gguf_writer_u32(GgufWriter *w, const char *key, uint32_t v);
int gguf_writer_i32(GgufWriter *w, const char *key, int32_t v);
int gguf_writer_u64(GgufWriter *w, const char *key, uint64_t v);
int gguf_writer_f32(GgufWriter *w, const char *key, float v);
int gguf_writer_bool(GgufWriter *w, const char *key, bool v);
int gguf_writer_string(GgufWriter *w, const char *key, const char *text, size_t size);
int gguf_writer_u32s(GgufWriter *w, const char *key, const uint32_t *v, size_t n);
int gguf_writer_i32s(GgufWriter *w, const char *key, const int32_t *v, size_t n);
int gguf_writer_f32s(GgufWriter *w, const char *key, const float *v, size_t n);
int gguf_writer_strings(GgufWriter *w, const char *key, const GgufString *v, size_t n);

/* `data`: the type's blocks, row after row, as GgufTensor has them. */
int gguf_writer_tensor(GgufWriter *w, const char *name, const TensorType *type, unsigned n_dims, const uint64_t *ne, const void *data);

/* Calls write() with the file's bytes from first to last; a negative result of it ends the writing and is returned. */
typedef int (*GgufWrite)(void *userdata, const void *data, size_t size);
int gguf_writer_write(GgufWriter *w, GgufWrite write, void *userdata);

/* The whole file as one buffer, aligned as gguf_new() wants it; free() it. */
int gguf_writer_to_memory(GgufWriter *w, void **ret, size_t *ret_size);
