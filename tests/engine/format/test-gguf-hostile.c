/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every file of hostile.c, one case each: refused with the right errno and a text that names the thing and the byte;
 * nothing written to the output; and never more memory asked for than the bytes that are really there account for. */

#include "engine/format/gguf.h"
#include "tests/engine/format/hostile.h"
#include "tests/test.h"

/* What the reader asks for in all, counted where the linker redirects its allocations (see meson.build). */
static size_t asked;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_malloc(size_t size) {
        asked += size;
        return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
        asked += n * size;
        return __real_calloc(n, size);
}

static const Hostile *current;

static void read_file(void) {
        const Hostile *h = current++;
        Blob b = { 0 };
        EngineError e = { 0 };
        Gguf *g = NULL;

        h->make(h, &b);
        GgufPart part = { b.data, b.size };
        asked = 0;
        int r = gguf_new(&part, 1, &g, &e);
        size_t used = asked;
        if (r >= 0)
                g = gguf_free(g);
        blob_done(&b);

        if (r != h->error || !strstr(e.text, h->text))
                printf("# %d '%s'\n", r, e.text);
        CHECK_INT(r, h->error);
        CHECK(!g);
        CHECK(strstr(e.text, h->text));
        CHECK(r >= 0 || strstr(e.text, "byte "));
        CHECK(used >= sizeof(void *) && used <= 8192 + 8 * part.size);
}

int main(void) {
        _cleanup_free_ TestCase *cases = calloc(n_hostile_files, sizeof *cases);
        for (size_t i = 0; i < n_hostile_files; i++)
                cases[i] = (TestCase) { hostile_files[i].name, read_file };
        current = hostile_files;
        return test_main(cases, n_hostile_files);
}
