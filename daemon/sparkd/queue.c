/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the order of waiting and nothing else: items are links in objects of somebody else's. */

#include "daemon/sparkd/queue.h"

void queue_init(Queue *q) {
        *q = (Queue) {};
        for (size_t p = 0; p < QUEUE_PRIORITIES; p++)
                list_init(q->lanes + p);
}

void queue_lane_init(QueueLane *l) {
        *l = (QueueLane) {};
        for (size_t p = 0; p < QUEUE_PRIORITIES; p++) {
                list_init(&l->priorities[p].link);
                list_init(&l->priorities[p].items);
        }
}

void queue_push(Queue *q, QueueLane *l, QueuePriority priority, Link *item) {
        if (!l->held && list_empty(&l->priorities[priority].items))
                list_append(q->lanes + priority, &l->priorities[priority].link);
        list_append(&l->priorities[priority].items, item);
        l->n_items++;
        q->n_items++;
}

static void queue_leave(Queue *q, QueueLane *l, Link *item) {
        list_remove(item);
        l->n_items--;
        q->n_items--;
        for (size_t p = 0; p < QUEUE_PRIORITIES; p++)
                if (list_empty(&l->priorities[p].items))
                        list_remove(&l->priorities[p].link);
}

Link *queue_pop(Queue *q, QueueLane **ret_lane) {
        for (size_t p = 0; p < QUEUE_PRIORITIES; p++) {
                if (list_empty(q->lanes + p))
                        continue;
                Link *first = q->lanes[p].next;
                QueueLane *l = (QueueLane *) ((char *) first - offsetof(QueueLane, priorities) - p * sizeof l->priorities[0]);
                Link *item = l->priorities[p].items.next;
                list_append(q->lanes + p, first);
                queue_leave(q, l, item);
                if (ret_lane)
                        *ret_lane = l;
                return item;
        }
        return NULL;
}

void queue_hold(Queue *q, QueueLane *l, bool held) {
        if (l->held == held)
                return;
        l->held = held;
        for (size_t p = 0; p < QUEUE_PRIORITIES; p++)
                if (held)
                        list_remove(&l->priorities[p].link);
                else if (!list_empty(&l->priorities[p].items))
                        list_append(q->lanes + p, &l->priorities[p].link);
}

void queue_remove(Queue *q, QueueLane *l, Link *item) {
        queue_leave(q, l, item);
}
