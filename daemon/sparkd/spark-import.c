/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* spark-import: copies descriptor 3 to descriptor 4 from its beginning, and prints the SHA-256 of what was copied and its
 * size. Started by sparkd alone. Ends with the number of the error, EFBIG where there are more than IMPORT_BYTES_MAX. */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "daemon/sparkd/import.h"

#define SOURCE_FD 3
#define TARGET_FD 4

static int copy(struct sha256_ctx *sha, uint64_t *ret_size) {
        static uint8_t buffer[1u << 20];
        uint64_t size = 0;

        for (;;) {
                ssize_t n = pread(SOURCE_FD, buffer, sizeof buffer, (off_t) size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                sha256_update(sha, (size_t) n, buffer);
                for (ssize_t done = 0; done < n; ) {
                        ssize_t k = write(TARGET_FD, buffer + done, (size_t) (n - done));
                        if (k < 0 && errno != EINTR)
                                return -errno;
                        done += k > 0 ? k : 0;
                }
                size += (uint64_t) n;
                if (size > IMPORT_BYTES_MAX)
                        return -EFBIG;
        }
        if (fsync(TARGET_FD) < 0)
                return -errno;
        *ret_size = size;
        return 0;
}

int main(void) {
        struct sha256_ctx sha;
        uint8_t digest[SHA256_DIGEST_SIZE];
        uint64_t size = 0;

        sha256_init(&sha);
        int r = copy(&sha, &size);
        if (r < 0)
                return -r;
        sha256_digest(&sha, sizeof digest, digest);
        for (size_t i = 0; i < sizeof digest; i++)
                printf("%02x", digest[i]);
        printf(" %llu\n", (unsigned long long) size);
        return fflush(stdout) == 0 ? 0 : EIO;
}
