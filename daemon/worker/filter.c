/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way from a table to a filter in the kernel. Any rule that cannot be added is a failure of the whole: half a
 * filter would be a filter that nobody wrote down. */

#include <errno.h>
#include <fcntl.h>

#include "basic/cleanup.h"
#include "daemon/worker/filter.h"

static void context_free(scmp_filter_ctx *c) {
        if (*c)
                seccomp_release(*c);
}

static int add_table(scmp_filter_ctx c, const FilterTable *table) {
        for (size_t i = 0; i < table->n_rules; i++) {
                const FilterRule *rule = table->rules + i;
                struct scmp_arg_cmp args[FILTER_ARGS_MAX + 1];
                unsigned n = 0;
                if (rule->own_pid)
                        args[n++] = (struct scmp_arg_cmp) { 0, SCMP_CMP_EQ, (scmp_datum_t) getpid(), 0 };
                for (unsigned a = 0; a < rule->n_args; a++)
                        args[n++] = rule->args[a];
                int r = seccomp_rule_add_array(c, rule->error ? SCMP_ACT_ERRNO((uint16_t) rule->error) : SCMP_ACT_ALLOW,
                                               rule->number, n, args);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Through a pipe: the library writes to a descriptor, and a worker can have no file. */
static int digest_filter(scmp_filter_ctx c, uint64_t *ret) {
        int p[2];
        if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        _cleanup_close_ int in = p[0], out = p[1];
        int r = seccomp_export_bpf(c, out);
        if (r < 0)
                return r;
        out = safe_close(out);

        uint64_t h = UINT64_C(0xcbf29ce484222325);
        unsigned char buffer[4096];
        ssize_t n;
        while ((n = read(in, buffer, sizeof buffer)) > 0)
                for (ssize_t i = 0; i < n; i++)
                        h = (h ^ buffer[i]) * UINT64_C(0x100000001b3);
        if (n < 0)
                return -errno;
        *ret = h;
        return 0;
}

int filter_install(const FilterTable *table, uint64_t *ret_digest) {
        _cleanup_(context_free) scmp_filter_ctx c = seccomp_init(SCMP_ACT_KILL_PROCESS);
        if (!c)
                return -ENOMEM;

        int r = seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r >= 0)
                r = seccomp_attr_set(c, SCMP_FLTATR_CTL_TSYNC, 1);
        if (r >= 0)
                r = add_table(c, table);
        if (r >= 0)
                r = add_table(c, &filter_sanitizers);
        uint64_t digest = 0;
        if (r >= 0)
                r = digest_filter(c, &digest);
        if (r >= 0)
                r = seccomp_load(c);
        if (r < 0)
                return r;
        *ret_digest = digest;
        return 0;
}
