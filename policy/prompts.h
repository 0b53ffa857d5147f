/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who was refused lately and may not make a question appear yet: one minute after the first refusal, doubling with each
 * to a day. Per app and not per capability, so that an app does not ask for twelve things in a row. An app that is
 * granted something, or that has been quiet for a day beyond its pause, starts anew.
 *
 * Bounded: where a user's entries, or all, are in force, the next app of that user may not ask until one has run out: a
 * process that takes on name after name gains nothing. Time is the caller's, in microseconds of a clock that never goes
 * back. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/cleanup.h"

#define PROMPTS_MAX 1024u               /* apps remembered, all users */
#define PROMPTS_PER_USER 64u
#define PROMPT_PAUSE_FIRST_USEC (UINT64_C(60) * 1000000)
#define PROMPT_PAUSE_MAX_USEC (UINT64_C(86400) * 1000000)

typedef struct Prompts Prompts;

int prompts_new(Prompts **ret);
Prompts *prompts_free(Prompts *p);
DEFINE_CLEANUP(Prompts, prompts_free);

/* A question was answered with no, or not at all. */
void prompts_refused(Prompts *p, uid_t uid, const char *app, uint64_t now_us);
/* It was answered with yes, or the user changed the answers by hand. */
void prompts_forgive(Prompts *p, uid_t uid, const char *app);

/* May it not ask now? *ret_wait_us: until it may. */
bool prompts_refuses(const Prompts *p, uid_t uid, const char *app, uint64_t now_us, uint64_t *ret_wait_us);
