/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The last layer: which system calls a role may make. Installed on all threads at once, after the model is mapped and
 * the threads exist and before a byte of the model is parsed. Whatever a table does not list kills the process. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <seccomp.h>

#define FILTER_ARGS_MAX 2u

typedef struct FilterRule {
        const char *name;             /* as the manual has it */
        int number;                   /* SCMP_SYS() */
        int error;                    /* 0: allowed; else it fails with this */
        bool own_pid;                 /* the first argument is the process itself */
        unsigned n_args;
        struct scmp_arg_cmp args[FILTER_ARGS_MAX];
} FilterRule;

typedef struct FilterTable {
        const char *role;
        const FilterRule *rules;
        size_t n_rules;
} FilterTable;

extern const FilterTable filter_worker;
extern const FilterTable filter_sanitizers;   /* empty but in a build with sanitizers; added to any role there */

/* Negative: no filter, and the caller exits. *ret_digest: 64-bit FNV-1a over the compiled filter. */
int filter_install(const FilterTable *table, uint64_t *ret_digest);
