/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

/* Answers Identify() of org.spark.Assistant.Agent. */
void identify_answer(GDBusMethodInvocation *call);
