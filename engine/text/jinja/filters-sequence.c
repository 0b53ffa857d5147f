/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the filters over sequences and mappings. Where Jinja gives a generator so does this, for such a value is iterated
 * once, has no length and is no sequence; it is computed at once all the same. */

#include <errno.h>

#include "engine/text/jinja/methods.h"

static int give(Run *r, SeqBuilder *b, SeqKind kind, bool data, Value *ret) {
        Seq *s;
        TRY(jinja_seq_built(r, b, kind, &s));
        s->data = data;
        *ret = value_seq(s);
        return 0;
}

FILTER(filter_length) {
        int64_t n;
        TRY(jinja_length(r, self, &n));
        *ret = value_int(n, false);
        return 0;
}

FILTER(filter_default) {
        Value otherwise = p[0];
        if (!is_undefined(self) && !(jinja_true(p[1]) && !jinja_true(self))) {
                *ret = self;
                return 0;
        }
        if (otherwise.kind == VALUE_ABSENT)
                TRY(jinja_value_str(r, STR(""), &otherwise));
        *ret = otherwise;
        return 0;
}

FILTER(filter_first) {
        Seq *s;
        TRY(jinja_elements(r, self, &s));
        if (s->n == 0)
                return jinja_undefined(r, ret, "no first item, the sequence was empty");
        *ret = s->items[0];
        return 0;
}

FILTER(filter_last) {
        Seq *s;
        if (is_seq(self, SEQ_ITERATOR))
                return jinja_fail(r, -EBADMSG, "last: a generator cannot be reversed");
        TRY(jinja_elements(r, self, &s));
        if (s->n == 0)
                return jinja_undefined(r, ret, "no last item, the sequence was empty");
        *ret = s->items[s->n - 1];
        return 0;
}

static int copied(Run *r, Value v, SeqKind kind, Value *ret) {
        Seq *from, *s;
        TRY(jinja_elements(r, v, &from));
        TRY(jinja_step(r, from->n * sizeof(Value)));
        TRY(jinja_seq_new(r, kind, from->n, &s));
        if (from->n)
                memcpy(s->items, from->items, from->n * sizeof(Value));
        s->data = jinja_value_data(v);
        *ret = value_seq(s);
        return 0;
}

FILTER(filter_list) { return copied(r, self, SEQ_LIST, ret); }

FILTER(filter_reverse) {
        if (is_str(self))
                return jinja_slice(r, self, NONE, NONE, value_int(-1, false), ret);
        TRY(copied(r, self, SEQ_ITERATOR, ret));
        for (size_t i = 0, n = ret->seq->n; i < n / 2; i++) {
                Value v = ret->seq->items[i];
                ret->seq->items[i] = ret->seq->items[n - 1 - i];
                ret->seq->items[n - 1 - i] = v;
        }
        return 0;
}

FILTER(filter_items) {
        if (is_undefined(self)) {
                SeqBuilder none = {};
                return give(r, &none, SEQ_ITERATOR, false, ret);
        }
        if (self.kind != VALUE_DICT)
                return jinja_fail(r, -EBADMSG, "items: a mapping expected, a %s given", jinja_type_name(self));
        Value method;
        TRY(jinja_attribute(r, self, STR("items"), &method));
        TRY(jinja_call(r, method, &(Args) {}, ret));
        ret->seq->kind = SEQ_ITERATOR;
        return 0;
}

/* An attribute's path, "a.b.0": each part a key, an attribute or a place. */
static int follow(Run *r, Value v, Value path, Value *ret) {
        if (path.kind == VALUE_ABSENT || path.kind == VALUE_NONE) {
                *ret = v;
                return 0;
        }
        if (!is_str(path))
                return jinja_item(r, v, path, ret);
        for (size_t from = 0; from <= path.str->n;) {
                size_t dot = jinja_find(*path.str, STR("."), from), end = dot == SIZE_MAX ? path.str->n : dot;
                Str part = jinja_part(*path.str, from, end);
                bool digits = part.n > 0 && part.n < 10;
                int64_t place = 0;
                for (size_t i = 0; i < part.n && digits; i++) {
                        digits = part.s[i] >= '0' && part.s[i] <= '9';
                        place = place * 10 + (part.s[i] - '0');
                }
                Value key = value_int(place, false);
                if (!digits)
                        TRY(jinja_value_str(r, part, &key));
                TRY(jinja_item(r, v, key, &v));
                from = end + 1;
        }
        *ret = v;
        return 0;
}

