/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what values are: made, compared, counted, iterated, as Python does it. Mappings keep the order of insertion and
 * are hashed with a seed, so that a tool description cannot be written to make them slow. */

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/text/jinja/run.h"

#define DICT_SMALL 8u

int jinja_value_str(Run *r, Str t, Value *ret) {
        Str *s = jinja_alloc(&r->arena, sizeof(Str));
        if (!s)
                return jinja_no_memory(r);
        *s = t;
        *ret = (Value) { .kind = VALUE_STR, .str = s };
        return 0;
}

int jinja_undefined(Run *r, Value *ret, const char *format, ...) {
        char text[200];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        size_t n = strlen(text);
        char *why = jinja_alloc(&r->arena, n + 1);
        if (!why)
                return jinja_no_memory(r);
        memcpy(why, text, n + 1);
        *ret = (Value) { .kind = VALUE_UNDEFINED, .why = why };
        return 0;
}

int jinja_seq_new(Run *r, SeqKind kind, size_t n, Seq **ret) {
        Seq *s = jinja_alloc(&r->arena, sizeof(Seq));
        if (!s || !(s->items = jinja_alloc_array(&r->arena, n, sizeof(Value))))
                return jinja_no_memory(r);
        s->n = n;
        s->kind = kind;
        *ret = s;
        return 0;
}

int jinja_dict_new(Run *r, Dict **ret) {
        Dict *d = jinja_alloc(&r->arena, sizeof(Dict));
        if (!d)
                return jinja_no_memory(r);
        *ret = d;
        return 0;
}

static uint64_t fold(uint64_t a, uint64_t b) {
        unsigned __int128 m = (unsigned __int128) a * b;
        return (uint64_t) m ^ (uint64_t) (m >> 64);
}

/* Equal keys hash alike, 1 and 1.0 and True among them. The address of the run is what an attacker does not know. */
static uint64_t hash(const Run *r, Value v) {
        uint64_t h = (uint64_t) (uintptr_t) r ^ 0x9e3779b97f4a7c15;

        if (is_str(v)) {
                for (size_t i = 0; i < v.str->n; i += 8) {
                        uint64_t word = 0;
                        memcpy(&word, v.str->s + i, MIN(v.str->n - i, (size_t) 8));
                        h = fold(h ^ word, 0xd6e8feb86659fd93 ^ v.str->n);
                }
                return h;
        }
        if (v.kind == VALUE_FLOAT && v.f == trunc(v.f) && fabs(v.f) < 9e18)
                return fold(h ^ (uint64_t) (int64_t) v.f, 0xd6e8feb86659fd93);
        if (is_integral(v))
                return fold(h ^ (uint64_t) as_int(v), 0xd6e8feb86659fd93);
        return h ^ v.kind;      /* none, fractions, tuples: rare as keys */
}

bool jinja_hashable(Value v) {
        if (v.kind == VALUE_SEQ) {
                if (v.seq->kind != SEQ_TUPLE)
                        return v.seq->kind == SEQ_RANGE;
                for (size_t i = 0; i < v.seq->n; i++)
                        if (v.seq->items[i].kind == VALUE_SEQ || !jinja_hashable(v.seq->items[i]))
                                return false;   /* tuples in tuples too: nobody keys by them */
                return true;
        }
        return v.kind != VALUE_DICT;
}

/* The entry, or NULL; *ret_slot where the index would hold it. */
static int find(Run *r, const Dict *d, Value key, DictEntry **ret, size_t *ret_slot) {
        *ret = NULL;
        if (!d->index) {
                for (size_t i = 0; i < d->n; i++)
                        if (TRY(jinja_equal(r, d->entries[i].key, key))) {
                                *ret = d->entries + i;
                                break;
                        }
                return 0;
        }
        size_t slot = hash(r, key) & (d->n_index - 1);
        for (; d->index[slot]; slot = (slot + 1) & (d->n_index - 1)) {
                DictEntry *e = d->entries + d->index[slot] - 1;
                if (TRY(jinja_equal(r, e->key, key))) {
                        *ret = e;
                        break;
                }
        }
        *ret_slot = slot;
        return 0;
}

static int grow(Run *r, Dict *d) {
        size_t want = d->allocated ? d->allocated * 2 : DICT_SMALL;
        DictEntry *entries = jinja_alloc_array(&r->arena, want, sizeof(DictEntry));

        if (!entries)
                return jinja_no_memory(r);
        if (d->n)
                memcpy(entries, d->entries, d->n * sizeof(DictEntry));
        d->entries = entries;
        d->allocated = want;
        if (want == DICT_SMALL)
                return 0;

        d->n_index = want * 2;
        d->index = jinja_alloc_array(&r->arena, d->n_index, sizeof(uint32_t));
        if (!d->index)
                return jinja_no_memory(r);
        for (size_t i = 0; i < d->n; i++) {
                size_t slot = hash(r, entries[i].key) & (d->n_index - 1);
                while (d->index[slot])
                        slot = (slot + 1) & (d->n_index - 1);
                d->index[slot] = (uint32_t) i + 1;
        }
        return 0;
}

