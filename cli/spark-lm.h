/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* spark-lm, the engine by hand: one function a command, over what they share. */

#include <stdbool.h>

#include "engine/spark-engine.h"

typedef struct LmOptions {                    /* global, before or after the command's own */
        const char *kernels;                  /* NULL: the best */
        unsigned n_threads;                   /* 0: one a CPU that this process may use */
        KvType kv_type;
} LmOptions;

typedef struct Lm {                           /* an open model; lm_done() */
        GgufPart parts[GGUF_PARTS_MAX];
        size_t n_parts;
        Pool *pool;
        SparkModel *model;
} Lm;

/* MODEL is a path (of the first part, where the file is split) or an installed model's name. These print what went
 * wrong and return a negative errno. */
int lm_map(const char *model, Lm *ret);
int lm_open(const char *model, const LmOptions *o, Lm *ret);
int lm_engine(const Lm *lm, const LmOptions *o, uint32_t n_ctx, uint32_t n_contexts, SparkEngine **ret);
void lm_done(Lm *lm);

/* Whole files, or standard input for NULL. */
int lm_read(const char *path, char **ret, size_t *ret_n);
int lm_print_error(int r, const char *what, const EngineError *e);
/* A number option; prints and returns false where it is none or out of bounds. */
bool lm_number(const char *option, const char *text, double min, double max, double *ret);
uint64_t lm_now_us(void);

typedef struct LmCommand LmCommand;
typedef struct LmCall {                       /* a command line, taken apart by the command's own table */
        const LmCommand *command;
        LmOptions global;
        const char *values[16];               /* by the place in LmCommand.options; NULL: not given; "" for a flag */
        char **arguments;
        int n_arguments;
} LmCall;

typedef struct LmOption {
        const char *name, *argument, *help;   /* argument NULL: a flag */
        char letter;                          /* 0: none */
} LmOption;

struct LmCommand {
        const char *name, *arguments, *summary;
        int n_arguments;
        const LmOption *options;              /* until a NULL name; NULL: none */
        int (*run)(const LmCall *call);       /* exit status */
};

extern const LmCommand lm_inspect, lm_tokenize, lm_generate, lm_perplexity, lm_bench;
