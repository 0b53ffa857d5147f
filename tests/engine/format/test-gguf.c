/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a good file says comes back; every value meets every getter; a file cut or changed at any byte does no harm;
 * parts come together in any order and only if they belong together. */

#include <math.h>

#include "engine/format/gguf-writer.h"
#include "engine/format/gguf.h"
#include "tests/engine/format/blob.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/test.h"

static Gguf *open_blob(const Blob *b) {
        EngineError e = { 0 };
        Gguf *g = NULL;
        int r = gguf_new(&(GgufPart) { b->data, b->size }, 1, &g, &e);
        if (r < 0)
                printf("# %s\n", e.text);
        CHECK_INT(r, 0);
        return g;
}

static void writer_and_reader_agree(void) {
        static const float weights[] = { 1, -2, 3.5f, 0, 5, 6, 7, 8, 9, 10 };
        uint8_t blocks[2 * 34];
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        _cleanup_(gguf_freep) Gguf *g = NULL;
        _cleanup_free_ void *data = NULL;
        _cleanup_free_ GgufString *strings = NULL;
        _cleanup_free_ uint32_t *u32s = NULL;
        _cleanup_free_ float *f32s = NULL;
        EngineError e = { 0 };
        GgufString s;
        uint64_t u64;
        uint32_t u32;
        size_t size, n;
        float f;
        bool b;

        memset(blocks, 0x55, sizeof blocks);
        CHECK_INT(gguf_writer_new(&w), 0);
        CHECK_INT(gguf_writer_u16(w, "a.u16", 65535), 0);
        CHECK_INT(gguf_writer_u32(w, "a.u32", UINT32_MAX), 0);
        CHECK_INT(gguf_writer_i32(w, "a.i32", -7), 0);
        CHECK_INT(gguf_writer_u64(w, "a.u64", UINT64_MAX), 0);
        CHECK_INT(gguf_writer_f32(w, "a.f32", 0.25f), 0);
        CHECK_INT(gguf_writer_bool(w, "a.bool", true), 0);
        CHECK_INT(gguf_writer_string(w, "a.string", "x\0y", 3), 0);
        CHECK_INT(gguf_writer_string(w, "a.empty", "", 0), 0);
        CHECK_INT(gguf_writer_u32s(w, "a.u32s", (uint32_t[]) { 1, 2, 3 }, 3), 0);
        CHECK_INT(gguf_writer_i32s(w, "a.i32s", (int32_t[]) { 4, 5 }, 2), 0);
        CHECK_INT(gguf_writer_f32s(w, "a.f32s", (float[]) { 0.5f, -1 }, 2), 0);
        CHECK_INT(gguf_writer_strings(w, "a.strings", (GgufString[]) { { "one", 3 }, { "", 0 }, { "three", 5 } }, 3), 0);
        CHECK_INT(gguf_writer_u32s(w, "a.none", NULL, 0), 0);
        CHECK_INT(gguf_writer_tensor(w, "w", tensor_type(TENSOR_F32), 2, (uint64_t[]) { 5, 2 }, weights), 0);
        CHECK_INT(gguf_writer_tensor(w, "q", tensor_type(TENSOR_Q8_0), 3, (uint64_t[]) { 32, 1, 2 }, blocks), 0);
        CHECK_INT(gguf_writer_to_memory(w, &data, &size), 0);
        CHECK_INT(size % 32, 0);

        CHECK_INT(gguf_new(&(GgufPart) { data, size }, 1, &g, &e), 0);
        CHECK_INT(gguf_n_kv(g), 13);
        CHECK_INT(gguf_u32(g, "a.u16", &u32, &e), 0);
        CHECK_INT(u32, 65535);
        CHECK_INT(gguf_u32(g, "a.u32", &u32, &e), 0);
        CHECK(u32 == UINT32_MAX);
        CHECK_INT(gguf_u64(g, "a.u64", &u64, &e), 0);
        CHECK(u64 == UINT64_MAX);
        CHECK_INT(gguf_f32(g, "a.f32", &f, &e), 0);
        CHECK(f == 0.25f);
        CHECK_INT(gguf_bool(g, "a.bool", &b, &e), 0);
        CHECK(b);
        CHECK_INT(gguf_string(g, "a.string", &s, &e), 0);
        CHECK(s.size == 3 && memcmp(s.data, "x\0y", 3) == 0);
        CHECK_INT(gguf_string(g, "a.empty", &s, &e), 0);
        CHECK_INT(s.size, 0);
        CHECK_INT(gguf_u32s(g, "a.u32s", &u32s, &n, &e), 0);
        CHECK(n == 3 && u32s[0] == 1 && u32s[1] == 2 && u32s[2] == 3);
        free(TAKE_PTR(u32s));
        CHECK_INT(gguf_u32s(g, "a.i32s", &u32s, &n, &e), 0);
        CHECK(n == 2 && u32s[0] == 4 && u32s[1] == 5);
        free(TAKE_PTR(u32s));
        CHECK_INT(gguf_u32s(g, "a.none", &u32s, &n, &e), 0);
        CHECK_INT(n, 0);
        CHECK_INT(gguf_f32s(g, "a.f32s", &f32s, &n, &e), 0);
        CHECK(n == 2 && f32s[0] == 0.5f && f32s[1] == -1);
        CHECK_INT(gguf_strings(g, "a.strings", &strings, &n, &e), 0);
        CHECK(n == 3 && strings[0].size == 3 && strings[1].size == 0 && memcmp(strings[2].data, "three", 5) == 0);

        CHECK_INT(gguf_n_tensors(g), 2);
        const GgufTensor *t = gguf_tensor(g, "w");
        CHECK(t && t == gguf_tensor_at(g, 0));
        CHECK_STR(t->name, "w");
        CHECK(t->n_dims == 2 && t->ne[0] == 5 && t->ne[1] == 2 && t->ne[2] == 1 && t->ne[3] == 1);
        CHECK_INT(t->size, sizeof weights);
        CHECK(memcmp(t->data, weights, sizeof weights) == 0);
        t = gguf_tensor(g, "q");
        CHECK(t && t == gguf_tensor_at(g, 1) && t->type->id == TENSOR_Q8_0 && t->size == sizeof blocks);
        CHECK((uintptr_t) t->data % 32 == 0);
        CHECK(memcmp(t->data, blocks, sizeof blocks) == 0);
        CHECK(!gguf_tensor(g, "") && !gguf_tensor(g, "W") && !gguf_tensor(g, "ww"));
}

