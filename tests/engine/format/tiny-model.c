/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the making of a tiny model's metadata, vocabulary and tensors, with the changes that a test asked for applied
 * where each thing is written. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "basic/cleanup.h"
#include "engine/format/gguf-writer.h"
#include "tests/engine/format/tiny-model.h"
#include "tests/engine/format/tiny-weights.h"

#define TENSORS_MAX 2048u

/* Forty pairs, each of pieces that exist before it. "\xc4\xa0" is how byte-level BPE writes a space. */
#define SP "\xc4\xa0"
static const char *const merges[][2] = {
        { SP, "t" }, { SP, "a" }, { "h", "e" }, { "i", "n" }, { "r", "e" }, { "o", "n" }, { SP "t", "he" }, { "e", "r" },
        { SP, "s" }, { "a", "t" }, { SP, "w" }, { "o", "u" }, { SP, "o" }, { "i", "s" }, { "n", "d" }, { "e", "n" },
        { SP, "c" }, { "in", "g" }, { SP, "b" }, { SP, "f" }, { "a", "n" }, { "o", "r" }, { SP, "m" }, { "e", "s" },
        { SP "t", "o" }, { SP "a", "nd" }, { SP, "in" }, { "l", "l" }, { SP, "is" }, { SP "o", "f" }, { "i", "t" }, { "y", "ou" },
        { "H", "e" }, { "He", "ll" }, { "Hell", "o" }, { SP, SP }, { SP SP, SP SP }, { "w", "or" }, { "l", "d" }, { "1", "2" },
};
_Static_assert(TINY_MERGES + sizeof merges / sizeof *merges == TINY_VOCAB_MIN, "one token for each merge");

static const char chat_template[] =
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

typedef struct Maker {
        TinyModel m;
        GgufWriter *w;
        uint64_t random;
        void *data[TENSORS_MAX];        /* of the tensors, until the file is written */
        size_t n_data;
        char (*pieces)[24];             /* the vocabulary's text */
        uint64_t used;                  /* changes that were made: one bit each */
} Maker;

static const TinyChange *change(Maker *k, TinyChangeKind kind, const char *key) {
        for (size_t i = 0; i < k->m.n_changes; i++)
                if (k->m.changes[i].kind == kind && strcmp(k->m.changes[i].key, key) == 0) {
                        k->used |= UINT64_C(1) << i;
                        return &k->m.changes[i];
                }
        return NULL;
}

/* Writes a key's changed value, if it has one. */
static bool changed(Maker *k, const char *key) {
        const TinyChange *c;
        if (change(k, TINY_OMIT, key))
                return true;
        if ((c = change(k, TINY_SET_U32, key)))
                gguf_writer_u32(k->w, key, c->u);
        else if ((c = change(k, TINY_SET_F32, key)))
                gguf_writer_f32(k->w, key, c->f);
        else if ((c = change(k, TINY_SET_STRING, key)))
                gguf_writer_string(k->w, key, c->s, strlen(c->s));
        return !!c;
}

static size_t shortened(Maker *k, const char *key, size_t n) {
        const TinyChange *c = change(k, TINY_SHORTEN, key);
        return c ? n - MIN((size_t) c->u, n) : n;
}

static void put_u32(Maker *k, const char *key, uint32_t v) {
        if (!changed(k, key))
                gguf_writer_u32(k->w, key, v);
}

static void put_f32(Maker *k, const char *key, float v) {
        if (!changed(k, key))
                gguf_writer_f32(k->w, key, v);
}

static void put_string(Maker *k, const char *key, const char *v) {
        if (!changed(k, key))
                gguf_writer_string(k->w, key, v, strlen(v));
}

static void put_strings(Maker *k, const char *key, GgufString *v, size_t n) {
        for (size_t i = 0; i < k->m.n_changes; i++) {
                const TinyChange *c = &k->m.changes[i];
                if (c->kind == TINY_ELEMENT && strcmp(c->key, key) == 0 && c->u < n)
                        v[c->u] = (GgufString) { c->s, strlen(c->s) };
        }
        if (!changed(k, key))
                gguf_writer_strings(k->w, key, v, shortened(k, key, n));
}

static void put_i32s(Maker *k, const char *key, int32_t *v, size_t n) {
        for (size_t i = 0; i < k->m.n_changes; i++) {
                const TinyChange *c = &k->m.changes[i];
                if (c->kind == TINY_ELEMENT_NUMBER && strcmp(c->key, key) == 0 && c->u < n)
                        v[c->u] = (int32_t) c->f;
        }
        if (!changed(k, key))
                gguf_writer_i32s(k->w, key, v, shortened(k, key, n));
}

