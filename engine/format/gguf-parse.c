/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the walk over one file's header. One cursor, and one comparison of a length that the file claims with what is
 * left; nothing is allocated before that comparison has been made; sizes are multiplied only in checked arithmetic and
 * compared before they are padded. Counts have caps and every list is searched by sorting, so that no choice of
 * content costs more than (n log n) in the bytes that are really there. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/checked.h"
#include "engine/format/gguf-internal.h"

_Static_assert(sizeof(size_t) == 8, "models are mapped whole: 64-bit address spaces only");

#define KV_BYTES_MIN 14u                /* key length, one byte of key, type, one byte of value */
#define TENSOR_BYTES_MIN 33u            /* name length, one byte of name, n_dims, one dimension, type, offset */
#define ALIGNMENT_DEFAULT 32u

const GgufValueTypeInfo gguf_value_types[GGUF_VALUE_TYPES] = {
        [GGUF_U8] = { "u8", 1 },
        [GGUF_I8] = { "i8", 1 },
        [GGUF_U16] = { "u16", 2 },
        [GGUF_I16] = { "i16", 2 },
        [GGUF_U32] = { "u32", 4 },
        [GGUF_I32] = { "i32", 4 },
        [GGUF_F32] = { "f32", 4 },
        [GGUF_BOOL] = { "bool", 1 },
        [GGUF_STRING] = { "string", 0 },
        [GGUF_ARRAY] = { "array", 0 },
        [GGUF_U64] = { "u64", 8 },
        [GGUF_I64] = { "i64", 8 },
        [GGUF_F64] = { "f64", 8 },
};

typedef struct Cursor {
        const uint8_t *base;
        size_t size, pos;
        const char *where;
        char what[GGUF_SHOWN + 16];     /* the entry being read: "tensor 'x'" */
        EngineError *error;
} Cursor;

