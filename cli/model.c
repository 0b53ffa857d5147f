/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl model: the stores and the catalogue from the command line. Talks to no bus: sparkd never downloads, and a
 * model can be installed before sparkd ever ran. --system means the machine's store, else it is the user's own. */

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/install.h"
#include "cli/table.h"
#include "cli/terminal.h"

static ModelStoreScope scope_of(const Context *c) {
        return c->bus == BUS_SYSTEM ? MODEL_STORE_SYSTEM : MODEL_STORE_USER;
}

/* What all of them take, as each understands it. */
#define MODEL_OPTIONS_HELP                                                      \
        "\nOptions:\n"                                                          \
        "      --system         the machine's models alone\n"                   \
        "      --user           your own models too (default)\n"                \
        "      --json           print JSON, for programs\n"                     \
        "  -h, --help           print this\n"

static int no_such(const char *name) {
        return complain(EXIT_UNAVAILABLE, "No model '%s' is installed. 'sparkctl model list' lists those that are.", name);
}

static int find_installed(const Context *c, const char *name, ModelEntry **ret) {
        int r = model_store_find(scope_of(c), name, ret);
        if (r == -ENOENT)
                return no_such(name);
        if (r == -EBADMSG)
                return complain(EXIT_FAILED, "The description of '%s' is broken; 'sparkctl model install %s' writes it anew.", name, name);
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot look for '%s': %s.", name, strerror(-r));
        return EXIT_OK;
}

/* ---- list ---- */

typedef struct Lists {
        ModelEntry **installed;
        CatalogueEntry **known;
        size_t n_installed, n_known;
} Lists;

static void lists_done(Lists *l) {
        for (size_t i = 0; i < l->n_installed; i++)
                model_entry_free(l->installed[i]);
        for (size_t i = 0; i < l->n_known; i++)
                catalogue_entry_free(l->known[i]);
        free(l->installed);
        free(l->known);
}

static bool is_installed(const Lists *l, const char *name) {
        for (size_t i = 0; i < l->n_installed; i++)
                if (strcmp(l->installed[i]->name, name) == 0)
                        return true;
        return false;
}

static int list_json(const Lists *l) {
        json_t *j = json_array();
        for (size_t i = 0; i < l->n_installed; i++) {
                const ModelEntry *e = l->installed[i];
                json_array_append_new(j, json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:b, s:b, s:s}", "name", e->name, "title", e->title,
                        "kind", e->kind, "licence", e->licence, "size", (json_int_t) e->size, "sha256", e->sha256, "installed", true,
                        "default", strcmp(e->name, SPARK_DEFAULT_MODEL) == 0, "directory", e->directory));
        }
        for (size_t i = 0; i < l->n_known; i++) {
                const CatalogueEntry *e = l->known[i];
                if (!is_installed(l, e->name))
                        json_array_append_new(j, json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:b, s:b}", "name", e->name, "title", e->title,
                                "kind", e->kind, "licence", e->licence, "size", (json_int_t) e->size, "sha256", e->sha256,
                                "installed", false, "default", strcmp(e->name, SPARK_DEFAULT_MODEL) == 0));
        }
        return print_json(j);
}

static void list_row(Table *t, const char *name, const char *kind, uint64_t size, const char *licence, const char *state) {
        char bytes[SIZE_TEXT_MAX], said[64];
        snprintf(said, sizeof said, "%s%s", state, strcmp(name, SPARK_DEFAULT_MODEL) == 0 ? ", the default" : "");
        const char *const cells[] = { name, kind, size_text(size, bytes), licence, said };
        table_row(t, cells);
}

