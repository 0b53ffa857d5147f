/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the levels share among themselves; users include kernels.h.
 *
 * The layout of a KV block, the same for every level. K is transposed: element d of the head's vector of position p
 * stands at [d][p]; V is cut into slices of 32 elements: element d of position p stands at [d / 32][p][d % 32]. In both,
 * 32 numbers of the same kind lie side by side, and scores and weighted sums are the same loop. KV_Q8 has its float16
 * scales behind the numbers, [d / 32][p]. What head_dim lacks to a multiple of 32 is not read in K and zero in V. */

#include "basic/cleanup.h"
#include "engine/kernels/kernels.h"

#define KV_LANES 32u                  /* V's slices */
#define ATTEND_ROWS 32u               /* (query, head) pairs that walk the pages together, at least */

extern const Kernels kernels_scalar;