int jinja_dict_set(Run *r, Dict *d, Value key, Value v) {
        DictEntry *e;
        size_t slot = 0;

        if (!jinja_hashable(key))
                return jinja_fail(r, -EBADMSG, "a %s cannot be a key", jinja_type_name(key));
        TRY(find(r, d, key, &e, &slot));
        if (e) {
                e->value = v;
                return 0;
        }
        if (d->n == d->allocated) {
                TRY(grow(r, d));
                TRY(find(r, d, key, &e, &slot));
        }
        d->entries[d->n++] = (DictEntry) { .key = key, .value = v };
        if (d->index)
                d->index[slot] = (uint32_t) d->n;
        return 0;
}

int jinja_dict_set_text(Run *r, Dict *d, const char *key, Value v) {
        Value k;
        TRY(jinja_value_str(r, str_of(key, strlen(key), false), &k));
        return jinja_dict_set(r, d, k, v);
}

int jinja_dict_get(Run *r, const Dict *d, Value key, Value *ret) {
        DictEntry *e;
        size_t slot;

        TRY(find(r, d, key, &e, &slot));
        if (!e)
                return 0;
        *ret = e->value;
        return 1;
}

int jinja_dict_get_text(Run *r, const Dict *d, Str key, Value *ret) {
        return jinja_dict_get(r, d, (Value) { .kind = VALUE_STR, .str = &key }, ret);
}

bool jinja_true(Value v) {
        switch ((ValueKind) v.kind) {
        case VALUE_ABSENT: case VALUE_UNDEFINED: case VALUE_NONE:
                return false;
        case VALUE_BOOL:
                return v.b;
        case VALUE_INT:
                return v.i != 0;
        case VALUE_FLOAT:
                return v.f != 0;
        case VALUE_STR:
                return v.str->n > 0;
        case VALUE_SEQ:
                return v.seq->kind == SEQ_ITERATOR || v.seq->n > 0;
        case VALUE_DICT:
                return v.dict->n > 0;
        default:
                return true;
        }
}

bool jinja_value_data(Value v) {
        return is_str(v) ? jinja_any_data(*v.str) : v.kind == VALUE_SEQ ? v.seq->data : v.kind == VALUE_DICT ? v.dict->data : v.data;
}

const char *jinja_type_name(Value v) {
        static const char *const names[] = {
                [VALUE_ABSENT] = "nothing", [VALUE_UNDEFINED] = "undefined", [VALUE_NONE] = "none", [VALUE_BOOL] = "bool",
                [VALUE_INT] = "int", [VALUE_BIG] = "int of more than 64 bits", [VALUE_FLOAT] = "float", [VALUE_STR] = "str",
                [VALUE_DICT] = "dict", [VALUE_NAMESPACE] = "namespace", [VALUE_CALLABLE] = "function", [VALUE_LOOP] = "loop",
        };
        static const char *const seqs[] = {
                [SEQ_LIST] = "list", [SEQ_TUPLE] = "tuple", [SEQ_RANGE] = "range", [SEQ_KEYS] = "dict_keys",
                [SEQ_VALUES] = "dict_values", [SEQ_ITEMS] = "dict_items", [SEQ_ITERATOR] = "generator",
        };
        return v.kind == VALUE_SEQ ? seqs[v.seq->kind] : names[v.kind];
}

static int equal_seq(Run *r, const Seq *a, const Seq *b) {
        if (a == b)
                return 1;
        if (a->kind != b->kind || a->n != b->n || a->kind == SEQ_ITERATOR)
                return 0;
        for (size_t i = 0; i < a->n; i++)
                if (!TRY(jinja_equal(r, a->items[i], b->items[i])))
                        return 0;
        return 1;
}

static int equal_dict(Run *r, const Dict *a, const Dict *b) {
        if (a == b)
                return 1;
        if (a->n != b->n)
                return 0;
        for (size_t i = 0; i < a->n; i++) {
                Value v;
                if (!TRY(jinja_dict_get(r, b, a->entries[i].key, &v)) || !TRY(jinja_equal(r, a->entries[i].value, v)))
                        return 0;
        }
        return 1;
}

int jinja_equal(Run *r, Value a, Value b) {
        int e;

        TRY(jinja_step(r, 0));
        if (is_number(a) && is_number(b))
                return is_integral(a) && is_integral(b) ? as_int(a) == as_int(b) : as_float(a) == as_float(b);
        if (a.kind != b.kind)
                return 0;
        switch ((ValueKind) a.kind) {
        case VALUE_UNDEFINED: case VALUE_NONE:
                return 1;
        case VALUE_STR: case VALUE_BIG:
                TRY(jinja_step(r, a.str->n));
                return jinja_str_equal(*a.str, *b.str);
        case VALUE_SEQ: case VALUE_DICT:
                TRY(jinja_enter(r));
                e = a.kind == VALUE_SEQ ? equal_seq(r, a.seq, b.seq) : equal_dict(r, a.dict, b.dict);
                jinja_leave(r);
                return e;
        default:
                return a.callable == b.callable;
        }
}

