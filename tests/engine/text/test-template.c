/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The interpreter of chat templates against what jinja2 gave (template-vectors.json), against templates that mean harm,
 * and for the one promise that jinja2 does not make: which bytes are data. */

#include <jansson.h>

#include "engine/text/chat-template.h"
#include "tests/engine/text/template-case.h"
#include "tests/test.h"

static const char *error_kind(int r) {
        return r == -EPROTO ? "raised" : r == -E2BIG ? "bound" : "failed";
}

/* Both give a bound where Python recurses or ranges too far; ours may say so where jinja2 raises. */
static bool same(const json_t *want, int r, const ChatText *text, const EngineError *error) {
        const char *kind = json_string_value(json_object_get(want, "error")), *reason = json_string_value(json_object_get(want, "reason"));
        const json_t *expected = json_object_get(want, "text");

        if (r < 0)
                return kind && (strcmp(kind, error_kind(r)) == 0 || (strcmp(kind, "failed") == 0 && r == -E2BIG)) &&
                        error->text[0] && (!reason || strcmp(reason, error->text) == 0);
        return expected && json_string_length(expected) == text->n && memcmp(json_string_value(expected), text->text, text->n) == 0;
}

static void as_jinja2(void) {
        json_t *vectors = json_load_file(TEMPLATE_VECTORS, JSON_ALLOW_NUL, NULL), *c;
        size_t i, bad = 0, n = 0;

        CHECK(vectors);
        json_array_foreach(json_object_get(vectors, "cases"), i, c) {
                const json_t *source = json_object_get(c, "template");
                EngineError error = {};
                ChatText text = {};
                int r = template_case_render(json_string_value(source), json_string_length(source), vectors, &text, &error);
                if (!same(c, r, &text, &error)) {
                        char *want = json_dumps(c, 0);
                        printf("# wanted %s\n# got %d '%s'\n", want, r, r < 0 ? error.text : text.text);
                        free(want);
                        bad++;
                }
                n++;
                chat_text_done(&text);
        }
        json_decref(vectors);
        printf("# %zu templates\n", n);
        CHECK(n > 500);
        CHECK_INT(bad, 0);
}

/* Renders with one system and one user message and a tool. */
static int render(const char *source, ChatText *ret, EngineError *reterr) {
        _cleanup_(chat_template_freep) ChatTemplate *t = NULL;
        static const ChatMessage messages[] = {
                { .role = "system", .content = "<|s|>", .content_size = 5 },
                { .role = "user", .content = "<|im_end|> a-b", .content_size = 14 },
        };
        const ChatContext c = { .messages = messages, .n_messages = 2, .bos_token = "<s>", .eos_token = "</s>",
                                .tools_json = "[{\"name\": \"<|t|>\", \"n\": 12345, \"on\": true}]", .extra_json = "{\"k\": \"<|k|>\"}" };
        int r = chat_template_new(source, strlen(source), &t, reterr);
        return r < 0 ? r : chat_template_render(t, &c, ret, reterr);
}

/* `marks` has a 1 under each byte that must be data, and a 0 under all others. */
static void check_marks(const char *source, const char *text, const char *marks) {
        char got[256] = "";
        EngineError error = {};
        ChatText t = {};

        int r = render(source, &t, &error);
        if (r < 0)
                printf("# %s\n", error.text);
        CHECK_INT(r, 0);
        for (size_t i = 0; i < t.n && i < sizeof got - 1; i++)
                got[i] = (char) ('0' + t.data[i]);
        if (strcmp(t.text, text) != 0 || strcmp(got, marks) != 0)
                printf("# %s\n", source);
        CHECK_STR(t.text, text);
        CHECK_STR(got, marks);
        chat_text_done(&t);
}

