/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how a file becomes a digest: read from the file as it lies there, not while it is being written, so that what was
 * checked is what will be mapped. nettle, because sparkctl is LGPL and nettle needs no set-up. */

#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

#include "basic/cleanup.h"
#include "cli/digest.h"

#define BLOCK (256u << 10)

int digest_files(const int *fds, size_t n, Digest *ret) {
        struct sha256_ctx context;
        uint8_t sum[SHA256_DIGEST_SIZE];
        _cleanup_free_ uint8_t *block = malloc(BLOCK);
        if (!block)
                return -ENOMEM;

        sha256_init(&context);
        for (size_t i = 0; i < n; i++)
                for (off_t at = 0;;) {
                        ssize_t k = pread(fds[i], block, BLOCK, at);
                        if (k < 0 && errno == EINTR)
                                continue;
                        if (k < 0)
                                return -errno;
                        if (k == 0)
                                break;
                        sha256_update(&context, (size_t) k, block);
                        at += k;
                }
        sha256_digest(&context, sizeof sum, sum);
        for (size_t i = 0; i < sizeof sum; i++)
                snprintf(ret->hex + 2 * i, 3, "%02x", sum[i]);
        return 0;
}

bool digest_hex_valid(const char *s) {
        return strlen(s) == DIGEST_HEX && !s[strspn(s, "0123456789abcdef")];
}
