/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who is asking, and how sure that is. The uid is the bus' word; the app comes from the caller's cgroup (set by the
 * service manager, Flatpak or snapd), or as a last resort from its executable. What cannot be established is
 * IDENTITY_UNKNOWN, the least privileged of all, never "the host": an unreadable process is more likely to hide than to
 * be harmless.
 *
 * Names of units: systemd.io/DESKTOP_ENVIRONMENTS. Only `sandboxed` is a boundary; see docs/security.md. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/cleanup.h"

#define APP_ID_MAX 255u                 /* bytes; a longer one is no identity */

typedef enum Certainty {                /* in ascending order: a rule may demand at least one */
        CERTAINTY_UNKNOWN,
        CERTAINTY_PATH,                 /* the executable's path: any process of the user can run it */
        CERTAINTY_UNIT,                 /* the unit that started it: other processes of the user can make such units */
        CERTAINTY_SANDBOXED,            /* the app cannot change it */
        CERTAINTY_MAX_,
} Certainty;

typedef enum IdentityKind {
        IDENTITY_UNKNOWN,
        IDENTITY_EXECUTABLE,            /* app: its path */
        IDENTITY_SCOPE,                 /* app-<launcher>-<id>-<random>.scope */
        IDENTITY_USER_SERVICE,          /* app-<id>@….service, or another unit of the user's manager */
        IDENTITY_SYSTEM_SERVICE,        /* a unit of the system's manager */
        IDENTITY_SNAP,
        IDENTITY_FLATPAK,
        IDENTITY_KIND_MAX_,
} IdentityKind;

typedef struct Identity {
        uid_t uid;
        IdentityKind kind;
        Certainty certainty;
        char app[APP_ID_MAX + 1];       /* "org.mozilla.firefox", "backup.service", "/usr/bin/notes"; "?" if unknown */
        char unit[APP_ID_MAX + 1];      /* as the service manager calls it, or "" */
        bool in_login_session;          /* the unit is the scope of one of logind's sessions */
} Identity;

const char *certainty_name(Certainty c);
int certainty_parse(const char *name, Certainty *ret);
const char *identity_kind_name(IdentityKind k);

/* What an app's id can be: 1 … APP_ID_MAX bytes of UTF-8, no control characters. (A bus that carries UTF-8 alone would not
 * carry anything else, and with it nothing that stands beside it.) */
bool app_id_valid(const char *app);

/* From the text of /proc/PID/cgroup alone (the line "0::/…"). Where it names no app: kind IDENTITY_UNKNOWN, unit set if
 * there is one. A name in it that claims to be a Flatpak's or snap's is IDENTITY_FLATPAK or _SNAP with CERTAINTY_UNIT
 * until identity_of_process() has confirmed it. Never fails: what cannot be read is unknown. */
void identity_from_cgroup(const char *cgroup, uid_t uid, Identity *ret);

/* Fills *ret with the unknown identity of a uid. */
void identity_unknown(uid_t uid, Identity *ret);

/* From a live process. `pidfd` was given by the bus with the caller's credentials, or opened at once; `proc` is the path
 * of a mounted procfs ("/proc"). The process is looked at, and then the pidfd asked whether it lived all the while: if
 * not, the identity is unknown and -ESRCH comes back (a recycled pid is never mistaken for another). With `confirm`,
 * the sandbox's own word behind /proc/PID/root is read too (possible for the same uid only). 0 also for unknown. */
int identity_of_process(const char *proc, int pidfd, pid_t pid, uid_t uid, bool confirm, Identity *ret);
