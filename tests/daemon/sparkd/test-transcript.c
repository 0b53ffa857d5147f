/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was said, as JSON for the worker: escaping, joined messages, caps. */
#include "daemon/sparkd/transcript.h"
#include "tests/test.h"

static void check_json_skipping(const Transcript *t, size_t n_skip, const char *expected) {
        _cleanup_free_ char *json = NULL;
        size_t size;
        CHECK_INT(transcript_json(t, n_skip, &json, &size), 0);
        CHECK_STR(json, expected);
        CHECK_INT(size, strlen(expected));
        CHECK(size <= t->json_size + 2);
}

static void check_json(const Transcript *t, const char *expected) {
        check_json_skipping(t, 0, expected);
}

static void test_json(void) {
        Transcript t = {};
        check_json(&t, "[]");
        CHECK_INT(transcript_append(&t, ROLE_SYSTEM, ORIGIN_APP, "be \"brief\"\\"), 0);
        check_json(&t, "[{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\\\\\"}]");
        CHECK_INT(transcript_append(&t, ROLE_USER, ORIGIN_USER, "a\n\x01\x1f\t\xc3\xa9"), 0);
        CHECK_INT(transcript_append(&t, ROLE_USER, ORIGIN_FILE, "notes"), 0);
        CHECK_INT(transcript_append(&t, ROLE_ASSISTANT, ORIGIN_MODEL, ""), 0);
        check_json(&t, "[{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\\\\\"},"
                       "{\"role\":\"user\",\"content\":\"a\\n\\u0001\\u001f\\t\xc3\xa9\\n\\nnotes\"},"
                       "{\"role\":\"assistant\",\"content\":\"\"}]");
        transcript_truncate(&t, 1);
        check_json(&t, "[{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\\\\\"}]");
        transcript_done(&t);
        CHECK_INT(t.json_size, 0);
}

static void test_drop(void) {
        static const struct { Role role; const char *text; } said[] = {
                { ROLE_SYSTEM, "be brief" }, { ROLE_USER, "a" }, { ROLE_USER, "b" }, { ROLE_ASSISTANT, "c" },
                { ROLE_USER, "d" }, { ROLE_ASSISTANT, "e" }, { ROLE_USER, "f" },
        };
        static const char *const rest = "[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":\"d\"},"
                                        "{\"role\":\"assistant\",\"content\":\"e\"},{\"role\":\"user\",\"content\":\"f\"}]";
        Transcript t = {};
        for (size_t i = 0; i < ELEMENTSOF(said); i++)
                CHECK_INT(transcript_append(&t, said[i].role, ORIGIN_APP, said[i].text), 0);
        CHECK_INT(transcript_n_instructions(&t), 1);
        CHECK_INT(transcript_turn_end(&t, 1), 4);
        CHECK_INT(transcript_turn_end(&t, 4), 6);
        CHECK_INT(transcript_turn_end(&t, 6), 7);
        check_json_skipping(&t, 3, rest);
        /* What comes to stand beside its like is joined. */
        check_json_skipping(&t, 5, "[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":\"f\"}]");
        transcript_drop(&t, 0);
        CHECK_INT(t.n_messages, 7);
        transcript_drop(&t, 3);
        check_json(&t, rest);
        transcript_drop(&t, 3);
        check_json(&t, "[{\"role\":\"system\",\"content\":\"be brief\"}]");
        transcript_done(&t);
        CHECK_INT(t.json_size, 0);
}

static void test_bytes_cap(void) {
        Transcript t = {};
        _cleanup_free_ char *text = malloc(TRANSCRIPT_BYTES_MAX + 1);
        memset(text, 'x', TRANSCRIPT_BYTES_MAX);
        text[TRANSCRIPT_BYTES_MAX] = 0;
        CHECK_INT(transcript_append(&t, ROLE_USER, ORIGIN_APP, text), -E2BIG);
        /* It is the escaped size that counts. */
        memset(text, '\x01', TRANSCRIPT_BYTES_MAX / 6);
        text[TRANSCRIPT_BYTES_MAX / 6] = 0;
        CHECK_INT(transcript_append(&t, ROLE_USER, ORIGIN_APP, text), -E2BIG);
        text[TRANSCRIPT_BYTES_MAX / 6 - 64] = 0;
        CHECK_INT(transcript_append(&t, ROLE_USER, ORIGIN_APP, text), 0);
        CHECK_INT(transcript_append(&t, ROLE_USER, ORIGIN_APP, text), -E2BIG);
        CHECK_INT(t.n_messages, 1);
        transcript_done(&t);
}

static void test_messages_cap(void) {
        Transcript t = {};
        for (size_t i = 0; i < TRANSCRIPT_MESSAGES_MAX; i++)
                CHECK_INT(transcript_append(&t, i & 1 ? ROLE_ASSISTANT : ROLE_USER, ORIGIN_APP, ""), 0);
        CHECK_INT(transcript_append(&t, ROLE_USER, ORIGIN_APP, ""), -E2BIG);
        transcript_done(&t);
}

static void test_origins(void) {
        Origin o;
        CHECK_INT(origin_from_name("web", &o), 0);
        CHECK_INT(o, ORIGIN_WEB);
        CHECK_INT(origin_from_name("model", &o), -EINVAL);      /* nobody but the model */
        CHECK_INT(origin_from_name("", &o), -EINVAL);
}

TEST_MAIN({ "json", test_json }, { "bytes cap", test_bytes_cap }, { "messages cap", test_messages_cap },
          { "origins", test_origins }, { "drop", test_drop })
