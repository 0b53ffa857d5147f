/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-256 (FIPS 180-4) of open files, as lower-case hex. */

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_HEX 64u
typedef struct Digest {
        char hex[DIGEST_HEX + 1];
} Digest;

/* Of several files one after the other, each from its beginning (descriptors' positions stay). */
int digest_files(const int *fds, size_t n, Digest *ret);
bool digest_hex_valid(const char *s);
