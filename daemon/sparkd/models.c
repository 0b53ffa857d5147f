/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns org.spark.Assistant.Models on the root object, and which model answers. Refuses to touch what it did not put into
 * the store itself, and to read a byte of a model: a file that is none is found out by the worker. */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/file.h"
#include "daemon/sparkd/authorize.h"
#include "daemon/sparkd/client.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/import.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/message.h"
#include "daemon/sparkd/models.h"
#include "daemon/sparkd/options.h"

#define DEFAULT_FILE "default-model"
#define FIELD_MAX 512u

typedef struct ImportOptions {
        char *sha256, *title, *kind, *licence, *source;
} ImportOptions;

static const OptionSpec import_options[] = {
        { "sha256", "s", offsetof(ImportOptions, sha256), 0, IMPORT_DIGEST_HEX, OPTION_ALWAYS },
        { "title", "s", offsetof(ImportOptions, title), 0, FIELD_MAX, OPTION_ALWAYS },
        { "kind", "s", offsetof(ImportOptions, kind), 0, 32, OPTION_ALWAYS },
        { "licence", "s", offsetof(ImportOptions, licence), 0, FIELD_MAX, OPTION_ALWAYS },
        { "source", "s", offsetof(ImportOptions, source), 0, FIELD_MAX, OPTION_ALWAYS },
};

struct ModelImport {
        Manager *manager;
        sd_bus_message *message;
        Import *import;
        char *folder, *name;
        ImportOptions options;
};

static void import_options_done(ImportOptions *o) {
        free(o->sha256);
        free(o->title);
        free(o->kind);
        free(o->licence);
        free(o->source);
}

static ModelStoreScope scope_of(const Manager *m) {
        return m->user_mode ? MODEL_STORE_USER : MODEL_STORE_SYSTEM;
}

/* Where sparkd itself may write: the user's own store; of the system, the state folder's, which is searched like the
 * administrator's. */
static int own_store(const Manager *m, char **ret) {
        if (m->user_mode || getenv("SPARK_MODELS_DIR"))
                return model_store_writable(scope_of(m), ret);
        if (!m->state_folder)
                return -ENOENT;
        if (asprintf(ret, "%s/models", m->state_folder) < 0)
                return -ENOMEM;
        if ((mkdir(*ret, 0755) < 0 && errno != EEXIST) || chmod(*ret, 0755) < 0) {
                int r = -errno;
                free(TAKE_PTR(*ret));
                return r;
        }
        return 0;
}

static int check_name(const char *name, sd_bus_error *reterr) {
        if (model_name_valid(name))
                return 0;
        return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "That is no name of a model: [a-z0-9][a-z0-9._-]*, at most %u bytes", MODEL_NAME_MAX);
}

/* ---- the default ---- */

static int default_path(const Manager *m, char *path, size_t size) {
        if (!m->state_folder)
                return -ENOENT;
        return (size_t) snprintf(path, size, "%s/" DEFAULT_FILE, m->state_folder) < size ? 0 : -ENAMETOOLONG;
}

/* Whole or not at all: written beside it, then renamed. */
static int default_write(const Manager *m, const char *name) {
        char path[4096], new[4096 + 8];
        int r = default_path(m, path, sizeof path);
        if (r < 0)
                return r;
        if (!name[0])
                return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
        snprintf(new, sizeof new, "%s.new", path);
        FILE *f = fopen(new, "we");
        if (!f)
                return -errno;
        bool good = fprintf(f, "%s\n", name) > 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
        r = good ? 0 : -errno;
        if (fclose(f) != 0 && r == 0)
                r = -errno;
        if (r == 0 && rename(new, path) < 0)
                r = -errno;
        return r;
}

