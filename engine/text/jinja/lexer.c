/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how source becomes tokens: delimiters, whitespace control with trim_blocks and lstrip_blocks set (as transformers
 * sets them), raw blocks, comments, literals. Follows Jinja's lexer rule by rule, for a template's whitespace is part of
 * what a model was trained on. */

#include <errno.h>
#include <stdlib.h>

#include "basic/cleanup.h"
#include "engine/text/jinja/ast.h"

typedef struct Lexer {
        Arena *arena;
        Str source;
        size_t at;
        uint32_t line;
        bool line_starting;     /* what was read last ended a line */
        Token *tokens;
        size_t n, allocated;
        char *brackets;         /* open ones, to know what closes a tag */
        size_t n_brackets;
        EngineError *error;
} Lexer;

#define BRACKETS_MAX 256u

static int fail(const Lexer *l, const char *reason) {
        return engine_fail(l->error, -EBADMSG, "template line %u: %s", l->line, reason);
}

static bool starts(const Lexer *l, size_t at, const char *what) {
        size_t n = strlen(what);
        return at <= l->source.n && l->source.n - at >= n && memcmp(l->source.s + at, what, n) == 0;
}

static size_t skip_space(const Lexer *l, size_t at) {
        uint32_t rune;
        for (size_t n; at < l->source.n; at += n) {
                n = jinja_char(l->source, at, &rune);
                if (!jinja_is_space(rune))
                        break;
        }
        return at;
}

static void move_to(Lexer *l, size_t to) {
        for (size_t i = l->at; i < to; i++)
                l->line += l->source.s[i] == '\n';
        l->line_starting = to > l->at && l->source.s[to - 1] == '\n';
        l->at = to;
}

static int push(Lexer *l, Token token) {
        if (l->n == l->allocated) {
                size_t want = l->allocated ? l->allocated * 2 : 256;
                Token *more = jinja_alloc_array(l->arena, want, sizeof(Token));
                if (!more)
                        return -ENOMEM;
                if (l->n)
                        memcpy(more, l->tokens, l->n * sizeof(Token));
                l->tokens = more;
                l->allocated = want;
        }
        token.line = l->line;
        l->tokens[l->n++] = token;
        return 0;
}

/* Text before a tag: `sign` is what stands after the tag's opening. */
static int push_data(Lexer *l, size_t from, size_t to, char sign, bool print) {
        Str text = jinja_part(l->source, from, to);

        if (sign == '-')
                text = jinja_strip(text, STRIP_RIGHT, NULL);
        else if (sign != '+' && !print) {
                const char *newline = memrchr(text.s, '\n', text.n);
                size_t line = newline ? (size_t) (newline - text.s) + 1 : 0;
                if ((line > 0 || l->line_starting) && jinja_strip(jinja_part(text, line, text.n), STRIP_LEFT, NULL).n == 0)
                        text.n = line;
        }
        return text.n ? push(l, (Token) { .kind = TOKEN_DATA, .text = text }) : 0;
}

/* Where a tag ends that closes with `end` at `at` (after its sign, if any): '-' takes the whitespace behind it, none
 * takes a newline after a block or comment. */
static size_t after_tag(const Lexer *l, size_t at, char sign, bool trims) {
        at += 2;
        if (sign == '-')
                return skip_space(l, at);
        if (trims && sign != '+' && at < l->source.n && l->source.s[at] == '\n')
                at++;
        return at;
}

static char sign_at(const Lexer *l, size_t at) {
        char c = at < l->source.n ? l->source.s[at] : 0;
        return c == '-' || c == '+' ? c : 0;
}

static int lex_comment(Lexer *l) {
        const char *end = memmem(l->source.s + l->at, l->source.n - l->at, "#}", 2);
        if (l->at == l->source.n)
                return 0;       /* Jinja misses an end only where something follows */
        if (!end)
                return fail(l, "comment without end");
        size_t at = (size_t) (end - l->source.s);
        char sign = at > l->at ? sign_at(l, at - 1) : 0;
        move_to(l, after_tag(l, at, sign, true));
        return 0;
}

/* A whole `{% word %}` at `at`: where it ends, 0 where it is something else. */
static size_t match_word_tag(const Lexer *l, size_t at, const char *word, bool trims, char *ret_sign) {
        if (!starts(l, at, "{%"))
                return 0;
        char sign = sign_at(l, at + 2);
        size_t p = skip_space(l, at + 2 + (sign != 0));
        if (!starts(l, p, word))
                return 0;
        p = skip_space(l, p + strlen(word));
        char end_sign = sign_at(l, p);
        if (end_sign == '+' && !trims)
                return 0;
        p += end_sign != 0;
        if (!starts(l, p, "%}"))
                return 0;
        *ret_sign = sign;
        return after_tag(l, p, end_sign, trims);
}

