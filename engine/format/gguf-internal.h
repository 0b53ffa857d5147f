/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by gguf.c (the index), gguf-parse.c (one file's header) and gguf-values.c (reading values): nothing outside
 * this folder includes it. */

#include "engine/format/gguf.h"

typedef enum GgufValueType {            /* the file format's numbers */
        GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
        GGUF_U64, GGUF_I64, GGUF_F64,
        GGUF_VALUE_TYPES
} GgufValueType;

typedef struct GgufValueTypeInfo {
        const char *name;
        unsigned size;                  /* bytes; 0: of no fixed size */
} GgufValueTypeInfo;

extern const GgufValueTypeInfo gguf_value_types[GGUF_VALUE_TYPES];

typedef struct GgufKv {
        char *key;                      /* owned; printable ASCII */
        GgufValueType type;
        GgufValueType element;          /* of an array; otherwise the same as type */
        size_t n;                       /* elements; 1 where it is no array */
        const uint8_t *data;            /* in the mapping, checked to be whole: the string's text, the array's elements */
        size_t size;                    /* bytes at data */
        size_t at;                      /* where the value stands in its file, for error texts */
} GgufKv;

typedef struct GgufTensorEntry {
        GgufTensor tensor;
        char name[GGUF_NAME_MAX];
        uint64_t offset;                /* in the file's data section */
        size_t at;                      /* where the description stands in its file */
} GgufTensorEntry;

/* What one file's header says, checked in itself: no key twice, every tensor inside the file and apart from the
 * others. Names of tensors are made unique, and `name` pointers set, by the index over all files. */
typedef struct GgufHeader {
        GgufKv *kv;                     /* in the file's order */
        const GgufKv **by_key;          /* sorted */
        size_t n_kv;
        GgufTensorEntry *tensors;
        size_t n_tensors;
} GgufHeader;

/* `where` stands before the byte offset in error texts: "" or "part 2, ". */
int gguf_header_parse(const GgufPart *part, const char *where, GgufHeader *ret, EngineError *reterr);
void gguf_header_done(GgufHeader *h);

const GgufKv *gguf_header_find(const GgufHeader *h, const char *key);

/* An integer of any width: -EBADMSG where the type is none, -ERANGE where it is negative. */
int gguf_unsigned_at(GgufValueType type, const uint8_t *p, uint64_t *ret);

/* The header whose metadata the whole file goes by: the only one, or that of part 0. */
const GgufHeader *gguf_header(const Gguf *g);

/* Longest piece of a name that is put into an error text. */
#define GGUF_SHOWN 96
