/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may reach a terminal, and what may reach the bus. */

#include <locale.h>

#include "cli/terminal.h"
#include "tests/test.h"

#define R "\xef\xbf\xbd"

static void filter_is(const char *in, size_t size, const char *expected) {
        size_t n = 0;
        _cleanup_free_ char *out = terminal_filter(in, size, &n);
        CHECK(out);
        CHECK_STR(out, expected);
        CHECK_INT(n, strlen(expected));
}
#define FILTER(in, expected) filter_is(in, sizeof(in) - 1, expected)

static void text_passes(void) {
        FILTER("", "");
        FILTER("Hello,\n\tworld", "Hello,\n\tworld");
        FILTER("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
        FILTER("\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d");
}

static void controls_do_not(void) {
        FILTER("\033[2J", R "[2J");
        FILTER("\033]0;title\007", R "]0;title" R);
        FILTER("a\rb\bc\x7f\0d", "a" R "b" R "c" R R "d");
        FILTER("\xc2\x9b" "31m", R "31m");                /* CSI as one character of C1 */
        FILTER("\xc2\x90q", R "q");
        FILTER("\xe2\x80\xae" "gnp.exe", R "gnp.exe");    /* U+202E */
        FILTER("\xe2\x81\xa6x\xe2\x81\xa9", R "x" R);
}

static void broken_utf8_does_not(void) {
        FILTER("\xff", R);
        FILTER("\xc3", R);
        FILTER("\xc3(", R "(");
        FILTER("\xc0\x9b[", R R "[");                     /* ESC in two bytes */
        FILTER("\xe0\x80\x9b", R R R);
        FILTER("\xed\xa0\x80", R R R);
        FILTER("\xf4\x90\x80\x80", R R R R);
        FILTER("\xf0\x9f\x98", R R R);
}

static void where_text_ends(void) {
        CHECK_INT(text_valid_until("abc", 3), 3);
        CHECK_INT(text_valid_until("a\0c", 3), 1);
        CHECK_INT(text_valid_until("caf\xc3\xa9", 5), 5);
        CHECK_INT(text_valid_until("caf\xc3", 4), 3);
        CHECK_INT(text_valid_until("\033[2J", 4), 4);
        CHECK_INT(text_valid_until("\xed\xbf\xbf", 3), 0);
}

static void widths(void) {
        if (!setlocale(LC_CTYPE, "C.UTF-8"))
                SKIP("no C.UTF-8 locale");
        CHECK_INT(text_columns("abc"), 3);
        CHECK_INT(text_columns("caf\xc3\xa9"), 4);
        CHECK_INT(text_columns("\xe6\xbc\xa2\xe5\xad\x97"), 4);
}

static void sizes(void) {
        char b[SIZE_TEXT_MAX];
        CHECK_STR(size_text(0, b), "0.0 kB");
        CHECK_STR(size_text(98362432, b), "98.4 MB");
        CHECK_STR(size_text(999949999, b), "999.9 MB");
        CHECK_STR(size_text(999999999, b), "1.0 GB");
        CHECK_STR(size_text(UINT64_MAX, b), "18446744.1 TB");
}

TEST_MAIN(
        { "text passes as it is", text_passes },
        { "control characters do not pass", controls_do_not },
        { "bytes that are no UTF-8 do not pass", broken_utf8_does_not },
        { "text ends at the first byte that the bus cannot carry", where_text_ends },
        { "columns are not bytes", widths },
        { "sizes", sizes },
)
