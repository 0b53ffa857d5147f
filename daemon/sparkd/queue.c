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
        if (list_empty(&l->priorities[priority].items))
                list_append(q->lanes + priority, &l->priorities[priority].link);
        list_append(&l->priorities[priority].items, item);
        l->n_items++;
        q->n_items++;
}

void queue_remove(Queue *q, QueueLane *l, Link *item) {
        list_remove(item);
        l->n_items--;
        q->n_items--;
        for (size_t p = 0; p < QUEUE_PRIORITIES; p++)
                if (list_empty(&l->priorities[p].items))
                        list_remove(&l->priorities[p].link);
}

static QueueLane *lane_of(Link *link, QueuePriority p) {
        return (QueueLane *) ((char *) link - offsetof(QueueLane, priorities) - p * sizeof ((QueueLane *) NULL)->priorities[0]);
}

static QueueLane *next_lane(const Queue *q, QueuePriority p) {
        QueueLane *best = NULL;

        LIST_FOREACH(q->lanes + p, link) {
                QueueLane *l = lane_of(link, p);
                if (l->held || (p == QUEUE_BACKGROUND && l->background_held))
                        continue;
                if (!best || l->priorities[p].n_running < best->priorities[p].n_running)
                        best = l;
        }
        return best;
}

static bool may_run(const Queue *q, const QueueLane *l, QueuePriority p, size_t parallel, size_t extra) {
        const size_t n = q->n_running[QUEUE_INTERACTIVE];

        if (p == QUEUE_BACKGROUND)
                return n + q->n_running[p] < parallel;
        return n < parallel || (n < parallel + extra && l->priorities[p].n_running == 0);
}

void queue_resumed(Queue *q, QueueLane *l, QueuePriority priority) {
        l->priorities[priority].n_running++;
        q->n_running[priority]++;
}

Link *queue_pop(Queue *q, size_t parallel, size_t extra) {
        for (QueuePriority p = 0; p < QUEUE_PRIORITIES; p++) {
                QueueLane *l = next_lane(q, p);
                if (!l || !may_run(q, l, p, parallel, extra))
                        continue;
                Link *item = l->priorities[p].items.next;
                list_append(q->lanes + p, &l->priorities[p].link);
                queue_remove(q, l, item);
                queue_resumed(q, l, p);
                return item;
        }
        return NULL;
}

void queue_ended(Queue *q, QueueLane *l, QueuePriority priority) {
        l->priorities[priority].n_running--;
        q->n_running[priority]--;
}

void queue_hold(QueueLane *l, bool held, bool background_held) {
        l->held = held;
        l->background_held = background_held;
}
