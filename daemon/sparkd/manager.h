/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything that one sparkd holds, and the objects that its parts share: a Manager has Users, a User has a Worker, a
 * queue and Apps; a Client is one connection on the bus, of one User and one App. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "daemon/sparkd/config.h"
#include "daemon/sparkd/digest.h"
#include "daemon/sparkd/identity.h"
#include "daemon/sparkd/limits.h"
#include "daemon/sparkd/list.h"
#include "daemon/sparkd/penalty.h"
#include "daemon/sparkd/power.h"
#include "daemon/sparkd/pressure.h"
#include "daemon/sparkd/prewarm.h"
#include "daemon/sparkd/queue.h"
#include "daemon/sparkd/refusals.h"
#include "daemon/sparkd/worker.h"
#include "policy/ledger.h"
#include "policy/prompts.h"
#include "policy/quota.h"

#define SPARK_BUS_NAME "org.spark.Assistant"
#define SPARK_ROOT_PATH "/org/spark/Assistant"
#define SPARK_SESSION_PREFIX SPARK_ROOT_PATH "/session"
#define SPARK_INTERFACE "org.spark.Assistant"
#define SPARK_SESSION_INTERFACE "org.spark.Assistant.Session"
#define SPARK_PERMISSIONS_INTERFACE "org.spark.Assistant.Permissions"
#define SPARK_MODELS_INTERFACE "org.spark.Assistant.Models"
#define SPARK_DEBUG_INTERFACE "org.spark.Assistant.Debug"
#define SPARK_INTERFACE_VERSION 3u

#define SESSION_BUCKETS 4096u

typedef struct Manager Manager;
typedef struct User User;
typedef struct App App;
typedef struct Client Client;
typedef struct Session Session;
typedef struct Turn Turn;
typedef struct Confirm Confirm;
typedef struct Consent Consent;
typedef struct ConsentWaiter ConsentWaiter;
typedef struct ModelImport ModelImport;

typedef struct Want {                      /* what a call needs to be allowed */
        Capability capability;
        char tool[TOOL_NAME_MAX + 1];      /* "" but of CAPABILITY_TOOL */
} Want;

struct Manager {
        sd_event *event;
        sd_event_source *exit;
        sd_bus *bus;
        bool user_mode;                    /* on the session bus, for one user */
        Config config;
        DigestKey key;
        Penalties penalties;
        Pressure *pressure;                /* NULL: nobody tells of it */
        Power *power;                      /* NULL: the same */
        Link users, clients;
        size_t n_users, n_clients, n_sessions;
        Session *buckets[SESSION_BUCKETS]; /* by the session's random id */
        uint64_t last_session, last_request, last_agent, last_consent, last_capture;

        Rules *rules;                      /* gate.c */
        Prompts *prompts;
        Quota *quota;                      /* charge.c */
        char *state_folder;                /* of what is kept; NULL: there is none */
        char *configured_model;            /* models.c */
        ModelImport *model_import;         /* the one under way */
        Link agents;                       /* agents.c */
        size_t n_agents;
        sd_bus_slot *agent_start;
        uint64_t agent_missing_until, agents_come_until;
        sd_event_source *consents_begin;
        Link authorizations;               /* authorize.c */
        size_t n_authorizations;
        Link confirms;                     /* confirm.c */
        size_t n_confirms;
        const Confirm *confirmed;          /* whose call is being handled anew */
};

struct User {
        Manager *manager;
        Link link;                         /* in manager->users */
        uid_t uid;
        unsigned n_refs;                   /* clients and sessions */
        Worker *worker;
        Queue queue;                       /* turns that wait */
        Link turns;                        /* turns that the worker has, or whose text is still going out */
        size_t n_running;                  /* of these: in the worker */
        Link calls;                        /* CountTokens() and Verify() that wait */
        size_t n_calls;
        Link apps;
        Prewarm prewarms[PREWARMS_PER_USER];
        size_t n_clients, n_sessions, n_asks;
        Link asking;                       /* turns that wait for the user's word, or for a device */
        size_t n_asking;
        Link captures;                     /* captures.c: devices that are open */
        size_t n_recordings;               /* of these and such as are being opened */
        Link consents;                     /* consent.c */
        size_t n_consents;
        Link kept;                         /* kept.c: answers for this session */
        size_t n_kept;
        Ledger *ledger;                    /* record.c */
        int ledger_error, ledger_problem;  /* of opening it; of its log, as told last */
        bool ledger_complained, restored, kept_restored;
        uint64_t ledger_tried_usec, pruned_usec, recheck;
        Refusals refusals;
        size_t transcript_bytes;
        sd_event_source *tick;             /* while turns wait */
        char state[16];                    /* as told last */
        uint32_t n_ctx;
};

struct App {
        User *user;
        Link link;                         /* in user->apps */
        uint64_t id;                       /* keyed digest of user and identity: also the domain of shared prefixes */
        Identity identity;                 /* without a unit */
        unsigned n_refs;
        size_t n_sessions, n_asking, n_running, n_recordings;
        QueueLane lane;
};

/* Who called, while the call is being handled. */
typedef struct Caller {
        User *user;
        Identity identity;
        uid_t uid;                         /* as the bus says */
        pid_t pid;
        const char *name;
        Reason allowed_by;                 /* once it is */
} Caller;

struct Client {
        User *user;
        App *app;
        Link link;                         /* in manager->clients */
        Identity identity;
        pid_t pid;
        char *name;                        /* unique name on the bus */
        Link requests;                     /* permissions.c: Request() not answered yet */
        size_t n_requests;
        Link held;                         /* allow.c: calls that wait for the user's word */
        size_t n_held;
        Want once[CONSENT_WANTS_MAX];      /* allowed for its next turn */
        size_t n_once;
        bool watches;                      /* captures.c: it is told what is open, while it reads */
        sd_bus_track *track;
        Link sessions;
        size_t n_sessions, n_asks;
        size_t n_unread;                   /* bytes sent that it has not shown to have read */
        size_t n_pinged;                   /* of these: sent before the ping under way */
        sd_bus_slot *ping;
        bool pinned;                       /* its sessions are being gone through: it stays */
};

/* ---- manager.c ---- */
int manager_new(sd_event *event, sd_bus *bus, bool user_mode, Config *config, Manager **ret);   /* takes what is in config */
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free);
uint64_t manager_now(const Manager *m);

/* ---- user.c: users and their workers ---- */

/* One more reference; -EUSERS: WORKERS_MAX users are served. */
int user_get(Manager *m, uid_t uid, User **ret);
User *user_unref(User *u);
User *user_free(User *u);
const char *user_state(const User *u);                     /* the property */
uint64_t user_app_id(const User *u, const Identity *id);   /* of the app that it is; never 0 */
int user_get_app(User *u, const Identity *id, App **ret);  /* one more reference */
App *app_ref(App *a);
App *app_unref(App *a);

/* Ends all that waits or runs. */
void user_stop(User *u);
/* Something waits: look every second whether it has waited too long. */
void user_watch_waiting(User *u);

/* Sees to it that the worker comes; where it cannot, fills reterr with Unavailable and returns negative. */
int user_start_worker(User *u, sd_bus_error *reterr);

/* ---- root.c, session-object.c, verify.c: the bus objects ---- */
int root_add(Manager *m);
int permissions_add(Manager *m);
void requests_drop(Client *c);             /* it has gone */
int session_object_add(Manager *m);
void root_changed(User *u, bool state, bool context);
int verify_append(User *u, sd_bus_message *reply, const char *json);
