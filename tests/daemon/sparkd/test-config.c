/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sparkd.conf: what is understood, and that nonsense changes nothing. */
#include "daemon/sparkd/config.h"
#include "tests/test.h"

static void test_defaults(void) {
        _cleanup_(config_done) Config c;
        CHECK_INT(config_init(&c), 0);
        CHECK_STR(c.model, SPARK_DEFAULT_MODEL);
        CHECK_STR(c.languages[0], "en");
        CHECK(!c.languages[1]);
        CHECK(c.watchdog_usec > c.ping_usec);
}

static void test_values(void) {
        _cleanup_(config_done) Config c;
        CHECK_INT(config_init(&c), 0);
        CHECK_INT(config_set(&c, "Model", "Name", "gemma-3-270m"), 0);
        CHECK_STR(c.model, "gemma-3-270m");
        CHECK_INT(config_set(&c, "Model", "Languages", "en  fr\tde-AT"), 0);
        CHECK_STR(c.languages[2], "de-AT");
        CHECK(!c.languages[3]);
        CHECK_INT(config_set(&c, "Worker", "CacheMax", "512M"), 0);
        CHECK_INT(c.kv_bytes, 512 << 20);
        CHECK_INT(config_set(&c, "Worker", "WatchdogSec", "1500ms"), 0);
        CHECK_INT(c.watchdog_usec, 1500000);
        CHECK_INT(config_set(&c, "Worker", "IdleSec", "0"), 0);
        CHECK_INT(c.idle_usec, 0);
}

static void test_nonsense(void) {
        static const struct { const char *section, *key, *value; } bad[] = {
                { "Model", "Nmae", "x" }, { "Worker", "Name", "x" }, { "", "Threads", "1" },
                { "Worker", "Threads", "" }, { "Worker", "Threads", "-1" }, { "Worker", "Threads", "65" },
                { "Worker", "Threads", "4 " "2" }, { "Worker", "Threads", "99999999999999999999999" },
                { "Worker", "CacheMax", "18446744073709551615G" }, { "Worker", "PingSec", "0" }, { "Worker", "Parallel", "17" },
        };
        _cleanup_(config_done) Config c, before;
        CHECK_INT(config_init(&c), 0);
        CHECK_INT(config_init(&before), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                CHECK(config_set(&c, bad[i].section, bad[i].key, bad[i].value) < 0);
        CHECK_INT(c.threads, before.threads);
        CHECK_INT(c.kv_bytes, before.kv_bytes);
}

static void test_file(void) {
        char path[] = "/tmp/spark-config-XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);
        static const char text[] = "# comment\n; another\n\n[Model]\nName = tiny \n[Worker]\nThreads=3\nnonsense\nThreads=x\n[Unknown]\nName=no\n";
        CHECK(fd >= 0);
        CHECK_INT(write(fd, text, sizeof text - 1), sizeof text - 1);
        _cleanup_(config_done) Config c;
        CHECK_INT(config_init(&c), 0);
        CHECK_INT(config_read_file(&c, path), 0);
        unlink(path);
        CHECK_STR(c.model, "tiny");
        CHECK_INT(c.threads, 3);
        CHECK_INT(config_read_file(&c, path), -ENOENT);
}

/* The installed file, with its comment signs taken away: every line is understood, and says the default. */
static void test_documented(void) {
        _cleanup_(config_done) Config c, defaults;
        char line[512], section[64] = "";
        size_t n = 0;
        FILE *f = fopen(TEST_SOURCE_ROOT "/daemon/sparkd/sparkd.conf", "re");
        CHECK(f);
        CHECK_INT(config_init(&c), 0);
        CHECK_INT(config_init(&defaults), 0);
        while (fgets(line, sizeof line, f)) {
                line[strcspn(line, "\n")] = '\0';
                if (sscanf(line, "[%63[^]]]", section) == 1 || line[0] != '#' || line[1] == ' ')
                        continue;
                char *equal = strchr(line, '=');
                CHECK(equal);
                *equal = '\0';
                CHECK_INT(config_set(&c, section, line + 1, equal + 1), 0);
                n++;
        }
        fclose(f);
        CHECK_INT(n, 15);
        CHECK_STR(c.model, defaults.model);
        CHECK_STR(c.kv_type, defaults.kv_type);
        CHECK_STR(c.kernels, defaults.kernels);
        CHECK_STR(c.pressure_file, defaults.pressure_file);
        CHECK_STR(c.languages[0], defaults.languages[0]);
        CHECK_INT(c.context, defaults.context);
        CHECK_INT(c.threads, defaults.threads);
        CHECK_INT(c.turns_running, defaults.turns_running);
        CHECK_INT(c.kv_bytes, defaults.kv_bytes);
        CHECK_INT(c.memory_bytes, defaults.memory_bytes);
        CHECK_INT(c.idle_usec, defaults.idle_usec);
        CHECK_INT(c.ping_usec, defaults.ping_usec);
        CHECK_INT(c.watchdog_usec, defaults.watchdog_usec);
        CHECK_INT(c.load_usec, defaults.load_usec);
}

TEST_MAIN({ "defaults", test_defaults }, { "values", test_values }, { "nonsense", test_nonsense }, { "file", test_file },
          { "as documented", test_documented })
