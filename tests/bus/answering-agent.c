/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An agent that gives everybody the answer of its command line and prints whom: for tests on a booted system. */

#include <stdio.h>

#include "tests/bus/permissions.h"

int main(int argc, char **argv) {
        TestAgent a;
        unsigned n_told = 0;

        if (argc != 2)
                return 2;
        agent_init(&a);
        a.answer = argv[1];
        printf("registered\n");
        for (;;) {
                fflush(stdout);
                agent_process(&a, UINT64_MAX);
                for (; n_told < a.n_asked; n_told++)
                        printf("%s %s %s\n", a.app, a.certainty, a.capabilities);
        }
}
