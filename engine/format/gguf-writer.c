/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a GGUF file in the making: the encoded metadata as one growing buffer, the tensors as a list of what the caller
 * holds. Nothing is laid out before the end is known, so that data can be streamed and a file of any size needs
 * memory for its header alone. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/checked.h"
#include "engine/format/gguf-internal.h"
#include "engine/format/gguf-writer.h"

#define ALIGNMENT 32u

typedef struct Buffer {
        uint8_t *data;
        size_t size, allocated;
} Buffer;

typedef struct Tensor {
        char *name;
        const TensorType *type;
        unsigned n_dims;
        uint64_t ne[4];
        const void *data;
        size_t size;
} Tensor;

struct GgufWriter {
        int error;
        Buffer kv;
        uint64_t n_kv;
        Tensor *tensors;
        size_t n_tensors, allocated;
};

static int append(Buffer *b, const void *data, size_t size) {
        size_t wanted;
        if (size == 0)
                return 0;
        if (!checked_add(b->size, size, &wanted))
                return -EOVERFLOW;
        if (wanted > b->allocated) {
                size_t doubled = b->allocated < SIZE_MAX / 2 ? b->allocated * 2 : SIZE_MAX;
                size_t allocated = MAX(wanted, doubled);
                uint8_t *p = realloc(b->data, allocated);
                if (!p)
                        return -ENOMEM;
                b->data = p;
                b->allocated = allocated;
        }
        memcpy(b->data + b->size, data, size);
        b->size = wanted;
        return 0;
}

static void buffer_done(Buffer *b) {
        free(b->data);
}

static bool printable(const char *s) {
        for (; *s; s++)
                if (*s < 0x20 || *s > 0x7e)
                        return false;
        return true;
}

int gguf_writer_new(GgufWriter **ret) {
        GgufWriter *w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        *ret = w;
        return 0;
}

GgufWriter *gguf_writer_free(GgufWriter *w) {
        if (!w)
                return NULL;
        for (size_t i = 0; i < w->n_tensors; i++)
                free(w->tensors[i].name);
        free(w->tensors);
        free(w->kv.data);
        free(w);
        return NULL;
}

static int fail(GgufWriter *w, int r) {
        if (w->error == 0)
                w->error = r;
        return w->error;
}

static int put(GgufWriter *w, const void *data, size_t size) {
        int r = w->error ?: append(&w->kv, data, size);
        return r < 0 ? fail(w, r) : 0;
}

static int put_string(GgufWriter *w, const char *text, size_t size) {
        uint64_t n = size;
        put(w, &n, sizeof n);
        return put(w, text, size);
}

/* Key and type; the value follows. */
static int put_key(GgufWriter *w, const char *key, uint32_t type) {
        size_t n = strlen(key);
        if (n == 0 || n > GGUF_KEY_MAX || !printable(key))
                return fail(w, -EINVAL);
        if (w->n_kv >= GGUF_KV_MAX)
                return fail(w, -E2BIG);
        w->n_kv++;
        put_string(w, key, n);
        return put(w, &type, sizeof type);
}

static int put_value(GgufWriter *w, const char *key, uint32_t type, const void *v, size_t size) {
        put_key(w, key, type);
        return put(w, v, size);
}

static int put_array(GgufWriter *w, const char *key, uint32_t element, size_t n) {
        uint64_t length = n;
        if (n > GGUF_ARRAY_MAX)
                return fail(w, -E2BIG);
        put_key(w, key, GGUF_ARRAY);
        put(w, &element, sizeof element);
        return put(w, &length, sizeof length);
}

static int put_numbers(GgufWriter *w, const char *key, uint32_t element, const void *v, size_t n, size_t size) {
        int r = put_array(w, key, element, n);
        return r < 0 ? r : put(w, v, n * size);
}

int gguf_writer_u16(GgufWriter *w, const char *key, uint16_t v) {
        return put_value(w, key, GGUF_U16, &v, sizeof v);
}

int gguf_writer_u32(GgufWriter *w, const char *key, uint32_t v) {
        return put_value(w, key, GGUF_U32, &v, sizeof v);
}

int gguf_writer_i32(GgufWriter *w, const char *key, int32_t v) {
        return put_value(w, key, GGUF_I32, &v, sizeof v);
}

int gguf_writer_u64(GgufWriter *w, const char *key, uint64_t v) {
        return put_value(w, key, GGUF_U64, &v, sizeof v);
}

int gguf_writer_f32(GgufWriter *w, const char *key, float v) {
        return put_value(w, key, GGUF_F32, &v, sizeof v);
}

int gguf_writer_bool(GgufWriter *w, const char *key, bool v) {
        uint8_t byte = v ? 1 : 0;
        return put_value(w, key, GGUF_BOOL, &byte, sizeof byte);
}

int gguf_writer_string(GgufWriter *w, const char *key, const char *text, size_t size) {
        if (size > GGUF_STRING_MAX)
                return fail(w, -E2BIG);
        put_key(w, key, GGUF_STRING);
        return put_string(w, text, size);
}

int gguf_writer_u32s(GgufWriter *w, const char *key, const uint32_t *v, size_t n) {
        return put_numbers(w, key, GGUF_U32, v, n, sizeof *v);
}

