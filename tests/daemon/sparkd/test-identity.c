/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Applications by the unit they run in, from texts of /proc/PID/cgroup as desktops have them. */
#include "daemon/sparkd/identity.h"
#include "tests/test.h"

static void test_units(void) {
        static const struct { const char *cgroup, *unit; } cases[] = {
                { "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-org.gnome.Builder-4242.scope\n", "app-gnome-org.gnome.Builder-4242.scope" },
                { "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.x.Y-77.scope\n", "app-flatpak-org.x.Y-77.scope" },
                { "0::/user.slice/user-1000.slice/user@1000.service/app.slice/notes.service/helper\n", "notes.service" },
                { "0::/system.slice/cups.service\n", "cups.service" },
                { "12:cpuset:/old\n0::/system.slice/cups.service\n", "cups.service" },
                { "0::/user.slice/user-1000.slice/user@1000.service/snap.firefox.firefox-1.scope\n", "snap.firefox.firefox-1.scope" },
                /* many applications in one */
                { "0::/user.slice/user-1000.slice/session-2.scope\n", NULL },
                { "0::/user.slice/user-1000.slice/user@1000.service\n", NULL },
                { "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n", NULL },
                { "0::/\n", NULL },
                { "", NULL },
                { "1:name=systemd:/x0::/system.slice/cups.service\n", NULL },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char unit[IDENTITY_APP_MAX];
                int r = identity_unit_from_cgroup(cases[i].cgroup, unit);
                CHECK_INT(r, cases[i].unit ? 0 : -ENXIO);
                if (cases[i].unit)
                        CHECK_STR(unit, cases[i].unit);
        }
}

static void test_long_names(void) {
        char text[4096] = "0::/system.slice/", unit[IDENTITY_APP_MAX];
        memset(text + strlen(text), 'a', 3000);
        strcpy(text + 3017, ".service\n");
        CHECK_INT(identity_unit_from_cgroup(text, unit), -ENXIO);
}

TEST_MAIN({ "units", test_units }, { "long names", test_long_names })