static int list_table(const Lists *l) {
        static const char *const heading[] = { "NAME", "KIND", "SIZE", "LICENCE", "STATE" };
        _cleanup_(table_done) Table t = { .n_columns = ELEMENTSOF(heading) };
        table_row(&t, heading);
        for (size_t i = 0; i < l->n_installed; i++) {
                const ModelEntry *e = l->installed[i];
                list_row(&t, e->name, e->kind, e->size, e->licence, "installed");
        }
        for (size_t i = 0; i < l->n_known; i++) {
                const CatalogueEntry *e = l->known[i];
                if (!is_installed(l, e->name))
                        list_row(&t, e->name, e->kind, e->size, e->licence, "in the catalogue");
        }
        return table_show(stdout, &t);
}

static int model_list(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl model list [OPTION…]\n\nLists the models that are installed and those that can be, by the catalogue.\n"
                MODEL_OPTIONS_HELP;
        int r = options_parse(c, argc, argv, "model list", help, NULL, 0);
        if (r != OPTIONS_READ)
                return r;
        if (optind < argc)
                return usage_error("model list", "'%s': list takes no arguments.", argv[optind]);
        _cleanup_(lists_done) Lists l = {};
        if ((r = model_store_list(scope_of(c), &l.installed, &l.n_installed)) < 0 ||
            (r = catalogue_list(&l.known, &l.n_known)) < 0)
                return complain(EXIT_FAILED, "Cannot list models: %s.", strerror(-r));
        return c->json ? list_json(&l) : list_table(&l);
}

/* ---- install ---- */

/* A name out of a file's or a URL's: its last component without .gguf, lower case, other characters as '-'. */
static int name_from(const char *path, char ret[MODEL_NAME_MAX + 1]) {
        const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
        size_t n = strcspn(base, "?#");
        if (n > 5 && strncasecmp(base + n - 5, ".gguf", 5) == 0)
                n -= 5;
        if (n < 1 || n > MODEL_NAME_MAX)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                char k = (char) tolower((unsigned char) base[i]);
                ret[i] = (k >= 'a' && k <= 'z') || (k >= '0' && k <= '9') || strchr("._-", k) ? k : '-';
        }
        ret[n] = 0;
        return model_name_valid(ret) ? 0 : -EINVAL;
}

/* One part of a split model: NAME-00001-of-00004.gguf. */
static bool is_split(const char *path) {
        const char *of = strstr(path, "-of-");
        return of && of - path >= 6 && of[-6] == '-' && strspn(of - 5, "0123456789") == 5 && strspn(of + 4, "0123456789") == 5;
}

/* An entry for a file or URL that no catalogue knows. */
static int own_entry(const char *what, const char *name, const char *sha256, CatalogueEntry **ret) {
        _cleanup_(catalogue_entry_freep) CatalogueEntry *e = calloc(1, sizeof *e);
        _cleanup_free_ char *source = NULL;
        bool https = strncmp(what, "https://", 8) == 0;
        if (https)
                source = strdup(what);
        else {
                _cleanup_free_ char *path = realpath(strncmp(what, "file:", 5) == 0 ? what + 5 : what, NULL);
                if (!path)
                        return complain(EXIT_FAILED, "Cannot open '%s': %s.", what, strerror(errno));
                if (asprintf(&source, "file:%s", path) < 0)
                        source = NULL;
        }
        if (!e || !source || !(e->ways = calloc(1, sizeof *e->ways)))
                return complain(EXIT_FAILED, "Out of memory.");
        e->n_ways = 1;
        e->ways[0].n = 1;
        e->ways[0].sources[0] = TAKE_PTR(source);
        if (!(e->name = strdup(name)) || !(e->title = strdup(name)) || !(e->kind = strdup("chat")) ||
            !(e->licence = strdup("unknown")) || !(e->sha256 = strdup(sha256 ?: "")))
                return complain(EXIT_FAILED, "Out of memory.");
        *ret = TAKE_PTR(e);
        return EXIT_OK;
}

