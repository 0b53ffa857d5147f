/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SipHash-2-4-128 against the authors' published vectors (key 00 01 … 0f, input 00 01 … of each length). */
#include "daemon/sparkd/digest.h"
#include "tests/test.h"

static const DigestKey vector_key = { { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) } };

static void check_vector(size_t size, const uint8_t expected[16]) {
        uint8_t input[64], out[16];
        for (size_t i = 0; i < sizeof input; i++)
                input[i] = (uint8_t) i;
        Digest d = digest(&vector_key, input, size);
        memcpy(out, &d, sizeof out);
        for (size_t i = 0; i < 16; i++)
                CHECK_INT(out[i], expected[i]);
}

static void test_vectors(void) {
        check_vector(0, (uint8_t[]) { 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93 });
        check_vector(1, (uint8_t[]) { 0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45 });
        check_vector(8, (uint8_t[]) { 0x3b, 0x62, 0xa9, 0xba, 0x62, 0x58, 0xf5, 0x61, 0x0f, 0x83, 0xe2, 0x64, 0xf3, 0x14, 0x97, 0xb4 });
}

static void test_key_matters(void) {
        DigestKey a, b;
        CHECK_INT(digest_key_random(&a), 0);
        CHECK_INT(digest_key_random(&b), 0);
        CHECK(!digest_equal(digest(&a, "poison", 6), digest(&b, "poison", 6)));
        CHECK(digest_equal(digest(&a, "poison", 6), digest(&a, "poison", 6)));
        CHECK(!digest_equal(digest(&a, "poison", 6), digest(&a, "poison\0", 7)));
}

TEST_MAIN({ "vectors", test_vectors }, { "key matters", test_key_matters })
