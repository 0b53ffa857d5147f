/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What may go on the bus: well-formed UTF-8, cut between characters. */
#include "daemon/sparkd/text.h"
#include "tests/test.h"

#define VALID(s) text_valid(s, sizeof(s) - 1)

static void test_valid(void) {
        CHECK(VALID(""));
        CHECK(VALID("plain"));
        CHECK(VALID("h\xc3\xa9, \xe2\x82\xac, \xf0\x9f\x98\x80"));
        CHECK(VALID("\xf4\x8f\xbf\xbf"));               /* U+10FFFF */
        CHECK(VALID("a\0b"));
        CHECK(!VALID("\x80"));
        CHECK(!VALID("\xc0\x80"));                      /* overlong */
        CHECK(!VALID("\xe0\x80\xaf"));
        CHECK(!VALID("\xf0\x80\x80\xaf"));
        CHECK(!VALID("\xed\xa0\x80"));                  /* surrogate */
        CHECK(!VALID("\xed\xbf\xbf"));
        CHECK(VALID("\xed\x9f\xbf"));
        CHECK(!VALID("\xf4\x90\x80\x80"));              /* above U+10FFFF */
        CHECK(!VALID("\xe2\x82"));                      /* broken off */
        CHECK(!VALID("\xff"));
}

static void test_cut(void) {
        static const char text[] = "a\xe2\x82\xac" "b";
        static const size_t expected[] = { 0, 1, 1, 1, 4, 5, 5 };
        for (size_t max = 0; max < ELEMENTSOF(expected); max++)
                CHECK_INT(text_cut(text, sizeof text - 1, max), expected[max]);
}

static void test_printable(void) {
        char out[8];
        text_printable("ab\n\xc3\xa9" "cdefgh", out, sizeof out);
        CHECK_STR(out, "ab???cd");
}

TEST_MAIN({ "valid", test_valid }, { "cut", test_cut }, { "printable", test_printable })
