/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a template computes with: Python's values as far as templates see them. Copied freely; what they point at lives
 * in the run's arena. Only namespaces change after they were made. */

#include "basic/cleanup.h"
#include "engine/text/jinja/str.h"

typedef struct Run Run;
typedef struct Value Value;
typedef struct Loop Loop;

typedef enum ValueKind {
        VALUE_ABSENT,           /* an argument that was not given; no expression has this value */
        VALUE_UNDEFINED,
        VALUE_NONE,
        VALUE_BOOL,
        VALUE_INT,
        VALUE_BIG,              /* an integer of JSON beyond 64 bits: can be printed, not computed with */
        VALUE_FLOAT,
        VALUE_STR,
        VALUE_SEQ,
        VALUE_DICT,
        VALUE_NAMESPACE,
        VALUE_CALLABLE,
        VALUE_LOOP,
} ValueKind;

typedef enum SeqKind {
        SEQ_LIST,
        SEQ_TUPLE,
        SEQ_RANGE,
        SEQ_KEYS, SEQ_VALUES, SEQ_ITEMS,        /* a mapping's views: counted, iterated, not indexed */
        SEQ_ITERATOR,                           /* a generator: iterated once */
} SeqKind;

typedef struct Seq {
        Value *items;
        size_t n;
        SeqKind kind;
        bool data, used;        /* used: an iterator that has been through */
} Seq;

typedef struct DictEntry DictEntry;
typedef struct Dict {           /* in order of insertion */
        DictEntry *entries;
        size_t n, allocated;
        uint32_t *index;        /* open addressing, entry + 1; NULL while small */
        size_t n_index;         /* a power of two */
        bool data;
        bool arguments;         /* of a call that came as a text: printing it would give Python, not JSON */
} Dict;

typedef struct Callable Callable;

struct Value {
        uint8_t kind;
        bool data;              /* scalars: computed from data (texts and containers know it themselves) */
        union {
                bool b;
                int64_t i;
                double f;
                const Str *str;
                Seq *seq;
                Dict *dict;
                const Callable *callable;
                Loop *loop;
                const char *why;        /* of VALUE_UNDEFINED: what is undefined; may be NULL */
        };
};

struct DictEntry {
        Value key, value;
};

#define NONE ((Value) { .kind = VALUE_NONE })
#define ABSENT ((Value) { .kind = VALUE_ABSENT })
static inline Value value_bool(bool b) { return (Value) { .kind = VALUE_BOOL, .b = b }; }
static inline Value value_int(int64_t i, bool data) { return (Value) { .kind = VALUE_INT, .i = i, .data = data }; }
static inline Value value_float(double f, bool data) { return (Value) { .kind = VALUE_FLOAT, .f = f, .data = data }; }
static inline Value value_seq(Seq *s) { return (Value) { .kind = VALUE_SEQ, .seq = s }; }
static inline Value value_dict(Dict *d) { return (Value) { .kind = VALUE_DICT, .dict = d }; }
static inline bool is_str(Value v) { return v.kind == VALUE_STR; }
static inline bool is_undefined(Value v) { return v.kind == VALUE_UNDEFINED; }
static inline bool is_integral(Value v) { return v.kind == VALUE_INT || v.kind == VALUE_BOOL; }
static inline bool is_number(Value v) { return is_integral(v) || v.kind == VALUE_FLOAT; }
static inline int64_t as_int(Value v) { return v.kind == VALUE_BOOL ? v.b : v.i; }
static inline double as_float(Value v) { return v.kind == VALUE_FLOAT ? v.f : (double) as_int(v); }
static inline bool is_seq(Value v, SeqKind k) { return v.kind == VALUE_SEQ && v.seq->kind == k; }

/* All that allocate return 0 or a negative errno with the run's error set (run.h). */
int jinja_value_str(Run *r, Str t, Value *ret);
int jinja_value_char(Run *r, Str t, size_t from, size_t to, Value *ret);
int jinja_undefined(Run *r, Value *ret, const char *format, ...) _printf_(3, 4);
int jinja_seq_new(Run *r, SeqKind kind, size_t n, Seq **ret);
int jinja_dict_new(Run *r, Dict **ret);
int jinja_dict_set(Run *r, Dict *d, Value key, Value v);
int jinja_dict_set_text(Run *r, Dict *d, const char *key, Value v);
int jinja_dict_get(Run *r, const Dict *d, Value key, Value *ret);       /* 1 found, 0 not */
int jinja_dict_get_text(Run *r, const Dict *d, Str key, Value *ret);

bool jinja_true(Value v);                                       /* Python's truth */
bool jinja_value_data(Value v);                                 /* anything of it came from data */
bool jinja_hashable(Value v);
int jinja_equal(Run *r, Value a, Value b);                      /* 1, 0 */
int jinja_compare(Run *r, Value a, Value b, int *ret);          /* -1 0 1; 2: not a number is involved */
const char *jinja_type_name(Value v);                           /* as Python says it in its errors */

/* All elements, as iterating gives them (a mapping's keys, a text's characters); an iterator is used up. */
int jinja_elements(Run *r, Value v, Seq **ret);
bool jinja_iterable(Value v);
int jinja_length(Run *r, Value v, int64_t *ret);

/* str(), repr(), JSON. */
int jinja_print(Run *r, Value v, Builder *b);                   /* what {{ v }} gives */
int jinja_repr(Run *r, Value v, Builder *b);
int jinja_text(Run *r, Value v, Str *ret);                      /* str(v); a text is itself */
size_t jinja_format_float(double f, char out[static 40]);       /* Python's repr(float) */

typedef struct JsonStyle {
        bool ascii, sort_keys;
        bool has_indent;
        Str indent;             /* of one level */
        Str between_items, between_pair;
} JsonStyle;

int jinja_json_write(Run *r, Value v, const JsonStyle *style, Builder *b);
int jinja_json_read(Run *r, const char *what, const char *s, size_t n, bool data, Value *ret);