static void read_default(Manager *m) {
        char path[4096], name[MODEL_NAME_MAX + 2];

        if (m->config.model_fixed || default_path(m, path, sizeof path) < 0)
                return;
        FILE *f = fopen(path, "re");
        if (!f)
                return;
        bool read = fgets(name, sizeof name, f);
        fclose(f);
        name[read ? strcspn(name, "\n") : 0] = '\0';
        char *copy = model_name_valid(name) ? strdup(name) : NULL;
        if (!copy) {
                log_warning("%s names no model, ignoring", path);
                return;
        }
        free(m->config.model);
        m->config.model = copy;
}

static int set_default_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        Manager *m = c->user->manager;
        _cleanup_(model_entry_freep) ModelEntry *e = NULL;
        const char *name;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r >= 0)
                r = no_options(message, reterr);
        if (r >= 0 && name[0])
                r = check_name(name, reterr);
        if (r < 0)
                return r;
        const char *wanted = name[0] ? name : m->configured_model;
        r = model_store_find(scope_of(m), wanted, &e);
        if (r < 0 && name[0])
                return sd_bus_error_setf(reterr, SPARK_ERROR_UNAVAILABLE, "model-missing: '%s' is not installed", name);
        r = default_write(m, name);
        if (r < 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "The choice cannot be written down: %s", strerror(-r));
        char *copy = strdup(wanted);
        if (!copy)
                return -ENOMEM;
        free(m->config.model);
        m->config.model = copy;
        LIST_FOREACH(&m->users, l)
                worker_outdated(LIST_OBJECT(l, User, link)->worker);
        (void) sd_bus_emit_properties_changed(m->bus, SPARK_ROOT_PATH, SPARK_INTERFACE, "Model", NULL);
        return sd_bus_reply_method_return(message, NULL);
}

static int load_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        const char *name;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r >= 0)
                r = no_options(message, reterr);
        if (r < 0)
                return r;
        if (name[0] && strcmp(name, c->user->manager->config.model) != 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "'%s' answers here; SetDefault changes that", c->user->manager->config.model);
        r = user_start_worker(c->user, reterr);
        return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

static int unload_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        int r = no_options(message, reterr);
        if (r < 0)
                return r;
        worker_outdated(c->user->worker);
        return sd_bus_reply_method_return(message, NULL);
}

/* ---- import ---- */

static ModelImport *model_import_free(ModelImport *i) {
        if (!i)
                return NULL;
        i->manager->model_import = NULL;
        import_free(i->import);
        sd_bus_message_unref(i->message);
        import_options_done(&i->options);
        free(i->folder);
        free(i->name);
        free(i);
        return NULL;
}

void models_done(Manager *m) {
        model_import_free(m->model_import);
        free(m->configured_model);
}

/* The description comes last: without one a file is no model. */
static int write_description(const ModelImport *i, const ImportResult *result) {
        const ImportOptions *o = &i->options;
        char part[MODEL_NAME_MAX + 8], path[4096], new[4096];
        int r = 0;

        snprintf(part, sizeof part, "%s.gguf", i->name);
        if ((size_t) snprintf(path, sizeof path, "%s/%s.json", i->folder, i->name) >= sizeof path ||
            (size_t) snprintf(new, sizeof new, "%s/.%s.json.new", i->folder, i->name) >= sizeof new)
                return -ENAMETOOLONG;
        json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:[s]}", "name", i->name, "kind", o->kind ?: "chat", "title", o->title ?: i->name,
                              "sha256", result->sha256, "licence", o->licence ?: "", "source", o->source ?: "",
                              "size", (json_int_t) result->size, "parts", part);
        if (!j)
                return -ENOMEM;
        _cleanup_close_ int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0 || fchmod(fd, 0644) < 0 || json_dumpfd(j, fd, JSON_INDENT(2)) < 0 || fsync(fd) < 0 || rename(new, path) < 0)
                r = errno > 0 ? -errno : -EIO;
        json_decref(j);
        return r;
}

