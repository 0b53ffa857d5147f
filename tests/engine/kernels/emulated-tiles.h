/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* AMX tiles in C, behind the functions of engine/kernels/tiles.h, for machines that have none. Written from the
 * operations in the Intel SDM, volume 2 ("LDTILECFG" to "TDPB[SU,US,UU,SS]D"): what faults on silicon ends the program. */

#include <stdbool.h>

/* The tile products go wrong: signs are not looked at. */
void emulated_tiles_break(bool broken);

/* Since the last time: products made. The calling thread's configuration must be released. */
unsigned emulated_tiles_products(void);
