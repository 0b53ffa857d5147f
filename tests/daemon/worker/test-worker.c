/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A real worker with a tiny model of random weights: every message of the protocol, every way to end. */

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/daemon/worker/harness.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/test.h"

#define HELLO "[{\"role\":\"user\",\"content\":\"hello there\"}]"

static Harness h;
static Reply reply;

static void start_tiny(uint32_t n_threads) {
        harness_stop(&h);
        harness_start(&h);
        _cleanup_close_ int fd = tiny_model_fd(NULL);
        harness_load(&h, fd, n_threads, 0);
        harness_ready(&h);
}

/* A transcript whose one message has n times the letter. */
static char *long_transcript(size_t n) {
        char *s = malloc(n + 100), *p = stpcpy(s, "[{\"role\":\"user\",\"content\":\"");
        memset(p, 'x', n);
        strcpy(p + n, "\"}]");
        return s;
}

static void test_ready(void) {
        start_tiny(2);
        CHECK_STR(h.model, "llama");
        CHECK_INT(h.n_ctx, 512);
        CHECK_INT(h.n_threads, 2);
        CHECK(strlen(h.kernels) > 0);
}

static void test_turns(void) {
        start_tiny(2);
        harness_respond(&h, &(Ask) { .session = 1, .request = 10, .domain = 1, .max_tokens = 24, .seed = 5 }, HELLO);
        harness_reply(&h, 10, &reply);
        CHECK(reply.reason == WIRE_FINISH_LENGTH || reply.reason == WIRE_FINISH_STOP);
        CHECK(reply.n_prompt > 10 && reply.n_generated > 0 && reply.n_generated <= 24);
        CHECK_INT(reply.n_cached, 0);
        CHECK_INT(reply.seed, 5);
        CHECK(reply.size > 0 && reply.n_deltas <= reply.n_generated + 1);
        uint32_t n_first = reply.n_prompt;

        /* A turn may have less than the model has. */
        harness_respond(&h, &(Ask) { .session = 9, .request = 8, .domain = 9, .n_ctx = n_first + 3 }, HELLO);
        harness_reply(&h, 8, &reply);
        CHECK(reply.reason == WIRE_FINISH_LENGTH || reply.reason == WIRE_FINISH_STOP);
        CHECK(reply.n_generated <= 3);
        harness_respond(&h, &(Ask) { .session = 9, .request = 9, .domain = 9, .n_ctx = n_first - 1 }, HELLO);
        harness_reply(&h, 9, &reply);
        CHECK_INT(reply.reason, WIRE_FINISH_CONTEXT_FULL);
        char numbers[32];
        snprintf(numbers, sizeof numbers, "%u %u", n_first, n_first - 1);
        CHECK_STR(reply.why, numbers);

        /* The same again, and more: what was read is not read again. */
        harness_respond(&h, &(Ask) { .session = 1, .request = 11, .domain = 1, .max_tokens = 4 },
                        "[{\"role\":\"user\",\"content\":\"hello there\"},{\"role\":\"assistant\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"and now?\"}]");
        harness_reply(&h, 11, &reply);
        CHECK(reply.n_prompt > n_first);
        CHECK(reply.n_cached >= n_first - 1);

        /* Prewarm says nothing, and makes the turn after it short. */
        harness_respond(&h, &(Ask) { .session = 2, .request = 12, .domain = 2, .flags = WIRE_RESPOND_PREWARM }, HELLO);
        harness_reply(&h, 12, &reply);
        CHECK_INT(reply.n_generated, 0);
        CHECK_INT(reply.size, 0);
        CHECK_INT(reply.n_cached, 0);            /* another domain shares nothing */
        harness_respond(&h, &(Ask) { .session = 2, .request = 13, .domain = 2, .max_tokens = 2 }, HELLO);
        harness_reply(&h, 13, &reply);
        CHECK(reply.n_cached >= n_first - 1);
}