static int entry_for(const char *what, const char *name, const char *sha256, CatalogueEntry **ret) {
        char derived[MODEL_NAME_MAX + 1];
        if (strchr(what, '/') || strncmp(what, "file:", 5) == 0 || (strlen(what) > 5 && strcmp(what + strlen(what) - 5, ".gguf") == 0)) {
                bool url = strstr(what, "://");
                if (url && strncmp(what, "https://", 8) != 0)
                        return complain(EXIT_USAGE, "'%s': models come by https:// alone.", what);
                if (url && !sha256)
                        return usage_error("model install", "A download needs --sha256: without a digest nobody could tell whether it is "
                                           "the right file.");
                if (is_split(what))
                        return complain(EXIT_FAILED, "'%s' is one part of a split model; please join the parts first (gguf-split --merge).", what);
                if (!name && name_from(what, derived) < 0)
                        return usage_error("model install", "No name can be made out of '%s': please give one by --name.", what);
                return own_entry(what, name ?: derived, sha256, ret);
        }

        _cleanup_free_ char *path = NULL;
        int r = catalogue_find(what, ret, &path);
        if (r == -ENOENT)
                return complain(EXIT_UNAVAILABLE, "There is no model '%s' in the catalogue. 'sparkctl model list' lists what there is; a file is "
                                "given by its path.", what);
        if (r == -EBADMSG)
                return complain(EXIT_FAILED, "The catalogue's file '%s' is broken.", path);
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot read the catalogue: %s.", strerror(-r));
        if (name) {
                free((*ret)->name);
                if (!((*ret)->name = strdup(name)))
                        return complain(EXIT_FAILED, "Out of memory.");
        }
        if (sha256 && strcmp((*ret)->sha256, sha256) != 0)
                return complain(EXIT_FAILED, "The catalogue has another sha256 for '%s': %s.", what, (*ret)->sha256);
        return EXIT_OK;
}

static int model_install(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl model install [OPTION…] NAME|FILE|URL\n\n"
                "Installs a model: by its NAME in the catalogue, from a GGUF FILE of this machine, or from an https:// URL.\n"
                "It counts only once its sha256 was compared; what an interrupted download has fetched is gone on with.\n"
                "\nOptions:\n"
                "      --name NAME      the name it gets (default: the catalogue's, or the file's)\n"
                "      --sha256 HEX     what it must be; a URL needs it\n"
                "      --ca-file FILE   certificates to believe instead of the system's\n"
                "      --system         for the whole machine (as root)\n"
                "      --user           for you alone (default)\n"
                "  -h, --help           print this\n";
        const char *name = NULL, *sha256 = NULL, *ca_file = NULL;
        const Option own[] = { { "name", .text = &name }, { "sha256", .text = &sha256 }, { "ca-file", .text = &ca_file } };
        int r = options_parse(c, argc, argv, "model install", help, own, ELEMENTSOF(own));
        if (r != OPTIONS_READ)
                return r;
        if (optind + 1 != argc)
                return usage_error("model install", optind < argc ? "One model at a time, please." : "Which model? 'sparkctl model list' lists them.");
        if (name && !model_name_valid(name))
                return usage_error("model install", "'%s' cannot be a name: a-z, 0-9, '.', '_' and '-', %u at most.", name, MODEL_NAME_MAX);
        if (sha256 && !digest_hex_valid(sha256))
                return usage_error("model install", "--sha256 wants 64 hex digits in lower case.");

        _cleanup_(catalogue_entry_freep) CatalogueEntry *e = NULL;
        r = entry_for(argv[optind], name, sha256, &e);
        if (r != EXIT_OK)
                return r;
        return install_model(&(Install) { .scope = scope_of(c), .entry = e, .ca_file = ca_file, .show = !c->json });
}

/* ---- verify, remove, info ---- */

