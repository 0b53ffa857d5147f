/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the process that asks for a password while a call waits for polkit. Never asks itself: what is typed is between the
 * terminal and polkit. --fallback, so that a desktop's own agent comes first where there is one. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/cleanup.h"
#include "cli/password-agent.h"

#define READY_MS 5000                     /* for it to register */

/* It closes the descriptor when it is ready, and dies with us. */
static void exec_agent(int notify, pid_t parent) {
        char fd[16], process[32];
        sigset_t none;

        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        snprintf(fd, sizeof fd, "%d", notify);
        snprintf(process, sizeof process, "%d", (int) parent);
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent || fcntl(notify, F_SETFD, 0) < 0)
                _exit(1);
        execlp("pkttyagent", "pkttyagent", "--process", process, "--notify-fd", fd, "--fallback", NULL);
        _exit(127);
}

bool password_agent_start(pid_t *ret) {
        pid_t parent = getpid();
        int ends[2];

        if (!isatty(STDIN_FILENO) || pipe2(ends, O_CLOEXEC) < 0)
                return false;
        pid_t pid = fork();
        if (pid == 0)
                exec_agent(ends[1], parent);
        close(ends[1]);
        struct pollfd ready = { .fd = ends[0] };
        int n = pid < 0 ? 0 : poll(&ready, 1, READY_MS);
        close(ends[0]);
        if (pid < 0)
                return false;
        /* A program that is not there closes it, too. */
        if (n <= 0 || waitpid(pid, NULL, WNOHANG) != 0) {
                password_agent_stop(pid);
                return false;
        }
        *ret = pid;
        return true;
}

void password_agent_stop(pid_t pid) {
        (void) kill(pid, SIGTERM);
        (void) waitpid(pid, NULL, 0);
}
