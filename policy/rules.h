/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rule files: who may do what by default, and within which limits. Drop-ins with systemd's syntax and override rules
 * (systemd.syntax(7), the *.conf.d convention): files of all folders are sorted by name, one name is read from the
 * first folder that has it (/etc, /run, /usr/share), an empty file or a link to /dev/null masks the name.
 *
 *   [App PATTERN]    apps whose id matches (fnmatch(3)); [Unknown] those without an identity; [User UID] or [User *]
 *   Allow= Ask= Deny=        capabilities, separated by spaces; "tool:*" is every tool; empty: take back what sections
 *                            of this very header said before with the same key
 *   Certainty=sandboxed      in [App]: the section holds only for identities at least that sure
 *   RequestsPerMinute= …     limits, see rule_limit_table; [User] limits hold for all apps of the user together
 *   Priority=interactive|background    OnBattery=yes|no (background work)
 *
 * The last matching line wins. A mistake is a Problem that names file, line and word, and what the line covered is
 * denied (capabilities) or 0 (limits) from there on. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/capability.h"
#include "policy/identity.h"

#define RULE_FILES_MAX 256u
#define RULE_FILE_MAX (256u << 10)
#define RULE_LINES_MAX 16384u           /* settings, all files */
#define RULE_PROBLEMS_MAX 64u           /* told; more are only counted */

typedef enum Verdict { VERDICT_DENY, VERDICT_ASK, VERDICT_ALLOW, VERDICT_MAX_ } Verdict;

typedef enum RuleLimit {
        LIMIT_REQUESTS_PER_MINUTE,
        LIMIT_TOKENS_PER_DAY,
        LIMIT_AUDIO_SECONDS_PER_DAY,
        LIMIT_SESSIONS,
        LIMIT_CONTEXT_TOKENS,
        LIMIT_CONCURRENT_REPLIES,
        LIMIT_QUEUE_LENGTH,
        LIMIT_MAX_,
} RuleLimit;

#define LIMIT_NONE UINT64_MAX

typedef enum Priority { PRIORITY_INTERACTIVE, PRIORITY_BACKGROUND } Priority;

typedef struct RulePlace {              /* which line decided; "built-in" and 0 where none did, a file and 0 where it cannot be read */
        const char *file;               /* path; lives as long as the Rules */
        unsigned line;
} RulePlace;

typedef struct Rules Rules;

/* Reads the folders, first one first in rank. A folder that is missing is empty; one that cannot be read is a problem.
 * Only -ENOMEM is an error: bad content never stops the rest from holding. */
int rules_load(const char *const *folders, size_t n_folders, Rules **ret);
Rules *rules_free(Rules *r);
DEFINE_CLEANUP(Rules, rules_free);

size_t rules_n_problems(const Rules *r);        /* may be more than can be had by rules_problem() */
const char *rules_problem(const Rules *r, size_t i);    /* "FILE:LINE: 'WORD': what is wrong, what now holds" */

/* What holds where nobody was asked. Where no line matches: deny, "built-in". `tool` is "" but for CAPABILITY_TOOL. */
Verdict rules_verdict(const Rules *r, const Identity *id, Capability c, const char *tool, RulePlace *ret_place);

/* An app's own limit, or (per_user) that of all apps of its user together. LIMIT_NONE where no line says. */
uint64_t rules_limit(const Rules *r, const Identity *id, bool per_user, RuleLimit l, RulePlace *ret_place);
Priority rules_priority(const Rules *r, const Identity *id);
bool rules_on_battery(const Rules *r, const Identity *id);      /* may background work run on battery */

const char *verdict_name(Verdict v);
const char *rule_limit_name(RuleLimit l);
