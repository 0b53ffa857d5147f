/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Copying a model's file into a folder: done by a process of its own (spark-import), so that neither a slow disk nor a slow
 * source holds up sparkd, and digested on the way. One at a time. */

#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "basic/cleanup.h"

#define IMPORT_BYTES_MAX (UINT64_C(1) << 40)
#define IMPORT_USEC (UINT64_C(3600) * 1000000)  /* then it is given up */
#define IMPORT_DIGEST_HEX 64u

typedef struct Import Import;

typedef struct ImportResult {
        int error;                         /* negative errno; 0: all else holds */
        uint64_t size;
        char sha256[IMPORT_DIGEST_HEX + 1];
} ImportResult;

/* Called once, at the end; the import may be freed in it. */
typedef void (*ImportDone)(void *userdata, const ImportResult *r);

/* Copies from the beginning of `source`, a regular file that is open for reading, to an unnamed file in `folder`. */
int import_new(sd_event *event, int source, const char *folder, ImportDone done, void *userdata, Import **ret);
/* Gives the copy its name, in place of what had it. */
int import_link(Import *i, const char *name);
/* What has no name yet is gone. */
Import *import_free(Import *i);
DEFINE_CLEANUP(Import, import_free);
