/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tables behind unicode.h, sorted by code point. */

#include <stddef.h>
#include <stdint.h>

typedef struct UnicodeRange { uint32_t first, last; } UnicodeRange;
typedef struct UnicodeRun { uint32_t first, last, stride; int32_t delta; } UnicodeRun;      /* every stride-th maps by delta */
typedef struct UnicodeSpecial { uint32_t from, to[3]; } UnicodeSpecial;

extern const UnicodeRun unicode_upper[], unicode_lower[], unicode_title[];
extern const size_t n_unicode_upper, n_unicode_lower, n_unicode_title;
extern const UnicodeSpecial unicode_upper_special[], unicode_lower_special[], unicode_title_special[];
extern const size_t n_unicode_upper_special, n_unicode_lower_special, n_unicode_title_special;
extern const UnicodeRange unicode_is_upper[], unicode_is_lower[], unicode_is_alpha[], unicode_is_digit[], unicode_not_printable[];
extern const size_t n_unicode_is_upper, n_unicode_is_lower, n_unicode_is_alpha, n_unicode_is_digit, n_unicode_not_printable;
