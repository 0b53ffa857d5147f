/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processors that a cgroup may use, from a tree of files as the kernel's: the least of it and all above. */

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/sparkd/cpu-quota.h"
#include "tests/test.h"

static void test_parse(void) {
        static const struct { const char *text; int r; uint32_t n; } rows[] = {
                { "max 100000\n",         0,        UINT32_MAX },
                { "100000 100000\n",      0,        1 },
                { "200000 100000\n",      0,        2 },
                { "350000 100000\n",      0,        3 },        /* rounded down … */
                { "5000 100000\n",        0,        1 },        /* … to one at least */
                { "800000 50000\n",       0,        16 },
                { "18446744073709551615 1\n", 0,    UINT32_MAX },
                { "100000 0\n",           -EBADMSG, 0 },
                { "0 100000\n",           -EBADMSG, 0 },
                { "max\n",                -EBADMSG, 0 },
                { "many 100000\n",        -EBADMSG, 0 },
                { "",                     -EBADMSG, 0 },
        };
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint32_t n = 0;
                CHECK_INT(cpu_quota_parse(rows[i].text, &n), rows[i].r);
                CHECK_INT(n, rows[i].n);
        }
}

static char root[] = "/tmp/spark-test-cgroup-XXXXXX";

static void write_file(const char *name, const char *text) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", root, name);
        FILE *f = fopen(path, "we");
        CHECK(f);
        CHECK(fputs(text, f) >= 0);
        CHECK(fclose(f) == 0);
}

static uint32_t quota_in(const char *cgroups) {
        char path[256];
        write_file("cgroup", cgroups);
        snprintf(path, sizeof path, "%s/cgroup", root);
        return cpu_quota(path, root);
}

static void test_tree(void) {
        char command[128];
        CHECK(mkdtemp(root));
        snprintf(command, sizeof command, "mkdir -p %s/system.slice/sparkd.service", root);
        CHECK_INT(system(command), 0);

        /* The root has no such file, nor has a cgroup without the controller. */
        CHECK_INT(quota_in("0::/system.slice/sparkd.service\n"), UINT32_MAX);
        write_file("system.slice/cpu.max", "max 100000\n");
        write_file("system.slice/sparkd.service/cpu.max", "max 100000\n");
        CHECK_INT(quota_in("0::/system.slice/sparkd.service\n"), UINT32_MAX);
        write_file("system.slice/sparkd.service/cpu.max", "400000 100000\n");
        CHECK_INT(quota_in("12:cpu:/elsewhere\n0::/system.slice/sparkd.service\n"), 4);
        write_file("system.slice/cpu.max", "200000 100000\n");
        CHECK_INT(quota_in("0::/system.slice/sparkd.service\n"), 2);
        CHECK_INT(quota_in("0::/system.slice\n"), 2);
        CHECK_INT(quota_in("0::/\n"), UINT32_MAX);
        write_file("cpu.max", "100000 100000\n");              /* of a namespace whose root is bounded */
        CHECK_INT(quota_in("0::/\n"), 1);
        CHECK_INT(quota_in("0::/system.slice/sparkd.service\n"), 1);

        CHECK_INT(quota_in("0::/../system.slice\n"), UINT32_MAX);
        CHECK_INT(quota_in("4:cpu:/system.slice\n"), UINT32_MAX);
        CHECK_INT(quota_in(""), UINT32_MAX);
        CHECK_INT(cpu_quota("/nonexistent", root), UINT32_MAX);
        snprintf(command, sizeof command, "rm -r %s", root);
        CHECK_INT(system(command), 0);
}

TEST_MAIN({ "one file", test_parse }, { "a tree of them", test_tree })
