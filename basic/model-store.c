/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the rule of where a model's name leads. A store may be written by its user, so what stands in it is outside
 * content: names are checked before they become paths, files are opened relative to the store's own descriptor without
 * following links, descriptions are bounded and typed. Whether the bytes are the promised ones is not decided here: that
 * takes a digest over all of them (sparkctl model verify). */

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/checked.h"
#include "basic/file.h"
#include "basic/json.h"
#include "basic/model-store.h"

#define STORES_MAX 5u
#define STORE_MODELS_MAX 4096u           /* listed of one store; more is somebody's mistake */

ModelEntry *model_entry_free(ModelEntry *e) {
        if (!e)
                return NULL;
        free(e->name);
        free(e->kind);
        free(e->title);
        free(e->sha256);
        free(e->licence);
        free(e->source);
        free(e->directory);
        for (size_t i = 0; i < e->n_parts; i++)
                free(e->parts[i]);
        free(e->parts);
        free(e);
        return NULL;
}

static bool name_char(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool model_name_valid(const char *name) {
        if (!name || !name_char(name[0]))
                return false;
        size_t n = 1;
        for (; name[n]; n++)
                if (n >= MODEL_NAME_MAX || !(name_char(name[n]) || strchr("._-", name[n])))
                        return false;
        return true;
}

/* A plain file name in the store: no way up, no way elsewhere, not hidden. */
static bool part_name_valid(const char *s) {
        return s[0] && s[0] != '.' && strlen(s) <= 255 && !strchr(s, '/');
}

/* ---- the stores ---- */

typedef struct Stores {
        char *paths[STORES_MAX];
        size_t n;
} Stores;

static void stores_done(Stores *s) {
        for (size_t i = 0; i < s->n; i++)
                free(s->paths[i]);
        s->n = 0;
}

static int stores_add(Stores *s, const char *base, const char *below) {
        if (asprintf(&s->paths[s->n], "%s%s", base, below) < 0)
                return -ENOMEM;
        s->n++;
        return 0;
}

/* $XDG_DATA_HOME counts only where it is absolute, as its specification says. 0: a folder, 1: the user has none. */
static int user_store(Stores *s) {
        const char *data = getenv("XDG_DATA_HOME");
        if (data && data[0] == '/')
                return stores_add(s, data, "/spark/models");

        const char *home = getenv("HOME");
        if (home && home[0] == '/')
                return stores_add(s, home, "/.local/share/spark/models");

        struct passwd pw, *found = NULL;
        char buffer[4096];
        if (getpwuid_r(getuid(), &pw, buffer, sizeof buffer, &found) == 0 && found && found->pw_dir[0] == '/')
                return stores_add(s, found->pw_dir, "/.local/share/spark/models");
        return 1;
}

static int stores_init(Stores *s, ModelStoreScope scope) {
        *s = (Stores) {};
        int r;
        const char *own = getenv("SPARK_MODELS_DIR");
        if (own && own[0] == '/' && (r = stores_add(s, own, "")) < 0)
                return r;
        if (scope == MODEL_STORE_USER && (r = user_store(s)) < 0)
                return r;
        if ((r = stores_add(s, SPARK_MODELS_DIR, "")) < 0)
                return r;
        if ((r = stores_add(s, SPARK_IMPORTED_MODELS_DIR, "")) < 0)
                return r;
        return stores_add(s, SPARK_PKGDATADIR, "/models");
}

/* ---- one description ---- */

static int read_description(int dir_fd, const char *file, json_t **ret) {
        _cleanup_close_ int fd = -EBADF;
        uint64_t size = 0;
        int r = file_open(dir_fd, file, O_NOFOLLOW, &fd, &size);
        _cleanup_free_ char *text = NULL;
        if (r >= 0)
                r = file_read_text(fd, MODEL_INFO_MAX, &text);
        if (r < 0)
                return r == -ELOOP || r == -EFBIG ? -EBADMSG : r;

        json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        if (!j)
                return -EBADMSG;
        *ret = j;
        return 0;
}

/* A key that is missing is "", one of another type is a broken description. */
static int take_string(const json_t *j, const char *key, char **ret) {
        json_t *v = json_object_get(j, key);
        if (v && !json_is_string(v))
                return -EBADMSG;
        char *s = strdup(v ? json_string_value(v) : "");
        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}

static int take_parts(const json_t *j, ModelEntry *e) {
        json_t *parts = json_object_get(j, "parts");
        size_t n = parts ? json_array_size(parts) : 1;
        if (n < 1 || n > MODEL_PARTS_MAX)
                return -EBADMSG;

        e->parts = calloc(n + 1, sizeof *e->parts);
        if (!e->parts)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (!parts) {
                        if (asprintf(&e->parts[i], "%s.gguf", e->name) < 0) {
                                e->parts[i] = NULL;
                                return -ENOMEM;
                        }
                } else {
                        const char *s = json_string_value(json_array_get(parts, i));
                        if (!s || !part_name_valid(s))
                                return -EBADMSG;
                        if (!(e->parts[i] = strdup(s)))
                                return -ENOMEM;
                }
                e->n_parts++;
        }
        return 0;
}

