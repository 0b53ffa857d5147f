/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Characters: every code point there is, every two bytes, and streams cut at every byte. */

#include "engine/text/utf8.h"
#include "tests/test.h"

static size_t encode(uint32_t rune, char *out) {
        if (rune < 0x80) {
                out[0] = (char) rune;
                return 1;
        }
        if (rune < 0x800) {
                out[0] = (char) (0xc0 | rune >> 6);
                out[1] = (char) (0x80 | (rune & 0x3f));
                return 2;
        }
        if (rune < 0x10000) {
                out[0] = (char) (0xe0 | rune >> 12);
                out[1] = (char) (0x80 | (rune >> 6 & 0x3f));
                out[2] = (char) (0x80 | (rune & 0x3f));
                return 3;
        }
        out[0] = (char) (0xf0 | rune >> 18);
        out[1] = (char) (0x80 | (rune >> 12 & 0x3f));
        out[2] = (char) (0x80 | (rune >> 6 & 0x3f));
        out[3] = (char) (0x80 | (rune & 0x3f));
        return 4;
}

static void test_every_rune(void) {
        for (uint32_t rune = 0; rune < 0x120000; rune++) {
                char text[4];
                uint32_t got = UINT32_MAX;
                size_t n = encode(rune, text);
                bool good = rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff);
                CHECK_INT(utf8_decode(text, n, &got), good ? n : 0);
                CHECK_INT(utf8_valid(text, n), good);
                if (good)
                        CHECK_INT(got, rune);
                for (size_t cut = 0; cut < n; cut++)
                        CHECK_INT(utf8_decode(text, cut, &got), 0);
        }
}

static void test_overlong(void) {
        static const char *const bad[] = { "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80",
                                           "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\x80", "\xff", "\xed\xa0\x80", "\xf4\x90\x80\x80" };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                uint32_t rune;
                CHECK_INT(utf8_decode(bad[i], strlen(bad[i]), &rune), 0);
                CHECK(!utf8_valid(bad[i], strlen(bad[i])));
        }
}

/* All of `bytes` at once, or in two parts, or byte by byte, must come out as `expected`. */
static void check_stream(const char *bytes, size_t n, const char *expected) {
        for (size_t cut = 0; cut <= n; cut++) {
                char out[256];
                Utf8Stream s = {};
                size_t m = utf8_stream_push(&s, bytes, cut, false, out);
                CHECK(m <= 3 * (cut + 4));
                CHECK(utf8_valid(out, m));
                m += utf8_stream_push(&s, bytes + cut, n - cut, true, out + m);
                out[m] = 0;
                CHECK_STR(out, expected);
                CHECK_INT(s.n_pending, 0);
        }
        char out[256];
        size_t m = 0;
        Utf8Stream s = {};
        for (size_t i = 0; i < n; i++) {
                m += utf8_stream_push(&s, bytes + i, 1, i + 1 == n, out + m);
                CHECK(utf8_valid(out, m));
        }
        out[m] = 0;
        CHECK_STR(out, expected);
}

#define R "\xef\xbf\xbd"

static void test_stream(void) {
        static const struct {
                const char *bytes, *expected;
        } cases[] = {
                { "plain", "plain" },
                { "é€😀ß", "é€😀ß" },
                { "👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦" },
                { "\xf0\x9f\x98", R },                          /* unfinished at the end */
                { "\xf0\x9f\x98" "a", R "a" },                  /* broken off */
                { "\xe2\x82\xe2\x82\xac", R "€" },              /* broken off by a new one */
                { "a\x80" "b\xff" "c", "a" R "b" R "c" },
                { "\xc0\xaf", R R },
                { "\xed\xa0\x80", R R R },                      /* a surrogate: no byte begins anything */
                { "\xf0\x80\x80\x80", R R R R },
                { "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
                { "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf" "A", R R R R "A" },   /* table 3-11 of the standard */
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check_stream(cases[i].bytes, strlen(cases[i].bytes), cases[i].expected);
}

/* Whatever goes in, what comes out is well formed, whole characters are all there, and the cut makes no difference. */
static void test_stream_any(void) {
        uint64_t state = 1;
        for (unsigned round = 0; round < 20000; round++) {
                static const uint8_t likely[] = { 'a', 0x80, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xf5 };
                char bytes[12], once[64], twice[64];
                for (size_t i = 0; i < sizeof bytes; i++) {
                        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
                        bytes[i] = (char) likely[(state >> 33) % ELEMENTSOF(likely)];
                }
                Utf8Stream s = {};
                size_t n = utf8_stream_push(&s, bytes, sizeof bytes, true, once);
                CHECK(utf8_valid(once, n));
                size_t cut = (state >> 40) % (sizeof bytes + 1);
                size_t m = utf8_stream_push(&s, bytes, cut, false, twice);
                CHECK(utf8_valid(twice, m));
                m += utf8_stream_push(&s, bytes + cut, sizeof bytes - cut, true, twice + m);
                CHECK_INT(m, n);
                CHECK_INT(memcmp(once, twice, n), 0);
        }
}

TEST_MAIN(
        { "every code point", test_every_rune },
        { "overlong forms and others that are none", test_overlong },
        { "streams cut at every byte", test_stream },
        { "streams of any bytes", test_stream_any })
