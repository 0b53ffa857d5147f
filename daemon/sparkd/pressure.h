/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Says when memory runs short, before the kernel has to kill (PSI: Documentation/accounting/psi.rst). The whole
 * system's stalls are watched, not those of one's own cgroup: an idle model stalls nobody there, and takes from all.
 *
 * A file of PSI is given a trigger, and wakes us. Kernels before 6.5 take triggers from privileged processes alone:
 * then, and for any plain file that stands in for one, its `total=` is read now and then, while there is something that
 * could be given back. A FIFO says so with every write. */

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "basic/cleanup.h"

typedef struct Pressure Pressure;

typedef struct PressureEvents {
        void (*short_of_memory)(void *userdata);
        bool (*wanted)(void *userdata);    /* is there something to give back? */
} PressureEvents;

/* `path` "": the system's own. -ENOENT: the kernel does not tell. */
int pressure_new(sd_event *event, const char *path, const PressureEvents *events, void *userdata, Pressure **ret);
Pressure *pressure_free(Pressure *p);
DEFINE_CLEANUP(Pressure, pressure_free);

/* There is something to give back from now on. NULL allowed. */
void pressure_wake(Pressure *p);

/* Microseconds that some task stalled for want of memory so far, from the text of a PSI file. -EBADMSG. */
int pressure_parse(const char *text, uint64_t *ret_usec);
