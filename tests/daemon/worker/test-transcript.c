/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Conversations good and bad: what is read, and what each refusal says. */

#include "daemon/worker/transcript.h"
#include "tests/test.h"

static void test_good(void) {
        static const char json[] =
                "[{\"role\":\"system\",\"content\":\"Be brief.\"},"
                "{\"role\":\"user\",\"content\":\"na\\u00efve \\ud83d\\ude00\",\"mood\":{\"deep\":[1]}},"
                "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"name\":\"f\"}]},"
                "{\"role\":\"tool\",\"name\":\"f\",\"content\":\"\"}]";
        _cleanup_(transcript_freep) Transcript *t = NULL;
        EngineError e = {};
        CHECK_INT(transcript_new(json, sizeof json - 1, &t, &e), 0);
        size_t n;
        const ChatMessage *m = transcript_messages(t, &n);
        CHECK_INT(n, 4);
        CHECK_STR(m[0].role, "system");
        CHECK_STR(m[1].content, "naïve 😀");
        CHECK_INT(m[1].content_size, strlen("naïve 😀"));
        CHECK(!m[1].name && !m[1].tool_calls_json);
        CHECK(!m[2].content);
        CHECK_INT(m[2].content_size, 0);
        CHECK_STR(m[2].tool_calls_json, "[{\"name\":\"f\"}]");
        CHECK_STR(m[3].name, "f");
        CHECK_STR(m[3].content, "");
}

static void refused(const char *json, size_t size, int error, const char *text) {
        Transcript *t = NULL;
        EngineError e = {};
        CHECK_INT(transcript_new(json, size, &t, &e), error);
        CHECK(!t);
        if (!strstr(e.text, text))
                printf("# said: %s\n", e.text);
        CHECK(strstr(e.text, text));
}

static void test_bad(void) {
        static const struct {
                const char *json, *text;
        } cases[] = {
                { "", "byte" },
                { "{}", "not an array" },
                { "[]", "not an array of messages" },
                { "\"x\"", "expected near" },
                { "[1]", "message 0 is not an object" },
                { "[{\"content\":\"x\"}]", "message 0: role" },
                { "[{\"role\":7,\"content\":\"x\"}]", "message 0: role" },
                { "[{\"role\":\"root\",\"content\":\"x\"}]", "message 0: role" },
                { "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"user\"}]", "message 1: content" },
                { "[{\"role\":\"user\",\"content\":[\"x\"]}]", "message 0: content" },
                { "[{\"role\":\"user\",\"content\":null}]", "message 0: content" },
                { "[{\"role\":\"user\",\"content\":\"x\",\"name\":1}]", "message 0: name" },
                { "[{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":{}}]", "message 0: tool_calls" },
                { "[{\"role\":\"user\",\"role\":\"user\",\"content\":\"x\"}]", "duplicate" },
                { "[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]", "\\u0000" },
                { "[{\"role\":\"user\",\"content\":\"\xc3\"}]", "decode byte 0xc3" },
                { "[{\"role\":\"user\",\"content\":\"\\ud800\"}]", "invalid Unicode" },
                { "[{\"role\":\"user\",\"content\":\"x\"}", "byte" },
                { "[{\"role\":\"user\",\"content\":\"x\"}] x", "byte" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                refused(cases[i].json, strlen(cases[i].json), -EBADMSG, cases[i].text);
        refused("[{\"role\":\"user\",\"content\":\"a\0b\"}]", 34, -EBADMSG, "byte");
}

static char *repeated(const char *open, const char *what, const char *close, size_t n, size_t *ret_size) {
        size_t size = strlen(open) + n * strlen(what) + strlen(close);
        char *s = malloc(size + 1), *p = stpcpy(s, open);
        for (size_t i = 0; i < n; i++)
                p = stpcpy(p, what);
        strcpy(p, close);
        *ret_size = size;
        return s;
}

static void test_caps(void) {
        size_t size;
        _cleanup_free_ char *many = repeated("[", "{\"role\":\"user\",\"content\":\"x\"},", "{\"role\":\"user\",\"content\":\"x\"}]", TRANSCRIPT_MESSAGES_MAX, &size);
        refused(many, size, -E2BIG, "4097 messages, at most 4096");
        _cleanup_free_ char *values = repeated("[", "{},", "0]", TRANSCRIPT_VALUES_MAX, &size);
        refused(values, size, -E2BIG, "more than 65536 values");
        _cleanup_free_ char *deep = repeated("", "[", "", 60000, &size);
        refused(deep, size, -EBADMSG, "depth");

        /* Brackets and commas of a text are no values. */
        _cleanup_free_ char *text = repeated("[{\"role\":\"user\",\"content\":\"", "[{,:\\\"", "\"}]", TRANSCRIPT_VALUES_MAX, &size);
        _cleanup_(transcript_freep) Transcript *t = NULL;
        CHECK_INT(transcript_new(text, size, &t, NULL), 0);
}

TEST_MAIN(
        { "a conversation is read", test_good },
        { "what is none is refused with the reason", test_bad },
        { "a conversation has caps", test_caps },
)
