/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the methods of texts that give texts or lists, and those of mappings and lists. */

#include <errno.h>

#include "engine/text/jinja/methods.h"

/* A text or none; NULL for none. */
static int want_chars(Run *r, const char *what, Value v, Str *store, const Str **ret) {
        *ret = NULL;
        if (v.kind == VALUE_ABSENT || v.kind == VALUE_NONE)
                return 0;
        TRY(jinja_want_str(r, what, v, store));
        *ret = store;
        return 0;
}

static int strip(Run *r, Value self, Value chars, StripSide side, Value *ret) {
        const Str *set;
        Str store;
        TRY(want_chars(r, "strip", chars, &store, &set));
        TRY(jinja_step(r, self.str->n));
        return jinja_value_str(r, jinja_strip(*self.str, side, set), ret);
}

FILTER(str_strip) { return strip(r, self, p[0], STRIP_BOTH, ret); }
FILTER(str_lstrip) { return strip(r, self, p[0], STRIP_LEFT, ret); }
FILTER(str_rstrip) { return strip(r, self, p[0], STRIP_RIGHT, ret); }
FILTER(str_upper) { return jinja_change_case(r, *self.str, CASE_UPPER, ret); }
FILTER(str_lower) { return jinja_change_case(r, *self.str, CASE_LOWER, ret); }
FILTER(str_title) { return jinja_change_case(r, *self.str, CASE_TITLE, ret); }
FILTER(str_capitalize) { return jinja_change_case(r, *self.str, CASE_CAPITALIZE, ret); }
FILTER(str_swapcase) { return jinja_change_case(r, *self.str, CASE_SWAP, ret); }

static bool space_at(Str t, size_t i) {
        uint32_t c;
        jinja_char(t, i, &c);
        return jinja_is_space(c);
}

static int split_blanks(Run *r, Str t, int64_t max, SeqBuilder *out) {
        for (size_t i = 0;;) {
                while (i < t.n && space_at(t, i))
                        i += jinja_char(t, i, NULL);
                if (i == t.n)
                        return 0;
                if (max-- == 0)
                        return jinja_seq_add_str(r, out, jinja_part(t, i, t.n));
                size_t from = i;
                while (i < t.n && !space_at(t, i))
                        i += jinja_char(t, i, NULL);
                TRY(jinja_seq_add_str(r, out, jinja_part(t, from, i)));
        }
}

static int rsplit_blanks(Run *r, Str t, int64_t max, SeqBuilder *out) {
        for (size_t end = t.n;;) {
                while (end > 0 && space_at(t, end - jinja_char_before(t, end)))
                        end -= jinja_char_before(t, end);
                if (end == 0)
                        return 0;
                if (max-- == 0)
                        return jinja_seq_add_str(r, out, jinja_part(t, 0, end));
                size_t from = end;
                while (from > 0 && !space_at(t, from - jinja_char_before(t, from)))
                        from -= jinja_char_before(t, from);
                TRY(jinja_seq_add_str(r, out, jinja_part(t, from, end)));
                end = from;
        }
}

static int split_at(Run *r, Str t, Str by, int64_t max, SeqBuilder *out) {
        size_t from = 0;
        for (size_t hit; max-- != 0 && (hit = jinja_find(t, by, from)) != SIZE_MAX; from = hit + by.n)
                TRY(jinja_seq_add_str(r, out, jinja_part(t, from, hit)));
        return jinja_seq_add_str(r, out, jinja_part(t, from, t.n));
}

static int rsplit_at(Run *r, Str t, Str by, int64_t max, SeqBuilder *out) {
        size_t end = t.n;
        for (size_t hit; max-- != 0 && (hit = jinja_find_last(t, by, end)) != SIZE_MAX; end = hit)
                TRY(jinja_seq_add_str(r, out, jinja_part(t, hit + by.n, end)));
        return jinja_seq_add_str(r, out, jinja_part(t, 0, end));
}

static void reverse(Seq *s) {
        for (size_t i = 0; i < s->n / 2; i++) {
                Value v = s->items[i];
                s->items[i] = s->items[s->n - 1 - i];
                s->items[s->n - 1 - i] = v;
        }
}

