/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bytes from a source into an open file, never more than were promised. The kinds of sources: cli/catalogue.h. Nothing
 * fetched counts before its digest was compared; that is cli/install.c's. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define FETCH_SIZE_MAX (UINT64_C(64) << 30)       /* where nobody knows the size: no model is larger */

typedef struct Fetch {
        int fd;                   /* written at its end */
        uint64_t at;              /* bytes that it holds */
        uint64_t size_max;        /* more is an error */
        const char *ca_file;      /* certificates to believe instead of the system's, or NULL */
        const char *folder;       /* where helpers may put files of their own */
        bool show;                /* a bar on the terminal */
        bool interrupted;         /* SIGINT or SIGTERM came (they are blocked meanwhile) */
        struct timespec drawn;    /* when the bar was */
} Fetch;

/* Each returns 0 or a negative errno and has said what is wrong; -EINTR: interrupted; -EFBIG: more than size_max.
 * fetch_https() goes on at `at`; where the server cannot, it begins anew. */
int fetch_https(Fetch *f, const char *url);
int fetch_pypi(Fetch *f, const char *source);             /* PACKAGE==VERSION!MEMBER */
int fetch_file(Fetch *f, const char *path);

/* For those three. */
int fetch_write(Fetch *f, const void *data, size_t size); /* says nothing; -EFBIG, or what write() said */
bool fetch_interrupted(Fetch *f);                         /* takes the signal, once */
void fetch_progress(Fetch *f, bool last);
