/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between rules.c and rules-parse.c: what one line of a rule file became. */

#include <stdio.h>

#include "policy/rules.h"

typedef enum Section {
        SECTION_APP,                    /* pattern: on the app's id */
        SECTION_UNKNOWN,
        SECTION_USER,                   /* pattern: a uid in decimal, or "*" */
        SECTION_EVERYONE,               /* what a broken header's lines cover, so that they deny */
} Section;

typedef enum Subject { SUBJECT_CAPABILITY, SUBJECT_LIMIT, SUBJECT_PRIORITY, SUBJECT_ON_BATTERY } Subject;

typedef struct Setting {
        Section section;
        char *pattern;                  /* never NULL */
        Certainty certainty;            /* at least; SECTION_APP */
        Subject subject;
        Capability capability;
        char *tool;                     /* never NULL */
        unsigned limit;                 /* a RuleLimit with SUBJECT_LIMIT, else 0 */
        uint64_t value;                 /* Verdict, number, Priority, bool */
        size_t file;
        unsigned line;
} Setting;

struct Rules {
        char *files[RULE_FILES_MAX];
        size_t n_files;
        Setting *settings;
        size_t n_settings, allocated;
        char *problems[RULE_PROBLEMS_MAX];
        size_t n_problems;
};
