/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What was said in a session, message by message, and who wrote it. The worker gets all of it with every turn, as
 * JSON; it keeps what it can of the computation, and sparkd keeps the words. */

#include <stddef.h>

#include "basic/cleanup.h"
#include "daemon/sparkd/limits.h"

typedef enum Role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT } Role;

typedef enum Origin { ORIGIN_USER, ORIGIN_APP, ORIGIN_WEB, ORIGIN_FILE, ORIGIN_MESSAGE, ORIGIN_MODEL } Origin;

const char *role_name(Role r);
const char *origin_name(Origin o);
int origin_from_name(const char *name, Origin *ret);    /* what a client may claim: not ORIGIN_MODEL. -EINVAL */

typedef struct TranscriptMessage {
        Role role;
        Origin origin;
        char *text;                        /* UTF-8, NUL-terminated */
        size_t json_size;                  /* of the text, escaped */
} TranscriptMessage;

typedef struct Transcript {
        TranscriptMessage *messages;
        size_t n_messages, n_allocated;
        size_t json_size;                  /* an upper bound of what transcript_json() writes */
} Transcript;

void transcript_done(Transcript *t);

/* -E2BIG: it would pass TRANSCRIPT_BYTES_MAX or TRANSCRIPT_MESSAGES_MAX. */
int transcript_append(Transcript *t, Role role, Origin origin, const char *text);
void transcript_truncate(Transcript *t, size_t n_messages);

/* Messages at the beginning that are instructions; turns come after. */
size_t transcript_n_instructions(const Transcript *t);
/* Where the turn that begins with message i ends: what is said to the model, and its answer. */
size_t transcript_turn_end(const Transcript *t, size_t i);
/* The first n messages after the instructions are gone. */
void transcript_drop(Transcript *t, size_t n);

/* [{"role": …, "content": …}, …] without the first n_skip messages after the instructions; messages of one role in a
 * row become one, with an empty line between. */
int transcript_json(const Transcript *t, size_t n_skip, char **ret, size_t *ret_size);

/* Bytes of text as the inside of a JSON string (RFC 8259). */
size_t json_escaped_size(const char *text);
