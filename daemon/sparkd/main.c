/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sparkd: org.spark.Assistant on the system bus, or with --user on the session bus. Single-threaded on sd-event. Here:
 * the command line, the bus connection, the loop. */

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <systemd/sd-daemon.h>

#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/manager.h"

#define LARGE_BYTES (256 << 10)

typedef struct Arguments {
        bool user;
        const char *config, *model, *worker, *rules;
} Arguments;

static void help(void) {
        printf("sparkd [OPTION...]\n\n"
               "The system's assistant: answers org.spark.Assistant on the system bus.\n\n"
               "  --user         answer on the session bus instead\n"
               "  --config FILE  read this file and none of the usual ones\n"
               "  --model NAME   the model that answers, whatever the configuration says\n"
               "  --worker PATH  the worker program\n"
               "  --rules FOLDER reads the rule files of this folder and none of the usual ones\n"
               "  --version      print the version\n"
               "  --help         print this text\n");
}

/* 1: go on, 0: done, negative: not understood. */
static int parse_arguments(int argc, char **argv, Arguments *ret) {
        enum { USER = 256, SYSTEM, CONFIG, MODEL, WORKER, RULES, VERSION, HELP };
        static const struct option options[] = {
                { "user", no_argument, NULL, USER },           { "system", no_argument, NULL, SYSTEM },
                { "config", required_argument, NULL, CONFIG }, { "model", required_argument, NULL, MODEL },
                { "worker", required_argument, NULL, WORKER },  { "rules", required_argument, NULL, RULES },
                { "version", no_argument, NULL, VERSION },
                { "help", no_argument, NULL, HELP },           {},
        };

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0; )
                switch (c) {
                case USER: ret->user = true; break;
                case SYSTEM: ret->user = false; break;
                case CONFIG: ret->config = optarg; break;
                case MODEL: ret->model = optarg; break;
                case WORKER: ret->worker = optarg; break;
                case RULES: ret->rules = optarg; break;
                case VERSION: printf("sparkd %s\n", SPARK_VERSION); return 0;
                case HELP: help(); return 0;
                default: return -EINVAL;
                }
        if (optind < argc) {
                fprintf(stderr, "sparkd: '%s' is not understood; see sparkd --help\n", argv[optind]);
                return -EINVAL;
        }
        return 1;
}

static int configure(const Arguments *a, Config *c) {
        int r = config_init(c);
        if (r >= 0)
                r = a->config ? config_read_file(c, a->config) : config_read_default(c, a->user);
        if (r < 0) {
                log_error("%s: %s", a->config ?: "configuration", strerror(-r));
                return r;
        }
        c->model_fixed = a->model;
        if (a->model)
                r = config_set(c, "Model", "Name", a->model);
        if (r >= 0 && a->worker) {
                c->worker_path = strdup(a->worker);
                r = c->worker_path ? 0 : -ENOMEM;
        }
        if (r >= 0 && a->rules) {
                c->rules_folder = strdup(a->rules);
                r = c->rules_folder ? 0 : -ENOMEM;
        }
        if (r >= 0 && !model_name_valid(c->model)) {
                log_error("'%s' is no name of a model: [a-z0-9][a-z0-9._-]*, at most %u bytes", c->model, MODEL_NAME_MAX);
                return -EINVAL;
        }
        return r;
}

static int connect_bus(bool user, sd_event *event, sd_bus **ret) {
        sd_bus *bus = NULL;
        int r;

        r = user ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
        if (r < 0) {
                log_error("Cannot connect to the %s bus: %s", user ? "session" : "system", strerror(-r));
                return r;
        }
        r = sd_bus_set_method_call_timeout(bus, BUS_CALL_USEC);
        if (r >= 0)
                r = sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(bus, true);
        if (r < 0) {
                log_error("Cannot use the bus: %s", strerror(-r));
                sd_bus_flush_close_unref(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

/* The rules are read again. systemd wants to be told of both ends, and when the first was (sd_notify(3)). */
static int on_reload(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Manager *m = userdata;
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        (void) sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) now.tv_sec * 1000000 + (unsigned long long) now.tv_nsec / 1000);
        int r = gate_load_rules(m);
        if (r < 0)
                log_error("The rules cannot be read, the old ones hold: %s", strerror(-r));
        else {
                log_info("The rules were read, with %zu mistakes", rules_n_problems(m->rules));
                gate_recheck(m, NULL);
        }
        (void) sd_notify(false, "READY=1");
        return 0;
}

static int add_signals(sd_event *event) {
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        return r < 0 ? r : sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}

static int run(const Arguments *a) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(manager_freep) Manager *m = NULL;
        _cleanup_(config_done) Config config = {};
        sd_bus *bus = NULL;
        int r;

        r = configure(a, &config);
        if (r < 0)
                return r;
        r = sd_event_new(&event);
        if (r >= 0)
                r = add_signals(event);
        if (r >= 0)
                r = sd_event_set_watchdog(event, true);
        if (r < 0) {
                log_error("Cannot make the event loop: %s", strerror(-r));
                return r;
        }
        r = connect_bus(a->user, event, &bus);
        if (r < 0)
                return r;
        r = manager_new(event, bus, a->user, &config, &m);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGHUP, on_reload, m);
        if (r >= 0)
                r = sd_bus_request_name(bus, SPARK_BUS_NAME, 0);
        sd_bus_unref(bus);
        if (r < 0) {
                log_error("Cannot serve %s: %s", SPARK_BUS_NAME, r == -EEXIST ? "somebody else does already" : strerror(-r));
                return r;
        }

        (void) sd_notify(false, "READY=1\nSTATUS=Serving " SPARK_BUS_NAME);
        r = sd_event_loop(event);
        (void) sd_notify(false, "STOPPING=1");
        if (r < 0)
                log_error("The event loop failed: %s", strerror(-r));
        return r;
}

int main(int argc, char **argv) {
        Arguments a = {};

        /* A large message is given back to the system with its last reference, however many came before it. */
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
        mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
        int r = parse_arguments(argc, argv, &a);
        if (r <= 0)
                return r < 0 ? 2 : 0;
        return run(&a) < 0 ? 1 : 0;
}
