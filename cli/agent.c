/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl agent: asks for consent on this terminal, for as long as it runs. It outlives sparkd: whenever one appears, it
 * is told. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "cli/text-agent.h"

static const char help[] =
        "sparkctl agent [OPTION…]\n\n"
        "Asks on this terminal what applications may do, until Ctrl-C: for sessions without a desktop, over SSH for\n"
        "instance. 'sparkctl ask' and 'chat' ask by themselves while they wait for a reply.\n\n"
        "An answer is a letter or a word, and Enter:\n"
        "  d, deny     not this time; so does Ctrl-D\n"
        "  o, once     this time\n"
        "  s, session  until you log out\n"
        "  a, always   from now on, see 'sparkctl permission'\n"
        "  n, never    from now on not\n"
        "\nOptions:\n"
        COMMON_HELP;

typedef struct Run {
        const Context *context;
        TextAgent *agent;
        int code;                         /* ExitCode, once ended */
        bool ended;                       /* not sd_event_exit(): that closes the bus before the last answer */
} Run;

static void end(Run *run, int code) {
        run->code = code;
        run->ended = true;
}

static int tell_sparkd(Run *run) {
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = text_agent_register(run->agent, &error);
        if (r < 0)
                return client_error(run->context, "register with sparkd", &error, r);
        fprintf(stderr, "Questions will be asked here. Ctrl-C ends this.\n");
        return EXIT_OK;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Run *run = userdata;
        const char *name, *old, *new;
        if (sd_bus_message_read(m, "sss", &name, &old, &new) < 0)
                return 0;
        const char *known = text_agent_sparkd(run->agent);
        if (known && strcmp(old, known) == 0) {
                text_agent_forget(run->agent);
                complain(0, "sparkd has ended.");
                known = NULL;
        }
        /* The one that the first registration started is known already. */
        if (new[0] && (!known || strcmp(new, known) != 0) && tell_sparkd(run) != EXIT_OK)
                end(run, EXIT_FAILED);
        return 0;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        end(userdata, complain(EXIT_UNAVAILABLE, "The bus closed the connection."));
        return 0;
}

/* Ctrl-C is how this ends, not how it fails. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        end(userdata, EXIT_OK);
        return 0;
}

static int serve(Run *run, Client *client) {
        int r = sd_bus_add_match(client->bus, NULL, "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                                 "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" SPARK_NAME "'", on_owner, run);
        if (r >= 0)
                r = sd_bus_match_signal(client->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                                        "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, run);
        if (r >= 0)
                r = sd_event_add_signal(client->event, NULL, SIGINT, on_signal, run);
        if (r >= 0)
                r = sd_event_add_signal(client->event, NULL, SIGTERM, on_signal, run);
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot set up the connection: %s.", strerror(-r));
        if ((r = tell_sparkd(run)) != EXIT_OK)
                return r;
        while (!run->ended)
                if ((r = sd_event_run(client->event, UINT64_MAX)) < 0)
                        return complain(EXIT_FAILED, "Cannot wait: %s.", strerror(-r));
        return run->code;
}

int verb_agent(Context *c, int argc, char **argv) {
        int r = options_parse(c, argc, argv, "agent", help, NULL, 0);
        if (r != OPTIONS_READ)
                return r;
        if (optind < argc)
                return usage_error("agent", "'%s': agent takes no arguments.", argv[optind]);

        _cleanup_(client_done) Client client = {};
        r = client_open(c, &client);
        if (r != EXIT_OK)
                return r;
        _cleanup_(text_agent_freep) TextAgent *agent = NULL;
        r = text_agent_new(&client, /* own= */ false, &agent);
        if (r == -ENOTTY)
                return complain(EXIT_FAILED, "There is no terminal to ask on.");
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot set up the agent: %s.", strerror(-r));

        sigset_t ours = interrupts();
        sigprocmask(SIG_BLOCK, &ours, NULL);
        Run run = { .context = c, .agent = agent };
        return serve(&run, &client);
}
