/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* GGUF bytes put together by hand, so that every field can be wrong. Ends the program where memory ends. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/format/gguf.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 }; /* the format's value types */

typedef struct Blob {
        uint8_t *data;                  /* at a multiple of 32, and exactly as long as `size`, for the sanitizer's sake */
        size_t size;
} Blob;

static inline void blob_done(Blob *b) {
        free(b->data);
        *b = (Blob) { 0 };
}

static inline void blob_put(Blob *b, const void *data, size_t size) {
        void *p;
        if (size == 0)
                return;
        if (posix_memalign(&p, 32, b->size + size) != 0)
                abort();
        if (b->size > 0)
                memcpy(p, b->data, b->size);
        memcpy((uint8_t *) p + b->size, data, size);
        free(b->data);
        b->data = p;
        b->size += size;
}

static inline void blob_u8(Blob *b, uint8_t v) {
        blob_put(b, &v, sizeof v);
}

static inline void blob_u32(Blob *b, uint32_t v) {
        blob_put(b, &v, sizeof v);
}

static inline void blob_u64(Blob *b, uint64_t v) {
        blob_put(b, &v, sizeof v);
}

static inline void blob_f32(Blob *b, float v) {
        blob_put(b, &v, sizeof v);
}

static inline void blob_string(Blob *b, const char *s) {
        blob_u64(b, strlen(s));
        blob_put(b, s, strlen(s));
}

static inline void blob_zeros(Blob *b, size_t n) {
        static const uint8_t zeros[4096];
        for (; n > 0; n -= n < sizeof zeros ? n : sizeof zeros)
                blob_put(b, zeros, n < sizeof zeros ? n : sizeof zeros);
}

static inline void blob_header(Blob *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv) {
        blob_put(b, "GGUF", 4);
        blob_u32(b, version);
        blob_u64(b, n_tensors);
        blob_u64(b, n_kv);
}

/* Key and type; the value follows. */
static inline void blob_key(Blob *b, const char *key, uint32_t type) {
        blob_string(b, key);
        blob_u32(b, type);
}

static inline void blob_kv_u32(Blob *b, const char *key, uint32_t v) {
        blob_key(b, key, U32);
        blob_u32(b, v);
}

static inline void blob_kv_array(Blob *b, const char *key, uint32_t element, uint64_t n) {
        blob_key(b, key, ARRAY);
        blob_u32(b, element);
        blob_u64(b, n);
}

static inline void blob_tensor(Blob *b, const char *name, uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t offset) {
        blob_string(b, name);
        blob_u32(b, n_dims);
        blob_put(b, ne, (n_dims < 8 ? n_dims : 8) * sizeof *ne);
        blob_u32(b, type);
        blob_u64(b, offset);
}

/* Up to where data begins, and `n` bytes of it. */
static inline void blob_data(Blob *b, size_t n) {
        blob_zeros(b, -b->size % 32);
        blob_zeros(b, n);
}
