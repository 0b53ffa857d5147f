/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The last layer: which system calls a role may make. Installed on all threads at once, after the model is mapped and
 * the threads exist and before a byte of the model is parsed. Whatever a table does not list kills the process. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <seccomp.h>

#define SECCOMP_RULE_ARGS_MAX 2u
#define SECCOMP_BPF_MAX 65536u        /* bytes of a compiled filter: 4,096 instructions and more */

typedef struct SeccompRule {
        const char *name;             /* as the manual has it */
        int number;                   /* SCMP_SYS() */
        int error;                    /* 0: allowed; else it fails with this */
        bool own_pid;                 /* the first argument is the process itself */
        unsigned n_args;
        struct scmp_arg_cmp args[SECCOMP_RULE_ARGS_MAX];
} SeccompRule;

typedef struct SeccompTable {
        const char *role;
        const SeccompRule *rules;
        size_t n_rules;
} SeccompTable;

extern const SeccompTable seccomp_worker;
extern const SeccompTable seccomp_sanitizers;   /* empty but in a build with sanitizers; added to any role there */

/* Negative: no filter, and the caller exits. *ret_digest: 64-bit FNV-1a over the compiled filter. */
int seccomp_install(const SeccompTable *table, uint64_t *ret_digest);
