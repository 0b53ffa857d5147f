/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl status: the root object's properties and whether a question asked now would be answered. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/terminal.h"

static const char help[] =
        "sparkctl status [OPTION…]\n\n"
        "Says which sparkd answers, which model, and whether a question asked now would be answered.\n"
        "Exit status 0 where it would, 3 where not.\n"
        "\nOptions:\n"
        COMMON_HELP;

static int get_properties(Client *c, json_t **ret, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *reply = NULL;
        int r = sd_bus_call_method(c->bus, SPARK_NAME, SPARK_PATH, "org.freedesktop.DBus.Properties", "GetAll", reterr, &reply,
                                   "s", SPARK_INTERFACE);
        return r < 0 ? r : message_to_json(reply, ret);
}

static int get_availability(Client *c, json_t **ret, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *reply = NULL;
        const char *state;
        _cleanup_(json_dropp) json_t *details = NULL;
        int r = sd_bus_call_method(c->bus, SPARK_NAME, SPARK_PATH, SPARK_INTERFACE, "Availability", reterr, &reply, "a{sv}", 0);
        if (r < 0 || (r = sd_bus_message_read(reply, "s", &state)) < 0 || (r = message_to_json(reply, &details)) < 0)
                return r;
        json_t *j = json_pack("{s:s, s:O}", "state", state, "details", details);
        if (!j)
                return -ENOMEM;
        *ret = j;
        return 0;
}

static const char *text_of(const json_t *j, const char *key) {
        return json_string_value(json_object_get(j, key)) ?: "";
}

static void print_line(const char *name, const char *value, Style style) {
        printf("%14s: %s", name, terminal_style(stdout, style));
        terminal_print(stdout, value, strlen(value));
        printf("%s\n", style == STYLE_NORMAL ? "" : terminal_style(stdout, STYLE_NORMAL));
}

static void print_status(const Client *c, const json_t *properties, const json_t *availability) {
        const char *state = text_of(availability, "state"), *model = text_of(properties, "Model");
        bool good = strcmp(state, "available") == 0;
        char number[32];

        print_line("Bus", c->user ? "session (sparkd --user)" : "system", STYLE_NORMAL);
        print_line("Model", model[0] ? model : "none", STYLE_BOLD);
        print_line("Availability", state, good ? STYLE_GOOD : STYLE_BAD);
        const json_t *details = json_object_get(availability, "details");
        if (text_of(details, "command")[0])
                print_line("To do", text_of(details, "command"), STYLE_BOLD);
        else if (text_of(details, "message")[0])
                print_line("Because", text_of(details, "message"), STYLE_NORMAL);
        print_line("Worker", text_of(properties, "State"), STYLE_NORMAL);
        json_int_t context = json_integer_value(json_object_get(properties, "ContextSize"));
        if (context > 0) {
                snprintf(number, sizeof number, "%lld tokens", (long long) context);
                print_line("Context", number, STYLE_NORMAL);
        }
        print_line("Capturing", json_is_true(json_object_get(properties, "Capturing")) ? "yes" : "no",
                   json_is_true(json_object_get(properties, "Capturing")) ? STYLE_WARN : STYLE_NORMAL);
        snprintf(number, sizeof number, "%lld", (long long) json_integer_value(json_object_get(properties, "Version")));
        print_line("Interface", number, STYLE_NORMAL);
}

int verb_status(Context *c, int argc, char **argv) {
        int r = options_parse(c, argc, argv, "status", help, NULL, 0);
        if (r != OPTIONS_READ)
                return r;
        if (optind < argc)
                return usage_error("status", "'%s': status takes no arguments.", argv[optind]);

        _cleanup_(client_done) Client client = {};
        r = client_open(c, &client);
        if (r != EXIT_OK)
                return r;
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(json_dropp) json_t *properties = NULL, *availability = NULL;
        if ((r = get_properties(&client, &properties, &error)) < 0 ||
            (r = get_availability(&client, &availability, &error)) < 0)
                return client_error(c, "get the status", &error, r);

        bool good = strcmp(text_of(availability, "state"), "available") == 0;
        if (c->json) {
                r = print_json(json_pack("{s:s, s:O, s:O}", "bus", client.user ? "session" : "system", "availability", availability,
                                         "properties", properties));
                if (r != EXIT_OK)
                        return r;
        } else
                print_status(&client, properties, availability);
        return good ? EXIT_OK : EXIT_UNAVAILABLE;
}
