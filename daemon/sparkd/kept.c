/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the answers for a session: a list in memory, and the same in the ledger for the next sparkd, with the boot and the
 * login session that each belongs to. Refuses to carry over one that belongs to no session of logind's: whether that has
 * ended meanwhile, nobody could say. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-id128.h>
#include <systemd/sd-login.h>

#include "daemon/sparkd/gate.h"
#include "daemon/sparkd/kept.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/record.h"

typedef struct Kept {
        Link link;                         /* in user->kept */
        char *app;
        Certainty certainty;
        Want want;
        char session[SESSION_ID_MAX];      /* logind's, that it was given in or that the user was in then; "": none */
} Kept;

static Kept *kept_free(User *u, Kept *k) {
        list_remove(&k->link);
        u->n_kept--;
        free(k->app);
        free(k);
        return NULL;
}

void kept_done(User *u) {
        LIST_FOREACH(&u->kept, l)
                kept_free(u, LIST_OBJECT(l, Kept, link));
}

static int kept_new(User *u, const char *app, const Want *w, Kept **ret) {
        if (u->n_kept >= KEPT_ANSWERS_PER_USER)
                return -ENOBUFS;
        Kept *k = calloc(1, sizeof *k);
        if (!k)
                return -ENOMEM;
        k->app = strdup(app);
        if (!k->app) {
                free(k);
                return -ENOMEM;
        }
        k->want = *w;
        list_append(&u->kept, &k->link);
        u->n_kept++;
        *ret = k;
        return 0;
}

/* ---- sessions ---- */

/* The one that the app is in, else one that its user is in: the desktop's where there is one. */
static void session_of(const User *u, const Identity *id, char ret[SESSION_ID_MAX]) {
        char *display = NULL, **all = NULL;

        identity_session(id, ret);
        if (ret[0])
                return;
        const char *s = sd_uid_get_display(u->uid, &display) >= 0 ? display : NULL;
        if (!s && sd_uid_get_sessions(u->uid, 0, &all) > 0)
                s = all[0];
        if (s && strlen(s) < SESSION_ID_MAX)
                strcpy(ret, s);
        for (char **i = all; i && *i; i++)
                free(*i);
        free(all);
        free(display);
}

static bool session_is_there(const User *u, const char *session) {
        _cleanup_free_ char *state = NULL;
        uid_t uid;
        return sd_session_get_uid(session, &uid) >= 0 && uid == u->uid &&
               sd_session_get_state(session, &state) >= 0 && strcmp(state, "closing") != 0;
}

/* Where no logind is, or a user's own sparkd is outside its sessions, it ends with sparkd. */
static bool session_holds(const User *u, const Kept *k) {
        if (access("/run/systemd/seats", F_OK) < 0)
                return true;
        return k->session[0] ? session_is_there(u, k->session) : u->manager->user_mode;
}

/* ---- the ledger ---- */

static void boot_id(char ret[SD_ID128_STRING_MAX]) {
        sd_id128_t id;
        if (sd_id128_get_boot(&id) < 0)
                id = SD_ID128_NULL;
        sd_id128_to_string(id, ret);
}

static void kept_write(User *u, const Kept *k) {
        char boot[SD_ID128_STRING_MAX];
        int error;

        Ledger *l = k->session[0] ? record_ledger(u, &error) : NULL;
        if (!l)
                return;
        boot_id(boot);
        int r = ledger_keep(l, &(LedgerKept) {
                .app = k->app, .capability = k->want.capability, .tool = k->want.tool, .certainty = k->certainty,
                .boot = boot, .session = k->session,
        });
        if (r < 0)
                log_warning("An answer of user %u for this session ends with sparkd: the ledger cannot be written: %s", (unsigned) u->uid, strerror(-r));
}

static int kept_read(void *userdata, const LedgerKept *row) {
        User *u = userdata;
        Want w = { .capability = row->capability };
        Kept *k;

        if (strlen(row->session) >= SESSION_ID_MAX || strlen(row->tool) > TOOL_NAME_MAX)
                return 0;
        strcpy(w.tool, row->tool);
        int r = kept_new(u, row->app, &w, &k);
        if (r < 0)
                return r;
        k->certainty = row->certainty;
        strcpy(k->session, row->session);
        return 0;
}

/* What the sparkd before this one has kept; once a user. */
static void kept_restore(User *u) {
        char boot[SD_ID128_STRING_MAX];
        int error;

        if (u->kept_restored)
                return;
        Ledger *l = record_ledger(u, &error);
        u->kept_restored = true;
        if (!l)
                return;
        boot_id(boot);
        int r = ledger_kept(l, boot, kept_read, u);
        if (r < 0)
                log_warning("What user %u allowed for this session cannot be read: %s, ignoring", (unsigned) u->uid, strerror(-r));
}

static void kept_drop(User *u, Kept *k) {
        int error;

        Ledger *l = k->session[0] ? record_ledger(u, &error) : NULL;
        int r = l ? ledger_unkeep(l, k->app, k->want.capability, k->want.tool) : 0;
        if (r < 0)
                log_warning("What user %u allowed for a session cannot be taken from the ledger: %s, ignoring", (unsigned) u->uid, strerror(-r));
        kept_free(u, k);
}

/* ---- answers ---- */

static Kept *kept_find(User *u, const char *app, const Want *w) {
        kept_restore(u);
        LIST_FOREACH(&u->kept, l) {
                Kept *k = LIST_OBJECT(l, Kept, link);
                if (strcmp(k->app, app) != 0 || !want_same(&k->want, w))
                        continue;
                if (session_holds(u, k))
                        return k;
                kept_drop(u, k);
        }
        return NULL;
}

bool kept_holds(User *u, const char *app, const Want *w, Certainty *ret) {
        const Kept *k = kept_find(u, app, w);
        if (k)
                *ret = k->certainty;
        return k;
}

int kept_keep(User *u, const Identity *id, const Want *w) {
        Kept *k = kept_find(u, id->app, w);
        int r = k ? 0 : kept_new(u, id->app, w, &k);
        if (r < 0)
                return r;
        k->certainty = id->certainty;
        session_of(u, id, k->session);
        kept_write(u, k);
        return 0;
}

uint64_t kept_reset(User *u, const char *app, const Want *w) {
        uint64_t n = 0;

        kept_restore(u);
        LIST_FOREACH(&u->kept, l) {
                Kept *k = LIST_OBJECT(l, Kept, link);
                if ((app && strcmp(k->app, app) != 0) || (w && !want_same(&k->want, w)))
                        continue;
                kept_drop(u, k);
                n++;
        }
        return n;
}
