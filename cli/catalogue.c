/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what the catalogue's files may say. An entry without a right digest, size or source is no entry: nothing is
 * fetched that could not be checked afterwards. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "basic/file.h"
#include "basic/json.h"
#include "cli/catalogue.h"
#include "cli/digest.h"

#define FOLDERS_DEFAULT SPARK_SYSCONFDIR "/catalogue.d:" SPARK_PKGDATADIR "/catalogue"


CatalogueEntry *catalogue_entry_free(CatalogueEntry *e) {
        if (!e)
                return NULL;
        free(e->name);
        free(e->title);
        free(e->kind);
        free(e->licence);
        free(e->sha256);
        for (size_t i = 0; i < e->n_ways; i++)
                for (size_t k = 0; k < e->ways[i].n; k++)
                        free(e->ways[i].sources[k]);
        free(e->ways);
        free(e);
        return NULL;
}

static int take_string(const json_t *j, const char *key, char **ret) {
        const char *s = json_string_value(json_object_get(j, key));
        if (!s)
                return -EBADMSG;
        char *copy = strdup(s);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static bool source_known(const char *s) {
        return strncmp(s, "pypi:", 5) == 0 || strncmp(s, "https://", 8) == 0 || strncmp(s, "file:", 5) == 0;
}

static int take_ways(const json_t *j, CatalogueEntry *e) {
        const json_t *ways = json_object_get(j, "sources");
        size_t n = json_array_size(ways);
        if (n < 1 || n > CATALOGUE_WAYS_MAX)
                return -EBADMSG;
        e->ways = calloc(n, sizeof *e->ways);
        if (!e->ways)
                return -ENOMEM;
        for (; e->n_ways < n; e->n_ways++) {
                const json_t *list = json_array_get(ways, e->n_ways);
                CatalogueWay *w = &e->ways[e->n_ways];
                size_t n_sources = json_array_size(list);
                if (n_sources < 1 || n_sources > MODEL_PARTS_MAX)
                        return -EBADMSG;
                for (; w->n < n_sources; w->n++) {
                        const char *s = json_string_value(json_array_get(list, w->n));
                        if (!s || !source_known(s) || !(w->sources[w->n] = strdup(s))) {
                                int r = s && source_known(s) ? -ENOMEM : -EBADMSG;
                                e->n_ways++;      /* what it holds already is freed with the entry */
                                return r;
                        }
                }
        }
        return 0;
}

static int parse(const json_t *j, const char *name, CatalogueEntry **ret) {
        _cleanup_(catalogue_entry_freep) CatalogueEntry *e = calloc(1, sizeof *e);
        if (!e)
                return -ENOMEM;
        const struct { const char *key; char **to; } strings[] = {
                { "name",    &e->name    },
                { "title",   &e->title   },
                { "kind",    &e->kind    },
                { "licence", &e->licence },
                { "sha256",  &e->sha256  },
        };
        int r;
        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                if ((r = take_string(j, strings[i].key, strings[i].to)) < 0)
                        return r;
        json_int_t size = json_integer_value(json_object_get(j, "size"));
        if (strcmp(e->name, name) != 0 || !digest_hex_valid(e->sha256) || size <= 0)
                return -EBADMSG;
        e->size = (uint64_t) size;
        if ((r = take_ways(j, e)) < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

static int load(const char *folder, size_t folder_size, const char *name, CatalogueEntry **ret, char **ret_path) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        if (asprintf(&path, "%.*s/%s.json", (int) folder_size, folder, name) < 0)
                return -ENOMEM;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        int r = file_open(AT_FDCWD, path, 0, &fd, &size);
        if (r < 0 && r != -EBADMSG)
                return r == -ENOTDIR || r == -EACCES ? -ENOENT : r;
        if (r >= 0 && (r = file_read_text(fd, CATALOGUE_FILE_MAX, &text)) == -ENOMEM)
                return r;

        _cleanup_(json_dropp) json_t *j = r >= 0 ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
        r = j ? parse(j, name, ret) : -EBADMSG;
        if (r == -EBADMSG && ret_path)
                *ret_path = TAKE_PTR(path);
        return r;
}

static const char *folders(void) {
        const char *own = getenv("SPARK_CATALOGUE_DIR");
        return own && own[0] ? own : FOLDERS_DEFAULT;
}

int catalogue_find(const char *name, CatalogueEntry **ret, char **ret_path) {
        if (!model_name_valid(name))
                return -ENOENT;
        for (const char *p = folders(); *p;) {
                size_t n = strcspn(p, ":");
                int r = load(p, n, name, ret, ret_path);
                if (r != -ENOENT)
                        return r;
                p += n + (p[n] == ':');
        }
        return -ENOENT;
}

typedef struct List {
        CatalogueEntry **entries;
        size_t n;
} List;

static void list_done(List *l) {
        for (size_t i = 0; i < l->n; i++)
                catalogue_entry_free(l->entries[i]);
        free(l->entries);
}

static int list_add(List *l, const char *file) {
        char name[MODEL_NAME_MAX + 1];
        size_t n = strlen(file);
        if (n < strlen("a.json") || n - strlen(".json") > MODEL_NAME_MAX || strcmp(file + n - strlen(".json"), ".json") != 0)
                return 0;
        snprintf(name, sizeof name, "%.*s", (int) (n - strlen(".json")), file);
        for (size_t i = 0; i < l->n; i++)
                if (strcmp(l->entries[i]->name, name) == 0)
                        return 0;

        CatalogueEntry *e;
        int r = catalogue_find(name, &e, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        CatalogueEntry **more = reallocarray(l->entries, l->n + 1, sizeof *more);
        if (!more) {
                catalogue_entry_free(e);
                return -ENOMEM;
        }
        l->entries = more;
        l->entries[l->n++] = e;
        return 0;
}

static int compare(const void *a, const void *b) {
        return strcmp((*(CatalogueEntry *const *) a)->name, (*(CatalogueEntry *const *) b)->name);
}

int catalogue_list(CatalogueEntry ***ret, size_t *ret_n) {
        _cleanup_(list_done) List l = {};
        for (const char *p = folders(); *p;) {
                size_t n = strcspn(p, ":");
                _cleanup_free_ char *folder = strndup(p, n);
                if (!folder)
                        return -ENOMEM;
                _cleanup_(dir_closep) DIR *d = opendir(folder);
                const struct dirent *de;
                while (d && l.n < CATALOGUE_MODELS_MAX && (de = readdir(d))) {
                        int r = list_add(&l, de->d_name);
                        if (r < 0)
                                return r;
                }
                p += n + (p[n] == ':');
        }
        if (l.n > 0)
                qsort(l.entries, l.n, sizeof *l.entries, compare);
        *ret = TAKE_PTR(l.entries);
        *ret_n = l.n;
        l.n = 0;
        return 0;
}
