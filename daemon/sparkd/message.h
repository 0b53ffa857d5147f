/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers and signals that are filled piece by piece. */

#include <systemd/sd-bus.h>

/* An answer that begins with a list of `element`s, which is open. *ret is set as soon as there is one: it goes to
 * message_send() in any case. */
static inline int reply_list(sd_bus_message *call, const char *element, sd_bus_message **ret) {
        int r = sd_bus_message_new_method_return(call, ret);
        return r < 0 ? r : sd_bus_message_open_container(*ret, 'a', element);
}

/* Sends it, unless filling it came to a negative `r`, and drops it; NULL is taken. What a method returns: 1, or negative. */
static inline int message_send(sd_bus_message *m, int r) {
        if (r >= 0)
                r = sd_bus_send(NULL, m, NULL);
        sd_bus_message_unref(m);
        return r < 0 ? r : 1;
}
