/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stands in for a desktop's notification server on the session bus, for tests on a booted system: clicks the button that its
 * argument names on whatever is shown, and prints what that was. Ends after so many notifications. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/agent/harness.h"

int main(int argc, char **argv) {
        static NotificationServer server;
        const char *runtime = getenv("XDG_RUNTIME_DIR"), *given = getenv("DBUS_SESSION_BUS_ADDRESS");
        char address[256];
        if (argc != 3)
                return 2;
        snprintf(address, sizeof address, "unix:path=%s/bus", runtime ?: "");
        must(sd_event_default(&test_event), "event loop");
        server_start(&server, given ?: address, "actions body body-markup");
        printf("ready\n");
        fflush(stdout);
        for (int left = atoi(argv[2]); left > 0;) {
                must(sd_event_run(test_event, UINT64_MAX), "event loop");
                Shown *n = server_find(&server, "");
                if (!n)
                        continue;
                printf("%s\n%s\n", n->title, n->body);
                fflush(stdout);
                server_click(&server, n->id, argv[1]);
                server_close(&server, n->id, 3);
                left--;
        }
        server_stop(&server);
        sd_event_unref(test_event);
        return 0;
}
