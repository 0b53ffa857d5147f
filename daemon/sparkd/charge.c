/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the questions to policy/quota.h, and the sentences where the answer is no. What is open, waits or runs is counted
 * where it is and only compared here: a count that is kept twice is wrong one day. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/charge.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/record.h"
#include "daemon/sparkd/text.h"

/* The buckets' clock begins two days before the monotonic one, so that a day can be looked back right after boot. */
#define CLOCK_OFFSET_USEC (UINT64_C(2) * 86400 * 1000000)
#define DAY_USEC (UINT64_C(86400) * 1000000)

#define BYTES_PER_TOKEN 4u              /* of text in most languages; what it really was is known afterwards */
#define REPLY_GUESS 256u                /* tokens of a reply nobody bounded */

static uint64_t charge_now(const Manager *m) {
        return manager_now(m) + CLOCK_OFFSET_USEC;
}

static QuotaKey key_of(const Identity *id, bool per_user, RuleLimit l) {
        return (QuotaKey) { .uid = id->uid, .app = per_user ? NULL : id->app, .limit = l };
}

/* From the app's bucket and from its user's, or from neither. -EDQUOT: *ret_user says whose is empty, *ret_size how much
 * it holds when full, *ret_wait when there will be enough (UINT64_MAX: never). */
static int take(Manager *m, const Identity *id, RuleLimit l, uint64_t amount, bool *ret_user, uint64_t *ret_size, uint64_t *ret_wait) {
        uint64_t sizes[2], now = charge_now(m);

        for (size_t per_user = 0; per_user < 2; per_user++) {
                QuotaKey key = key_of(id, per_user, l);
                sizes[per_user] = rules_limit(m->rules, id, per_user, l, NULL);
                int r = quota_take(m->quota, &key, sizes[per_user], amount, now, ret_wait);
                if (r >= 0)
                        continue;
                if (per_user) {
                        QuotaKey app = key_of(id, false, l);
                        quota_give(m->quota, &app, sizes[0], amount, now);
                }
                *ret_user = per_user;
                *ret_size = sizes[per_user];
                return r;
        }
        return 0;
}

static int refuse(const Identity *id, int error, const char *name, const char *what, bool user, uint64_t size, uint64_t wait, sd_bus_error *reterr) {
        char app[APP_ID_MAX + 1], after[48];

        if (error != -EDQUOT)
                return sd_bus_error_set(reterr, SPARK_ERROR_BUSY, "Too many applications are being counted; come back later");
        text_printable(id->app, app, sizeof app);
        if (wait == UINT64_MAX)
                return sd_bus_error_setf(reterr, name, "This call needs more than the %llu %s that %s may have", (unsigned long long) size, what,
                                         user ? "a user" : app);
        text_duration(wait, after, sizeof after);
        return sd_bus_error_setf(reterr, name, "The %llu %s of %s are used up; come back in %s", (unsigned long long) size, what,
                                 user ? "this user" : app, after);
}

int charge_request(User *u, const Identity *id, sd_bus_error *reterr) {
        uint64_t size, wait;
        bool user;
        int r = take(u->manager, id, LIMIT_REQUESTS_PER_MINUTE, 1, &user, &size, &wait);
        return r < 0 ? refuse(id, r, SPARK_ERROR_RATE_LIMITED, "requests a minute", user, size, wait, reterr) : 0;
}

uint64_t charge_guess(size_t prompt_bytes, uint32_t max_tokens) {
        return prompt_bytes / BYTES_PER_TOKEN + MIN(max_tokens, REPLY_GUESS);
}

static int charge_of_day(App *a, RuleLimit l, const char *what, uint64_t n, sd_bus_error *reterr) {
        uint64_t size, wait;
        bool user;

        charge_restore(a->user);
        int r = take(a->user->manager, &a->identity, l, n, &user, &size, &wait);
        return r < 0 ? refuse(&a->identity, r, SPARK_ERROR_QUOTA_EXCEEDED, what, user, size, wait, reterr) : 0;
}

static void correct_of_day(App *a, RuleLimit l, uint64_t charged, uint64_t cost) {
        Manager *m = a->user->manager;

        for (size_t per_user = 0; per_user < 2; per_user++) {
                QuotaKey key = key_of(&a->identity, per_user, l);
                uint64_t size = rules_limit(m->rules, &a->identity, per_user, l, NULL);
                if (cost < charged)
                        quota_give(m->quota, &key, size, charged - cost, charge_now(m));
                else
                        quota_force(m->quota, &key, size, cost - charged, charge_now(m));
        }
}

int charge_tokens(App *a, uint64_t n, sd_bus_error *reterr) {
        return charge_of_day(a, LIMIT_TOKENS_PER_DAY, "tokens a day", n, reterr);
}

void charge_correct(App *a, uint64_t charged, uint64_t cost) {
        correct_of_day(a, LIMIT_TOKENS_PER_DAY, charged, cost);
}

bool charge_due(const WorkerFinished *f) {
        return f->reason != WIRE_FINISH_CONTEXT_FULL && f->reason != WIRE_FINISH_INVALID;
}