#define cursor_fail(c, r, at, format, ...) \
        engine_fail((c)->error, (r), "%s: " format " (%sbyte %zu)", (c)->what, ##__VA_ARGS__, (c)->where, (size_t) (at))

static void cursor_enter(Cursor *c, const char *kind, const char *name, size_t size) {
        snprintf(c->what, sizeof c->what, "%s '%.*s%s'", kind, (int) MIN(size, (size_t) GGUF_SHOWN - 8), name,
                 size > GGUF_SHOWN - 8 ? "..." : "");
}

static int take(Cursor *c, const char *field, uint64_t n, const uint8_t **ret) {
        if (n > c->size - c->pos)
                return cursor_fail(c, -EBADMSG, c->pos, "%s needs %llu bytes, %zu are left",
                                   field, (unsigned long long) n, c->size - c->pos);
        *ret = c->base + c->pos;
        c->pos += n;
        return 0;
}

static int take_u32(Cursor *c, const char *field, uint32_t *ret) {
        const uint8_t *p;
        int r = take(c, field, sizeof *ret, &p);
        if (r == 0)
                memcpy(ret, p, sizeof *ret);
        return r;
}

static int take_u64(Cursor *c, const char *field, uint64_t *ret) {
        const uint8_t *p;
        int r = take(c, field, sizeof *ret, &p);
        if (r == 0)
                memcpy(ret, p, sizeof *ret);
        return r;
}

static int take_string(Cursor *c, const char *field, size_t max, GgufString *ret) {
        size_t at = c->pos;
        uint64_t n;
        const uint8_t *p;
        int r = take_u64(c, field, &n);
        if (r < 0)
                return r;
        if (n > max)
                return cursor_fail(c, -EBADMSG, at, "%s claims %llu bytes, at most %zu are read",
                                   field, (unsigned long long) n, max);
        r = take(c, field, n, &p);
        if (r < 0)
                return r;
        *ret = (GgufString) { (const char *) p, n };
        return 0;
}

/* Names come back in error texts, on terminals and over D-Bus. */
static int take_name(Cursor *c, const char *field, size_t max, GgufString *ret) {
        size_t at = c->pos;
        int r = take_string(c, field, max, ret);
        if (r < 0)
                return r;
        if (ret->size == 0)
                return cursor_fail(c, -EBADMSG, at, "%s is empty", field);
        for (size_t i = 0; i < ret->size; i++)
                if (ret->data[i] < 0x20 || ret->data[i] > 0x7e)
                        return cursor_fail(c, -EBADMSG, at, "%s holds byte 0x%02x, not printable ASCII",
                                           field, (unsigned char) ret->data[i]);
        return 0;
}

static int take_value_type(Cursor *c, const char *field, GgufValueType *ret) {
        size_t at = c->pos;
        uint32_t type;
        int r = take_u32(c, field, &type);
        if (r < 0)
                return r;
        if (type >= GGUF_VALUE_TYPES)
                return cursor_fail(c, -EBADMSG, at, "%s %u is none of the format's", field, type);
        *ret = (GgufValueType) type;
        return 0;
}

/* n values of one type, one after another; leaves kv->data and kv->size at them. */
static int take_values(Cursor *c, GgufKv *kv) {
        size_t start = c->pos;
        GgufString s = { 0 };
        int r;

        if (kv->element == GGUF_STRING) {
                for (size_t i = 0; i < kv->n; i++) {
                        r = take_string(c, "string", GGUF_STRING_MAX, &s);
                        if (r < 0)
                                return r;
                }
                if (kv->type == GGUF_STRING) {
                        kv->data = (const uint8_t *) s.data;
                        kv->size = s.size;
                        return 0;
                }
        } else {
                const uint8_t *p;
                r = take(c, kv->type == GGUF_ARRAY ? "array" : "value", /* n is capped */
                         (uint64_t) kv->n * gguf_value_types[kv->element].size, &p);
                if (r < 0)
                        return r;
                if (kv->element == GGUF_BOOL)
                        for (size_t i = 0; i < kv->n; i++)
                                if (p[i] > 1)
                                        return cursor_fail(c, -EBADMSG, start + i, "bool is %u, not 0 or 1", p[i]);
        }
        kv->data = c->base + start;
        kv->size = c->pos - start;
        return 0;
}

static int take_kv(Cursor *c, GgufKv *kv) {
        GgufString key;
        int r = take_name(c, "key", GGUF_KEY_MAX, &key);
        if (r < 0)
                return r;
        kv->key = calloc(1, key.size + 1);
        if (!kv->key)
                return cursor_fail(c, -ENOMEM, c->pos, "out of memory");
        memcpy(kv->key, key.data, key.size);
        cursor_enter(c, "metadata", key.data, key.size);

        r = take_value_type(c, "value type", &kv->type);
        if (r < 0)
                return r;
        kv->element = kv->type;
        kv->n = 1;
        if (kv->type == GGUF_ARRAY) {
                size_t at = c->pos;
                uint64_t n;
                r = take_value_type(c, "element type", &kv->element);
                if (r < 0)
                        return r;
                if (kv->element == GGUF_ARRAY)
                        return cursor_fail(c, -ENOTSUP, at, "an array of arrays is not read");
                r = take_u64(c, "array length", &n);
                if (r < 0)
                        return r;
                if (n > GGUF_ARRAY_MAX)
                        return cursor_fail(c, -EBADMSG, at + 4, "array claims %llu elements, at most %u are read",
                                           (unsigned long long) n, GGUF_ARRAY_MAX);
                kv->n = n;
        }
        kv->at = c->pos;
        return take_values(c, kv);
}

static int compare_keys(const void *a, const void *b) {
        return strcmp((*(const GgufKv *const *) a)->key, (*(const GgufKv *const *) b)->key);
}

const GgufKv *gguf_header_find(const GgufHeader *h, const char *key) {
        GgufKv wanted = { .key = (char *) key }, *p = &wanted;
        const GgufKv **found = bsearch(&p, h->by_key, h->n_kv, sizeof *h->by_key, compare_keys);
        return found ? *found : NULL;
}

static int take_metadata(Cursor *c, uint64_t n, GgufHeader *h) {
        if (n > (c->size - c->pos) / KV_BYTES_MIN)
                return cursor_fail(c, -EBADMSG, 16, "claims %llu metadata entries, %zu bytes are left",
                                   (unsigned long long) n, c->size - c->pos);
        h->kv = calloc(n + 1, sizeof *h->kv);
        h->by_key = calloc(n + 1, sizeof *h->by_key);
        if (!h->kv || !h->by_key)
                return cursor_fail(c, -ENOMEM, c->pos, "out of memory");

        while (h->n_kv < n) {
                snprintf(c->what, sizeof c->what, "metadata entry %zu", h->n_kv);
                h->by_key[h->n_kv] = &h->kv[h->n_kv];
                int r = take_kv(c, &h->kv[h->n_kv++]);
                if (r < 0)
                        return r;
        }
        qsort(h->by_key, n, sizeof *h->by_key, compare_keys);
        for (size_t i = 1; i < n; i++)
                if (strcmp(h->by_key[i - 1]->key, h->by_key[i]->key) == 0) {
                        cursor_enter(c, "metadata", h->by_key[i]->key, strlen(h->by_key[i]->key));
                        return cursor_fail(c, -EBADMSG, MAX(h->by_key[i - 1]->at, h->by_key[i]->at), "stands there twice");
                }
        return 0;
}

static int find_alignment(Cursor *c, const GgufHeader *h, size_t *ret) {
        const GgufKv *kv = gguf_header_find(h, "general.alignment");
        if (!kv) {
                *ret = ALIGNMENT_DEFAULT;
                return 0;
        }
        snprintf(c->what, sizeof c->what, "metadata 'general.alignment'");
        if (kv->type != GGUF_U32)
                return cursor_fail(c, -EBADMSG, kv->at, "is of type %s, u32 expected", gguf_value_types[kv->type].name);
        uint32_t alignment;
        memcpy(&alignment, kv->data, sizeof alignment);
        if (alignment == 0 || (alignment & (alignment - 1)) != 0)
                return cursor_fail(c, -EBADMSG, kv->at, "%u is no power of two", alignment);
        if (alignment < ALIGNMENT_DEFAULT || alignment > GGUF_ALIGNMENT_MAX)
                return cursor_fail(c, -ENOTSUP, kv->at, "%u; %u to %u are read", alignment, ALIGNMENT_DEFAULT, GGUF_ALIGNMENT_MAX);
        *ret = alignment;
        return 0;
}

static int take_tensor(Cursor *c, GgufTensorEntry *e) {
        GgufTensor *t = &e->tensor;
        GgufString name;
        uint32_t type;
        e->at = c->pos;
        int r = take_name(c, "tensor name", GGUF_NAME_MAX - 1, &name);
        if (r < 0)
                return r;
        memcpy(e->name, name.data, name.size); /* the rest is zero */
        cursor_enter(c, "tensor", name.data, name.size);

        size_t at = c->pos;
        r = take_u32(c, "number of dimensions", &t->n_dims);
        if (r < 0)
                return r;
        if (t->n_dims < 1 || t->n_dims > 4)
                return cursor_fail(c, -EBADMSG, at, "%u dimensions, 1 to 4 expected", t->n_dims);
        for (unsigned i = 0; i < 4; i++) {
                t->ne[i] = 1;
                if (i >= t->n_dims)
                        continue;
                at = c->pos;
                r = take_u64(c, "dimension", &t->ne[i]);
                if (r < 0)
                        return r;
                if (t->ne[i] == 0 || t->ne[i] > INT64_MAX)
                        return cursor_fail(c, -EBADMSG, at, "dimension %u is %lld", i, (long long) t->ne[i]);
        }

        at = c->pos;
        r = take_u32(c, "tensor type", &type);
        if (r < 0)
                return r;
        t->type = tensor_type(type);
        if (!t->type)
                return cursor_fail(c, -ENOTSUP, at, "tensor type %u is none that Spark reads", type);
        if (t->ne[0] % t->type->block_size != 0)
                return cursor_fail(c, -EBADMSG, e->at, "%llu columns are no whole number of blocks of %s (%u)",
                                   (unsigned long long) t->ne[0], t->type->name, t->type->block_size);
        t->size = t->ne[0] / t->type->block_size;
        if (!checked_mul(t->size, t->type->block_bytes, &t->size) || !checked_mul(t->size, t->ne[1], &t->size) ||
            !checked_mul(t->size, t->ne[2], &t->size) || !checked_mul(t->size, t->ne[3], &t->size))
                return cursor_fail(c, -EBADMSG, e->at, "%llu x %llu x %llu x %llu elements of %s are more than can be addressed",
                                   (unsigned long long) t->ne[0], (unsigned long long) t->ne[1],
                                   (unsigned long long) t->ne[2], (unsigned long long) t->ne[3], t->type->name);
        return take_u64(c, "offset", &e->offset);
}

static int compare_offsets(const void *a, const void *b) {
        const GgufTensorEntry *x = *(const GgufTensorEntry *const *) a, *y = *(const GgufTensorEntry *const *) b;
        return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Each tensor inside the data section; then, in the order of their offsets, each behind the end of the one before. */
static int place_tensors(Cursor *c, size_t alignment, GgufHeader *h) {
        if (h->n_tensors == 0)
                return 0;
        size_t start;
        if (!checked_align(c->pos, alignment, &start) || start > c->size) {
                snprintf(c->what, sizeof c->what, "tensor data");
                return cursor_fail(c, -EBADMSG, c->pos, "begins behind the end of the file");
        }
        size_t left = c->size - start;

        _cleanup_free_ GgufTensorEntry **sorted = calloc(h->n_tensors, sizeof *sorted);
        if (!sorted)
                return cursor_fail(c, -ENOMEM, c->pos, "out of memory");
        for (size_t i = 0; i < h->n_tensors; i++) {
                GgufTensorEntry *e = sorted[i] = &h->tensors[i];
                cursor_enter(c, "tensor", e->name, strlen(e->name));
                if (e->offset % alignment != 0)
                        return cursor_fail(c, -EBADMSG, e->at, "offset %llu is no multiple of the alignment, %zu",
                                           (unsigned long long) e->offset, alignment);
                if (e->offset > left || e->tensor.size > left - e->offset)
                        return cursor_fail(c, -EBADMSG, e->at, "%zu bytes at offset %llu, the file has %zu bytes of data",
                                           e->tensor.size, (unsigned long long) e->offset, left);
                e->tensor.data = c->base + start + e->offset;
        }
        qsort(sorted, h->n_tensors, sizeof *sorted, compare_offsets);
        for (size_t i = 1; i < h->n_tensors; i++)
                if (sorted[i]->offset < sorted[i - 1]->offset + sorted[i - 1]->tensor.size) {
                        cursor_enter(c, "tensor", sorted[i]->name, strlen(sorted[i]->name));
                        return cursor_fail(c, -EBADMSG, sorted[i]->at, "shares bytes with tensor '%s'", sorted[i - 1]->name);
                }
        return 0;
}

static int take_tensors(Cursor *c, uint64_t n, size_t alignment, GgufHeader *h) {
        if (n > (c->size - c->pos) / TENSOR_BYTES_MIN) {
                snprintf(c->what, sizeof c->what, "header");
                return cursor_fail(c, -EBADMSG, 8, "claims %llu tensors, %zu bytes are left",
                                   (unsigned long long) n, c->size - c->pos);
        }
        h->tensors = calloc(n + 1, sizeof *h->tensors);
        if (!h->tensors)
                return cursor_fail(c, -ENOMEM, c->pos, "out of memory");
        while (h->n_tensors < n) {
                snprintf(c->what, sizeof c->what, "tensor %zu", h->n_tensors);
                int r = take_tensor(c, &h->tensors[h->n_tensors++]);
                if (r < 0)
                        return r;
        }
        return place_tensors(c, alignment, h);
}

int gguf_header_parse(const GgufPart *part, const char *where, GgufHeader *ret, EngineError *reterr) {
        _cleanup_(gguf_header_done) GgufHeader h = { 0 };
        Cursor *c = &(Cursor) { .base = part->data, .size = part->size, .where = where, .what = "header", .error = reterr };
        uint32_t magic, version;
        uint64_t n_tensors, n_kv;
        size_t alignment;

        if ((uintptr_t) part->data % ALIGNMENT_DEFAULT != 0)
                return cursor_fail(c, -EINVAL, 0, "is not mapped at a multiple of %u", ALIGNMENT_DEFAULT);

        int r = take_u32(c, "magic", &magic);
        if (r < 0)
                return r;
        if (magic != 0x46554747) /* "GGUF" */
                return cursor_fail(c, -EBADMSG, 0, "not a GGUF file");
        r = take_u32(c, "version", &version);
        if (r < 0)
                return r;
        if (version != 0 && (version & 0xffff) == 0)
                return cursor_fail(c, -ENOTSUP, 4, "a big-endian file; little-endian ones are read");
        if (version < 2 || version > 3)
                return cursor_fail(c, -ENOTSUP, 4, "version %u; 2 and 3 are read", version);
        r = take_u64(c, "number of tensors", &n_tensors);
        if (r < 0)
                return r;
        r = take_u64(c, "number of metadata entries", &n_kv);
        if (r < 0)
                return r;
        if (n_tensors > GGUF_TENSORS_MAX)
                return cursor_fail(c, -EBADMSG, 8, "claims %llu tensors, at most %u are read",
                                   (unsigned long long) n_tensors, GGUF_TENSORS_MAX);
        if (n_kv > GGUF_KV_MAX)
                return cursor_fail(c, -EBADMSG, 16, "claims %llu metadata entries, at most %u are read",
                                   (unsigned long long) n_kv, GGUF_KV_MAX);

        r = take_metadata(c, n_kv, &h);
        if (r < 0)
                return r;
        r = find_alignment(c, &h, &alignment);
        if (r < 0)
                return r;
        r = take_tensors(c, n_tensors, alignment, &h);
        if (r < 0)
                return r;
        *ret = h;
        h = (GgufHeader) { 0 };
        return 0;
}

void gguf_header_done(GgufHeader *h) {
        for (size_t i = 0; i < h->n_kv; i++)
                free(h->kv[i].key);
        free(h->kv);
        free(h->by_key);
        free(h->tensors);
        *h = (GgufHeader) { 0 };
}
