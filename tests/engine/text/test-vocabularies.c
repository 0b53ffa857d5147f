/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every algorithm on vocabularies small enough to be read: what merges, in which order, what falls back to what, what
 * text can never become; and vocabularies that are broken. Expected ids were worked out by hand. */

#include "engine/format/gguf-writer.h"
#include "engine/text/charsmap.h"
#include "engine/text/tokenizer.h"
#include "tests/engine/text/vocabulary.h"
#include "tests/test.h"

typedef struct Fixture {
        void *file;
        Gguf *gguf;
        Tokenizer *tokenizer;
        EngineError error;
} Fixture;

static void done(Fixture *f) {
        tokenizer_free(f->tokenizer);
        gguf_free(f->gguf);
        free(f->file);
}

static int load(Fixture *f, const char *spec, size_t n) {
        const char *text;
        size_t size, n_text;
        CHECK_INT(vocabulary_file(spec, n, &f->file, &size, &text, &n_text), 0);
        CHECK_INT(gguf_new(&(GgufPart) { f->file, size }, 1, &f->gguf, &f->error), 0);
        return tokenizer_new(f->gguf, &f->tokenizer, &f->error);
}

static void load_good(Fixture *f, const char *spec) {
        int r = load(f, spec, strlen(spec));
        if (r < 0)
                printf("# %s\n", f->error.text);
        CHECK_INT(r, 0);
}

static void check_ids(const Fixture *f, bool data, const char *text, const char *expected) {
        _cleanup_(token_list_done) TokenList list = {};
        char got[1024] = "", *o = got;
        CHECK_INT(data ? tokenizer_encode_data(f->tokenizer, text, strlen(text), &list)
                       : tokenizer_encode(f->tokenizer, text, strlen(text), NULL, &list), 0);
        for (size_t i = 0; i < list.n; i++)
                o += snprintf(o, got + sizeof got - o, i ? " %u" : "%u", list.ids[i]);
        CHECK_STR(got, expected);
}

/* ---- byte-level BPE ---- */

static void test_bpe(void) {
        _cleanup_(done) Fixture f = {};
        load_good(&f, "M gpt2\nP gpt-2\n"
                      "T 3 0 <|end|>\nT 1 0 a\nT 1 0 b\nT 1 0 c\nT 1 0 ab\nT 1 0 bc\nT 1 0 abc\nT 1 0 aa\nT 4 0 <x>\nT 1 0 Ġ\nT 1 0 Ġa\nT 4 0    \n"
                      "G b c\nG a b\nG a bc\nG a a\nG Ġ a\n");
        check_ids(&f, false, "abc", "6");               /* bc first, then a bc */
        check_ids(&f, false, "ab", "4");
        check_ids(&f, false, "aaa", "7 1");             /* leftmost first */
        check_ids(&f, false, "aaaa", "7 7");
        check_ids(&f, false, "a a", "1 10");
        check_ids(&f, false, "a<|end|>b<x>", "1 0 2 8");
        check_ids(&f, true, "a<|end|>b<x>", "1 2");     /* of the others no byte is in the vocabulary */
        check_ids(&f, true, "a   b", "1 11 2");         /* user-defined white space is found in data too */
        check_ids(&f, false, "axb", "4");               /* x has no token: left out, and what is left merges */
        check_ids(&f, false, "xyz", "");
}

static void test_bpe_never_control(void) {
        /* Merges that lead up to control tokens, a control token that is a byte's, and a rule that takes whole words. */
        _cleanup_(done) Fixture f = {};
        load_good(&f, "M gpt2\nP llama-bpe\nT 3 0 end\nT 1 0 e\nT 1 0 n\nT 1 0 d\nT 1 0 en\nT 3 0 z\nT 2 0 u\nG e n\nG en d\nU unknown_token_id 0\n");
        check_ids(&f, false, "end", "0");
        check_ids(&f, true, "end", "4 3");
        check_ids(&f, true, "z", "");
        check_ids(&f, true, "u", "");
        check_ids(&f, true, "é", "");                   /* unknown is id 0, which ends a text */
}

/* ---- SentencePiece BPE ---- */

