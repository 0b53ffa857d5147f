/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Random weights of every type: blocks whose codes are random bytes and whose scales are chosen so that what
 * dequantize() makes of them has the wanted spread. No quantizer is needed, and every code of a type is met. */

#include "engine/format/tensor-type.h"

/* splitmix64: the next number of a sequence that *state holds. */
uint64_t tiny_random(uint64_t *state);

/* n elements around `mean` with about that standard deviation; F32, F16 and BF16 only where the mean is not 0.
 * *ret is to be freed. -EINVAL: n is no whole number of blocks. */
int tiny_weights(const TensorType *type, uint64_t n, float mean, float deviation, uint64_t *random, void **ret);