static int split(Run *r, Str t, const Value *p, bool right, Value *ret) {
        SeqBuilder out = {};
        const Str *by;
        int64_t max;
        Str store;
        Seq *s;

        TRY(want_chars(r, "split", p[0], &store, &by));
        TRY(jinja_want_int(r, "split", p[1], -1, &max));
        max = max < 0 ? -1 : max;
        if (by && by->n == 0)
                return jinja_fail(r, -EBADMSG, "split: an empty separator");
        TRY(jinja_step(r, t.n * 4));
        if (by)
                TRY(right ? rsplit_at(r, t, *by, max, &out) : split_at(r, t, *by, max, &out));
        else
                TRY(right ? rsplit_blanks(r, t, max, &out) : split_blanks(r, t, max, &out));
        TRY(jinja_seq_built(r, &out, SEQ_LIST, &s));
        if (right)
                reverse(s);
        *ret = value_seq(s);
        return 0;
}

FILTER(str_split) { return split(r, *self.str, p, false, ret); }
FILTER(str_rsplit) { return split(r, *self.str, p, true, ret); }

FILTER(str_splitlines) {
        Seq *s;
        TRY(jinja_split_lines(r, *self.str, jinja_true(p[0]), &s));
        *ret = value_seq(s);
        return 0;
}

static int partition(Run *r, Str t, Value separator, bool right, Value *ret) {
        Seq *s;
        Str by;

        TRY(jinja_want_str(r, "partition", separator, &by));
        if (by.n == 0)
                return jinja_fail(r, -EBADMSG, "partition: an empty separator");
        TRY(jinja_step(r, t.n));
        size_t hit = right ? jinja_find_last(t, by, t.n) : jinja_find(t, by, 0);
        Str none = STR("");
        Str parts[3] = { right ? none : t, none, right ? t : none };
        if (hit != SIZE_MAX) {
                parts[0] = jinja_part(t, 0, hit);
                parts[1] = by;
                parts[2] = jinja_part(t, hit + by.n, t.n);
        }
        TRY(jinja_seq_new(r, SEQ_TUPLE, 3, &s));
        for (size_t i = 0; i < 3; i++)
                TRY(jinja_value_str(r, parts[i], s->items + i));
        *ret = value_seq(s);
        return 0;
}

FILTER(str_partition) { return partition(r, *self.str, p[0], false, ret); }
FILTER(str_rpartition) { return partition(r, *self.str, p[0], true, ret); }

FILTER(str_replace) {
        int64_t count;
        Str from, to;
        TRY(jinja_want_str(r, "replace", p[0], &from));
        TRY(jinja_want_str(r, "replace", p[1], &to));
        TRY(jinja_want_int(r, "replace", p[2], -1, &count));
        return jinja_replace(r, *self.str, from, to, count, ret);
}

FILTER(str_join) {
        Seq *s;
        TRY(jinja_elements(r, p[0], &s));
        return jinja_join(r, *self.str, s, false, ret);
}

FILTER(str_format) { return jinja_format(r, *self.str, all, ret); }

static int pad(Run *r, Value self, const Value *p, Side side, Value *ret) {
        Str fill = STR(" ");
        int64_t width;
        TRY(jinja_want_int(r, "width", p[0], 0, &width));
        if (p[1].kind != VALUE_ABSENT)
                TRY(jinja_want_str(r, "fill", p[1], &fill));
        return jinja_pad(r, *self.str, width, fill, side, ret);
}

FILTER(str_center) { return pad(r, self, p, SIDE_CENTER, ret); }
FILTER(str_ljust) { return pad(r, self, p, SIDE_LEFT, ret); }
FILTER(str_rjust) { return pad(r, self, p, SIDE_RIGHT, ret); }

FILTER(str_zfill) {
        Str t = *self.str;
        Builder b = { .arena = &r->arena };
        int64_t width;

        TRY(jinja_want_int(r, "zfill", p[0], 0, &width));
        size_t sign = t.n && (t.s[0] == '+' || t.s[0] == '-');
        TRY(jinja_put(r, &b, jinja_part(t, 0, sign)));
        for (int64_t i = (int64_t) jinja_chars(t); i < width; i++)
                TRY(jinja_put(r, &b, STR("0")));
        TRY(jinja_put(r, &b, jinja_part(t, sign, t.n)));
        return jinja_value_str(r, jinja_built(&b), ret);
}

static int remove_fix(Run *r, Str t, Value fix, bool end, Value *ret) {
        Str f;
        TRY(jinja_want_str(r, "removeprefix or removesuffix", fix, &f));
        if (f.n && f.n <= t.n && memcmp(end ? t.s + t.n - f.n : t.s, f.s, f.n) == 0)
                t = end ? jinja_part(t, 0, t.n - f.n) : jinja_part(t, f.n, t.n);
        return jinja_value_str(r, t, ret);
}

