/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What permissions cost: one decision by itself, with the ledger's look-up, a process' identity, a row written; over the bus,
 * a call that is decided against one that is not; and the time from a revocation to the reply's end. Run by
 * tests/bench/decision-cost. Medians of rounds, smallest and largest behind. */

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "policy/ledger.h"
#include "tests/bus/client.h"
#include "tests/bus/permissions.h"

#define ROUNDS 9u

typedef struct Bench {
        Rules *rules;
        Ledger *ledger;
        Identity identity;
        TestClient client;
        int pidfd;
        char self[512];
} Bench;

static double now_us(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return (x > y) - (x < y);
}

static void report(const char *what, double *v, size_t n, double factor, const char *unit) {
        qsort(v, n, sizeof *v, compare);
        printf("%-72s %9.2f %s  (%.2f–%.2f)\n", what, v[n / 2] * factor, unit, v[0] * factor, v[n - 1] * factor);
}

static void one_decision(Bench *b) {
        Question q = { .identity = &b->identity, .capability = CAPABILITY_GENERATE, .tool = "", .agent = true };
        Ruling r;
        decide(b->rules, &q, &r);
        REQUIRE(r.decision == DECISION_ALLOW);
}

static void decision_and_answer(Bench *b) {
        Question q = { .identity = &b->identity, .capability = CAPABILITY_MICROPHONE, .tool = "", .agent = true };
        Ruling r;
        REQUIRE(ledger_get_answer(b->ledger, b->identity.app, q.capability, "", &q.answer, &q.answer_certainty) == 0);
        decide(b->rules, &q, &r);
        REQUIRE(r.decision == DECISION_ALLOW);
}

static void look_up(Bench *b) {
        Identity id;
        REQUIRE(identity_of_process("/proc", b->pidfd, getpid(), getuid(), true, &id) == 0);
}

static void add_use(Bench *b) {
        const LedgerUse u = { .time_us = 1, .app = b->identity.app, .tool = "", .outcome = "stop", .n_prompt = 100, .n_generated = 20 };
        REQUIRE(ledger_add_use(b->ledger, &u) == 0);
}

static void undecided_call(Bench *b) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        if (call_permissions(&b->client, "Problems", &error, &reply, "") < 0)
                printf("%s: %s\n", error.name, error.message);
        REQUIRE(reply);
        sd_bus_message_unref(reply);
}

static void decided_call(Bench *b) {
        sd_bus_message *reply = NULL;
        REQUIRE(call_permissions(&b->client, "Check", NULL, &reply, "sa{sv}", "generate", 0) >= 0);
        sd_bus_message_unref(reply);
}

static const struct { const char *what; void (*run)(Bench *b); size_t n; double factor; const char *unit; } benches[] = {
        { "decision, shipped rules", one_decision, 200000, 1000, "ns" },
        { "decision with the stored answer", decision_and_answer, 20000, 1, "µs" },
        { "identity of a process: pidfd, cgroup, sandbox, executable", look_up, 5000, 1, "µs" },
        { "a row of the ledger", add_use, 2000, 1, "µs" },
        { "call that is not decided, there and back", undecided_call, 1000, 1, "µs" },
        { "call with the caller's identity and a decision, there and back", decided_call, 1000, 1, "µs" },
};

static double revocation(Bench *b) {
        char path[PATH_SIZE];
        session_open(&b->client, 2000, path);
        uint64_t turn = session_respond(&b->client, path, "Tell me a very long story about a lighthouse.");
        client_first_text(&b->client, path, turn);
        double start = now_us();
        REQUIRE(call_permissions(&b->client, "Set", NULL, NULL, "sssa{sv}", b->self, "generate", "never", 0) >= 0);
        Reply *r = client_finish(&b->client, path, turn);
        double end = now_us();
        REQUIRE(strcmp(r->error, "org.spark.Assistant.Error.NotAllowed") == 0);
        REQUIRE(call_permissions(&b->client, "Reset", NULL, NULL, "ssa{sv}", "", "", 0) >= 0);
        return end - start;
}

int main(void) {
        static Bench b;
        const char *folder = getenv("SPARK_TEST_RULES");
        char path[512];
        double v[ROUNDS];
        ssize_t n = readlink("/proc/self/exe", b.self, sizeof b.self - 1);

        REQUIRE(folder && n > 0);
        REQUIRE(rules_load(&folder, 1, &b.rules) == 0);
        snprintf(path, sizeof path, "%s/bench.db", getenv("XDG_STATE_HOME"));
        REQUIRE(ledger_open(path, &b.ledger) == 0);
        b.identity = (Identity) { .uid = getuid(), .kind = IDENTITY_FLATPAK, .certainty = CERTAINTY_SANDBOXED, .app = "org.mozilla.firefox" };
        REQUIRE(ledger_set_answer(b.ledger, &(LedgerAnswer) { b.identity.app, CAPABILITY_MICROPHONE, "", CERTAINTY_UNIT, ANSWER_ALWAYS, 1 }) == 0);
        b.pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);
        REQUIRE(b.pidfd >= 0);
        client_init(&b.client);
        undecided_call(&b);             /* the bus waits a few seconds only for who has not said who it is */

        for (size_t i = 0; i < ELEMENTSOF(benches); i++) {
                for (size_t k = 0; k < ROUNDS; k++) {
                        double start = now_us();
                        for (size_t j = 0; j < benches[i].n; j++)
                                benches[i].run(&b);
                        v[k] = (now_us() - start) / (double) benches[i].n;
                }
                report(benches[i].what, v, ROUNDS, benches[i].factor, benches[i].unit);
        }
        for (size_t k = 0; k < ROUNDS; k++)
                v[k] = revocation(&b);
        report("from \"never\" to the end of the reply, default model", v, ROUNDS, 1e-3, "ms");
        client_done(&b.client);
        ledger_free(b.ledger);
        rules_free(b.rules);
        return 0;
}
