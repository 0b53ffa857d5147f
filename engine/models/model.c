/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the life of a SparkModel: index, parameters, tokenizer, template, weights, in that order, each checked before
 * the next is built on it. */

#include <errno.h>
#include <string.h>

#include "engine/models/model.h"
#include "engine/spark-engine.h"

static int read_name(SparkModel *m) {
        GgufString s;
        if (gguf_string(m->gguf, "general.name", &s, NULL) < 0)
                s = (GgufString) { "", 0 };
        m->name = strndup(s.data, MIN(s.size, (size_t) 256));
        if (!m->name)
                return -ENOMEM;
        for (char *p = m->name; *p; p++)
                if (*p < 0x20 || *p > 0x7e)
                        *p = '?';
        return 0;
}

/* A template that does not parse costs chat, not the model: raw text can still be completed. */
static int read_chat_template(SparkModel *m) {
        GgufString s;
        int r = gguf_string(m->gguf, "tokenizer.chat_template", &s, &m->chat_template_error);
        if (r == -ENOENT)
                engine_fail(&m->chat_template_error, r, "the model file has no chat template");
        if (r >= 0)
                r = chat_template_new(s.data, s.size, &m->chat_template, &m->chat_template_error);
        return r == -ENOMEM ? r : 0;
}

int spark_model_new(const GgufPart *parts, size_t n_parts, const char *kernels, Pool *pool, SparkModel **ret, EngineError *reterr) {
        _cleanup_(spark_model_freep) SparkModel *m = calloc(1, sizeof *m);
        if (!m)
                return engine_fail(reterr, -ENOMEM, "no memory for the model");

        m->kernels = kernels_select(kernels);
        if (!m->kernels)
                return engine_fail(reterr, -EINVAL, "no kernels '%s' on this machine", kernels ?: "");

        int r = gguf_new(parts, n_parts, &m->gguf, reterr);
        if (r < 0)
                return r;
        memcpy(m->parts, parts, n_parts * sizeof *parts);
        m->n_parts = n_parts;
        r = architecture_read(m->gguf, &m->architecture, &m->hp, reterr);
        if (r < 0)
                return r;
        r = tokenizer_new(m->gguf, &m->tokenizer, reterr);
        if (r < 0)
                return r;
        if (read_name(m) < 0 || read_chat_template(m) < 0)
                return engine_fail(reterr, -ENOMEM, "no memory for the chat template");
        r = model_bind(m, reterr);
        if (r < 0)
                return r;
        r = model_pack(m, pool, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}

SparkModel *spark_model_free(SparkModel *m) {
        if (!m)
                return NULL;
        model_pack_done(m);
        for (uint32_t i = 0; m->layers && i < m->hp.n_layers; i++) {
                free(m->layers[i].experts.gate);
                free(m->layers[i].experts.up);
                free(m->layers[i].experts.down);
        }
        free(m->layers);
        free(m->vectors);
        for (size_t i = 0; i < MODEL_ROPES_MAX; i++)
                free(m->rope_freqs[i]);
        free(m->name);
        chat_template_free(m->chat_template);
        tokenizer_free(m->tokenizer);
        gguf_free(m->gguf);
        free(m);
        return NULL;
}

void spark_model_info(const SparkModel *m, SparkModelInfo *ret) {
        *ret = (SparkModelInfo) {
                .architecture = m->architecture->name,
                .name = m->name,
                .kernels = m->kernels->name,
                .n_ctx_train = m->hp.n_ctx_train,
                .n_layers = m->hp.n_layers,
                .n_embd = m->hp.n_embd,
                .n_heads = m->hp.n_heads,
                .n_heads_kv = m->hp.n_heads_kv,
                .n_vocab = m->hp.n_vocab,
                .n_parameters = m->n_parameters,
                .weights_bytes = m->weights_bytes,
                .has_chat_template = m->chat_template != NULL,
        };
}

const Gguf *spark_model_gguf(const SparkModel *m) {
        return m->gguf;
}

const Tokenizer *spark_model_tokenizer(const SparkModel *m) {
        return m->tokenizer;
}

/* A token's text as a string; "" where there is no such token. */
static char *piece_text(const Tokenizer *t, uint32_t id) {
        size_t n;
        const char *piece = tokenizer_piece(t, id, &n);
        return piece ? strndup(piece, n) : strdup("");
}

int spark_model_chat(const SparkModel *m, const ChatContext *c, TokenList *list, EngineError *reterr) {
        if (!m->chat_template)
                return engine_fail(reterr, -ENOTSUP, "no chat: %s", m->chat_template_error.text);

        _cleanup_free_ char *bos = NULL, *eos = NULL;
        uint32_t id;
        ChatContext context = *c;
        if (!c->bos_token)
                context.bos_token = bos = piece_text(m->tokenizer, tokenizer_bos(m->tokenizer, &id) ? id : UINT32_MAX);
        if (!c->eos_token)
                context.eos_token = eos = piece_text(m->tokenizer, tokenizer_eos(m->tokenizer, &id) ? id : UINT32_MAX);
        if (!context.bos_token || !context.eos_token)
                return engine_fail(reterr, -ENOMEM, "no memory for the chat template");

        _cleanup_(chat_text_done) ChatText text = {};
        int r = chat_template_render(m->chat_template, &context, &text, reterr);
        if (r < 0)
                return r;
        r = tokenizer_encode(m->tokenizer, text.text, text.n, text.data, list);
        if (r < 0)
                return engine_fail(reterr, r, r == -E2BIG ? "the conversation is longer than %u bytes" : "no memory to tokenize the conversation (at most %u bytes)",
                                   TOKENIZER_TEXT_MAX);
        return 0;
}
