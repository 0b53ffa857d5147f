/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One session of org.spark.Assistant and its turns, for ask and chat: options of the reply, streaming, cancelling. */

#include <stdint.h>

#include "cli/client.h"

/* Options that shape a reply; from the command line, passed on only where they were given. */
typedef struct ReplyOptions {
        double temperature, max_time;             /* seconds; 0: none */
        uint64_t seed;
        uint32_t max_tokens;
        const char *instructions, *model;
        bool temperature_set, seed_set, max_tokens_set, stats, no_agent;
        bool drop_oldest;                         /* turns that no longer fit make room, rather than the next one fail */
} ReplyOptions;

#define REPLY_OPTIONS                                                     \
        { "temperature",  required_argument, NULL, OPT_TEMPERATURE  },    \
        { "seed",         required_argument, NULL, OPT_SEED         },    \
        { "max-tokens",   required_argument, NULL, OPT_MAX_TOKENS   },    \
        { "max-time",     required_argument, NULL, OPT_MAX_TIME     },    \
        { "instructions", required_argument, NULL, OPT_INSTRUCTIONS },    \
        { "model",        required_argument, NULL, OPT_MODEL        },    \
        { "stats",        no_argument,       NULL, OPT_STATS        },    \
        { "no-agent",     no_argument,       NULL, OPT_NO_AGENT     }
enum {
        OPT_TEMPERATURE = OPT_FIRST_OWN, OPT_SEED, OPT_MAX_TOKENS, OPT_MAX_TIME, OPT_INSTRUCTIONS, OPT_MODEL, OPT_STATS,
        OPT_NO_AGENT, OPT_REPLY_END,
};
#define REPLY_HELP                                                                                              \
        "      --instructions TEXT  what the model is to be and do\n"                                           \
        "      --model NAME         a use case (general, summarise, rewrite, tag) or the loaded model\n"        \
        "      --temperature T      0 (always the likeliest word) to 2\n"                                       \
        "      --seed N             same seed, same input, same machine: same reply\n"                          \
        "      --max-tokens N       end the reply after N tokens\n"                                             \
        "      --max-time SECONDS   end the reply after that time; what was said until then stays\n"            \
        "      --no-agent           on a terminal: do not ask here for consent where sparkd wants it\n"          \
        "      --stats              print figures after the reply: tokens, time to the first, tokens a second\n"

/* 1: taken; 0: none of these; negative: a value that makes no sense was named, usage error. */
int reply_option(ReplyOptions *o, const char *command, int opt, const char *value);

typedef struct Session {
        const Context *context;
        Client *client;
        char *path, *peer;                        /* object; the sparkd that made it, by its unique name */
} Session;

/* ExitCode; has said what went wrong. */
int session_open(const Context *context, Client *client, const ReplyOptions *o, Session *ret);
/* Closes it where it is open: sparkd forgets the conversation. */
void session_done(Session *s);

typedef struct Part {
        const char *text, *origin;                /* UTF-8; "user", "file" */
} Part;

typedef struct Turn {
        char *text;                               /* all of the reply; NUL-terminated */
        size_t size;
        char *reason;                             /* "stop", "length", "cancelled", "error" */
        json_t *usage;                            /* object, as it came */
        bool timed_out;                           /* cancelled by max_time */
} Turn;
void turn_done(Turn *t);

/* Says the parts, prints the reply to standard output as it comes (not with --json), returns when it is complete. SIGINT
 * and SIGTERM cancel the reply and nothing else; a second one stops waiting for its end. EXIT_OK also for a cancelled
 * turn: see reason. *ret is filled in any case and to be done. *ret_lost: the session is gone. */
int session_turn(Session *s, const Part *parts, size_t n_parts, const ReplyOptions *o, Turn *ret, bool *ret_lost);

/* How many turns have made room for this one. */
unsigned turn_dropped(const Turn *t);

/* The line of figures for --stats, to standard error; the object for --json. */
void turn_print_stats(const Turn *t);
json_t *turn_to_json(const Turn *t);
