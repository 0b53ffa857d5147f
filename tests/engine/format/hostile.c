/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table. Sources: the advisories and pull requests on GGUF readers from 2024 on (integer overflow of counts,
 * lengths, sizes and paddings; types used as an index; nested arrays; empty names; zero dimensions). */

#include <errno.h>

#include "basic/cleanup.h"
#include "tests/engine/format/hostile.h"

#define Z3 "\0\0\0"
#define Z4 "\0\0\0\0"
#define Z7 "\0\0\0\0\0\0\0"
#define Z8 "\0\0\0\0\0\0\0\0"
#define FF8 "\xff\xff\xff\xff\xff\xff\xff\xff"
#define K N8("\x01") "k"                                /* a key of one byte */
#define N4(x) x Z3
#define N8(x) x Z7
#define ALIGNMENT N8("\x11") "general.alignment"
#define BYTES(x) .bytes = x, .n_bytes = sizeof x - 1

/* The fixed part alone: magic in bytes, version a, tensors b, metadata entries c; then zeros. */
static void fixed(const Hostile *h, Blob *b) {
        blob_put(b, h->bytes ?: "GGUF", 4);
        blob_u32(b, (uint32_t) h->a);
        blob_u64(b, h->b);
        blob_u64(b, h->c);
        blob_zeros(b, 256);
}

/* a bytes of a good fixed part. */
static void cut(const Hostile *h, Blob *b) {
        Blob whole = { 0 };
        blob_header(&whole, 3, 0, 0);
        blob_put(b, whole.data, h->a);
        blob_done(&whole);
}

/* One metadata entry (or b of them) of these bytes, then a zeros. */
static void kv(const Hostile *h, Blob *b) {
        blob_header(b, 3, 0, h->b ?: 1);
        blob_put(b, h->bytes, h->n_bytes);
        blob_zeros(b, h->a);
}

/* A key of a bytes. */
static void long_key(const Hostile *h, Blob *b) {
        blob_header(b, 3, 0, 1);
        blob_u64(b, h->a);
        char *key = malloc(h->a);
        memset(key, 'k', h->a);
        blob_put(b, key, h->a);
        free(key);
        blob_u32(b, U8);
        blob_u8(b, 1);
}

/* An alignment (the value type and the value are in bytes) and one tensor of F32 at an offset of a in b bytes. */
static void aligned(const Hostile *h, Blob *b) {
        blob_header(b, 3, 1, 1);
        blob_string(b, "general.alignment");
        blob_put(b, h->bytes, h->n_bytes);
        blob_tensor(b, "t", 1, (uint64_t[]) { 8 }, TENSOR_F32, h->a);
        blob_zeros(b, h->b);
}

/* The tensors, then b bytes of data; a: without them, and without the padding before. */
static void tensors(const Hostile *h, Blob *b) {
        size_t n = h->tensors[1].name ? 2 : 1;
        blob_header(b, 3, n, 0);
        for (size_t i = 0; i < n; i++) {
                const HostileTensor *t = &h->tensors[i];
                blob_u64(b, t->name_size ?: strlen(t->name));
                blob_put(b, t->name, t->name_size && t->name_size < 128 ? t->name_size : strlen(t->name));
                blob_u32(b, t->n_dims);
                blob_put(b, t->ne, MIN(t->n_dims, 8u) * sizeof *t->ne);
                blob_u32(b, t->type);
                blob_u64(b, t->offset);
        }
        if (!h->a)
                blob_data(b, h->b);
}

#define FIXED(v, t, k) .make = fixed, .a = (v), .b = (uint64_t) (t), .c = (uint64_t) (k)
#define KV(x) .make = kv, .a = 64, BYTES(x)
#define KV_EXACT(x) .make = kv, BYTES(x)
#define TENSOR(...) .make = tensors, .b = 256, .tensors = { __VA_ARGS__ }
#define SHAPE(dims, ...) { "t", 0, dims, { __VA_ARGS__ }, TENSOR_F32, 0 }
#define TYPE(t, ...) { "t", 0, 1, { __VA_ARGS__ }, t, 0 }
#define PLACED(name, offset) { name, 0, 1, { 32 }, TENSOR_F32, offset } /* 128 bytes */
#define NAME63 "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddd"
#define BAD (-EBADMSG)
#define OTHER (-ENOTSUP)

