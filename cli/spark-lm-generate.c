/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns `generate`: one prompt, one reply, streamed as it comes. Ctrl-C ends the reply and not the program: what was
 * said stays, and the summary follows; a second one kills. */

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/spark-lm.h"

enum { GENERATE_PROMPT, GENERATE_RAW, GENERATE_N, GENERATE_TEMPERATURE, GENERATE_SEED, GENERATE_PENALTY, GENERATE_SYSTEM, GENERATE_NO_DRAFTS, GENERATE_JSON };

#define N_DEFAULT 512
#define N_MAX 16777216

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number) {
        interrupted = 1;
        signal(signal_number, SIG_DFL);
}

static int tokenize(const SparkModel *m, const LmCall *call, TokenList *list) {
        const Tokenizer *t = spark_model_tokenizer(m);
        const char *prompt = call->values[GENERATE_PROMPT];
        EngineError e = {};

        if (call->values[GENERATE_RAW]) {
                uint32_t bos;
                int r = 0;
                if (tokenizer_adds_bos(t) && tokenizer_bos(t, &bos))
                        r = token_list_append(list, &bos, 1);
                if (r >= 0)
                        r = tokenizer_encode(t, prompt, strlen(prompt), NULL, list);
                return r < 0 ? lm_print_error(r, "prompt", NULL) : 0;
        }

        ChatMessage messages[2];
        size_t n = 0;
        const char *system = call->values[GENERATE_SYSTEM];
        if (system)
                messages[n++] = (ChatMessage) { .role = "system", .content = system, .content_size = strlen(system) };
        messages[n++] = (ChatMessage) { .role = "user", .content = prompt, .content_size = strlen(prompt) };
        int r = spark_model_chat(m, &(ChatContext) { .messages = messages, .n_messages = n, .add_generation_prompt = true,
                                                     .now = time(NULL) }, list, &e);
        if (r == -ENOTSUP)
                fprintf(stderr, "spark-lm: this model cannot chat; --raw completes text\n");
        return r < 0 ? lm_print_error(r, "prompt", &e) : 0;
}

typedef struct Reply {
        json_t *ids;                          /* NULL where nobody asked */
        char *text;
        size_t n_text;
        SparkFinish finish;
        SparkUsage usage;
        SparkEngineStats stats;
} Reply;

static int take(Reply *reply, const SparkEvent *event) {
        if (!reply->ids) {
                fwrite(event->text, 1, event->text_size, stdout);
                if (fflush(stdout) != 0)
                        return -errno;
        } else {
                char *text = realloc(reply->text, reply->n_text + event->text_size + 1);
                if (!text)
                        return -ENOMEM;
                memcpy(text + reply->n_text, event->text, event->text_size);
                reply->text = text;
                reply->n_text += event->text_size;
                if (event->type == SPARK_EVENT_TOKEN)
                        json_array_append_new(reply->ids, json_integer(event->id));
        }
        if (event->type == SPARK_EVENT_FINISHED) {
                reply->finish = event->finish;
                reply->usage = event->usage;
        }
        return 0;
}

static int run_reply(SparkEngine *e, const SparkStart *start, Reply *reply) {
        _cleanup_(spark_sequence_freep) SparkSequence *s = NULL;
        EngineError error = {};
        int r = spark_sequence_new(e, &(SparkSequenceParams) {}, &s, &error);
        if (r >= 0)
                r = spark_sequence_start(s, start, &error);
        if (r < 0)
                return lm_print_error(r, "prompt", &error);

        int left;
        do {
                const SparkEvent *events;
                size_t n;
                if (interrupted)
                        spark_sequence_cancel(s);
                left = spark_engine_step(e, &events, &n);
                for (size_t i = 0; i < n; i++)
                        if ((r = take(reply, &events[i])) < 0)
                                return lm_print_error(r, "output", NULL);
        } while (left > 0);
        spark_engine_stats(e, &reply->stats);
        return left < 0 ? lm_print_error(left, "engine", NULL) : 0;
}

