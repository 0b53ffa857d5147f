/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rule files: order, masking, override, mistakes. Each case writes its folders anew. */

#include <sys/stat.h>

#include "policy/rules.h"
#include "tests/test.h"

static char base[] = "/tmp/spark-rules-XXXXXX";

static void write_file(const char *folder, const char *name, const char *text) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", base, folder);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/%s/%s", base, folder, name);
        FILE *f = fopen(path, "we");
        CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void clean(void) {
        char command[64];
        snprintf(command, sizeof command, "rm -rf '%s'", base);
        CHECK_INT(system(command), 0);
        strcpy(base, "/tmp/spark-rules-XXXXXX");
        CHECK(mkdtemp(base));
}

static Rules *load(void) {
        static char folders[3][256];
        snprintf(folders[0], sizeof folders[0], "%s/etc", base);
        snprintf(folders[1], sizeof folders[1], "%s/run", base);
        snprintf(folders[2], sizeof folders[2], "%s/usr", base);
        Rules *r = NULL;
        CHECK_INT(rules_load((const char *const[]) { folders[0], folders[1], folders[2] }, 3, &r), 0);
        return r;
}

static const Identity firefox = { 1000, IDENTITY_FLATPAK, CERTAINTY_SANDBOXED, "org.mozilla.firefox", "" };
static const Identity claimed = { 1000, IDENTITY_SCOPE, CERTAINTY_UNIT, "org.mozilla.firefox", "" };
static const Identity unknown = { 1000, IDENTITY_UNKNOWN, CERTAINTY_UNKNOWN, "?", "" };

static Verdict of(const Rules *r, const Identity *id, const char *name, RulePlace *p) {
        Capability c;
        const char *tool;
        RulePlace place;
        CHECK_INT(capability_parse(name, &c, &tool), 0);
        return rules_verdict(r, id, c, tool, p ?: &place);
}

static void test_nothing(void) {
        clean();
        _cleanup_(rules_freep) Rules *r = load();
        RulePlace p;
        CHECK_INT(of(r, &firefox, "generate", &p), VERDICT_DENY);
        CHECK_STR(p.file, "built-in");
        CHECK(rules_limit(r, &firefox, false, LIMIT_SESSIONS, &p) == LIMIT_NONE);
        CHECK_INT(rules_n_problems(r), 0);
}

static void test_order(void) {
        clean();
        write_file("usr", "50-default.conf", "[App *]\nAllow=generate\nAsk=camera\nSessions=8\n");
        write_file("etc", "60-mine.conf", "[App org.mozilla.*]\nDeny=generate\nSessions=2\n");
        write_file("run", "55-now.conf", "[App *]\nAllow=camera\n");
        _cleanup_(rules_freep) Rules *r = load();
        RulePlace p;
        CHECK_INT(of(r, &firefox, "generate", &p), VERDICT_DENY);
        CHECK(strstr(p.file, "/etc/60-mine.conf"));
        CHECK_INT(p.line, 2);
        CHECK_INT(of(r, &firefox, "camera", &p), VERDICT_ALLOW);
        CHECK(strstr(p.file, "/run/55-now.conf"));
        CHECK_INT(rules_limit(r, &firefox, false, LIMIT_SESSIONS, &p), 2);
        /* Unknown callers are not "every app". */
        CHECK_INT(of(r, &unknown, "generate", &p), VERDICT_DENY);
}

static void test_masking(void) {
        char path[256];
        clean();
        write_file("usr", "50-default.conf", "[App *]\nAllow=generate\n");
        write_file("usr", "60-more.conf", "[App *]\nAllow=camera\n");
        write_file("usr", "70-third.conf", "[App *]\nAllow=speak\n");
        write_file("usr", "no-rule.conf.bak", "[App *]\nAllow=remote\n");
        write_file("usr", ".hidden.conf", "[App *]\nAllow=remote\n");
        write_file("etc", "50-default.conf", "");                       /* empty masks */
        snprintf(path, sizeof path, "%s/etc/60-more.conf", base);
        CHECK_INT(symlink("/dev/null", path), 0);                       /* and so does this */
        _cleanup_(rules_freep) Rules *r = load();
        CHECK_INT(of(r, &firefox, "generate", NULL), VERDICT_DENY);
        CHECK_INT(of(r, &firefox, "camera", NULL), VERDICT_DENY);
        CHECK_INT(of(r, &firefox, "speak", NULL), VERDICT_ALLOW);
        CHECK_INT(of(r, &firefox, "remote", NULL), VERDICT_DENY);
        CHECK_INT(rules_n_problems(r), 0);
}

static void test_certainty_and_reset(void) {
        clean();
        write_file("usr", "50.conf",
                   "# a comment\n; and another\n\n[App org.mozilla.firefox]\nCertainty = sandboxed\nAllow = generate \\\n   camera\n"
                   "[App *]\nAsk=generate camera\nAllow=speak tool:*\nAllow=\nDeny=tool:rm\n[App *]\nAsk=tool:ls\n"
                   "[App org.mozilla.firefox]\nCertainty=sandboxed\nAllow=generate\n");
        _cleanup_(rules_freep) Rules *r = load();
        RulePlace p;
        CHECK_INT(rules_n_problems(r), 0);
        CHECK_INT(of(r, &firefox, "generate", &p), VERDICT_ALLOW);
        CHECK_INT(p.line, 17);
        CHECK_INT(of(r, &claimed, "generate", NULL), VERDICT_ASK);
        CHECK_INT(of(r, &claimed, "speak", NULL), VERDICT_DENY);        /* taken back */
        CHECK_INT(of(r, &claimed, "tool:cp", NULL), VERDICT_DENY);
        CHECK_INT(of(r, &claimed, "tool:rm", NULL), VERDICT_DENY);
        CHECK_INT(of(r, &claimed, "tool:ls", NULL), VERDICT_ASK);
}