static void test_fork_forget(void) {
        start_tiny(1);
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 4 }, HELLO);
        harness_reply(&h, 1, &reply);
        uint32_t n_first = reply.n_prompt;
        harness_send(&h, WIRE_FORK, UINT64_C(1), UINT64_C(2));
        harness_send(&h, WIRE_FORK, UINT64_C(77), UINT64_C(78));       /* unknown: nothing happens */
        harness_respond(&h, &(Ask) { .session = 2, .request = 2, .max_tokens = 4 }, HELLO);
        harness_reply(&h, 2, &reply);
        CHECK(reply.n_cached >= n_first - 1);

        /* Domain 0 shares with nobody: once forgotten, a session starts from nothing. */
        harness_send(&h, WIRE_FORGET, UINT64_C(1));
        harness_send(&h, WIRE_FORGET, UINT64_C(77));
        harness_respond(&h, &(Ask) { .session = 1, .request = 3, .max_tokens = 4 }, HELLO);
        harness_reply(&h, 3, &reply);
        CHECK_INT(reply.n_cached, 0);

        /* Forgotten while it runs. */
        harness_freeze(&h);
        _cleanup_free_ char *prompt = long_transcript(400);
        harness_respond(&h, &(Ask) { .session = 5, .request = 5, .max_tokens = 50 }, prompt);
        harness_send(&h, WIRE_FORGET, UINT64_C(5));
        harness_thaw(&h);
        harness_reply(&h, 5, &reply);
        CHECK_INT(reply.reason, WIRE_FINISH_CANCELLED);
        harness_respond(&h, &(Ask) { .session = 5, .request = 6, .max_tokens = 2 }, HELLO);
        harness_reply(&h, 6, &reply);
        CHECK(reply.reason == WIRE_FINISH_LENGTH || reply.reason == WIRE_FINISH_STOP);
}

static void test_cancel_ping(void) {
        WireMessage m;
        start_tiny(2);
        _cleanup_free_ char *prompt = long_transcript(400);
        harness_freeze(&h);
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 100 }, prompt);
        harness_send(&h, WIRE_PING, UINT64_C(31));
        harness_send(&h, WIRE_CANCEL, UINT64_C(1));
        harness_send(&h, WIRE_CANCEL, UINT64_C(1));
        harness_send(&h, WIRE_CANCEL, UINT64_C(99));
        harness_thaw(&h);
        harness_expect(&h, WIRE_PONG, &m);       /* before the prompt was read */
        CHECK_INT(m.fields[0].t, 31);
        harness_reply(&h, 1, &reply);
        CHECK_INT(reply.reason, WIRE_FINISH_CANCELLED);
        harness_send(&h, WIRE_CANCEL, UINT64_C(1));
        harness_respond(&h, &(Ask) { .session = 1, .request = 2, .max_tokens = 3 }, HELLO);
        harness_reply(&h, 2, &reply);
        CHECK(reply.reason == WIRE_FINISH_LENGTH || reply.reason == WIRE_FINISH_STOP);
}

static void test_count(void) {
        static const struct { const char *text; size_t size; } texts[] = { { "", 0 }, { "hello", 5 }, { "<|im_start|>", 12 }, { "a\0b", 3 }, { "\xff\xfe", 2 } };
        WireMessage m;
        start_tiny(1);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                harness_send(&h, WIRE_COUNT, (uint64_t) i, texts[i].text, texts[i].size);
                harness_flush(&h);
                harness_expect(&h, WIRE_COUNTED, &m);
                CHECK_INT(m.fields[0].t, i);
                CHECK(m.fields[1].u <= texts[i].size && (m.fields[1].u > 0) == (texts[i].size > 0));
                if (i == 2)
                        CHECK(m.fields[1].u > 1);        /* text, not the control token */
        }
}

static void test_refused_turns(void) {
        start_tiny(1);
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 4 }, "[{\"role\":\"user\"}]");
        harness_reply(&h, 1, &reply);
        CHECK_INT(reply.reason, WIRE_FINISH_INVALID);
        CHECK(strstr(reply.why, "message 0: content"));

        _cleanup_free_ char *prompt = long_transcript(3000);
        harness_respond(&h, &(Ask) { .session = 1, .request = 2, .max_tokens = 4 }, prompt);
        harness_reply(&h, 2, &reply);
        CHECK_INT(reply.reason, WIRE_FINISH_CONTEXT_FULL);
        uint32_t requested = 0, available = 0;
        CHECK_INT(sscanf(reply.why, "%u %u", &requested, &available), 2);
        CHECK_INT(requested, reply.n_prompt);
        CHECK(requested > 512);
        CHECK_INT(available, 512);

        harness_respond(&h, &(Ask) { .session = 1, .request = 3, .max_tokens = 4, .temperature = 1e9f }, HELLO);
        harness_reply(&h, 3, &reply);
        CHECK_INT(reply.reason, WIRE_FINISH_INVALID);
        CHECK(strstr(reply.why, "temperature"));

        harness_respond(&h, &(Ask) { .session = 1, .request = 4, .max_tokens = 4 }, HELLO);
        harness_reply(&h, 4, &reply);
        CHECK(reply.reason == WIRE_FINISH_LENGTH || reply.reason == WIRE_FINISH_STOP);
}

