/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What comes from a worker is checked before it goes on the bus: the worker may be anybody's by now. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Well-formed UTF-8 (RFC 3629). NUL counts as a character. */
bool text_valid(const char *text, size_t size);

/* Largest n ≤ max at which text can be cut between characters. */
size_t text_cut(const char *text, size_t size, size_t max);

/* "45 s", "12 min", "3 h": rounded up, for a person who is to come back then. */
void text_duration(uint64_t usec, char *ret, size_t ret_size);

/* Copies what fits, every byte that is not printable ASCII as '?'. */
void text_printable(const char *text, char *ret, size_t ret_size);