static void writer_refuses_what_the_reader_would(void) {
        static const uint8_t blocks[64];
        const struct {
                const char *name;
                TensorTypeId type;
                unsigned n_dims;
                uint64_t ne[4];
                int error;
        } tensors[] = {
                { "", TENSOR_F32, 1, { 1 }, -EINVAL },
                { "a\n", TENSOR_F32, 1, { 1 }, -EINVAL },
                { "0123456789012345678901234567890123456789012345678901234567890123", TENSOR_F32, 1, { 1 }, -EINVAL },
                { "t", TENSOR_F32, 0, { 1 }, -EINVAL },
                { "t", TENSOR_F32, 5, { 1 }, -EINVAL },
                { "t", TENSOR_F32, 2, { 1, 0 }, -EINVAL },
                { "t", TENSOR_Q4_0, 1, { 33 }, -EINVAL },
                { "t", TENSOR_F32, 2, { 1ull << 62, 4 }, -E2BIG },
        };
        for (size_t i = 0; i < ELEMENTSOF(tensors); i++) {
                _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
                void *data = NULL;
                size_t size;
                CHECK_INT(gguf_writer_new(&w), 0);
                CHECK_INT(gguf_writer_tensor(w, tensors[i].name, tensor_type(tensors[i].type), tensors[i].n_dims, tensors[i].ne, blocks),
                          tensors[i].error);
                CHECK_INT(gguf_writer_u32(w, "k", 1), tensors[i].error); /* it sticks */
                CHECK_INT(gguf_writer_to_memory(w, &data, &size), tensors[i].error);
                CHECK(!data);
        }
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        CHECK_INT(gguf_writer_new(&w), 0);
        CHECK_INT(gguf_writer_u32(w, "", 1), -EINVAL);
}

static int fail_on_second(void *userdata, const void *data, size_t size) {
        return ++*(int *) userdata == 2 ? -ENOSPC : 0;
}

