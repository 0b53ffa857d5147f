/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Method calls that wait for the worker. */

#include "daemon/sparkd/manager.h"

typedef enum CallKind { CALL_COUNT, CALL_VERIFY } CallKind;
int call_begin(User *u, CallKind kind, sd_bus_message *message, const char *text, sd_bus_error *reterr);
void calls_give(User *u);                                  /* the worker is READY */
/* Ends those that the worker was given with WorkerLost; where an error is named, all of them with that. */
void calls_lost(User *u, const char *name, const char *text);
void calls_expire(User *u);
void call_counted(User *u, uint64_t request, uint32_t n_tokens);
void call_facts(User *u, uint64_t request, const char *json, size_t size);
