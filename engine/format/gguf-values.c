/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reading of metadata values. The parser has checked that each lies whole in the mapping and that bools are
 * bools; here a value meets what its reader expects of it, and a mismatch is an error that names both. */

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/format/gguf-internal.h"

static int fail(const GgufKv *kv, int r, EngineError *reterr, const char *format, ...) _printf_(4, 5);

static int fail(const GgufKv *kv, int r, EngineError *reterr, const char *format, ...) {
        char text[160];
        va_list ap;
        va_start(ap, format);
        vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        return engine_fail(reterr, r, "metadata '%.*s': %s (byte %zu)", GGUF_SHOWN, kv->key, text, kv->at);
}

static int find(const Gguf *g, const char *key, const GgufKv **ret, EngineError *reterr) {
        const GgufKv *kv = gguf_header_find(gguf_header(g), key);
        if (!kv)
                return engine_fail(reterr, -ENOENT, "metadata '%.*s': missing", GGUF_SHOWN, key);
        *ret = kv;
        return 0;
}

static int find_of_type(const Gguf *g, const char *key, GgufValueType type, const GgufKv **ret, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = find(g, key, &kv, reterr);
        if (r < 0)
                return r;
        if (kv->type != type)
                return fail(kv, -EBADMSG, reterr, "is of type %s, %s expected",
                            gguf_value_types[kv->type].name, gguf_value_types[type].name);
        *ret = kv;
        return 0;
}

#define LOAD(type, p)                           \
        ({                                      \
                type _v;                        \
                memcpy(&_v, (p), sizeof _v);    \
                _v;                             \
        })

static int signed_value(int64_t v, uint64_t *ret) {
        if (v < 0)
                return -ERANGE;
        *ret = (uint64_t) v;
        return 0;
}

int gguf_unsigned_at(GgufValueType type, const uint8_t *p, uint64_t *ret) {
        switch (type) {
        case GGUF_U8:
                *ret = *p;
                return 0;
        case GGUF_U16:
                *ret = LOAD(uint16_t, p);
                return 0;
        case GGUF_U32:
                *ret = LOAD(uint32_t, p);
                return 0;
        case GGUF_U64:
                *ret = LOAD(uint64_t, p);
                return 0;
        case GGUF_I8:
                return signed_value((int8_t) *p, ret);
        case GGUF_I16:
                return signed_value(LOAD(int16_t, p), ret);
        case GGUF_I32:
                return signed_value(LOAD(int32_t, p), ret);
        case GGUF_I64:
                return signed_value(LOAD(int64_t, p), ret);
        default:
                return -EBADMSG;
        }
}

/* Reads the i-th of a scalar's or an array's values. */
static int unsigned_of(const GgufKv *kv, size_t i, uint64_t max, uint64_t *ret, EngineError *reterr) {
        uint64_t v;
        int r = gguf_unsigned_at(kv->element, kv->data + i * gguf_value_types[kv->element].size, &v);
        if (r == -ERANGE)
                return fail(kv, -EBADMSG, reterr, "value %zu is negative", i);
        if (r < 0)
                return fail(kv, -EBADMSG, reterr, "is of %s, an integer expected", gguf_value_types[kv->element].name);
        if (v > max)
                return fail(kv, -EBADMSG, reterr, "value %zu is %llu, at most %llu fits", i,
                            (unsigned long long) v, (unsigned long long) max);
        *ret = v;
        return 0;
}

static int float_of(const GgufKv *kv, size_t i, float *ret, EngineError *reterr) {
        const uint8_t *p = kv->data + i * gguf_value_types[kv->element].size;
        float v;
        if (kv->element == GGUF_F32)
                v = LOAD(float, p);
        else if (kv->element == GGUF_F64) {
                double d = LOAD(double, p);
                v = fabs(d) <= (double) __FLT_MAX__ ? (float) d : INFINITY;
        } else
                return fail(kv, -EBADMSG, reterr, "is of %s, a float expected", gguf_value_types[kv->element].name);
        if (!isfinite(v))
                return fail(kv, -EBADMSG, reterr, "value %zu is not finite", i);
        *ret = v;
        return 0;
}

static int scalar(const Gguf *g, const char *key, const GgufKv **ret, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = find(g, key, &kv, reterr);
        if (r < 0)
                return r;
        if (kv->type == GGUF_ARRAY)
                return fail(kv, -EBADMSG, reterr, "is an array, one value expected");
        *ret = kv;
        return 0;
}

int gguf_u64(const Gguf *g, const char *key, uint64_t *ret, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = scalar(g, key, &kv, reterr);
        return r < 0 ? r : unsigned_of(kv, 0, UINT64_MAX, ret, reterr);
}

int gguf_u32(const Gguf *g, const char *key, uint32_t *ret, EngineError *reterr) {
        const GgufKv *kv = NULL;
        uint64_t v = 0;
        int r = scalar(g, key, &kv, reterr);
        if (r < 0)
                return r;
        r = unsigned_of(kv, 0, UINT32_MAX, &v, reterr);
        if (r < 0)
                return r;
        *ret = (uint32_t) v;
        return 0;
}

int gguf_f32(const Gguf *g, const char *key, float *ret, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = scalar(g, key, &kv, reterr);
        return r < 0 ? r : float_of(kv, 0, ret, reterr);
}

int gguf_bool(const Gguf *g, const char *key, bool *ret, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = find_of_type(g, key, GGUF_BOOL, &kv, reterr);
        if (r < 0)
                return r;
        *ret = *kv->data == 1;
        return 0;
}

int gguf_string(const Gguf *g, const char *key, GgufString *ret, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = find_of_type(g, key, GGUF_STRING, &kv, reterr);
        if (r < 0)
                return r;
        *ret = (GgufString) { (const char *) kv->data, kv->size };
        return 0;
}