static int lex_raw(Lexer *l) {
        for (size_t at = l->at; at < l->source.n; at++) {
                char sign;
                if (l->source.s[at] != '{')
                        continue;
                size_t end = match_word_tag(l, at, "endraw", true, &sign);
                if (!end)
                        continue;
                int r = push_data(l, l->at, at, sign, false);
                if (r < 0)
                        return r;
                move_to(l, end);
                return 0;
        }
        return l->at == l->source.n ? 0 : fail(l, "raw block without end");
}

static int hex_digits(const char *s, size_t n, size_t want, uint32_t *ret) {
        uint32_t v = 0;
        if (n < want)
                return -EBADMSG;
        for (size_t i = 0; i < want; i++) {
                char c = s[i];
                int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
                if (d < 0)
                        return -EBADMSG;
                v = v << 4 | (uint32_t) d;
        }
        *ret = v;
        return 0;
}

/* Python's escapes in a string's inside. */
static int unescape(Lexer *l, const char *s, size_t n, Str *ret) {
        static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
        char *out = jinja_alloc(l->arena, n);
        size_t k = 0;

        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < n;) {
                if (s[i] != '\\' || i + 1 == n) {
                        out[k++] = s[i++];
                        continue;
                }
                char c = s[i + 1];
                const char *known = c ? strchr(from, c) : NULL;
                uint32_t rune = 0;
                size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
                i += 2;
                if (known)
                        out[k++] = to[known - from];
                else if (width) {
                        if (hex_digits(s + i, n - i, width, &rune) < 0 || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
                                return fail(l, "an escape in a string names no character");
                        i += width;
                        k += jinja_encode(rune, out + k);
                } else if (c >= '0' && c <= '7') {
                        rune = (uint32_t) (c - '0');
                        for (int d = 0; d < 2 && i < n && s[i] >= '0' && s[i] <= '7'; d++)
                                rune = rune * 8 + (uint32_t) (s[i++] - '0');
                        k += jinja_encode(rune, out + k);
                } else if (c == 'N')
                        return fail(l, "characters by name are not supported");
                else if (c != '\n') {
                        out[k++] = '\\';
                        out[k++] = c;
                }
        }
        *ret = str_of(out, k, false);
        return 0;
}

static int lex_string(Lexer *l) {
        const char *s = l->source.s;
        size_t i = l->at + 1;

        while (i < l->source.n && s[i] != s[l->at])
                i += s[i] == '\\' ? 2 : 1;
        if (i >= l->source.n)
                return fail(l, "string without end");

        Token token = { .kind = TOKEN_STRING };
        int r = unescape(l, s + l->at + 1, i - l->at - 1, &token.text);
        if (r < 0)
                return r;
        r = push(l, token);
        if (r < 0)
                return r;
        move_to(l, i + 1);
        return 0;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name(char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (unsigned char) c >= 0x80; }

/* Digits with single underscores between them. */
static size_t digits(const Lexer *l, size_t at) {
        const char *s = l->source.s;
        while (at < l->source.n && (is_digit(s[at]) || (s[at] == '_' && at + 1 < l->source.n && is_digit(s[at + 1]))))
                at++;
        return at;
}

static int lex_number(Lexer *l) {
        const char *s = l->source.s;
        size_t n = l->source.n, from = l->at, end = digits(l, from);
        bool real = false, after_dot = from > 0 && s[from - 1] == '.';
        int base = 10;
        char text[64];
        size_t k = 0;

        if (s[from] == '0' && from + 1 < n && strchr("xXoObB", s[from + 1])) {
                base = (s[from + 1] | 32) == 'x' ? 16 : (s[from + 1] | 32) == 'o' ? 8 : 2;
                for (end = from + 2; end < n && is_name(s[end]); end++)
                        ;
                from += 2;
        } else if (!after_dot) {
                if (end + 1 < n && s[end] == '.' && is_digit(s[end + 1])) {
                        real = true;
                        end = digits(l, end + 1);
                }
                if (end < n && (s[end] | 32) == 'e') {
                        size_t e = end + 1 + (end + 1 < n && (s[end + 1] == '+' || s[end + 1] == '-'));
                        if (e < n && is_digit(s[e])) {
                                real = true;
                                end = digits(l, e);
                        }
                }
        }
        for (size_t i = from; i < end; i++)
                if (s[i] != '_') {
                        if (k == sizeof text - 1)
                                return fail(l, "number of more than 63 digits");
                        text[k++] = s[i];
                }
        text[k] = 0;

        Token token = { .kind = TOKEN_NUMBER };
        char *rest;
        if (real)
                token.number = value_float(strtod(text, &rest), false);
        else {
                errno = 0;
                token.number = value_int(strtoll(text, &rest, base), false);
                if (errno == ERANGE)
                        return fail(l, "integer of more than 64 bits");
                if (base == 10 && k > 1 && text[0] == '0' && strspn(text, "0") != k)
                        return fail(l, "integer that begins with 0");
        }
        if (*rest || k == 0)
                return fail(l, "malformed number");
        token.text = str_of(s + l->at, end - l->at, false);
        int r = push(l, token);
        if (r < 0)
                return r;
        move_to(l, end);
        return 0;
}

static int lex_operator(Lexer *l) {
        static const char pairs[][3] = { "//", "**", "==", "!=", ">=", "<=" };
        static const char opens[] = "([{", closes[] = ")]}";
        Token token = { .kind = TOKEN_OPERATOR };
        char c = l->source.s[l->at];
        const char *p;

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++)
                if (starts(l, l->at, pairs[i]))
                        memcpy(token.op, pairs[i], 3);
        if (!token.op[0]) {
                if (!c || !strchr("+-/*%~[](){}><=.:|,;", c))
                        return fail(l, "unexpected character in a tag");
                token.op[0] = c;
        }
        if (!token.op[1] && (p = strchr(opens, c))) {
                if (l->n_brackets == BRACKETS_MAX)
                        return fail(l, "too many open brackets");
                l->brackets[l->n_brackets++] = closes[p - opens];
        } else if (!token.op[1] && strchr(closes, c)) {
                if (l->n_brackets == 0 || l->brackets[--l->n_brackets] != c)
                        return fail(l, "closing bracket that none opened");
        }
        int r = push(l, token);
        if (r < 0)
                return r;
        move_to(l, l->at + strlen(token.op));
        return 0;
}

