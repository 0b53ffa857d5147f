/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the few questions about characters that sparkd has; the engine's own code is not to be reached from here. */

#include <stdio.h>

#include "daemon/sparkd/text.h"

/* Bytes of the character that starts at p, 0 where none does. */
static size_t character(const unsigned char *p, size_t size) {
        static const struct { unsigned char mask, lead; size_t n; unsigned min; } forms[] = {
                { 0x80, 0x00, 1, 0 }, { 0xe0, 0xc0, 2, 0x80 }, { 0xf0, 0xe0, 3, 0x800 }, { 0xf8, 0xf0, 4, 0x10000 },
        };
        for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
                if ((*p & forms[f].mask) != forms[f].lead)
                        continue;
                if (size < forms[f].n)
                        return 0;
                unsigned rune = *p & (unsigned char) ~forms[f].mask;
                for (size_t i = 1; i < forms[f].n; i++) {
                        if ((p[i] & 0xc0) != 0x80)
                                return 0;
                        rune = rune << 6 | (p[i] & 0x3f);
                }
                return rune >= forms[f].min && rune <= 0x10ffff && (rune & ~0x7ffu) != 0xd800 ? forms[f].n : 0;
        }
        return 0;
}

bool text_valid(const char *text, size_t size) {
        for (size_t i = 0; i < size; ) {
                size_t n = character((const unsigned char *) text + i, size - i);
                if (n == 0)
                        return false;
                i += n;
        }
        return true;
}

size_t text_cut(const char *text, size_t size, size_t max) {
        if (size <= max)
                return size;
        while (max > 0 && ((unsigned char) text[max] & 0xc0) == 0x80)
                max--;
        return max;
}

void text_printable(const char *text, char *ret, size_t ret_size) {
        size_t i = 0;
        for (; text[i] && i + 1 < ret_size; i++)
                ret[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
        ret[i] = '\0';
}

void text_duration(uint64_t usec, char *ret, size_t ret_size) {
        static const struct { uint64_t unit, below; const char *name; } units[] = {
                { UINT64_C(1000000), UINT64_C(120) * 1000000, "s" },
                { UINT64_C(60) * 1000000, UINT64_C(7200) * 1000000, "min" },
                { UINT64_C(3600) * 1000000, UINT64_MAX, "h" },
        };
        size_t i = 0;
        while (usec >= units[i].below && i < 2)
                i++;
        snprintf(ret, ret_size, "%llu %s", (unsigned long long) (usec / units[i].unit + (usec % units[i].unit > 0)), units[i].name);
}
