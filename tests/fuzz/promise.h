/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every target has: libFuzzer's entry, and a way to say what must hold whatever the bytes. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(x)                      \
        do {                            \
                if (!(x))               \
                        abort();        \
        } while (0)
