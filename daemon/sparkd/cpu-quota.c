/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the reading of cpu.max. Rounds down: threads that meet after every piece of a token lose more by being throttled
 * together than one of them would add. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "basic/cleanup.h"
#include "daemon/sparkd/cpu-quota.h"

#define CGROUP_MAX 4096                   /* bytes of a path: the kernel's own bound */

int cpu_quota_parse(const char *text, uint32_t *ret) {
        uint64_t quota, period;

        if (strncmp(text, "max ", strlen("max ")) == 0) {
                *ret = UINT32_MAX;
                return 0;
        }
        if (sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period) != 2 || period == 0 || quota == 0)
                return -EBADMSG;
        *ret = (uint32_t) MIN(MAX(quota / period, UINT64_C(1)), (uint64_t) UINT32_MAX);
        return 0;
}

static int read_line(const char *path, char *ret, int size) {
        FILE *f = fopen(path, "re");
        if (!f)
                return -errno;
        const char *line = fgets(ret, size, f);
        fclose(f);
        return line ? 0 : -ENODATA;
}

/* The line of the unified hierarchy: "0::/PATH". */
static int read_cgroup(const char *file, char ret[CGROUP_MAX]) {
        char line[CGROUP_MAX + 8];
        int r = -ENOENT;

        FILE *f = fopen(file, "re");
        if (!f)
                return -errno;
        while (r < 0 && fgets(line, sizeof line, f))
                if (strncmp(line, "0::/", 4) == 0 && strlen(line + 3) < CGROUP_MAX) {
                        line[strcspn(line, "\n")] = '\0';
                        strcpy(ret, line + 3);
                        r = 0;
                }
        fclose(f);
        return r;
}

uint32_t cpu_quota(const char *cgroup_file, const char *root) {
        char cgroup[CGROUP_MAX], path[2 * CGROUP_MAX], line[64];
        uint32_t n, least = UINT32_MAX;

        /* What lies outside of this namespace's root is not to be found under it. */
        if (read_cgroup(cgroup_file, cgroup) < 0 || strstr(cgroup, "/.."))
                return least;
        for (char *end = cgroup + strlen(cgroup); end; end = strrchr(cgroup, '/')) {
                *end = '\0';
                if (snprintf(path, sizeof path, "%s%s/cpu.max", root, cgroup) < (int) sizeof path &&
                    read_line(path, line, sizeof line) >= 0 && cpu_quota_parse(line, &n) >= 0)
                        least = MIN(least, n);
        }
        return least;
}
