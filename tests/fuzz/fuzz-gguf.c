/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as a GGUF file, or as the parts of a split one: a part begins wherever the magic stands. What is accepted
 * is used as a loader would, and must keep the header's promises: every tensor whole inside its part and aligned,
 * every key found again, every value readable by somebody or refused. Seeds: make-gguf-seeds.c. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/format/gguf.h"
#include "tests/fuzz/promise.h"

#define PARTS_MAX 4u

static bool inside(const GgufTensor *t, const GgufPart *parts, size_t n) {
        uintptr_t start = (uintptr_t) t->data;
        for (size_t i = 0; i < n; i++) {
                uintptr_t base = (uintptr_t) parts[i].data;
                if (start >= base && start - base <= parts[i].size && t->size <= parts[i].size - (start - base))
                        return true;
        }
        return false;
}

static void use_metadata(const Gguf *g) {
        EngineError e;
        for (size_t i = 0; i < gguf_n_kv(g); i++) {
                char text[96];
                const char *key = gguf_kv_at(g, i, text, 1 + i % sizeof text);
                PROMISE(key[0] && strlen(text) < 1 + i % sizeof text);

                _cleanup_free_ GgufString *strings = NULL;
                _cleanup_free_ uint32_t *u32s = NULL;
                _cleanup_free_ float *f32s = NULL;
                GgufString s = { 0 };
                uint64_t u64;
                uint32_t u32;
                size_t n = 0;
                float f;
                bool b;
                int results[] = {
                        gguf_u64(g, key, &u64, &e), gguf_u32(g, key, &u32, &e), gguf_f32(g, key, &f, &e),
                        gguf_bool(g, key, &b, &e), gguf_string(g, key, &s, &e),
                        gguf_strings(g, key, &strings, &n, &e), gguf_u32s(g, key, &u32s, &n, &e), gguf_f32s(g, key, &f32s, &n, &e),
                };
                for (size_t j = 0; j < ELEMENTSOF(results); j++)
                        PROMISE(results[j] == 0 || results[j] == -EBADMSG);
                size_t sum = 0;
                for (size_t j = 0; j < s.size; j++)
                        sum += (unsigned char) s.data[j];
                for (size_t j = 0; strings && j < n; j++)
                        for (size_t k = 0; k < strings[j].size; k++)
                                sum += (unsigned char) strings[j].data[k];
                __asm__ volatile("" : : "r"(sum)); /* the reads are the point */
        }
}

static void use_tensors(const Gguf *g, const GgufPart *parts, size_t n_parts) {
        for (size_t i = 0; i < gguf_n_tensors(g); i++) {
                const GgufTensor *t = gguf_tensor_at(g, i);
                PROMISE(gguf_tensor(g, t->name) == t);
                PROMISE(strlen(t->name) > 0 && strlen(t->name) < GGUF_NAME_MAX);
                PROMISE(t->n_dims >= 1 && t->n_dims <= 4 && t->ne[0] && t->ne[1] && t->ne[2] && t->ne[3]);
                PROMISE((uintptr_t) t->data % 32 == 0 && inside(t, parts, n_parts));
                PROMISE(t->ne[0] % t->type->block_size == 0);
                PROMISE(t->ne[0] / t->type->block_size * t->type->block_bytes * t->ne[1] * t->ne[2] * t->ne[3] == t->size);

                const size_t n = t->size / t->type->block_bytes * t->type->block_size;
                _cleanup_free_ float *x = n <= 65536 ? malloc(n * sizeof *x) : NULL;
                if (x)
                        t->type->dequantize(t->data, x, n);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        GgufPart parts[PARTS_MAX];
        void *copies[PARTS_MAX];
        size_t n = 0;
        while (n < PARTS_MAX && (size > 0 || n == 0)) {
                const uint8_t *next = size > 4 && n + 1 < PARTS_MAX ? memmem(data + 4, size - 4, "GGUF", 4) : NULL;
                size_t here = next ? (size_t) (next - data) : size;
                if (posix_memalign(&copies[n], 32, here ?: 1) != 0)
                        abort();
                memcpy(copies[n], data, here);
                parts[n] = (GgufPart) { copies[n], here };
                data += here;
                size -= here;
                n++;
        }

        EngineError e = { 0 };
        Gguf *g = NULL;
        int r = gguf_new(parts, n, &g, &e);
        PROMISE(r == 0 || r == -EBADMSG || r == -ENOTSUP);
        PROMISE((r == 0) == (g != NULL) && (r == 0) == (e.text[0] == 0));
        if (g) {
                use_metadata(g);
                use_tensors(g, parts, n);
        }
        gguf_free(g);
        for (size_t i = 0; i < n; i++)
                free(copies[i]);
        return 0;
}
