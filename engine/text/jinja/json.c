/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns JSON, both ways: tools and calls come in as JSON texts, tojson writes what Python's json.dumps writes. RFC 8259.
 * A reader of its own, for the values must carry provenance, keep numbers as written and stay inside the run's bounds. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/text/jinja/run.h"

#define JSON_DEPTH_MAX 64u

typedef struct Reader {
        Run *run;
        const char *what;
        Str text;
        size_t at;
        unsigned depth;
} Reader;

static int read_value(Reader *j, Value *ret);

static int bad(Reader *j, const char *reason) {
        return jinja_fail(j->run, -EBADMSG, "%s: %s at byte %zu", j->what, reason, j->at);
}

static char peek(const Reader *j) {
        return j->at < j->text.n ? j->text.s[j->at] : 0;
}

static char skip_blank(Reader *j) {
        while (j->at < j->text.n && strchr(" \t\r\n", j->text.s[j->at]) && j->text.s[j->at])
                j->at++;
        return peek(j);
}

static bool take(Reader *j, const char *word) {
        size_t n = strlen(word);
        if (j->text.n - j->at < n || memcmp(j->text.s + j->at, word, n) != 0)
                return false;
        j->at += n;
        return true;
}

static int read_hex4(Reader *j, uint32_t *ret) {
        uint32_t v = 0;
        for (int i = 0; i < 4; i++, j->at++) {
                char c = peek(j);
                int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
                if (d < 0)
                        return bad(j, "\\u without four hex digits");
                v = v << 4 | (uint32_t) d;
        }
        *ret = v;
        return 0;
}

static int read_escape(Reader *j, Builder *b) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        char c = peek(j);
        const char *known = c ? strchr(from, c) : NULL;
        uint32_t rune = 0, low = 0;

        j->at++;
        if (known)
                return jinja_checked(j->run, jinja_add(b, to + (known - from), 1, j->text.data));
        if (c != 'u')
                return bad(j, "unknown escape");
        TRY(read_hex4(j, &rune));
        if (rune >= 0xd800 && rune < 0xdc00 && take(j, "\\u")) {
                TRY(read_hex4(j, &low));
                if (low < 0xdc00 || low > 0xdfff)
                        return bad(j, "half a surrogate pair");
                rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
        } else if (rune >= 0xd800 && rune <= 0xdfff)
                return bad(j, "half a surrogate pair");
        return jinja_checked(j->run, jinja_add_rune(b, rune, j->text.data));
}

static int read_string(Reader *j, Value *ret) {
        Builder b = { .arena = &j->run->arena };
        bool escapes = false;
        size_t from = ++j->at;

        for (;;) {
                while (j->at < j->text.n && (unsigned char) peek(j) >= 0x20 && peek(j) != '"' && peek(j) != '\\')
                        j->at++;
                if (peek(j) == '"' && !escapes) {
                        Str plain = jinja_part(j->text, from, j->at++);
                        return jinja_value_str(j->run, plain, ret);
                }
                TRY(jinja_checked(j->run, jinja_add_str(&b, jinja_part(j->text, from, j->at))));
                if (peek(j) == '"')
                        break;
                if (peek(j) != '\\')
                        return bad(j, "string without end, or with a control character");
                escapes = true;
                j->at++;
                TRY(read_escape(j, &b));
                from = j->at;
        }
        j->at++;
        Str built = jinja_built(&b);
        built.data = built.n ? built.data : j->text.data;
        return jinja_value_str(j->run, built, ret);
}

static size_t digits(Reader *j) {
        size_t from = j->at;
        while (peek(j) >= '0' && peek(j) <= '9')
                j->at++;
        return j->at - from;
}

static int read_number(Reader *j, Value *ret) {
        size_t from = j->at;
        bool real = false, minus = take(j, "-"), zero = peek(j) == '0';
        char text[512];

        size_t n = digits(j);
        if (n == 0 || (zero && n > 1))
                return bad(j, minus ? "malformed number" : "no value");
        if (peek(j) == '.') {
                j->at++;
                real = true;
                if (digits(j) == 0)
                        return bad(j, "malformed number");
        }
        if ((peek(j) | 32) == 'e') {
                j->at++;
                real = true;
                if (!take(j, "+"))
                        take(j, "-");
                if (digits(j) == 0)
                        return bad(j, "malformed number");
        }
        n = j->at - from;
        if (n >= sizeof text)
                return bad(j, "number of more than 511 characters");
        memcpy(text, j->text.s + from, n);
        text[n] = 0;
        if (real) {
                *ret = value_float(strtod(text, NULL), j->text.data);
                return 0;
        }
        errno = 0;
        *ret = value_int(strtoll(text, NULL, 10), j->text.data);
        if (errno == ERANGE) {
                TRY(jinja_value_str(j->run, jinja_part(j->text, from, j->at), ret));
                ret->kind = VALUE_BIG;
        }
        return 0;
}