static void writer_ends_where_writing_fails(void) {
        static const float x[8];
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        int calls = 0;
        CHECK_INT(gguf_writer_new(&w), 0);
        CHECK_INT(gguf_writer_tensor(w, "a", tensor_type(TENSOR_F32), 1, (uint64_t[]) { 8 }, x), 0);
        CHECK_INT(gguf_writer_tensor(w, "b", tensor_type(TENSOR_F32), 1, (uint64_t[]) { 8 }, x), 0);
        CHECK_INT(gguf_writer_write(w, fail_on_second, &calls), -ENOSPC);
        CHECK_INT(calls, 2);
}

/* One entry 'k' of a type, the value's bytes, and what each getter makes of it: 0, or the errno. */
static void every_value_meets_every_getter(void) {
        static const struct {
                uint32_t type;
                const char *bytes;
                size_t n;
                int u32, u64, f32, boolean, string;
                const char *shown;
        } values[] = {
                { U8, "\xff", 1, 0, 0, -EBADMSG, -EBADMSG, -EBADMSG, "255" },
                { I8, "\x7f", 1, 0, 0, -EBADMSG, -EBADMSG, -EBADMSG, "127" },
                { I8, "\xff", 1, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "-1" },
                { U16, "\xff\xff", 2, 0, 0, -EBADMSG, -EBADMSG, -EBADMSG, "65535" },
                { I16, "\xff\xff", 2, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "-1" },
                { U32, "\xff\xff\xff\xff", 4, 0, 0, -EBADMSG, -EBADMSG, -EBADMSG, "4294967295" },
                { I32, "\0\0\0\x80", 4, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "-2147483648" },
                { I32, "\1\0\0\0", 4, 0, 0, -EBADMSG, -EBADMSG, -EBADMSG, "1" },
                { U64, "\0\0\0\0\1\0\0\0", 8, -EBADMSG, 0, -EBADMSG, -EBADMSG, -EBADMSG, "4294967296" },
                { I64, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "-1" },
                { I64, "\2\0\0\0\0\0\0\0", 8, 0, 0, -EBADMSG, -EBADMSG, -EBADMSG, "2" },
                { F32, "\0\0\x80\x3f", 4, -EBADMSG, -EBADMSG, 0, -EBADMSG, -EBADMSG, "1" },
                { F32, "\0\0\xc0\x7f", 4, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "nan" },
                { F32, "\0\0\x80\x7f", 4, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "inf" },
                { F64, "\0\0\0\0\0\0\xf0\x3f", 8, -EBADMSG, -EBADMSG, 0, -EBADMSG, -EBADMSG, "1" },
                { F64, "\0\0\0\0\0\0\xf0\x7f", 8, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "inf" },
                { F64, "\0\0\0\0\0\0\xf8\x7f", 8, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "nan" },
                { F64, "\0\0\0\0\0\0\xf0\x7e", 8, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "2.74306e+303" },
                { BOOL, "\0", 1, -EBADMSG, -EBADMSG, -EBADMSG, 0, -EBADMSG, "false" },
                { BOOL, "\1", 1, -EBADMSG, -EBADMSG, -EBADMSG, 0, -EBADMSG, "true" },
                { STRING, "\3\0\0\0\0\0\0\0a\n\x1b", 11, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, 0, "\"a\\n\\x1b\"" },
                { ARRAY, "\0\0\0\0\2\0\0\0\0\0\0\0\7\x08", 14, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, "2 x u8 [7, 8]" },
        };
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                Blob blob = { 0 };
                EngineError e = { 0 };
                char shown[64];
                GgufString s;
                uint32_t u32;
                uint64_t u64;
                float f;
                bool b;
                blob_header(&blob, 3, 0, 1);
                blob_key(&blob, "k", values[i].type);
                blob_put(&blob, values[i].bytes, values[i].n);
                Gguf *g = open_blob(&blob);
                int got[] = { gguf_u32(g, "k", &u32, &e), gguf_u64(g, "k", &u64, &e), gguf_f32(g, "k", &f, &e),
                              gguf_bool(g, "k", &b, &e), gguf_string(g, "k", &s, &e) };
                const int expected[] = { values[i].u32, values[i].u64, values[i].f32, values[i].boolean, values[i].string };
                for (size_t j = 0; j < ELEMENTSOF(got); j++) {
                        if (got[j] != expected[j])
                                printf("# value %zu, getter %zu: %s\n", i, j, e.text);
                        CHECK_INT(got[j], expected[j]);
                }
                CHECK_STR(gguf_kv_at(g, 0, shown, sizeof shown), "k");
                CHECK_STR(shown, values[i].shown);
                gguf_free(g);
                blob_done(&blob);
        }
}

