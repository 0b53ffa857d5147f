/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the table of pre-tokenizer rules and their running. Expressions are those that the families publish in their
 * tokenizer.json; a rule with several applies each to what the one before left in pieces, and both matches and what
 * lies between them are pieces. Left out on purpose: rules whose expressions cost more than linear time on some text.
 *
 * White space is Unicode's White_Space: PCRE2's own \s also takes U+180E, which no tokenizer does. */

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <string.h>

#include "engine/text/pretokenizers.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"

#define EXPRESSIONS_MAX 4u

/* Backtracking over one run costs a step a character, so an honest match never takes more steps than the longest text
 * has bytes. What runs into this limit is cut off where its white space, or what is none, ends. */
#define MATCH_STEPS_MAX (2u * TOKENIZER_TEXT_MAX)
#define MATCH_HEAP_MAX_KIB (16u << 10)

#define W "\\p{White_Space}"
#define NOT_W "\\P{White_Space}"
#define TAIL W "+(?!" NOT_W ")|" W "+"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" W "\\p{L}\\p{N}]+|" TAIL

/* cl100k and its kin, which differ in how many digits hold together. */
#define CL100K(digits)                                                                          \
        CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^" W "\\p{L}\\p{N}]+[\\r\\n]*|" \
        W "*[\\r\\n]+|" TAIL

/* o200k and its kin: words break where capitals begin. */
#define O200K(contraction, digits)                                                              \
        "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" contraction                                \
        "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" contraction                               \
        "|" digits "| ?[^" W "\\p{L}\\p{N}]+[\\r\\n/]*|" W "*[\\r\\n]+|" TAIL

typedef struct Rule {
        const char *names;              /* each with a space behind it */
        bool ignores_merges, adds_bos;
        const char *expressions[EXPRESSIONS_MAX];
} Rule;

static const Rule rules[] = {
        { .names = "gpt-2 gpt2 olmo phi-2 mpt jais trillion granite-docling exaone4 modern-bert roberta-bpe a.x-4.0 mellum gigachat ",
          .expressions = { GPT2 } },
        { .names = "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2 ",
          .expressions = { "\\p{N}", GPT2 } },
        { .names = "default ",
          .expressions = { "[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" } },
        { .names = "falcon ",
          .expressions = { "[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]" } },
        { .names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
          .ignores_merges = true, .adds_bos = true,
          .expressions = { CL100K("\\p{N}{1,3}") } },
        { .names = "chatglm-bpe glm4 ",
          .ignores_merges = true,
          .expressions = { CL100K("\\p{N}{1,3}") } },
        { .names = "dbrx smaug-bpe ",
          .expressions = { CL100K("\\p{N}{1,3}") } },
        { .names = "qwen2 qwen3 stablelm2 deepseek-r1-qwen megrez hunyuan solar-open kormo f2llmv2 grok-2 ",
          .expressions = { CL100K("\\p{N}") } },
        { .names = "qwen35 ",
          .expressions = { CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" W "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|"
                           W "*[\\r\\n]+|" TAIL } },
        { .names = "gpt-4o llama4 kanana2 minimax-m2 talkie ",
          .expressions = { O200K(CONTRACTION "?", "\\p{N}{1,3}") } },
        { .names = "tekken ",
          .ignores_merges = true, .adds_bos = true,
          .expressions = { O200K("", "\\p{N}") } },
        { .names = "deepseek-v3 hunyuan-dense joyai-llm ",
          .expressions = { "\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
                           "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|"
                           W "*[\\r\\n]+|" TAIL } },
};

struct Pretokenizer {
        const Rule *rule;
        pcre2_code *codes[EXPRESSIONS_MAX];     /* NULL behind the last */
        pcre2_match_context *context;
};

static const Rule *find_rule(const char *name, size_t n) {
        if (n == 0 || memchr(name, ' ', n) || memchr(name, 0, n))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                for (const char *at = rules[i].names; *at; at = strchr(at, ' ') + 1)
                        if ((size_t) (strchr(at, ' ') - at) == n && memcmp(at, name, n) == 0)
                                return rules + i;
        return NULL;
}

