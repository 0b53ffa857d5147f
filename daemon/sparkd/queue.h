/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Turns that wait for the worker: fair between applications, whichever of them has more waiting or running. Within an
 * application the first come is the first served; interactive work goes before background work.
 *
 * A queue holds one lane per application. Popping takes the first item of the lane that has the fewest running, in turn
 * where several have as few, and puts that lane last. What was popped runs until queue_ended(). */

#include "daemon/sparkd/list.h"

typedef enum QueuePriority { QUEUE_INTERACTIVE, QUEUE_BACKGROUND, QUEUE_PRIORITIES } QueuePriority;

typedef struct QueueLane {
        struct { Link link, items; size_t n_running; } priorities[QUEUE_PRIORITIES];
        size_t n_items;
        bool held, background_held;
} QueueLane;

typedef struct Queue {
        Link lanes[QUEUE_PRIORITIES];
        size_t n_items;
        size_t n_running[QUEUE_PRIORITIES];
} Queue;

void queue_init(Queue *q);
void queue_lane_init(QueueLane *l);

void queue_push(Queue *q, QueueLane *l, QueuePriority priority, Link *item);
void queue_remove(Queue *q, QueueLane *l, Link *item);  /* item waits in l */

/* The next to run, or NULL. `parallel` run at a time; beside them as many as `extra`, each the first of an application
 * that has none running. Background work takes nothing from interactive work, and does not begin beside `parallel`. */
Link *queue_pop(Queue *q, size_t parallel, size_t extra);
/* One that ran does no longer. */
void queue_ended(Queue *q, QueueLane *l, QueuePriority priority);
/* One that was ended goes on, whatever else runs. */
void queue_resumed(Queue *q, QueueLane *l, QueuePriority priority);

/* A held lane's items are passed over until it is let go, all of them or the background ones. */
void queue_hold(QueueLane *l, bool held, bool background_held);
