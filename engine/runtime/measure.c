/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reading of every position's logits. The context is computed through the same pages and the same forward
 * pass as any other, in chunks, so that what is measured is what answers. */

#include <errno.h>

#include "engine/runtime/runtime.h"

#define LOGITS_CHUNK 32u                      /* rows of a vocabulary's width at a time */

static int run(SparkEngine *e, KvTable *kv, const uint32_t *ids, size_t n, SparkLogits callback, void *userdata, EngineError *reterr) {
        const size_t stride = forward_logits_stride(e->model);

        while (kv->n_held < n) {
                const uint32_t rows = (uint32_t) MIN(n - kv->n_held, (size_t) LOGITS_CHUNK);
                int r = kv_table_reserve(kv, rows);
                if (r < 0)
                        return engine_fail(reterr, r, "no pages for %zu tokens", n);

                Segment segment = { .ids = ids + kv->n_held, .n = rows, .pos0 = (uint32_t) kv->n_held, .n_logits = rows };
                for (unsigned g = 0; g < MODEL_KV_GROUPS_MAX; g++)
                        segment.pages[g] = kv->data[g];
                forward_run(e->forward, e->pool, &segment, 1, e->logits);
                for (uint32_t i = 0; i < rows; i++) {
                        r = callback(userdata, kv->n_held + i, e->logits + i * stride, e->model->hp.n_vocab);
                        if (r < 0)
                                return r;
                }
                kv_table_advance(kv, ids, rows);
        }
        return 0;
}

int spark_engine_logits(SparkEngine *e, const uint32_t *ids, size_t n, SparkLogits callback, void *userdata, EngineError *reterr) {
        for (size_t i = 0; i < e->n_sequences; i++)
                if (sequence_running(e->sequences[i]))
                        return engine_fail(reterr, -EBUSY, "sequences run");
        if (n > e->n_ctx)
                return engine_fail(reterr, -ENOBUFS, "%zu tokens do not fit in a context of %u", n, e->n_ctx);
        for (size_t i = 0; i < n; i++)
                if (ids[i] >= e->model->hp.n_vocab)
                        return engine_fail(reterr, -EINVAL, "token id %u is outside a vocabulary of %u", ids[i], e->model->hp.n_vocab);

        int r = engine_reserve_logits(e, LOGITS_CHUNK);
        if (r < 0)
                return engine_fail(reterr, r, "no memory for logits of %u positions", LOGITS_CHUNK);
        for (size_t i = 0; i < e->n_sequences; i++)
                kv_table_clear(&e->sequences[i]->kv);

        KvTable kv;
        kv_table_init(&kv, e->cache, e->model->kv_groups, (KvDomain) { .sequence = ++e->clock });
        r = run(e, &kv, ids, n, callback, userdata, reterr);
        kv_table_done(&kv);
        return r;
}