int charge_audio(App *a, uint64_t seconds, sd_bus_error *reterr) {
        return seconds > 0 ? charge_of_day(a, LIMIT_AUDIO_SECONDS_PER_DAY, "seconds of sound a day", seconds, reterr) : 0;
}

void charge_correct_audio(App *a, uint64_t charged, uint64_t cost) {
        correct_of_day(a, LIMIT_AUDIO_SECONDS_PER_DAY, charged, cost);
}

/* ---- what is counted where it is ---- */

typedef struct Count {
        RuleLimit limit;
        size_t of_app, of_user;
        const char *error, *what;
} Count;

static int check_count(const App *a, const Count *c, sd_bus_error *reterr) {
        const Manager *m = a->user->manager;
        char app[APP_ID_MAX + 1];

        for (size_t per_user = 0; per_user < 2; per_user++) {
                uint64_t max = rules_limit(m->rules, &a->identity, per_user, c->limit, NULL);
                size_t n = per_user ? c->of_user : c->of_app;
                if (n < max)
                        continue;
                text_printable(a->identity.app, app, sizeof app);
                return sd_bus_error_setf(reterr, c->error, "%zu of %llu %s of %s; come back when one is done", n, (unsigned long long) max, c->what,
                                         per_user ? "this user" : app);
        }
        return 0;
}

int charge_session(App *a, sd_bus_error *reterr) {
        return check_count(a, &(Count) { LIMIT_SESSIONS, a->n_sessions, a->user->n_sessions, SPARK_ERROR_QUOTA_EXCEEDED, "sessions are open" }, reterr);
}

int charge_waiting(App *a, sd_bus_error *reterr) {
        const User *u = a->user;

        if (charge_replies_max(a) == 0 || charge_user_replies_max(u) == 0)
                return sd_bus_error_set(reterr, SPARK_ERROR_QUOTA_EXCEEDED, "The rules allow this application, or this user, 0 replies at the same time");
        return check_count(a, &(Count) { LIMIT_QUEUE_LENGTH, a->lane.n_items + a->n_asking, u->queue.n_items + u->n_asking, SPARK_ERROR_BUSY,
                                         "turns wait" }, reterr);
}

static size_t bounded(uint64_t max) {
        return max < SIZE_MAX ? (size_t) max : SIZE_MAX;
}

size_t charge_replies_max(const App *a) {
        return bounded(rules_limit(a->user->manager->rules, &a->identity, false, LIMIT_CONCURRENT_REPLIES, NULL));
}

size_t charge_user_replies_max(const User *u) {
        Identity id;
        identity_unknown(u->uid, &id);
        return bounded(rules_limit(u->manager->rules, &id, true, LIMIT_CONCURRENT_REPLIES, NULL));
}

uint32_t charge_context(const App *a) {
        uint64_t of_app = rules_limit(a->user->manager->rules, &a->identity, false, LIMIT_CONTEXT_TOKENS, NULL);
        uint64_t of_user = rules_limit(a->user->manager->rules, &a->identity, true, LIMIT_CONTEXT_TOKENS, NULL);
        uint64_t max = MIN(of_app, of_user);
        return max >= UINT32_MAX ? 0 : MAX((uint32_t) max, 1u);
}

/* ---- after a restart ---- */

typedef struct Restoring {
        User *user;
        uint64_t now_real, now;
} Restoring;

static int restore_use(void *userdata, const LedgerUse *u) {
        const Restoring *r = userdata;
        Manager *m = r->user->manager;
        uint64_t ago = r->now_real > (uint64_t) u->time_us ? MIN(r->now_real - (uint64_t) u->time_us, DAY_USEC) : 0;
        const struct { RuleLimit limit; uint64_t n; } costs[] = {
                { LIMIT_TOKENS_PER_DAY, u->n_prompt + u->n_generated },
                { LIMIT_AUDIO_SECONDS_PER_DAY, (u->audio_ms + 999) / 1000 },
        };
        Identity id;

        identity_unknown(r->user->uid, &id);
        id.kind = u->kind;
        id.certainty = u->certainty;
        snprintf(id.app, sizeof id.app, "%s", u->app);
        for (size_t i = 0; i < ELEMENTSOF(costs); i++)
                for (size_t per_user = 0; costs[i].n > 0 && per_user < 2; per_user++) {
                        QuotaKey key = key_of(&id, per_user, costs[i].limit);
                        quota_force(m->quota, &key, rules_limit(m->rules, &id, per_user, costs[i].limit, NULL), costs[i].n, r->now - ago);
                }
        return 0;
}

void charge_restore(User *u) {
        Restoring r = { .user = u, .now_real = record_now(), .now = charge_now(u->manager) };
        int error;

        if (u->restored)
                return;
        Ledger *l = record_ledger(u, &error);
        u->restored = true;
        if (!l)
                return;
        error = ledger_uses(l, (int64_t) (r.now_real - MIN(r.now_real, DAY_USEC)), NULL, restore_use, &r);
        if (error < 0)
                log_warning("What user %u used today cannot be read: %s, ignoring", (unsigned) u->uid, strerror(-error));
}