static int load_entry(const char *store, const char *name, ModelEntry **ret) {
        _cleanup_close_ int dir_fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return errno == ENOTDIR ? -ENOENT : -errno;

        char file[MODEL_NAME_MAX + sizeof ".json"];
        snprintf(file, sizeof file, "%s.json", name);
        _cleanup_(json_dropp) json_t *j = NULL;
        int r = read_description(dir_fd, file, &j);
        if (r < 0)
                return r;
        if (!json_is_object(j))
                return -EBADMSG;

        _cleanup_(model_entry_freep) ModelEntry *e = calloc(1, sizeof *e);
        if (!e || !(e->name = strdup(name)) || !(e->directory = strdup(store)))
                return -ENOMEM;

        const struct { const char *key; char **to; } strings[] = {
                { "kind",    &e->kind    },
                { "title",   &e->title   },
                { "sha256",  &e->sha256  },
                { "licence", &e->licence },
                { "source",  &e->source  },
        };
        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                if ((r = take_string(j, strings[i].key, strings[i].to)) < 0)
                        return r;

        /* A description that was copied under another name describes another model. */
        const json_t *own = json_object_get(j, "name");
        if (own && (!json_is_string(own) || strcmp(json_string_value(own), name) != 0))
                return -EBADMSG;

        const json_t *size = json_object_get(j, "size");
        if (size && (!json_is_integer(size) || json_integer_value(size) < 0))
                return -EBADMSG;
        e->size = size ? (uint64_t) json_integer_value(size) : 0;

        if ((r = take_parts(j, e)) < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

/* ---- the interface ---- */

int model_store_find(ModelStoreScope scope, const char *name, ModelEntry **ret) {
        if (!model_name_valid(name))
                return -ENOENT;

        _cleanup_(stores_done) Stores stores;
        int r = stores_init(&stores, scope);
        if (r < 0)
                return r;
        for (size_t i = 0; i < stores.n; i++) {
                r = load_entry(stores.paths[i], name, ret);
                /* A store that this user may not look into holds nothing for this user. */
                if (r != -ENOENT && r != -EACCES)
                        return r;
        }
        return -ENOENT;
}

typedef struct EntryList {
        ModelEntry **entries;
        size_t n;
} EntryList;

static void entry_list_done(EntryList *l) {
        for (size_t i = 0; i < l->n; i++)
                model_entry_free(l->entries[i]);
        free(l->entries);
        *l = (EntryList) {};
}

static bool entry_list_has(const EntryList *l, const char *name) {
        for (size_t i = 0; i < l->n; i++)
                if (strcmp(l->entries[i]->name, name) == 0)
                        return true;
        return false;
}

/* Broken descriptions are passed over: the others stay usable, and asking for the broken one by name says so. */
static int list_store(const char *store, EntryList *l) {
        _cleanup_(dir_closep) DIR *d = opendir(store);
        if (!d)
                return errno == ENOMEM ? -ENOMEM : 0;

        const struct dirent *de;
        while (l->n < STORE_MODELS_MAX && (de = readdir(d))) {
                char name[MODEL_NAME_MAX + 1];
                size_t n = strlen(de->d_name);
                if (n <= strlen(".json") || n - strlen(".json") > MODEL_NAME_MAX ||
                    strcmp(de->d_name + n - strlen(".json"), ".json") != 0)
                        continue;
                snprintf(name, sizeof name, "%.*s", (int) (n - strlen(".json")), de->d_name);
                if (!model_name_valid(name) || entry_list_has(l, name))
                        continue;

                _cleanup_(model_entry_freep) ModelEntry *e = NULL;
                int r = load_entry(store, name, &e);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        continue;

                ModelEntry **more = reallocarray(l->entries, l->n + 1, sizeof *more);
                if (!more)
                        return -ENOMEM;
                l->entries = more;
                l->entries[l->n++] = TAKE_PTR(e);
        }
        return 0;
}

static int compare_entries(const void *a, const void *b) {
        return strcmp((*(ModelEntry *const *) a)->name, (*(ModelEntry *const *) b)->name);
}

int model_store_list(ModelStoreScope scope, ModelEntry ***ret, size_t *ret_n) {
        _cleanup_(stores_done) Stores stores;
        int r = stores_init(&stores, scope);
        if (r < 0)
                return r;

        _cleanup_(entry_list_done) EntryList l = {};
        for (size_t i = 0; i < stores.n; i++)
                if ((r = list_store(stores.paths[i], &l)) < 0)
                        return r;
        if (l.n > 0)
                qsort(l.entries, l.n, sizeof *l.entries, compare_entries);
        *ret = TAKE_PTR(l.entries);
        *ret_n = l.n;
        l.n = 0;
        return 0;
}

int model_entry_open(const ModelEntry *e, int *ret_fds, size_t *ret_n) {
        _cleanup_close_ int dir_fd = open(e->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;

        int fds[MODEL_PARTS_MAX], r = 0;
        size_t n = 0, total = 0;
        for (; n < e->n_parts; n++) {
                uint64_t size = 0;
                r = file_open(dir_fd, e->parts[n], O_NOFOLLOW, &fds[n], &size);
                if (r < 0)
                        goto fail;
                if (!checked_add(total, size, &total)) {
                        n++;
                        r = -EBADMSG;
                        goto fail;
                }
        }
        /* Cheap, and what an install that was cut off or a file that was replaced mostly shows. */
        if (e->size > 0 && total != e->size) {
                r = -EBADMSG;
                goto fail;
        }
        memcpy(ret_fds, fds, n * sizeof *fds);
        *ret_n = n;
        return 0;
fail:
        while (n > 0)
                safe_close(fds[--n]);
        return r;
}

static int make_folders(char *path) {
        for (char *p = path + 1;; p++) {
                if (*p && *p != '/')
                        continue;
                char c = *p;
                *p = 0;
                int r = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
                *p = c;
                if (r < 0)
                        return r;
                if (!c)
                        return 0;
        }
}

int model_store_writable(ModelStoreScope scope, char **ret) {
        _cleanup_(stores_done) Stores stores;
        int r = stores_init(&stores, scope);
        if (r < 0)
                return r;
        /* First in the search order: what is installed is what is found. */
        r = make_folders(stores.paths[0]);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(stores.paths[0]);
        return 0;
}