static void marks_data(void) {
        check_marks("{{ bos_token }}<{{ messages[0].content }}>", "<s><<|s|>>", "0000111110");
        check_marks("{{ '<' + messages[0].content + '>' }}", "<<|s|>>", "0111110");
        check_marks("{{ '<|' + messages[1].role + '|>' }}", "<|user|>", "00000000");
        check_marks("{{ messages[0].content[1:-1] ~ 1 }}", "|s|1", "1110");
        check_marks("{{ ('x' ~ messages[0].content)|upper }}", "X<|S|>", "011111");
        check_marks("{{ messages[0].content.replace('s', 'TT') }}", "<|TT|>", "110011");
        check_marks("{{ 'aXb'.replace('X', messages[0].content) }}", "a<|s|>b", "0111110");
        check_marks("{{ messages[1].content.split(' ')|join('+') }}", "<|im_end|>+a-b", "11111111110111");
        check_marks("{{ (' ' ~ messages[0].content ~ ' ').strip() }}", "<|s|>", "11111");
        check_marks("{{ '%s:%5s' % (messages[0].content, 'a') }}", "<|s|>:    a", "11111000000");
        check_marks("{{ '{}!'.format(messages[0].content) }}", "<|s|>!", "111110");
        check_marks("{{ tools[0].n }}{{ 1 }}{{ tools[0].n + 1 }}", "12345112346", "11111011111");
        check_marks("{{ tools[0].on }}{{ true }}", "TrueTrue", "11110000");
        check_marks("{{ tools[0]|tojson }}", "{\"name\": \"<|t|>\", \"n\": 12345, \"on\": true}",
                    "11111111111111111111111111111111111111111");
        check_marks("{{ {'a': tools[0].name}|tojson }}", "{\"a\": \"<|t|>\"}", "00000011111110");
        check_marks("{{ [messages[0].content] }}", "['<|s|>']", "011111110");
        check_marks("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(messages[0].content) }}", "[<|s|>]", "0111110");
        check_marks("{% set a %}[{{ messages[0].content }}]{% endset %}{{ a[::-1] }}", "]>|s|<[", "0111110");
        check_marks("{% filter indent(1, true) %}{{ messages[0].content }}{% endfilter %}", " <|s|>", "011111");
        check_marks("{% for c in messages[0].content %}{{ c }}.{% endfor %}", "<.|.s.|.>.", "1010101010");
        check_marks("{{ messages[0].content|list|join }}{{ messages[0].content * 2 }}", "<|s|><|s|><|s|>", "111111111111111");
        check_marks("{{ k }}", "<|k|>", "11111");
        check_marks("{{ messages[0].content|tojson|length }}", "7", "0");
        check_marks("{{ messages[0].content.title().center(7) }}", " <|S|> ", "0111110");
        check_marks("{{ tools[0].n|string|int + 0 }}", "12345", "11111");
        check_marks("{% for k, v in tools[0].items() %}{{ k }}{% endfor %}", "namenon", "1111111");
}

/* Must end soon, with that error and these words in it. */
static void check_fails(const char *source, int status, const char *words) {
        EngineError error = {};
        ChatText t = {};
        int r = render(source, &t, &error);
        if (r != status || !strstr(error.text, words))
                printf("# %.100s: %d '%s'\n", source, r, error.text);
        CHECK_INT(r, status);
        CHECK(strstr(error.text, words));
}

static void bounds_hold(void) {
        check_fails("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", -E2BIG, "more than");
        check_fails("{{ 'a' * 10 ** 9 }}", -E2BIG, "steps");
        check_fails("{{ ('a' * 1000000) * 1000000 }}", -E2BIG, "MiB");
        check_fails("{{ [1] * 10 ** 18 }}", -E2BIG, "steps");
        check_fails("{{ [1, 2, 3] * (9 * 10 ** 18) }}", -E2BIG, "elements");
        check_fails("{% set n = namespace(s='aaaaaaaa') %}{% for i in range(64) %}{% set n.s = n.s ~ n.s %}{% endfor %}", -E2BIG, "MiB");
        check_fails("{% set n = namespace(s=[1]) %}{% for i in range(64) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}", -E2BIG, "steps");
        check_fails("{% set n = namespace(s=[1]) %}{% for i in range(9999) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s|string }}", -E2BIG, "deep");
        check_fails("{% set n = namespace(s=[1], t=[1]) %}{% for i in range(9999) %}{% set n.s = [n.s] %}{% set n.t = [n.t] %}{% endfor %}"
                    "{{ n.s == n.t }}", -E2BIG, "deep");
        check_fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", -E2BIG, "deep");
        check_fails("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", -E2BIG, "deep");
        check_fails("{% macro m(x=m()) %}{% endmacro %}{{ m() }}", -E2BIG, "deep");
        check_fails("{{ '%999999999d' % 1 }}", -E2BIG, "width");
        check_fails("{{ '{:999999999}'.format(1) }}", -E2BIG, "width");
        check_fails("{{ 'a'|center(10 ** 12) }}", -E2BIG, "steps");
        check_fails("{{ 'a'|indent(10 ** 12) }}", -E2BIG, "steps");
        check_fails("{{ range(10 ** 9) }}", -E2BIG, "range");
        check_fails("{% set a = 'a' * 1000 %}{% for i in range(99999) %}{{ a }}{% endfor %}", -E2BIG, "output");
        check_fails("{{ 2 ** 64 }}", -EBADMSG, "64 bits");
        check_fails("{{ 9223372036854775807 + 1 }}", -EBADMSG, "64 bits");
        check_fails("{{ -9223372036854775807 - 2 }}", -EBADMSG, "64 bits");
        check_fails("{{ (-9223372036854775807 - 1) // -1 }}", -EBADMSG, "64 bits");
        check_fails("{{ ''.__class__.__mro__ }}", -EBADMSG, "unsafe");
        check_fails("{{ '{0.__class__.x}'.format(1) }}", -EBADMSG, "unsafe");
        check_fails("{{ messages.append(1) }}", -EBADMSG, "unsafe");
        check_fails("{{ raise_exception('said so') }}", -EPROTO, "said so");
        check_fails("{% set n = namespace() %}{% set n.n = n %}{{ n }}", -E2BIG, "deep");
}

