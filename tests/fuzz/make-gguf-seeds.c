/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* make-gguf-seeds FOLDER: writes the seeds that corpus/gguf was made of: the broken files of the tests, a tiny model,
 * a file with a tensor of every type, and the three parts of a split one after another. */

#include <stdio.h>
#include <string.h>

#include "engine/format/gguf-writer.h"
#include "tests/engine/format/hostile.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/engine/format/tiny-weights.h"

#define SEED_MAX 65536u                 /* longer ones teach the fuzzer nothing */

static int save(const char *folder, const char *name, const void *data, size_t size) {
        char path[512];
        if (size > SEED_MAX)
                return 0;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        for (char *p = path + strlen(folder) + 1; *p; p++)
                if (*p == ' ' || *p == ',')
                        *p = '-';
        FILE *f = fopen(path, "we");
        if (!f)
                return -errno;
        size_t n = fwrite(data, 1, size, f);
        return fclose(f) != 0 || n != size ? -EIO : 0;
}

static int save_hostile(const char *folder) {
        int r = 0;
        for (size_t i = 0; r == 0 && i < n_hostile_files; i++) {
                Blob b = { 0 };
                hostile_files[i].make(&hostile_files[i], &b);
                if (b.size < 4096)      /* not the longest keys */
                        r = save(folder, hostile_files[i].name, b.data, b.size);
                blob_done(&b);
        }
        return r;
}

static int save_writer(const char *folder, const char *name, GgufWriter *w, Blob *append) {
        _cleanup_free_ void *data = NULL;
        size_t size;
        int r = gguf_writer_to_memory(w, &data, &size);
        if (r < 0)
                return r;
        if (!append)
                return save(folder, name, data, size);
        blob_put(append, data, size);
        return 0;
}

static int save_every_type(const char *folder) {
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        void *data[64] = { 0 };
        uint64_t random = 1;
        int r = gguf_writer_new(&w);
        for (uint32_t id = 0; r >= 0 && id < ELEMENTSOF(data); id++) {
                const TensorType *type = tensor_type(id);
                if (!type)
                        continue;
                r = tiny_weights(type, type->block_size, 0, 1, &random, &data[id]);
                if (r >= 0)
                        r = gguf_writer_tensor(w, type->name, type, 1, (uint64_t[]) { type->block_size }, data[id]);
        }
        if (r >= 0)
                r = save_writer(folder, "a tensor of every type", w, NULL);
        for (size_t i = 0; i < ELEMENTSOF(data); i++)
                free(data[i]);
        return r;
}

static int save_split(const char *folder) {
        static const float x[8];
        Blob all = { 0 };
        int r = 0;
        for (uint16_t i = 0; r >= 0 && i < 3; i++) {
                _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
                r = gguf_writer_new(&w);
                if (r < 0)
                        break;
                gguf_writer_u16(w, "split.no", (uint16_t) (2 - i));
                gguf_writer_u16(w, "split.count", 3);
                gguf_writer_i32(w, "split.tensors.count", 3);
                gguf_writer_tensor(w, (const char *[]) { "a", "b", "c" }[i], tensor_type(TENSOR_F32), 1, (uint64_t[]) { 8 }, x);
                r = save_writer(folder, NULL, w, &all);
        }
        if (r >= 0)
                r = save(folder, "split in three", all.data, all.size);
        blob_done(&all);
        return r;
}

static int save_tiny(const char *folder) {
        _cleanup_free_ void *data = NULL;
        size_t size;
        int r = tiny_model(&(TinyModel) { .n_layers = 1, .n_embd = 32, .n_heads = 1, .n_heads_kv = 1, .n_ff = 32, .type = TENSOR_Q4_0 },
                           &data, &size);
        return r < 0 ? r : save(folder, "tiny model", data, size);
}

int main(int argc, char *argv[]) {
        if (argc != 2) {
                fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
                return 2;
        }
        int r = save_hostile(argv[1]) ?: save_every_type(argv[1]) ?: save_split(argv[1]) ?: save_tiny(argv[1]);
        if (r < 0)
                fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
        return r < 0;
}
