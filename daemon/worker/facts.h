/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a worker says of itself (INSPECT → FACTS), for `sparkctl verify` to lay beside what the kernel says of it from
 * outside (/proc/PID: status, ns, fd, limits, oom_score_adj). A taken-over worker can lie here and not there. One JSON object:
 *
 *   "build"            STRING
 *   "sanitizers"       BOOL      a build for tests, with a wider filter
 *   "seccomp"          {"mode": 2, "filter_digest": HEX, "role": "worker"}    mode by prctl(); digest: FNV-1a, 64 bits,
 *                                over the compiled filter; equal for equal builds
 *   "no_new_privs"     BOOL      by prctl()
 *   "dumpable"         BOOL      by prctl()
 *   "capabilities"     HEX       permitted, effective and inheritable, or'ed, by capget()
 *   "layers"           {"mount_namespace", "network_namespace", "ipc_namespace", "uts_namespace", "cgroup_namespace",
 *                       "empty_root", "changed_user": BOOL, "landlock_abi": INT (0: none)}    what could be entered
 *   "memory"           {"limit": INT (0: none), "peak_rss": INT}    bytes
 *   "model"            {"architecture", "name", "kernels": STRING, "parameters", "weights_bytes", "n_ctx_train",
 *                       "n_layers", "n_embd", "n_heads", "n_heads_kv", "n_vocab": INT, "chat_template": BOOL}
 *   "engine"           {"n_ctx", "threads", "sessions", "sequences", "running", "waiting", "kv_bytes", "kv_budget",
 *                       "tokens_prefilled", "tokens_reused", "tokens_generated", "tokens_drafted" (guessed ahead),
 *                       "tokens_kept" (of these), "evictions": INT}
 *
 * Keys may be added; none changes its meaning. */

#include "daemon/worker/serve.h"

/* NULL: no memory. To be freed. */
char *facts_json(const Server *s);
