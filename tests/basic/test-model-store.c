/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A store made in a temporary folder: what is found, what is refused, in which order the stores are searched. */

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "basic/model-store.h"
#include "tests/test.h"

static char root[PATH_MAX];

static void put(const char *file, const char *text) {
        char path[PATH_MAX * 2];
        snprintf(path, sizeof path, "%s/%s", root, file);
        FILE *f = fopen(path, "we");
        CHECK(f);
        fputs(text, f);
        fclose(f);
}

static void folder(const char *name, char *ret) {
        snprintf(ret, PATH_MAX, "%.2000s/%s", root, name);
        CHECK(mkdir(ret, 0755) == 0 || errno == EEXIST);
}

/* $SPARK_MODELS_DIR is root/own, the user's store root/data/spark/models. */
static void fresh(void) {
        const char *tmp = getenv("TMPDIR") ?: "/tmp";
        snprintf(root, sizeof root, "%s/spark-store-XXXXXX", tmp);
        CHECK(mkdtemp(root));
        char path[PATH_MAX];
        folder("own", path);
        setenv("SPARK_MODELS_DIR", path, 1);
        folder("data", path);
        setenv("XDG_DATA_HOME", path, 1);
        folder("data/spark", path);
        folder("data/spark/models", path);
}

static void gone(void) {
        char command[PATH_MAX + 16];
        snprintf(command, sizeof command, "rm -rf '%s'", root);
        CHECK_INT(system(command), 0);
}

static void names(void) {
        CHECK(model_name_valid("smollm2-135m-instruct"));
        CHECK(model_name_valid("7b"));
        CHECK(model_name_valid("qwen2.5_coder"));
        CHECK(!model_name_valid(NULL));
        CHECK(!model_name_valid(""));
        CHECK(!model_name_valid("-x"));
        CHECK(!model_name_valid(".x"));
        CHECK(!model_name_valid("a/b"));
        CHECK(!model_name_valid("A"));
        CHECK(!model_name_valid("a b"));
        CHECK(!model_name_valid("caf\xc3\xa9"));

        char longest[MODEL_NAME_MAX + 2];
        memset(longest, 'a', sizeof longest);
        longest[MODEL_NAME_MAX] = 0;
        CHECK(model_name_valid(longest));
        longest[MODEL_NAME_MAX] = 'a';
        longest[MODEL_NAME_MAX + 1] = 0;
        CHECK(!model_name_valid(longest));
}