#define SPM "M llama\nT 2 0 <unk>\nT 3 0 <s>\nT 3 0 </s>\n"

static void test_sentencepiece(void) {
        _cleanup_(done) Fixture f = {};
        load_good(&f, SPM "T 1 -3 a\nT 1 -3 b\nT 1 -1 ab\nT 1 -2 ba\nT 1 -4 aba\nT 1 -5 ▁\nT 1 -0.5 ▁a\nT 4 0 \\n\nB add_space_prefix 0\n");
        check_ids(&f, false, "ab", "5");
        check_ids(&f, false, "bab", "4 5");             /* ab before ba */
        check_ids(&f, false, "aba", "7");               /* ab, then ab a; SentencePiece may join it */
        check_ids(&f, false, "abab", "5 5");
        check_ids(&f, false, " ab", "9 4");             /* the best score first, though it spoils ab */
        check_ids(&f, false, "a\nb", "3 10 4");
        check_ids(&f, true, "a\nb", "3 10 4");
        check_ids(&f, false, "axyb", "3 0 0 4");        /* no byte tokens: unknown */
        check_ids(&f, true, "</s>", "0 0 0 0");
}

static void test_sentencepiece_bytes_and_prefix(void) {
        _cleanup_(done) Fixture f = {};
        uint32_t id;
        size_t n;
        load_good(&f, SPM "H\nT 1 -1 ▁\nT 1 -2 a\nT 1 -1.5 ▁a\n");
        check_ids(&f, false, "a", "261");               /* as if " a" */
        check_ids(&f, false, "<s>a</s>a", "1 261 2 261");
        check_ids(&f, true, "<s>", "259 63 118 65");    /* the letters' byte tokens */
        check_ids(&f, false, "é", "259 198 172");
        check_ids(&f, false, "\xff" "a", "259 258 260");
        check_ids(&f, false, "", "");
        check_ids(&f, false, "<0x41>", "259 63 51 123 55 52 65");   /* the text of a byte token is text */
        CHECK_STR(tokenizer_piece(f.tokenizer, 3 + 'A', &n) ? "" : "none", "");
        CHECK_INT(n, 1);
        CHECK_INT(tokenizer_piece(f.tokenizer, 3 + 'A', &n)[0], 'A');
        CHECK_INT(tokenizer_piece(f.tokenizer, 261, &n)[0], ' ');
        CHECK_INT(n, 2);
        CHECK(tokenizer_adds_bos(f.tokenizer) && !tokenizer_adds_eos(f.tokenizer));
        CHECK(tokenizer_bos(f.tokenizer, &id) && id == 1);
        CHECK(tokenizer_eos(f.tokenizer, &id) && id == 2);
        CHECK(tokenizer_is_end(f.tokenizer, 2));
}

static void test_sentencepiece_never_control(void) {
        _cleanup_(done) Fixture f = {};
        load_good(&f, "M llama\nT 2 0 <unk>\nT 1 0 e\nT 1 0 n\nT 3 9 en\nT 4 9 ne\nT 6 0 <0x41>\nT 5 9 ee\nB add_space_prefix 0\n");
        check_ids(&f, false, "ene", "3 1");
        check_ids(&f, true, "ene", "1 2 1");
        check_ids(&f, false, "ee", "1 1");              /* unused */
}

/* ---- unigram ---- */

#define T5 "M t5\nT 3 0 <pad>\nT 3 0 </s>\nT 2 0 <unk>\nT 1 -1 ▁\nT 1 -2 a\nT 1 -2 b\nT 1 -3 ab\nT 1 -2.5 ▁a\nT 1 -2 ▁ab\n"

