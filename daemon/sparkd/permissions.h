/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between permissions.c (the interface) and permissions-list.c (its methods that list). */

#include "daemon/sparkd/manager.h"

/* InvalidInput where it is no capability, or one that stands for many. */
int read_want(const char *name, Want *ret, sd_bus_error *reterr);

int method_list(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_ledger(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_problems(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_watch_captures(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_monitor(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