static void finds_and_opens(void) {
        fresh();
        put("own/tiny.gguf", "12345678");
        put("own/tiny.json", "{\"name\":\"tiny\",\"kind\":\"chat\",\"sha256\":\"ab\",\"licence\":\"MIT\",\"size\":8,"
                             "\"source\":\"file:x\",\"title\":\"Tiny\"}");
        _cleanup_(model_entry_freep) ModelEntry *e = NULL;
        CHECK_INT(model_store_find(MODEL_STORE_SYSTEM, "tiny", &e), 0);
        CHECK_STR(e->kind, "chat");
        CHECK_STR(e->title, "Tiny");
        CHECK_STR(e->licence, "MIT");
        CHECK_INT(e->size, 8);
        CHECK_INT(e->n_parts, 1);
        CHECK_STR(e->parts[0], "tiny.gguf");
        CHECK(!e->parts[1]);

        int fds[MODEL_PARTS_MAX];
        size_t n;
        CHECK_INT(model_entry_open(e, fds, &n), 0);
        CHECK_INT(n, 1);
        CHECK(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
        CHECK_INT(fcntl(fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
        close(fds[0]);

        put("own/tiny.gguf", "1234567");
        CHECK_INT(model_entry_open(e, fds, &n), -EBADMSG);
        gone();
}

static void missing(void) {
        fresh();
        ModelEntry *e = NULL;
        CHECK_INT(model_store_find(MODEL_STORE_USER, "nothing", &e), -ENOENT);
        CHECK_INT(model_store_find(MODEL_STORE_USER, "../own/tiny", &e), -ENOENT);
        CHECK(!e);
        gone();
}

static void broken(void) {
        fresh();
        static const char *const bad[] = {
                "", "{", "[]", "{\"size\":-1}", "{\"size\":\"8\"}", "{\"kind\":1}", "{\"name\":\"other\"}",
                "{\"parts\":[]}", "{\"parts\":\"x\"}", "{\"parts\":[\"../x\"]}", "{\"parts\":[\"/etc/passwd\"]}",
                "{\"parts\":[\".\"]}", "{\"parts\":[\"\"]}", "{\"parts\":[7]}", "{\"kind\":\"a\",\"kind\":\"b\"}",
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                ModelEntry *e = NULL;
                put("own/bad.json", bad[i]);
                int r = model_store_find(MODEL_STORE_SYSTEM, "bad", &e);
                if (r != -EBADMSG)
                        printf("# %s\n", bad[i]);
                CHECK_INT(r, -EBADMSG);
                CHECK(!e);
        }

        char *big = malloc(MODEL_INFO_MAX + 3);
        memset(big, ' ', MODEL_INFO_MAX + 2);
        memcpy(big, "{}", 2);
        big[MODEL_INFO_MAX + 1] = 0;
        put("own/bad.json", big);
        ModelEntry *e = NULL;
        CHECK_INT(model_store_find(MODEL_STORE_SYSTEM, "bad", &e), -EBADMSG);
        big[MODEL_INFO_MAX] = 0;
        put("own/bad.json", big);
        CHECK_INT(model_store_find(MODEL_STORE_SYSTEM, "bad", &e), 0);
        model_entry_free(e);
        free(big);
        gone();
}

static void too_many_parts(void) {
        fresh();
        char text[8192] = "{\"parts\":[\"p\"";
        for (size_t i = 1; i < MODEL_PARTS_MAX; i++)
                strcat(text, ",\"p\"");
        size_t n = strlen(text);
        strcpy(text + n, "]}");
        put("own/many.json", text);
        ModelEntry *e = NULL;
        CHECK_INT(model_store_find(MODEL_STORE_SYSTEM, "many", &e), 0);
        CHECK_INT(e->n_parts, MODEL_PARTS_MAX);
        e = model_entry_free(e);
        strcpy(text + n, ",\"p\"]}");
        put("own/many.json", text);
        CHECK_INT(model_store_find(MODEL_STORE_SYSTEM, "many", &e), -EBADMSG);
        gone();
}

/* Links, folders and pipes in a store lead nowhere; a pipe does not even hold the reader up. */
static void no_way_out(void) {
        fresh();
        char path[PATH_MAX * 2];
        int fds[MODEL_PARTS_MAX];
        size_t n;
        put("own/link.json", "{}");
        snprintf(path, sizeof path, "%s/own/link.gguf", root);
        CHECK(symlink("/etc/passwd", path) == 0);
        _cleanup_(model_entry_freep) ModelEntry *e = NULL;
        CHECK_INT(model_store_find(MODEL_STORE_SYSTEM, "link", &e), 0);
        CHECK_INT(model_entry_open(e, fds, &n), -ELOOP);
        CHECK(unlink(path) == 0);
        CHECK(mkfifo(path, 0600) == 0);
        CHECK_INT(model_entry_open(e, fds, &n), -EBADMSG);
        CHECK(unlink(path) == 0);
        CHECK(mkdir(path, 0755) == 0);
        CHECK_INT(model_entry_open(e, fds, &n), -EBADMSG);

        ModelEntry *other = NULL;
        snprintf(path, sizeof path, "%s/own/away.json", root);
        CHECK(symlink("/etc/passwd", path) == 0);
        CHECK_INT(model_store_find(MODEL_STORE_SYSTEM, "away", &other), -EBADMSG);
        gone();
}

static void order(void) {
        fresh();
        put("own/both.json", "{\"title\":\"first\"}");
        put("data/spark/models/both.json", "{\"title\":\"second\"}");
        put("data/spark/models/mine.json", "{\"title\":\"mine\"}");
        put("data/spark/models/broken.json", "{");
        put("data/spark/models/README", "");

        ModelEntry *e = NULL;
        CHECK_INT(model_store_find(MODEL_STORE_USER, "both", &e), 0);
        CHECK_STR(e->title, "first");
        e = model_entry_free(e);
        CHECK_INT(model_store_find(MODEL_STORE_SYSTEM, "mine", &e), -ENOENT);

        ModelEntry **l = NULL;
        size_t n = 0;
        CHECK_INT(model_store_list(MODEL_STORE_USER, &l, &n), 0);
        bool seen_both = false, seen_mine = false;
        for (size_t i = 0; i < n; i++) {
                if (strcmp(l[i]->name, "both") == 0) {
                        CHECK(!seen_both);
                        seen_both = true;
                        CHECK_STR(l[i]->title, "first");
                }
                seen_mine |= strcmp(l[i]->name, "mine") == 0;
                CHECK(strcmp(l[i]->name, "broken") != 0);
                CHECK(i == 0 || strcmp(l[i - 1]->name, l[i]->name) < 0);
        }
        for (size_t i = 0; i < n; i++)
                model_entry_free(l[i]);
        CHECK(seen_both && seen_mine);
        free(l);
        gone();
}

static void writable(void) {
        fresh();
        char path[PATH_MAX * 2];
        unsetenv("SPARK_MODELS_DIR");
        snprintf(path, sizeof path, "%s/data/new", root);
        setenv("XDG_DATA_HOME", path, 1);
        _cleanup_free_ char *store = NULL;
        CHECK_INT(model_store_writable(MODEL_STORE_USER, &store), 0);
        strcat(path, "/spark/models");
        CHECK_STR(store, path);
        struct stat st;
        CHECK_INT(stat(store, &st), 0);
        CHECK(S_ISDIR(st.st_mode));
        CHECK_INT(st.st_mode & 07777 & ~0755u, 0);

        setenv("XDG_DATA_HOME", "relative", 1);
        setenv("HOME", root, 1);
        _cleanup_free_ char *other = NULL;
        CHECK_INT(model_store_writable(MODEL_STORE_USER, &other), 0);
        snprintf(path, sizeof path, "%s/.local/share/spark/models", root);
        CHECK_STR(other, path);
        gone();
}

TEST_MAIN(
        { "names that may become paths", names },
        { "finds a model and opens its parts", finds_and_opens },
        { "a model that is not there", missing },
        { "broken descriptions are refused by name", broken },
        { "parts have a cap", too_many_parts },
        { "nothing in a store leads out of it", no_way_out },
        { "the first store wins, broken ones are not listed", order },
        { "the folder that an install writes to", writable },
)
