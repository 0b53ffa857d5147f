/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Turns that wait for the worker: fair between applications, whichever of them has more waiting. Within an
 * application the first come is the first served; interactive work goes before background work.
 *
 * A queue holds one lane per application that has something waiting; popping takes the first of the first lane, and
 * puts that lane last. */

#include "daemon/sparkd/list.h"

typedef enum QueuePriority { QUEUE_INTERACTIVE, QUEUE_BACKGROUND, QUEUE_PRIORITIES } QueuePriority;

typedef struct QueueLane {
        struct { Link link, items; } priorities[QUEUE_PRIORITIES];
        size_t n_items;
        bool held;
} QueueLane;

typedef struct Queue {
        Link lanes[QUEUE_PRIORITIES];
        size_t n_items;
} Queue;

void queue_init(Queue *q);
void queue_lane_init(QueueLane *l);

void queue_push(Queue *q, QueueLane *l, QueuePriority priority, Link *item);
Link *queue_pop(Queue *q, QueueLane **ret_lane);        /* NULL: empty */
/* A held lane's items are passed over until it is let go; its turn is then the last. */
void queue_hold(Queue *q, QueueLane *l, bool held);
void queue_remove(Queue *q, QueueLane *l, Link *item);  /* item is in l */
