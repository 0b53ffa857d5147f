/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The worker with the default model: sense in what it says, turns that build on one another, two replies at once, a
 * cancel and a ping in the middle of things, and a file that is cut short under it. */

#include "tests/daemon/worker/harness.h"
#include "tests/test-model.h"

#define FRANCE "[{\"role\":\"user\",\"content\":\"What is the capital of France? Answer with one word.\"}"
#define SEA "[{\"role\":\"user\",\"content\":\"Write one sentence about the sea.\"}]"

static Harness h;
static Reply reply;

static void start(void) {
        TestModelFile file;
        harness_stop(&h);
        test_model_map("smollm2-135m-instruct", &file);
        munmap((void *) file.data, file.size);
        harness_start(&h);
        _cleanup_close_ int fd = open(file.path, O_RDONLY | O_CLOEXEC);
        harness_load(&h, fd, 2, 4096);
        harness_ready(&h);
}

static void test_turns(void) {
        start();
        CHECK_INT(h.n_ctx, 4096);
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .domain = 1, .max_tokens = 40 }, FRANCE "]");
        harness_reply(&h, 1, &reply);
        CHECK_INT(reply.reason, WIRE_FINISH_STOP);
        CHECK(strstr(reply.text, "Paris"));
        CHECK_INT(reply.n_cached, 0);
        uint32_t held = reply.n_prompt + reply.n_generated;

        static char second[HARNESS_TEXT_MAX + 512];
        CHECK(!strpbrk(reply.text, "\"\\\n"));
        snprintf(second, sizeof second, FRANCE ",{\"role\":\"assistant\",\"content\":\"%s\"},{\"role\":\"user\",\"content\":\"And of Italy?\"}]", reply.text);
        harness_respond(&h, &(Ask) { .session = 1, .request = 2, .domain = 1, .max_tokens = 40 }, second);
        harness_reply(&h, 2, &reply);
        CHECK(strstr(reply.text, "Rome"));
        CHECK(reply.n_cached + 2 >= held && reply.n_cached < reply.n_prompt);
}

/* What one says does not depend on who else is in the step. */
static void test_together(void) {
        static Reply alone[2], both[2];
        WireMessage m;
        start();
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 40, .temperature = 0.8f, .seed = 7 }, SEA);
        harness_reply(&h, 1, &alone[0]);
        harness_respond(&h, &(Ask) { .session = 2, .request = 2, .max_tokens = 40 }, FRANCE "]");
        harness_reply(&h, 2, &alone[1]);

        harness_freeze(&h);
        harness_respond(&h, &(Ask) { .session = 3, .request = 3, .max_tokens = 40, .temperature = 0.8f, .seed = 7 }, SEA);
        harness_respond(&h, &(Ask) { .session = 4, .request = 4, .max_tokens = 40 }, FRANCE "]");
        harness_thaw(&h);
        for (unsigned left = 2; left > 0;) {
                CHECK_INT(harness_receive(&h, &m), 1);
                CHECK(m.fields[0].t == 3 || m.fields[0].t == 4);
                Reply *r = &both[m.fields[0].t - 3];
                if (m.type == WIRE_FINISHED)
                        left--;
                else {
                        CHECK(m.type == WIRE_DELTA && r->size + m.fields[1].s.size < sizeof r->text);
                        memcpy(r->text + r->size, m.fields[1].s.data, m.fields[1].s.size);
                        r->size += m.fields[1].s.size;
                }
        }
        CHECK(alone[0].size > 10);
        CHECK_STR(both[0].text, alone[0].text);
        CHECK_STR(both[1].text, alone[1].text);
}

static void test_cancel(void) {
        WireMessage m;
        start();
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 2000 },
                        "[{\"role\":\"user\",\"content\":\"Write a very long story about a lighthouse, in many chapters.\"}]");
        harness_flush(&h);
        harness_expect(&h, WIRE_DELTA, &m);
        harness_send(&h, WIRE_CANCEL, UINT64_C(1));
        harness_reply(&h, 1, &reply);
        CHECK_INT(reply.reason, WIRE_FINISH_CANCELLED);
        CHECK(reply.n_generated > 0 && reply.n_generated < 2000);
}

/* Pings that come while a long prompt is read are answered before its first word. */
static void test_ping(void) {
        WireMessage m;
        start();
        size_t n = 2500;
        _cleanup_free_ char *prompt = malloc(n * 5 + 100);
        char *p = stpcpy(prompt, "[{\"role\":\"user\",\"content\":\"");
        for (size_t i = 0; i < n; i++)
                p = stpcpy(p, i % 3 ? " sea" : " the");
        strcpy(p, "\"}]");
        harness_freeze(&h);
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 5 }, prompt);
        harness_thaw(&h);
        for (uint64_t i = 0; i < 3; i++) {
                harness_send(&h, WIRE_PING, i);
                harness_flush(&h);
                harness_expect(&h, WIRE_PONG, &m);
                CHECK_INT(m.fields[0].t, i);
        }
        harness_reply(&h, 1, &reply);
        CHECK(reply.n_prompt > 2000);
}

static void cut_short(bool while_loading) {
        TestModelFile file;
        char path[] = "/tmp/spark-test-XXXXXX";
        test_model_map("smollm2-135m-instruct", &file);
        harness_stop(&h);
        _cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
        CHECK(fd >= 0);
        unlink(path);
        CHECK_INT(write(fd, file.data, file.size), file.size);
        munmap((void *) file.data, file.size);

        harness_start(&h);
        harness_load(&h, fd, 2, 0);
        if (!while_loading) {
                harness_ready(&h);
                CHECK_INT(ftruncate(fd, 4096), 0);
                harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 5 }, SEA);
                (void) wire_flush(h.conn);
        } else
                CHECK_INT(ftruncate(fd, 4096), 0);

        /* It may have held all that it needed; else it refuses, or dies of it. */
        WireMessage m;
        while (harness_receive(&h, &m) == 1) {
                if (m.type == WIRE_FINISHED || m.type == WIRE_READY)
                        return;
                CHECK(m.type == WIRE_FAILED || m.type == WIRE_DELTA);
        }
        int end = harness_end(&h);
        CHECK(end == WORKER_EXIT_LOAD || end == -SIGBUS);
}

static void test_cut_short(void) {
        cut_short(true);
        cut_short(false);
}

static void test_gone(void) {
        harness_stop(&h);
}

int main(void) {
        static const TestCase cases[] = {
                { "a second turn builds on the first", test_turns },
                { "two replies at once are each as if alone", test_together },
                { "a reply is cancelled half way", test_cancel },
                { "pings are answered while a prompt is read", test_ping },
                { "a file cut short costs the worker and nothing else", test_cut_short },
                { "nothing is left", test_gone },
        };
        h.reaped = true;
        h.process.pidfd = -1;
        return test_main(cases, ELEMENTSOF(cases));
}
