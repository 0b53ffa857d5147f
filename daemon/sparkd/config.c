/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the settings. A line that makes no sense is told and ignored, as everywhere in the system: a typing mistake
 * does not take the service away. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "daemon/sparkd/config.h"
#include "daemon/sparkd/limits.h"
#include "daemon/sparkd/log.h"

#define CONFIG_FILES_MAX 64u
#define CONFIG_LINE_MAX 1024u
#define LANGUAGES_MAX 64u

typedef enum ValueType { VALUE_STRING, VALUE_WORDS, VALUE_U32, VALUE_SIZE, VALUE_SECONDS } ValueType;

static const struct {
        const char *section, *key;
        ValueType type;
        size_t offset;
        uint64_t min, max;                 /* of a number; seconds in microseconds */
} keys[] = {
        { "Model",  "Name",           VALUE_STRING,  offsetof(Config, model) },
        { "Model",  "Languages",      VALUE_WORDS,   offsetof(Config, languages) },
        { "Model",  "Context",        VALUE_U32,     offsetof(Config, context), 0, 1u << 20 },
        { "Policy", "ConsentSec",     VALUE_SECONDS, offsetof(Config, consent_usec), 1000000, UINT64_C(3600000000) },
        { "Worker", "Threads",        VALUE_U32,     offsetof(Config, threads), 0, 64 },
        { "Worker", "CacheMax",       VALUE_SIZE,    offsetof(Config, kv_bytes), 0, UINT64_C(1) << 40 },
        { "Worker", "MemoryMax",      VALUE_SIZE,    offsetof(Config, memory_bytes), 0, UINT64_C(1) << 44 },
        { "Worker", "CacheType",      VALUE_STRING,  offsetof(Config, kv_type) },
        { "Worker", "Kernels",        VALUE_STRING,  offsetof(Config, kernels) },
        { "Worker", "IdleSec",        VALUE_SECONDS, offsetof(Config, idle_usec), 0, UINT64_C(31536000000000) },
        { "Worker", "PressureFile",   VALUE_STRING,  offsetof(Config, pressure_file) },
        { "Worker", "PingSec",        VALUE_SECONDS, offsetof(Config, ping_usec), 100000, UINT64_C(3600000000) },
        { "Worker", "WatchdogSec",    VALUE_SECONDS, offsetof(Config, watchdog_usec), 200000, UINT64_C(3600000000) },
        { "Worker", "LoadTimeoutSec", VALUE_SECONDS, offsetof(Config, load_usec), 1000000, UINT64_C(3600000000) },
        { "Worker", "Parallel",       VALUE_U32,     offsetof(Config, turns_running), 1, TURNS_RUNNING_MAX },
};

static void words_free(char **l) {
        for (char **i = l; l && *i; i++)
                free(*i);
        free(l);
}

int config_init(Config *c) {
        Config n = {
                .idle_usec = 900ull * 1000000,
                .ping_usec = 5ull * 1000000,
                .watchdog_usec = 20ull * 1000000,
                .load_usec = 120ull * 1000000,
                .turns_running = 8,
                .consent_usec = 60ull * 1000000,
        };
        *c = n;
        if (config_set(c, "Model", "Name", SPARK_DEFAULT_MODEL) < 0 || config_set(c, "Model", "Languages", "en") < 0 ||
            config_set(c, "Worker", "CacheType", "i16") < 0 || config_set(c, "Worker", "Kernels", "") < 0 ||
            config_set(c, "Worker", "PressureFile", "") < 0) {
                config_done(c);
                return -ENOMEM;
        }
        return 0;
}

void config_done(Config *c) {
        free(c->model);
        free(c->kv_type);
        free(c->kernels);
        free(c->pressure_file);
        free(c->worker_path);
        free(c->rules_folder);
        words_free(c->languages);
        *c = (Config) {};
}

static int parse_words(const char *value, char ***ret) {
        char **l = calloc(LANGUAGES_MAX + 1, sizeof *l);
        if (!l)
                return -ENOMEM;
        size_t n = 0;
        for (const char *p = value + strspn(value, " \t"); *p && n < LANGUAGES_MAX; p += strspn(p, " \t")) {
                size_t size = strcspn(p, " \t");
                l[n] = strndup(p, size);
                if (!l[n++]) {
                        words_free(l);
                        return -ENOMEM;
                }
                p += size;
        }
        *ret = l;
        return 0;
}

/* Decimal, nothing else before or after but `rest`. */
static int parse_number(const char *value, uint64_t *ret, const char **ret_rest) {
        uint64_t n = 0;
        const char *p = value;
        for (; *p >= '0' && *p <= '9'; p++)
                if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (uint64_t) (*p - '0'), &n))
                        return -ERANGE;
        if (p == value)
                return -EINVAL;
        *ret = n;
        *ret_rest = p;
        return 0;
}

