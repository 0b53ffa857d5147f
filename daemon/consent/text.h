/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names and sentences of others, made fit to stand in a question: one line that cannot pass for more than it is. */

#include <stddef.h>

#include "basic/cleanup.h"

/* Blanks of any kind and line ends become one blank each run; what is invisible, reorders, or is no UTF-8 becomes U+FFFD;
 * at most n_max characters, the last then being "…". malloc()ed; NULL: no memory. */
char *consent_text(const char *text, size_t n_max);