/* Walks strings that the parser has walked before. */
static const uint8_t *next_string(const uint8_t *p, GgufString *ret) {
        *ret = (GgufString) { (const char *) p + 8, LOAD(uint64_t, p) };
        return p + 8 + ret->size;
}

int gguf_strings(const Gguf *g, const char *key, GgufString **ret, size_t *ret_n, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = find_of_type(g, key, GGUF_ARRAY, &kv, reterr);
        if (r < 0)
                return r;
        if (kv->element != GGUF_STRING)
                return fail(kv, -EBADMSG, reterr, "is an array of %s, strings expected", gguf_value_types[kv->element].name);
        GgufString *v = calloc(kv->n + 1, sizeof *v);
        if (!v)
                return fail(kv, -ENOMEM, reterr, "out of memory for %zu strings", kv->n);
        const uint8_t *p = kv->data;
        for (size_t i = 0; i < kv->n; i++)
                p = next_string(p, &v[i]);
        *ret = v;
        *ret_n = kv->n;
        return 0;
}

int gguf_u32s(const Gguf *g, const char *key, uint32_t **ret, size_t *ret_n, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = find_of_type(g, key, GGUF_ARRAY, &kv, reterr);
        if (r < 0)
                return r;
        _cleanup_free_ uint32_t *v = calloc(kv->n + 1, sizeof *v);
        if (!v)
                return fail(kv, -ENOMEM, reterr, "out of memory for %zu numbers", kv->n);
        for (size_t i = 0; i < kv->n; i++) {
                uint64_t u = 0;
                r = unsigned_of(kv, i, UINT32_MAX, &u, reterr);
                if (r < 0)
                        return r;
                v[i] = (uint32_t) u;
        }
        *ret = TAKE_PTR(v);
        *ret_n = kv->n;
        return 0;
}

int gguf_f32s(const Gguf *g, const char *key, float **ret, size_t *ret_n, EngineError *reterr) {
        const GgufKv *kv = NULL;
        int r = find_of_type(g, key, GGUF_ARRAY, &kv, reterr);
        if (r < 0)
                return r;
        _cleanup_free_ float *v = calloc(kv->n + 1, sizeof *v);
        if (!v)
                return fail(kv, -ENOMEM, reterr, "out of memory for %zu numbers", kv->n);
        for (size_t i = 0; i < kv->n; i++) {
                r = float_of(kv, i, &v[i], reterr);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(v);
        *ret_n = kv->n;
        return 0;
}

/* Short text of values, cut where the caller's buffer ends. */
typedef struct Text {
        char *p;
        size_t left;                    /* with the terminating NUL */
} Text;

static void put(Text *t, const char *format, ...) _printf_(2, 3);

static void put(Text *t, const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        int n = vsnprintf(t->p, t->left, format, ap);
        va_end(ap);
        size_t step = n < 0 ? 0 : MIN((size_t) n, t->left - 1);
        t->p += step;
        t->left -= step;
}

/* In quotes, what is not printable ASCII as an escape, at most `max` bytes of it. */
static void put_string(Text *t, GgufString s, size_t max) {
        put(t, "\"");
        for (size_t i = 0; i < MIN(s.size, max) && t->left > 1; i++) {
                unsigned char c = (unsigned char) s.data[i];
                if (c == '\n')
                        put(t, "\\n");
                else if (c == '"' || c == '\\')
                        put(t, "\\%c", c);
                else if (c < 0x20 || c > 0x7e)
                        put(t, "\\x%02x", c);
                else
                        put(t, "%c", c);
        }
        put(t, s.size > max ? "...\"" : "\"");
}

static void put_number(Text *t, GgufValueType type, const uint8_t *p) {
        uint64_t u;
        int r = gguf_unsigned_at(type, p, &u);
        if (r == 0)
                put(t, "%llu", (unsigned long long) u);
        else if (type == GGUF_I8)
                put(t, "%d", (int8_t) *p);
        else if (type == GGUF_I16)
                put(t, "%d", LOAD(int16_t, p));
        else if (type == GGUF_I32)
                put(t, "%d", LOAD(int32_t, p));
        else if (type == GGUF_I64)
                put(t, "%lld", (long long) LOAD(int64_t, p));
        else if (type == GGUF_F32)
                put(t, "%g", (double) LOAD(float, p));
        else if (type == GGUF_F64)
                put(t, "%g", LOAD(double, p));
        else if (type == GGUF_BOOL)
                put(t, "%s", *p ? "true" : "false");
}

size_t gguf_n_kv(const Gguf *g) {
        return gguf_header(g)->n_kv;
}

const char *gguf_kv_at(const Gguf *g, size_t i, char *value, size_t value_size) {
        const GgufKv *kv = &gguf_header(g)->kv[i];
        if (value_size == 0)
                return kv->key;
        Text t = { value, value_size };
        if (kv->type == GGUF_STRING)
                put_string(&t, (GgufString) { (const char *) kv->data, kv->size }, 200);
        else if (kv->type != GGUF_ARRAY)
                put_number(&t, kv->type, kv->data);
        else {
                const size_t shown = MIN(kv->n, (size_t) 6);
                const uint8_t *p = kv->data;
                put(&t, "%zu x %s [", kv->n, gguf_value_types[kv->element].name);
                for (size_t j = 0; j < shown; j++) {
                        if (j > 0)
                                put(&t, ", ");
                        if (kv->element == GGUF_STRING) {
                                GgufString s;
                                p = next_string(p, &s);
                                put_string(&t, s, 24);
                        } else {
                                put_number(&t, kv->element, p);
                                p += gguf_value_types[kv->element].size;
                        }
                }
                put(&t, kv->n > shown ? ", ...]" : "]");
        }
        return kv->key;
}
