/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fairness of waiting: between applications in turn and by what they have running, within one in order, interactive
 * first, and none kept out by another that has everything running. */
#include "daemon/sparkd/queue.h"
#include "tests/test.h"

#define ALL 100u

typedef struct Item { int n; Link link; } Item;

static Queue q;
static QueueLane a, b, c;

static int pop_within(size_t parallel, size_t extra) {
        Link *l = queue_pop(&q, parallel, extra);
        return l ? LIST_OBJECT(l, Item, link)->n : -1;
}

static int pop(void) {
        return pop_within(ALL, 0);
}

static void begin(void) {
        queue_init(&q);
        queue_lane_init(&a);
        queue_lane_init(&b);
        queue_lane_init(&c);
}

static void test_in_turn(void) {
        Item items[6] = { { 1 }, { 2 }, { 3 }, { 4 }, { 11 }, { 12 } };
        begin();
        for (int i = 0; i < 6; i++)
                queue_push(&q, i < 4 ? &a : &b, QUEUE_INTERACTIVE, &items[i].link);
        CHECK_INT(a.n_items, 4);
        static const int order[] = { 1, 11, 2, 12, 3, 4, -1 };
        for (size_t i = 0; i < ELEMENTSOF(order); i++)
                CHECK_INT(pop(), order[i]);
        CHECK_INT(q.n_items, 0);
        CHECK_INT(a.n_items, 0);
        CHECK_INT(a.priorities[QUEUE_INTERACTIVE].n_running, 4);
}

/* Each as it ends: whoever has less running comes next, whoever's turn it were. */
static void test_fewest_running(void) {
        Item items[6] = { { 1 }, { 2 }, { 3 }, { 11 }, { 12 }, { 13 } };
        begin();
        for (int i = 0; i < 3; i++)
                queue_push(&q, &a, QUEUE_INTERACTIVE, &items[i].link);
        CHECK_INT(pop(), 1);
        CHECK_INT(pop(), 2);
        for (int i = 3; i < 6; i++)
                queue_push(&q, &b, QUEUE_INTERACTIVE, &items[i].link);
        CHECK_INT(pop(), 11);
        CHECK_INT(pop(), 12);
        queue_ended(&q, &b, QUEUE_INTERACTIVE);
        CHECK_INT(pop(), 13);
        queue_ended(&q, &a, QUEUE_INTERACTIVE);
        CHECK_INT(pop(), 3);
}

/* Two at a time, and two more for applications that have none. */
static void test_extra(void) {
        Item items[9] = { { 1 }, { 2 }, { 3 }, { 4 }, { 5 }, { 11 }, { 12 }, { 21 }, { 31 } };
        QueueLane d;
        begin();
        queue_lane_init(&d);
        for (int i = 0; i < 5; i++)
                queue_push(&q, &a, QUEUE_INTERACTIVE, &items[i].link);
        CHECK_INT(pop_within(2, 2), 1);
        CHECK_INT(pop_within(2, 2), 2);
        CHECK_INT(pop_within(2, 2), -1);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[5].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[6].link);
        CHECK_INT(pop_within(2, 2), 11);
        CHECK_INT(pop_within(2, 2), -1);                /* its second waits as the other's third does */
        queue_push(&q, &c, QUEUE_INTERACTIVE, &items[7].link);
        CHECK_INT(pop_within(2, 2), 21);
        queue_push(&q, &d, QUEUE_INTERACTIVE, &items[8].link);
        CHECK_INT(pop_within(2, 2), -1);                /* there is an end to it */
        queue_ended(&q, &a, QUEUE_INTERACTIVE);
        CHECK_INT(pop_within(2, 2), 31);
        queue_ended(&q, &d, QUEUE_INTERACTIVE);
        queue_ended(&q, &c, QUEUE_INTERACTIVE);
        CHECK_INT(pop_within(2, 2), -1);
        queue_ended(&q, &b, QUEUE_INTERACTIVE);
        CHECK_INT(pop_within(2, 2), 12);
}

static void test_background(void) {
        Item items[6] = { { 1 }, { 2 }, { 3 }, { 4 }, { 5 }, { 6 } };
        begin();
        queue_push(&q, &a, QUEUE_BACKGROUND, &items[0].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[1].link);
        queue_push(&q, &a, QUEUE_INTERACTIVE, &items[2].link);
        queue_push(&q, &a, QUEUE_BACKGROUND, &items[3].link);
        CHECK_INT(pop_within(3, 0), 2);
        CHECK_INT(pop_within(3, 0), 3);
        CHECK_INT(pop_within(3, 0), 1);
        CHECK_INT(pop_within(3, 3), -1);                /* background has no extra, for all that it is another's first */
        queue_push(&q, &b, QUEUE_BACKGROUND, &items[4].link);
        CHECK_INT(pop_within(3, 3), -1);

        /* What runs in the background keeps nothing interactive out. */
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[5].link);
        CHECK_INT(pop_within(3, 0), 6);
        queue_ended(&q, &b, QUEUE_INTERACTIVE);
        queue_ended(&q, &b, QUEUE_INTERACTIVE);
        CHECK_INT(pop_within(3, 0), 5);
}

static void test_remove(void) {
        Item items[3] = { { 1 }, { 2 }, { 3 } };
        begin();
        queue_push(&q, &a, QUEUE_INTERACTIVE, &items[0].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[1].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[2].link);
        queue_remove(&q, &a, &items[0].link);
        CHECK_INT(q.n_items, 2);
        queue_remove(&q, &b, &items[1].link);
        CHECK_INT(pop(), 3);
        CHECK_INT(pop(), -1);
        queue_push(&q, &a, QUEUE_INTERACTIVE, &items[0].link); /* lanes can be used again */
        CHECK_INT(pop(), 1);
}

static void test_held(void) {
        Item items[4] = { { 1 }, { 2 }, { 3 }, { 4 } };
        begin();
        queue_push(&q, &a, QUEUE_INTERACTIVE, &items[0].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[1].link);
        queue_hold(&a, true, false);
        queue_push(&q, &a, QUEUE_BACKGROUND, &items[2].link);
        queue_push(&q, &b, QUEUE_INTERACTIVE, &items[3].link);
        CHECK_INT(pop(), 2);
        CHECK_INT(pop(), 4);
        CHECK_INT(pop(), -1);
        CHECK_INT(q.n_items, 2);
        queue_hold(&a, false, true);
        CHECK_INT(pop(), 1);
        CHECK_INT(pop(), -1);
        queue_hold(&a, false, false);
        CHECK_INT(pop(), 3);
        CHECK_INT(q.n_items, 0);
}

TEST_MAIN({ "in turn", test_in_turn }, { "the fewest running first", test_fewest_running }, { "room for a first one", test_extra },
          { "background", test_background }, { "remove", test_remove }, { "held lanes", test_held })
