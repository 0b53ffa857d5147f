/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See emulated-tiles.h. State is the thread's, as on silicon. A tile's bytes are garbage where an instruction that reads
 * them could not have known them: LDTILECFG and TILERELEASE zero all, loads and products zero what lies beyond. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels/tiles.h"
#include "tests/engine/kernels/emulated-tiles.h"

typedef struct TileData {
        uint8_t row[TILE_ROWS_MAX][TILE_ROW_BYTES];
} TileData;

static _Thread_local struct {
        bool configured, broken;
        TileConfig config;
        TileData tile[TILES];
        unsigned products;
} state;

/* #UD or #GP */
#define FAULT_IF(x)                                                                     \
        do {                                                                            \
                if (x) {                                                                \
                        fprintf(stderr, "# %s: faults: %s\n", __func__, #x);            \
                        abort();                                                        \
                }                                                                       \
        } while (0)

static unsigned rows(unsigned t) {
        return state.config.rows[t];
}

static unsigned row_bytes(unsigned t) {
        return state.config.row_bytes[t];
}

static void check_tile(unsigned t) {
        FAULT_IF(!state.configured);
        FAULT_IF(t >= TILES);
        FAULT_IF(rows(t) == 0 || row_bytes(t) == 0);
}

void tiles_configure(const TileConfig *c) {
        static const uint8_t zeros[sizeof c->reserved];

        FAULT_IF(c->palette != 1);                /* 0 releases; nobody means that here */
        FAULT_IF(memcmp(c->reserved, zeros, sizeof zeros) != 0);
        for (unsigned t = 0; t < 16; t++) {
                FAULT_IF(t >= TILES && (c->rows[t] > 0 || c->row_bytes[t] > 0));
                FAULT_IF(c->rows[t] > TILE_ROWS_MAX || c->row_bytes[t] > TILE_ROW_BYTES);
                FAULT_IF((c->rows[t] == 0) != (c->row_bytes[t] == 0));
        }
        state.config = *c;
        state.configured = true;
        memset(state.tile, 0, sizeof state.tile);
}

void tiles_release(void) {
        state.configured = false;
        memset(state.tile, 0, sizeof state.tile);
}

void tile_zero(unsigned t) {
        check_tile(t);
        memset(&state.tile[t], 0, sizeof state.tile[t]);
        state.config.start_row = 0;
}

void tile_load(unsigned t, const void *from, size_t stride) {
        check_tile(t);
        for (unsigned r = state.config.start_row; r < rows(t); r++) {
                memcpy(state.tile[t].row[r], (const uint8_t *) from + r * stride, row_bytes(t));
                memset(state.tile[t].row[r] + row_bytes(t), 0, TILE_ROW_BYTES - row_bytes(t));
        }
        for (unsigned r = rows(t); r < TILE_ROWS_MAX; r++)
                memset(state.tile[t].row[r], 0, TILE_ROW_BYTES);
        state.config.start_row = 0;
}

void tile_store(unsigned t, void *to, size_t stride) {
        check_tile(t);
        for (unsigned r = state.config.start_row; r < rows(t); r++)
                memcpy((uint8_t *) to + r * stride, state.tile[t].row[r], row_bytes(t));
        state.config.start_row = 0;
}

void tile_dot(unsigned sum, unsigned a, unsigned b) {
        check_tile(sum);
        check_tile(a);
        check_tile(b);
        FAULT_IF(sum == a || sum == b || a == b);
        FAULT_IF(row_bytes(sum) % 4 != 0 || row_bytes(a) % 4 != 0 || row_bytes(b) % 4 != 0);
        FAULT_IF(rows(sum) != rows(a));
        FAULT_IF(row_bytes(a) / 4 != rows(b));
        FAULT_IF(row_bytes(sum) != row_bytes(b));

        for (unsigned m = 0; m < rows(sum); m++) {
                int32_t s[TILE_ROW_BYTES / 4];
                memcpy(s, state.tile[sum].row[m], sizeof s);
                for (unsigned k = 0; k < row_bytes(a) / 4; k++)
                        for (unsigned n = 0; n < row_bytes(sum) / 4; n++)
                                for (unsigned i = 4 * n; i < 4 * n + 4; i++) {
                                        int x = state.tile[a].row[m][4 * k + i % 4];
                                        if (!state.broken)
                                                x = (int8_t) x;
                                        s[n] = (int32_t) ((uint32_t) s[n] + (uint32_t) (x * state.tile[b].row[k][i]));
                                }
                memset(state.tile[sum].row[m], 0, TILE_ROW_BYTES);
                memcpy(state.tile[sum].row[m], s, row_bytes(sum));
        }
        for (unsigned m = rows(sum); m < TILE_ROWS_MAX; m++)
                memset(state.tile[sum].row[m], 0, TILE_ROW_BYTES);
        state.config.start_row = 0;
        state.products++;
}

void emulated_tiles_break(bool broken) {
        state.broken = broken;
}

unsigned emulated_tiles_products(void) {
        unsigned n = state.products;

        FAULT_IF(state.configured);
        state.products = 0;
        return n;
}