static void test_unigram(void) {
        _cleanup_(done) Fixture f = {};
        load_good(&f, T5);
        check_ids(&f, false, "ab", "8");                /* as if " ab" */
        check_ids(&f, false, "  ab   ab ", "8 8");      /* runs of spaces are one, at the end none */
        check_ids(&f, false, "aab", "7 6");             /* -5.5, before -6.5 of "▁a a b" */
        check_ids(&f, false, "axya", "7 2 4");          /* one unknown for a run */
        check_ids(&f, false, "a</s>b", "7 1 3 5");
        check_ids(&f, true, "</s>", "3 2");
        check_ids(&f, false, "   ", "");
        check_ids(&f, false, "\xff", "3 2");
        CHECK(tokenizer_adds_eos(f.tokenizer) && !tokenizer_adds_bos(f.tokenizer));

        _cleanup_(done) Fixture g = {};
        load_good(&g, T5 "H\nB add_space_prefix 0\nB remove_extra_whitespaces 0\n");
        check_ids(&g, false, "  ab", "3 8");
        check_ids(&g, false, "é", "204 178");
}

/* "A" becomes "b", "AB" nothing; in the map of a real file the layout is the same. */
static void make_charsmap(uint32_t *bytes, size_t *ret_n) {
        uint32_t units[0x200] = { [0] = 0x100u << 10 };
        units[0x100 ^ 'A'] = 'A' | 1u << 8 | 2u << 10;
        units[0x100 ^ 'A' ^ 2] = 1u << 31;                              /* a leaf: text at 0 */
        units[0x100 ^ 'A' ^ 2 ^ 'B'] = 'B' | 1u << 8 | 4u << 10;
        units[0x100 ^ 'A' ^ 2 ^ 'B' ^ 4] = 1u << 31 | 2;                /* text at 2 */
        static const char texts[] = "b\0";
        size_t n = 0;
        for (unsigned i = 0; i < 4; i++)
                bytes[n++] = (uint8_t) (sizeof units >> 8 * i);
        for (size_t u = 0; u < ELEMENTSOF(units); u++)
                for (unsigned i = 0; i < 4; i++)
                        bytes[n++] = (uint8_t) (units[u] >> 8 * i);
        for (size_t i = 0; i < sizeof texts; i++)
                bytes[n++] = (uint8_t) texts[i];
        *ret_n = n;
}

static int load_charsmap(const uint32_t *bytes, size_t n, Charsmap *ret) {
        _cleanup_(gguf_writer_freep) GgufWriter *w = NULL;
        _cleanup_(gguf_freep) Gguf *g = NULL;
        _cleanup_free_ void *file = NULL;
        size_t size;
        EngineError e = {};
        CHECK_INT(gguf_writer_new(&w), 0);
        gguf_writer_u32s(w, "tokenizer.ggml.precompiled_charsmap", bytes, n);
        CHECK_INT(gguf_writer_to_memory(w, &file, &size), 0);
        CHECK_INT(gguf_new(&(GgufPart) { file, size }, 1, &g, &e), 0);
        return charsmap_load(ret, g, &e);
}

static void test_charsmap(void) {
        _cleanup_(charsmap_done) Charsmap c = {};
        uint32_t bytes[4096];
        size_t n, size;
        const char *with;
        make_charsmap(bytes, &n);
        CHECK_INT(load_charsmap(bytes, n, &c), 0);
        CHECK_INT(charsmap_replace(&c, "AC", 2, &with, &size), 1);
        CHECK(size == 1 && with[0] == 'b');
        CHECK_INT(charsmap_replace(&c, "ABC", 3, &with, &size), 2);
        CHECK_INT(size, 0);
        CHECK_INT(charsmap_replace(&c, "éx", 3, &with, &size), 2);
        CHECK(size == 2 && memcmp(with, "é", 2) == 0);
        CHECK_INT(charsmap_replace(&c, "\xff", 1, &with, &size), 1);

        /* Tries that lead out of themselves, and lengths that lie. */
        for (size_t i = 4; i < n; i++) {
                _cleanup_(charsmap_done) Charsmap broken = {};
                uint32_t was = bytes[i];
                bytes[i] = 0xff;
                CHECK_INT(load_charsmap(bytes, n, &broken), 0);
                bytes[i] = was;
                charsmap_replace(&broken, "ABAB", 4, &with, &size);
        }
        _cleanup_(charsmap_done) Charsmap bad = {};
        CHECK_INT(load_charsmap(bytes, 3, &bad), -EBADMSG);
        bytes[3] = 0x7f;
        CHECK_INT(load_charsmap(bytes, n, &bad), -EBADMSG);
        bytes[3] = 0;
        bytes[0] = 2;
        CHECK_INT(load_charsmap(bytes, n, &bad), -EBADMSG);
        bytes[9] = 256;
        CHECK_INT(load_charsmap(bytes, n, &bad), -EBADMSG);
}

