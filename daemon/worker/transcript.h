/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A conversation as sparkd sends it, a JSON array of
 *   {"role": "system" | "user" | "assistant" | "tool", "content": STRING, "name": STRING, "tool_calls": ARRAY}
 * (content may be left out where tool_calls is there; keys beyond these are passed over), turned into token ids.
 *
 * A model without a chat template, a base model, reads it as plain text: every message as its role with a capital
 * letter, a colon, a space, its content and an empty line; then "Assistant:", for it to go on from. All of it counts as
 * data: no text becomes a control token. */

#include <stddef.h>

#include "basic/cleanup.h"
#include "engine/spark-engine.h"

#define TRANSCRIPT_MESSAGES_MAX 4096u
#define TRANSCRIPT_VALUES_MAX 65536u      /* JSON values in all: what a few bytes each can make a parser allocate */

typedef struct Transcript Transcript;

/* -EBADMSG: not such an array, and the text says where; -E2BIG: a cap above; -ENOMEM. */
int transcript_new(const char *json, size_t size, Transcript **ret, EngineError *reterr);
Transcript *transcript_free(Transcript *t);
DEFINE_CLEANUP(Transcript, transcript_free);

const ChatMessage *transcript_messages(const Transcript *t, size_t *ret_n);

/* Appends to an empty list. Errors as spark_model_chat() has them. */
int transcript_tokens(const Transcript *t, const SparkModel *m, TokenList *list, EngineError *reterr);
