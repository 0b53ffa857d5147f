/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many processors' time a cgroup may use (cpu.max: Documentation/admin-guide/cgroup-v2.rst). The bound is that of
 * the cgroup and of all above it. The unified hierarchy alone is looked at. */

#include <stdint.h>

/* Of the process whose `cgroup_file` is ("/proc/self/cgroup"), in the cgroups under `root` ("/sys/fs/cgroup"): whole
 * processors, at least 1. UINT32_MAX: no bound, or none to be found. */
uint32_t cpu_quota(const char *cgroup_file, const char *root);

/* "QUOTA PERIOD" or "max PERIOD", in microseconds. -EBADMSG. */
int cpu_quota_parse(const char *text, uint32_t *ret);