/* Against the description beside it, and against the catalogue where it knows the name. */
static int verify_one(const Context *c, const ModelEntry *e) {
        _cleanup_(catalogue_entry_freep) CatalogueEntry *known = NULL;
        Digest d;
        const char *problem = NULL;
        int r = installed_digest(e, &d);
        if (r == -EBADMSG)
                problem = "is not as long as it should be";
        else if (r < 0)
                problem = strerror(-r);
        else if (!e->sha256[0])
                problem = "has no digest in its description";
        else if (strcmp(d.hex, e->sha256) != 0)
                problem = "has been changed: its digest is not the one it was installed with";
        else if (catalogue_find(e->name, &known, NULL) >= 0 && strcmp(known->sha256, d.hex) != 0)
                problem = "is not the catalogue's model of that name";

        if (c->json)
                print_json(json_pack("{s:s, s:b, s:s, s:s, s:s}", "name", e->name, "good", !problem, "problem", problem ?: "",
                                     "sha256", r < 0 ? "" : d.hex, "expected", e->sha256));
        else if (problem)
                printf("%sFAIL%s  %s %s\n", terminal_style(stdout, STYLE_BAD), terminal_style(stdout, STYLE_NORMAL), e->name, problem);
        else
                printf("%sok%s    %s  sha256 %s%s\n", terminal_style(stdout, STYLE_GOOD), terminal_style(stdout, STYLE_NORMAL), e->name, d.hex,
                       known ? ", as in the catalogue" : "");
        return problem ? EXIT_FAILED : EXIT_OK;
}

static int model_verify(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl model verify [OPTION…] [NAME…]\n\n"
                "Reads installed models (all of them where none is named) and compares their sha256 with what they were\n"
                "installed with, and with the catalogue. Exit status 1 where one differs.\n"
                MODEL_OPTIONS_HELP;
        int r = options_parse(c, argc, argv, "model verify", help, NULL, 0);
        if (r != OPTIONS_READ)
                return r;
        int worst = EXIT_OK;
        for (int i = optind; i < argc; i++) {
                _cleanup_(model_entry_freep) ModelEntry *e = NULL;
                if ((r = find_installed(c, argv[i], &e)) == EXIT_OK)
                        r = verify_one(c, e);
                worst = worst == EXIT_OK ? r : worst;
        }
        if (optind < argc)
                return worst;
        _cleanup_(lists_done) Lists l = {};
        if ((r = model_store_list(scope_of(c), &l.installed, &l.n_installed)) < 0)
                return complain(EXIT_FAILED, "Cannot list models: %s.", strerror(-r));
        if (l.n_installed == 0)
                return complain(EXIT_UNAVAILABLE, "No model is installed. 'sparkctl model install " SPARK_DEFAULT_MODEL "' installs the default.");
        for (size_t i = 0; i < l.n_installed; i++) {
                r = verify_one(c, l.installed[i]);
                worst = worst == EXIT_OK ? r : worst;
        }
        return worst;
}

/* The description first: from then on there is no such model. */
static int remove_one(const ModelEntry *e) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s.json", e->directory, e->name);
        if (unlink(path) < 0)
                return complain(errno == EACCES ? EXIT_REFUSED : EXIT_FAILED, "Cannot remove '%s': %s.", path, strerror(errno));
        for (size_t i = 0; i < e->n_parts; i++) {
                snprintf(path, sizeof path, "%s/%s", e->directory, e->parts[i]);
                if (unlink(path) < 0 && errno != ENOENT)
                        return complain(EXIT_FAILED, "Cannot remove '%s': %s.", path, strerror(errno));
        }
        return EXIT_OK;
}

static int model_remove(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl model remove [OPTION…] NAME…\n\n"
                "Removes installed models. A worker that has one in memory keeps it until it ends.\n"
                MODEL_OPTIONS_HELP;
        int r = options_parse(c, argc, argv, "model remove", help, NULL, 0);
        if (r != OPTIONS_READ)
                return r;
        if (optind == argc)
                return usage_error("model remove", "Which model? 'sparkctl model list' lists them.");
        int worst = EXIT_OK;
        for (int i = optind; i < argc; i++) {
                _cleanup_(model_entry_freep) ModelEntry *e = NULL;
                if ((r = find_installed(c, argv[i], &e)) == EXIT_OK && (r = remove_one(e)) == EXIT_OK && !c->json)
                        printf("Removed %s.\n", e->name);
                worst = worst == EXIT_OK ? r : worst;
        }
        return worst;
}

