/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Characters of UTF-8 (RFC 3629: shortest form, no surrogates), one at a time. Header only. */

#include <stddef.h>
#include <stdint.h>

/* Length of the character that starts at p (of n bytes, n > 0), its code point in *ret; 0: none does. */
static inline size_t utf8_char(const unsigned char *p, size_t n, uint32_t *ret) {
        static const struct { unsigned char mask, lead; uint32_t least; } forms[] = {
                { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 },
        };
        for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++) {
                if ((p[0] & forms[k].mask) != forms[k].lead)
                        continue;
                if (k >= n)
                        return 0;
                uint32_t c = p[0] & (unsigned char) ~forms[k].mask;
                for (size_t i = 1; i <= k; i++) {
                        if ((p[i] & 0xc0) != 0x80)
                                return 0;
                        c = c << 6 | (p[i] & 0x3f);
                }
                if (c < forms[k].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                        return 0;
                *ret = c;
                return k + 1;
        }
        return 0;
}
