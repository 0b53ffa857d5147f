/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reading of rule files: which of them count, their syntax, and what a mistake turns into. It never refuses a
 * whole file: an administrator's slip in one line must neither open what the line was to close, nor close the rest. */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "policy/rules-internal.h"

static const char *const limit_names[LIMIT_MAX_] = {
        [LIMIT_REQUESTS_PER_MINUTE]   = "RequestsPerMinute",
        [LIMIT_TOKENS_PER_DAY]        = "TokensPerDay",
        [LIMIT_AUDIO_SECONDS_PER_DAY] = "AudioSecondsPerDay",
        [LIMIT_SESSIONS]              = "Sessions",
        [LIMIT_CONTEXT_TOKENS]        = "ContextTokens",
        [LIMIT_CONCURRENT_REPLIES]    = "ConcurrentReplies",
        [LIMIT_QUEUE_LENGTH]          = "QueueLength",
};

const char *rule_limit_name(RuleLimit l) {
        return (unsigned) l < LIMIT_MAX_ ? limit_names[l] : NULL;
}

typedef struct Parser {
        Rules *rules;
        size_t file;
        unsigned line;
        Section section;
        const char *pattern;            /* of the section */
        bool broken;                    /* the section's header was: what it says is denied */
        Certainty certainty;
        bool no_memory;
} Parser;

static void problem(Parser *p, const char *format, ...) _printf_(2, 3);
static void problem(Parser *p, const char *format, ...) {
        Rules *r = p->rules;
        if (r->n_problems < RULE_PROBLEMS_MAX) {
                char what[512], *text = NULL;
                va_list ap;
                va_start(ap, format);
                vsnprintf(what, sizeof what, format, ap);
                va_end(ap);
                if (asprintf(&text, "%s:%u: %s", r->files[p->file], p->line, what) < 0) {
                        p->no_memory = true;
                        return;
                }
                for (char *c = text; *c; c++)   /* bytes of a file, on their way to a terminal, the journal or the bus */
                        if (*c < 0x20 || *c >= 0x7f)
                                *c = '?';
                r->problems[r->n_problems] = text;
        }
        r->n_problems++;
}

static void add(Parser *p, Subject subject, Capability c, const char *tool, unsigned limit, uint64_t value) {
        Rules *r = p->rules;
        if (r->n_settings == RULE_LINES_MAX) {
                problem(p, "more than %u settings in all files, this one is left out", RULE_LINES_MAX);
                return;
        }
        if (r->n_settings == r->allocated) {
                size_t n = MAX(r->allocated * 2, (size_t) 64);
                Setting *s = reallocarray(r->settings, n, sizeof *s);
                if (!s) {
                        p->no_memory = true;
                        return;
                }
                r->settings = s;
                r->allocated = n;
        }
        Setting s = { .section = p->section, .pattern = strdup(p->pattern), .certainty = p->certainty, .subject = subject,
                      .capability = c, .tool = strdup(tool), .limit = limit, .value = value, .file = p->file, .line = p->line };
        r->settings[r->n_settings++] = s;
        if (!s.pattern || !s.tool)
                p->no_memory = true;
}

/* An empty assignment: what sections of the same header said with this verdict is forgotten. */
static void take_back(Parser *p, Verdict v) {
        Rules *r = p->rules;
        size_t kept = 0;
        for (size_t i = 0; i < r->n_settings; i++) {
                Setting *s = &r->settings[i];
                if (s->subject == SUBJECT_CAPABILITY && s->value == (uint64_t) v && s->section == p->section &&
                    s->certainty == p->certainty && strcmp(s->pattern, p->pattern) == 0) {
                        free(s->pattern);
                        free(s->tool);
                } else
                        r->settings[kept++] = *s;
        }
        r->n_settings = kept;
}

static void verdicts(Parser *p, char *value, Verdict v) {
        size_t n = 0;
        char *state = NULL;
        for (char *word = strtok_r(value, " \t", &state); word; word = strtok_r(NULL, " \t", &state), n++) {
                Capability c;
                const char *tool;
                if (capability_parse(word, &c, &tool) < 0)
                        problem(p, "'%s': no such capability, nothing is granted by it", word);
                else
                        add(p, SUBJECT_CAPABILITY, c, tool, 0, p->broken ? VERDICT_DENY : v);
        }
        if (n == 0 && !p->broken)
                take_back(p, v);
}

