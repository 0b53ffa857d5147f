/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the question which instruction sets may be used. The compiler's own __builtin_cpu_supports() does not know all
 * of them in every version that we build with, so CPUID is read here. Nothing is kept: it is asked once a start.
 *
 * AMX needs more than a CPU that has it: Linux gives a process its 8 KiB of tiles a thread only when asked
 * (Documentation/arch/x86/xstate.rst), which cpu_prepare() does while nothing forbids the asking. What came of it is
 * looked up later, and a product is tried before any is believed. */

#include "engine/kernels/cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef enum CpuFeature {
        CPU_AVX2 = 1 << 0,
        CPU_AVX_VNNI = 1 << 1,
        CPU_AVX512 = 1 << 2,
        CPU_AVX512_VNNI = 1 << 3,
        CPU_AMX_INT8 = 1 << 4,
} CpuFeature;

#define XCR0_YMM 0x06u            /* XMM and YMM state */
#define XCR0_ZMM 0xe6u            /* … and opmask and ZMM state */
#define XCR0_TILES (3u << 17)     /* tiles and their configuration */

#define ARCH_GET_XCOMP_PERM_ 0x1022           /* asm/prctl.h, in newer headers */
#define ARCH_REQ_XCOMP_PERM_ 0x1023
#define XFEATURE_XTILEDATA 18

static uint32_t xcr0(void) {
        uint32_t low, high;

        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        return low;
}

static unsigned cpu_features(void) {
        const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;   /* 1: ECX */
        const uint32_t avx2 = 1u << 5;                                                        /* 7.0: EBX */
        const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;                    /* F, DQ, BW, VL */
        const uint32_t avx512_vnni = 1u << 11;                                                /* 7.0: ECX */
        const uint32_t amx_int8 = 1u << 24 | 1u << 25;                                        /* 7.0: EDX; TILE, INT8 */
        const uint32_t avx_vnni = 1u << 4;                                                    /* 7.1: EAX */
        uint32_t a, b, c, d;
        unsigned features = 0;

        if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (fma | osxsave | avx | f16c)) != (fma | osxsave | avx | f16c))
                return 0;
        uint32_t saved = xcr0();
        if ((saved & XCR0_YMM) != XCR0_YMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & avx2))
                return 0;
        uint32_t subleaves = a;
        features |= CPU_AVX2;
        if ((saved & XCR0_ZMM) == XCR0_ZMM && (b & avx512) == avx512) {
                features |= CPU_AVX512;
                if (c & avx512_vnni)
                        features |= CPU_AVX512_VNNI;
                if ((features & CPU_AVX512_VNNI) && (saved & XCR0_TILES) == XCR0_TILES && (d & amx_int8) == amx_int8)
                        features |= CPU_AMX_INT8;
        }
        if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avx_vnni))
                features |= CPU_AVX_VNNI;
        return features;
}

bool cpu_has_avx2(void) {
        return cpu_features() & CPU_AVX2;
}

bool cpu_has_avx2_vnni(void) {
        return cpu_features() & CPU_AVX_VNNI;
}

bool cpu_has_avx512(void) {
        return cpu_features() & CPU_AVX512;
}

bool cpu_has_avx512_vnni(void) {
        return cpu_features() & CPU_AVX512_VNNI;
}

bool cpu_has_amx(void) {
        uint64_t permitted = 0;

        return (cpu_features() & CPU_AMX_INT8) && syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM_, &permitted) == 0
                && (permitted & 1u << XFEATURE_XTILEDATA) && tiles_work_amx();
}

void cpu_prepare(void) {
        if (cpu_features() & CPU_AMX_INT8)
                syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM_, XFEATURE_XTILEDATA);
}

#else

void cpu_prepare(void) {
}

#endif