/* The inside of {% %} or {{ }}, up to and with its end. */
static int lex_tag(Lexer *l, bool print) {
        const char *end = print ? "}}" : "%}";

        l->n_brackets = 0;
        while (l->at < l->source.n) {
                char c = l->source.s[l->at], sign = sign_at(l, l->at);
                int r;

                if (sign == '+' && print)
                        sign = 0;
                if (l->n_brackets == 0 && starts(l, l->at + (sign != 0), end)) {
                        r = push(l, (Token) { .kind = print ? TOKEN_PRINT_END : TOKEN_BLOCK_END });
                        if (r < 0)
                                return r;
                        move_to(l, after_tag(l, l->at + (sign != 0), sign, !print));
                        return 0;
                }

                size_t p = skip_space(l, l->at);
                if (p > l->at) {
                        move_to(l, p);
                        continue;
                }
                if (is_digit(c))
                        r = lex_number(l);
                else if (is_name(c)) {
                        while (p < l->source.n && is_name(l->source.s[p]))
                                p++;
                        r = push(l, (Token) { .kind = TOKEN_NAME, .text = jinja_part(l->source, l->at, p) });
                        move_to(l, p);
                } else if (c == '\'' || c == '"')
                        r = lex_string(l);
                else
                        r = lex_operator(l);
                if (r < 0)
                        return r;
        }
        return fail(l, "tag without end");
}

static int lex_root(Lexer *l) {
        size_t at = l->at;
        int r;

        while (at < l->source.n && !(l->source.s[at] == '{' && at + 1 < l->source.n && strchr("%{#", l->source.s[at + 1])))
                at++;
        if (at == l->source.n) {
                r = push(l, (Token) { .kind = TOKEN_DATA, .text = jinja_part(l->source, l->at, at) });
                move_to(l, at);
                return r;
        }

        char opens = l->source.s[at + 1], sign = sign_at(l, at + 2), raw_sign;
        r = push_data(l, l->at, at, sign, opens == '{');
        if (r < 0)
                return r;
        size_t raw_end = opens == '%' ? match_word_tag(l, at, "raw", false, &raw_sign) : 0;
        if (raw_end) {
                move_to(l, raw_end);
                return lex_raw(l);
        }

        move_to(l, at + 2 + (sign != 0));
        if (opens == '#')
                return lex_comment(l);
        r = push(l, (Token) { .kind = opens == '{' ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN });
        return r < 0 ? r : lex_tag(l, opens == '{');
}

/* Newlines become \n, and the last one goes, as Jinja does before anything else. */
static int normalise(Arena *arena, const char *source, size_t n, Str *ret) {
        char *out = jinja_alloc(arena, n);
        size_t k = 0;

        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (source[i] == '\r') {
                        out[k++] = '\n';
                        i += i + 1 < n && source[i + 1] == '\n';
                } else
                        out[k++] = source[i];
        }
        *ret = str_of(out, k && out[k - 1] == '\n' ? k - 1 : k, false);
        return 0;
}

int jinja_lex(Arena *arena, const char *source, size_t n, Token **ret, size_t *ret_n, EngineError *reterr) {
        char brackets[BRACKETS_MAX];
        Lexer l = { .arena = arena, .line = 1, .line_starting = true, .brackets = brackets, .error = reterr };
        int r = normalise(arena, source, n, &l.source);

        while (r >= 0 && l.at < l.source.n)
                r = lex_root(&l);
        if (r >= 0)
                r = push(&l, (Token) { .kind = TOKEN_END });
        if (r == -ENOMEM)
                engine_fail(reterr, r, "template: no memory for its tokens");
        if (r < 0)
                return r;
        *ret = l.tokens;
        *ret_n = l.n;
        return 0;
}
