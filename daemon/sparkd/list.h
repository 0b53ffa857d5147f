/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Doubly linked lists through a member of the object itself, so that whoever dies can leave every list it is in
 * without an allocation or a search. A head is a Link of its own. */

#include <stdbool.h>
#include <stddef.h>

typedef struct Link { struct Link *prev, *next; } Link;

static inline void list_init(Link *l) {
        l->prev = l->next = l;
}

static inline bool list_empty(const Link *l) {
        return !l->next || l->next == l;
}

/* Also of a Link that is zero or in no list. */
static inline void list_remove(Link *l) {
        if (!l->next)
                return;
        l->prev->next = l->next;
        l->next->prev = l->prev;
        l->prev = l->next = l;
}

static inline void list_append(Link *head, Link *l) {
        list_remove(l);
        l->prev = head->prev;
        l->next = head;
        head->prev->next = l;
        head->prev = l;
}

#define LIST_OBJECT(link, type, member) ((type *) ((char *) (link) - offsetof(type, member)))

/* The object at hand may leave the list, no other. */
#define LIST_FOREACH(head, link)                                                        \
        for (Link *link = (head)->next, *link##_next = link->next; link != (head); link = link##_next, link##_next = link->next)
