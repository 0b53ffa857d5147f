/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the CPU can do and the kernel saves across context switches (CPUID and XGETBV; Intel SDM volume 2, "CPUID").
 * One predicate for each level of kernels.h, asking for everything that the level was compiled with. */

#include <stdbool.h>

bool cpu_has_avx2(void);          /* AVX2, FMA, F16C */
bool cpu_has_avx2_vnni(void);     /* … and AVX-VNNI */
bool cpu_has_avx512(void);        /* … AVX-512 F, BW, DQ, VL */
bool cpu_has_avx512_vnni(void);   /* … and AVX-512 VNNI */
bool cpu_has_amx(void);           /* … and AMX tiles of int8, which cpu_prepare() was granted and which multiply right */

/* Asks the kernel for what it gives on request only. Once a process, before a filter on system calls; pool_new() does.
 * A refusal is a level that is not supported. */
void cpu_prepare(void);

bool tiles_work_amx(void);        /* matmul-amx.c; only where the CPU and the kernel allow tiles */
