/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Work on texts that methods and filters share. */

#include "engine/text/jinja/run.h"

#define FILTER(name) static int name(Run *r, Value self, const Value *p, const Args *all, Value *ret)

typedef enum CaseChange { CASE_UPPER, CASE_LOWER, CASE_CAPITALIZE, CASE_TITLE, CASE_TITLE_FILTER, CASE_SWAP } CaseChange;
int jinja_change_case(Run *r, Str t, CaseChange to, Value *ret);

int jinja_replace(Run *r, Str t, Str from, Str to, int64_t count, Value *ret);  /* count < 0: all */
int jinja_split_lines(Run *r, Str t, bool keep_ends, Seq **ret);
typedef enum Side { SIDE_LEFT, SIDE_RIGHT, SIDE_CENTER } Side;
int jinja_pad(Run *r, Str t, int64_t width, Str fill, Side text_side, Value *ret);
int jinja_join(Run *r, Str between, const Seq *parts, bool convert, Value *ret);
int jinja_format(Run *r, Str format, const Args *args, Value *ret);     /* str.format() */

/* One value by a format_spec (of str.format) or what % gives: [[fill]align][sign][#][0][width][,][.precision][type] */
typedef struct FormatSpec {
        uint32_t fill;
        char align, sign, type; /* 0 where not given; sign '-' */
        bool alternate, zero, thousands;
        int64_t width, precision;       /* -1 where not given */
} FormatSpec;
int jinja_format_value(Run *r, const FormatSpec *spec, Value v, Builder *out);

/* List that grows, for results of unknown length. */
typedef struct SeqBuilder {
        Seq *seq;
        size_t allocated;
} SeqBuilder;
int jinja_seq_add(Run *r, SeqBuilder *b, Value v);
int jinja_seq_add_str(Run *r, SeqBuilder *b, Str t);
int jinja_seq_built(Run *r, SeqBuilder *b, SeqKind kind, Seq **ret);