static void print_summary(const Reply *reply, bool as_json) {
        static const char *const reasons[] = {
                [SPARK_FINISH_STOP] = "stop", [SPARK_FINISH_LENGTH] = "length", [SPARK_FINISH_CONTEXT] = "context-full",
                [SPARK_FINISH_CANCELLED] = "cancelled", [SPARK_FINISH_NO_MEMORY] = "out-of-memory",
        };
        const SparkUsage *u = &reply->usage;
        const double ms = (double) u->first_token_us / 1e3;
        const double tps = u->generate_us > 0 ? (double) (u->n_generated - 1) * 1e6 / (double) u->generate_us : 0;

        if (!as_json) {
                fprintf(stderr, "\n[%s: %u prompt tokens, first token after %.0f ms, %u tokens at %.1f a second]\n",
                        reasons[reply->finish], u->n_prompt, ms, u->n_generated, tps);
                return;
        }
        json_t *o = json_pack("{s:s%, s:O, s:s, s:i, s:i, s:f, s:f, s:i, s:i}", "text", reply->text ?: "", reply->n_text, "tokens", reply->ids,
                              "finish", reasons[reply->finish], "n_prompt", (int) u->n_prompt, "n_generated", (int) u->n_generated,
                              "first_token_ms", ms, "tokens_per_second", tps,
                              "n_drafted", (int) reply->stats.tokens_drafted, "n_kept", (int) reply->stats.tokens_kept);
        if (o)
                json_dumpf(o, stdout, JSON_REAL_PRECISION(6));
        printf("\n");
        json_decref(o);
}

static int generate(const LmCall *call) {
        const bool as_json = call->values[GENERATE_JSON] != NULL;
        double temperature = 0, seed = 0, penalty = 1, n = N_DEFAULT;

        if (!call->values[GENERATE_PROMPT]) {
                fprintf(stderr, "spark-lm: generate needs -p PROMPT\n");
                return 2;
        }
        if ((call->values[GENERATE_TEMPERATURE] && !lm_number("temperature", call->values[GENERATE_TEMPERATURE], 0, 5, &temperature)) ||
            (call->values[GENERATE_SEED] && !lm_number("seed", call->values[GENERATE_SEED], 0, 9007199254740992.0, &seed)) ||
            (call->values[GENERATE_PENALTY] && !lm_number("repeat-penalty", call->values[GENERATE_PENALTY], 1, 2, &penalty)) ||
            (call->values[GENERATE_N] && !lm_number("n", call->values[GENERATE_N], 1, N_MAX, &n)))
                return 2;

        _cleanup_(lm_done) Lm lm = {};
        _cleanup_(token_list_done) TokenList list = {};
        if (lm_open(call->arguments[0], &call->global, &lm) < 0 || tokenize(lm.model, call, &list) < 0)
                return 1;

        _cleanup_(spark_engine_freep) SparkEngine *e = NULL;
        if (lm_engine(&lm, &call->global, 0, 0, &e) < 0)
                return 1;

        SamplerParams sampler = SAMPLER_PARAMS_DEFAULT;
        sampler.temperature = (float) temperature;
        sampler.seed = (uint64_t) seed;
        sampler.repeat_penalty = (float) penalty;
        Reply reply = { .ids = as_json ? json_array() : NULL };
        signal(SIGINT, interrupt);
        int r = run_reply(e, &(SparkStart) { .ids = list.ids, .n_ids = list.n, .max_tokens = (uint32_t) n, .sampler = sampler,
                                    .no_drafts = call->values[GENERATE_NO_DRAFTS] != NULL }, &reply);
        if (r >= 0)
                print_summary(&reply, as_json);
        json_decref(reply.ids);
        free(reply.text);
        return r < 0 || fflush(stdout) != 0 ? 1 : interrupted ? 130 : 0;
}

const LmCommand lm_generate = {
        .name = "generate",
        .arguments = "MODEL [--raw] [--temperature T] [--seed S] [-n N] [--json] -p PROMPT",
        .summary = "answer a prompt by the model's chat template, or complete raw text",
        .n_arguments = 1,
        .options = (const LmOption[]) {
                [GENERATE_PROMPT] = { "prompt", "TEXT", "what to answer or complete", 'p' },
                [GENERATE_RAW] = { "raw", NULL, "no chat template: complete the text; control tokens in it count" },
                [GENERATE_N] = { "n", "N", "tokens at most; default 512", 'n' },
                [GENERATE_TEMPERATURE] = { "temperature", "T", "0 (the default) is greedy" },
                [GENERATE_SEED] = { "seed", "S", "of the draws; default 0" },
                [GENERATE_PENALTY] = { "repeat-penalty", "P", "1 (the default) to 2, of the last 64 tokens" },
                [GENERATE_SYSTEM] = { "system", "TEXT", "instructions before the prompt" },
                [GENERATE_NO_DRAFTS] = { "no-drafts", NULL, "guess nothing ahead: the same tokens, one a step" },
                [GENERATE_JSON] = { "json", NULL, "one JSON object at the end instead of a stream" },
                {},
        },
        .run = generate,
};
