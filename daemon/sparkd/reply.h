/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers that are filled piece by piece. */

#include <systemd/sd-bus.h>

/* An answer that begins with a list of `element`s, which is open. *ret is set as soon as there is one: it goes to
 * reply_send() in any case. */
static inline int reply_list(sd_bus_message *call, const char *element, sd_bus_message **ret) {
        int r = sd_bus_message_new_method_return(call, ret);
        return r < 0 ? r : sd_bus_message_open_container(*ret, 'a', element);
}

/* Sends the answer, unless filling it came to a negative `r`, and drops it; NULL is taken. What a method returns. */
static inline int reply_send(sd_bus_message *reply, int r) {
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r < 0 ? r : 1;
}
