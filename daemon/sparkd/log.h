/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One line a message to standard error; with the level in front where the journal reads it. */

#include "basic/cleanup.h"

void log_message(int level, const char *format, ...) _printf_(2, 3);

#define log_error(...) log_message(3, __VA_ARGS__)
#define log_warning(...) log_message(4, __VA_ARGS__)
#define log_notice(...) log_message(5, __VA_ARGS__)
#define log_info(...) log_message(6, __VA_ARGS__)
