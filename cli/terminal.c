/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what reaches a person's terminal. The filter works on characters, not on known escape sequences: a list of bad
 * sequences is never complete, an ESC that does not pass ends them all. */

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "basic/cleanup.h"
#include "basic/utf8.h"
#include "cli/terminal.h"

#define REPLACEMENT "\xef\xbf\xbd"

static bool harmless(uint32_t c) {
        if (c == '\n' || c == '\t')
                return true;
        if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
                return false;
        return !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069);
}

char *terminal_filter(const char *text, size_t size, size_t *ret_size) {
        /* One byte in, three out at worst. */
        char *out = size > (SIZE_MAX - 1) / 3 ? NULL : malloc(size * 3 + 1);
        if (!out)
                return NULL;
        size_t n = 0;
        for (size_t i = 0; i < size;) {
                uint32_t c;
                size_t k = utf8_char((const unsigned char *) text + i, size - i, &c);
                if (k > 0 && harmless(c)) {
                        memcpy(out + n, text + i, k);
                        n += k;
                } else {
                        memcpy(out + n, REPLACEMENT, 3);
                        n += 3;
                }
                i += MAX(k, (size_t) 1);
        }
        out[n] = 0;
        *ret_size = n;
        return out;
}

void terminal_print(FILE *f, const char *text, size_t size) {
        if (!terminal_is(f)) {
                fwrite(text, 1, size, f);
                return;
        }
        size_t n;
        _cleanup_free_ char *safe = terminal_filter(text, size, &n);
        if (safe)
                fwrite(safe, 1, n, f);
}

size_t text_valid_until(const char *text, size_t size) {
        for (size_t i = 0; i < size;) {
                uint32_t c;
                size_t k = utf8_char((const unsigned char *) text + i, size - i, &c);
                if (k == 0 || c == 0)
                        return i;
                i += k;
        }
        return size;
}

bool terminal_is(FILE *f) {
        return isatty(fileno(f));
}

const char *terminal_style(FILE *f, Style s) {
        static const char *const codes[] = {
                [STYLE_NORMAL] = "\033[0m",  [STYLE_BOLD] = "\033[1m", [STYLE_DIM] = "\033[2m",
                [STYLE_GOOD] = "\033[32m",   [STYLE_BAD] = "\033[31m", [STYLE_WARN] = "\033[33m",
        };
        const char *term = getenv("TERM"), *none = getenv("NO_COLOR");
        if (!terminal_is(f) || !term || strcmp(term, "dumb") == 0 || (none && none[0]))
                return "";
        return codes[s];
}

size_t terminal_columns(FILE *f) {
        struct winsize w;
        return ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

size_t text_columns(const char *text) {
        mbstate_t state = {};
        size_t columns = 0, left = strlen(text);
        while (left > 0) {
                wchar_t c;
                size_t k = mbrtowc(&c, text, left, &state);
                if (k == (size_t) -1 || k == (size_t) -2 || k == 0)
                        return columns + left;
                int w = wcwidth(c);
                columns += w > 0 ? (size_t) w : 0;
                text += k;
                left -= k;
        }
        return columns;
}

const char *size_text(uint64_t bytes, char buffer[SIZE_TEXT_MAX]) {
        static const char *const units[] = { "kB", "MB", "GB", "TB" };
        double v = (double) bytes / 1e3;
        size_t u = 0;
        while (v >= 999.95 && u + 1 < ELEMENTSOF(units)) {
                v /= 1e3;
                u++;
        }
        snprintf(buffer, SIZE_TEXT_MAX, "%.1f %s", v, units[u]);
        return buffer;
}
