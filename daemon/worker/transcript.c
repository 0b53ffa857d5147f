/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the JSON of a conversation while it is turned into tokens. The text is an app's, the structure is sparkd's; both
 * are checked here all the same, before the parser sees them where a few bytes could cost it much. */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/checked.h"
#include "daemon/worker/transcript.h"

struct Transcript {
        json_t *root;             /* role, content and name point into it */
        ChatMessage *messages;
        char **tool_calls;        /* one a message, or NULL */
        size_t n;
};

static const char *const roles[][2] = {
        { "system",    "System" },
        { "user",      "User" },
        { "assistant", "Assistant" },
        { "tool",      "Tool" },
};

Transcript *transcript_free(Transcript *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; t->tool_calls && i < t->n; i++)
                free(t->tool_calls[i]);
        free(t->tool_calls);
        free(t->messages);
        json_decref(t->root);
        free(t);
        return NULL;
}

const ChatMessage *transcript_messages(const Transcript *t, size_t *ret_n) {
        *ret_n = t->n;
        return t->messages;
}

/* Every value but the first of its container follows a bracket, a comma or a colon. */
static bool few_values(const char *json, size_t size) {
        size_t n = 1;
        bool in_string = false;
        for (size_t i = 0; i < size; i++) {
                char c = json[i];
                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"')
                        in_string = true;
                else if (c == '[' || c == '{' || c == ',' || c == ':')
                        n++;
        }
        return n <= TRANSCRIPT_VALUES_MAX;
}

static const char *const *find_role(const char *role) {
        for (size_t i = 0; i < ELEMENTSOF(roles); i++)
                if (strcmp(role, roles[i][0]) == 0)
                        return roles[i];
        return NULL;
}

static int read_message(Transcript *t, size_t i, const json_t *from, EngineError *reterr) {
        ChatMessage *m = t->messages + i;
        const json_t *role = json_object_get(from, "role"), *content = json_object_get(from, "content"),
                *name = json_object_get(from, "name"), *calls = json_object_get(from, "tool_calls");

        if (!json_is_object(from))
                return engine_fail(reterr, -EBADMSG, "message %zu is not an object", i);
        if (!json_is_string(role) || !find_role(json_string_value(role)))
                return engine_fail(reterr, -EBADMSG, "message %zu: role is not system, user, assistant or tool", i);
        m->role = json_string_value(role);

        if (calls && !json_is_null(calls)) {
                if (!json_is_array(calls))
                        return engine_fail(reterr, -EBADMSG, "message %zu: tool_calls is not an array", i);
                t->tool_calls[i] = json_dumps(calls, JSON_COMPACT);
                if (!t->tool_calls[i])
                        return -ENOMEM;
                m->tool_calls_json = t->tool_calls[i];
        }
        if (json_is_string(content)) {
                m->content = json_string_value(content);
                m->content_size = json_string_length(content);
        } else if ((content && !json_is_null(content)) || !m->tool_calls_json)
                return engine_fail(reterr, -EBADMSG, "message %zu: content is not a string", i);
        if (name && !json_is_null(name)) {
                if (!json_is_string(name))
                        return engine_fail(reterr, -EBADMSG, "message %zu: name is not a string", i);
                m->name = json_string_value(name);
        }
        return 0;
}

int transcript_new(const char *json, size_t size, Transcript **ret, EngineError *reterr) {
        if (!few_values(json, size))
                return engine_fail(reterr, -E2BIG, "transcript: more than %u values", TRANSCRIPT_VALUES_MAX);

        _cleanup_(transcript_freep) Transcript *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        json_error_t error;
        t->root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
        if (!t->root)
                return engine_fail(reterr, -EBADMSG, "transcript: %s (byte %d)", error.text, error.position);
        if (!json_is_array(t->root) || json_array_size(t->root) == 0)
                return engine_fail(reterr, -EBADMSG, "transcript: not an array of messages");
        size_t n = json_array_size(t->root);
        if (n > TRANSCRIPT_MESSAGES_MAX)
                return engine_fail(reterr, -E2BIG, "transcript: %zu messages, at most %u", n, TRANSCRIPT_MESSAGES_MAX);

        t->messages = calloc(n, sizeof *t->messages);
        t->tool_calls = calloc(n, sizeof *t->tool_calls);
        if (!t->messages || !t->tool_calls)
                return -ENOMEM;
        t->n = n;
        for (size_t i = 0; i < n; i++) {
                int r = read_message(t, i, json_array_get(t->root, i), reterr);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(t);
        return 0;
}

static int plain_tokens(const Transcript *t, const SparkModel *m, TokenList *list) {
        const Tokenizer *tokenizer = spark_model_tokenizer(m);
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < t->n; i++) {
                fprintf(f, "%s: ", find_role(t->messages[i].role)[1]);
                fwrite(t->messages[i].content ?: "", 1, t->messages[i].content_size, f);
                fputs("\n\n", f);
        }
        fputs("Assistant:", f);
        if (fclose(f) != 0)
                return -ENOMEM;

        uint32_t bos;
        if (tokenizer_adds_bos(tokenizer) && tokenizer_bos(tokenizer, &bos)) {
                int r = token_list_append(list, &bos, 1);
                if (r < 0)
                        return r;
        }
        return tokenizer_encode_data(tokenizer, text, size, list);
}

int transcript_tokens(const Transcript *t, const SparkModel *m, TokenList *list, EngineError *reterr) {
        const Tokenizer *tokenizer = spark_model_tokenizer(m);
        SparkModelInfo info;
        spark_model_info(m, &info);
        if (!info.has_chat_template)
                return plain_tokens(t, m, list);

        /* Pieces are not NUL-terminated; special tokens' texts are short. */
        char bos[256] = "", eos[256] = "";
        uint32_t id;
        size_t size;
        const char *piece;
        if (tokenizer_bos(tokenizer, &id) && (piece = tokenizer_piece(tokenizer, id, &size)) && size < sizeof bos)
                memcpy(bos, piece, size);
        if (tokenizer_eos(tokenizer, &id) && (piece = tokenizer_piece(tokenizer, id, &size)) && size < sizeof eos)
                memcpy(eos, piece, size);

        ChatContext c = {
                .messages = t->messages, .n_messages = t->n,
                .add_generation_prompt = true,
                .bos_token = bos, .eos_token = eos,
                .now = time(NULL),
        };
        return spark_model_chat(m, &c, list, reterr);
}