/* ---- WordPiece ---- */

static void test_wordpiece(void) {
        _cleanup_(done) Fixture f = {};
        uint32_t id;
        load_good(&f, "M bert\nT 3 0 [PAD]\nT 3 0 [UNK]\nT 3 0 [CLS]\nT 3 0 [SEP]\nT 1 0 ▁un\nT 1 0 ▁u\nT 1 0 able\nT 1 0 a\nT 1 0 ▁!\nT 1 0 ▁日\nT 1 0 ▁e\n"
                      "U unknown_token_id 1\nU bos_token_id 2\nU seperator_token_id 3\n");
        check_ids(&f, false, "unable", "4 6");
        check_ids(&f, false, "  UNABLE\t!", "4 6 8");
        check_ids(&f, false, "una!able", "4 7 8 1");
        check_ids(&f, false, "unx", "1");               /* all of a word or none */
        check_ids(&f, false, "日日u", "9 9 5");
        check_ids(&f, false, "É e\xcc\x81", "10 10");   /* without accents, in lower case */
        check_ids(&f, false, "u\x01n", "4");
        check_ids(&f, false, "[SEP] un", "3 4");
        check_ids(&f, true, "[SEP]", "1 1 1");
        CHECK(tokenizer_adds_bos(f.tokenizer) && tokenizer_adds_eos(f.tokenizer));
        CHECK(tokenizer_eos(f.tokenizer, &id) && id == 3);

        char word[202] = "";
        for (unsigned i = 0; i < 201; i++)
                word[i] = i == 0 ? 'u' : 'a';
        check_ids(&f, false, word, "1");                /* too long a word */
}

/* ---- control tokens ---- */

static void test_longest_special(void) {
        _cleanup_(done) Fixture f = {};
        load_good(&f, "M gpt2\nP gpt-2\nA\nT 3 0 <a>\nT 3 0 <a><b>\nT 3 0 <a><\nT 4 0 <|\n");
        check_ids(&f, false, "<a><b>", "257");
        check_ids(&f, false, "<a><c", "258 99");
        check_ids(&f, false, "<a>", "256");
        check_ids(&f, false, "<a", "60 97");
        check_ids(&f, true, "<a><b>", "60 97 62 60 98 62");

        /* The longest that is all the template's. */
        static const uint8_t data[6] = { 0, 0, 0, 0, 1, 0 };
        _cleanup_(token_list_done) TokenList list = {};
        CHECK_INT(tokenizer_encode(f.tokenizer, "<a><b>", 6, data, &list), 0);
        CHECK_INT(list.n, 3);
        CHECK_INT(list.ids[0], 258);
        CHECK_INT(list.ids[1], 'b');
}

static void test_ends(void) {
        _cleanup_(done) Fixture f = {};
        load_good(&f, "M gpt2\nP gpt-2\nA\nT 3 0 <e>\nT 1 0 <|im_end|>\nT 4 0 <end_of_turn>\nT 1 0 </s>\nT 3 0 <t>\nU eos_token_id 256\nU eot_token_id 260\n");
        CHECK(tokenizer_is_end(f.tokenizer, 256));
        CHECK(tokenizer_is_end(f.tokenizer, 257) && tokenizer_is_control(f.tokenizer, 257));    /* whatever the file calls it */
        CHECK(tokenizer_is_end(f.tokenizer, 258));
        CHECK(!tokenizer_is_end(f.tokenizer, 259) && !tokenizer_is_control(f.tokenizer, 259));
        CHECK(tokenizer_is_end(f.tokenizer, 260));
        check_ids(&f, true, "<|im_end|>", "60 124 105 109 95 101 110 100 124 62");
        _cleanup_(done) Fixture h = {};
        load_good(&h, "M gpt2\nP gpt-2\nA\nT 3 0 <|end|>\nT 3 0 <|return|>\nT 3 0 <|call|>\n");
        CHECK(!tokenizer_is_end(h.tokenizer, 256) && tokenizer_is_end(h.tokenizer, 257));
}