int pretokenizer_new(const char *name, size_t n, Pretokenizer **ret, EngineError *reterr) {
        const Rule *rule = find_rule(name, n);
        if (!rule)
                return engine_fail(reterr, -ENOTSUP, "tokenizer.ggml.pre: no rule is known for '%.*s'", (int) MIN(n, (size_t) 64), name);

        _cleanup_(pretokenizer_freep) Pretokenizer *p = calloc(1, sizeof(Pretokenizer));
        if (!p)
                return -ENOMEM;
        p->rule = rule;
        p->context = pcre2_match_context_create(NULL);
        if (!p->context)
                return -ENOMEM;
        pcre2_set_match_limit(p->context, MATCH_STEPS_MAX);
        pcre2_set_heap_limit(p->context, MATCH_HEAP_MAX_KIB);

        for (size_t i = 0; i < EXPRESSIONS_MAX && rule->expressions[i]; i++) {
                int error;
                PCRE2_SIZE at;
                pcre2_code *code = pcre2_compile((PCRE2_SPTR) rule->expressions[i], PCRE2_ZERO_TERMINATED,
                                                 PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, NULL);
                if (!code)
                        return engine_fail(reterr, error == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -ENOTSUP,
                                           "pre-tokenizer '%.*s': PCRE2 refuses expression %zu at %zu (error %d)",
                                           (int) n, name, i, (size_t) at, error);
                p->codes[i] = code;
        }
        *ret = TAKE_PTR(p);
        return 0;
}

Pretokenizer *pretokenizer_free(Pretokenizer *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < EXPRESSIONS_MAX; i++)
                pcre2_code_free(p->codes[i]);
        pcre2_match_context_free(p->context);
        free(p);
        return NULL;
}

bool pretokenizer_ignores_merges(const Pretokenizer *p) {
        return p->rule->ignores_merges;
}

bool pretokenizer_adds_bos(const Pretokenizer *p) {
        return p->rule->adds_bos;
}

typedef struct Split {
        const Pretokenizer *p;
        pcre2_match_data *match;
        PretokenizerWord word;
        void *userdata;
} Split;

/* Length of the run of ASCII white space, or of anything else, that text begins with; never cuts a character. */
static size_t plain_run(const char *text, size_t n) {
        bool space = strchr(" \t\n\v\f\r", text[0]) && text[0];
        size_t i = 1;

        while (i < n && (strchr(" \t\n\v\f\r", text[i]) && text[i]) == space)
                i++;
        return i;
}

/* text[0 … n) is well-formed UTF-8 and goes through the expressions from `level` on. */
static int split_valid(const Split *s, size_t level, const char *text, size_t n) {
        int r;

        if (level == EXPRESSIONS_MAX || !s->p->codes[level])
                return s->word(s->userdata, text, n);
        for (size_t at = 0; at < n;) {
                size_t start = at, end;
                int found = pcre2_match(s->p->codes[level], (PCRE2_SPTR) text, n, at, PCRE2_NO_UTF_CHECK, s->match, s->p->context);
                if (found >= 0) {
                        PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(s->match);
                        start = offsets[0];
                        end = offsets[1];
                } else if (found == PCRE2_ERROR_NOMATCH)
                        start = end = n;
                else if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_HEAPLIMIT)
                        end = at + plain_run(text + at, n - at);
                else
                        return found == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EIO;

                if (start > at && (r = split_valid(s, level + 1, text + at, start - at)) < 0)
                        return r;
                if (end > start && (r = split_valid(s, level + 1, text + start, end - start)) < 0)
                        return r;
                at = end;
        }
        return 0;
}

int pretokenizer_split(const Pretokenizer *p, const char *text, size_t n, PretokenizerWord word, void *userdata) {
        Split s = { .p = p, .word = word, .userdata = userdata };
        int r = 0;

        s.match = pcre2_match_data_create(1, NULL);
        if (!s.match)
                return -ENOMEM;
        for (size_t at = 0; at < n && r >= 0;) {
                size_t end = at, size;
                uint32_t rune;
                while (end < n && (size = utf8_decode(text + end, n - end, &rune)) > 0)
                        end += size;
                if (end > at)
                        r = split_valid(&s, 0, text + at, end - at);
                else
                        r = word(userdata, text + end++, 1);
                at = end;
        }
        pcre2_match_data_free(s.match);
        return r;
}
