/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns `perplexity`, cut as llama.cpp's tool of that name cuts it, so that figures compare: the whole text is tokenized
 * once (with BOS where the model wants it), cut into windows of n_ctx tokens, the first token of each window replaced
 * by BOS; the second half of each window is scored, except its last token, which predicts nothing. */

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/spark-lm.h"

enum { PERPLEXITY_CTX, PERPLEXITY_JSON };

#define CTX_DEFAULT 512
#define CTX_MIN 8
#define CTX_MAX 131072

typedef struct Score {
        const uint32_t *ids;
        size_t n_ctx;
        double sum, sum_squares;              /* of negative log-likelihoods */
        size_t n;
} Score;

static int score(void *userdata, size_t position, const float *logits, size_t n_vocab) {
        Score *s = userdata;
        if (position < s->n_ctx / 2 || position + 1 >= s->n_ctx)
                return 0;

        float max = logits[0];
        for (size_t i = 1; i < n_vocab; i++)
                max = fmaxf(max, logits[i]);
        double sum = 0;
        for (size_t i = 0; i < n_vocab; i++)
                sum += expf(logits[i] - max);
        const double nll = log(sum) - (double) (logits[s->ids[position + 1]] - max);
        s->sum += nll;
        s->sum_squares += nll * nll;
        s->n++;
        return 0;
}

static int tokenize(const Tokenizer *t, const char *path, TokenList *list, uint32_t *ret_bos, bool *ret_adds_bos) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = lm_read(path, &text, &n);
        if (r < 0)
                return r;
        *ret_adds_bos = tokenizer_adds_bos(t) && tokenizer_bos(t, ret_bos);
        r = *ret_adds_bos ? token_list_append(list, ret_bos, 1) : 0;
        if (r >= 0)
                r = tokenizer_encode_data(t, text, n, list);
        return r < 0 ? lm_print_error(r, path, NULL) : 0;
}

static int perplexity(const LmCall *call) {
        double n_ctx = CTX_DEFAULT;
        if (call->values[PERPLEXITY_CTX] && !lm_number("ctx", call->values[PERPLEXITY_CTX], CTX_MIN, CTX_MAX, &n_ctx))
                return 2;

        _cleanup_(lm_done) Lm lm = {};
        _cleanup_(token_list_done) TokenList list = {};
        uint32_t bos = 0;
        bool adds_bos = false;
        if (lm_open(call->arguments[0], &call->global, &lm) < 0 ||
            tokenize(spark_model_tokenizer(lm.model), call->arguments[1], &list, &bos, &adds_bos) < 0)
                return 1;

        _cleanup_(spark_engine_freep) SparkEngine *e = NULL;
        if (lm_engine(&lm, &call->global, (uint32_t) n_ctx, 0, &e) < 0)
                return 1;

        Score s = { .n_ctx = (size_t) n_ctx };
        if (list.n < 2 * s.n_ctx) {
                fprintf(stderr, "spark-lm: %s: %zu tokens; windows of %zu need at least twice as many\n", call->arguments[1], list.n, s.n_ctx);
                return 1;
        }
        const uint64_t begin = lm_now_us();
        const size_t n_windows = list.n / s.n_ctx;
        for (size_t w = 0; w < n_windows; w++) {
                uint32_t *ids = list.ids + w * s.n_ctx;
                EngineError error = {};
                if (adds_bos)
                        ids[0] = bos;
                s.ids = ids;
                int r = spark_engine_logits(e, ids, s.n_ctx, score, &s, &error);
                if (r < 0) {
                        lm_print_error(r, "engine", &error);
                        return 1;
                }
                if (!call->values[PERPLEXITY_JSON]) {
                        printf("[%zu]%.4f,", w + 1, exp(s.sum / (double) s.n));
                        fflush(stdout);
                }
        }

        const double mean = s.sum / (double) s.n, seconds = (double) (lm_now_us() - begin) / 1e6;
        const double error = exp(mean) * sqrt(fmax(0, s.sum_squares / (double) s.n - mean * mean) / (double) (s.n - 1));
        if (call->values[PERPLEXITY_JSON])
                printf("{\"perplexity\": %.5f, \"standard_error\": %.5f, \"windows\": %zu, \"scored\": %zu, \"tokens_per_second\": %.1f}\n",
                       exp(mean), error, n_windows, s.n, (double) (n_windows * s.n_ctx) / seconds);
        else
                printf("\nperplexity %.4f ± %.4f over %zu tokens\n", exp(mean), error, s.n);
        return 0;
}

const LmCommand lm_perplexity = {
        .name = "perplexity",
        .arguments = "MODEL FILE [--ctx N] [--json]",
        .summary = "perplexity of a text, in windows as llama-perplexity cuts them",
        .n_arguments = 2,
        .options = (const LmOption[]) {
                [PERPLEXITY_CTX] = { "ctx", "N", "tokens of a window; default 512" },
                [PERPLEXITY_JSON] = { "json", NULL, "one JSON object instead of a running figure" },
                {},
        },
        .run = perplexity,
};