static int fold_case(Run *r, Value v, bool case_sensitive, Value *ret) {
        if (is_str(v) && !case_sensitive)
                return jinja_change_case(r, *v.str, CASE_LOWER, ret);
        *ret = v;
        return 0;
}

FILTER(filter_join) {
        Str between = STR("");
        Seq *s;

        if (p[0].kind != VALUE_ABSENT)
                TRY(jinja_text(r, p[0], &between));
        TRY(jinja_elements(r, self, &s));
        if (p[1].kind != VALUE_ABSENT && p[1].kind != VALUE_NONE) {
                Seq *parts;
                TRY(jinja_seq_new(r, SEQ_LIST, s->n, &parts));
                for (size_t i = 0; i < s->n; i++)
                        TRY(follow(r, s->items[i], p[1], parts->items + i));
                s = parts;
        }
        return jinja_join(r, between, s, true, ret);
}

/* These filters ask `if value` before they iterate: none and 0 have no elements to them. */
static int elements_or_none(Run *r, Value v, Seq **ret) {
        return jinja_true(v) ? jinja_elements(r, v, ret) : jinja_seq_new(r, SEQ_LIST, 0, ret);
}

FILTER(filter_map) {
        SeqBuilder out = {};
        Value path = ABSENT, otherwise = ABSENT, v;
        Seq *s;
        Str name;

        for (size_t i = 0; all->n == 0 && i < all->n_named; i++) {
                if (str_is(all->names[i], "attribute"))
                        path = all->named[i];
                else if (str_is(all->names[i], "default"))
                        otherwise = all->named[i];
                else
                        return jinja_fail(r, -EBADMSG, "map: an unexpected keyword argument");
        }
        if (all->n == 0 && path.kind == VALUE_ABSENT)
                return jinja_fail(r, -EBADMSG, "map: a filter or an attribute expected");
        if (all->n)
                TRY(jinja_want_str(r, "map", all->values[0], &name));
        TRY(elements_or_none(r, self, &s));
        for (size_t i = 0; i < s->n; i++) {
                if (all->n) {
                        Args rest = { all->values + 1, all->n - 1, all->names, all->named, all->n_named };
                        TRY(jinja_filter(r, name, s->items[i], &rest, &v));
                } else {
                        TRY(follow(r, s->items[i], path, &v));
                        if (is_undefined(v) && otherwise.kind != VALUE_ABSENT && otherwise.kind != VALUE_NONE)
                                v = otherwise;
                }
                TRY(jinja_seq_add(r, &out, v));
        }
        return give(r, &out, SEQ_ITERATOR, s->data, ret);
}

static int choose(Run *r, Value self, const Args *all, bool by_attribute, bool want, Value *ret) {
        SeqBuilder out = {};
        size_t skip = by_attribute;
        Seq *s;
        Str name = {};

        if (all->n < skip)
                return jinja_fail(r, -EBADMSG, "the name of an attribute is missing");
        if (all->n > skip)
                TRY(jinja_want_str(r, "the name of a test", all->values[skip], &name));
        TRY(elements_or_none(r, self, &s));
        for (size_t i = 0; i < s->n; i++) {
                Value v = s->items[i];
                bool holds;
                if (by_attribute)
                        TRY(follow(r, v, all->values[0], &v));
                if (all->n > skip) {
                        Args rest = { all->values + skip + 1, all->n - skip - 1, all->names, all->named, all->n_named };
                        holds = TRY(jinja_test(r, name, v, &rest));
                } else
                        holds = jinja_true(v);
                if (holds == want)
                        TRY(jinja_seq_add(r, &out, s->items[i]));
        }
        return give(r, &out, SEQ_ITERATOR, s->data, ret);
}

