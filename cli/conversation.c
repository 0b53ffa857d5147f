/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns one session and the loop of one turn. Everything waits in sd-event: the bus, Ctrl-C, the time limit. Signals are
 * blocked only while a turn runs, so that between turns Ctrl-C means what it always means. Only the sparkd that made the
 * session is listened to. */

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/number.h"
#include "cli/terminal.h"
#include "cli/text-agent.h"

#define REPLY_MAX (16u << 20)             /* bytes of one reply that we keep; far above any context */

static inline void event_source_drop(sd_event_source *s) {
        sd_event_source_disable_unref(s);
}
DEFINE_CLEANUP(sd_event_source, event_source_drop);
static inline void slot_drop(sd_bus_slot *s) {
        sd_bus_slot_unref(s);
}
DEFINE_CLEANUP(sd_bus_slot, slot_drop);

int reply_option(ReplyOptions *o, const char *command, int opt, const char *value) {
        uint64_t n;
        switch (opt) {
        case OPT_TEMPERATURE:
                if (parse_double(value, 0, 2, &o->temperature) < 0)
                        break;
                o->temperature_set = true;
                return 1;
        case OPT_SEED:
                if (parse_u64(value, &o->seed) < 0)
                        break;
                o->seed_set = true;
                return 1;
        case OPT_MAX_TOKENS:
                if (parse_u64(value, &n) < 0 || n < 1 || n > UINT32_MAX)
                        break;
                o->max_tokens = (uint32_t) n;
                o->max_tokens_set = true;
                return 1;
        case OPT_MAX_TIME:
                if (parse_double(value, 0.001, 1e6, &o->max_time) < 0)
                        break;
                return 1;
        case OPT_INSTRUCTIONS:
                if (text_valid_until(value, strlen(value)) < strlen(value))
                        break;
                o->instructions = value;
                return 1;
        case OPT_MODEL:
                if (text_valid_until(value, strlen(value)) < strlen(value))
                        break;
                o->model = value;
                return 1;
        case OPT_STATS:
                o->stats = true;
                return 1;
        case OPT_NO_AGENT:
                o->no_agent = true;
                return 1;
        default:
                return 0;
        }
        static const char *const wanted[] = {
                [OPT_TEMPERATURE - OPT_FIRST_OWN] = "--temperature wants a number from 0 to 2",
                [OPT_SEED - OPT_FIRST_OWN] = "--seed wants a whole number from 0 to 18446744073709551615",
                [OPT_MAX_TOKENS - OPT_FIRST_OWN] = "--max-tokens wants a whole number from 1 to 4294967295",
                [OPT_MAX_TIME - OPT_FIRST_OWN] = "--max-time wants seconds, at least 0.001",
                [OPT_INSTRUCTIONS - OPT_FIRST_OWN] = "--instructions wants text in UTF-8",
                [OPT_MODEL - OPT_FIRST_OWN] = "--model wants a name in UTF-8",
        };
        usage_error(command, "%s, not '%s'.", wanted[opt - OPT_FIRST_OWN], value);
        return -EINVAL;
}

/* ---- session ---- */

static int append_options(sd_bus_message *m, const ReplyOptions *o) {
        int r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && o->temperature_set)
                r = sd_bus_message_append(m, "{sv}", "temperature", "d", o->temperature);
        if (r >= 0 && o->seed_set)
                r = sd_bus_message_append(m, "{sv}", "seed", "t", o->seed);
        if (r >= 0 && o->max_tokens_set)
                r = sd_bus_message_append(m, "{sv}", "max-tokens", "u", o->max_tokens);
        if (r >= 0 && o->instructions)
                r = sd_bus_message_append(m, "{sv}", "instructions", "s", o->instructions);
        if (r >= 0 && o->model)
                r = sd_bus_message_append(m, "{sv}", "model", "s", o->model);
        if (r >= 0 && o->drop_oldest)
                r = sd_bus_message_append(m, "{sv}", "overflow", "s", "drop-oldest");
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int session_open(const Context *context, Client *client, const ReplyOptions *o, Session *ret) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *path, *peer;

        client_start_agent(client);
        int r = sd_bus_message_new_method_call(client->bus, &call, SPARK_NAME, SPARK_PATH, SPARK_INTERFACE, "CreateSession");
        if (r >= 0)
                r = append_options(call, o);
        if (r >= 0)
                r = sd_bus_call(client->bus, call, 0, &error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return client_error(context, "open a session", &error, r);

        peer = sd_bus_message_get_sender(reply);
        _cleanup_free_ char *own_path = strdup(path), *own_peer = strdup(peer ?: SPARK_NAME);
        if (!own_path || !own_peer)
                return complain(EXIT_FAILED, "Out of memory.");
        *ret = (Session) { context, client, TAKE_PTR(own_path), TAKE_PTR(own_peer) };
        return EXIT_OK;
}