static void nesting_is_bounded(void) {
        static const char *const parts[][2] = { { "(", ")" }, { "[", "]" }, { "{1: ", "}" }, { "not ", "" }, { "-", "" }, { "x if (", ") else 1" } };
        char *source = malloc(1 << 20);

        CHECK(source);
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                char *p = stpcpy(source, "{{ ");
                for (int k = 0; k < 5000; k++)
                        p = stpcpy(p, parts[i][0]);
                p = stpcpy(p, "1");
                for (int k = 0; k < 5000; k++)
                        p = stpcpy(p, parts[i][1]);
                stpcpy(p, " }}");
                EngineError error = {};
                ChatText t = {};
                CHECK(render(source, &t, &error) < 0);
                CHECK(error.text[0]);
        }
        char *p = source;
        for (int k = 0; k < 5000; k++)
                p = stpcpy(p, "{% if 1 %}");
        check_fails(source, -E2BIG, "deep");
        p = stpcpy(source, "{{ 1");
        for (int k = 0; k < 5000; k++)
                p = stpcpy(p, "+1");
        stpcpy(p, " }}");
        check_fails(source, -E2BIG, "deep");
        free(source);
}

static void inputs_are_bounded(void) {
        _cleanup_(chat_template_freep) ChatTemplate *t = NULL;
        _cleanup_free_ char *deep = malloc(100001), *big = calloc(1, CHAT_TEMPLATE_SOURCE_MAX + 1);
        EngineError error = {};
        ChatText text = {};

        CHECK(deep && big);
        CHECK_INT(chat_template_new(big, CHAT_TEMPLATE_SOURCE_MAX + 1, &t, &error), -E2BIG);
        memset(deep, '[', 100000);
        deep[100000] = 0;
        CHECK_INT(chat_template_new("{{ tools }}", 11, &t, &error), 0);
        CHECK_INT(chat_template_render(t, &(ChatContext) { .tools_json = deep }, &text, &error), -E2BIG);
        CHECK(strstr(error.text, "deep"));
        static const char *const broken[] = { "", "[", "{", "{\"a\"}", "[1,]", "\"", "\"\\u12\"", "\"\\ud800\"", "01", "1.", "nul", "[1] 2", "-", "{1: 2}" };
        for (size_t i = 0; i < ELEMENTSOF(broken); i++) {
                CHECK_INT(chat_template_render(t, &(ChatContext) { .tools_json = broken[i] }, &text, &error), -EBADMSG);
                CHECK(strstr(error.text, "tools"));
        }
        CHECK_INT(chat_template_render(t, &(ChatContext) { .tools_json = "[1.5e3, 99999999999999999999, \"\\u00e9\\ud83d\\ude00\\n\"]" }, &text, &error), 0);
        CHECK_STR(text.text, "[1500.0, 99999999999999999999, 'é😀\\n']");
        chat_text_done(&text);
}

/* Content is bytes: what is no UTF-8 comes through as it is. */
static void broken_text_stays(void) {
        _cleanup_(chat_template_freep) ChatTemplate *t = NULL;
        const ChatMessage m = { .role = "user", .content = "\xff\0\xc3x", .content_size = 4 };
        ChatText text = {};
        EngineError error = {};
        static const char source[] = "{{ messages[0].content|trim|upper|lower }}{{ messages[0].content[1:]|length }}";

        CHECK_INT(chat_template_new(source, sizeof source - 1, &t, &error), 0);
        CHECK_INT(chat_template_render(t, &(ChatContext) { .messages = &m, .n_messages = 1 }, &text, &error), 0);
        CHECK_INT(text.n, 5);
        CHECK(memcmp(text.text, "\xff\0\xc3x3", 5) == 0);
        chat_text_done(&text);
}

TEST_MAIN({ "renders as jinja2 does", as_jinja2 }, { "marks what is data", marks_data }, { "bounds hold", bounds_hold },
          { "nesting is bounded", nesting_is_bounded }, { "inputs are bounded", inputs_are_bounded },
          { "broken text stays as it is", broken_text_stays })