static void test_many_sessions(void) {
        start_tiny(1);
        for (uint64_t i = 1; i <= 600; i++) {
                harness_respond(&h, &(Ask) { .session = i, .request = i, .max_tokens = 1 }, HELLO);
                harness_reply(&h, i, &reply);
                CHECK(reply.reason == WIRE_FINISH_LENGTH || reply.reason == WIRE_FINISH_STOP);
        }
        WireMessage m;
        harness_send(&h, WIRE_INSPECT, UINT64_C(1));
        harness_flush(&h);
        harness_expect(&h, WIRE_FACTS, &m);
        json_t *facts = json_loadb(m.fields[1].s.data, m.fields[1].s.size, 0, NULL);
        json_int_t sessions = json_integer_value(json_object_get(json_object_get(facts, "engine"), "sessions"));
        json_decref(facts);
        CHECK_INT(sessions, 512);
}

static void test_facts(void) {
        WireMessage m;
        start_tiny(2);
        harness_send(&h, WIRE_INSPECT, UINT64_C(7));
        harness_flush(&h);
        harness_expect(&h, WIRE_FACTS, &m);
        CHECK_INT(m.fields[0].t, 7);
        json_t *facts = json_loadb(m.fields[1].s.data, m.fields[1].s.size, 0, NULL);
        CHECK(facts);
        const char *build, *digest, *role, *caps, *kernels;
        int mode, nnp, dumpable, threads;
        int r = json_unpack(facts, "{ss s{si ss ss} sb sb ss s{ss} s{si}}", "build", &build, "seccomp", "mode", &mode, "filter_digest", &digest,
                            "role", &role, "no_new_privs", &nnp, "dumpable", &dumpable, "capabilities", &caps, "model", "kernels", &kernels,
                            "engine", "threads", &threads);
        CHECK_INT(r, 0);
        CHECK_INT(mode, 2);
        CHECK_INT(strlen(digest), 16);
        CHECK(nnp && !dumpable);
        CHECK_STR(caps, "0000000000000000");
        CHECK_STR(kernels, h.kernels);
        CHECK_INT(threads, 2);
        json_decref(facts);
}

/* A model that cannot be used: FAILED and its exit, or a death; never READY, never anything else. */
static void load_bytes(const void *data, size_t size, bool must_fail) {
        harness_stop(&h);
        harness_start(&h);
        _cleanup_close_ int fd = memfd_create("model", MFD_CLOEXEC);
        CHECK_INT(write(fd, data, size), size);
        harness_load(&h, fd, 1, 0);
        WireMessage m;
        if (harness_receive(&h, &m) == 1) {
                if (m.type == WIRE_READY && !must_fail)
                        return;
                CHECK_STR(wire_type_name(m.type), "FAILED");
                CHECK(m.fields[0].u > 0 && m.fields[1].s.size > 0);
                CHECK_INT(harness_receive(&h, &m), 0);
                CHECK_INT(harness_end(&h), WORKER_EXIT_LOAD);
        } else
                CHECK(harness_end(&h) < 0);
}

