/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how the commands about permissions talk to sparkd: one call, its answer as JSON, its errors by name. */

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cli/password-agent.h"
#include "cli/permissions.h"

#define CALL_USEC UINT64_C(300000000)     /* somebody may have to type a password */

int permissions_new_call(Client *c, const char *method, sd_bus_message **ret) {
        int r = sd_bus_message_new_method_call(c->bus, ret, SPARK_NAME, SPARK_PATH, SPARK_PERMISSIONS_INTERFACE, method);
        return r < 0 ? r : sd_bus_message_set_allow_interactive_authorization(*ret, true);
}

int permissions_call(const Context *context, Client *c, const char *doing, int r, sd_bus_message *call, json_t **ret) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *reply = NULL;
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(json_dropp) json_t *all = json_array();
        pid_t agent;
        if (r >= 0)
                r = sd_bus_call(c->bus, call, CALL_USEC, &error, &reply);
        if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED) && password_agent_start(&agent)) {
                sd_bus_error_free(&error);
                r = sd_bus_call(c->bus, call, CALL_USEC, &error, &reply);
                password_agent_stop(agent);
        }
        if (r < 0 && (sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_INTERFACE) ||
                      sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_METHOD)))
                return client_error_named(context, doing, SPARK_ERROR_PREFIX "UnsupportedCapability",
                                          "this sparkd is of an older version and knows no permissions.");
        while (r >= 0 && all && (r = sd_bus_message_at_end(reply, /* complete= */ false)) == 0) {
                json_t *value = NULL;
                if ((r = message_to_json(reply, &value)) >= 0 && json_array_append_new(all, value) < 0)
                        r = -ENOMEM;
        }
        if (r < 0 || !all)
                return client_error(context, doing, &error, r < 0 ? r : -ENOMEM);
        *ret = TAKE_PTR(all);
        return EXIT_OK;
}

int permissions_get(const Context *context, Client *c, const char *doing, const char *method, json_t **ret, const char *types, ...) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *call = NULL;
        int r = c->bus ? EXIT_OK : client_open(context, c);
        if (r != EXIT_OK)
                return r;
        r = permissions_new_call(c, method, &call);
        va_list ap;
        va_start(ap, types);
        if (r >= 0)
                r = sd_bus_message_appendv(call, types, ap);
        va_end(ap);
        return permissions_call(context, c, doing, r, call, ret);
}

const char *entry_text(const json_t *entry, const char *key) {
        return json_string_value(json_object_get(entry, key)) ?: "";
}

uint64_t entry_number(const json_t *entry, const char *key) {
        json_int_t n = json_integer_value(json_object_get(entry, key));
        return n > 0 ? (uint64_t) n : 0;
}
