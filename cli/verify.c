/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl verify: placeholder */
#include "cli/sparkctl.h"

int verb_verify(Context *c, int argc, char **argv) {
        return EXIT_FAILED;
}
