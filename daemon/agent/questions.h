/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The questions that sparkd has put and nobody has answered yet, in the order in which they came. */

#include <gio/gio.h>

#include "daemon/agent/ask.h"

typedef struct Questions Questions;

/* `context` and what it points to live longer. */
Questions *questions_new(const AskContext *context);
/* Withdraws what is shown and leaves every call without an answer of a person's. */
Questions *questions_free(Questions *q);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Questions, questions_free)

/* Takes the call over: RequestConsent(s, a{sv}) of whoever may put questions. It is answered later, or at once with an
 * error. */
void questions_add(Questions *q, GDBusMethodInvocation *call);
/* Withdraws the caller's question of that number; `id` NULL: all of them (the caller is gone). */
void questions_cancel(Questions *q, GDBusConnection *bus, const char *sender, const char *id);
