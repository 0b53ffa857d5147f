/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Short keyed digests: SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012). The key is drawn when
 * sparkd starts, so that nobody outside can make two inputs meet; digests mean nothing to another process. */

#include <stddef.h>
#include <stdint.h>

typedef struct DigestKey { uint64_t k[2]; } DigestKey;
typedef struct Digest { uint64_t d[2]; } Digest;

int digest_key_random(DigestKey *ret);
Digest digest(const DigestKey *key, const void *data, size_t size);

static inline int digest_equal(Digest a, Digest b) {
        return a.d[0] == b.d[0] && a.d[1] == b.d[1];
}