static void errors_name_key_types_and_byte(void) {
        Blob blob = { 0 };
        EngineError e = { 0 };
        GgufString s = { "untouched", 9 }, *strings = NULL;
        uint32_t u32 = 77, *u32s = NULL;
        float *f32s = NULL;
        size_t n = 78;

        blob_header(&blob, 3, 0, 4);
        blob_kv_u32(&blob, "n", 1);
        blob_kv_array(&blob, "list", I32, 3);
        blob_u32(&blob, 1);
        blob_u32(&blob, 2);
        blob_u32(&blob, (uint32_t) -3);
        blob_kv_array(&blob, "floats", F32, 2);
        blob_f32(&blob, 1);
        blob_f32(&blob, NAN);
        blob_kv_array(&blob, "big", U64, 1);
        blob_u64(&blob, 1ull << 32);
        _cleanup_(gguf_freep) Gguf *g = open_blob(&blob);

        CHECK_INT(gguf_u32(g, "absent", &u32, &e), -ENOENT);
        CHECK_STR(e.text, "metadata 'absent': missing");
        CHECK_INT(gguf_string(g, "n", &s, &e), -EBADMSG);
        CHECK_STR(e.text, "metadata 'n': is of type u32, string expected (byte 37)");
        CHECK_INT(gguf_u32(g, "list", &u32, &e), -EBADMSG);
        CHECK_STR(e.text, "metadata 'list': is an array, one value expected (byte 69)");
        CHECK_INT(gguf_strings(g, "list", &strings, &n, &e), -EBADMSG);
        CHECK_STR(e.text, "metadata 'list': is an array of i32, strings expected (byte 69)");
        CHECK_INT(gguf_u32s(g, "list", &u32s, &n, &e), -EBADMSG);
        CHECK_STR(e.text, "metadata 'list': value 2 is negative (byte 69)");
        CHECK_INT(gguf_f32s(g, "list", &f32s, &n, &e), -EBADMSG);
        CHECK_STR(e.text, "metadata 'list': is of i32, a float expected (byte 69)");
        CHECK_INT(gguf_f32s(g, "floats", &f32s, &n, &e), -EBADMSG);
        CHECK_STR(e.text, "metadata 'floats': value 1 is not finite (byte 111)");
        CHECK_INT(gguf_u32s(g, "floats", &u32s, &n, &e), -EBADMSG);
        CHECK_INT(gguf_u32s(g, "big", &u32s, &n, &e), -EBADMSG);
        CHECK_STR(e.text, "metadata 'big': value 0 is 4294967296, at most 4294967295 fits (byte 146)");
        CHECK_INT(gguf_u32s(g, "n", &u32s, &n, NULL), -EBADMSG);
        CHECK(u32 == 77 && n == 78 && s.size == 9 && !strings && !u32s && !f32s); /* outputs on success only */
        blob_done(&blob);
}

static void shown_values_fit_any_buffer(void) {
        _cleanup_free_ void *data = NULL;
        _cleanup_(gguf_freep) Gguf *g = NULL;
        size_t size;
        CHECK_INT(tiny_model(NULL, &data, &size), 0);
        CHECK_INT(gguf_new(&(GgufPart) { data, size }, 1, &g, NULL), 0);
        for (size_t i = 0; i < gguf_n_kv(g); i++) {
                char whole[1024];
                const char *key = gguf_kv_at(g, i, whole, sizeof whole);
                CHECK(key && whole[0]);
                for (const char *p = whole; *p; p++)
                        CHECK(*p >= 0x20 && *p <= 0x7e);
                for (size_t n = 0; n <= strlen(whole) + 1; n++) {
                        _cleanup_free_ char *piece = malloc(n + 1);
                        CHECK(gguf_kv_at(g, i, piece, n) == key);
                        CHECK(n == 0 || (strlen(piece) < n && strncmp(piece, whole, strlen(piece)) == 0));
                }
        }
}

