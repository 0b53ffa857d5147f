/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Scope-bound ownership: `_cleanup_` on every owner, TAKE_* where ownership moves on.
 * Header only; every folder may include it, it includes nothing of ours. */

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _pure_ __attribute__((pure))
#define _unused_ __attribute__((unused))

/* For a destructor `type *f(type *)` or `void f(type *)`: defines fp(), which runs it on what the variable holds. */
#define DEFINE_CLEANUP(type, f)                         \
        static inline void f##p(type **p) {             \
                if (*p)                                 \
                        f(*p);                          \
        }                                               \
        struct f##_semicolon

#define TAKE_PTR(p)                                     \
        ({                                              \
                typeof(p) *_pp = &(p), _p = *_pp;       \
                *_pp = NULL;                            \
                _p;                                     \
        })

#define TAKE_FD(fd)                                     \
        ({                                              \
                int *_fdp = &(fd), _fd = *_fdp;         \
                *_fdp = -EBADF;                         \
                _fd;                                    \
        })

static inline void freep(void *p) {
        free(*(void **) p);
}

/* Keeps errno, so that it can stand on error paths. Returns -EBADF, to be assigned back. */
static inline int safe_close(int fd) {
        if (fd >= 0)
                close(fd);
        return -9; /* -EBADF */
}

static inline void closep(int *fd) {
        safe_close(*fd);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
/* Each use has names of its own, so that one may stand in another. */
#define UNIQUE_(a, b) a##b
#define UNIQUE(a, b) UNIQUE_(a, b)
#define COMPARE_(a, b, op, x, y)        \
        ({                              \
                typeof(a) x = (a);      \
                typeof(b) y = (b);      \
                x op y ? x : y;         \
        })
#define MIN(a, b) COMPARE_(a, b, <, UNIQUE(_x, __COUNTER__), UNIQUE(_y, __COUNTER__))
#define MAX(a, b) COMPARE_(a, b, >, UNIQUE(_x, __COUNTER__), UNIQUE(_y, __COUNTER__))
