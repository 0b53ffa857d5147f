/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SipHash-2-4-128 after its paper; tests/daemon/sparkd/test-digest holds it against the authors' vectors. */

#include <errno.h>
#include <sys/random.h>

#include "daemon/sparkd/digest.h"

static inline uint64_t rotl(uint64_t x, unsigned n) {
        return x << n | x >> (64 - n);
}

static void sip_rounds(uint64_t v[4], unsigned n) {
        while (n-- > 0) {
                v[0] += v[1]; v[1] = rotl(v[1], 13); v[1] ^= v[0]; v[0] = rotl(v[0], 32);
                v[2] += v[3]; v[3] = rotl(v[3], 16); v[3] ^= v[2];
                v[0] += v[3]; v[3] = rotl(v[3], 21); v[3] ^= v[0];
                v[2] += v[1]; v[1] = rotl(v[1], 17); v[1] ^= v[2]; v[2] = rotl(v[2], 32);
        }
}

static uint64_t load_le64(const uint8_t *p, size_t n) {
        uint64_t x = 0;
        for (size_t i = 0; i < n; i++)
                x |= (uint64_t) p[i] << (8 * i);
        return x;
}

int digest_key_random(DigestKey *ret) {
        DigestKey key;
        ssize_t n = getrandom(&key, sizeof key, 0);
        if (n < 0)
                return -errno;
        if ((size_t) n != sizeof key)
                return -EIO;
        *ret = key;
        return 0;
}

Digest digest(const DigestKey *key, const void *data, size_t size) {
        const uint8_t *p = data;
        uint64_t v[4] = {
                key->k[0] ^ UINT64_C(0x736f6d6570736575),
                key->k[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
                key->k[0] ^ UINT64_C(0x6c7967656e657261),
                key->k[1] ^ UINT64_C(0x7465646279746573),
        };
        Digest ret;

        for (size_t left = size; ; left -= 8, p += 8) {
                uint64_t m = left >= 8 ? load_le64(p, 8) : load_le64(p, left) | (uint64_t) (size & 0xff) << 56;
                v[3] ^= m;
                sip_rounds(v, 2);
                v[0] ^= m;
                if (left < 8)
                        break;
        }

        v[2] ^= 0xee;
        sip_rounds(v, 4);
        ret.d[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
        v[1] ^= 0xdd;
        sip_rounds(v, 4);
        ret.d[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
        return ret;
}
