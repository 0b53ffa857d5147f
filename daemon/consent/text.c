/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a foreign text may do inside a question: be read, and nothing else. Characters that cannot be seen are shown
 * as U+FFFD and not dropped: an id that differs from a known one in them alone has to look different. The ranges are
 * Unicode's Cc and Cf (and the separators of lines, and blanks other than ' '), version 15. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "basic/utf8.h"
#include "daemon/consent/text.h"

#define REPLACEMENT "\xef\xbf\xbd"
#define ELLIPSIS "\xe2\x80\xa6"

typedef struct Range {
        uint32_t first, last;
} Range;

static const Range blanks[] = {
        { '\t', '\r' }, { ' ', ' ' }, { 0x85, 0x85 }, { 0xa0, 0xa0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200a },
        { 0x2028, 0x2029 }, { 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x3000, 0x3000 },
};

static const Range unseen[] = {
        { 0, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x34f, 0x34f }, { 0x600, 0x605 }, { 0x61c, 0x61c }, { 0x6dd, 0x6dd },
        { 0x70f, 0x70f }, { 0x890, 0x891 }, { 0x8e2, 0x8e2 }, { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f },
        { 0x200b, 0x200f }, { 0x202a, 0x202e }, { 0x2060, 0x206f }, { 0x2800, 0x2800 }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },
        { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0x110bd, 0x110bd }, { 0x110cd, 0x110cd },
        { 0x13430, 0x1343f }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a }, { 0xe0000, 0xe0fff },
};

static bool within(const Range *ranges, size_t n, uint32_t c) {
        for (size_t i = 0; i < n; i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return true;
        return false;
}

char *consent_text(const char *text, size_t n_max) {
        /* Three bytes out for one in at worst, and an ellipsis. */
        size_t size = strlen(text);
        char *out = size > (SIZE_MAX - 4) / 3 ? NULL : malloc(size * 3 + 4);
        if (!out)
                return NULL;

        size_t at = 0, n = 0, last = 0;         /* `last`: where the last character begins */
        bool blank = false;                     /* one is owed before the next character */
        for (size_t i = 0; i < size;) {
                uint32_t c;
                size_t k = utf8_char((const unsigned char *) text + i, size - i, &c);
                if (k > 0 && within(blanks, ELEMENTSOF(blanks), c)) {
                        blank = n > 0;
                        i += k;
                        continue;
                }
                if (n + blank >= n_max) {
                        /* In the last character's place, or in that of the blank. */
                        if (n == n_max)
                                at = last;
                        if (n_max > 0) {
                                memcpy(out + at, ELLIPSIS, 3);
                                at += 3;
                        }
                        break;
                }
                if (blank) {
                        out[at++] = ' ';
                        n++;
                        blank = false;
                }
                bool show = k > 0 && !within(unseen, ELEMENTSOF(unseen), c);
                last = at;
                memcpy(out + at, show ? text + i : REPLACEMENT, show ? k : 3);
                at += show ? k : 3;
                n++;
                i += MAX(k, (size_t) 1);
        }
        out[at] = 0;
        return out;
}
