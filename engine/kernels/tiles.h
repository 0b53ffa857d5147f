/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* AMX tiles: what matmul-amx.c needs of them (Intel SDM volume 1, "Programming with Intel AMX", and volume 2). A tile is
 * up to 16 rows of up to 64 bytes, has a number from 0 to 7, and is as large as the thread's configuration says. Where
 * the compiler was not told of AMX these are functions that a test provides, which watches what silicon faults on.
 *
 * Numbers are constants where they arrive. In assembly, because gcc 12's intrinsics do not say that they read memory. */

#include <stddef.h>
#include <stdint.h>

#include "engine/kernels/simd.h"

#define TILE_ROWS_MAX 16u
#define TILE_ROW_BYTES 64u
#define TILES 8u

typedef struct TileConfig {
        uint8_t palette;              /* 1 */
        uint8_t start_row;
        uint8_t reserved[14];
        uint16_t row_bytes[16];       /* of each tile, and 0 behind the last */
        uint8_t rows[16];
} TileConfig;
_Static_assert(sizeof(TileConfig) == 64, "as LDTILECFG reads it");

#if defined(__AMX_INT8__) || defined(__AMXINT8__)     /* gcc's name, clang 14's */

static always_inline_ void tiles_configure(const TileConfig *c) {
        __asm__ volatile("ldtilecfg %0" : : "m"(*c));
}
static always_inline_ void tiles_release(void) {              /* the context is small again */
        __asm__ volatile("tilerelease" : : : "memory");
}
static always_inline_ void tile_zero(const unsigned t) {
        __asm__ volatile("tilezero %%tmm%c0" : : "i"(t));
}
static always_inline_ void tile_load(const unsigned t, const void *from, size_t stride) {
        __asm__ volatile("tileloadd (%1,%2), %%tmm%c0" : : "i"(t), "r"(from), "r"(stride) : "memory");
}
static always_inline_ void tile_store(const unsigned t, void *to, size_t stride) {
        __asm__ volatile("tilestored %%tmm%c0, (%1,%2)" : : "i"(t), "r"(to), "r"(stride) : "memory");
}

/* sum += a · b: signed bytes of a's rows by b's unsigned ones, of which four of a column lie side by side. */
static always_inline_ void tile_dot(const unsigned sum, const unsigned a, const unsigned b) {
        __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
}

#else

void tiles_configure(const TileConfig *c);
void tiles_release(void);
void tile_zero(unsigned t);
void tile_load(unsigned t, const void *from, size_t stride);
void tile_store(unsigned t, void *to, size_t stride);
void tile_dot(unsigned sum, unsigned a, unsigned b);

#endif