static int finish(ModelImport *i, const ImportResult *result, sd_bus_error *reterr) {
        char part[MODEL_NAME_MAX + 8];
        int r = result->error;

        if (r < 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "The file cannot be copied: %s", strerror(-r));
        if (i->options.sha256 && strcmp(i->options.sha256, result->sha256) != 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "The file's SHA-256 is %s, not %s", result->sha256, i->options.sha256);
        snprintf(part, sizeof part, "%s.gguf", i->name);
        r = import_link(i->import, part);
        if (r >= 0)
                r = write_description(i, result);
        if (r < 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "The store '%s' cannot be written: %s", i->folder, strerror(-r));
        log_notice("Model '%s' was imported: %s, %llu bytes", i->name, result->sha256, (unsigned long long) result->size);
        if (strcmp(i->name, i->manager->config.model) == 0)
                LIST_FOREACH(&i->manager->users, l)
                        worker_outdated(LIST_OBJECT(l, User, link)->worker);
        return sd_bus_reply_method_return(i->message, "s", result->sha256);
}

static void on_imported(void *userdata, const ImportResult *result) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ModelImport *i = userdata;
        int r = finish(i, result, &error);
        if (r < 0)
                (void) sd_bus_reply_method_errno(i->message, r, &error);
        model_import_free(i);
}

/* A name that another store has already would not be found in ours. */
static int check_shadow(const Manager *m, const char *name, const char *folder, sd_bus_error *reterr) {
        _cleanup_(model_entry_freep) ModelEntry *e = NULL;
        if (model_store_find(scope_of(m), name, &e) < 0 || strcmp(e->directory, folder) == 0)
                return 0;
        return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "'%s' is installed already, in %s", name, e->directory);
}

static int import_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        Manager *m = c->user->manager;
        mode_t type;
        const char *name;
        int file, r;

        if (m->model_import)
                return sd_bus_error_set(reterr, SPARK_ERROR_BUSY, "1 of 1 import is under way; come back when it is done");
        ModelImport *i = calloc(1, sizeof *i);
        if (!i)
                return -ENOMEM;
        i->manager = m;
        i->message = sd_bus_message_ref(message);
        r = sd_bus_message_read(message, "hs", &file, &name);
        if (r >= 0)
                r = options_read(message, import_options, ELEMENTSOF(import_options), &i->options, NULL, reterr);
        if (r >= 0)
                r = check_name(name, reterr);
        if (r >= 0 && (file_type(file, &type) < 0 || type != S_IFREG || (fcntl(file, F_GETFL) & O_ACCMODE) == O_WRONLY))
                r = sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "The file has to be a regular one, open for reading");
        if (r >= 0 && !(i->name = strdup(name)))
                r = -ENOMEM;
        if (r >= 0) {
                r = own_store(m, &i->folder);
                if (r < 0)
                        r = sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "There is no store that sparkd may write to: %s", strerror(-r));
        }
        if (r >= 0)
                r = check_shadow(m, name, i->folder, reterr);
        if (r >= 0) {
                r = import_new(m->event, file, i->folder, on_imported, i, &i->import);
                if (r < 0)
                        r = sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "The copy into '%s' cannot be started: %s", i->folder, strerror(-r));
        }
        if (r < 0) {
                model_import_free(i);
                return r;
        }
        m->model_import = i;
        return 1;
}

/* ---- remove, list ---- */