FILTER(filter_select) { return choose(r, self, all, false, true, ret); }
FILTER(filter_reject) { return choose(r, self, all, false, false, ret); }
FILTER(filter_selectattr) { return choose(r, self, all, true, true, ret); }
FILTER(filter_rejectattr) { return choose(r, self, all, true, false, ret); }

FILTER(filter_unique) {
        SeqBuilder out = {};
        Value key, seen;
        Dict *d;
        Seq *s;

        TRY(jinja_elements(r, self, &s));
        TRY(jinja_dict_new(r, &d));
        for (size_t i = 0; i < s->n; i++) {
                TRY(follow(r, s->items[i], p[1], &key));
                TRY(fold_case(r, key, jinja_true(p[0]), &key));
                if (!jinja_hashable(key))
                        return jinja_fail(r, -EBADMSG, "unique: a %s cannot be hashed", jinja_type_name(key));
                if (TRY(jinja_dict_get(r, d, key, &seen)))
                        continue;
                TRY(jinja_dict_set(r, d, key, NONE));
                TRY(jinja_seq_add(r, &out, s->items[i]));
        }
        return give(r, &out, SEQ_ITERATOR, s->data, ret);
}

/* Stable merge sort of items by keys; comparing may fail, which qsort() could not say. */
static int sort(Run *r, Value *items, Value *keys, Value *spare, size_t n, bool reverse) {
        if (n < 2)
                return 0;
        size_t half = n / 2, i = 0, j = half, k = 0;
        TRY(sort(r, items, keys, spare, half, reverse));
        TRY(sort(r, items + half, keys + half, spare, n - half, reverse));
        while (i < half && j < n) {
                int c;
                TRY(jinja_compare(r, keys[j], keys[i], &c));
                size_t from = (reverse ? c == 1 : c == -1) ? j++ : i++;
                spare[k] = items[from];
                spare[n + k++] = keys[from];
        }
        for (; i < half; i++, k++) {
                spare[k] = items[i];
                spare[n + k] = keys[i];
        }
        for (; j < n; j++, k++) {
                spare[k] = items[j];
                spare[n + k] = keys[j];
        }
        memcpy(items, spare, n * sizeof(Value));
        memcpy(keys, spare + n, n * sizeof(Value));
        return 0;
}

static int sort_by(Run *r, Value *items, Value *keys, size_t n, bool reverse) {
        Value *spare = jinja_alloc_array(&r->arena, n, 2 * sizeof(Value));
        if (!spare)
                return jinja_no_memory(r);
        return sort(r, items, keys, spare, n, reverse);
}

/* The key of sort: the values of one or more attributes, "a,b". */
static int sort_key(Run *r, Value v, Value attribute, bool case_sensitive, Value *ret) {
        SeqBuilder keys = {};
        Value key, path;

        if (!is_str(attribute) || jinja_find(*attribute.str, STR(","), 0) == SIZE_MAX) {
                TRY(follow(r, v, attribute, &key));
                return fold_case(r, key, case_sensitive, ret);
        }
        for (size_t from = 0; from <= attribute.str->n;) {
                size_t comma = jinja_find(*attribute.str, STR(","), from), end = comma == SIZE_MAX ? attribute.str->n : comma;
                TRY(jinja_value_str(r, jinja_part(*attribute.str, from, end), &path));
                TRY(follow(r, v, path, &key));
                TRY(fold_case(r, key, case_sensitive, &key));
                TRY(jinja_seq_add(r, &keys, key));
                from = end + 1;
        }
        return give(r, &keys, SEQ_LIST, false, ret);
}

FILTER(filter_sort) {
        Value *keys;

        TRY(copied(r, self, SEQ_LIST, ret));
        if (!(keys = jinja_alloc_array(&r->arena, ret->seq->n, sizeof(Value))))
                return jinja_no_memory(r);
        for (size_t i = 0; i < ret->seq->n; i++)
                TRY(sort_key(r, ret->seq->items[i], p[2], jinja_true(p[1]), keys + i));
        return sort_by(r, ret->seq->items, keys, ret->seq->n, jinja_true(p[0]));
}

