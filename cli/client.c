/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way to sparkd: which bus, how its errors are said and which exit code they become, and the translation of
 * D-Bus values to JSON, so that --json shows what came over the bus and not what we thought of it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"

#define AGENT_START_USEC 5000000u         /* longer than that nobody waits for a question that may never be asked */
#define NESTING_MAX 16u           /* of values; ours have three */

/* ---- connecting ---- */

typedef enum Had { HAD_NOT, HAD_BY_CALLING, HAD_RUNNING } Had;

/* Whether sparkd is to be had on this bus: a call would start it, or it runs. */
static Had sparkd_is_had(sd_bus *bus) {
        int owned = 0;
        _cleanup_(sd_bus_message_dropp) sd_bus_message *reply = NULL, *names = NULL;
        if (sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                               NULL, &reply, "s", SPARK_NAME) >= 0 &&
            sd_bus_message_read(reply, "b", &owned) >= 0 && owned)
                return HAD_RUNNING;

        if (sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                               "ListActivatableNames", NULL, &names, NULL) < 0 ||
            sd_bus_message_enter_container(names, 'a', "s") < 0)
                return HAD_NOT;
        const char *name;
        while (sd_bus_message_read(names, "s", &name) > 0)
                if (strcmp(name, SPARK_NAME) == 0)
                        return HAD_BY_CALLING;
        return HAD_NOT;
}

/* Where nobody said which: the one that runs, the user's own first; else the machine's, so that a user's own is never
 * started by accident beside it. */
static bool user_is_better(sd_bus *user, sd_bus *system) {
        Had own = user ? sparkd_is_had(user) : HAD_NOT;
        if (own == HAD_RUNNING || own == HAD_NOT)
                return own == HAD_RUNNING;
        return !system || sparkd_is_had(system) == HAD_NOT;
}

