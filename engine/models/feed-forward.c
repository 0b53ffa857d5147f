/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the dense feed-forward block: down(act(gate · x) ⊙ up · x) (Shazeer, GLU variants, 2020). */

#include "engine/models/lane.h"

void forward_dense(Lane *l, uint32_t layer) {
        Forward *f = l->f;
        const ModelLayer *w = &f->m->layers[layer];
        const uint32_t n_ff = w->gate.n_out, n_embd = w->down.n_out;

        const uint8_t *act = lane_input(l, true, w->post_attn_norm, w->ffn_norm);
        const uint32_t ff0 = lane_begin(l, n_ff), ff1 = lane_end(l, n_ff);
        lane_product(l, &w->gate, act, f->gate, f->wide_stride, ff0, ff1, NULL);
        lane_product(l, &w->up, act, f->up, f->wide_stride, ff0, ff1, NULL);
        lane_activate(l, f->gate + l->p0 * f->wide_stride, f->up + l->p0 * f->wide_stride, f->wide_stride, l->p1 - l->p0, ff0, ff1);
        lane_meet(l);

        act = lane_activation(l, f->gate, f->wide_stride, n_ff);
        lane_product(l, &w->down, act, f->pending, f->embd_stride, lane_begin(l, n_embd), lane_end(l, n_embd), NULL);
        lane_meet(l);
}
