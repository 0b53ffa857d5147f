/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Dictionaries of options (a{sv}), read by a table: unknown keys are kept to be told, a known key of another type
 * or out of its range is an error that names it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-bus.h>

#include "basic/cleanup.h"
#include "daemon/sparkd/limits.h"

/* Keys that were not known, in the order they came; at most IGNORED_MAX. */
typedef struct IgnoredKeys {
        char *keys[IGNORED_MAX + 1];       /* NULL-terminated */
        size_t n;
} IgnoredKeys;

void ignored_keys_done(IgnoredKeys *k);
int ignored_keys_add(IgnoredKeys *k, const char *key);       /* a key that is there already is no error */
int ignored_keys_add_all(IgnoredKeys *k, const IgnoredKeys *other);

typedef struct OptionSpec {
        const char *key;
        const char *type;                  /* "s": char *, "as": char ** (strv), "b": bool, "u": uint32_t, "t": uint64_t, "d": double */
        size_t offset;                     /* in the target */
        double min, max;                   /* of a number; max of a string: bytes. Not looked at for "t" */
        size_t given;                      /* offset of a bool that becomes true, or OPTION_ALWAYS */
} OptionSpec;

#define OPTION_ALWAYS SIZE_MAX

/* Reads the dictionary that comes next in m. Strings are newly allocated, what the target held is freed. Returns 0,
 * or negative with *reterr set where the caller is to blame. `ignored` NULL: unknown keys are dropped. */
int options_read(sd_bus_message *m, const OptionSpec *specs, size_t n_specs, void *target, IgnoredKeys *ignored, sd_bus_error *reterr);
/* The same where there are none yet. */
int no_options(sd_bus_message *m, sd_bus_error *reterr);

/* ---- what shapes a reply ---- */

typedef struct Generation {
        uint32_t max_tokens;
        double temperature, top_p, min_p, repeat_penalty;
        uint32_t top_k;
        uint64_t seed;
        bool has_seed;
        uint32_t n_ctx;                    /* of the session, by the rules; 0: as much as the model has */
} Generation;

#define GENERATION_DEFAULT ((Generation) { .max_tokens = UINT32_MAX, .temperature = 0.2, .top_p = 0.9, .min_p = 0.05, .top_k = 40, .repeat_penalty = 1.1 })

/* Rows of an OptionSpec table whose target holds a Generation at `at`. */
#define GENERATION_OPTIONS(at)                                                                                          \
        { "max-tokens", "u", (at) + offsetof(Generation, max_tokens), 1, UINT32_MAX, OPTION_ALWAYS },                   \
        { "temperature", "d", (at) + offsetof(Generation, temperature), 0, 2, OPTION_ALWAYS },                          \
        { "top-p", "d", (at) + offsetof(Generation, top_p), 0, 1, OPTION_ALWAYS },                                      \
        { "top-k", "u", (at) + offsetof(Generation, top_k), 0, 1000, OPTION_ALWAYS },                                   \
        { "min-p", "d", (at) + offsetof(Generation, min_p), 0, 1, OPTION_ALWAYS },                                      \
        { "repeat-penalty", "d", (at) + offsetof(Generation, repeat_penalty), 1, 2, OPTION_ALWAYS },                    \
        { "seed", "t", (at) + offsetof(Generation, seed), 0, 0, (at) + offsetof(Generation, has_seed) }