static int parse_scaled(const char *value, ValueType type, uint64_t *ret) {
        static const struct { ValueType type; const char *suffix; uint64_t factor; } units[] = {
                { VALUE_U32, "", 1 },
                { VALUE_SIZE, "", 1 }, { VALUE_SIZE, "K", 1u << 10 }, { VALUE_SIZE, "M", 1u << 20 }, { VALUE_SIZE, "G", 1u << 30 },
                { VALUE_SECONDS, "", 1000000 }, { VALUE_SECONDS, "s", 1000000 }, { VALUE_SECONDS, "ms", 1000 },
                { VALUE_SECONDS, "min", 60000000 }, { VALUE_SECONDS, "h", UINT64_C(3600000000) },
        };
        const char *rest;
        uint64_t n;
        int r = parse_number(value, &n, &rest);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (units[i].type == type && strcmp(units[i].suffix, rest) == 0)
                        return __builtin_mul_overflow(n, units[i].factor, ret) ? -ERANGE : 0;
        return -EINVAL;
}

int config_set(Config *c, const char *section, const char *key, const char *value) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                if (strcmp(keys[i].section, section) != 0 || strcmp(keys[i].key, key) != 0)
                        continue;

                void *at = (char *) c + keys[i].offset;
                uint64_t number;
                int r;

                switch (keys[i].type) {
                case VALUE_STRING: {
                        char *s = strdup(value);
                        if (!s)
                                return -ENOMEM;
                        free(*(char **) at);
                        *(char **) at = s;
                        return 0;
                }
                case VALUE_WORDS: {
                        char **l;
                        r = parse_words(value, &l);
                        if (r < 0)
                                return r;
                        words_free(*(char ***) at);
                        *(char ***) at = l;
                        return 0;
                }
                default:
                        r = parse_scaled(value, keys[i].type, &number);
                        if (r < 0)
                                return r;
                        if (number < keys[i].min || number > keys[i].max)
                                return -ERANGE;
                        if (keys[i].type == VALUE_U32)
                                *(uint32_t *) at = (uint32_t) number;
                        else
                                *(uint64_t *) at = number;
                        return 0;
                }
        }
        return -EINVAL;
}

static char *strip(char *s) {
        s += strspn(s, " \t\r\n");
        size_t n = strlen(s);
        while (n > 0 && strchr(" \t\r\n", s[n - 1]))
                s[--n] = '\0';
        return s;
}

static FILE *config_open(const char *path) {
        return fopen(path, "re");
}

int config_read_file(Config *c, const char *path) {
        char line[CONFIG_LINE_MAX], section[64] = "";
        unsigned n = 0;

        FILE *f = config_open(path);
        if (!f)
                return -errno;
        while (fgets(line, sizeof line, f)) {
                char *s = strip(line), *equal;
                size_t size = strlen(s);

                n++;
                if (size == 0 || *s == '#' || *s == ';')
                        continue;
                if (*s == '[' && s[size - 1] == ']') {
                        snprintf(section, sizeof section, "%.*s", (int) (size - 2), s + 1);
                        continue;
                }
                equal = strchr(s, '=');
                if (equal)
                        *equal = '\0';
                if (!equal || config_set(c, section, strip(s), strip(equal + 1)) < 0)
                        log_warning("%s:%u: '%s' in section '%s' is unknown, or has no such value, ignoring", path, n, s, section);
        }
        fclose(f);
        return 0;
}

static int is_conf(const struct dirent *d) {
        size_t n = strlen(d->d_name);
        return n > 5 && d->d_name[0] != '.' && strcmp(d->d_name + n - 5, ".conf") == 0;
}

static int config_read_optional(Config *c, const char *path) {
        int r = config_read_file(c, path);
        if (r < 0 && r != -ENOENT)
                log_warning("%s: %s, ignoring", path, strerror(-r));
        return 0;
}

static void config_read_folder(Config *c, const char *folder) {
        struct dirent **entries = NULL;
        int n = scandir(folder, &entries, is_conf, alphasort);

        for (int i = 0; i < n; i++) {
                char path[512];
                if ((unsigned) i < CONFIG_FILES_MAX && snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name) < (int) sizeof path)
                        (void) config_read_optional(c, path);
                free(entries[i]);
        }
        free(entries);
}

int config_read_default(Config *c, bool user) {
        char path[512];

        (void) config_read_optional(c, SPARK_PKGDATADIR "/sparkd.conf");
        (void) config_read_optional(c, "/etc/spark/sparkd.conf");
        config_read_folder(c, "/etc/spark/sparkd.conf.d");
        if (!user)
                return 0;

        const char *home = getenv("XDG_CONFIG_HOME"), *fallback = "";
        if (!home || home[0] != '/') {
                home = getenv("HOME");
                fallback = "/.config";
        }
        if (home && home[0] == '/' && snprintf(path, sizeof path, "%s%s/spark/sparkd.conf", home, fallback) < (int) sizeof path)
                (void) config_read_optional(c, path);
        return 0;
}
