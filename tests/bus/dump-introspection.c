/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints what the root object and a session of our own say of themselves, for tests/bus/introspection: only its owner
 * can ask a session. */

#include <stdio.h>

#include "tests/bus/client.h"

static int print(TestClient *c, const char *path) {
        sd_bus_message *reply = NULL;
        const char *xml;
        int r = sd_bus_call_method(c->bus, "org.spark.Assistant", path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, &reply, "");
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &xml);
        if (r >= 0)
                printf("%s%c", xml, 0);
        sd_bus_message_unref(reply);
        return r;
}

int main(void) {
        TestClient c;
        char path[PATH_SIZE];
        client_init(&c);
        session_open(&c, 1, path);
        int r = print(&c, "/org/spark/Assistant");
        if (r >= 0)
                r = print(&c, path);
        client_done(&c);
        return r < 0;
}
