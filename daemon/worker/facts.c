/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what a worker says of itself, asked of the kernel where it can be; the rest are the engine's own counts. */

#include <jansson.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "daemon/worker/facts.h"
#include "daemon/worker/sanitizers.h"

static uint64_t capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = {};
        if (syscall(SYS_capget, &header, d) < 0)
                return UINT64_MAX;
        return (uint64_t) (d[1].effective | d[1].permitted | d[1].inheritable) << 32 | d[0].effective | d[0].permitted | d[0].inheritable;
}

static json_t *hex(uint64_t v) {
        char text[17];
        snprintf(text, sizeof text, "%016llx", (unsigned long long) v);
        return json_string(text);
}

static json_t *layers(const SandboxFacts *f) {
        return json_pack("{sb sb sb sb sb sb sb si}",
                         "mount_namespace", f->mount_namespace, "network_namespace", f->network_namespace,
                         "ipc_namespace", f->ipc_namespace, "uts_namespace", f->uts_namespace,
                         "cgroup_namespace", f->cgroup_namespace, "empty_root", f->empty_root,
                         "changed_user", f->changed_user, "landlock_abi", f->landlock_abi);
}

static json_t *model(const SparkModel *m) {
        SparkModelInfo i;
        spark_model_info(m, &i);
        /* The name is a file's: whatever is not UTF-8 becomes null. */
        return json_pack("{so* so* so* sI sI sI sI sI sI sI sI sb}",
                         "architecture", json_string(i.architecture), "name", json_string(i.name), "kernels", json_string(i.kernels),
                         "parameters", (json_int_t) i.n_parameters, "weights_bytes", (json_int_t) i.weights_bytes,
                         "n_ctx_train", (json_int_t) i.n_ctx_train, "n_layers", (json_int_t) i.n_layers,
                         "n_embd", (json_int_t) i.n_embd, "n_heads", (json_int_t) i.n_heads,
                         "n_heads_kv", (json_int_t) i.n_heads_kv, "n_vocab", (json_int_t) i.n_vocab,
                         "chat_template", i.has_chat_template);
}

static json_t *engine(const Server *s) {
        SparkEngineStats t;
        spark_engine_stats(s->engine, &t);
        return json_pack("{sI sI sI sI sI sI sI sI sI sI sI sI sI sI}",
                         "n_ctx", (json_int_t) spark_engine_n_ctx(s->engine), "threads", (json_int_t) pool_n_threads(s->pool),
                         "sessions", (json_int_t) s->sessions.n, "sequences", (json_int_t) t.n_sequences,
                         "running", (json_int_t) t.n_running, "waiting", (json_int_t) t.n_waiting,
                         "kv_bytes", (json_int_t) t.kv_bytes, "kv_budget", (json_int_t) t.kv_budget,
                         "tokens_prefilled", (json_int_t) t.tokens_prefilled, "tokens_reused", (json_int_t) t.tokens_reused,
                         "tokens_generated", (json_int_t) t.tokens_generated, "tokens_drafted", (json_int_t) t.tokens_drafted,
                         "tokens_kept", (json_int_t) t.tokens_kept, "evictions", (json_int_t) t.evictions);
}

char *facts_json(const Server *s) {
        struct rusage usage = {};
        (void) getrusage(RUSAGE_SELF, &usage);

        json_t *facts = json_pack("{ss sb s{si so ss} sb sb so so s{sI sI} so so}",
                                  "build", SPARK_VERSION, "sanitizers", SANITIZERS,
                                  "seccomp", "mode", prctl(PR_GET_SECCOMP), "filter_digest", hex(s->filter_digest), "role", "worker",
                                  "no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
                                  "dumpable", prctl(PR_GET_DUMPABLE) != 0,
                                  "capabilities", hex(capabilities()),
                                  "layers", layers(s->sandbox),
                                  "memory", "limit", (json_int_t) s->memory_max, "peak_rss", (json_int_t) usage.ru_maxrss * 1024,
                                  "model", model(s->model),
                                  "engine", engine(s));
        char *text = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
        json_decref(facts);
        return text;
}
