/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Characters without case and accents, as BERT's uncased vocabularies want them: canonical decomposition without
 * non-spacing marks, in lower case. */

#include <stddef.h>
#include <stdint.h>

#define FOLD_MAX 3u

/* What a character that is no mark folds to: 1 … FOLD_MAX characters, often itself. */
size_t fold(uint32_t rune, uint32_t ret[FOLD_MAX]);

/* The table, for fold.c. */
typedef struct FoldRun {
        uint32_t first;
        uint16_t length, step;          /* first, first + step … first + length */
        int32_t delta;
} FoldRun;

typedef struct FoldSeveral {
        uint32_t rune, to[FOLD_MAX];    /* 0 behind the last */
} FoldSeveral;

extern const FoldRun fold_runs[];
extern const FoldSeveral fold_several[];
extern const size_t fold_n_runs, fold_n_several;