int client_open(const Context *context, Client *ret) {
        _cleanup_(client_done) Client c = {};
        _cleanup_(sd_bus_dropp) sd_bus *user = NULL, *system = NULL;
        int r = sd_event_default(&c.event);
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot set up an event loop: %s.", strerror(-r));

        r = sd_bus_open_user(&user);
        if (r < 0 && context->bus == BUS_USER)
                return complain(EXIT_UNAVAILABLE, "Cannot reach the session bus: %s.\n"
                                "Without a desktop session, 'dbus-run-session' makes one.", strerror(-r));
        if (context->bus != BUS_USER && (r = sd_bus_open_system(&system)) < 0 && context->bus == BUS_SYSTEM)
                return complain(EXIT_UNAVAILABLE, "Cannot reach the system bus: %s.", strerror(-r));

        c.user = context->bus == BUS_USER || (context->bus == BUS_AUTO && user_is_better(user, system));
        if (!c.user && context->bus == BUS_AUTO && (!system || sparkd_is_had(system) == HAD_NOT))
                return complain(EXIT_UNAVAILABLE, "There is no sparkd, neither on the session bus nor on the system bus.\n"
                                "'sparkd --user' starts one of your own.");
        c.bus = c.user ? TAKE_PTR(user) : TAKE_PTR(system);
        r = sd_bus_attach_event(c.bus, c.event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot set up the connection: %s.", strerror(-r));
        *ret = c;
        c = (Client) {};
        return EXIT_OK;
}

void client_done(Client *c) {
        c->bus = sd_bus_flush_close_unref(c->bus);
        c->event = sd_event_unref(c->event);
}

void client_start_agent(const Client *c) {
        _cleanup_(sd_bus_dropp) sd_bus *session = NULL;
        _cleanup_(sd_bus_message_dropp) sd_bus_message *m = NULL;
        if (c->user || sd_bus_open_user(&session) < 0)
                return;
        /* sparkd first: an agent counts as started once the sparkd that runs knows of it. Where sparkd cannot be started
         * the caller's own call will say so. */
        if (sd_bus_call_method(c->bus, SPARK_NAME, SPARK_PATH, "org.freedesktop.DBus.Peer", "Ping", NULL, NULL, NULL) < 0)
                return;
        if (sd_bus_message_new_method_call(session, &m, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                           "StartServiceByName") >= 0 &&
            sd_bus_message_append(m, "su", AGENT_NAME, 0u) >= 0)
                sd_bus_call(session, m, AGENT_START_USEC, NULL, NULL);
}

/* ---- errors ---- */

static const struct {
        const char *name;         /* in full, or what follows our prefix */
        ExitCode code;
        const char *words;        /* before the message; NULL: the message says it all */
} errors[] = {
        { "Unavailable",                               EXIT_UNAVAILABLE, NULL },
        { "WorkerLost",                                EXIT_FAILED,      NULL },
        { "ContextFull",                               EXIT_REFUSED,     "That is too long for the model" },
        { "NotAllowed",                                EXIT_REFUSED,     "Not allowed" },
        { "RateLimited",                               EXIT_REFUSED,     "Too many requests" },
        { "QuotaExceeded",                             EXIT_REFUSED,     "A limit is reached" },
        { "Busy",                                      EXIT_REFUSED,     "Busy" },
        { "Refused",                                   EXIT_REFUSED,     NULL },
        { "PromptBlocked",                             EXIT_REFUSED,     NULL },
        { "ReplyBlocked",                              EXIT_REFUSED,     NULL },
        { "Cancelled",                                 EXIT_CANCELLED,   NULL },
        { "Timeout",                                   EXIT_TIMEOUT,     NULL },
        { "InvalidInput",                              EXIT_FAILED,      NULL },
        { "org.freedesktop.DBus.Error.ServiceUnknown", EXIT_UNAVAILABLE, "sparkd does not run and cannot be started" },
        { "org.freedesktop.systemd1.UnitMasked",       EXIT_UNAVAILABLE, "The administrator has switched sparkd off" },
        { "org.freedesktop.DBus.Error.NameHasNoOwner", EXIT_UNAVAILABLE, "sparkd does not run" },
        { "org.freedesktop.DBus.Error.NoReply",        EXIT_UNAVAILABLE, "sparkd does not answer" },
        { "org.freedesktop.DBus.Error.Disconnected",   EXIT_UNAVAILABLE, "The bus closed the connection" },
        { "org.freedesktop.DBus.Error.AccessDenied",   EXIT_REFUSED,     "Not allowed" },
        { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", EXIT_REFUSED, "Not allowed" },
        { "org.freedesktop.DBus.Error.LimitsExceeded", EXIT_REFUSED,     "A limit is reached" },
};

int client_error_named(const Context *context, const char *doing, const char *name, const char *message) {
        const char *words = NULL, *tail = name;
        int code = EXIT_FAILED;
        if (strncmp(name, SPARK_ERROR_PREFIX, strlen(SPARK_ERROR_PREFIX)) == 0)
                tail += strlen(SPARK_ERROR_PREFIX);
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (strcmp(errors[i].name, tail) == 0) {
                        code = errors[i].code;
                        words = errors[i].words;
                }

        if (context->json)
                print_json(json_pack("{s:s, s:s}", "error", name, "message", message ?: ""));
        if (words)
                return complain(code, "%s: %s", words, message ?: tail);
        /* Its first word is the reason, for programs; the rest says the same to people. */
        if (code == EXIT_UNAVAILABLE && message) {
                size_t n = strspn(message, "abcdefghijklmnopqrstuvwxyz-");
                if (strncmp(message + n, ": ", 2) == 0)
                        message += n + 2;
        }
        return complain(code, "Cannot %s: %s", doing, message && message[0] ? message : tail);
}

int client_error(const Context *context, const char *doing, const sd_bus_error *e, int r) {
        if (e && sd_bus_error_is_set(e))
                return client_error_named(context, doing, e->name, e->message);
        _cleanup_error_ sd_bus_error own = SD_BUS_ERROR_NULL;
        sd_bus_error_set_errno(&own, r);
        return client_error_named(context, doing, own.name, own.message);
}

/* ---- values ---- */

static int value_to_json(sd_bus_message *m, unsigned depth, json_t **ret);

/* A dictionary whose keys are no strings keeps them as JSON text: {"7": …}. */
static int entry_to_json(sd_bus_message *m, const char *contents, unsigned depth, json_t *object) {
        int r = sd_bus_message_enter_container(m, 'e', contents);
        if (r < 0)
                return r;
        _cleanup_(json_dropp) json_t *key = NULL;
        json_t *value = NULL;
        if ((r = value_to_json(m, depth, &key)) < 0 || (r = value_to_json(m, depth, &value)) < 0)
                return r;
        _cleanup_free_ char *text = json_is_string(key) ? strdup(json_string_value(key)) : json_dumps(key, JSON_ENCODE_ANY);
        if (!text || json_object_set_new(object, text, value) < 0)
                return -ENOMEM;
        return sd_bus_message_exit_container(m);
}

static int container_to_json(sd_bus_message *m, char type, const char *contents, unsigned depth, json_t **ret) {
        bool is_dict = type == 'a' && contents[0] == '{';
        _cleanup_(json_dropp) json_t *j = is_dict ? json_object() : json_array();
        if (!j)
                return -ENOMEM;
        int r = sd_bus_message_enter_container(m, type, contents);
        if (r < 0)
                return r;

        _cleanup_free_ char *entry = NULL;
        if (is_dict && !(entry = strndup(contents + 1, strlen(contents) - 2)))
                return -ENOMEM;
        while ((r = sd_bus_message_at_end(m, /* complete= */ false)) == 0) {
                json_t *item = NULL;
                if (is_dict)
                        r = entry_to_json(m, entry, depth, j);
                else if ((r = value_to_json(m, depth, &item)) >= 0 && json_array_append_new(j, item) < 0)
                        r = -ENOMEM;
                if (r < 0)
                        return r;
        }
        if (r < 0 || (r = sd_bus_message_exit_container(m)) < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

static int value_to_json(sd_bus_message *m, unsigned depth, json_t **ret) {
        char type;
        const char *contents;
        if (depth == 0)
                return -EMSGSIZE;
        int r = sd_bus_message_peek_type(m, &type, &contents);
        if (r <= 0)
                return r < 0 ? r : -EBADMSG;

        if (type == 'a' || type == 'r')
                return container_to_json(m, type, contents, depth - 1, ret);
        json_t *j = NULL;
        if (type == 'v') {
                if ((r = sd_bus_message_enter_container(m, 'v', contents)) < 0 ||
                    (r = value_to_json(m, depth - 1, &j)) < 0)
                        return r;
                if ((r = sd_bus_message_exit_container(m)) < 0) {
                        json_decref(j);
                        return r;
                }
                *ret = j;
                return 0;
        }

        union { uint8_t y; int b; int16_t n; uint16_t q; int32_t i; uint32_t u; int64_t x; uint64_t t; double d; const char *s; } v;
        if ((r = sd_bus_message_read_basic(m, type, &v)) < 0)
                return r;
        switch (type) {
        case 'y': j = json_integer(v.y); break;
        case 'b': j = json_boolean(v.b); break;
        case 'n': j = json_integer(v.n); break;
        case 'q': j = json_integer(v.q); break;
        case 'i': j = json_integer(v.i); break;
        case 'h': j = json_integer(v.i); break;
        case 'u': j = json_integer(v.u); break;
        case 'x': j = json_integer(v.x); break;
        case 't':
                /* JSON's integers here end at 2^63 - 1; a seed beyond stays exact as text. */
                j = v.t <= INT64_MAX ? json_integer((json_int_t) v.t) : json_sprintf("%llu", (unsigned long long) v.t);
                break;
        case 'd': j = json_real(v.d); break;
        default:  j = json_string(v.s);
        }
        if (!j)
                return type == 'd' ? -ERANGE : -ENOMEM;
        *ret = j;
        return 0;
}

int message_to_json(sd_bus_message *m, json_t **ret) {
        return value_to_json(m, NESTING_MAX, ret);
}

int print_json(json_t *j) {
        _cleanup_(json_dropp) json_t *owned = j;
        if (!owned || json_dumpf(owned, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) < 0)
                return complain(EXIT_FAILED, "Cannot write JSON.");
        putchar('\n');
        fflush(stdout);
        return EXIT_OK;
}
