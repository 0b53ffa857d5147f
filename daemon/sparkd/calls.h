/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Method calls that wait for the worker. */

#include "daemon/sparkd/manager.h"

typedef enum CallKind { CALL_COUNT, CALL_VERIFY } CallKind;
/* Of those that count, the ledger hears the end. */
int call_begin(const Caller *caller, CallKind kind, sd_bus_message *message, const char *text, sd_bus_error *reterr);
void calls_give(User *u);                                  /* the worker is READY */
/* What the worker was given waits for the next one, once; then it ends with WorkerLost. Where an error is named, all end
 * with that. */
void calls_lost(User *u, const char *name, const char *text);
void calls_expire(User *u);
void call_counted(User *u, uint64_t request, uint32_t n_tokens);
void call_facts(User *u, uint64_t request, const char *json, size_t size);
