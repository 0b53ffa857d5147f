/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the words of a question for consent. An app is called what the system calls it: by the id of its sandbox, unit or
 * program, with the desktop's name for that id, and always with how sure that is. Nothing that an app said of itself, or
 * of why it wants something, comes in here; what would leave the machine is quoted as such. */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "basic/cleanup.h"
#include "daemon/consent/text.h"
#include "daemon/consent/words.h"
#include "policy/capability.h"
#include "policy/identity.h"

const ConsentAnswer consent_answers[CONSENT_ANSWERS] = {
        { "deny",    "Deny",                   'd' },
        { "once",    "Allow once",             'o' },
        { "session", "Allow for this session", 's' },
        { "always",  "Always allow",           'a' },
        { "never",   "Never allow",            'n' },
};

static const char *const kinds[IDENTITY_KIND_MAX_] = {
        [IDENTITY_UNKNOWN]        = "a program",
        [IDENTITY_EXECUTABLE]     = "a program",
        [IDENTITY_SCOPE]          = "an application of your session",
        [IDENTITY_USER_SERVICE]   = "a service of your session",
        [IDENTITY_SYSTEM_SERVICE] = "a service of this computer",
        [IDENTITY_SNAP]           = "a snap",
        [IDENTITY_FLATPAK]        = "a Flatpak application",
};

static const char *const certainties[CERTAINTY_MAX_] = {
        [CERTAINTY_UNKNOWN]   = "It is not known which application this is; an answer that stays would hold for all such programs.",
        [CERTAINTY_PATH]      = "Known by its file alone: any other program of yours could pass for it.",
        [CERTAINTY_UNIT]      = "Known by how it was started: another program of yours could pass for it.",
        [CERTAINTY_SANDBOXED] = "Known by its sandbox: no other application can pass for it.",
};

const ConsentAnswer *consent_answer(const char *name) {
        for (size_t i = 0; i < CONSENT_ANSWERS; i++)
                if (strcmp(consent_answers[i].name, name) == 0)
                        return &consent_answers[i];
        return NULL;
}

const ConsentAnswer *consent_answer_typed(const char *line) {
        line += strspn(line, " \t");
        size_t n = strcspn(line, " \t\r\n");
        if (n == 0 || line[n + strspn(line + n, " \t\r\n")])
                return NULL;
        for (size_t i = 0; i < CONSENT_ANSWERS; i++) {
                const ConsentAnswer *a = &consent_answers[i];
                if ((n == 1 && tolower((unsigned char) line[0]) == a->key) ||
                    (n == strlen(a->name) && strncasecmp(line, a->name, n) == 0))
                        return a;
        }
        return NULL;
}

/* "ask the assistant"; a capability of a later version is called by its name. */
static int wanted(const char *capability, char **ret) {
        Capability c;
        const char *tool = "";
        _cleanup_free_ char *name = NULL;
        int n;
        if (capability_parse(capability, &c, &tool) < 0) {
                if (!(name = consent_text(capability, CONSENT_NAME_MAX)))
                        return -ENOMEM;
                n = asprintf(ret, "use \u201c%s\u201d", name);
        } else if (tool[0])
                n = asprintf(ret, "%s: %s", capability_info(c)->sentence, tool);
        else
                n = asprintf(ret, "%s", capability_info(c)->sentence);
        return n < 0 ? -ENOMEM : 0;
}

static int add_line(char **body, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int add_line(char **body, const char *format, ...) {
        _cleanup_free_ char *line = NULL;
        char *more;
        va_list ap;
        va_start(ap, format);
        int n = vasprintf(&line, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        if (asprintf(&more, "%s%s%s", *body ?: "", *body ? "\n" : "", line) < 0)
                return -ENOMEM;
        free(*body);
        *body = more;
        return 0;
}

static int who(const ConsentDetails *d, const char *id, char **body) {
        Certainty certainty = CERTAINTY_UNKNOWN;
        size_t kind = IDENTITY_UNKNOWN;
        if (certainty_parse(d->certainty, &certainty) < 0)
                certainty = CERTAINTY_UNKNOWN;
        for (size_t i = 0; i < IDENTITY_KIND_MAX_; i++)
                if (strcmp(identity_kind_name((IdentityKind) i), d->kind) == 0)
                        kind = i;

        char process[32] = "";
        if (d->pid > 0)
                snprintf(process, sizeof process, ", process %u", d->pid);
        int r = 0;
        if (certainty != CERTAINTY_UNKNOWN)
                r = add_line(body, "It is %s, %s%s.", id, kinds[kind], process);
        else if (d->pid > 0)
                r = add_line(body, "It is process %u.", d->pid);
        return r < 0 ? r : add_line(body, "%s", certainties[certainty]);
}

int consent_words(const ConsentDetails *d, ConsentWords *ret) {
        if (d->n_capabilities == 0 || d->n_capabilities > CONSENT_CAPABILITIES_MAX)
                return -EINVAL;
        _cleanup_(consent_words_done) ConsentWords w = {};
        bool named = d->name && d->name[0];
        _cleanup_free_ char *id = consent_text(d->app, CONSENT_ID_MAX),
                            *name = consent_text(named ? d->name : d->app, CONSENT_NAME_MAX),
                            *leaves = consent_text(d->leaves, CONSENT_LEAVES_MAX);
        if (!id || !name || !leaves)
                return -ENOMEM;

        int r = 0, n;
        bool unknown = strcmp(d->app, "?") == 0 && !named;
        const char *open = unknown ? "an unknown application" : "\u201c", *shut = unknown ? "" : "\u201d";
        if (d->n_capabilities == 1) {
                _cleanup_free_ char *want = NULL;
                if ((r = wanted(d->capabilities[0], &want)) < 0)
                        return r;
                n = asprintf(&w.title, "May %s%s%s %s?", open, unknown ? "" : name, shut, want);
        } else
                n = asprintf(&w.title, "May %s%s%s do this?", open, unknown ? "" : name, shut);
        if (n < 0) {
                w.title = NULL;
                return -ENOMEM;
        }
        for (size_t i = 0; i < d->n_capabilities && d->n_capabilities > 1; i++) {
                _cleanup_free_ char *want = NULL;
                if ((r = wanted(d->capabilities[i], &want)) < 0 || (r = add_line(&w.body, "\u2022 %s", want)) < 0)
                        return r;
        }
        r = who(d, id, &w.body);
        if (r >= 0 && leaves[0])
                r = add_line(&w.body, "This would leave your computer: \u201c%s\u201d", leaves);
        if (r < 0)
                return r;
        *ret = w;
        w = (ConsentWords) {};
        return 0;
}

void consent_words_done(ConsentWords *w) {
        free(w->title);
        free(w->body);
        *w = (ConsentWords) {};
}
