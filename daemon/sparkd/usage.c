/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the dictionary that every turn ends with; its keys are promised in dbus/org.spark.Assistant.xml. */

#include "daemon/sparkd/session.h"
#include "daemon/sparkd/turn.h"

static double milliseconds(uint64_t from, uint64_t to) {
        return to > from ? (double) (to - from) / 1000 : 0;
}

static int append_counts(sd_bus_message *m, const Turn *t, const WorkerFinished *f) {
        double rate = f->n_generated > 1 && f->generate_us > 0 ? (f->n_generated - 1) * 1e6 / (double) f->generate_us : 0;
        int r;

        r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}",
                                  "prompt-tokens", "u", f->n_prompt,
                                  "cached-tokens", "u", f->n_cached,
                                  "generated-tokens", "u", f->n_generated,
                                  "tokens-per-second", "d", rate,
                                  "seed", "t", f->seed);
        if (r >= 0 && t->session->drop_oldest)
                r = sd_bus_message_append(m, "{sv}", "dropped-turns", "u", t->n_dropped);
        if (r < 0 || t->first_usec == 0)
                return r;
        return sd_bus_message_append(m, "{sv}", "first-token-ms", "d", milliseconds(t->called_usec, t->first_usec));
}

static int append_origin(sd_bus_message *m, const Turn *t) {
        const Generation *g = &t->generation;
        WorkerInfo info;
        int r;

        worker_info(t->session->user->worker, &info);
        r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}",
                                  "where", "s", "local",
                                  "model", "s", info.model,
                                  "model-sha256", "s", info.sha256,
                                  "build", "s", info.build,
                                  "kernels", "s", info.kernels);
        if (r < 0)
                return r;
        return sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}",
                                     "temperature", "d", g->temperature,
                                     "top-p", "d", g->top_p,
                                     "top-k", "u", g->top_k,
                                     "min-p", "d", g->min_p,
                                     "repeat-penalty", "d", g->repeat_penalty);
}

static int append_ignored(sd_bus_message *m, const Turn *t) {
        IgnoredKeys all = {};
        int r;

        r = ignored_keys_add_all(&all, &t->session->ignored);
        if (r >= 0)
                r = ignored_keys_add_all(&all, &t->ignored);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "ignored");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, all.keys);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        ignored_keys_done(&all);
        return r;
}

int usage_append(sd_bus_message *m, const Turn *t, const TurnEnd *end) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "reason", "s", end->reason);
        if (r >= 0 && t->given_usec > 0)
                r = sd_bus_message_append(m, "{sv}", "queued-ms", "d", milliseconds(t->called_usec, t->given_usec));
        if (r >= 0 && end->finished)
                r = append_counts(m, t, end->finished);
        if (r >= 0)
                r = append_origin(m, t);
        if (r >= 0)
                r = append_ignored(m, t);
        if (r >= 0 && end->error)
                r = sd_bus_message_append(m, "{sv}{sv}", "error", "s", end->error, "message", "s", end->text);
        return r < 0 ? r : sd_bus_message_close_container(m);
}