FILTER(filter_dictsort) {
        bool by_value = is_str(p[1]) && str_is(*p[1].str, "value");
        Value *keys, method;

        if (self.kind != VALUE_DICT)
                return jinja_fail(r, -EBADMSG, "%s", is_undefined(self) && self.why ? self.why : "dictsort: a mapping expected");
        if (p[1].kind != VALUE_ABSENT && !by_value && !(is_str(p[1]) && str_is(*p[1].str, "key")))
                return jinja_fail(r, -EBADMSG, "dictsort: by must be key or value");
        TRY(jinja_attribute(r, self, STR("items"), &method));
        TRY(jinja_call(r, method, &(Args) {}, ret));
        ret->seq->kind = SEQ_LIST;
        if (!(keys = jinja_alloc_array(&r->arena, ret->seq->n, sizeof(Value))))
                return jinja_no_memory(r);
        for (size_t i = 0; i < ret->seq->n; i++)
                TRY(fold_case(r, ret->seq->items[i].seq->items[by_value], jinja_true(p[0]), keys + i));
        return sort_by(r, ret->seq->items, keys, ret->seq->n, jinja_true(p[2]));
}

static int extreme(Run *r, Value self, const Value *p, int wanted, Value *ret) {
        Value best = ABSENT, key;
        Seq *s;
        int c;

        TRY(jinja_elements(r, self, &s));
        if (s->n == 0)
                return jinja_undefined(r, ret, "no aggregated item, the sequence was empty");
        for (size_t i = 0; i < s->n; i++) {
                TRY(follow(r, s->items[i], p[1], &key));
                TRY(fold_case(r, key, jinja_true(p[0]), &key));
                if (best.kind != VALUE_ABSENT) {
                        TRY(jinja_compare(r, key, best, &c));
                        if (c != wanted)
                                continue;
                }
                best = key;
                *ret = s->items[i];
        }
        return 0;
}

FILTER(filter_min) { return extreme(r, self, p, -1, ret); }
FILTER(filter_max) { return extreme(r, self, p, 1, ret); }

FILTER(filter_sum) {
        Value sum = p[1].kind == VALUE_ABSENT ? value_int(0, false) : p[1], v;
        Seq *s;

        TRY(jinja_elements(r, self, &s));
        if (is_str(sum))
                return jinja_fail(r, -EBADMSG, "sum: texts are joined, not added");
        for (size_t i = 0; i < s->n; i++) {
                TRY(follow(r, s->items[i], p[0], &v));
                TRY(jinja_binary(r, OP_ADD, sum, v, &sum));
        }
        *ret = sum;
        return 0;
}

FILTER(filter_batch) {
        SeqBuilder out = {}, row = {};
        int64_t size;
        Seq *s;
        Value v;

        TRY(jinja_want_int(r, "batch", p[0], 0, &size));
        TRY(jinja_elements(r, self, &s));
        if (size < 1)
                return jinja_fail(r, -EBADMSG, "batch: a size of at least 1 expected");
        for (size_t i = 0; i < s->n; i++) {
                TRY(jinja_seq_add(r, &row, s->items[i]));
                bool full = (int64_t) row.seq->n == size;
                if (!full && i + 1 < s->n)
                        continue;
                while (p[1].kind != VALUE_ABSENT && p[1].kind != VALUE_NONE && (int64_t) row.seq->n < size)
                        TRY(jinja_seq_add(r, &row, p[1]));
                TRY(give(r, &row, SEQ_LIST, s->data, &v));
                TRY(jinja_seq_add(r, &out, v));
                row = (SeqBuilder) {};
        }
        return give(r, &out, SEQ_ITERATOR, s->data, ret);
}