static void test_broken(void) {
        static const struct {
                const char *spec;
                int r;
                const char *named;
        } cases[] = {
                { "M llama\nT 6 0 <0x-1>\n", -EBADMSG, "<0x-1>" },
                { "M llama\nT 6 0 <0xZZ>\n", -EBADMSG, "token 0" },
                { "M llama\nT 6 0 <0x041>\n", -EBADMSG, "token 0" },
                { "M llama\nT 6 0 \n", 0, NULL },               /* empty: no byte's, and never found */
                { "M llama\nT 1 nan a\n", -EBADMSG, "scores" },
                { "M llama\nT 1 inf a\n", -EBADMSG, "scores" },
                { "M llama\nT 1 0 a\nT 1 0 b\nS 1\n", -EBADMSG, "1 entries for 2" },
                { "M llama\nT 1 0 a\nT 1 0 b\nY 1\n", -EBADMSG, "1 entries for 2" },
                { "M llama\nT 7 0 a\n", -EBADMSG, "type 7" },
                { "M llama\n", -EBADMSG, "0 tokens" },
                { "M llama\nT 1 0 a\nU eos_token_id 1\n", -EBADMSG, "eos_token_id is 1" },
                { "M llama\nT 1 0 a\nU eot_token_id 9\n", -EBADMSG, "eot_token_id is 9" },
                { "M llama\nT 1 0 a\nU unknown_token_id 4294967295\n", -EBADMSG, "unknown_token_id" },
                { "M llama\nT 1 0 a\nU add_space_prefix 3\n", -EBADMSG, "add_space_prefix" },
                { "M bert\nT 1 0 a\nB normalizer.lowercase 0\nB normalizer.strip_accents 1\n", -ENOTSUP, "strip_accents" },
                { "M gpt2\nP gpt-2\nT 1 0 a\nG aa\n", -EBADMSG, "merges" },
                { "M gpt2\nP gpt-2\nT 1 0 a\nG  a\n", -EBADMSG, "merges" },
                { "M gpt2\nP gpt-2\nT 1 0 a\nT 1 0 a\nT 1 0 aa\nG a a\nG a a\n", 0, NULL },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(done) Fixture f = {};
                int r = load(&f, cases[i].spec, strlen(cases[i].spec));
                if (r != cases[i].r || (r < 0 && !strstr(f.error.text, cases[i].named)))
                        printf("# case %zu: %d, %s\n", i, r, f.error.text);
                CHECK_INT(r, cases[i].r);
                if (r < 0)
                        CHECK(strstr(f.error.text, cases[i].named));
        }
}

static void test_long_piece(void) {
        _cleanup_free_ char *spec = calloc(1, 8192);
        CHECK(spec);
        for (size_t n = TOKENIZER_PIECE_MAX; n <= TOKENIZER_PIECE_MAX + 1; n++) {
                _cleanup_(done) Fixture f = {};
                strcpy(spec, "M llama\nT 1 0 ");
                size_t at = strlen(spec);
                memset(spec + at, 'a', n);
                spec[at + n] = 0;
                CHECK_INT(load(&f, spec, at + n), n <= TOKENIZER_PIECE_MAX ? 0 : -EBADMSG);
        }
}

TEST_MAIN(
        { "byte-level BPE merges by rank", test_bpe },
        { "byte-level BPE never makes a control token", test_bpe_never_control },
        { "SentencePiece merges by score", test_sentencepiece },
        { "SentencePiece byte fall-back and space prefix", test_sentencepiece_bytes_and_prefix },
        { "SentencePiece never makes a control token", test_sentencepiece_never_control },
        { "unigram", test_unigram },
        { "SentencePiece character maps", test_charsmap },
        { "WordPiece", test_wordpiece },
        { "the longest special token, as far as the template goes", test_longest_special },
        { "end tokens", test_ends },
        { "broken vocabularies are refused by name", test_broken },
        { "the longest piece", test_long_piece })
