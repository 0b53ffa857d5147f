/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where installed models are, and what is known of them. A store is a folder with, per model,
 *   NAME.gguf            the weights (or NAME-00001-of-0000N.gguf … for a split one)
 *   NAME.json            {"name", "kind", "sha256", "licence", "size", "source", "title", "parts": [FILE, …]}
 * NAME matches [a-z0-9][a-z0-9._-]{0,63}. Searched in order: $SPARK_MODELS_DIR, the user's ($XDG_DATA_HOME/spark/models,
 * not in the system instance), SPARK_MODELS_DIR (/var/lib/spark/models), SPARK_IMPORTED_MODELS_DIR
 * (/var/lib/spark/state/models: what sparkd was handed by the bus), SPARK_PKGDATADIR/models.
 * Shared by sparkd, sparkctl and spark-lm; reads only what is named, follows no path out of the store. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/cleanup.h"

#define MODEL_NAME_MAX 64u
#define MODEL_PARTS_MAX 64u
#define MODEL_INFO_MAX (64u << 10)        /* bytes of a NAME.json */

typedef enum ModelStoreScope { MODEL_STORE_USER, MODEL_STORE_SYSTEM } ModelStoreScope;

typedef struct ModelEntry {
        char *name, *kind, *title, *sha256, *licence, *source;   /* "" where the file does not say */
        char *directory;
        char **parts;                                            /* file names in directory, NULL-terminated */
        size_t n_parts;
        uint64_t size;                                           /* bytes, all parts */
} ModelEntry;

ModelEntry *model_entry_free(ModelEntry *e);
DEFINE_CLEANUP(ModelEntry, model_entry_free);

bool model_name_valid(const char *name);

/* -ENOENT: not installed in any store. -EBADMSG: its json is broken. */
int model_store_find(ModelStoreScope scope, const char *name, ModelEntry **ret);

/* Every model, each name once (first store wins), sorted. *ret: array of *ret_n, each and the array to be freed. */
int model_store_list(ModelStoreScope scope, ModelEntry ***ret, size_t *ret_n);

/* Opens the parts read-only (O_CLOEXEC, O_NOFOLLOW, regular files only). fds[MODEL_PARTS_MAX]. */
int model_entry_open(const ModelEntry *e, int *ret_fds, size_t *ret_n);

/* The folder that an install by this user writes to (created 0755 where missing): the user's, or root's with SYSTEM. */
int model_store_writable(ModelStoreScope scope, char **ret);
