/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the one question to UPower, asked again whenever it comes, goes or says that something has changed. Believes what
 * it says of the battery and nothing else; an answer that makes no sense is no battery. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/log.h"
#include "daemon/sparkd/power.h"

#define UPOWER "org.freedesktop.UPower"
#define UPOWER_PATH "/org/freedesktop/UPower"

struct Power {
        sd_bus *bus;
        bool own_bus;
        sd_bus_slot *changes, *owner, *question;
        bool on_battery;
        void (*changed)(void *userdata);
        void *userdata;
};

static void power_set(Power *p, bool on_battery) {
        if (p->on_battery == on_battery)
                return;
        p->on_battery = on_battery;
        log_info("The machine runs on %s", on_battery ? "its battery" : "mains power");
        p->changed(p->userdata);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Power *p = userdata;
        int on_battery = 0;

        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "v", "b", &on_battery) < 0)
                on_battery = 0;
        p->question = sd_bus_slot_unref(p->question);
        power_set(p, on_battery);
        return 0;
}

static int power_ask(Power *p) {
        sd_bus_message *m = NULL;
        int r;

        p->question = sd_bus_slot_unref(p->question);
        r = sd_bus_message_new_method_call(p->bus, &m, UPOWER, UPOWER_PATH, "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", UPOWER, "OnBattery");
        if (r >= 0)
                r = sd_bus_call_async(p->bus, &p->question, m, on_answer, p, 0);
        sd_bus_message_unref(m);
        return r;
}

static int on_change(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        int r = power_ask(userdata);
        if (r < 0)
                log_warning("Cannot ask for the battery: %s, ignoring", strerror(-r));
        return 0;
}

int power_new(sd_event *event, sd_bus *bus, void (*changed)(void *userdata), void *userdata, Power **ret) {
        int r;

        _cleanup_(power_freep) Power *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->changed = changed;
        p->userdata = userdata;
        if (bus)
                p->bus = sd_bus_ref(bus);
        else {
                r = sd_bus_open_system(&p->bus);
                if (r < 0)
                        return r;
                p->own_bus = true;
                r = sd_bus_attach_event(p->bus, event, SD_EVENT_PRIORITY_NORMAL);
                if (r < 0)
                        return r;
        }
        r = sd_bus_match_signal_async(p->bus, &p->changes, UPOWER, UPOWER_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                      on_change, NULL, p);
        if (r >= 0)
                r = sd_bus_add_match_async(p->bus, &p->owner, "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                           "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" UPOWER "'", on_change, NULL, p);
        if (r >= 0)
                r = power_ask(p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

Power *power_free(Power *p) {
        if (!p)
                return NULL;
        sd_bus_slot_unref(p->question);
        sd_bus_slot_unref(p->changes);
        sd_bus_slot_unref(p->owner);
        if (p->own_bus)
                sd_bus_flush_close_unref(p->bus);
        else
                sd_bus_unref(p->bus);
        free(p);
        return NULL;
}

bool power_on_battery(const Power *p) {
        return p && p->on_battery;
}