/* The printable stand-in of a byte: itself where Latin-1 shows something there, else the next free code point from
 * U+0100 on (GPT-2's bytes_to_unicode). */
static void byte_piece(unsigned byte, char *ret) {
        unsigned code = 0x100;
        for (unsigned b = 0; b <= byte; b++) {
                bool shown = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
                if (b == byte && shown)
                        code = b;
                else if (b != byte && !shown)
                        code++;
        }
        if (code < 0x80)
                snprintf(ret, 3, "%c", (char) code);
        else
                snprintf(ret, 3, "%c%c", (char) (0xc0 | code >> 6), (char) (0x80 | (code & 63)));
}

static int put_vocabulary(Maker *k) {
        static const char *const named[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>" };
        size_t n = k->m.n_vocab;
        _cleanup_free_ GgufString *tokens = calloc(n, sizeof *tokens);
        _cleanup_free_ int32_t *types = calloc(n, sizeof *types);
        GgufString lines[ELEMENTSOF(merges)];
        char text[ELEMENTSOF(merges)][24];

        k->pieces = calloc(n, sizeof *k->pieces);
        if (!tokens || !types || !k->pieces)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                char *p = k->pieces[i];
                types[i] = 1;                           /* normal */
                if (i < TINY_BYTES) {
                        snprintf(p, sizeof k->pieces[i], "%s", named[i]);
                        types[i] = i < TINY_TOOL_CALL ? 3 : 4; /* control, user-defined */
                } else if (i < TINY_MERGES)
                        byte_piece((unsigned) (i - TINY_BYTES), p);
                else if (i < TINY_VOCAB_MIN)
                        snprintf(p, sizeof k->pieces[i], "%s%s", merges[i - TINY_MERGES][0], merges[i - TINY_MERGES][1]);
                else {
                        snprintf(p, sizeof k->pieces[i], "<|extra_%zu|>", i - TINY_VOCAB_MIN);
                        types[i] = 5;                   /* unused */
                }
                tokens[i] = (GgufString) { p, strlen(p) };
        }
        for (size_t i = 0; i < ELEMENTSOF(merges); i++) {
                snprintf(text[i], sizeof text[i], "%s %s", merges[i][0], merges[i][1]);
                lines[i] = (GgufString) { text[i], strlen(text[i]) };
        }

        put_string(k, "tokenizer.ggml.model", "gpt2");
        put_string(k, "tokenizer.ggml.pre", "smollm");
        put_strings(k, "tokenizer.ggml.tokens", tokens, n);
        put_i32s(k, "tokenizer.ggml.token_type", types, n);
        put_strings(k, "tokenizer.ggml.merges", lines, ELEMENTSOF(merges));
        put_u32(k, "tokenizer.ggml.bos_token_id", TINY_IM_START);
        put_u32(k, "tokenizer.ggml.eos_token_id", TINY_IM_END);
        put_u32(k, "tokenizer.ggml.unknown_token_id", TINY_END_OF_TEXT);
        put_u32(k, "tokenizer.ggml.padding_token_id", TINY_IM_END);
        if (!changed(k, "tokenizer.ggml.add_bos_token"))
                gguf_writer_bool(k->w, "tokenizer.ggml.add_bos_token", false);
        put_string(k, "tokenizer.chat_template", chat_template);
        return 0;
}

