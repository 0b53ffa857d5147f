/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether the machine runs on its battery, as UPower says (the property OnBattery of org.freedesktop.UPower). Where
 * there is no system bus or no UPower on it, it does not. UPower is not started for this. */

#include <stdbool.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "basic/cleanup.h"

typedef struct Power Power;

/* `bus`: the system bus, attached to the event loop already; NULL: a connection of its own is made. `changed` is called
 * when the answer changes. Negative: there is no system bus. */
int power_new(sd_event *event, sd_bus *bus, void (*changed)(void *userdata), void *userdata, Power **ret);
Power *power_free(Power *p);
DEFINE_CLEANUP(Power, power_free);

bool power_on_battery(const Power *p);                     /* NULL: no */
