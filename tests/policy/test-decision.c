/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Identity, rules, stored answer and circumstances in; decision and reason out: a table to be read. The rules are the
 * shipped default with an administrator's file after it, as on a real machine. */

#include <sys/stat.h>

#include "policy/decision.h"
#include "tests/test.h"

/* What the administrator of this machine wrote. */
static const char *const local =
        "[App org.work.*]\n"
        "Allow=generate microphone tool:calendar\n"
        "Deny=remote\n"
        "[App org.bank.App]\n"
        "Certainty=sandboxed\n"
        "Allow=generate memory\n"
        "[App org.game.Noisy]\n"
        "Deny=generate speak tool:*\n"
        "[User 1001]\n"
        "Deny=camera\n";

typedef enum Who { BROWSER, WORK, BANK_SURE, BANK_CLAIMED, GAME, SCRIPT, SERVICE, NOBODY, CHILD } Who;

static const Identity who[] = {
        [BROWSER]      = { 1000, IDENTITY_FLATPAK, CERTAINTY_SANDBOXED, "org.mozilla.firefox", "" },
        [WORK]         = { 1000, IDENTITY_SCOPE, CERTAINTY_UNIT, "org.work.Editor", "" },
        [BANK_SURE]    = { 1000, IDENTITY_FLATPAK, CERTAINTY_SANDBOXED, "org.bank.App", "" },
        [BANK_CLAIMED] = { 1000, IDENTITY_SCOPE, CERTAINTY_UNIT, "org.bank.App", "" },
        [GAME]         = { 1000, IDENTITY_SNAP, CERTAINTY_UNIT, "org.game.Noisy", "" },
        [SCRIPT]       = { 1000, IDENTITY_EXECUTABLE, CERTAINTY_PATH, "/usr/bin/python3", "" },
        [SERVICE]      = { 0, IDENTITY_SYSTEM_SERVICE, CERTAINTY_UNIT, "cups.service", "" },
        [NOBODY]       = { 1000, IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?", "" },
        [CHILD]        = { 1001, IDENTITY_FLATPAK, CERTAINTY_SANDBOXED, "org.mozilla.firefox", "" },
};

#define NO ANSWER_NONE, CERTAINTY_UNKNOWN
#define ALWAYS ANSWER_ALWAYS, CERTAINTY_UNIT
#define ALWAYS_SURE ANSWER_ALWAYS, CERTAINTY_SANDBOXED
#define NEVER ANSWER_NEVER, CERTAINTY_UNIT
#define ONCE ANSWER_ONCE, CERTAINTY_UNIT
#define SESSION ANSWER_SESSION, CERTAINTY_UNIT
/* circumstances */
#define A 1u    /* an agent is there */
#define R 2u    /* was refused lately */
#define T 4u    /* text from elsewhere in the context */
#define S 8u    /* the tool has side effects */

#define ALLOW DECISION_ALLOW
#define ASK DECISION_ASK
#define DENY DECISION_DENY

static const struct {
        Who who;
        const char *capability;
        Answer answer;
        Certainty answered_as;
        unsigned now;
        Decision decision;
        Reason reason;
} rows[] = {
#include "tests/policy/decision-rows.h"
};

static Rules *load(void) {
        char folder[] = "/tmp/spark-rules-XXXXXX", path[64];
        CHECK(mkdtemp(folder));
        snprintf(path, sizeof path, "%s/90-local.conf", folder);
        FILE *f = fopen(path, "we");
        CHECK(f && fputs(local, f) >= 0 && fclose(f) == 0);
        Rules *r = NULL;
        CHECK_INT(rules_load((const char *const[]) { folder, DEFAULT_RULES }, 2, &r), 0);
        unlink(path);
        rmdir(folder);
        for (size_t i = 0; i < rules_n_problems(r); i++)
                printf("# %s\n", rules_problem(r, i));
        CHECK_INT(rules_n_problems(r), 0);
        return r;
}

static void test_table(void) {
        _cleanup_(rules_freep) Rules *rules = load();
        size_t bad = 0;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Question q = { .identity = &who[rows[i].who], .answer = rows[i].answer, .answer_certainty = rows[i].answered_as,
                               .agent = rows[i].now & A, .refused_lately = rows[i].now & R, .tainted = rows[i].now & T,
                               .side_effects = rows[i].now & S };
                CHECK_INT(capability_parse(rows[i].capability, &q.capability, &q.tool), 0);
                Ruling r;
                decide(rules, &q, &r);
                if (r.decision != rows[i].decision || r.reason != rows[i].reason) {
                        char text[512];
                        ruling_explain(&r, text, sizeof text);
                        printf("# case %zu, %s %s: %s (reason %d)\n", i + 1, q.identity->app, rows[i].capability, text, r.reason);
                        bad++;
                }
        }
        printf("# %zu cases\n", ELEMENTSOF(rows));
        CHECK_INT(bad, 0);
        CHECK(ELEMENTSOF(rows) >= 200);
}

static void test_explain(void) {
        _cleanup_(rules_freep) Rules *rules = load();
        Ruling r;
        char text[512];
        decide(rules, &(Question) { .identity = &who[GAME], .capability = CAPABILITY_SPEAK, .tool = "", .agent = true }, &r);
        ruling_explain(&r, text, sizeof text);
        CHECK(strncmp(text, "deny: /", 7) == 0);
        CHECK(strstr(text, "/90-local.conf:8 says deny"));
        r = (Ruling) { .decision = DECISION_DENY, .reason = REASON_RULE_DENIES, .verdict = VERDICT_DENY, .place = { "/etc/spark/policy.d/x.conf", 0 } };
        ruling_explain(&r, text, sizeof text);
        CHECK_STR(text, "deny: /etc/spark/policy.d/x.conf cannot be read, which means deny");
        r.place.file = "built-in";
        ruling_explain(&r, text, sizeof text);
        CHECK_STR(text, "deny: no rule speaks of it, which means deny");
}

TEST_MAIN(
        { "identity, rules, answer, circumstances: decision and reason", test_table },
        { "the line that decided is named", test_explain },
)