int gguf_writer_i32s(GgufWriter *w, const char *key, const int32_t *v, size_t n) {
        return put_numbers(w, key, GGUF_I32, v, n, sizeof *v);
}

int gguf_writer_f32s(GgufWriter *w, const char *key, const float *v, size_t n) {
        return put_numbers(w, key, GGUF_F32, v, n, sizeof *v);
}

int gguf_writer_strings(GgufWriter *w, const char *key, const GgufString *v, size_t n) {
        int r = put_array(w, key, GGUF_STRING, n);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = v[i].size > GGUF_STRING_MAX ? fail(w, -E2BIG) : put_string(w, v[i].data, v[i].size);
        return r;
}

int gguf_writer_tensor(GgufWriter *w, const char *name, const TensorType *type, unsigned n_dims, const uint64_t *ne, const void *data) {
        if (w->error < 0)
                return w->error;
        if (!name[0] || strlen(name) >= GGUF_NAME_MAX || !printable(name))
                return fail(w, -EINVAL);
        if (n_dims < 1 || n_dims > 4 || ne[0] % type->block_size != 0)
                return fail(w, -EINVAL);
        if (w->n_tensors >= GGUF_TENSORS_MAX)
                return fail(w, -E2BIG);

        Tensor t = { .type = type, .n_dims = n_dims, .data = data, .size = type->block_bytes, .ne = { 1, 1, 1, 1 } };
        for (unsigned i = 0; i < n_dims; i++) {
                t.ne[i] = ne[i];
                if (ne[i] == 0)
                        return fail(w, -EINVAL);
                if (!checked_mul(t.size, i == 0 ? ne[i] / type->block_size : ne[i], &t.size))
                        return fail(w, -E2BIG);
        }
        if (w->n_tensors == w->allocated) {
                size_t allocated = w->allocated * 2 + 16;
                Tensor *p = reallocarray(w->tensors, allocated, sizeof *p);
                if (!p)
                        return fail(w, -ENOMEM);
                w->tensors = p;
                w->allocated = allocated;
        }
        t.name = strdup(name);
        if (!t.name)
                return fail(w, -ENOMEM);
        w->tensors[w->n_tensors++] = t;
        return 0;
}

/* The fixed part, the metadata, the tensors' descriptions, and zeros up to where data begins. */
static int make_header(const GgufWriter *w, Buffer *b) {
        static const uint8_t zeros[ALIGNMENT];
        const uint32_t version = 3;
        uint64_t n = w->n_tensors, offset = 0;
        int r;

        if ((r = append(b, "GGUF", 4)) < 0 || (r = append(b, &version, sizeof version)) < 0 ||
            (r = append(b, &n, sizeof n)) < 0 || (r = append(b, &w->n_kv, sizeof w->n_kv)) < 0 ||
            (r = append(b, w->kv.data, w->kv.size)) < 0)
                return r;
        for (size_t i = 0; i < w->n_tensors; i++) {
                const Tensor *t = &w->tensors[i];
                const uint64_t name_size = strlen(t->name);
                const uint32_t n_dims = t->n_dims, type = t->type->id;
                size_t padded;
                if ((r = append(b, &name_size, sizeof name_size)) < 0 || (r = append(b, t->name, name_size)) < 0 ||
                    (r = append(b, &n_dims, sizeof n_dims)) < 0 || (r = append(b, t->ne, n_dims * sizeof *t->ne)) < 0 ||
                    (r = append(b, &type, sizeof type)) < 0 || (r = append(b, &offset, sizeof offset)) < 0)
                        return r;
                if (!checked_align(t->size, ALIGNMENT, &padded) || !checked_add(offset, padded, &offset))
                        return -E2BIG;
        }
        return append(b, zeros, -b->size % ALIGNMENT);
}

int gguf_writer_write(GgufWriter *w, GgufWrite write, void *userdata) {
        static const uint8_t zeros[ALIGNMENT];
        _cleanup_(buffer_done) Buffer header = { 0 };
        int r = w->error ?: make_header(w, &header);
        if (r < 0)
                return r;
        r = write(userdata, header.data, header.size);
        for (size_t i = 0; r >= 0 && i < w->n_tensors; i++) {
                r = write(userdata, w->tensors[i].data, w->tensors[i].size);
                if (r >= 0 && w->tensors[i].size % ALIGNMENT != 0)
                        r = write(userdata, zeros, -w->tensors[i].size % ALIGNMENT);
        }
        return r < 0 ? r : 0;
}

static int write_to_buffer(void *userdata, const void *data, size_t size) {
        return append(userdata, data, size);
}

int gguf_writer_to_memory(GgufWriter *w, void **ret, size_t *ret_size) {
        _cleanup_(buffer_done) Buffer b = { 0 };
        int r = gguf_writer_write(w, write_to_buffer, &b);
        if (r < 0)
                return r;
        size_t allocated;
        if (!checked_align(b.size, ALIGNMENT, &allocated))
                return -E2BIG;
        void *aligned = aligned_alloc(ALIGNMENT, allocated);
        if (!aligned)
                return -ENOMEM;
        memcpy(aligned, b.data, b.size);
        *ret = aligned;
        *ret_size = b.size;
        return 0;
}
