/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Models over the bus: handed over with and without a digest, refused and gone, chosen, answered with, taken out of memory
 * and removed. The model of random weights is copied under other names. */

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/bus/errors.h"
#include "tests/test.h"

static TestClient client;
static char sha256[65];

#define call(...) call_interface(&client, BUS_NAME ".Models", __VA_ARGS__)

static const char *in_store(const char *name) {
        static char path[512];
        snprintf(path, sizeof path, "%s/%s", getenv("SPARK_MODELS_DIR"), name);
        return path;
}

static bool exists(const char *name) {
        struct stat st;
        return stat(in_store(name), &st) == 0;
}

static size_t n_in_store(void) {
        char command[600];
        unsigned n = 0;
        snprintf(command, sizeof command, "ls -A '%s' | wc -l", getenv("SPARK_MODELS_DIR"));
        FILE *f = popen(command, "r");
        CHECK(f && fscanf(f, "%u", &n) == 1 && pclose(f) == 0);
        return n;
}

static int tiny(void) {
        int fd = open(in_store("tiny.gguf"), O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        return fd;
}

/* The value of a boolean of List(). */
static bool is(const char *name, const char *what) {
        sd_bus_message *reply = NULL;
        bool found = false;
        CHECK(call("List", NULL, &reply, "a{sv}", 0) >= 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', "a{sv}") > 0);
        while (sd_bus_message_enter_container(reply, 'a', "{sv}") > 0) {
                const char *key, *contents, *s, *its_name = "";
                int value = 0, b;
                while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
                        CHECK(sd_bus_message_read(reply, "s", &key) > 0);
                        CHECK(sd_bus_message_peek_type(reply, NULL, &contents) > 0);
                        if (strcmp(contents, "b") == 0) {
                                CHECK(sd_bus_message_read(reply, "v", "b", &b) > 0);
                                if (strcmp(key, what) == 0)
                                        value = b;
                        } else if (strcmp(contents, "s") == 0) {
                                CHECK(sd_bus_message_read(reply, "v", "s", &s) > 0);
                                if (strcmp(key, "name") == 0)
                                        its_name = s;
                        } else
                                CHECK(sd_bus_message_skip(reply, "v") > 0);
                        CHECK(sd_bus_message_exit_container(reply) > 0);
                }
                CHECK(sd_bus_message_exit_container(reply) > 0);
                if (strcmp(its_name, name) == 0)
                        found = strcmp(what, "name") == 0 || value;
        }
        sd_bus_message_unref(reply);
        return found;
}

static void test_import(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        const char *digest;
        client_init(&client);
        _cleanup_close_ int fd = tiny();
        CHECK(call("Import", &error, &reply, "hsa{sv}", fd, "second", 1, "title", "s", "The \"second\" one") >= 0);
        CHECK(sd_bus_message_read(reply, "s", &digest) > 0);
        CHECK_INT(strlen(digest), 64);
        snprintf(sha256, sizeof sha256, "%s", digest);
        sd_bus_message_unref(reply);
        CHECK(is("second", "name") && is("second", "removable") && !is("second", "default"));
        CHECK(is("tiny", "default"));
        char command[700];
        snprintf(command, sizeof command, "echo '%s  %s' | sha256sum --quiet -c -", sha256, in_store("second.gguf"));
        CHECK_INT(system(command), 0);
        size_t n = n_in_store();

        /* The right digest is taken, the wrong one leaves nothing behind. */
        CHECK(call("Import", &error, NULL, "hsa{sv}", fd, "third", 1, "sha256", "s", sha256) >= 0);
        CHECK_INT(n_in_store(), n + 2);
        sha256[0] = sha256[0] == '0' ? '1' : '0';
        check_error(call("Import", &error, NULL, "hsa{sv}", fd, "fourth", 1, "sha256", "s", sha256), &error, ERROR("InvalidInput"), sha256);
        CHECK_INT(n_in_store(), n + 2);
}

static void test_refused(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_close_ int fd = tiny(), null = open("/dev/zero", O_RDONLY | O_CLOEXEC), folder = open("/tmp", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int written = open(in_store("third.gguf"), O_WRONLY | O_CLOEXEC);
        static const char *const names[] = { "", "..", "../x", ".hidden", "UPPER", "a/b" };
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                check_error(call("Import", &error, NULL, "hsa{sv}", fd, names[i], 0), &error, ERROR("InvalidInput"), "name of a model");
                check_error(call("Remove", &error, NULL, "sa{sv}", names[i], 0), &error, ERROR("InvalidInput"), "name of a model");
        }
        check_error(call("Import", &error, NULL, "hsa{sv}", null, "zero", 0), &error, ERROR("InvalidInput"), "regular");
        check_error(call("Import", &error, NULL, "hsa{sv}", folder, "zero", 0), &error, ERROR("InvalidInput"), "regular");
        check_error(call("Import", &error, NULL, "hsa{sv}", written, "zero", 0), &error, ERROR("InvalidInput"), "reading");
        check_error(call("Remove", &error, NULL, "sa{sv}", "nothing", 0), &error, ERROR("Unavailable"), "model-missing");
        check_error(call("Remove", &error, NULL, "sa{sv}", "tiny", 0), &error, ERROR("Busy"), "answers");
        check_error(call("SetDefault", &error, NULL, "sa{sv}", "nothing", 0), &error, ERROR("Unavailable"), "model-missing");
        check_error(call("Load", &error, NULL, "sa{sv}", "second", 0), &error, ERROR("InvalidInput"), "SetDefault");
}

static void answered_by(const char *wanted) {
        sd_bus_message *reply = NULL;
        const char *key, *model = "";
        CHECK(call_root(&client, "Ask", NULL, &reply, "sa{sv}", "Hello", 1, "max-tokens", "u", 4) >= 0);
        CHECK(sd_bus_message_skip(reply, "s") > 0);
        CHECK(sd_bus_message_enter_container(reply, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(reply, 'e', "sv") > 0) {
                CHECK(sd_bus_message_read(reply, "s", &key) > 0);
                if (strcmp(key, "model") == 0)
                        CHECK(sd_bus_message_read(reply, "v", "s", &model) > 0);
                else
                        CHECK(sd_bus_message_skip(reply, "v") > 0);
                CHECK(sd_bus_message_exit_container(reply) > 0);
        }
        CHECK_STR(model, wanted);
        sd_bus_message_unref(reply);
}

static void test_default(void) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        answered_by("tiny");
        CHECK(is("tiny", "loaded"));
        CHECK(call("SetDefault", &error, NULL, "sa{sv}", "second", 0) >= 0);
        CHECK(is("second", "default") && !is("tiny", "loaded"));
        answered_by("second");
        CHECK(call("Unload", &error, NULL, "a{sv}", 0) >= 0);
        CHECK(!is("second", "loaded"));
        CHECK(call("Load", &error, NULL, "sa{sv}", "", 0) >= 0);
        wait_for_state(&client, "ready");
        CHECK(is("second", "loaded"));
        check_error(call("Remove", &error, NULL, "sa{sv}", "second", 0), &error, ERROR("Busy"), "answers");
        CHECK(call("SetDefault", &error, NULL, "sa{sv}", "", 0) >= 0);
        answered_by("tiny");
        CHECK(call("Remove", &error, NULL, "sa{sv}", "second", 0) >= 0);
        CHECK(!exists("second.gguf") && !exists("second.json") && !is("second", "name"));
}

/* A reply under way is not cut off by another choice. */
static void test_default_while_it_speaks(void) {
        char path[PATH_SIZE];
        session_open(&client, 200, path);
        uint64_t turn = session_respond(&client, path, "Go on.");
        CHECK(call("SetDefault", NULL, NULL, "sa{sv}", "third", 0) >= 0);
        CHECK(strcmp(client_finish(&client, path, turn)->reason, "error") != 0);
        answered_by("third");
        CHECK(call("SetDefault", NULL, NULL, "sa{sv}", "", 0) >= 0);
}

TEST_MAIN({ "import", test_import }, { "what is refused", test_refused }, { "the default", test_default },
          { "another default while it speaks", test_default_while_it_speaks })
