/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns folding: a look-up in two sorted tables, and the arithmetic of Hangul syllables (section 3.12 of the Unicode
 * standard), which would fill a table of their own. */

#include "engine/text/fold.h"

static size_t fold_hangul(uint32_t rune, uint32_t ret[FOLD_MAX]) {
        uint32_t syllable = rune - 0xac00, tail = syllable % 28;

        ret[0] = 0x1100 + syllable / (21 * 28);
        ret[1] = 0x1161 + syllable % (21 * 28) / 28;
        if (tail == 0)
                return 2;
        ret[2] = 0x11a7 + tail;
        return 3;
}

size_t fold(uint32_t rune, uint32_t ret[FOLD_MAX]) {
        if (rune >= 0xac00 && rune <= 0xd7a3)
                return fold_hangul(rune, ret);

        /* The last run that begins at or before rune. */
        size_t low = 0, high = fold_n_runs;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (fold_runs[middle].first <= rune)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low > 0) {
                const FoldRun *r = fold_runs + low - 1;
                uint32_t offset = rune - r->first;
                if (offset <= r->length && offset % r->step == 0) {
                        ret[0] = (uint32_t) ((int32_t) rune + r->delta);
                        return 1;
                }
        }

        for (size_t i = 0; i < fold_n_several && fold_several[i].rune <= rune; i++)
                if (fold_several[i].rune == rune) {
                        size_t n = 0;
                        while (n < FOLD_MAX && fold_several[i].to[n] != 0) {
                                ret[n] = fold_several[i].to[n];
                                n++;
                        }
                        return n;
                }
        ret[0] = rune;
        return 1;
}