static bool number(const char *text, uint64_t *ret) {
        if (strcmp(text, "infinity") == 0) {
                *ret = LIMIT_NONE;
                return true;
        }
        char *end;
        errno = 0;
        if (!isdigit((unsigned char) *text))
                return false;
        unsigned long long v = strtoull(text, &end, 10);
        unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
        if (shift)
                end++;
        if (errno != 0 || *end || v > (UINT64_MAX >> 1) >> shift)
                return false;
        *ret = (uint64_t) v << shift;
        return true;
}

/* A line whose key is wrong: whatever capabilities its words name were meant to be ruled, and are denied. */
static void unknown_key(Parser *p, const char *key, char *value) {
        char *state = NULL;
        bool denied = false;
        for (char *word = strtok_r(value, " \t", &state); word; word = strtok_r(NULL, " \t", &state)) {
                Capability c;
                const char *tool;
                if (capability_parse(word, &c, &tool) == 0) {
                        add(p, SUBJECT_CAPABILITY, c, tool, 0, VERDICT_DENY);
                        denied = true;
                }
        }
        problem(p, "'%s': no such key%s", key, denied ? ", what the line names is denied" : ", the line is left out");
}

static void assignment(Parser *p, char *key, char *value) {
        static const char *const verdict_keys[VERDICT_MAX_] = { "Deny", "Ask", "Allow" };
        for (size_t i = 0; i < VERDICT_MAX_; i++)
                if (strcmp(key, verdict_keys[i]) == 0) {
                        verdicts(p, value, (Verdict) i);
                        return;
                }
        for (size_t i = 0; i < LIMIT_MAX_; i++)
                if (strcmp(key, limit_names[i]) == 0) {
                        uint64_t v;
                        if (!number(value, &v)) {
                                problem(p, "'%s': %s wants a number, K, M or G after it, or 'infinity'; it is 0 now", value, key);
                                v = 0;
                        }
                        add(p, SUBJECT_LIMIT, CAPABILITY_MAX_, "", (unsigned) i, p->broken ? 0 : v);
                        return;
                }
        if (strcmp(key, "Certainty") == 0) {
                if (p->section != SECTION_APP || certainty_parse(value, &p->certainty) < 0) {
                        problem(p, "'%s': Certainty is path, unit or sandboxed, in an [App] section; the rest of the section denies", value);
                        p->broken = true;
                }
        } else if (strcmp(key, "Priority") == 0) {
                bool background = strcmp(value, "background") == 0;
                if (!background && strcmp(value, "interactive") != 0)
                        problem(p, "'%s': Priority is interactive or background; it is background now", value);
                add(p, SUBJECT_PRIORITY, CAPABILITY_MAX_, "", 0, strcmp(value, "interactive") == 0 ? PRIORITY_INTERACTIVE : PRIORITY_BACKGROUND);
        } else if (strcmp(key, "OnBattery") == 0) {
                bool yes = strcmp(value, "yes") == 0;
                if (!yes && strcmp(value, "no") != 0)
                        problem(p, "'%s': OnBattery is yes or no; it is no now", value);
                add(p, SUBJECT_ON_BATTERY, CAPABILITY_MAX_, "", 0, yes && !p->broken);
        } else
                unknown_key(p, key, value);
}

static void header(Parser *p, char *text) {
        size_t n = strlen(text);
        p->broken = false;
        p->certainty = CERTAINTY_UNKNOWN;
        p->pattern = "*";
        if (n >= 2 && text[n - 1] == ']') {
                text[n - 1] = 0;
                char *name = text + 1, *pattern = strpbrk(name, " \t");
                if (pattern) {
                        *pattern++ = 0;
                        pattern += strspn(pattern, " \t");
                }
                bool has_pattern = pattern && *pattern && !strpbrk(pattern, " \t");
                p->pattern = has_pattern ? pattern : "*";
                if (strcmp(name, "App") == 0 && has_pattern) {
                        p->section = SECTION_APP;
                        return;
                }
                if (strcmp(name, "Unknown") == 0 && !pattern) {
                        p->section = SECTION_UNKNOWN;
                        return;
                }
                if (strcmp(name, "User") == 0 && has_pattern &&
                    (strcmp(pattern, "*") == 0 || strspn(pattern, "0123456789") == strlen(pattern))) {
                        p->section = SECTION_USER;
                        return;
                }
        }
        p->section = SECTION_EVERYONE;
        p->broken = true;
        problem(p, "'%s': a section is [App PATTERN], [Unknown] or [User UID]; what its lines name is denied to everyone", text);
}

static char *strip(char *s) {
        s += strspn(s, " \t\r");
        size_t n = strlen(s);
        while (n > 0 && strchr(" \t\r", s[n - 1]))
                s[--n] = 0;
        return s;
}