FILTER(filter_slice) {
        SeqBuilder out = {};
        int64_t slices;
        Seq *s;
        Value v;
        size_t at = 0;

        TRY(jinja_want_int(r, "slice", p[0], 0, &slices));
        if (slices < 1)
                return jinja_fail(r, -EBADMSG, "slice: at least 1 slice expected");
        TRY(jinja_elements(r, self, &s));
        for (int64_t i = 0; i < slices; i++) {
                SeqBuilder row = {};
                bool extra = i < (int64_t) s->n % slices;
                for (int64_t k = 0; k < (int64_t) s->n / slices + extra; k++)
                        TRY(jinja_seq_add(r, &row, s->items[at++]));
                if (p[1].kind != VALUE_ABSENT && p[1].kind != VALUE_NONE && !extra)
                        TRY(jinja_seq_add(r, &row, p[1]));
                TRY(give(r, &row, SEQ_LIST, s->data, &v));
                TRY(jinja_seq_add(r, &out, v));
        }
        return give(r, &out, SEQ_ITERATOR, s->data, ret);
}

/* (grouper, list) for each run of equal keys, after sorting by them. */
FILTER(filter_groupby) {
        SeqBuilder out = {}, group = {};
        Value all_sorted, *keys, v, pair;
        Seq *tuple;

        TRY(copied(r, self, SEQ_LIST, &all_sorted));
        size_t n = all_sorted.seq->n;
        if (!(keys = jinja_alloc_array(&r->arena, n, sizeof(Value))))
                return jinja_no_memory(r);
        for (size_t i = 0; i < n; i++) {
                TRY(follow(r, all_sorted.seq->items[i], p[0], keys + i));
                if (is_undefined(keys[i]) && p[1].kind != VALUE_ABSENT && p[1].kind != VALUE_NONE)
                        keys[i] = p[1];
                TRY(fold_case(r, keys[i], jinja_true(p[2]), keys + i));
        }
        TRY(sort_by(r, all_sorted.seq->items, keys, n, false));
        for (size_t i = 0; i < n; i++) {
                TRY(jinja_seq_add(r, &group, all_sorted.seq->items[i]));
                if (i + 1 < n && TRY(jinja_equal(r, keys[i], keys[i + 1])))
                        continue;
                TRY(jinja_seq_new(r, SEQ_TUPLE, 2, &tuple));
                TRY(follow(r, group.seq->items[0], p[0], tuple->items));
                if (is_undefined(tuple->items[0]))
                        tuple->items[0] = keys[i];
                TRY(give(r, &group, SEQ_LIST, false, &v));
                tuple->items[1] = v;
                pair = value_seq(tuple);
                TRY(jinja_seq_add(r, &out, pair));
                group = (SeqBuilder) {};
        }
        return give(r, &out, SEQ_LIST, all_sorted.seq->data, ret);
}

FILTER(filter_attr) {
        Str name;
        TRY(jinja_want_str(r, "attr", p[0], &name));
        /* Attributes only, never keys. */
        if (self.kind == VALUE_DICT && !jinja_builtin_find(jinja_dict_methods, name))
                return jinja_undefined(r, ret, "'dict object' has no attribute '%.*s'", (int) MIN(name.n, (size_t) 100), name.s);
        return jinja_attribute(r, self, name, ret);
}

const Builtin jinja_sequence_filters[] = {
        { "length", filter_length, "" }, { "count", filter_length, "" },
        { "default", filter_default, "=default_value =boolean" }, { "d", filter_default, "=default_value =boolean" },
        { "first", filter_first, "" }, { "last", filter_last, "" }, { "list", filter_list, "" },
        { "reverse", filter_reverse, "" }, { "items", filter_items, "" }, { "join", filter_join, "=d =attribute" },
        { "map", filter_map, NULL }, { "select", filter_select, NULL }, { "reject", filter_reject, NULL },
        { "selectattr", filter_selectattr, NULL }, { "rejectattr", filter_rejectattr, NULL },
        { "unique", filter_unique, "=case_sensitive =attribute" },
        { "sort", filter_sort, "=reverse =case_sensitive =attribute" },
        { "dictsort", filter_dictsort, "=case_sensitive =by =reverse" },
        { "min", filter_min, "=case_sensitive =attribute" }, { "max", filter_max, "=case_sensitive =attribute" },
        { "sum", filter_sum, "=attribute =start" }, { "batch", filter_batch, "linecount =fill_with" },
        { "slice", filter_slice, "slices =fill_with" }, { "groupby", filter_groupby, "attribute =default =case_sensitive" },
        { "attr", filter_attr, "name" },
        {},
};