FILTER(str_removeprefix) { return remove_fix(r, *self.str, p[0], false, ret); }
FILTER(str_removesuffix) { return remove_fix(r, *self.str, p[0], true, ret); }

const Builtin jinja_str_methods[] = {
        { "strip", str_strip, "=chars" }, { "lstrip", str_lstrip, "=chars" }, { "rstrip", str_rstrip, "=chars" },
        { "upper", str_upper, "" }, { "lower", str_lower, "" }, { "title", str_title, "" },
        { "capitalize", str_capitalize, "" }, { "swapcase", str_swapcase, "" },
        { "split", str_split, "=sep =maxsplit" }, { "rsplit", str_rsplit, "=sep =maxsplit" },
        { "splitlines", str_splitlines, "=keepends" },
        { "partition", str_partition, "sep" }, { "rpartition", str_rpartition, "sep" },
        { "replace", str_replace, "old new =count" }, { "join", str_join, "iterable" }, { "format", str_format, NULL },
        { "center", str_center, "width =fillchar" }, { "ljust", str_ljust, "width =fillchar" },
        { "rjust", str_rjust, "width =fillchar" }, { "zfill", str_zfill, "width" },
        { "removeprefix", str_removeprefix, "prefix" }, { "removesuffix", str_removesuffix, "suffix" },
        {},
};

/* Mappings */

static int view(Run *r, const Dict *d, SeqKind kind, Value *ret) {
        Seq *s, *pair;

        TRY(jinja_step(r, d->n * 16));
        TRY(jinja_seq_new(r, kind, d->n, &s));
        for (size_t i = 0; i < d->n; i++) {
                s->items[i] = kind == SEQ_KEYS ? d->entries[i].key : d->entries[i].value;
                if (kind != SEQ_ITEMS)
                        continue;
                TRY(jinja_seq_new(r, SEQ_TUPLE, 2, &pair));
                pair->items[0] = d->entries[i].key;
                pair->items[1] = d->entries[i].value;
                pair->data = d->data;
                s->items[i] = value_seq(pair);
        }
        s->data = d->data;
        *ret = value_seq(s);
        return 0;
}

FILTER(dict_keys) { return view(r, self.dict, SEQ_KEYS, ret); }
FILTER(dict_values) { return view(r, self.dict, SEQ_VALUES, ret); }
FILTER(dict_items) { return view(r, self.dict, SEQ_ITEMS, ret); }

FILTER(dict_get) {
        if (!jinja_hashable(p[0]))
                return jinja_fail(r, -EBADMSG, "a %s cannot be a key", jinja_type_name(p[0]));
        if (!TRY(jinja_dict_get(r, self.dict, p[0], ret)))
                *ret = p[1].kind == VALUE_ABSENT ? NONE : p[1];
        return 0;
}

FILTER(dict_copy) {
        Dict *d;
        TRY(jinja_dict_new(r, &d));
        for (size_t i = 0; i < self.dict->n; i++)
                TRY(jinja_dict_set(r, d, self.dict->entries[i].key, self.dict->entries[i].value));
        d->data = self.dict->data;
        *ret = value_dict(d);
        return 0;
}

const Builtin jinja_dict_methods[] = {
        { "keys", dict_keys, "" }, { "values", dict_values, "" }, { "items", dict_items, "" },
        { "get", dict_get, "key =default" }, { "copy", dict_copy, "" },
        { "clear" }, { "pop" }, { "popitem" }, { "setdefault" }, { "update" },
        {},
};

/* Lists and tuples */

FILTER(list_count) {
        int64_t n = 0;
        for (size_t i = 0; i < self.seq->n; i++)
                n += TRY(jinja_equal(r, self.seq->items[i], p[0]));
        *ret = value_int(n, false);
        return 0;
}

FILTER(list_index) {
        for (size_t i = 0; i < self.seq->n; i++)
                if (TRY(jinja_equal(r, self.seq->items[i], p[0]))) {
                        *ret = value_int((int64_t) i, false);
                        return 0;
                }
        return jinja_fail(r, -EBADMSG, "index: the value is not in the list");
}

FILTER(list_copy) {
        return jinja_slice(r, self, NONE, NONE, NONE, ret);
}

const Builtin jinja_list_methods[] = {
        { "count", list_count, "value" }, { "index", list_index, "value" }, { "copy", list_copy, "" },
        { "append" }, { "clear" }, { "extend" }, { "insert" }, { "pop" }, { "remove" }, { "reverse" }, { "sort" },
        {},
};
