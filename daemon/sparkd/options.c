/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the reading of a{sv}. Refuses wrong types, numbers out of range (NaN among them), strings and dictionaries over
 * their caps; knows nothing of what the options mean. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/error.h"
#include "daemon/sparkd/options.h"

void ignored_keys_done(IgnoredKeys *k) {
        for (size_t i = 0; i < k->n; i++)
                free(k->keys[i]);
        *k = (IgnoredKeys) {};
}

int ignored_keys_add(IgnoredKeys *k, const char *key) {
        size_t size = strnlen(key, IGNORED_KEY_BYTES_MAX);

        /* A cut key ends on a whole character, or the bus would not take it back. */
        while (key[size] != '\0' && size > 0 && ((unsigned char) key[size] & 0xc0) == 0x80)
                size--;

        for (size_t i = 0; i < k->n; i++)
                if (strlen(k->keys[i]) == size && memcmp(k->keys[i], key, size) == 0)
                        return 0;
        if (k->n >= IGNORED_MAX)
                return 0;

        char *copy = strndup(key, size);
        if (!copy)
                return -ENOMEM;
        k->keys[k->n++] = copy;
        return 0;
}

int ignored_keys_add_all(IgnoredKeys *k, const IgnoredKeys *other) {
        for (size_t i = 0; i < other->n; i++) {
                int r = ignored_keys_add(k, other->keys[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int out_of_range(const OptionSpec *s, double value, sd_bus_error *reterr) {
        return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "Option '%s' is %g, allowed is %g to %g", s->key, value, s->min, s->max);
}

static int option_string(sd_bus_message *m, const OptionSpec *s, char **target, sd_bus_error *reterr) {
        const char *value;
        int r = sd_bus_message_read(m, "s", &value);
        if (r < 0)
                return r;
        size_t size = strlen(value);
        if ((double) size > s->max)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "Option '%s' has %zu bytes, at most %g are taken", s->key, size, s->max);
        char *copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(*target);
        *target = copy;
        return 0;
}

static char **strv_free(char **l) {
        for (char **i = l; l && *i; i++)
                free(*i);
        free(l);
        return NULL;
}

static int option_strings(sd_bus_message *m, const OptionSpec *s, char ***target, sd_bus_error *reterr) {
        char **l = NULL;
        size_t n = 0;
        int r = sd_bus_message_read_strv(m, &l);
        if (r < 0)
                return r;
        while (l && l[n])
                n++;
        if (n > OPTION_STRINGS_MAX) {
                strv_free(l);
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "Option '%s' has %zu strings, at most %u are taken", s->key, n, OPTION_STRINGS_MAX);
        }
        strv_free(*target);
        *target = l;
        return 0;
}

static int option_read(sd_bus_message *m, const OptionSpec *s, void *target, sd_bus_error *reterr) {
        void *at = (char *) target + s->offset;
        double number = 0;
        int r;

        if (strcmp(s->type, "s") == 0)
                r = option_string(m, s, at, reterr);
        else if (strcmp(s->type, "as") == 0)
                r = option_strings(m, s, at, reterr);
        else if (strcmp(s->type, "b") == 0) {
                int b;
                r = sd_bus_message_read(m, "b", &b);
                if (r >= 0)
                        *(bool *) at = b;
        } else if (strcmp(s->type, "t") == 0)
                r = sd_bus_message_read(m, "t", (uint64_t *) at);
        else if (strcmp(s->type, "u") == 0) {
                uint32_t u;
                r = sd_bus_message_read(m, "u", &u);
                if (r >= 0 && (u < s->min || u > s->max))
                        return out_of_range(s, u, reterr);
                if (r >= 0)
                        *(uint32_t *) at = u;
        } else {
                r = sd_bus_message_read(m, "d", &number);
                if (r >= 0 && !(number >= s->min && number <= s->max))
                        return out_of_range(s, number, reterr);
                if (r >= 0)
                        *(double *) at = number;
        }
        if (r < 0)
                return r;
        if (s->given != OPTION_ALWAYS)
                *(bool *) ((char *) target + s->given) = true;
        return 0;
}

static int option_entry(sd_bus_message *m, const OptionSpec *specs, size_t n_specs, void *target, IgnoredKeys *ignored, sd_bus_error *reterr) {
        const OptionSpec *s = NULL;
        const char *key, *contents;
        char type;
        int r;

        r = sd_bus_message_read(m, "s", &key);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_specs && !s; i++)
                if (strcmp(specs[i].key, key) == 0)
                        s = specs + i;
        if (!s) {
                r = sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
                return ignored ? ignored_keys_add(ignored, key) : 0;
        }

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (strcmp(contents, s->type) != 0)
                return sd_bus_error_setf(reterr, SD_BUS_ERROR_INVALID_ARGS, "Option '%s' is of type '%s', it has to be '%s'", s->key, contents, s->type);
        r = sd_bus_message_enter_container(m, 'v', s->type);
        if (r < 0)
                return r;
        r = option_read(m, s, target, reterr);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

int options_read(sd_bus_message *m, const OptionSpec *specs, size_t n_specs, void *target, IgnoredKeys *ignored, sd_bus_error *reterr) {
        size_t n = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                if (++n > OPTIONS_MAX)
                        return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "More than %u options in one call", OPTIONS_MAX);
                r = option_entry(m, specs, n_specs, target, ignored, reterr);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 0;
}

int no_options(sd_bus_message *m, sd_bus_error *reterr) {
        return options_read(m, NULL, 0, NULL, NULL, reterr);
}
