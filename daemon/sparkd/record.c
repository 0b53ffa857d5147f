/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the way into the ledger and the journal. A ledger is opened when its user first needs it; what goes wrong with it
 * is told once, and tried again after a pause, so that a full disk costs records and no replies. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <systemd/sd-journal.h>

#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/record.h"

#define LEDGER_RETRY_USEC (60ull * 1000000)
#define PRUNE_USEC (86400ull * 1000000)

/* See systemd/spark.catalog. */
typedef enum Told { TOLD_USED, TOLD_REFUSED, TOLD_ANSWERED } Told;

static const struct { const char *id, *verb; int priority; } messages[] = {
        [TOLD_USED] = { "6f0c4a3d5d0b4c1f9f3e6a0d5b7c1e21", "used", 6 },
        [TOLD_REFUSED] = { "b2d9a4170f3c4b6e8c5a1d7e9f402b63", "was refused", 5 },
        [TOLD_ANSWERED] = { "4c7e1b9a2d5f4e80a6930f8d1c2b7a54", "had the user asked for", 6 },
};

uint64_t record_now(void) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void prune(User *u) {
        uint64_t n, now = manager_now(u->manager);

        if (u->pruned_usec > 0 && now < u->pruned_usec + PRUNE_USEC)
                return;
        u->pruned_usec = now;
        int r = ledger_prune(u->ledger, (int64_t) record_now(), &n);
        if (r >= 0 && n >= LEDGER_PRUNE_ROWS)
                u->pruned_usec = 0;        /* the next row goes on with it */
        if (r < 0)
                log_warning("The ledger of user %u cannot be pruned: %s, ignoring", (unsigned) u->uid, strerror(-r));
}

Ledger *record_ledger(User *u, int *ret_error) {
        const char *folder = u->manager->state_folder;
        uint64_t now = manager_now(u->manager);
        char path[4096];
        int r = -ENOENT;

        if (u->ledger || (u->ledger_error < 0 && now < u->ledger_tried_usec + LEDGER_RETRY_USEC)) {
                *ret_error = u->ledger_error;
                return u->ledger;
        }
        u->ledger_tried_usec = now;
        if (folder && (size_t) snprintf(path, sizeof path, "%s/ledger/%u.db", folder, (unsigned) u->uid) < sizeof path)
                r = ledger_open(path, &u->ledger);
        if (r < 0 && r != u->ledger_error)
                log_error("The ledger of user %u (%s/ledger/%u.db) cannot be opened: %s", (unsigned) u->uid, folder ?: "no state folder", (unsigned) u->uid, strerror(-r));
        u->ledger_error = r;
        if (u->ledger)
                prune(u);
        *ret_error = r;
        return u->ledger;
}

/* Where standard error is not the journal's, nobody looks there for fields. */
static void tell_journal(User *u, const LedgerUse *use, const char *capability, Told told) {
        char priority[4], uid[16], tokens[24], duration[24], message[1024];

        if (!getenv("JOURNAL_STREAM"))
                return;
        snprintf(priority, sizeof priority, "%d", messages[told].priority);
        snprintf(uid, sizeof uid, "%u", (unsigned) u->uid);
        snprintf(tokens, sizeof tokens, "%llu", (unsigned long long) (use->n_prompt + use->n_generated));
        snprintf(duration, sizeof duration, "%llu", (unsigned long long) use->duration_us);
        snprintf(message, sizeof message, "%s (%s) %s %s: %s", use->app, certainty_name(use->certainty), messages[told].verb, capability,
                 told == TOLD_REFUSED ? reason_name(use->reason) : use->outcome);
        const struct { const char *name, *value; } fields[] = {
                { "MESSAGE", message },
                { "MESSAGE_ID", messages[told].id },
                { "PRIORITY", priority },
                { "SPARK_UID", uid },
                { "SPARK_APP", use->app },
                { "SPARK_CERTAINTY", certainty_name(use->certainty) },
                { "SPARK_CAPABILITY", capability },
                { "SPARK_DECISION", use->decision == DECISION_DENY ? "deny" : "allow" },
                { "SPARK_REASON", reason_name(use->reason) },
                { "SPARK_OUTCOME", use->outcome },
                { "SPARK_TOKENS", tokens },
                { "SPARK_DURATION_USEC", duration },
        };
        struct iovec v[ELEMENTSOF(fields)];
        size_t n = 0;

        for (; n < ELEMENTSOF(fields); n++) {
                char *text;
                int size = asprintf(&text, "%s=%s", fields[n].name, fields[n].value);
                if (size < 0)
                        break;
                v[n] = (struct iovec) { text, (size_t) size };
        }
        if (n == ELEMENTSOF(fields))
                (void) sd_journal_sendv(v, (int) n);
        while (n > 0)
                free(v[--n].iov_base);
}

static void record(User *u, const LedgerUse *use, Told told) {
        char name[TOOL_NAME_MAX + 32];
        int error;

        want_name(&(Want) { use->capability }, name, sizeof name);
        if (use->tool[0])
                snprintf(name, sizeof name, "tool:%s", use->tool);
        tell_journal(u, use, name, told);
        Ledger *l = record_ledger(u, &error);
        if (!l)
                return;
        int r = ledger_add_use(l, use);
        if (r < 0 && !u->ledger_complained)
                log_error("A use cannot be written to the ledger of user %u: %s; this is told once", (unsigned) u->uid, strerror(-r));
        u->ledger_complained = r < 0;
        int problem = ledger_problem(l);
        if (problem < 0 && problem != u->ledger_problem)
                log_warning("The log of the ledger of user %u is not brought into its file as it should be: %s, ignoring", (unsigned) u->uid, strerror(-problem));
        u->ledger_problem = problem;
        prune(u);
}

LedgerUse use_of(const App *a, Capability c, Reason why, const char *outcome) {
        return (LedgerUse) {
                .time_us = (int64_t) record_now(), .app = a->identity.app, .kind = a->identity.kind, .certainty = a->identity.certainty,
                .capability = c, .tool = "", .decision = DECISION_ALLOW, .reason = why, .outcome = outcome,
        };
}

void record_use(User *u, const LedgerUse *use) {
        record(u, use, TOLD_USED);
}

/* Of one application, for one capability, for one reason. */
static Digest refusal_kind(const User *u, const Want *w, Reason why) {
        char kind[TOOL_NAME_MAX + 64];
        int n = snprintf(kind, sizeof kind, "%u:%u:%s", (unsigned) w->capability, (unsigned) why, w->tool);
        return digest(&u->manager->key, kind, (size_t) n);
}

void record_refusal(User *u, const Identity *id, const Want *w, Reason why) {
        if (why == REASON_USER_DENIED || why == REASON_TIMED_OUT ||
            !refusals_tell(&u->refusals, user_app_id(u, id), refusal_kind(u, w, why), manager_now(u->manager)))
                return;
        record(u, &(LedgerUse) {
                .time_us = (int64_t) record_now(), .app = id->app, .kind = id->kind, .certainty = id->certainty,
                .capability = w->capability, .tool = w->tool, .decision = DECISION_DENY, .reason = why, .outcome = "",
        }, TOLD_REFUSED);
}

void record_answer(User *u, const Identity *id, const Want *w, Reason reason, const char *outcome) {
        record(u, &(LedgerUse) {
                .time_us = (int64_t) record_now(), .app = id->app, .kind = id->kind, .certainty = id->certainty,
                .capability = w->capability, .tool = w->tool, .decision = reason == REASON_USER_ALLOWED ? DECISION_ALLOW : DECISION_DENY,
                .reason = reason, .outcome = outcome,
        }, TOLD_ANSWERED);
}
