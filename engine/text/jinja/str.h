/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text that knows, byte by byte, whether it came from data (a message, a tool) or from the template. Immutable; lives
 * in an arena; a part of a text shares its bytes. Lengths and places are in bytes here; where Python counts characters
 * the callers step with jinja_char(). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/text/jinja/arena.h"

typedef struct Str {
        const char *s;
        size_t n;
        const uint8_t *mask;    /* NULL: all bytes alike, as `data` says; else 1 per byte that is data */
        bool data;
        bool safe;              /* markupsafe's Markup: `+` escapes what it is joined with */
} Str;

#define STR(literal) ((Str) { .s = (literal), .n = sizeof(literal) - 1 })
static inline Str str_of(const char *s, size_t n, bool data) { return (Str) { .s = s, .n = n, .data = data }; }
static inline bool str_tag(Str t, size_t i) { return t.mask ? t.mask[i] : t.data; }
static inline bool str_is(Str t, const char *s) { return t.n == strlen(s) && memcmp(t.s, s, t.n) == 0; }

/* Bytes of the character at t.s[i]: a byte that begins none counts as a character of its own. i < t.n */
size_t jinja_char(Str t, size_t i, uint32_t *ret_rune);
size_t jinja_char_before(Str t, size_t i);      /* bytes of the one that ends before i > 0 */
size_t jinja_chars(Str t);                      /* how many characters */
size_t jinja_encode(uint32_t rune, char out[static 4]);

Str jinja_part(Str t, size_t from, size_t to);
bool jinja_any_data(Str t);
int jinja_str_compare(Str a, Str b);            /* by code point, as Python orders */
bool jinja_str_equal(Str a, Str b);
size_t jinja_find(Str t, Str what, size_t from);        /* SIZE_MAX: not there */
size_t jinja_find_last(Str t, Str what, size_t end);    /* … ending at or before end */

bool jinja_is_space(uint32_t rune);             /* str.isspace() */
bool jinja_is_line_end(uint32_t rune);          /* str.splitlines() */

typedef enum StripSide { STRIP_LEFT = 1, STRIP_RIGHT = 2, STRIP_BOTH = 3 } StripSide;
Str jinja_strip(Str t, StripSide side, const Str *chars); /* chars NULL: whitespace */

/* Grows a text. All return 0 or -ENOMEM (the arena says whether a bound or the machine was met). */
typedef struct Builder {
        Arena *arena;
        char *s;
        uint8_t *mask;          /* NULL while all bytes are alike */
        size_t n, allocated;
        bool data;
} Builder;

int jinja_add(Builder *b, const char *s, size_t n, bool data);
int jinja_add_str(Builder *b, Str t);
int jinja_add_rune(Builder *b, uint32_t rune, bool data);
int jinja_add_fill(Builder *b, char c, size_t n, bool data);
Str jinja_built(const Builder *b);              /* valid as long as nothing more is added */
