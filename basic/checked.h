/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Arithmetic on numbers that came from outside. Each returns false, and leaves *ret alone, where the true result
 * does not fit; nothing wraps, nothing is multiplied before it is known to fit. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(size_t a, size_t b, size_t *ret) {
        size_t r;
        if (__builtin_add_overflow(a, b, &r))
                return false;
        *ret = r;
        return true;
}

static inline bool checked_mul(size_t a, size_t b, size_t *ret) {
        size_t r;
        if (__builtin_mul_overflow(a, b, &r))
                return false;
        *ret = r;
        return true;
}

/* `align` is a power of two. */
static inline bool checked_align(size_t a, size_t align, size_t *ret) {
        size_t r;
        if (__builtin_add_overflow(a, align - 1, &r))
                return false;
        *ret = r & ~(align - 1);
        return true;
}
