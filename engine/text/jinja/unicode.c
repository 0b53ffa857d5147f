/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns look-ups in the character tables. The C library's would follow the locale, and could need files. */

#include "engine/text/jinja/unicode-tables.h"
#include "engine/text/jinja/unicode.h"

static bool in_ranges(const UnicodeRange *table, size_t n, uint32_t c) {
        for (size_t low = 0, high = n; low < high;) {
                size_t mid = (low + high) / 2;
                if (c < table[mid].first)
                        high = mid;
                else if (c > table[mid].last)
                        low = mid + 1;
                else
                        return true;
        }
        return false;
}

static size_t map(const UnicodeRun *runs, size_t n_runs, const UnicodeSpecial *special, size_t n_special, uint32_t c,
                  uint32_t out[static 3]) {
        out[0] = c;
        /* Runs with a stride lie within each other's gaps, so the first that ends at c or later need not be the one. */
        size_t low = 0;
        for (size_t high = n_runs; low < high;) {
                size_t mid = (low + high) / 2;
                if (runs[mid].last < c)
                        low = mid + 1;
                else
                        high = mid;
        }
        for (size_t i = low; i < n_runs && runs[i].first <= c; i++)
                if ((c - runs[i].first) % runs[i].stride == 0) {
                        out[0] = (uint32_t) ((int64_t) c + runs[i].delta);
                        return 1;
                }
        for (size_t i = 0; c >= 0x80 && i < n_special; i++)
                if (special[i].from == c) {
                        size_t n = 0;
                        for (; n < 3 && special[i].to[n]; n++)
                                out[n] = special[i].to[n];
                        return n;
                }
        return 1;
}

size_t jinja_to_upper(uint32_t c, uint32_t out[static 3]) {
        return map(unicode_upper, n_unicode_upper, unicode_upper_special, n_unicode_upper_special, c, out);
}

size_t jinja_to_lower(uint32_t c, uint32_t out[static 3]) {
        return map(unicode_lower, n_unicode_lower, unicode_lower_special, n_unicode_lower_special, c, out);
}

size_t jinja_to_title(uint32_t c, uint32_t out[static 3]) {
        return map(unicode_title, n_unicode_title, unicode_title_special, n_unicode_title_special, c, out);
}

bool jinja_is_upper(uint32_t c) { return in_ranges(unicode_is_upper, n_unicode_is_upper, c); }
bool jinja_is_lower(uint32_t c) { return in_ranges(unicode_is_lower, n_unicode_is_lower, c); }
bool jinja_is_alpha(uint32_t c) { return in_ranges(unicode_is_alpha, n_unicode_is_alpha, c); }
bool jinja_is_digit(uint32_t c) { return in_ranges(unicode_is_digit, n_unicode_is_digit, c); }
bool jinja_is_printable(uint32_t c) { return !in_ranges(unicode_not_printable, n_unicode_not_printable, c); }
