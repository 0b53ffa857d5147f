/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what spark-lm's commands share: finding and mapping a model, its pool, reading text, wording errors. */

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "basic/model-store.h"
#include "cli/spark-lm.h"

#define TEXT_MAX ((size_t) TOKENIZER_TEXT_MAX)

uint64_t lm_now_us(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

int lm_print_error(int r, const char *what, const EngineError *e) {
        fprintf(stderr, "spark-lm: %s: %s\n", what, e && e->text[0] ? e->text : strerror(-r));
        return r;
}

bool lm_number(const char *option, const char *text, double min, double max, double *ret) {
        char *end;
        errno = 0;
        const double v = strtod(text, &end);
        if (end == text || *end || errno || !(v >= min && v <= max)) {
                fprintf(stderr, "spark-lm: --%s takes a number from %g to %g, not '%s'\n", option, min, max, text);
                return false;
        }
        *ret = v;
        return true;
}

static int map_fd(int fd, GgufPart *ret) {
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size == 0)
                return -EBADMSG;
        void *p = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        *ret = (GgufPart) { p, (size_t) st.st_size };
        return 0;
}

static int map_path(const char *path, Lm *lm) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int r = map_fd(fd, &lm->parts[lm->n_parts]);
        if (r >= 0)
                lm->n_parts++;
        return r;
}

/* NAME-00001-of-00005.gguf: the field's convention; its other parts lie beside it. */
static int map_file(const char *path, Lm *lm) {
        const size_t n = strlen(path);
        static const char shape[] = "-00001-of-00000.gguf";
        unsigned n_parts = 1;

        if (n > sizeof shape - 1) {
                const char *tail = path + n - (sizeof shape - 1);
                if (memcmp(tail, shape, 10) != 0 || sscanf(tail, "-00001-of-%5u.gguf", &n_parts) != 1 || n_parts < 1 ||
                    n_parts > GGUF_PARTS_MAX)
                        n_parts = 1;
        }
        if (n_parts == 1)
                return map_path(path, lm);

        for (unsigned i = 1; i <= n_parts; i++) {
                _cleanup_free_ char *part = NULL;
                if (asprintf(&part, "%.*s-%05u-of-%05u.gguf", (int) (n - (sizeof shape - 1)), path, i, n_parts) < 0) {
                        part = NULL;
                        return -ENOMEM;
                }
                int r = map_path(part, lm);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int map_installed(const char *name, Lm *lm) {
        _cleanup_(model_entry_freep) ModelEntry *e = NULL;
        int r = model_store_find(MODEL_STORE_USER, name, &e);
        if (r < 0)
                return r;
        int fds[MODEL_PARTS_MAX];
        size_t n;
        r = model_entry_open(e, fds, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                if (r >= 0)
                        r = map_fd(fds[i], &lm->parts[lm->n_parts]);
                if (r >= 0)
                        lm->n_parts++;
                safe_close(fds[i]);
        }
        return r;
}

int lm_map(const char *model, Lm *ret) {
        *ret = (Lm) {};
        const bool name = model_name_valid(model) && access(model, F_OK) < 0;
        int r = name ? map_installed(model, ret) : map_file(model, ret);
        if (r == -ENOENT && name)
                fprintf(stderr, "spark-lm: no file and no installed model '%s'; sparkctl model install %s\n", model, model);
        else if (r < 0)
                lm_print_error(r, model, NULL);
        if (r < 0)
                lm_done(ret);
        return r;
}

static unsigned n_cpus(void) {
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) < 0)
                return 1;
        return MIN((unsigned) CPU_COUNT(&set), POOL_THREADS_MAX);
}

int lm_open(const char *model, const LmOptions *o, Lm *ret) {
        Lm lm;
        EngineError e = {};
        int r = lm_map(model, &lm);
        if (r < 0)
                return r;
        r = pool_new(o->n_threads ?: n_cpus(), &lm.pool);
        if (r >= 0)
                r = spark_model_new(lm.parts, lm.n_parts, o->kernels, lm.pool, &lm.model, &e);
        if (r < 0) {
                lm_done(&lm);
                return lm_print_error(r, model, &e);
        }
        spark_model_release_file(lm.model);
        *ret = lm;
        return 0;
}

int lm_engine(const Lm *lm, const LmOptions *o, uint32_t n_ctx, uint32_t n_contexts, SparkEngine **ret) {
        EngineError e = {};
        int r = spark_engine_new(lm->model, lm->pool,
                                 &(SparkEngineParams) { .kv_type = o->kv_type, .n_ctx = n_ctx, .kv_contexts = n_contexts }, ret, &e);
        return r < 0 ? lm_print_error(r, "engine", &e) : 0;
}

void lm_done(Lm *lm) {
        spark_model_free(lm->model);
        pool_free(lm->pool);
        for (size_t i = 0; i < lm->n_parts; i++)
                munmap((void *) lm->parts[i].data, lm->parts[i].size);
        *lm = (Lm) {};
}

int lm_read(const char *path, char **ret, size_t *ret_n) {
        _cleanup_close_ int fd = -EBADF;
        if (path && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
                return lm_print_error(-errno, path, NULL);

        _cleanup_free_ char *text = NULL;
        size_t n = 0, allocated = 0;
        for (;;) {
                if (n == allocated) {
                        if (allocated > TEXT_MAX)
                                return lm_print_error(-E2BIG, path ?: "standard input", NULL);
                        allocated = allocated * 2 + 65536;
                        char *p = realloc(text, allocated);
                        if (!p)
                                return lm_print_error(-ENOMEM, path ?: "standard input", NULL);
                        text = p;
                }
                const ssize_t got = read(path ? fd : STDIN_FILENO, text + n, allocated - n);
                if (got < 0)
                        return lm_print_error(-errno, path ?: "standard input", NULL);
                if (got == 0)
                        break;
                n += (size_t) got;
        }
        *ret = TAKE_PTR(text);
        *ret_n = n;
        return 0;
}
