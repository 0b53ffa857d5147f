/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a rule file: it is read, every question has an answer with its place, and what is told of mistakes is text
 * that a line of the journal and the bus can hold. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules.h"
#include "tests/fuzz/promise.h"

/* One folder a process; libFuzzer ends it in ways that leave no moment to remove it. */
static const char *folder(void) {
        static char path[] = "/dev/shm/spark-fuzz-rules-XXXXXX";
        if (path[sizeof path - 2] == 'X')
                PROMISE(mkdtemp(path));
        return path;
}

static void ask(const Rules *r, const Identity *id) {
        RulePlace place;
        for (unsigned c = 0; c < CAPABILITY_MAX_; c++) {
                Verdict v = rules_verdict(r, id, (Capability) c, c == CAPABILITY_TOOL ? "open-file" : "", &place);
                PROMISE(verdict_name(v) && place.file && (place.line > 0 || v == VERDICT_DENY));
        }
        for (unsigned l = 0; l < LIMIT_MAX_; l++)
                for (int per_user = 0; per_user < 2; per_user++)
                        (void) rules_limit(r, id, per_user, (RuleLimit) l, &place);
        (void) rules_priority(r, id);
        (void) rules_on_battery(r, id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const Identity ids[] = {
                { 1000, IDENTITY_FLATPAK, CERTAINTY_SANDBOXED, "org.mozilla.firefox", "" },
                { 1000, IDENTITY_EXECUTABLE, CERTAINTY_PATH, "/usr/bin/notes", "" },
                { 1001, IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?", "" },
        };
        _cleanup_(rules_freep) Rules *r = NULL;
        const char *in = folder();
        char path[64];

        snprintf(path, sizeof path, "%s/a.conf", in);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        PROMISE(fd >= 0 && write(fd, data, size) == (ssize_t) size && close(fd) == 0);
        PROMISE(rules_load(&in, 1, &r) == 0);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ask(r, ids + i);
        for (size_t i = 0; i < rules_n_problems(r) && i < RULE_PROBLEMS_MAX; i++) {
                const char *text = rules_problem(r, i);
                PROMISE(text && strncmp(text, path, strlen(path)) == 0 && !strchr(text, '\n'));
                for (const unsigned char *p = (const unsigned char *) text; *p; p++)
                        PROMISE(*p >= 0x20 && *p < 0x7f);
        }
        return 0;
}
