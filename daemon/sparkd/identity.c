/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the question to the bus who a caller is. sparkd waits for the bus driver here and where a client's name begins to
 * be tracked; for nobody else ever.
 *
 * dbus-daemon before 1.15.8 tells a pid and no pidfd. The pidfd opened here proves that everything was read of one
 * process, which was alive at the end; that it is the one that connected rests on its pid not having been used again
 * between its connecting and now. */

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/cleanup.h"
#include "daemon/sparkd/identity.h"

int identity_of_sender(sd_bus_message *m, Identity *ret, pid_t *ret_pid, int *ret_pidfd) {
        sd_bus_creds *creds = NULL;
        uid_t uid = 0;
        pid_t pid = 0;

        int r = sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID | SD_BUS_CREDS_PID, &creds);
        if (r < 0)
                return r;
        r = sd_bus_creds_get_euid(creds, &uid);
        if (r >= 0 && sd_bus_creds_get_pid(creds, &pid) < 0)
                pid = 0;
        sd_bus_creds_unref(creds);
        if (r < 0)
                return r;

        identity_unknown(uid, ret);
        *ret_pid = pid;
        _cleanup_close_ int pidfd = pid > 0 ? (int) syscall(SYS_pidfd_open, pid, 0) : -1;
        if (pidfd >= 0)
                /* What a sandbox says of itself can be read of one's own user's processes only. */
                (void) identity_of_process("/proc", pidfd, pid, uid, uid == geteuid(), ret);
        if (ret_pidfd)
                *ret_pidfd = TAKE_FD(pidfd);
        return 0;
}

void identity_session(const Identity *id, char ret[SESSION_ID_MAX]) {
        static const char prefix[] = "session-", suffix[] = ".scope";
        size_t n = strlen(id->unit), least = strlen(prefix) + strlen(suffix);

        ret[0] = '\0';
        if (!id->in_login_session || n <= least || n - least >= SESSION_ID_MAX || strncmp(id->unit, prefix, strlen(prefix)) != 0 ||
            strcmp(id->unit + n - strlen(suffix), suffix) != 0)
                return;
        memcpy(ret, id->unit + strlen(prefix), n - least);
        ret[n - least] = '\0';
}