/* A file with one of everything, about 300 bytes. */
static void small_file(Blob *b) {
        blob_header(b, 3, 2, 5);
        blob_kv_u32(b, "general.alignment", 64);
        blob_key(b, "s", STRING);
        blob_string(b, "text");
        blob_kv_array(b, "a", STRING, 2);
        blob_string(b, "x");
        blob_string(b, "");
        blob_kv_array(b, "b", BOOL, 2);
        blob_u8(b, 1);
        blob_u8(b, 0);
        blob_key(b, "f", F64);
        blob_u64(b, 0);
        blob_tensor(b, "one", 2, (uint64_t[]) { 4, 2 }, TENSOR_F32, 0);
        blob_tensor(b, "two", 1, (uint64_t[]) { 32 }, TENSOR_Q4_0, 64);
        blob_zeros(b, -b->size % 64);
        blob_zeros(b, 64 + 18);
}

static void use_everything(const Gguf *g, const GgufPart *part) {
        char text[80];
        for (size_t i = 0; i < gguf_n_kv(g); i++) {
                const char *key = gguf_kv_at(g, i, text, sizeof text);
                _cleanup_free_ GgufString *strings = NULL;
                _cleanup_free_ uint32_t *u32s = NULL;
                _cleanup_free_ float *f32s = NULL;
                GgufString s;
                uint64_t u64;
                size_t n;
                float f;
                gguf_u64(g, key, &u64, NULL);
                gguf_f32(g, key, &f, NULL);
                gguf_string(g, key, &s, NULL);
                gguf_strings(g, key, &strings, &n, NULL);
                gguf_u32s(g, key, &u32s, &n, NULL);
                gguf_f32s(g, key, &f32s, &n, NULL);
        }
        for (size_t i = 0; i < gguf_n_tensors(g); i++) {
                const GgufTensor *t = gguf_tensor_at(g, i);
                const uint8_t *start = part->data, *data = t->data;
                CHECK(gguf_tensor(g, t->name) == t);
                CHECK((uintptr_t) data % 32 == 0);
                CHECK(data >= start && t->size <= part->size && data + t->size <= start + part->size);
                CHECK(t->ne[0] && t->ne[1] && t->ne[2] && t->ne[3]);
                CHECK_INT(t->ne[0] / t->type->block_size * t->type->block_bytes * t->ne[1] * t->ne[2] * t->ne[3], t->size);
        }
}

static void cut_at_every_byte_is_refused(void) {
        Blob whole = { 0 };
        small_file(&whole);
        for (size_t n = 0; n < whole.size; n++) {
                Blob cut = { 0 };
                EngineError e = { 0 };
                Gguf *g = NULL;
                blob_put(&cut, whole.data, n);
                CHECK_INT(gguf_new(&(GgufPart) { cut.data, cut.size }, 1, &g, &e), -EBADMSG);
                CHECK(!g && strstr(e.text, "byte "));
                blob_done(&cut);
        }
        Gguf *g = open_blob(&whole);
        use_everything(g, &(GgufPart) { whole.data, whole.size });
        gguf_free(g);
        blob_done(&whole);
}

static void tiny_model_cut_at_every_byte_is_refused(void) {
        _cleanup_free_ void *data = NULL;
        size_t size, header = 0;
        CHECK_INT(tiny_model(&(TinyModel) { .n_layers = 1, .n_embd = 32, .n_heads = 1, .n_heads_kv = 1, .n_ff = 32 }, &data, &size), 0);
        Gguf *g = NULL;
        CHECK_INT(gguf_new(&(GgufPart) { data, size }, 1, &g, NULL), 0);
        header = (size_t) ((const char *) gguf_tensor_at(g, 0)->data - (const char *) data);
        g = gguf_free(g);
        for (size_t n = 0; n < size; n += n < header ? 1 : 499) {
                int r = gguf_new(&(GgufPart) { data, n }, 1, &g, NULL);
                CHECK(r == -EBADMSG && !g);
        }
}

