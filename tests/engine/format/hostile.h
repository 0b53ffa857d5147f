/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Broken and malicious GGUF files, by name: each a file that some reader of this format was once brought down by, or
 * its neighbour, or the last good one before a limit. The tests refuse each; the fuzzer starts from them. */

#include "tests/engine/format/blob.h"

typedef struct HostileTensor {
        const char *name;
        uint64_t name_size;             /* 0: strlen(name) */
        uint32_t n_dims;
        uint64_t ne[8];
        uint32_t type;
        uint64_t offset;
} HostileTensor;

typedef struct Hostile Hostile;
struct Hostile {
        const char *name;
        int error;                      /* what gguf_new() has to return; 0: a good file */
        const char *text;               /* what its error text has to hold */
        void (*make)(const Hostile *h, Blob *b);
        const char *bytes;              /* the rest: as make() reads it */
        size_t n_bytes;
        uint64_t a, b, c;
        HostileTensor tensors[2];
};

extern const Hostile hostile_files[];
extern const size_t n_hostile_files;
