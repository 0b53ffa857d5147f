/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reading of a cgroup's path into an app's identity. Pure: text in, identity out. It refuses to guess: a part
 * that does not follow the naming rules to the letter leaves the identity unknown. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/utf8.h"
#include "policy/identity.h"

static const char *const certainty_names[CERTAINTY_MAX_] = {
        [CERTAINTY_UNKNOWN] = "unknown",
        [CERTAINTY_PATH] = "path",
        [CERTAINTY_UNIT] = "unit",
        [CERTAINTY_SANDBOXED] = "sandboxed",
};

static const char *const kind_names[IDENTITY_KIND_MAX_] = {
        [IDENTITY_UNKNOWN] = "unknown",
        [IDENTITY_EXECUTABLE] = "executable",
        [IDENTITY_SCOPE] = "scope",
        [IDENTITY_USER_SERVICE] = "user-service",
        [IDENTITY_SYSTEM_SERVICE] = "system-service",
        [IDENTITY_SNAP] = "snap",
        [IDENTITY_FLATPAK] = "flatpak",
};

const char *certainty_name(Certainty c) {
        return (unsigned) c < CERTAINTY_MAX_ ? certainty_names[c] : NULL;
}

int certainty_parse(const char *name, Certainty *ret) {
        for (size_t i = 0; i < CERTAINTY_MAX_; i++)
                if (strcmp(certainty_names[i], name) == 0) {
                        *ret = (Certainty) i;
                        return 0;
                }
        return -EINVAL;
}

const char *identity_kind_name(IdentityKind k) {
        return (unsigned) k < IDENTITY_KIND_MAX_ ? kind_names[k] : NULL;
}

void identity_unknown(uid_t uid, Identity *ret) {
        *ret = (Identity) { .uid = uid, .kind = IDENTITY_UNKNOWN, .certainty = CERTAINTY_UNKNOWN, .app = "?" };
}