static void put_parameters(Maker *k) {
        const TinyModel *m = &k->m;
        put_string(k, "general.architecture", "llama");
        put_string(k, "general.name", "tiny");
        put_u32(k, "llama.block_count", m->n_layers);
        put_u32(k, "llama.context_length", m->n_ctx);
        put_u32(k, "llama.embedding_length", m->n_embd);
        put_u32(k, "llama.feed_forward_length", m->n_ff);
        put_u32(k, "llama.attention.head_count", m->n_heads);
        put_u32(k, "llama.attention.head_count_kv", m->n_heads_kv);
        put_u32(k, "llama.rope.dimension_count", m->n_embd / m->n_heads);
        put_f32(k, "llama.rope.freq_base", 10000);
        put_f32(k, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
        put_u32(k, "llama.vocab_size", m->n_vocab);
}

/* Keys that a change sets and that the model has not on its own. */
static void put_added(Maker *k) {
        for (size_t i = 0; i < k->m.n_changes; i++)
                if (!(k->used & UINT64_C(1) << i) && k->m.changes[i].kind <= TINY_SET_STRING)
                        changed(k, k->m.changes[i].key);
}

static int put_tensor(Maker *k, const char *name, const TensorType *type, uint64_t columns, uint64_t rows, float mean, float deviation) {
        uint64_t ne[2] = { columns, rows };
        const TinyChange *c = change(k, TINY_SHAPE, name);
        void *data;
        if (change(k, TINY_OMIT, name))
                return 0;
        if (c)
                ne[c->u & 1] = c->n;
        if (k->n_data == TENSORS_MAX || ne[0] == 0 || ne[0] % type->block_size != 0)
                return -EINVAL;
        c = change(k, TINY_FILL, name);
        int r = tiny_weights(type, ne[0] * ne[1], c ? c->f : mean, c ? 0 : deviation, &k->random, &data);
        if (r < 0)
                return r;
        k->data[k->n_data++] = data;
        return gguf_writer_tensor(k->w, name, type, rows == 1 ? 1 : 2, ne, data);
}

static int put_tensors(Maker *k) {
        const TinyModel *m = &k->m;
        const TensorType *f32 = tensor_type(TENSOR_F32), *type = tensor_type(m->type);
        const uint64_t n_kv = (uint64_t) m->n_embd / m->n_heads * m->n_heads_kv;
        const struct {
                const char *name;
                uint64_t columns, rows; /* rows 1: a norm */
        } layer[] = {
                { "attn_norm", m->n_embd, 1 },
                { "attn_q", m->n_embd, m->n_embd },
                { "attn_k", m->n_embd, n_kv },
                { "attn_v", m->n_embd, n_kv },
                { "attn_output", m->n_embd, m->n_embd },
                { "ffn_norm", m->n_embd, 1 },
                { "ffn_gate", m->n_embd, m->n_ff },
                { "ffn_up", m->n_embd, m->n_ff },
                { "ffn_down", m->n_ff, m->n_embd },
        };
        if (!type)
                return -EINVAL;
        int r = put_tensor(k, "token_embd.weight", type, m->n_embd, m->n_vocab, 0, 0.5f);
        for (uint32_t i = 0; r >= 0 && i < m->n_layers; i++)
                for (size_t j = 0; r >= 0 && j < ELEMENTSOF(layer); j++) {
                        char name[GGUF_NAME_MAX];
                        bool norm = layer[j].rows == 1;
                        snprintf(name, sizeof name, "blk.%u.%s.weight", i, layer[j].name);
                        r = put_tensor(k, name, norm ? f32 : type, layer[j].columns, layer[j].rows, norm, 0.1f);
                }
        if (r >= 0)
                r = put_tensor(k, "output_norm.weight", f32, m->n_embd, 1, 1, 0.1f);
        if (r >= 0 && m->untied)
                r = put_tensor(k, "output.weight", type, m->n_embd, m->n_vocab, 0, 0.5f);
        return r;
}

static void maker_done(Maker *k) {
        gguf_writer_free(k->w);
        for (size_t i = 0; i < k->n_data; i++)
                free(k->data[i]);
        free(k->pieces);
        free(k);
}
DEFINE_CLEANUP(Maker, maker_done);

int tiny_model(const TinyModel *m, void **ret, size_t *ret_size) {
        static const TinyModel nothing;
        _cleanup_(maker_donep) Maker *k = calloc(1, sizeof *k);
        if (!k)
                return -ENOMEM;
        if (!m)
                m = &nothing;
        k->m = *m;
        k->m.n_layers = m->n_layers ?: 2;
        k->m.n_embd = m->n_embd ?: 64;
        k->m.n_heads = m->n_heads ?: 4;
        k->m.n_heads_kv = m->n_heads_kv ?: 2;
        k->m.n_ff = m->n_ff ?: 128;
        k->m.n_ctx = m->n_ctx ?: 512;
        k->m.n_vocab = m->n_vocab ?: TINY_VOCAB_MIN;
        k->random = m->seed;
        if (k->m.n_vocab < TINY_VOCAB_MIN || k->m.n_embd % k->m.n_heads != 0 || m->n_changes > TINY_CHANGES_MAX)
                return -EINVAL;

        int r = gguf_writer_new(&k->w);
        if (r < 0)
                return r;
        put_parameters(k);
        r = put_vocabulary(k);
        if (r < 0)
                return r;
        put_added(k);
        r = put_tensors(k);
        if (r < 0)
                return r;
        return gguf_writer_to_memory(k->w, ret, ret_size);
}

int tiny_model_fd(const TinyModel *m) {
        _cleanup_free_ void *data = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size;
        int r = tiny_model(m, &data, &size);
        if (r < 0)
                return r;
        fd = memfd_create("tiny.gguf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < size;) {
                ssize_t n = write(fd, (const char *) data + done, size - done);
                if (n < 0)
                        return -errno;
                done += (size_t) n;
        }
        if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}
