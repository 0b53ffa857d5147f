/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the choice of the next token. Greedy is one pass over the logits. The other path never sorts: top-k, top-p and
 * min-p each keep a prefix of the candidates in falling order, and a prefix is known by its last logit and how many
 * of that logit it takes, which a radix selection over the float's own bits finds in three linear passes, for any
 * input. Candidates stay in order of their ids throughout, so that ties go to the lowest and a draw is reproducible. */

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "basic/checked.h"
#include "engine/text/philox.h"
#include "engine/text/sampler.h"

#define BLOCK 1024u             /* logits searched again for where the largest one is */
#define LANES 16u

/* A candidate whose weight is below exp(-46) ≈ 1e-20 of the best one's cannot be told from none by a draw of 53 bits. */
#define NEGLIGIBLE 46.0f

typedef struct Candidate {
        float logit;
        uint32_t id;
} Candidate;

struct Sampler {
        SamplerParams params;
        size_t n_vocab;
        uint64_t n_drawn;

        uint32_t window[SAMPLER_PENALTY_WINDOW_MAX];    /* a ring */
        uint32_t n_window, window_at;

        uint64_t *seen;                 /* [n_vocab] bits, all 0 between calls */
        Candidate *candidates;          /* [n_vocab]; NULL where greedy */
        double *weights;                /* [n_vocab]; NULL where greedy */
};

static int check(const char *name, double value, double low, double high, EngineError *reterr) {
        if (!isfinite(value) || value < low || value > high)
                return engine_fail(reterr, -EINVAL, "%s is %g, from %g to %g expected", name, value, low, high);
        return 0;
}