/* Lines that end in a backslash go on in the next one; comments between them are passed over (systemd.syntax(7)). */
static void parse(Parser *p, char *text) {
        _cleanup_free_ char *joined = malloc(strlen(text) + 1), *headed = NULL;
        size_t used = 0;
        unsigned at = 0;
        if (!joined) {
                p->no_memory = true;
                return;
        }
        p->section = SECTION_EVERYONE;
        p->broken = true;
        p->pattern = "*";
        for (char *line = text, *next; line; line = next) {
                next = strchr(line, '\n');
                if (next)
                        *next++ = 0;
                at++;
                char *s = strip(line);
                if (*s == '#' || *s == ';' || (!*s && used == 0))
                        continue;
                if (used == 0)
                        p->line = at;
                size_t n = strlen(s);
                bool more = n > 0 && s[n - 1] == '\\';
                memcpy(joined + used, s, n);
                used += n;
                if (more) {
                        joined[used - 1] = ' ';
                        if (next)
                                continue;
                }
                joined[used] = 0;
                used = 0;
                s = strip(joined);
                char *equals = strchr(s, '=');
                if (*s == '[') {
                        free(headed);
                        headed = strdup(s);     /* the pattern lives on in it */
                        if (!headed) {
                                p->no_memory = true;
                                return;
                        }
                        header(p, headed);
                } else if (!equals)
                        problem(p, "'%s': neither [Section] nor Key=Value, the line is left out", s);
                else {
                        *equals = 0;
                        assignment(p, strip(s), strip(equals + 1));
                }
        }
}

static int read_file(const char *path, char **ret) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISCHR(st.st_mode))                /* a link to /dev/null masks */
                return (*ret = strdup("")) ? 0 : -ENOMEM;
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        return file_read_text(fd, RULE_FILE_MAX, ret);
}

static int compare_base(const void *a, const void *b) {
        return strcmp(strrchr(*(char *const *) a, '/'), strrchr(*(char *const *) b, '/'));
}

/* Every *.conf of a folder whose name no folder before it had. */
static int collect(Rules *r, const char *folder) {
        DIR *d = opendir(folder);
        if (!d)
                return errno == ENOENT ? 0 : -errno;
        size_t before = r->n_files;
        int result = 0;
        for (struct dirent *e; (e = readdir(d));) {
                size_t n = strlen(e->d_name);
                bool known = n <= 5 || e->d_name[0] == '.' || strcmp(e->d_name + n - 5, ".conf") != 0;
                for (size_t i = 0; i < before && !known; i++)
                        known = strcmp(strrchr(r->files[i], '/') + 1, e->d_name) == 0;
                if (known)
                        continue;
                if (r->n_files == RULE_FILES_MAX) {
                        result = -ENFILE;
                        break;
                }
                if (asprintf(&r->files[r->n_files], "%s/%s", folder, e->d_name) < 0) {
                        r->files[r->n_files] = NULL;
                        result = -ENOMEM;
                        break;
                }
                r->n_files++;
        }
        closedir(d);
        return result;
}

/* What stood in it nobody knows: it may have been to close something. */
static void unreadable(Parser *p, int error) {
        problem(p, "cannot be read (%s): everything is denied to everyone until it can", strerror(-error));
        p->section = SECTION_EVERYONE;
        p->pattern = "*";
        p->certainty = CERTAINTY_UNKNOWN;
        for (unsigned c = 0; c < CAPABILITY_MAX_; c++)
                add(p, SUBJECT_CAPABILITY, (Capability) c, c == CAPABILITY_TOOL ? "*" : "", 0, VERDICT_DENY);
}

int rules_load(const char *const *folders, size_t n_folders, Rules **ret) {
        _cleanup_(rules_freep) Rules *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        for (size_t i = 0; i < n_folders; i++) {
                int k = collect(r, folders[i]);
                if (k == -ENOMEM)
                        return k;
                if (k < 0 && r->n_problems < RULE_PROBLEMS_MAX) {
                        char *text;
                        if (asprintf(&text, "%s: %s", folders[i], k == -ENFILE ? "too many files, the rest is left out" : strerror(-k)) < 0)
                                return -ENOMEM;
                        r->problems[r->n_problems++] = text;
                }
        }
        if (r->n_files > 0)
                qsort(r->files, r->n_files, sizeof *r->files, compare_base);

        Parser p = { .rules = r };
        for (; p.file < r->n_files; p.file++) {
                _cleanup_free_ char *text = NULL;
                int k = read_file(r->files[p.file], &text);
                p.line = 0;
                if (k < 0)
                        unreadable(&p, k);
                else
                        parse(&p, text);
                if (k == -ENOMEM || p.no_memory)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(r);
        return 0;
}