static void any_byte_changed_does_no_harm(void) {
        static const uint8_t masks[] = { 0xff, 0x80, 0x01, 0x10, 0x7f };
        Blob b = { 0 };
        size_t accepted = 0;
        small_file(&b);
        for (size_t i = 0; i < b.size; i++)
                for (size_t j = 0; j < ELEMENTSOF(masks); j++) {
                        GgufPart part = { b.data, b.size };
                        EngineError e = { 0 };
                        Gguf *g = NULL;
                        b.data[i] ^= masks[j];
                        int r = gguf_new(&part, 1, &g, &e);
                        CHECK(r == 0 || r == -EBADMSG || r == -ENOTSUP);
                        CHECK((r == 0) == (g != NULL) && (r == 0) == (e.text[0] == 0));
                        if (g) {
                                use_everything(g, &part);
                                accepted++;
                        }
                        gguf_free(g);
                        b.data[i] ^= masks[j];
                }
        CHECK(accepted > 0 && accepted < b.size * ELEMENTSOF(masks));
        blob_done(&b);
}

/* As many names as are allowed, which differ at their ends. A search by scanning would compare 2^31 pairs. */
static void as_many_entries_as_allowed(void) {
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        _cleanup_(gguf_freep) Gguf *g = NULL;
        _cleanup_free_ void *data = NULL;
        static const float x[8];
        EngineError e;
        uint32_t v;
        size_t size;
        char name[64];
        CHECK_INT(gguf_writer_new(&w), 0);
        for (uint32_t i = 0; i < GGUF_KV_MAX; i++) {
                snprintf(name, sizeof name, "a.rather.long.prefix.shared.by.all.of.them.%u", i);
                CHECK_INT(gguf_writer_u32(w, name, i), 0);
        }
        CHECK_INT(gguf_writer_u32(w, "one.more", 0), -E2BIG);
        w = gguf_writer_free(w);

        CHECK_INT(gguf_writer_new(&w), 0);
        for (uint32_t i = 0; i < GGUF_KV_MAX; i++) {
                snprintf(name, sizeof name, "a.rather.long.prefix.shared.by.all.of.them.%u", i);
                gguf_writer_u32(w, name, i);
                CHECK_INT(gguf_writer_tensor(w, name, tensor_type(TENSOR_F32), 1, (uint64_t[]) { 8 }, x), 0);
        }
        CHECK_INT(gguf_writer_to_memory(w, &data, &size), 0);
        CHECK_INT(gguf_new(&(GgufPart) { data, size }, 1, &g, &e), 0);
        for (uint32_t i = 0; i < GGUF_KV_MAX; i++) {
                snprintf(name, sizeof name, "a.rather.long.prefix.shared.by.all.of.them.%u", i);
                CHECK_INT(gguf_u32(g, name, &v, &e), 0);
                CHECK_INT(v, i);
                CHECK(gguf_tensor(g, name) == gguf_tensor_at(g, i));
        }
}

static void mapping_must_be_aligned(void) {
        Blob b = { 0 };
        EngineError e = { 0 };
        Gguf *g = NULL;
        blob_zeros(&b, 8);
        small_file(&b);
        CHECK_INT(gguf_new(&(GgufPart) { b.data + 8, b.size - 8 }, 1, &g, &e), -EINVAL);
        CHECK_INT(gguf_new(NULL, 0, &g, &e), -EINVAL);
        CHECK_INT(gguf_new(NULL, GGUF_PARTS_MAX + 1, &g, &e), -EINVAL);
        CHECK(!g && !gguf_free(NULL));
        blob_done(&b);
}

/* Part `no` of `count`, with one tensor of that many elements; only part 0 has the model's metadata. */
static void *split_part(uint16_t no, uint16_t count, int32_t total, const char *tensor, size_t *ret_size) {
        static const float x[64] = { 1, 2, 3 };
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        void *data;
        CHECK_INT(gguf_writer_new(&w), 0);
        if (no == 0)
                gguf_writer_string(w, "general.architecture", "llama", 5);
        gguf_writer_u16(w, "split.no", no);
        gguf_writer_u16(w, "split.count", count);
        gguf_writer_i32(w, "split.tensors.count", total);
        gguf_writer_tensor(w, tensor, tensor_type(TENSOR_F32), 1, (uint64_t[]) { no + 1u }, x);
        CHECK_INT(gguf_writer_to_memory(w, &data, ret_size), 0);
        return data;
}

