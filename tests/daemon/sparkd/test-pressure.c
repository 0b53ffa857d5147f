/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watch on memory pressure: what a file of PSI says; a FIFO; a plain file that is read; the kernel's own, as far as
 * it can be had. */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "daemon/sparkd/limits.h"
#include "daemon/sparkd/pressure.h"
#include "tests/test.h"

typedef struct Watch {
        sd_event *event;
        unsigned n_told, n_asked;
        bool wanted;
} Watch;

static void short_of_memory(void *userdata) {
        Watch *w = userdata;
        w->n_told++;
}

static bool wanted(void *userdata) {
        Watch *w = userdata;
        w->n_asked++;
        return w->wanted;
}

static const PressureEvents events = { .short_of_memory = short_of_memory, .wanted = wanted };

/* Until a counter is at n, for a minute at most. */
static void run(Watch *w, const unsigned *counter, unsigned n) {
        for (int i = 0; i < 60 && *counter < n; i++)
                CHECK(sd_event_run(w->event, 1000000) >= 0);
        CHECK_INT(*counter, n);
}

static void write_file(const char *path, const char *text) {
        FILE *f = fopen(path, "we");
        CHECK(f);
        CHECK(fputs(text, f) >= 0);
        CHECK(fclose(f) == 0);
}

static void test_parse(void) {
        uint64_t usec = 0;
        CHECK_INT(pressure_parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=123456\nfull avg10=0.00 total=9\n", &usec), 0);
        CHECK_INT(usec, 123456);
        static const char *const bad[] = { "", "some", "some avg10=0.00\n", "full avg10=0.00 total=9\n", "some total=x\n" };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                CHECK(pressure_parse(bad[i], &usec) < 0);
}

static void test_fifo(void) {
        char path[] = "/tmp/spark-test-pressure-XXXXXX";
        Watch w = {};
        Pressure *p = NULL;
        CHECK(mkdtemp(path));
        char fifo[64];
        snprintf(fifo, sizeof fifo, "%s/fifo", path);
        CHECK_INT(mkfifo(fifo, 0600), 0);
        CHECK(sd_event_new(&w.event) >= 0);
        CHECK_INT(pressure_new(w.event, fifo, &events, &w, &p), 0);
        pressure_wake(p);
        for (unsigned i = 1; i <= 3; i++) {
                _cleanup_close_ int fd = open(fifo, O_WRONLY | O_CLOEXEC);
                CHECK(write(fd, "xyz", 3) == 3);
                run(&w, &w.n_told, i);
        }
        pressure_free(p);
        sd_event_unref(w.event);
        unlink(fifo);
        rmdir(path);
}

static void test_read(void) {
        char path[] = "/tmp/spark-test-pressure-XXXXXX", text[128];
        Watch w = { .wanted = true };
        Pressure *p = NULL;
        _cleanup_close_ int fd = mkstemp(path);
        CHECK(fd >= 0);
        write_file(path, "some avg10=0.00 avg60=0.00 avg300=0.00 total=5000000\n");
        CHECK(sd_event_new(&w.event) >= 0);
        CHECK_INT(pressure_new(w.event, path, &events, &w, &p), 0);
        pressure_wake(p);
        /* Whatever has been before is none of ours. */
        run(&w, &w.n_asked, 1);
        CHECK_INT(w.n_told, 0);
        snprintf(text, sizeof text, "some avg10=0.00 avg60=0.00 avg300=0.00 total=%llu\n", 5000000 + PRESSURE_STALL_USEC);
        write_file(path, text);
        run(&w, &w.n_told, 1);
        /* Nothing to give back: nothing is read, until there is again. */
        w.wanted = false;
        run(&w, &w.n_asked, 3);
        CHECK_INT(sd_event_run(w.event, PRESSURE_WINDOW_USEC + PRESSURE_WINDOW_USEC / 4), 0);
        pressure_wake(p);
        run(&w, &w.n_asked, 4);
        CHECK_INT(w.n_told, 1);
        pressure_free(p);
        sd_event_unref(w.event);
        unlink(path);
}

static void test_missing(void) {
        Watch w = {};
        Pressure *p = NULL;
        CHECK(sd_event_new(&w.event) >= 0);
        CHECK_INT(pressure_new(w.event, "/nonexistent/pressure", &events, &w, &p), -ENOENT);
        CHECK_INT(pressure_new(w.event, "/dev/null", &events, &w, &p), -ENODEV);
        CHECK(!p);
        pressure_wake(NULL);
        CHECK(!pressure_free(NULL));
        sd_event_unref(w.event);
}

static void test_system(void) {
        Watch w = {};
        Pressure *p = NULL;
        CHECK(sd_event_new(&w.event) >= 0);
        int r = pressure_new(w.event, "", &events, &w, &p);
        if (r >= 0) {
                pressure_wake(p);
                CHECK(sd_event_run(w.event, 0) >= 0);
        }
        pressure_free(p);
        sd_event_unref(w.event);
        if (r < 0)
                SKIP("this kernel does not tell");
}

TEST_MAIN({ "text", test_parse }, { "a FIFO", test_fifo }, { "a file that is read", test_read }, { "no such file", test_missing },
          { "the system's", test_system })
