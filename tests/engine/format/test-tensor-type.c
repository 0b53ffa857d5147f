/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every weight type against recorded values of an independent implementation, bit for bit (make-dequant-vectors.py),
 * and the conversions of halves over all of their values. */

#include <math.h>

#include "engine/format/tensor-type.h"
#include "tests/test.h"

#define BYTES_MAX 4096u

static const TensorTypeId known[] = {
        TENSOR_F32, TENSOR_F16, TENSOR_Q4_0, TENSOR_Q4_1, TENSOR_Q5_0, TENSOR_Q5_1, TENSOR_Q8_0, TENSOR_Q2_K,
        TENSOR_Q3_K, TENSOR_Q4_K, TENSOR_Q5_K, TENSOR_Q6_K, TENSOR_IQ4_NL, TENSOR_BF16, TENSOR_MXFP4,
};

static void every_type_is_in_the_table(void) {
        size_t n = 0;
        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                const TensorType *t = tensor_type(known[i]);
                CHECK(t && t->id == known[i] && t->block_size > 0 && t->block_bytes > 0 && t->dequantize);
        }
        for (uint32_t id = 0; id < 100000; id++)
                n += tensor_type(id) != NULL;
        CHECK_INT(n, ELEMENTSOF(known));
        CHECK(!tensor_type(UINT32_MAX) && !tensor_type(0x80000000) && !tensor_type(4) && !tensor_type(5));
}

static size_t from_hex(const char *hex, uint8_t *ret) {
        size_t n = strlen(hex) / 2;
        CHECK(n <= BYTES_MAX);
        for (size_t i = 0; i < n; i++) {
                unsigned byte;
                CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1);
                ret[i] = (uint8_t) byte;
        }
        return n;
}

static void dequantize_equals_the_recorded_values(void) {
        FILE *f = fopen(DEQUANT_VECTORS, "re");
        char name[16], blocks_hex[2 * BYTES_MAX + 1], values_hex[8 * BYTES_MAX + 1];
        size_t seen = 0;
        CHECK(f);
        while (fscanf(f, "%15s %8192s %32768s", name, blocks_hex, values_hex) == 3) {
                const TensorType *t = NULL;
                uint8_t blocks[BYTES_MAX];
                float values[BYTES_MAX];
                for (size_t i = 0; i < ELEMENTSOF(known); i++)
                        if (strcmp(tensor_type(known[i])->name, name) == 0)
                                t = tensor_type(known[i]);
                CHECK(t);
                size_t n_blocks = from_hex(blocks_hex, blocks) / t->block_bytes, n = n_blocks * t->block_size;
                CHECK_INT(strlen(values_hex), 8 * n);
                t->dequantize(blocks, values, n);
                for (size_t i = 0; i < n; i++) {
                        uint32_t expected, got;
                        memcpy(&got, &values[i], sizeof got);
                        CHECK(sscanf(values_hex + 8 * i, "%8x", &expected) == 1);
                        if (got != expected)
                                printf("# %s, element %zu: %08x, %08x expected\n", name, i, got, expected);
                        CHECK(got == expected);
                }
                seen++;
        }
        fclose(f);
        CHECK_INT(seen, ELEMENTSOF(known));
}

/* The definition: sign, exponent and mantissa in double arithmetic. */
static double half_value(uint16_t h) {
        int exponent = h >> 10 & 31, mantissa = h & 1023;
        double v = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
        return h & 0x8000 ? -v : v;
}

static void halves_are_what_their_bits_say(void) {
        for (uint32_t h = 0; h < 0x10000; h++) {
                float f = f16_to_f32((uint16_t) h);
                if ((h & 0x7c00) == 0x7c00)
                        CHECK(h & 0x3ff ? isnan(f) : isinf(f));
                else
                        CHECK((double) f == half_value((uint16_t) h));
                CHECK(!!signbit(f) == (h >> 15));
                if (!isnan(f))
                        CHECK_INT(f32_to_f16(f), h);
                else
                        CHECK(isnan(f16_to_f32(f32_to_f16(f))));
        }
}

/* Between each half and the next: below the middle goes down, above it up, the middle to the even one. */
static void floats_round_to_the_nearest_half(void) {
        for (uint32_t h = 0; h < 0x7c00; h++) {
                double low = half_value((uint16_t) h), high = h == 0x7bff ? 65536 : half_value((uint16_t) (h + 1));
                float middle = (float) ((low + high) / 2);
                CHECK((double) middle == (low + high) / 2);
                CHECK_INT(f32_to_f16(nextafterf(middle, 0)), h);
                CHECK_INT(f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
                CHECK_INT(f32_to_f16(middle), h + (h & 1));
                CHECK_INT(f32_to_f16(-middle), 0x8000 + h + (h & 1));
        }
        CHECK_INT(f32_to_f16(1e30f), 0x7c00);
        CHECK_INT(f32_to_f16(-INFINITY), 0xfc00);
        CHECK_INT(f32_to_f16(0x1p-140f), 0);
}

static void bf16_rounds_to_the_nearest(void) {
        for (uint32_t h = 0; h < 0x10000; h++) {
                float f = bf16_to_f32((uint16_t) h);
                if (isnan(f))
                        CHECK(isnan(bf16_to_f32(f32_to_bf16(f))));
                else
                        CHECK_INT(f32_to_bf16(f), h);
        }
        CHECK_INT(f32_to_bf16(1 + 0x1p-8f), 0x3f80);                    /* the middle, to even */
        CHECK_INT(f32_to_bf16(1 + 0x1p-8f + 0x1p-23f), 0x3f81);
        CHECK_INT(f32_to_bf16(1 + 3 * 0x1p-8f), 0x3f82);
        CHECK_INT(f32_to_bf16(3.4e38f), 0x7f80);
}

TEST_MAIN(
        { "every type is in the table", every_type_is_in_the_table },
        { "dequantize equals the recorded values", dequantize_equals_the_recorded_values },
        { "halves are what their bits say", halves_are_what_their_bits_say },
        { "floats round to the nearest half", floats_round_to_the_nearest_half },
        { "bf16 rounds to the nearest", bf16_rounds_to_the_nearest },
)
