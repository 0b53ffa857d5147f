/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the words of a session. Refuses to pass its caps, counted on the JSON that will cross the wire, so that every
 * transcript that exists can be sent. Text is UTF-8 already: the bus lets nothing else through. */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/transcript.h"

/* Around each text: {"role":"assistant","content":""}, and a margin. */
#define MESSAGE_ENVELOPE 48u
#define SEPARATOR "\\n\\n"

static const char *const role_names[] = {
        [ROLE_SYSTEM] = "system", [ROLE_USER] = "user", [ROLE_ASSISTANT] = "assistant",
};

static const char *const origin_names[] = {
        [ORIGIN_USER] = "user", [ORIGIN_APP] = "app", [ORIGIN_WEB] = "web",
        [ORIGIN_FILE] = "file", [ORIGIN_MESSAGE] = "message", [ORIGIN_MODEL] = "model",
};

const char *role_name(Role r) {
        return role_names[r];
}

const char *origin_name(Origin o) {
        return origin_names[o];
}

int origin_from_name(const char *name, Origin *ret) {
        for (Origin o = 0; o < ORIGIN_MODEL; o++)
                if (strcmp(origin_names[o], name) == 0) {
                        *ret = o;
                        return 0;
                }
        return -EINVAL;
}

/* The short escape of a byte, or 0. */
static char json_escape(unsigned char c) {
        switch (c) {
        case '"': return '"';
        case '\\': return '\\';
        case '\n': return 'n';
        case '\r': return 'r';
        case '\t': return 't';
        case '\b': return 'b';
        case '\f': return 'f';
        default: return 0;
        }
}

size_t json_escaped_size(const char *text) {
        size_t n = 0;
        for (const unsigned char *p = (const unsigned char *) text; *p; p++)
                n += json_escape(*p) ? 2 : *p < 0x20 ? 6 : 1;
        return n;
}

static char *json_write_text(char *out, const char *text) {
        static const char hex[] = "0123456789abcdef";

        for (const unsigned char *p = (const unsigned char *) text; *p; p++) {
                char e = json_escape(*p);
                if (e) {
                        *out++ = '\\';
                        *out++ = e;
                } else if (*p < 0x20) {
                        out = stpcpy(out, "\\u00");
                        *out++ = hex[*p >> 4];
                        *out++ = hex[*p & 15];
                } else
                        *out++ = (char) *p;
        }
        return out;
}

void transcript_done(Transcript *t) {
        transcript_truncate(t, 0);
        free(t->messages);
        *t = (Transcript) {};
}

int transcript_append(Transcript *t, Role role, Origin origin, const char *text) {
        size_t json_size = json_escaped_size(text);

        if (t->n_messages >= TRANSCRIPT_MESSAGES_MAX ||
            json_size > TRANSCRIPT_BYTES_MAX || t->json_size + json_size + MESSAGE_ENVELOPE > TRANSCRIPT_BYTES_MAX)
                return -E2BIG;

        if (t->n_messages == t->n_allocated) {
                size_t n = t->n_allocated ? t->n_allocated * 2 : 8;
                TranscriptMessage *messages = reallocarray(t->messages, n, sizeof *messages);
                if (!messages)
                        return -ENOMEM;
                t->messages = messages;
                t->n_allocated = n;
        }

        char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        t->messages[t->n_messages++] = (TranscriptMessage) { .role = role, .origin = origin, .text = copy, .json_size = json_size };
        t->json_size += json_size + MESSAGE_ENVELOPE;
        return 0;
}

void transcript_truncate(Transcript *t, size_t n_messages) {
        while (t->n_messages > n_messages) {
                TranscriptMessage *m = t->messages + --t->n_messages;
                t->json_size -= m->json_size + MESSAGE_ENVELOPE;
                free(m->text);
        }
}

size_t transcript_n_instructions(const Transcript *t) {
        size_t n = 0;
        while (n < t->n_messages && t->messages[n].role == ROLE_SYSTEM)
                n++;
        return n;
}

size_t transcript_turn_end(const Transcript *t, size_t i) {
        while (i < t->n_messages && t->messages[i].role != ROLE_ASSISTANT)
                i++;
        while (i < t->n_messages && t->messages[i].role == ROLE_ASSISTANT)
                i++;
        return i;
}

void transcript_drop(Transcript *t, size_t n) {
        const size_t first = transcript_n_instructions(t);

        for (size_t i = first; i < first + n; i++) {
                t->json_size -= t->messages[i].json_size + MESSAGE_ENVELOPE;
                free(t->messages[i].text);
        }
        if (n > 0)
                memmove(t->messages + first, t->messages + first + n, (t->n_messages - first - n) * sizeof *t->messages);
        t->n_messages -= n;
}

int transcript_json(const Transcript *t, size_t n_skip, char **ret, size_t *ret_size) {
        const size_t n_instructions = transcript_n_instructions(t);
        char *buffer = malloc(t->json_size + sizeof "[]");
        if (!buffer)
                return -ENOMEM;

        char *p = buffer;
        *p++ = '[';
        const TranscriptMessage *before = NULL;
        for (size_t i = 0; i < t->n_messages; i++) {
                const TranscriptMessage *m = t->messages + i;
                if (i >= n_instructions && i - n_instructions < n_skip)
                        continue;
                if (before && m->role == before->role)
                        p = stpcpy(p, SEPARATOR);
                else {
                        if (before)
                                p = stpcpy(p, "\"},");
                        p = stpcpy(stpcpy(stpcpy(p, "{\"role\":\""), role_name(m->role)), "\",\"content\":\"");
                }
                p = json_write_text(p, m->text);
                before = m;
        }
        if (before)
                p = stpcpy(p, "\"}");
        *p++ = ']';
        *p = '\0';

        *ret = buffer;
        *ret_size = (size_t) (p - buffer);
        return 0;
}