static void test_hostile_models(void) {
        _cleanup_free_ void *model = NULL;
        size_t size;
        CHECK_INT(tiny_model(NULL, &model, &size), 0);
        load_bytes("x", 1, true);
        load_bytes("GGUF\3\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 24, true);
        for (size_t cut = 7; cut < size; cut = cut * 5 / 2)
                load_bytes(model, cut, true);
        load_bytes(model, size - 1, true);
        uint32_t random = 12345;
        for (int i = 0; i < 12; i++) {
                _cleanup_free_ char *copy = malloc(size);
                memcpy(copy, model, size);
                for (int k = 0; k < 4; k++) {
                        random = random * 1664525u + 1013904223u;
                        copy[random % MIN(size, (size_t) 16384)] ^= (char) (1u << (random >> 29));
                }
                load_bytes(copy, size, false);
        }

        harness_stop(&h);
        harness_start(&h);
        _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        WireMessage m;
        harness_load(&h, null, 1, 0);
        harness_expect(&h, WIRE_FAILED, &m);
        CHECK(strstr(m.fields[1].s.data, "not a file"));
        CHECK_INT(harness_end(&h), WORKER_EXIT_LOAD);
}

static void test_end_of_stream(void) {
        start_tiny(2);
        h.conn = wire_conn_free(h.conn);
        CHECK_INT(harness_end(&h), WORKER_EXIT_OK);

        /* before LOAD, and in the middle of a reply */
        harness_stop(&h);
        harness_start(&h);
        h.conn = wire_conn_free(h.conn);
        CHECK_INT(harness_end(&h), WORKER_EXIT_OK);
        start_tiny(2);
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 400 }, HELLO);
        harness_flush(&h);
        h.conn = wire_conn_free(h.conn);
        CHECK_INT(harness_end(&h), WORKER_EXIT_OK);
}

static void test_broken_daemon(void) {
        start_tiny(1);
        CHECK_INT(send(wire_conn_fd(h.conn), "garbage garbage", 15, MSG_NOSIGNAL), 15);
        CHECK_INT(harness_end(&h), WORKER_EXIT_PROTOCOL);

        start_tiny(1);
        _cleanup_close_ int fd = tiny_model_fd(NULL);
        harness_load(&h, fd, 1, 0);              /* once is enough */
        CHECK_INT(harness_end(&h), WORKER_EXIT_PROTOCOL);

        start_tiny(1);
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .flags = UINT64_C(1) << 40 }, HELLO);
        harness_flush(&h);
        CHECK_INT(harness_end(&h), WORKER_EXIT_PROTOCOL);

        harness_stop(&h);
        harness_start(&h);
        harness_send(&h, WIRE_PING, UINT64_C(1));        /* not before LOAD */
        harness_flush(&h);
        CHECK_INT(harness_end(&h), WORKER_EXIT_PROTOCOL);
}

/* sparkd that does not read: everything waits within the caps, and comes in order when it reads again. */
static void test_backpressure(void) {
        WireMessage m;
        const uint64_t n = 5000;                 /* some megabytes of facts: more than a socket holds, less than the backlog */
        start_tiny(1);
        for (uint64_t i = 0; i < n; i++)
                harness_send(&h, WIRE_INSPECT, i);
        harness_respond(&h, &(Ask) { .session = 1, .request = 1, .max_tokens = 30 }, HELLO);
        harness_flush(&h);                       /* it reads all the same */
        for (uint64_t i = 0; i < n; i++) {
                harness_expect(&h, WIRE_FACTS, &m);
                CHECK_INT(m.fields[0].t, i);
        }
        harness_reply(&h, 1, &reply);
        CHECK(reply.n_generated > 0);
}

static void test_usage(void) {
        const char *arguments[] = { "--nonsense", NULL };
        WorkerSpawnParams p = { .binary = WORKER_BINARY, .arguments = arguments };
        harness_stop(&h);
        h = (Harness) {};
        CHECK_INT(worker_spawn(&p, &h.process), 0);
        close(h.process.socket);
        CHECK_INT(harness_end(&h), WORKER_EXIT_USAGE);
        harness_stop(&h);
}

static void test_gone(void) {
        harness_stop(&h);
}

int main(void) {
        static const TestCase cases[] = {
                { "a model is loaded", test_ready },
                { "turns are answered, and what was read is kept", test_turns },
                { "sessions are forked and forgotten", test_fork_forget },
                { "a turn is cancelled, a ping answered before the prompt is read", test_cancel_ping },
                { "tokens are counted", test_count },
                { "a turn that cannot be is refused with its reason", test_refused_turns },
                { "the idle session used longest ago makes room", test_many_sessions },
                { "it tells its facts", test_facts },
                { "a hostile model costs the worker and nothing else", test_hostile_models },
                { "the end of the stream is its end", test_end_of_stream },
                { "a broken sparkd is its end", test_broken_daemon },
                { "it waits for a sparkd that does not read", test_backpressure },
                { "it does not run by hand", test_usage },
                { "nothing is left", test_gone },
        };
        h.reaped = true;
        h.process.pidfd = -1;
        return test_main(cases, ELEMENTSOF(cases));
}
