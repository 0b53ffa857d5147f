/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a question says, whatever an app is called. */

#include "daemon/consent/text.h"
#include "daemon/consent/words.h"
#include "tests/test.h"

#define R "\xef\xbf\xbd"
#define DOTS "\xe2\x80\xa6"

static void test_text(void) {
        static const struct { const char *in; size_t max; const char *out; } table[] = {
                { "",                                  8, "" },
                { "Notes",                             8, "Notes" },
                { "Notes",                             5, "Notes" },
                { "Notes",                             4, "Not" DOTS },
                { "Notes",                             1, DOTS },
                { "Notes",                             0, "" },
                { "a b",                               2, "a" DOTS },
                { "  a \t\n b  ",                      8, "a b" },
                { "caf\xc3\xa9 \xe2\x82\xac",          9, "caf\xc3\xa9 \xe2\x82\xac" },
                { "\033[31mred",                       9, R "[31mred" },
                { "a\x7f" "b\xc2\x9b",                 9, "a" R "b" R },
                { "a\xe2\x80\xae" "b",                 9, "a" R "b" },          /* U+202E, right to left from here */
                { "a\xe2\x81\xa6" "b\xe2\x81\xa9",     9, "a" R "b" R },        /* U+2066, U+2069 */
                { "fire\xe2\x80\x8b" "fox",            9, "fire" R "fox" },     /* U+200B */
                { "fire\xc2\xad" "fox",                9, "fire" R "fox" },     /* U+00AD */
                { "x\xf3\xa0\x81\xa1",                 9, "x" R },              /* U+E0061, a tag */
                { "a\xe2\x80\xa8" "b",                 9, "a b" },              /* U+2028 */
                { "a\xc2\xa0\xe3\x80\x80" "b",         9, "a b" },              /* U+00A0, U+3000 */
                { "a\xff\xc3",                         9, "a" R R },
                { "\xed\xa0\x80",                      9, R R R },              /* a surrogate */
                { "<b>&amp;",                          9, "<b>&amp;" },
        };
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *out = consent_text(table[i].in, table[i].max);
                CHECK_STR(out, table[i].out);
        }
}

static const char *const generate[] = { "generate" }, *const two[] = { "microphone", "tool:open-file" },
                  *const newer[] = { "smell\n<i>" }, *const many[CONSENT_CAPABILITIES_MAX + 1] = {};

static void words_are(ConsentDetails d, const char *title, const char *body) {
        _cleanup_(consent_words_done) ConsentWords w = {};
        CHECK_INT(consent_words(&d, &w), 0);
        CHECK_STR(w.title, title);
        CHECK_STR(w.body, body);
}

static void test_words(void) {
        words_are((ConsentDetails) { "org.example.Notes", "Notes", "flatpak", "sandboxed", "", 7, generate, 1 },
                  "May \u201cNotes\u201d ask the assistant?",
                  "It is org.example.Notes, a Flatpak application, process 7.\n"
                  "Known by its sandbox: no other application can pass for it.");
        words_are((ConsentDetails) { "/usr/bin/notes", NULL, "executable", "path", "", 0, two, 2 },
                  "May \u201c/usr/bin/notes\u201d do this?",
                  "\u2022 listen through the microphone and get the words\n"
                  "\u2022 have the assistant use a tool as you: open-file\n"
                  "It is /usr/bin/notes, a program.\n"
                  "Known by its file alone: any other program of yours could pass for it.");
        words_are((ConsentDetails) { "?", NULL, "unknown", "unknown", "my text\nand more", 7, newer, 1 },
                  "May an unknown application use \u201csmell <i>\u201d?",
                  "It is process 7.\n"
                  "It is not known which application this is; an answer that stays would hold for all such programs.\n"
                  "This would leave your computer: \u201cmy text and more\u201d");
}

/* Whatever sparkd of another version says, no more is claimed than is known. */
static void test_strange_details(void) {
        words_are((ConsentDetails) { "org.example.Notes", NULL, "hologram", "absolutely", "", 0, generate, 1 },
                  "May \u201corg.example.Notes\u201d ask the assistant?",
                  "It is not known which application this is; an answer that stays would hold for all such programs.");
        _cleanup_(consent_words_done) ConsentWords w = {};
        CHECK_INT(consent_words(&(ConsentDetails) { "a", NULL, "", "", "", 0, generate, 0 }, &w), -EINVAL);
        CHECK_INT(consent_words(&(ConsentDetails) { "a", NULL, "", "", "", 0, many, ELEMENTSOF(many) }, &w), -EINVAL);
}

static void test_long_names(void) {
        char name[4096];
        memset(name, 'a', sizeof name - 1);
        name[sizeof name - 1] = 0;
        _cleanup_(consent_words_done) ConsentWords w = {};
        CHECK_INT(consent_words(&(ConsentDetails) { name, name, "scope", "unit", name, 0, generate, 1 }, &w), 0);
        CHECK(strlen(w.title) < CONSENT_NAME_MAX + 64);
        CHECK(strlen(w.body) < CONSENT_ID_MAX + CONSENT_LEAVES_MAX + 300);
}

static void test_answers(void) {
        CHECK_STR(consent_answers[0].name, "deny");
        for (size_t i = 0; i < CONSENT_ANSWERS; i++) {
                const ConsentAnswer *a = &consent_answers[i];
                char line[16];
                CHECK(consent_answer(a->name) == a);
                CHECK(consent_answer_typed(a->name) == a);
                snprintf(line, sizeof line, " %c \n", a->key);
                CHECK(consent_answer_typed(line) == a);
                snprintf(line, sizeof line, "%c\n", a->key - 32);
                CHECK(consent_answer_typed(line) == a);
        }
        CHECK_STR(consent_answer_typed("ALWAYS\n")->name, "always");
        static const char *const none[] = { "", "\n", "y", "yes", "al", "alwaysx", "a a", "d;", "once more" };
        for (size_t i = 0; i < ELEMENTSOF(none); i++)
                CHECK(!consent_answer_typed(none[i]));
        CHECK(!consent_answer("Always"));
        CHECK(!consent_answer(""));
}

TEST_MAIN({ "text", test_text }, { "words", test_words }, { "strange details", test_strange_details },
          { "long names", test_long_names }, { "answers", test_answers })