void session_done(Session *s) {
        if (s->path)
                sd_bus_call_method_async(s->client->bus, NULL, s->peer, s->path, SPARK_SESSION_INTERFACE, "Close", NULL, NULL,
                                         "a{sv}", 0);
        free(s->path);
        free(s->peer);
        *s = (Session) {};
}

/* ---- turn ---- */

typedef struct Running {
        Session *session;
        Turn *turn;
        uint64_t number;
        unsigned n_cancels;
        int error;
        bool quiet, finished, lost;
} Running;

void turn_done(Turn *t) {
        free(t->text);
        free(t->reason);
        json_decref(t->usage);
        *t = (Turn) {};
}

static int on_delta(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Running *run = userdata;
        uint64_t number;
        const char *text;
        int r = sd_bus_message_read(m, "ts", &number, &text);
        if (r < 0 || number != run->number)
                return 0;
        size_t n = strlen(text);
        Turn *t = run->turn;
        if (n > REPLY_MAX - t->size) {
                run->error = -EMSGSIZE;
                return 0;
        }
        char *more = realloc(t->text, t->size + n + 1);
        if (!more) {
                run->error = -ENOMEM;
                return 0;
        }
        memcpy(more + t->size, text, n + 1);
        t->text = more;
        t->size += n;
        if (!run->quiet) {
                terminal_print(stdout, text, n);
                fflush(stdout);
        }
        return 0;
}

static int on_finished(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Running *run = userdata;
        uint64_t number;
        const char *reason;
        int r = sd_bus_message_read(m, "ts", &number, &reason);
        if (r < 0 || number != run->number)
                return 0;
        run->finished = true;
        run->turn->reason = strdup(reason);
        r = message_to_json(m, &run->turn->usage);
        if (r < 0)
                run->error = r;
        else if (!run->turn->reason)
                run->error = -ENOMEM;
        return 0;
}

/* sparkd left, or the bus did. */
static int on_lost(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Running *run = userdata;
        const char *name, *old;
        if (strcmp(sd_bus_message_get_member(m), "NameOwnerChanged") == 0 &&
            (sd_bus_message_read(m, "ss", &name, &old) < 0 || strcmp(old, run->session->peer) != 0))
                return 0;
        run->lost = true;
        return 0;
}

static void cancel(Running *run) {
        run->n_cancels++;
        int r = sd_bus_call_method_async(run->session->client->bus, NULL, run->session->peer, run->session->path,
                                         SPARK_SESSION_INTERFACE, "Cancel", NULL, NULL, "ta{sv}", run->number, 0);
        if (r < 0)
                run->error = r;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        cancel(userdata);
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Running *run = userdata;
        run->turn->timed_out = true;
        cancel(run);
        return 0;
}

static int call_respond(Running *run, const Part *parts, size_t n_parts, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *m = NULL, *reply = NULL;
        Session *s = run->session;
        int r = sd_bus_message_new_method_call(s->client->bus, &m, s->peer, s->path, SPARK_SESSION_INTERFACE, "Respond");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sa{sv})");
        for (size_t i = 0; r >= 0 && i < n_parts; i++)
                r = sd_bus_message_append(m, "(sa{sv})", "text", 2, "text", "s", parts[i].text, "origin", "s", parts[i].origin);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 0);
        if (r >= 0)
                r = sd_bus_call(s->client->bus, m, 0, reterr, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "t", &run->number);
        return r;
}

