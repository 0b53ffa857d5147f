/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the CPU can do and the kernel saves across context switches (CPUID and XGETBV; Intel SDM volume 2, "CPUID").
 * One predicate for each level of kernels.h, asking for everything that the level was compiled with. */

#include <stdbool.h>

bool cpu_has_avx2(void);          /* AVX2, FMA, F16C */
bool cpu_has_avx2_vnni(void);     /* … and AVX-VNNI */
bool cpu_has_avx512(void);        /* … AVX-512 F, BW, DQ, VL */
bool cpu_has_avx512_vnni(void);   /* … and AVX-512 VNNI */
