/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a Gguf: the headers of one file, or of all parts of a split one put in order, and one sorted index of tensor
 * names. Sorted rather than hashed, because the names are a stranger's: no choice of them makes a look-up slow. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/format/gguf-internal.h"

struct Gguf {
        GgufHeader headers[GGUF_PARTS_MAX]; /* in the order of split.no */
        size_t n_headers;
        const GgufTensor **tensors;         /* in file order, part after part */
        const GgufTensor **by_name;
        size_t n_tensors;
};

static int compare_names(const void *a, const void *b) {
        return strcmp((*(const GgufTensor *const *) a)->name, (*(const GgufTensor *const *) b)->name);
}

static int index_tensors(Gguf *g, EngineError *reterr) {
        size_t n = 0;
        for (size_t i = 0; i < g->n_headers; i++)
                n += g->headers[i].n_tensors; /* at most 64 times 65,536 */
        if (n > GGUF_TENSORS_MAX)
                return engine_fail(reterr, -EBADMSG, "%zu tensors in all parts, at most %u are read", n, GGUF_TENSORS_MAX);

        g->tensors = calloc(n + 1, sizeof *g->tensors);
        g->by_name = calloc(n + 1, sizeof *g->by_name);
        if (!g->tensors || !g->by_name)
                return engine_fail(reterr, -ENOMEM, "out of memory for %zu tensors", n);
        for (size_t i = 0; i < g->n_headers; i++)
                for (size_t j = 0; j < g->headers[i].n_tensors; j++) {
                        GgufTensorEntry *e = &g->headers[i].tensors[j];
                        e->tensor.name = e->name;
                        g->tensors[g->n_tensors] = g->by_name[g->n_tensors] = &e->tensor;
                        g->n_tensors++;
                }
        qsort(g->by_name, n, sizeof *g->by_name, compare_names);
        for (size_t i = 1; i < n; i++)
                if (strcmp(g->by_name[i - 1]->name, g->by_name[i]->name) == 0) {
                        const GgufTensorEntry *e = (const GgufTensorEntry *) g->by_name[i]; /* its first member */
                        return engine_fail(reterr, -EBADMSG, "tensor '%s': stands there twice (byte %zu)", e->name, e->at);
                }
        return 0;
}

static int split_number(const GgufHeader *h, const char *key, const char *where, uint64_t *ret, EngineError *reterr) {
        const GgufKv *kv = gguf_header_find(h, key);
        if (!kv)
                return engine_fail(reterr, -EBADMSG, "metadata '%s': missing (%sbyte 0)", key, where);
        if (gguf_unsigned_at(kv->type, kv->data, ret) < 0)
                return engine_fail(reterr, -EBADMSG, "metadata '%s': no unsigned number (%sbyte %zu)", key, where, kv->at);
        return 0;
}

/* Where in the order this part belongs, given that there are n. */
static int split_place(const GgufHeader *h, const char *where, size_t n, size_t *ret, EngineError *reterr) {
        uint64_t count, no;
        if (n == 1 && !gguf_header_find(h, "split.count")) {
                *ret = 0;
                return 0;
        }
        int r = split_number(h, "split.count", where, &count, reterr);
        if (r < 0)
                return r;
        if (count != n)
                return engine_fail(reterr, -EBADMSG, "metadata 'split.count': %llu parts, %zu given (%sbyte %zu)",
                                   (unsigned long long) count, n, where, gguf_header_find(h, "split.count")->at);
        r = split_number(h, "split.no", where, &no, reterr);
        if (r < 0)
                return r;
        if (no >= n)
                return engine_fail(reterr, -EBADMSG, "metadata 'split.no': part %llu of %zu (%sbyte %zu)",
                                   (unsigned long long) no, n, where, gguf_header_find(h, "split.no")->at);
        *ret = no;
        return 0;
}

static int check_split_total(const Gguf *g, EngineError *reterr) {
        uint64_t total;
        if (g->n_headers == 1)
                return 0;
        int r = split_number(&g->headers[0], "split.tensors.count", "part 1, ", &total, reterr);
        if (r < 0)
                return r;
        if (total != g->n_tensors)
                return engine_fail(reterr, -EBADMSG, "metadata 'split.tensors.count': %llu tensors, the parts hold %zu (byte %zu)",
                                   (unsigned long long) total, g->n_tensors,
                                   gguf_header_find(&g->headers[0], "split.tensors.count")->at);
        return 0;
}

int gguf_new(const GgufPart *parts, size_t n_parts, Gguf **ret, EngineError *reterr) {
        bool seen[GGUF_PARTS_MAX] = { 0 };
        int r;

        if (n_parts < 1 || n_parts > GGUF_PARTS_MAX)
                return engine_fail(reterr, -EINVAL, "%zu parts given, 1 to %u are read", n_parts, GGUF_PARTS_MAX);
        _cleanup_(gguf_freep) Gguf *g = calloc(1, sizeof *g);
        if (!g)
                return engine_fail(reterr, -ENOMEM, "out of memory");
        g->n_headers = n_parts;

        for (size_t i = 0; i < n_parts; i++) {
                _cleanup_(gguf_header_done) GgufHeader h = { 0 };
                char where[32] = "";
                size_t place;
                if (n_parts > 1)
                        snprintf(where, sizeof where, "part %zu, ", i + 1);
                r = gguf_header_parse(&parts[i], where, &h, reterr);
                if (r < 0)
                        return r;
                r = split_place(&h, where, n_parts, &place, reterr);
                if (r < 0)
                        return r;
                if (seen[place])
                        return engine_fail(reterr, -EBADMSG, "metadata 'split.no': part %zu is given twice (%sbyte %zu)",
                                           place, where, gguf_header_find(&h, "split.no")->at);
                seen[place] = true;
                g->headers[place] = h;
                h = (GgufHeader) { 0 };
        }
        r = index_tensors(g, reterr);
        if (r < 0)
                return r;
        r = check_split_total(g, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(g);
        return 0;
}

Gguf *gguf_free(Gguf *g) {
        if (!g)
                return NULL;
        for (size_t i = 0; i < g->n_headers; i++)
                gguf_header_done(&g->headers[i]);
        free(g->tensors);
        free(g->by_name);
        free(g);
        return NULL;
}

const GgufHeader *gguf_header(const Gguf *g) {
        return &g->headers[0];
}

size_t gguf_n_tensors(const Gguf *g) {
        return g->n_tensors;
}

const GgufTensor *gguf_tensor_at(const Gguf *g, size_t i) {
        return g->tensors[i];
}

const GgufTensor *gguf_tensor(const Gguf *g, const char *name) {
        const GgufTensor wanted = { .name = name }, *p = &wanted;
        const GgufTensor **found = bsearch(&p, g->by_name, g->n_tensors, sizeof *g->by_name, compare_names);
        return found ? *found : NULL;
}