int sampler_new(const SamplerParams *p, size_t n_vocab, Sampler **ret, EngineError *reterr) {
        int r;

        if ((r = check("temperature", p->temperature, 0, 5, reterr)) < 0 ||
            (r = check("top-p", p->top_p, 0, 1, reterr)) < 0 ||
            (r = check("min-p", p->min_p, 0, 1, reterr)) < 0 ||
            (r = check("repetition penalty", p->repeat_penalty, 0.1f, 10, reterr)) < 0 ||
            (r = check("repetition window", p->repeat_window, 0, SAMPLER_PENALTY_WINDOW_MAX, reterr)) < 0)
                return r;
        if (n_vocab == 0 || n_vocab > UINT32_MAX / 2)
                return engine_fail(reterr, -EINVAL, "vocabulary of %zu tokens cannot be sampled from", n_vocab);

        _cleanup_(sampler_freep) Sampler *s = calloc(1, sizeof(Sampler));
        if (!s)
                return -ENOMEM;
        s->params = *p;
        s->n_vocab = n_vocab;

        s->seen = calloc((n_vocab + 63) / 64, sizeof(uint64_t));
        if (!s->seen)
                return -ENOMEM;
        if (p->temperature > 0) {
                s->candidates = calloc(n_vocab, sizeof(Candidate));
                s->weights = calloc(n_vocab, sizeof(double));
                if (!s->candidates || !s->weights)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

Sampler *sampler_free(Sampler *s) {
        if (!s)
                return NULL;
        free(s->seen);
        free(s->candidates);
        free(s->weights);
        free(s);
        return NULL;
}

void sampler_accept(Sampler *s, uint32_t id) {
        if (s->params.repeat_window == 0 || id >= s->n_vocab)
                return;
        s->window[s->window_at] = id;
        s->window_at = (s->window_at + 1) % s->params.repeat_window;
        if (s->n_window < s->params.repeat_window)
                s->n_window++;
}

static void penalise(Sampler *s, float *logits) {
        float penalty = s->params.repeat_penalty;

        if (penalty == 1.0f)
                return;
        for (uint32_t i = 0; i < s->n_window; i++) {
                uint32_t id = s->window[i];
                if (s->seen[id / 64] >> id % 64 & 1)
                        continue;
                s->seen[id / 64] |= UINT64_C(1) << id % 64;
                logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
        }
        for (uint32_t i = 0; i < s->n_window; i++)
                s->seen[s->window[i] / 64] = 0;
}

static void apply_mask(float *logits, size_t n, const uint64_t *mask) {
        for (size_t i = 0; i < n; i += 64) {
                uint64_t word = mask[i / 64];
                if (word == UINT64_MAX)
                        continue;
                size_t end = MIN(n - i, (size_t) 64);
                for (size_t j = 0; j < end; j++)
                        if (!(word >> j & 1))
                                logits[i + j] = -INFINITY;
        }
}

static uint32_t first_allowed(size_t n, const uint64_t *mask) {
        for (size_t i = 0; mask && i < (n + 63) / 64; i++)
                if (mask[i] != 0)
                        return (uint32_t) MIN(i * 64 + __builtin_ctzll(mask[i]), n - 1);
        return 0;
}

/* The largest of l[0 … n), n ≤ BLOCK, NaN passed over; -inf where there is none. Independent lanes, so that it
 * vectorises without leave to reorder. */
static float block_max(const float *l, size_t n) {
        float lane[LANES];
        size_t i = 0;

        for (size_t j = 0; j < LANES; j++)
                lane[j] = -INFINITY;
        for (; i + LANES <= n; i += LANES)
                for (size_t j = 0; j < LANES; j++)
                        lane[j] = l[i + j] > lane[j] ? l[i + j] : lane[j];
        for (; i < n; i++)
                lane[0] = l[i] > lane[0] ? l[i] : lane[0];
        for (size_t j = 1; j < LANES; j++)
                lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
        return lane[0];
}

/* The first of the largest; *ret_max is -inf where no logit is above it. */
static uint32_t argmax(const float *logits, size_t n, float *ret_max) {
        float best = -INFINITY;
        size_t at = 0;

        for (size_t i = 0; i < n; i += BLOCK) {
                float m = block_max(logits + i, MIN(n - i, (size_t) BLOCK));
                if (m > best) {
                        best = m;
                        at = i;
                }
        }
        *ret_max = best;
        if (best == -INFINITY)
                return 0;
        while (logits[at] != best)
                at++;
        return (uint32_t) at;
}

/* An integer that orders as the float does. -0 is +0's equal: adding 0 makes one of both. */
static uint32_t sort_key(float f) {
        uint32_t u;

        f += 0.0f;
        memcpy(&u, &f, sizeof u);
        return u & UINT32_C(0x80000000) ? ~u : u | UINT32_C(0x80000000);
}

/* Keeps the shortest prefix, in falling order of logits, whose amounts come to `target` or more; an amount is 1 where
 * weights is NULL. Returns how many are left, at least one. */
static size_t keep_until(Candidate *c, double *weights, size_t n, double target) {
        static const struct {
                uint32_t shift, bits;
        } digits[] = { { 21, 11 }, { 10, 11 }, { 0, 10 } };
        double sums[1 << 11];
        uint32_t prefix = 0, decided = 0;       /* of the key that the prefix ends with */
        double above = 0;                       /* what lies above that key */

        for (size_t d = 0; d < ELEMENTSOF(digits); d++) {
                uint32_t n_buckets = UINT32_C(1) << digits[d].bits;
                memset(sums, 0, n_buckets * sizeof(double));
                for (size_t i = 0; i < n; i++) {
                        uint32_t key = sort_key(c[i].logit);
                        if ((key & decided) != prefix)
                                continue;
                        sums[key >> digits[d].shift & (n_buckets - 1)] += weights ? weights[i] : 1;
                }

                /* The lowest bucket with anything in it is taken where rounding kept the sum under the target. */
                uint32_t chosen = 0;
                double before = above, chosen_before = above;
                for (uint32_t b = n_buckets; b-- > 0;) {
                        if (sums[b] <= 0)
                                continue;
                        chosen = b;
                        chosen_before = before;
                        before += sums[b];
                        if (before >= target)
                                break;
                }
                above = chosen_before;
                prefix |= chosen << digits[d].shift;
                decided |= (n_buckets - 1) << digits[d].shift;
        }

        size_t kept = 0;
        bool tied = false;
        for (size_t i = 0; i < n; i++) {
                uint32_t key = sort_key(c[i].logit);
                if (key < prefix)
                        continue;
                if (key == prefix) {
                        if (tied && above >= target)
                                continue;
                        tied = true;
                        above += weights ? weights[i] : 1;
                }
                c[kept] = c[i];
                if (weights)
                        weights[kept] = weights[i];
                kept++;
        }
        return kept;
}

static uint32_t draw(Sampler *s, const float *logits, float best) {
        const SamplerParams *p = &s->params;
        Candidate *c = s->candidates;
        double *w = s->weights;
        size_t n = 0;

        /* With +inf about, only those are in question, and all alike. */
        float limit = isinf(best) ? best : best - NEGLIGIBLE * p->temperature;
        for (size_t i = 0; i < s->n_vocab; i++)
                if (logits[i] >= limit && logits[i] > -INFINITY)
                        c[n++] = (Candidate) { .logit = logits[i], .id = (uint32_t) i };

        if (p->top_k > 0 && p->top_k < n)
                n = keep_until(c, NULL, n, p->top_k);

        double total = 0;
        for (size_t i = 0; i < n; i++) {
                w[i] = c[i].logit == best ? 1.0 : (double) expf((c[i].logit - best) / p->temperature);
                total += w[i];
        }
        if (p->top_p < 1)
                n = keep_until(c, w, n, p->top_p * total);

        total = 0;
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
                if (w[i] < p->min_p)
                        continue;
                c[kept] = c[i];
                w[kept] = w[i];
                total += w[kept++];
        }

        double u = philox_uniform(p->seed, s->n_drawn++) * total;
        for (size_t i = 0; i + 1 < kept; i++) {
                if (u < w[i])
                        return c[i].id;
                u -= w[i];
        }
        return c[kept - 1].id;
}

uint32_t sampler_next(Sampler *s, float *logits, const uint64_t *mask) {
        float best;

        penalise(s, logits);
        if (mask)
                apply_mask(logits, s->n_vocab, mask);

        uint32_t id = argmax(logits, s->n_vocab, &best);
        if (best == -INFINITY)
                return first_allowed(s->n_vocab, mask);
        if (s->params.temperature <= 0)
                return id;
        return draw(s, logits, best);
}