const Hostile hostile_files[] = {
        /* the fixed part */
        { "empty", BAD, "(byte 0)", .make = cut, .a = 0 },
        { "three bytes", BAD, "magic needs 4 bytes, 3 are left (byte 0)", .make = cut, .a = 3 },
        { "magic alone", BAD, "(byte 4)", .make = cut, .a = 4 },
        { "no counts", BAD, "(byte 8)", .make = cut, .a = 15 },
        { "one byte short of the fixed part", BAD, "(byte 16)", .make = cut, .a = 23 },
        { "nothing in it", 0, "", .make = cut, .a = 24 },
        { "bad magic", BAD, "not a GGUF file (byte 0)", BYTES("GGUE"), FIXED(3, 0, 0) },
        { "older magic", BAD, "not a GGUF file", BYTES("ggjt"), FIXED(3, 0, 0) },
        { "version 0", OTHER, "version 0; 2 and 3 are read (byte 4)", FIXED(0, 0, 0) },
        { "version 1", OTHER, "version 1", FIXED(1, 0, 0) },
        { "version 2", 0, "", FIXED(2, 0, 0) },
        { "version 4", OTHER, "version 4", FIXED(4, 0, 0) },
        { "version -1", OTHER, "version 4294967295", FIXED(UINT32_MAX, 0, 0) },
        { "version 3 byte-swapped", OTHER, "big-endian", FIXED(0x03000000, 0, 0) },
        { "n_tensors -1", BAD, "claims 18446744073709551615 tensors, at most 65536 are read (byte 8)", FIXED(3, -1, 0) },
        { "n_tensors 2^63", BAD, "tensors, at most", FIXED(3, 1ull << 63, 0) },
        { "n_tensors where times 72 wraps", BAD, "tensors, at most", FIXED(3, SIZE_MAX / 72 + 1, 0) },
        { "n_tensors where times 152 wraps", BAD, "tensors, at most", FIXED(3, SIZE_MAX / 152 + 1, 0) },
        { "n_tensors where times 152 just fits", BAD, "tensors, at most", FIXED(3, SIZE_MAX / 152 - 1, 0) },
        { "n_tensors above the cap", BAD, "claims 65537 tensors", FIXED(3, 65537, 0) },
        { "n_tensors at the cap, no bytes for them", BAD, "claims 65536 tensors, 256 bytes are left (byte 8)", FIXED(3, 65536, 0) },
        { "n_kv -1", BAD, "claims 18446744073709551615 metadata entries, at most 65536 are read (byte 16)", FIXED(3, 0, -1) },
        { "n_kv 2^63", BAD, "metadata entries, at most", FIXED(3, 0, 1ull << 63) },
        { "n_kv where times 56 wraps", BAD, "metadata entries, at most", FIXED(3, 0, SIZE_MAX / 56 + 1) },
        { "n_kv where times 64 just fits", BAD, "metadata entries, at most", FIXED(3, 0, SIZE_MAX / 64 - 1) },
        { "n_kv above the cap", BAD, "claims 65537 metadata entries", FIXED(3, 0, 65537) },
        { "n_kv at the cap, no bytes for them", BAD, "claims 65536 metadata entries, 256 bytes are left", FIXED(3, 0, 65536) },

        /* metadata: keys */
        { "key length 0", BAD, "key is empty (byte 24)", KV(Z8 N4("\0") "\1") },
        { "key length -1", BAD, "key claims 18446744073709551615 bytes", KV(FF8 "k" Z4) },
        { "key length 2^63", BAD, "key claims 9223372036854775808 bytes", KV(Z7 "\x80" "k" Z4) },
        { "key length is all that remains", BAD, "value type needs 4 bytes, 0 are left", KV_EXACT(N8("\x10") "kkkkkkkkkkkkkkkk") },
        { "key length is one more than remains", BAD, "key needs 17 bytes, 16 are left (byte 32)", KV_EXACT(N8("\x11") "kkkkkkkkkkkkkkkk") },
        { "key of 65535 bytes", 0, "", .make = long_key, .a = 65535 },
        { "key of 65536 bytes", BAD, "key claims 65536 bytes, at most 65535", .make = long_key, .a = 65536 },
        { "key with NUL", BAD, "key holds byte 0x00", KV(N8("\x03") "a\0b" N4("\0") "\1") },
        { "key with escape", BAD, "key holds byte 0x1b", KV(N8("\x03") "a\x1b[" N4("\0") "\1") },
        { "key that is no UTF-8", BAD, "key holds byte 0xff", KV(N8("\x01") "\xff" N4("\0") "\1") },
        { "key twice", BAD, "metadata 'k': stands there twice", .b = 2, KV(K N4("\0") "\1" K N4("\0") "\2") },
        { "alignment twice", BAD, "metadata 'general.alignment': stands there twice", .b = 2,
          KV(ALIGNMENT N4("\4") N4("\x20") ALIGNMENT N4("\4") N4("\x40")) },

        /* metadata: values */
        { "value type 13", BAD, "metadata 'k': value type 13 is none of the format's (byte 33)", KV(K N4("\x0d") Z8) },
        { "value type -1", BAD, "value type 4294967295", KV(K "\xff\xff\xff\xff" Z8) },
        { "value type 2^31", BAD, "value type 2147483648", KV(K Z3 "\x80" Z8) },
        { "value is missing", BAD, "value needs 8 bytes, 1 are left", KV_EXACT(K N4("\x0a") "\0") },
        { "bool 2", BAD, "bool is 2, not 0 or 1 (byte 37)", KV(K N4("\7") "\2") },
        { "bool 255", BAD, "bool is 255", KV(K N4("\7") "\xff") },
        { "string length -1", BAD, "string claims 18446744073709551615 bytes, at most", KV(K N4("\x08") FF8) },
        { "string length 2^30 + 1", BAD, "string claims 1073741825 bytes, at most", KV(K N4("\x08") "\1\0\0\x40" Z4) },
        { "string length above the cap", BAD, "string claims 16777217 bytes", KV(K N4("\x08") "\1\0\0\1" Z4) },
        { "string length at the cap, no bytes", BAD, "string needs 16777216 bytes, 64 are left", KV(K N4("\x08") "\0\0\0\1" Z4) },
        { "string length is one more than remains", BAD, "string needs 65 bytes, 64 are left", KV(K N4("\x08") N8("\x41")) },
        { "string length is all that remains", 0, "", KV(K N4("\x08") N8("\x40")) },
        { "string with NUL and bad UTF-8", 0, "", KV(K N4("\x08") N8("\x04") "a\0\xff\xfe") },

        /* metadata: arrays */
        { "array of arrays", OTHER, "an array of arrays is not read", KV(K N4("\x09") N4("\x09") N8("\1") N4("\0") N8("\1") "\1") },
        { "array nested nine deep", OTHER, "an array of arrays is not read",
          KV(K N4("\x09") N4("\x09") N8("\1") N4("\x09") N8("\1") N4("\x09") N8("\1") N4("\x09") N8("\1") N4("\x09") N8("\1")
             N4("\x09") N8("\1") N4("\x09") N8("\1") N4("\x09") N8("\1") N4("\0") N8("\1") "\1") },
        { "array of type 13", BAD, "element type 13", KV(K N4("\x09") N4("\x0d") N8("\1")) },
        { "array of type -1", BAD, "element type 4294967295", KV(K N4("\x09") "\xff\xff\xff\xff" N8("\1")) },
        { "array length -1", BAD, "array claims 18446744073709551615 elements, at most", KV(K N4("\x09") N4("\0") FF8) },
        { "array length where times 8 wraps", BAD, "array claims 2305843009213693953 elements", KV(K N4("\x09") N4("\x0a") "\1" "\0\0\0\0\0\0\x20") },
        { "array length where times 2 wraps", BAD, "array claims 9223372036854775808 elements", KV(K N4("\x09") N4("\2") Z7 "\x80") },
        { "array length above the cap", BAD, "array claims 8388609 elements", KV(K N4("\x09") N4("\0") "\1\0\x80\0" Z4) },
        { "array length at the cap, no bytes", BAD, "array needs 67108864 bytes, 64 are left", KV(K N4("\x09") N4("\x0a") "\0\0\x80\0" Z4) },
        { "array one longer than remains", BAD, "array needs 65 bytes, 64 are left", KV(K N4("\x09") N4("\0") N8("\x41")) },
        { "array that is all that remains", 0, "", KV(K N4("\x09") N4("\0") N8("\x40")) },
        { "array of strings at the cap, no bytes", BAD, "string needs 8 bytes", KV(K N4("\x09") N4("\x08") "\0\0\x80\0" Z4) },
        { "array of strings, one of length -1", BAD, "string claims 18446744073709551615", KV(K N4("\x09") N4("\x08") N8("\2") N8("\1") "a" FF8) },
        { "array of bools, one of them 3", BAD, "bool is 3, not 0 or 1 (byte 51)", KV(K N4("\x09") N4("\7") N8("\3") "\1\0\3") },
        { "array of nothing", 0, "", KV(K N4("\x09") N4("\x08") Z8) },

        /* alignment */
        { "alignment 0", BAD, "metadata 'general.alignment': 0 is no power of two", .make = aligned, BYTES(N4("\4") Z4), .b = 256 },
        { "alignment 13", BAD, "13 is no power of two", .make = aligned, BYTES(N4("\4") N4("\x0d")), .b = 256 },
        { "alignment 1", OTHER, "1; 32 to", .make = aligned, BYTES(N4("\4") N4("\1")), .b = 256 },
        { "alignment 8", OTHER, "8; 32 to", .make = aligned, BYTES(N4("\4") N4("\x08")), .b = 256 },
        { "alignment 2^31", OTHER, "2147483648; 32 to", .make = aligned, BYTES(N4("\4") Z3 "\x80"), .b = 256 },
        { "alignment 2^32 - 1", BAD, "4294967295 is no power of two", .make = aligned, BYTES(N4("\4") "\xff\xff\xff\xff"), .b = 256 },
        { "alignment is a string", BAD, "is of type string, u32 expected", .make = aligned, BYTES(N4("\x08") N8("\2") "32"), .b = 256 },
        { "alignment is a u64", BAD, "is of type u64, u32 expected", .make = aligned, BYTES(N4("\x0a") N8("\x20")), .b = 256 },
        { "alignment is an array", BAD, "is of type array, u32 expected", .make = aligned, BYTES(N4("\x09") N4("\4") N8("\1") N4("\x20")), .b = 256 },
        { "alignment 64", 0, "", .make = aligned, BYTES(N4("\4") N4("\x40")), .b = 256 },
        { "alignment 64, offset 32", BAD, "offset 32 is no multiple of the alignment, 64", .make = aligned, BYTES(N4("\4") N4("\x40")), .a = 32, .b = 256 },
        { "alignment puts the data behind the end", BAD, "tensor data: begins behind the end", .make = aligned, BYTES(N4("\4") "\0\0\x10\0"), .b = 256 },

        /* tensors: names */
        { "tensor name of 63 bytes", 0, "", TENSOR({ NAME63, 0, 1, { 8 }, TENSOR_F32, 0 }) },
        { "tensor name of 64 bytes", BAD, "tensor name claims 64 bytes, at most 63", TENSOR({ NAME63 "e", 0, 1, { 8 }, TENSOR_F32, 0 }) },
        { "tensor name length -1", BAD, "tensor name claims 18446744073709551615", TENSOR({ "t", UINT64_MAX, 1, { 8 }, TENSOR_F32, 0 }) },
        { "tensor name is empty", BAD, "tensor name is empty", TENSOR({ "", 0, 1, { 8 }, TENSOR_F32, 0 }) },
        { "tensor name with NUL", BAD, "tensor name holds byte 0x00", TENSOR({ "a\0b", 3, 1, { 8 }, TENSOR_F32, 0 }) },
        { "tensor name that is no UTF-8", BAD, "tensor name holds byte 0xc3", TENSOR({ "\xc3(", 0, 1, { 8 }, TENSOR_F32, 0 }) },
        { "tensor name twice", BAD, "tensor 't': stands there twice", TENSOR(PLACED("t", 0), PLACED("t", 128)) },

        /* tensors: shapes */
        { "0 dimensions", BAD, "0 dimensions, 1 to 4 expected", TENSOR(SHAPE(0, 0)) },
        { "4 dimensions", 0, "", TENSOR(SHAPE(4, 2, 2, 2, 2)) },
        { "5 dimensions", BAD, "5 dimensions", TENSOR(SHAPE(5, 1, 1, 1, 1, 1)) },
        { "2^32 - 1 dimensions", BAD, "4294967295 dimensions", TENSOR(SHAPE(UINT32_MAX, 1, 1, 1, 1, 1)) },
        { "dimension 0", BAD, "dimension 0 is 0", TENSOR(SHAPE(1, 0)) },
        { "dimension 0 behind others", BAD, "dimension 2 is 0", TENSOR(SHAPE(4, 8, 1, 0, 1)) },
        { "dimension -1", BAD, "dimension 0 is -1", TENSOR(SHAPE(1, UINT64_MAX)) },
        { "dimension -2^63", BAD, "dimension 1 is -9223372036854775808", TENSOR(SHAPE(2, 2, 1ull << 63)) },
        { "dimensions INT64_MAX, 2", BAD, "more than can be addressed", TENSOR(SHAPE(4, INT64_MAX, 2, 1, 1)) },
        { "dimensions 2^32, 2^32", BAD, "more than can be addressed", TENSOR(SHAPE(2, 1ull << 32, 1ull << 32)) },
        { "dimensions whose product wraps to 0", BAD, "more than can be addressed", TENSOR(SHAPE(4, 1ull << 32, 1ull << 31, 2, 1)) },
        { "dimensions whose product wraps to a small number", BAD, "more than can be addressed",
          TENSOR(SHAPE(4, (1ull << 42) + 1, 1ull << 22, 1, 1)) },
        { "elements fit, bytes wrap to 16", BAD, "more than can be addressed", TENSOR(SHAPE(1, (1ull << 62) + 4)) },
        { "dimension 2^42 + 1", BAD, "17592186044420 bytes at offset 0, the file has 256 bytes", TENSOR(SHAPE(1, (1ull << 42) + 1)) },
        { "size near SIZE_MAX before padding", BAD, "bytes at offset 0, the file has", TENSOR(SHAPE(1, 0x3fffffffffffffff)) },
        { "two tensors of 0x7fffffffffffffc0 bytes", BAD, "bytes at offset 0, the file has",
          TENSOR({ "a", 0, 1, { 0x1ffffffffffffff0 }, TENSOR_F32, 0 }, { "b", 0, 1, { 0x1ffffffffffffff0 }, TENSOR_F32, 0x7fffffffffffffc0 }) },
        { "row is no whole number of blocks", BAD, "33 columns are no whole number of blocks of Q4_0 (32)", TENSOR(TYPE(TENSOR_Q4_0, 33)) },
        { "row is shorter than a block", BAD, "32 columns are no whole number of blocks of Q4_K (256)", TENSOR(TYPE(TENSOR_Q4_K, 32)) },
        { "rows of half a block, two of them", BAD, "16 columns are no whole number", TENSOR({ "t", 0, 2, { 16, 2 }, TENSOR_Q8_0, 0 }) },

        /* tensors: types */
        { "type that was removed", OTHER, "tensor type 4 is none that Spark reads", TENSOR(TYPE(4, 32)) },
        { "type 2^31", OTHER, "tensor type 2147483648", TENSOR(TYPE(1u << 31, 32)) },
        { "type -1", OTHER, "tensor type 4294967295", TENSOR(TYPE(UINT32_MAX, 32)) },
        { "type of none", OTHER, "tensor type 41", TENSOR(TYPE(41, 32)) },
        { "type far above all", OTHER, "tensor type 1000000", TENSOR(TYPE(1000000, 32)) },

        /* tensors: places */
        { "offset unaligned", BAD, "offset 4 is no multiple of the alignment, 32", TENSOR(PLACED("t", 4)) },
        { "offset -1", BAD, "offset 18446744073709551615 is no multiple", TENSOR(PLACED("t", UINT64_MAX)) },
        { "offset at which the size wraps", BAD, "at offset 18446744073709551584, the file has 256", TENSOR(PLACED("t", UINT64_MAX - 31)) },
        { "offset is all of the data", BAD, "128 bytes at offset 256, the file has 256", TENSOR(PLACED("t", 256)) },
        { "offset behind the data", BAD, "at offset 288, the file has 256", TENSOR(PLACED("t", 288)) },
        { "last byte is missing", BAD, "128 bytes at offset 0, the file has 127 bytes", .make = tensors, .b = 127, .tensors = { PLACED("t", 0) } },
        { "last byte is there", 0, "", .make = tensors, .b = 128, .tensors = { PLACED("t", 0) } },
        { "file ends before the data", BAD, "tensor data: begins behind the end", .make = tensors, .a = 1, .tensors = { PLACED("t", 0) } },
        { "tensors at one place", BAD, "shares bytes with tensor", TENSOR(PLACED("a", 0), PLACED("b", 0)) },
        { "tensors overlap", BAD, "tensor 'b': shares bytes with tensor 'a'", TENSOR(PLACED("a", 0), PLACED("b", 96)) },
        { "tensors overlap, in the other order", BAD, "tensor 'a': shares bytes with tensor 'b'", TENSOR(PLACED("a", 96), PLACED("b", 0)) },
        { "tensors in the other order", 0, "", TENSOR(PLACED("a", 128), PLACED("b", 0)) },

        /* splits */
        { "first of two parts, alone", BAD, "metadata 'split.count': 2 parts, 1 given", .b = 2,
          KV(N8("\x0b") "split.count" N4("\2") "\2\0" N8("\x08") "split.no" N4("\2") "\0\0") },
        { "split count is a string", BAD, "metadata 'split.count': no unsigned number", KV(N8("\x0b") "split.count" N4("\x08") N8("\1") "1") },
        { "split count is negative", BAD, "metadata 'split.count': no unsigned number", KV(N8("\x0b") "split.count" N4("\5") "\xff\xff\xff\xff") },
        { "split count is an array", BAD, "metadata 'split.count': no unsigned number", KV(N8("\x0b") "split.count" N4("\x09") N4("\2") N8("\1") "\1\0") },
        { "split number is missing", BAD, "metadata 'split.no': missing", KV(N8("\x0b") "split.count" N4("\2") "\1\0") },
        { "split number behind the count", BAD, "metadata 'split.no': part 1 of 1", .b = 2,
          KV(N8("\x0b") "split.count" N4("\2") "\1\0" N8("\x08") "split.no" N4("\2") "\1\0") },
};
const size_t n_hostile_files = ELEMENTSOF(hostile_files);
