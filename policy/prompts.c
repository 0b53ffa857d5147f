/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the table of refusals. It is looked at only where a person would be asked, so that a walk of it is cheap enough;
 * an entry in force never gives way to another. */

#include <errno.h>
#include <string.h>

#include "policy/identity.h"
#include "policy/prompts.h"

typedef struct Refusal {
        uid_t uid;
        char app[APP_ID_MAX + 1];
        unsigned n;                             /* refusals in a row; 0: the entry is free */
        uint64_t until_us;
} Refusal;

struct Prompts {
        Refusal refusals[PROMPTS_MAX];
};

int prompts_new(Prompts **ret) {
        Prompts *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        *ret = p;
        return 0;
}

Prompts *prompts_free(Prompts *p) {
        free(p);
        return NULL;
}

static bool is(const Refusal *r, uid_t uid, const char *app) {
        return r->n > 0 && r->uid == uid && strcmp(r->app, app) == 0;
}

static const Refusal *find(const Prompts *p, uid_t uid, const char *app) {
        for (size_t i = 0; i < PROMPTS_MAX; i++)
                if (is(&p->refusals[i], uid, app))
                        return &p->refusals[i];
        return NULL;
}

/* Where there is no more room for a name of this user: when there will be. */
static bool full(const Prompts *p, uid_t uid, uint64_t now_us, uint64_t *ret_until_us) {
        uint64_t first = UINT64_MAX, first_of_user = UINT64_MAX;
        size_t n = 0, n_of_user = 0;
        for (size_t i = 0; i < PROMPTS_MAX; i++) {
                const Refusal *r = &p->refusals[i];
                if (r->n == 0 || r->until_us <= now_us)
                        continue;
                n++;
                first = MIN(first, r->until_us);
                if (r->uid == uid) {
                        n_of_user++;
                        first_of_user = MIN(first_of_user, r->until_us);
                }
        }
        if (n_of_user < PROMPTS_PER_USER && n < PROMPTS_MAX)
                return false;
        *ret_until_us = n_of_user >= PROMPTS_PER_USER ? first_of_user : first;
        return true;
}

/* A free place, or the one whose pause ran out longest ago. */
static Refusal *room(Prompts *p, uint64_t now_us) {
        Refusal *oldest = NULL;
        for (size_t i = 0; i < PROMPTS_MAX; i++) {
                Refusal *r = &p->refusals[i];
                if (r->n == 0)
                        return r;
                if (r->until_us <= now_us && (!oldest || r->until_us < oldest->until_us))
                        oldest = r;
        }
        return oldest;
}

void prompts_refused(Prompts *p, uid_t uid, const char *app, uint64_t now_us) {
        Refusal *r = (Refusal *) find(p, uid, app);
        uint64_t pause = PROMPT_PAUSE_FIRST_USEC;

        if (!r) {
                r = room(p, now_us);
                if (!r)                         /* full() kept it from asking; an answer that was under way is forgotten */
                        return;
                *r = (Refusal) { .uid = uid };
                strncpy(r->app, app, APP_ID_MAX);
        } else if (now_us > r->until_us && now_us - r->until_us > PROMPT_PAUSE_MAX_USEC)
                r->n = 0;
        for (unsigned i = 0; i < r->n && pause < PROMPT_PAUSE_MAX_USEC; i++)
                pause *= 2;
        r->n++;
        r->until_us = now_us + MIN(pause, PROMPT_PAUSE_MAX_USEC);
}

void prompts_forgive(Prompts *p, uid_t uid, const char *app) {
        Refusal *r = (Refusal *) find(p, uid, app);
        if (r)
                r->n = 0;
}

bool prompts_refuses(const Prompts *p, uid_t uid, const char *app, uint64_t now_us, uint64_t *ret_wait_us) {
        const Refusal *r = find(p, uid, app);
        uint64_t until;

        if (r)
                until = r->until_us;
        else if (!full(p, uid, now_us, &until))
                return false;
        if (until <= now_us)
                return false;
        *ret_wait_us = until - now_us;
        return true;
}