static int remove_authorized(sd_bus_message *message, const Caller *c, sd_bus_error *reterr) {
        const Manager *m = c->user->manager;
        _cleanup_(model_entry_freep) ModelEntry *e = NULL;
        _cleanup_free_ char *folder = NULL;
        char path[4096];
        const char *name;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r >= 0)
                r = no_options(message, reterr);
        if (r >= 0)
                r = check_name(name, reterr);
        if (r < 0)
                return r;
        if (strcmp(name, m->config.model) == 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "'%s' is the model that answers; SetDefault to another one first", name);
        r = model_store_find(scope_of(m), name, &e);
        if (r == -ENOENT)
                return sd_bus_error_setf(reterr, SPARK_ERROR_UNAVAILABLE, "model-missing: '%s' is not installed", name);
        if (r >= 0)
                r = own_store(m, &folder);
        if (r < 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "The store cannot be read: %s", strerror(-r));
        if (strcmp(e->directory, folder) != 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "'%s' was not imported here, it is in %s", name, e->directory);
        /* First what makes it a model. */
        for (size_t i = 0; i <= e->n_parts; i++) {
                if (i == 0)
                        r = snprintf(path, sizeof path, "%s/%s.json", folder, name) < (int) sizeof path ? 0 : -ENAMETOOLONG;
                else
                        r = snprintf(path, sizeof path, "%s/%s", folder, e->parts[i - 1]) < (int) sizeof path ? 0 : -ENAMETOOLONG;
                if (r >= 0 && unlink(path) < 0 && errno != ENOENT)
                        r = -errno;
                if (r < 0)
                        return sd_bus_error_setf(reterr, SPARK_ERROR_FAILED, "'%s' cannot be removed: %s", name, strerror(-r));
        }
        return sd_bus_reply_method_return(message, NULL);
}

static int append_model(sd_bus_message *reply, const Caller *c, const ModelEntry *e, const char *own) {
        const Manager *m = c->user->manager;
        const ModelEntry *loaded = worker_state(c->user->worker) == WORKER_READY ? worker_model(c->user->worker) : NULL;

        return sd_bus_message_append(reply, "a{sv}", 11,
                                     "name", "s", e->name, "title", "s", e->title, "kind", "s", e->kind, "sha256", "s", e->sha256,
                                     "licence", "s", e->licence, "source", "s", e->source, "directory", "s", e->directory, "size", "t", e->size,
                                     "default", "b", strcmp(e->name, m->config.model) == 0,
                                     "removable", "b", own && strcmp(e->directory, own) == 0,
                                     "loaded", "b", loaded && strcmp(loaded->name, e->name) == 0) < 0 ? -EIO : 0;
}

static int method_list(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char *own = NULL;
        ModelEntry **models = NULL;
        sd_bus_message *reply = NULL;
        size_t n = 0;
        Caller c;
        int r;

        r = no_options(message, reterr);
        if (r >= 0)
                r = caller_of_message(userdata, message, &c, reterr);
        if (r >= 0)
                r = model_store_list(scope_of(userdata), &models, &n);
        if (r >= 0)
                (void) own_store(userdata, &own);
        if (r >= 0)
                r = reply_list(message, "a{sv}", &reply);
        for (size_t i = 0; i < n; i++) {
                if (r >= 0)
                        r = append_model(reply, &c, models[i], own);
                model_entry_free(models[i]);
        }
        free(models);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return message_send(reply, r);
}

#define AUTHORIZED_METHOD(name)                                                                                         \
        static int method_##name(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {                       \
                Caller c;                                                                                               \
                int r = caller_of_message(userdata, message, &c, reterr);                                               \
                return r < 0 ? r : authorize(userdata, message, &c, AUTHORIZE_MODELS, name##_authorized, reterr);       \
        }

AUTHORIZED_METHOD(import)
AUTHORIZED_METHOD(remove)
AUTHORIZED_METHOD(load)
AUTHORIZED_METHOD(unload)
AUTHORIZED_METHOD(set_default)

static const sd_bus_vtable models_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", models),
                                method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Import", SD_BUS_ARGS("h", file, "s", name, "a{sv}", options), SD_BUS_RESULT("s", sha256),
                                method_import, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("s", name, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_remove, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Load", SD_BUS_ARGS("s", name, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_load, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unload", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                method_unload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetDefault", SD_BUS_ARGS("s", name, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_set_default, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int models_add(Manager *m) {
        m->configured_model = strdup(m->config.model);
        if (!m->configured_model)
                return -ENOMEM;
        read_default(m);
        return sd_bus_add_object_vtable(m->bus, NULL, SPARK_ROOT_PATH, SPARK_MODELS_INTERFACE, models_vtable, m);
}
