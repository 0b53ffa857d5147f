/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Philox 4x32-10, a counter-based generator: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3"
 * (SC 2011). A pure function of key and counter, so that the n-th draw needs no state but n. */

#include <stdint.h>

static inline void philox_4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t ret[4]) {
        uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
        uint32_t k0 = key[0], k1 = key[1];

        for (int round = 0; round < 10; round++) {
                uint64_t a = UINT64_C(0xd2511f53) * c0;
                uint64_t b = UINT64_C(0xcd9e8d57) * c2;
                c0 = (uint32_t) (b >> 32) ^ c1 ^ k0;
                c1 = (uint32_t) b;
                c2 = (uint32_t) (a >> 32) ^ c3 ^ k1;
                c3 = (uint32_t) a;
                k0 += UINT32_C(0x9e3779b9);     /* Weyl constants */
                k1 += UINT32_C(0xbb67ae85);
        }
        ret[0] = c0;
        ret[1] = c1;
        ret[2] = c2;
        ret[3] = c3;
}

/* The n-th draw of a seed, uniform in [0, 1) with 53 bits. */
static inline double philox_uniform(uint64_t seed, uint64_t n) {
        const uint32_t key[2] = { (uint32_t) seed, (uint32_t) (seed >> 32) };
        const uint32_t counter[4] = { (uint32_t) n, (uint32_t) (n >> 32), 0, 0 };
        uint32_t r[4];

        philox_4x32_10(counter, key, r);
        return (double) (((uint64_t) r[1] << 32 | r[0]) >> 11) * 0x1p-53;
}
