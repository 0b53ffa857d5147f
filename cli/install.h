/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bringing a model into a store: fetch, compare the digest, then and only then give it its name. */

#include "basic/model-store.h"
#include "cli/catalogue.h"
#include "cli/digest.h"

typedef struct Install {
        ModelStoreScope scope;
        const CatalogueEntry *entry;      /* sha256 "" and size 0: not known before, taken from the file (file: alone) */
        const char *ca_file;              /* or NULL */
        bool show;                        /* say what is done */
} Install;

/* ExitCode; has said what went wrong. EXIT_OK at once where that very model is installed. What https: has fetched until
 * an interruption stays, and is gone on with by the next install. */
int install_model(const Install *i);

/* Digest of an installed model's parts. */
int installed_digest(const ModelEntry *e, Digest *ret);