static void test_mistakes(void) {
        static const struct {
                const char *line, *word;
                const char *denied;     /* after it, though a line before allows it; NULL: still allowed */
        } cases[] = {
                { "Alow=generate",              "'Alow'",           "generate" },
                { "Allow=generate kamera",      "'kamera'",         NULL },
                { "Sessions=many",              "'many'",           NULL },
                { "Sessions=-1",                "'-1'",             NULL },
                { "Sessions=99999999999999999999", "'9999",         NULL },
                { "Sessions=1T",                "'1T'",             NULL },
                { "rubbish",                    "'rubbish'",        NULL },
                { "[Ap *]\nAllow=generate",     "'[Ap'",           "generate" },
                { "[App]\nAllow=generate",      "'[App'",           "generate" },
                { "[App a b]\nAllow=generate",  "'[App'",           "generate" },
                { "[App *\nAllow=generate",     "'[App *'",         "generate" },
                { "[User root]\nAllow=generate", "'[User'",         "generate" },
                { "Certainty=high\nAllow=generate", "'high'",       "generate" },
                { "Priority=urgent",            "'urgent'",         NULL },
                { "OnBattery=maybe",            "'maybe'",          NULL },
                { "Allow=tool:a/b",             "'tool:a/b'",       NULL },
                { "Allow=ge\033[31mnerate",     "?[31m",            NULL },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[512];
                clean();
                snprintf(text, sizeof text, "[App *]\nAllow=generate\nSessions=8\n%s\n", cases[i].line);
                write_file("etc", "10.conf", text);
                _cleanup_(rules_freep) Rules *r = load();
                printf("# %s\n", rules_problem(r, 0) ?: "(no problem)");
                CHECK(rules_n_problems(r) >= 1);
                CHECK(strstr(rules_problem(r, 0), "/etc/10.conf:"));
                CHECK(strstr(rules_problem(r, 0), cases[i].word));
                CHECK_INT(of(r, &firefox, "generate", NULL), cases[i].denied ? VERDICT_DENY : VERDICT_ALLOW);
                if (strncmp(cases[i].line, "Sessions", 8) == 0)
                        CHECK_INT(rules_limit(r, &firefox, false, LIMIT_SESSIONS, NULL), 0);
        }
}

static void test_broken_files(void) {
        char path[256];
        clean();
        write_file("usr", "50.conf", "[App *]\nAllow=generate\n");
        snprintf(path, sizeof path, "%s/usr/60.conf", base);
        CHECK_INT(mkdir(path, 0700), 0);                                /* no file */
        _cleanup_(rules_freep) Rules *r = load();
        CHECK_INT(rules_n_problems(r), 1);
        CHECK_INT(of(r, &firefox, "generate", NULL), VERDICT_DENY);     /* what it was to say nobody knows */

        clean();
        write_file("usr", "50.conf", "[App *]\nAllow=generate\n");
        char *big = malloc(RULE_FILE_MAX + 2);
        CHECK(big);
        memset(big, '#', RULE_FILE_MAX + 1);
        big[RULE_FILE_MAX + 1] = 0;
        write_file("etc", "60.conf", big);
        free(big);
        _cleanup_(rules_freep) Rules *s = load();
        CHECK_INT(rules_n_problems(s), 1);
        CHECK_INT(of(s, &firefox, "generate", NULL), VERDICT_DENY);
}

static void test_user_limits(void) {
        clean();
        write_file("etc", "10.conf", "[User *]\nTokensPerDay=8M\nDeny=remote\n[User 1000]\nTokensPerDay=infinity\n[App *]\nTokensPerDay=2K\nAllow=speak\n");
        _cleanup_(rules_freep) Rules *r = load();
        Identity other = firefox;
        other.uid = 1001;
        CHECK_INT(rules_limit(r, &firefox, false, LIMIT_TOKENS_PER_DAY, NULL), 2048);
        CHECK(rules_limit(r, &firefox, true, LIMIT_TOKENS_PER_DAY, NULL) == LIMIT_NONE);
        CHECK_INT(rules_limit(r, &other, true, LIMIT_TOKENS_PER_DAY, NULL), 8 << 20);
        CHECK_INT(of(r, &other, "remote", NULL), VERDICT_DENY);
        CHECK_INT(rules_n_problems(r), 0);
}

TEST_MAIN(
        { "no file: everything is denied", test_nothing },
        { "later names win, whichever folder they are in", test_order },
        { "masking by name", test_masking },
        { "certainty, continued lines, taking back", test_certainty_and_reset },
        { "a mistake names file, line and word, and closes what it covered", test_mistakes },
        { "a file that cannot be read closes everything", test_broken_files },
        { "limits of a user and of an app", test_user_limits },
)