int jinja_compare(Run *r, Value a, Value b, int *ret) {
        TRY(jinja_step(r, 0));
        if (is_integral(a) && is_integral(b))
                *ret = as_int(a) < as_int(b) ? -1 : as_int(a) > as_int(b);
        else if (is_number(a) && is_number(b)) {
                double x = as_float(a), y = as_float(b);
                *ret = x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
        } else if (is_str(a) && is_str(b)) {
                TRY(jinja_step(r, MIN(a.str->n, b.str->n)));
                *ret = jinja_str_compare(*a.str, *b.str);
                *ret = *ret < 0 ? -1 : *ret > 0;
        } else if (a.kind == VALUE_SEQ && b.kind == VALUE_SEQ && a.seq->kind == b.seq->kind && a.seq->kind <= SEQ_TUPLE) {
                TRY(jinja_enter(r));
                for (size_t i = 0; i < a.seq->n && i < b.seq->n; i++)
                        if (!TRY(jinja_equal(r, a.seq->items[i], b.seq->items[i]))) {
                                TRY(jinja_compare(r, a.seq->items[i], b.seq->items[i], ret));
                                jinja_leave(r);
                                return 0;
                        }
                jinja_leave(r);
                *ret = a.seq->n < b.seq->n ? -1 : a.seq->n > b.seq->n;
        } else if (is_undefined(a) || is_undefined(b))
                return jinja_fail(r, -EBADMSG, "%s", (is_undefined(a) ? a.why : b.why) ?: "a value is undefined");
        else
                return jinja_fail(r, -EBADMSG, "a %s and a %s have no order", jinja_type_name(a), jinja_type_name(b));
        return 0;
}

bool jinja_iterable(Value v) {
        return is_str(v) || v.kind == VALUE_SEQ || v.kind == VALUE_DICT || is_undefined(v) || v.kind == VALUE_LOOP;
}

/* One character of a text; `from` and `to` are its bytes. */
int jinja_value_char(Run *r, Str t, size_t from, size_t to, Value *ret) {
        Str c = jinja_part(t, from, to);
        c.safe = false;
        return jinja_value_str(r, c, ret);
}

int jinja_elements(Run *r, Value v, Seq **ret) {
        Seq *s = NULL;

        switch ((ValueKind) v.kind) {
        case VALUE_SEQ:
                if (v.seq->kind == SEQ_ITERATOR) {
                        TRY(jinja_seq_new(r, SEQ_ITERATOR, 0, &s));
                        if (!v.seq->used)
                                *s = *v.seq;
                        v.seq->used = true;
                        *ret = s;
                } else
                        *ret = v.seq;
                return 0;
        case VALUE_UNDEFINED:
                return jinja_seq_new(r, SEQ_LIST, 0, ret);
        case VALUE_DICT:
                TRY(jinja_step(r, v.dict->n));
                TRY(jinja_seq_new(r, SEQ_KEYS, v.dict->n, &s));
                for (size_t i = 0; i < v.dict->n; i++)
                        s->items[i] = v.dict->entries[i].key;
                s->data = v.dict->data;
                *ret = s;
                return 0;
        case VALUE_STR: {
                TRY(jinja_step(r, v.str->n * 16));
                TRY(jinja_seq_new(r, SEQ_LIST, jinja_chars(*v.str), &s));
                for (size_t i = 0, k = 0, n; i < v.str->n; i += n, k++) {
                        n = jinja_char(*v.str, i, NULL);
                        TRY(jinja_value_char(r, *v.str, i, i + n, s->items + k));
                }
                *ret = s;
                return 0;
        }
        default:
                return jinja_fail(r, -EBADMSG, "a %s cannot be iterated", jinja_type_name(v));
        }
}

int jinja_length(Run *r, Value v, int64_t *ret) {
        switch ((ValueKind) v.kind) {
        case VALUE_UNDEFINED:
                *ret = 0;
                return 0;
        case VALUE_STR:
                TRY(jinja_step(r, v.str->n));
                *ret = (int64_t) jinja_chars(*v.str);
                return 0;
        case VALUE_DICT:
                *ret = (int64_t) v.dict->n;
                return 0;
        case VALUE_LOOP:
                *ret = (int64_t) v.loop->items->n;
                return 0;
        case VALUE_SEQ:
                if (v.seq->kind != SEQ_ITERATOR) {
                        *ret = (int64_t) v.seq->n;
                        return 0;
                }
                break;
        default:
                break;
        }
        return jinja_fail(r, -EBADMSG, "a %s has no length", jinja_type_name(v));
}