static int read_array(Reader *j, Value *ret) {
        Value *items = NULL;
        size_t n = 0, allocated = 0;
        Seq *s;

        j->at++;
        if (skip_blank(j) != ']')
                for (;;) {
                        if (n == allocated) {
                                size_t want = allocated ? allocated * 2 : 8;
                                Value *more = jinja_alloc_array(&j->run->arena, want, sizeof(Value));
                                if (!more)
                                        return jinja_no_memory(j->run);
                                if (n)
                                        memcpy(more, items, n * sizeof(Value));
                                items = more;
                                allocated = want;
                        }
                        TRY(read_value(j, items + n++));
                        if (skip_blank(j) != ',')
                                break;
                        j->at++;
                }
        if (peek(j) != ']')
                return bad(j, "',' or ']' expected");
        j->at++;
        TRY(jinja_seq_new(j->run, SEQ_LIST, 0, &s));
        s->items = items;
        s->n = n;
        s->data = j->text.data;
        *ret = value_seq(s);
        return 0;
}

static int read_object(Reader *j, Value *ret) {
        Value key, v;
        Dict *d;

        TRY(jinja_dict_new(j->run, &d));
        d->data = j->text.data;
        j->at++;
        if (skip_blank(j) != '}')
                for (;;) {
                        if (skip_blank(j) != '"')
                                return bad(j, "a key in quotes expected");
                        TRY(read_string(j, &key));
                        if (skip_blank(j) != ':')
                                return bad(j, "':' expected");
                        j->at++;
                        TRY(read_value(j, &v));
                        TRY(jinja_dict_set(j->run, d, key, v));
                        if (skip_blank(j) != ',')
                                break;
                        j->at++;
                }
        if (peek(j) != '}')
                return bad(j, "',' or '}' expected");
        j->at++;
        *ret = value_dict(d);
        return 0;
}

static int read_value(Reader *j, Value *ret) {
        int r;

        TRY(jinja_step(j->run, 0));
        switch (skip_blank(j)) {
        case '"':
                return read_string(j, ret);
        case '[': case '{':
                if (j->depth++ == JSON_DEPTH_MAX)
                        return jinja_fail(j->run, -E2BIG, "%s: nested more than %u deep", j->what, JSON_DEPTH_MAX);
                r = peek(j) == '[' ? read_array(j, ret) : read_object(j, ret);
                j->depth--;
                return r;
        default:
                if (take(j, "true") || take(j, "false"))
                        *ret = value_bool(j->text.s[j->at - 2] == 'u');
                else if (take(j, "null"))
                        *ret = NONE;
                else
                        return read_number(j, ret);
                ret->data = j->text.data;
                return 0;
        }
}

int jinja_json_read(Run *r, const char *what, const char *s, size_t n, bool data, Value *ret) {
        Reader j = { .run = r, .what = what, .text = str_of(s, n, data) };

        TRY(jinja_step(r, n));
        TRY(read_value(&j, ret));
        return skip_blank(&j) || j.at < n ? bad(&j, "more than one value") : 0;
}

/* Writing */

typedef struct Writer {
        Run *run;
        const JsonStyle *style;
        Builder *out;
        unsigned depth;
} Writer;

static int write_value(Writer *w, Value v, bool data);

static int put(Writer *w, const char *s, bool data) {
        return jinja_put(w->run, w->out, str_of(s, strlen(s), data));
}

static int write_escape(Writer *w, uint32_t c, bool data) {
        static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
        const char *known = c && c < 0x80 ? strchr(from, (char) c) : NULL;
        char text[16];

        if (known)
                snprintf(text, sizeof text, "\\%c", to[known - from]);
        else if (c < 0x10000)
                snprintf(text, sizeof text, "\\u%04x", c);
        else
                snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
        return put(w, text, data);
}

static int write_string(Writer *w, Str t, bool data) {
        data = data || jinja_any_data(t);
        TRY(put(w, "\"", data));
        for (size_t i = 0, from = 0, n; i <= t.n; i += n) {
                uint32_t c = 0;
                n = i < t.n ? jinja_char(t, i, &c) : 1;
                bool plain = c >= 0x20 && c != '"' && c != '\\' && (c < 0x80 || !w->style->ascii);
                if (i < t.n && plain)
                        continue;
                TRY(jinja_put(w->run, w->out, jinja_part(t, from, i)));
                if (i < t.n)
                        TRY(write_escape(w, c, str_tag(t, i)));
                from = i + n;
        }
        return put(w, "\"", data);
}

