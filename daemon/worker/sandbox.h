/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a worker does to itself before it reads anything: every layer but the last, which is filter.h. In this order:
 * no new privileges, not dumpable, namespaces, an empty root, capabilities, the user, limits, Landlock. A layer that the
 * kernel has and that cannot be put on is an error; one that the kernel or a container refuses is left out, and the
 * facts say so. Single-threaded: Landlock holds for the calling thread and those it starts afterwards. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Address space beyond the model's files and the memory limit: stacks, libraries, the allocator's reserve. */
#define SANDBOX_ADDRESS_SPACE_SLACK (UINT64_C(4) << 30)

typedef struct SandboxParams {
        uint64_t memory_max;          /* RLIMIT_DATA; 0: none */
        bool drop_root;               /* uid 0 without a user namespace: become nobody */
} SandboxParams;

typedef struct SandboxFacts {         /* which of the optional layers hold */
        bool mount_namespace, network_namespace, ipc_namespace, uts_namespace, cgroup_namespace;
        bool empty_root;
        bool changed_user;
        int landlock_abi;             /* 0: the kernel has none */
} SandboxFacts;

/* On failure *reterr_step names the layer. The process is then good for nothing but to exit. */
int sandbox_enter(const SandboxParams *p, SandboxFacts *ret, const char **reterr_step);

/* Once the sizes are known and the descriptors have come: no further descriptor, and no address space beyond this. */
int sandbox_close_limits(uint64_t memory_max, uint64_t mapped);
