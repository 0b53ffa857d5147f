/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What went wrong, in words for a person. The engine never logs: it returns a negative errno and, where the caller
 * passed one, fills this. The text names the thing and what to do, e.g.
 * "tensor 'blk.3.attn_q.weight': 1152 columns, 576 expected (byte 81920)". */

#include <errno.h>

#include "basic/cleanup.h"

#define ENGINE_ERROR_MAX 480

typedef struct EngineError {
        char text[ENGINE_ERROR_MAX]; /* "" where nothing was said */
} EngineError;

/* Fills e (NULL allowed) and returns r, so that a caller can write `return engine_fail(e, -EBADMSG, "…")`.
 * Bytes that came from a file go in through %.*s and are made printable: control bytes and broken UTF-8 become '?'. */
int engine_fail(EngineError *e, int r, const char *format, ...) _printf_(3, 4);

/* The same call, with a result that the compiler can see is negative: it then knows that outputs are set on success. */
#define engine_fail(e, r, ...)                                          \
        ({                                                              \
                int _fail_r = (r);                                      \
                engine_fail((e), _fail_r, __VA_ARGS__);                 \
                _fail_r < 0 ? _fail_r : -EINVAL;                        \
        })