static void parts_come_together_in_any_order(void) {
        static const unsigned orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 2, 0 } };
        static const char *const names[] = { "a", "b", "c" };
        for (size_t i = 0; i < ELEMENTSOF(orders); i++) {
                GgufPart parts[3];
                void *data[3];
                Gguf *g = NULL;
                GgufString s;
                for (size_t j = 0; j < 3; j++) {
                        unsigned no = orders[i][j];
                        parts[j].data = data[j] = split_part((uint16_t) no, 3, 3, names[no], &parts[j].size);
                }
                CHECK_INT(gguf_new(parts, 3, &g, NULL), 0);
                CHECK_INT(gguf_n_tensors(g), 3);
                for (size_t j = 0; j < 3; j++) {
                        CHECK_STR(gguf_tensor_at(g, j)->name, names[j]);
                        CHECK_INT(gguf_tensor(g, names[j])->ne[0], j + 1);
                }
                CHECK_INT(gguf_string(g, "general.architecture", &s, NULL), 0);
                gguf_free(g);
                for (size_t j = 0; j < 3; j++)
                        free(data[j]);
        }
}

static void parts_that_do_not_belong_together_are_refused(void) {
        static const struct {
                const char *text;
                struct {
                        uint16_t no, count;
                        int32_t total;
                        const char *tensor;
                } part[2];
        } cases[] = {
                { "part 0 is given twice (part 2, byte ", { { 0, 2, 2, "a" }, { 0, 2, 2, "b" } } },
                { "metadata 'split.count': 3 parts, 2 given (part 1, byte ", { { 0, 3, 3, "a" }, { 1, 3, 3, "b" } } },
                { "metadata 'split.no': part 2 of 2 (part 2, byte ", { { 0, 2, 2, "a" }, { 2, 2, 2, "b" } } },
                { "metadata 'split.tensors.count': 3 tensors, the parts hold 2", { { 0, 2, 3, "a" }, { 1, 2, 3, "b" } } },
                { "metadata 'split.tensors.count': no unsigned number", { { 0, 2, -1, "a" }, { 1, 2, -1, "b" } } },
                { "tensor 'a': stands there twice", { { 0, 2, 2, "a" }, { 1, 2, 2, "a" } } },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                EngineError e = { 0 };
                GgufPart parts[2];
                void *data[2];
                Gguf *g = NULL;
                for (size_t j = 0; j < 2; j++)
                        parts[j].data = data[j] = split_part(cases[i].part[j].no, cases[i].part[j].count, cases[i].part[j].total,
                                                             cases[i].part[j].tensor, &parts[j].size);
                int r = gguf_new(parts, 2, &g, &e);
                if (!strstr(e.text, cases[i].text))
                        printf("# %s\n", e.text);
                CHECK_INT(r, -EBADMSG);
                CHECK(!g && strstr(e.text, cases[i].text));
                for (size_t j = 0; j < 2; j++)
                        free(data[j]);
        }

        /* two files of which none says that it is a part */
        void *data;
        size_t size;
        Gguf *g = NULL;
        EngineError e = { 0 };
        CHECK_INT(tiny_model(NULL, &data, &size), 0);
        CHECK_INT(gguf_new((GgufPart[]) { { data, size }, { data, size } }, 2, &g, &e), -EBADMSG);
        CHECK_STR(e.text, "metadata 'split.count': missing (part 1, byte 0)");
        free(data);
}

TEST_MAIN(
        { "writer and reader agree", writer_and_reader_agree },
        { "writer refuses what the reader would", writer_refuses_what_the_reader_would },
        { "writer ends where writing fails", writer_ends_where_writing_fails },
        { "every value meets every getter", every_value_meets_every_getter },
        { "errors name key, types and byte", errors_name_key_types_and_byte },
        { "shown values fit any buffer", shown_values_fit_any_buffer },
        { "cut at every byte is refused", cut_at_every_byte_is_refused },
        { "tiny model cut at every byte is refused", tiny_model_cut_at_every_byte_is_refused },
        { "any byte changed does no harm", any_byte_changed_does_no_harm },
        { "as many entries as allowed", as_many_entries_as_allowed },
        { "mapping must be aligned", mapping_must_be_aligned },
        { "parts come together in any order", parts_come_together_in_any_order },
        { "parts that do not belong together are refused", parts_that_do_not_belong_together_are_refused },
)
