/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is guessed and how much. A plain backward scan: a context of thousands of ids is looked through in less
 * time than a hundredth of a step takes, and there is no index to keep. */

#include "basic/cleanup.h"
#include "engine/runtime/draft.h"

#define MATCH_MIN 2u                          /* ids that have to be equal; fewer guess too often */
#define MATCH_ENOUGH 16u
#define LOOK_BACK_MAX 16384u                  /* ids */

/* How many ids before and with position i equal those before and with position j > i. */
static size_t match(const uint32_t *ids, size_t i, size_t j) {
        size_t n = 0;
        while (n < MATCH_ENOUGH && n <= i && ids[i - n] == ids[j - n])
                n++;
        return n;
}

uint32_t draft_find(uint32_t *ids, size_t n, uint32_t most) {
        const size_t end = n > LOOK_BACK_MAX ? n - LOOK_BACK_MAX : 0;
        size_t best = MATCH_MIN - 1, from = 0;

        for (size_t i = n; i-- > end + 1 && best < MATCH_ENOUGH;) {
                if (ids[i - 1] != ids[n - 1] || i == n)
                        continue;
                const size_t m = match(ids, i - 1, n - 1);
                if (m > best) {
                        best = m;
                        from = i;
                }
        }
        if (from == 0)
                return 0;
        /* What is read may have just been written: a period repeats. */
        for (uint32_t i = 0; i < most; i++)
                ids[n + i] = ids[from + i];
        return most;
}

uint32_t draft_length(Draft *d) {
        if (d->pause > 0) {
                d->pause--;
                return 0;
        }
        return d->length;
}

void draft_learn(Draft *d, uint32_t n_guessed, uint32_t n_kept) {
        static const uint32_t lengths[] = { DRAFT_MIN, 7, DRAFT_MAX };

        if (n_kept == 0) {
                d->length = DRAFT_MIN;
                d->pause = d->pause_next;
                d->pause_next = MIN(2 * d->pause_next, DRAFT_PAUSE_MAX);
                return;
        }
        d->pause_next = MAX(d->pause_next / 2, 1u);
        size_t i = 0;
        while (i + 1 < ELEMENTSOF(lengths) && lengths[i] < n_kept + (n_kept == n_guessed))
                i++;
        d->length = lengths[i];
}
