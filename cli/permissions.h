/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Calls of org.spark.Assistant.Permissions, for permission, policy, ledger and monitor; and the times they show and read. */

#include <stdint.h>

#include "cli/client.h"

/* A call of that method, to be filled. Passwords may be asked for: it waits long enough. */
int permissions_new_call(Client *c, const char *method, sd_bus_message **ret);
/* Makes the call; *ret is an array of what came back. ExitCode; has said what went wrong. `r`: what filling the call came
 * to, reported here. */
int permissions_call(const Context *context, Client *c, const char *doing, int r, sd_bus_message *call, json_t **ret);
/* Both at once, with arguments as sd_bus_message_append() takes them. Connects first where *c is {} still. */
int permissions_get(const Context *context, Client *c, const char *doing, const char *method, json_t **ret, const char *types, ...);

/* Text and numbers out of a dictionary; "" and 0 where they are not. */
const char *entry_text(const json_t *entry, const char *key);
uint64_t entry_number(const json_t *entry, const char *key);

/* "2026-11-21 14:05:09" of microseconds since 1970, local; "never" of 0. */
#define WHEN_TEXT_MAX 40
const char *when_text(uint64_t usec, char buffer[WHEN_TEXT_MAX]);

/* Microseconds since 1970 of "90s", "30m", "2h", "3d", "2w" (before `now`), "today", "yesterday", "2026-11-20",
 * "2026-11-20 14:05[:09]" (local). -EINVAL: none of these. */
int when_parse(const char *text, uint64_t now, uint64_t *ret);
