/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* sparkd.conf: "[Section]", "Key=value", comments with # or ;. Read in this order, later ones override:
 *   SPARK_PKGDATADIR/sparkd.conf, /etc/spark/sparkd.conf, /etc/spark/sparkd.conf.d/NAME.conf sorted by name,
 *   and for sparkd --user $XDG_CONFIG_HOME/spark/sparkd.conf. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/cleanup.h"

typedef struct Config {
        char *model;               /* [Model] Name= */
        bool model_fixed;          /* said on sparkd's command line: it stays */
        char **languages;          /* [Model] Languages=en fr …; NULL-terminated */
        uint32_t context;          /* [Model] Context=tokens; 0: what the model was trained for, within the engine's bound */
        uint32_t threads;          /* [Worker] Threads=; 0: as many as CPUs */
        uint64_t kv_bytes;         /* [Worker] CacheMax=bytes, or with K, M, G; 0: the engine's choice */
        char *kv_type;             /* [Worker] CacheType=i16, f16 or q8 */
        uint64_t memory_bytes;     /* [Worker] MemoryMax=: what one worker may write to; 0: by the model's size */
        uint64_t consent_usec;     /* [Policy] ConsentSec=: a question that nobody answers for so long is a no */
        char *rules_folder;        /* of rule files; NULL: the usual ones. Not from a file: sparkd's command line */
        char *worker_path;         /* of the program; NULL: the installed one. Not from a file: sparkd's command line */
        char *kernels;             /* [Worker] Kernels=; "": the best for this CPU */
        uint64_t idle_usec;        /* [Worker] IdleSec=; 0: the model stays in memory */
        char *pressure_file;       /* [Worker] PressureFile=: where memory pressure is told; "": by the system */
        uint64_t ping_usec;        /* [Worker] PingSec= */
        uint64_t watchdog_usec;    /* [Worker] WatchdogSec=: no answer for so long, and the worker is replaced */
        uint64_t load_usec;        /* [Worker] LoadTimeoutSec= */
        uint32_t turns_running;    /* [Worker] Parallel=: turns in the batch */
} Config;

int config_init(Config *c);
void config_done(Config *c);

/* Logs what it ignores. -ENOENT: there is no such file. */
int config_read_file(Config *c, const char *path);
int config_read_default(Config *c, bool user);

/* One assignment, as from a file. -EINVAL: no such key, or not a value for it. */
int config_set(Config *c, const char *section, const char *key, const char *value);
