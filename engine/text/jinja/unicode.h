/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What Python knows of characters: case, and whether repr() shows them. From tables of the Unicode Character Database
 * (unicode-tables.c, written by make-unicode-tables.py). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The one to three code points that stand for c in the other case. */
size_t jinja_to_upper(uint32_t c, uint32_t out[static 3]);
size_t jinja_to_lower(uint32_t c, uint32_t out[static 3]);
size_t jinja_to_title(uint32_t c, uint32_t out[static 3]);
bool jinja_is_upper(uint32_t c);
bool jinja_is_lower(uint32_t c);
bool jinja_is_alpha(uint32_t c);
bool jinja_is_digit(uint32_t c);        /* str.isdigit() */
bool jinja_is_printable(uint32_t c);