static void info_line(const char *name, const char *value) {
        printf("%9s: ", name);
        terminal_print(stdout, value, strlen(value));
        putchar('\n');
}

static int info_json(const ModelEntry *e, const CatalogueEntry *k) {
        json_t *sources = json_array();
        for (size_t w = 0; k && w < k->n_ways; w++) {
                json_t *way = json_array();
                for (size_t i = 0; i < k->ways[w].n; i++)
                        json_array_append_new(way, json_string(k->ways[w].sources[i]));
                json_array_append_new(sources, way);
        }
        return print_json(json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:b, s:s, s:o}", "name", e ? e->name : k->name,
                "title", e ? e->title : k->title, "kind", e ? e->kind : k->kind, "licence", e ? e->licence : k->licence,
                "size", (json_int_t) (e ? e->size : k->size), "sha256", e ? e->sha256 : k->sha256, "installed", !!e,
                "directory", e ? e->directory : "", "sources", sources));
}

static int model_info(Context *c, int argc, char **argv) {
        static const char help[] =
                "sparkctl model info [OPTION…] NAME\n\nDescribes a model, installed or in the catalogue.\n"
                MODEL_OPTIONS_HELP;
        int r = options_parse(c, argc, argv, "model info", help, NULL, 0);
        if (r != OPTIONS_READ)
                return r;
        if (optind + 1 != argc)
                return usage_error("model info", "Which model? 'sparkctl model list' lists them.");

        const char *name = argv[optind];
        _cleanup_(model_entry_freep) ModelEntry *e = NULL;
        _cleanup_(catalogue_entry_freep) CatalogueEntry *k = NULL;
        r = model_store_find(scope_of(c), name, &e);
        if (r == -EBADMSG)
                return find_installed(c, name, &e);
        if (catalogue_find(name, &k, NULL) < 0 && !e)
                return complain(EXIT_UNAVAILABLE, "There is no model '%s', neither installed nor in the catalogue.", name);
        if (c->json)
                return info_json(e, k);

        char size[SIZE_TEXT_MAX];
        info_line("Name", e ? e->name : k->name);
        info_line("Title", e ? e->title : k->title);
        info_line("Kind", e ? e->kind : k->kind);
        info_line("Licence", e ? e->licence : k->licence);
        info_line("Size", size_text(e ? e->size : k->size, size));
        info_line("SHA-256", e ? e->sha256 : k->sha256);
        info_line("State", e ? "installed" : "in the catalogue, not installed");
        if (e)
                info_line("Folder", e->directory);
        if (e)
                info_line("From", e->source);
        for (size_t w = 0; k && w < k->n_ways; w++)
                for (size_t i = 0; i < k->ways[w].n; i++)
                        info_line(w == 0 && i == 0 ? "Source" : i == 0 ? "or" : "and", k->ways[w].sources[i]);
        return EXIT_OK;
}

/* ---- the family ---- */

static const Verb verbs[] = {
        { "list",    "list installed models and those of the catalogue",  model_list    },
        { "install", "install one, from the catalogue, a file or a URL",  model_install },
        { "verify",  "compare installed models with their digests",       model_verify  },
        { "remove",  "remove installed models",                           model_remove  },
        { "info",    "describe one",                                      model_info    },
};

int verb_model(Context *c, int argc, char **argv) {
        static const Family family = {
                "model", "The models of this machine.",
                "      --system         the machine's models\n"
                "      --user           your own (default)\n"
                "      --json           print JSON, for programs\n",
                verbs, ELEMENTSOF(verbs),
        };
        return family_run(&family, c, argc, argv);
}