/* The slots and sources live as long as this function: nothing calls back into a turn that is over. */
static int run_turn(Running *run, const Part *parts, size_t n_parts, const ReplyOptions *o, sd_bus_error *reterr) {
        _cleanup_(slot_dropp) sd_bus_slot *delta = NULL, *finished = NULL, *owner = NULL, *disconnected = NULL;
        _cleanup_(event_source_dropp) sd_event_source *interrupt = NULL, *terminate = NULL, *timer = NULL;
        Session *s = run->session;
        sd_bus *bus = s->client->bus;
        sd_event *event = s->client->event;

        /* Only while the loop runs: between turns nobody would see a question. Only about us: another application's has no
         * place in the middle of a reply. Without a terminal there is none. */
        _cleanup_(text_agent_freep) TextAgent *agent = NULL;
        if (!o->no_agent && text_agent_new(s->client, /* own= */ true, &agent) >= 0)
                text_agent_register_async(agent, s->peer);

        int r = sd_bus_match_signal(bus, &delta, s->peer, s->path, SPARK_SESSION_INTERFACE, "Delta", on_delta, run);
        if (r >= 0)
                r = sd_bus_match_signal(bus, &finished, s->peer, s->path, SPARK_SESSION_INTERFACE, "Finished", on_finished, run);
        if (r >= 0)
                r = sd_bus_add_match(bus, &owner, "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                     "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" SPARK_NAME "'",
                                     on_lost, run);
        if (r >= 0)
                r = sd_bus_match_signal(bus, &disconnected, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                                        "org.freedesktop.DBus.Local", "Disconnected", on_lost, run);
        if (r >= 0)
                r = call_respond(run, parts, n_parts, reterr);
        if (r >= 0)
                r = sd_event_add_signal(event, &interrupt, SIGINT, on_signal, run);
        if (r >= 0)
                r = sd_event_add_signal(event, &terminate, SIGTERM, on_signal, run);
        if (r >= 0 && o->max_time > 0)
                r = sd_event_add_time_relative(event, &timer, CLOCK_MONOTONIC, (uint64_t) (o->max_time * 1e6), 0, on_time, run);

        while (r >= 0 && !run->finished && !run->lost && run->error == 0 && run->n_cancels < 2 + (unsigned) run->turn->timed_out)
                r = sd_event_run(event, UINT64_MAX);
        return r < 0 ? r : run->error;
}

int session_turn(Session *s, const Part *parts, size_t n_parts, const ReplyOptions *o, Turn *ret, bool *ret_lost) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Running run = { .session = s, .turn = ret, .quiet = s->context->json };
        *ret = (Turn) {};

        sigset_t ours = interrupts(), before;
        sigprocmask(SIG_BLOCK, &ours, &before);
        int r = run_turn(&run, parts, n_parts, o, &error);
        sigprocmask(SIG_SETMASK, &before, NULL);

        /* A reply that stops in mid-line leaves the next thing printed on a line of its own. */
        if (!run.quiet && ret->size > 0 && ret->text[ret->size - 1] != '\n') {
                putchar('\n');
                fflush(stdout);
        }
        *ret_lost = run.lost || sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT) ||
                    sd_bus_error_has_name(&error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                    sd_bus_error_has_name(&error, SD_BUS_ERROR_NAME_HAS_NO_OWNER);

        if (r < 0)
                return client_error(s->context, "ask", &error, r);
        if (run.lost)
                return client_error_named(s->context, "ask", SPARK_ERROR_PREFIX "Unavailable",
                                          "sparkd went away during the reply.");
        if (!run.finished) {
                ret->reason = strdup("cancelled");
                return EXIT_OK;
        }
        if (strcmp(ret->reason, "error") == 0) {
                const char *name = json_string_value(json_object_get(ret->usage, "error"));
                const char *message = json_string_value(json_object_get(ret->usage, "message"));
                return client_error_named(s->context, "ask", name ?: SPARK_ERROR_PREFIX "WorkerLost", message);
        }
        return EXIT_OK;
}

/* ---- figures ---- */

static double figure(const Turn *t, const char *key) {
        return json_number_value(json_object_get(t->usage, key));
}

unsigned turn_dropped(const Turn *t) {
        return (unsigned) figure(t, "dropped-turns");
}

void turn_print_stats(const Turn *t) {
        const char *end = t->reason && strcmp(t->reason, "cancelled") == 0 ? ", cancelled" :
                t->reason && strcmp(t->reason, "length") == 0 ? ", cut off at its limit" : "";
        fprintf(stderr, "%s[time to first token %.0f ms, %.1f tokens/s; %.0f tokens%s; prompt of %.0f, %.0f of them kept]%s\n",
                terminal_style(stderr, STYLE_DIM), figure(t, "first-token-ms"), figure(t, "tokens-per-second"),
                figure(t, "generated-tokens"), end, figure(t, "prompt-tokens"), figure(t, "cached-tokens"),
                terminal_style(stderr, STYLE_NORMAL));
}

json_t *turn_to_json(const Turn *t) {
        return json_pack("{s:s, s:s, s:O}", "text", t->text ?: "", "reason", t->reason ?: "cancelled",
                         "usage", t->usage ?: json_null());
}