static int write_float(Writer *w, double f, bool data) {
        char text[40];
        if (isnan(f) || isinf(f))
                return put(w, isnan(f) ? "NaN" : f < 0 ? "-Infinity" : "Infinity", data);
        return jinja_put(w->run, w->out, str_of(text, jinja_format_float(f, text), data));
}

/* Keys that are not texts are written as texts. */
static int write_key(Writer *w, Value key, bool data) {
        if (is_str(key))
                return write_string(w, *key.str, data);
        if (!is_number(key) && key.kind != VALUE_NONE && key.kind != VALUE_BIG)
                return jinja_fail(w->run, -EBADMSG, "tojson: a %s cannot be a key", jinja_type_name(key));
        TRY(put(w, "\"", data));
        TRY(write_value(w, key, data));
        return put(w, "\"", data);
}

static int new_line(Writer *w, bool data) {
        if (!w->style->has_indent)
                return 0;
        TRY(put(w, "\n", data));
        for (unsigned i = 0; i < w->depth; i++) {
                Str indent = w->style->indent;
                indent.data |= data;
                TRY(jinja_put(w->run, w->out, indent));
        }
        return 0;
}

static int separator(Writer *w, Str s, bool data) {
        if (!s.mask)
                s.data |= data;
        return jinja_put(w->run, w->out, s);
}

static int write_seq(Writer *w, const Seq *s, bool data) {
        if (s->kind > SEQ_TUPLE)
                return jinja_fail(w->run, -EBADMSG, "tojson: a %s has no JSON form", jinja_type_name(value_seq((Seq *) s)));
        if (s->n == 0)
                return put(w, "[]", data);
        TRY(put(w, "[", data));
        w->depth++;
        for (size_t i = 0; i < s->n; i++) {
                if (i)
                        TRY(separator(w, w->style->between_items, data));
                TRY(new_line(w, data));
                TRY(write_value(w, s->items[i], data));
        }
        w->depth--;
        TRY(new_line(w, data));
        return put(w, "]", data);
}

static int by_key(const void *a, const void *b) {
        const DictEntry *x = a, *y = b;
        return jinja_str_compare(*x->key.str, *y->key.str);
}

static int sorted(Writer *w, const Dict *d, const DictEntry **ret) {
        DictEntry *copy = jinja_alloc_array(&w->run->arena, d->n, sizeof(DictEntry));
        if (!copy)
                return jinja_no_memory(w->run);
        TRY(jinja_step(w->run, d->n * 64));
        for (size_t i = 0; i < d->n; i++) {
                if (!is_str(d->entries[i].key))
                        return jinja_fail(w->run, -EBADMSG, "tojson: keys that are not texts cannot be sorted");
                copy[i] = d->entries[i];
        }
        qsort(copy, d->n, sizeof(DictEntry), by_key);
        *ret = copy;
        return 0;
}

static int write_dict(Writer *w, const Dict *d, bool data) {
        const DictEntry *entries = d->entries;

        if (d->n == 0)
                return put(w, "{}", data);
        if (w->style->sort_keys)
                TRY(sorted(w, d, &entries));
        TRY(put(w, "{", data));
        w->depth++;
        for (size_t i = 0; i < d->n; i++) {
                if (i)
                        TRY(separator(w, w->style->between_items, data));
                TRY(new_line(w, data));
                TRY(write_key(w, entries[i].key, data));
                TRY(separator(w, w->style->between_pair, data));
                TRY(write_value(w, entries[i].value, data));
        }
        w->depth--;
        TRY(new_line(w, data));
        return put(w, "}", data);
}

static int write_any(Writer *w, Value v, bool data) {
        switch ((ValueKind) v.kind) {
        case VALUE_NONE:
                return put(w, "null", data);
        case VALUE_BOOL:
                return put(w, v.b ? "true" : "false", data);
        case VALUE_FLOAT:
                return write_float(w, v.f, data);
        case VALUE_INT: case VALUE_BIG:
                v.data = data;
                return jinja_repr(w->run, v, w->out);
        case VALUE_STR:
                return write_string(w, *v.str, data);
        case VALUE_SEQ:
                return write_seq(w, v.seq, data);
        case VALUE_DICT:
                return write_dict(w, v.dict, data);
        default:
                return jinja_fail(w->run, -EBADMSG, "tojson: %s", is_undefined(v) && v.why ? v.why : "a value has no JSON form");
        }
}

/* Inside a container that is data all is data. */
static int write_value(Writer *w, Value v, bool data) {
        TRY(jinja_step(w->run, 0));
        TRY(jinja_enter(w->run));
        int r = write_any(w, v, data || (!is_str(v) && jinja_value_data(v)));
        jinja_leave(w->run);
        return r;
}

int jinja_json_write(Run *r, Value v, const JsonStyle *style, Builder *b) {
        Writer w = { .run = r, .style = style, .out = b };
        return write_value(&w, v, false);
}
