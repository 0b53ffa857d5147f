/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fairness of waiting: between applications in turn, within one in order, interactive first. */
#include "daemon/sparkd/queue.h"
#include "tests/test.h"

typedef struct Item { int n; Link link; } Item;

static int pop(Queue *q) {
        Link *l = queue_pop(q, NULL);
        return l ? LIST_OBJECT(l, Item, link)->n : -1;
}

static void test_round_robin(void) {
        Queue q;
        QueueLane a, b;
        Item items[6] = { { 1 }, { 2 }, { 3 }, { 4 }, { 11 }, { 12 } };
        queue_init(&q);
        queue_lane_init(&a);
        queue_lane_init(&b);
        for (int i = 0; i < 6; i++)
                queue_push(&q, i < 4 ? &a : &b, QUEUE_INTERACTIVE, &items[i].link);
        CHECK_INT(a.n_items, 4);
        static const int order[] = { 1, 11, 2, 12, 3, 4, -1 };
        for (size_t i = 0; i < ELEMENTSOF(order); i++)
                CHECK_INT(pop(&q), order[i]);
        CHECK_INT(q.n_items, 0);
        CHECK_INT(a.n_items, 0);
}

static void test_background_waits(void) {
        Queue q;
        QueueLane a, b;
        Item items[3] = { { 1 }, { 2 }, { 3 } };
        queue_init(&q);
        queue_lane_init(&a);
        queue_lane_init(&b);
        queue_push(&q, &a, QUEUE_BACKGROUND, &items[0].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[1].link);
        queue_push(&q, &a, QUEUE_INTERACTIVE, &items[2].link);
        CHECK_INT(pop(&q), 2);
        CHECK_INT(pop(&q), 3);
        CHECK_INT(pop(&q), 1);
}

static void test_remove(void) {
        Queue q;
        QueueLane a, b;
        Item items[3] = { { 1 }, { 2 }, { 3 } };
        queue_init(&q);
        queue_lane_init(&a);
        queue_lane_init(&b);
        queue_push(&q, &a, QUEUE_INTERACTIVE, &items[0].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[1].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[2].link);
        queue_remove(&q, &a, &items[0].link);
        CHECK_INT(q.n_items, 2);
        queue_remove(&q, &b, &items[1].link);
        CHECK_INT(pop(&q), 3);
        CHECK_INT(pop(&q), -1);
        queue_push(&q, &a, QUEUE_INTERACTIVE, &items[0].link); /* lanes can be used again */
        CHECK_INT(pop(&q), 1);
}

static void test_held(void) {
        Queue q;
        QueueLane a, b;
        Item items[4] = { { 1 }, { 2 }, { 3 }, { 4 } };
        queue_init(&q);
        queue_lane_init(&a);
        queue_lane_init(&b);
        queue_push(&q, &a, QUEUE_INTERACTIVE, &items[0].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[1].link);
        queue_hold(&q, &a, true);
        queue_push(&q, &a, QUEUE_BACKGROUND, &items[2].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[3].link);
        CHECK_INT(pop(&q), 2);
        CHECK_INT(pop(&q), 4);
        CHECK_INT(pop(&q), -1);
        CHECK_INT(q.n_items, 2);
        queue_remove(&q, &a, &items[2].link);
        queue_hold(&q, &a, true);
        queue_hold(&q, &a, false);
        CHECK_INT(pop(&q), 1);
        CHECK_INT(q.n_items, 0);
}

TEST_MAIN({ "round robin", test_round_robin }, { "background waits", test_background_waits }, { "remove", test_remove }, { "held lanes", test_held })