bool app_id_valid(const char *app) {
        size_t n = strnlen(app, APP_ID_MAX + 1);
        uint32_t c;

        if (n == 0 || n > APP_ID_MAX)
                return false;
        for (size_t i = 0, k; i < n; i += k) {
                k = utf8_char((const unsigned char *) app + i, n - i, &c);
                if (k == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
                        return false;
        }
        return true;
}

static int hex(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* systemd's unit-name escaping: \xNN is a byte. '/' can be no part of a unit's app. */
static bool unescape(const char *from, size_t n, char *to, size_t size) {
        size_t used = 0;
        for (size_t i = 0; i < n; i++) {
                char c = from[i];
                if (c == '\\') {
                        if (n - i < 4 || from[i + 1] != 'x' || hex(from[i + 2]) < 0 || hex(from[i + 3]) < 0)
                                return false;
                        c = (char) (hex(from[i + 2]) * 16 + hex(from[i + 3]));
                        i += 3;
                }
                if (c == '\0' || c == '/' || used + 1 >= size)
                        return false;
                to[used++] = c;
        }
        to[used] = 0;
        return used > 0;
}

static bool has_suffix(const char *s, size_t n, const char *suffix) {
        size_t k = strlen(suffix);
        return n > k && memcmp(s + n - k, suffix, k) == 0;
}

static bool has_prefix(const char *s, size_t n, const char *prefix) {
        size_t k = strlen(prefix);
        return n > k && memcmp(s, prefix, k) == 0;
}

static const char *last_of(const char *s, size_t n, char c) {
        return memrchr(s, c, n);
}

static bool settle(Identity *id, IdentityKind kind, Certainty certainty, const char *app, size_t n) {
        char plain[APP_ID_MAX + 1];
        if (!unescape(app, n, plain, sizeof plain) || !app_id_valid(plain))
                return false;
        memcpy(id->app, plain, sizeof plain);
        id->kind = kind;
        id->certainty = certainty;
        return true;
}

/* app[-<launcher>]-<id>-<random>.scope: the id is between the last two dashes (dashes inside are escaped). */
static bool scope_name(Identity *id, const char *unit, size_t n) {
        n -= strlen(".scope");
        if (has_prefix(unit, n, "snap.")) {     /* snap.<snap>.<app>-<uuid> or snap.<snap>.<app>.<uuid> */
                const char *name = unit + 5, *end = memchr(name, '.', n - 5);
                return end && settle(id, IDENTITY_SNAP, CERTAINTY_UNIT, name, (size_t) (end - name));
        }
        if (!has_prefix(unit, n, "app-"))
                return false;
        const char *name = unit + 4, *random = last_of(name, n - 4, '-');
        if (!random || random == name || random + 1 == unit + n)
                return false;
        size_t k = (size_t) (random - name);
        if (has_prefix(name, k, "flatpak-"))
                return settle(id, IDENTITY_FLATPAK, CERTAINTY_UNIT, name + 8, k - 8);
        const char *launcher = last_of(name, k, '-');
        const char *app = launcher ? launcher + 1 : name;
        return settle(id, IDENTITY_SCOPE, CERTAINTY_UNIT, app, (size_t) (random - app));
}

/* app[-<launcher>]-<id>[@<instance>].service of the user's manager; dbus-…-<id>@….service and others by their name. */
static bool service_name(Identity *id, const char *unit, size_t n, bool of_user) {
        size_t k = n - strlen(".service");
        if (of_user && has_prefix(unit, k, "snap.")) {
                const char *name = unit + 5, *end = memchr(name, '.', k - 5);
                return end && settle(id, IDENTITY_SNAP, CERTAINTY_UNIT, name, (size_t) (end - name));
        }
        if (of_user && has_prefix(unit, k, "app-")) {
                const char *at = memchr(unit, '@', k);
                size_t end = at ? (size_t) (at - unit) : k;
                const char *launcher = last_of(unit + 4, end - 4, '-');
                const char *app = launcher ? launcher + 1 : unit + 4;
                if (end > (size_t) (app - unit))
                        return settle(id, IDENTITY_USER_SERVICE, CERTAINTY_UNIT, app, end - (size_t) (app - unit));
                return false;
        }
        return settle(id, of_user ? IDENTITY_USER_SERVICE : IDENTITY_SYSTEM_SERVICE, CERTAINTY_UNIT, unit, n);
}

void identity_from_cgroup(const char *cgroup, uid_t uid, Identity *ret) {
        char manager[64];
        identity_unknown(uid, ret);

        const char *line = strncmp(cgroup, "0::/", 4) == 0 ? cgroup : strstr(cgroup, "\n0::/");
        if (!line)
                return;
        line = strchr(line, '/');
        size_t n = strcspn(line, "\n");

        /* The caller's own manager: a unit below another user's manager says nothing about this uid. */
        snprintf(manager, sizeof manager, "user@%u.service", (unsigned) uid);
        bool in_user_slice = n > 12 && memcmp(line, "/user.slice/", 12) == 0, of_user = false, found_scope = false;

        /* The outermost unit that names an app counts: what an app does with cgroups below its own unit is its own. */
        for (const char *part = line; part < line + n;) {
                part++;
                size_t k = strcspn(part, "/\n");
                bool is_manager = in_user_slice && !of_user && k == strlen(manager) && memcmp(part, manager, k) == 0;
                if (is_manager)
                        of_user = true;
                else if (has_suffix(part, k, ".scope") || has_suffix(part, k, ".service")) {
                        if (k < sizeof ret->unit && !ret->unit[0])
                                memcpy(ret->unit, part, k);
                        found_scope = true;
                        if (in_user_slice && !of_user) {        /* a login session's scope, or another user's manager: no app */
                                ret->in_login_session = has_suffix(part, k, ".scope") && has_prefix(part, k, "session-");
                                return;
                        }
                        if (has_suffix(part, k, ".scope") ? of_user && scope_name(ret, part, k)
                                                          : service_name(ret, part, k, of_user))
                                return;
                }
                if (found_scope)
                        return;         /* a unit that names no app (a login session's scope): unknown by cgroup */
                part += k;
        }
}
