/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* make-tiny-model FILE [LAYERS EMBEDDING HEADS HEADS_KV FF VOCABULARY TYPE]: the tiny model as a file, for tests that
 * are no C programs. TYPE is the format's number. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/cleanup.h"
#include "tests/engine/format/tiny-model.h"

int main(int argc, char *argv[]) {
        TinyModel m = { 0 };
        uint32_t type = 0, *const fields[] = { &m.n_layers, &m.n_embd, &m.n_heads, &m.n_heads_kv, &m.n_ff, &m.n_vocab, &type };
        _cleanup_free_ void *data = NULL;
        size_t size;

        if (argc < 2 || (size_t) argc - 2 > ELEMENTSOF(fields)) {
                fprintf(stderr, "usage: %s FILE [LAYERS EMBEDDING HEADS HEADS_KV FF VOCABULARY TYPE]\n", argv[0]);
                return 2;
        }
        for (int i = 2; i < argc; i++)
                *fields[i - 2] = (uint32_t) strtoul(argv[i], NULL, 10);
        m.type = (TensorTypeId) type;
        int r = tiny_model(&m, &data, &size);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
                return 1;
        }
        FILE *f = fopen(argv[1], "we");
        if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
                fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
                return 1;
        }
        return 0;
}
