/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the facts about a running worker, read from the kernel. What cannot be read is told as "unreadable: why", never
 * left out or made up; the worker's own account of itself goes beside it and is marked as such. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/sparkd/manager.h"

#define LINK_MAX_BYTES 512
#define DESCRIPTORS_TOLD 128u

static const char *const status_keys[] = {
        "Name", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
        "Threads", "VmPeak", "VmRSS", "VmLck", "VmSwap", "CoreDumping", "NSpid", "Speculation_Store_Bypass",
};

static const char *const namespaces[] = { "user", "mnt", "net", "pid", "ipc", "uts", "cgroup", "time" };

/* A string that is not UTF-8 would spoil the whole answer: file names are the only ones that could be. */
static void make_ascii(char *s) {
        for (; *s; s++)
                if (*s < 0x20 || *s >= 0x7f)
                        *s = '?';
}

/* The kernel's columns: every run of blanks becomes one, none is left at the end. */
static void squeeze(char *s) {
        char *out = s;
        for (char *p = s; *p; p++)
                if (!strchr(" \t\n", *p))
                        *out++ = *p;
                else if (out > s && out[-1] != ' ')
                        *out++ = ' ';
        if (out > s && out[-1] == ' ')
                out--;
        *out = '\0';
        make_ascii(s);
}

static int append_pair(sd_bus_message *m, const char *key, const char *value) {
        return sd_bus_message_append(m, "{ss}", key, value);
}

static int unreadable(sd_bus_message *m, const char *key, int error) {
        char text[128];
        snprintf(text, sizeof text, "unreadable: %s", strerror(error));
        return append_pair(m, key, text);
}

static int open_dictionary(sd_bus_message *m, const char *key) {
        int r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "a{ss}");
        return r < 0 ? r : sd_bus_message_open_container(m, 'a', "{ss}");
}

static int close_dictionary(sd_bus_message *m) {
        int r = 0;
        for (int i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static FILE *open_proc(pid_t pid, const char *name) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, name);
        return fopen(path, "re");
}

static int append_status(sd_bus_message *m, pid_t pid) {
        char line[512];
        int r = open_dictionary(m, "status");
        FILE *f = open_proc(pid, "status");

        if (!f)
                r = r < 0 ? r : unreadable(m, "", errno);
        while (f && r >= 0 && fgets(line, sizeof line, f)) {
                size_t n = strcspn(line, ":");
                for (size_t i = 0; i < ELEMENTSOF(status_keys) && r >= 0; i++)
                        if (strlen(status_keys[i]) == n && memcmp(status_keys[i], line, n) == 0) {
                                char *value = line + n + strspn(line + n, ":\t ");
                                squeeze(value);
                                r = append_pair(m, status_keys[i], value);
                        }
        }
        if (f)
                fclose(f);
        return r < 0 ? r : close_dictionary(m);
}

/* Lines are in columns: the name ends where two blanks follow. */
static int append_limits(sd_bus_message *m, pid_t pid) {
        char line[256];
        int r = open_dictionary(m, "limits");
        FILE *f = open_proc(pid, "limits");

        if (!f)
                r = r < 0 ? r : unreadable(m, "", errno);
        while (f && r >= 0 && fgets(line, sizeof line, f)) {
                char *end = strstr(line, "  ");
                if (!end || strncmp(line, "Max", 3) != 0)
                        continue;
                *end = '\0';
                squeeze(end + 1);
                r = append_pair(m, line, end + 1);
        }
        if (f)
                fclose(f);
        return r < 0 ? r : close_dictionary(m);
}

static int append_namespaces(sd_bus_message *m, pid_t pid) {
        int r = open_dictionary(m, "namespaces");

        for (size_t i = 0; i < ELEMENTSOF(namespaces) && r >= 0; i++) {
                char path[64], theirs[64], ours[64];
                snprintf(path, sizeof path, "/proc/%d/ns/%s", (int) pid, namespaces[i]);
                ssize_t n = readlink(path, theirs, sizeof theirs - 1);
                int error = errno;
                snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i]);
                ssize_t k = readlink(path, ours, sizeof ours - 1);
                if (n < 0)
                        r = unreadable(m, namespaces[i], error);
                else
                        r = append_pair(m, namespaces[i], n == k && memcmp(theirs, ours, (size_t) n) == 0 ? "shared" : "own");
        }
        return r < 0 ? r : close_dictionary(m);
}

static int append_descriptors(sd_bus_message *m, pid_t pid) {
        char path[64], to[LINK_MAX_BYTES];
        unsigned told = 0;
        int r = open_dictionary(m, "descriptors");

        snprintf(path, sizeof path, "/proc/%d/fd", (int) pid);
        DIR *d = opendir(path);
        if (!d)
                r = r < 0 ? r : unreadable(m, "", errno);
        for (struct dirent *e; d && r >= 0 && told < DESCRIPTORS_TOLD && (e = readdir(d)); ) {
                if (e->d_name[0] == '.')
                        continue;
                ssize_t n = readlinkat(dirfd(d), e->d_name, to, sizeof to - 1);
                if (n < 0)
                        r = unreadable(m, e->d_name, errno);
                else {
                        to[n] = '\0';
                        make_ascii(to);
                        r = append_pair(m, e->d_name, to);
                }
                told++;
        }
        if (d)
                closedir(d);
        return r < 0 ? r : close_dictionary(m);
}

static int append_executable(sd_bus_message *m, pid_t pid) {
        char path[64], to[LINK_MAX_BYTES];

        snprintf(path, sizeof path, "/proc/%d/exe", (int) pid);
        ssize_t n = readlink(path, to, sizeof to - 1);
        if (n < 0)
                snprintf(to, sizeof to, "unreadable: %s", strerror(errno));
        else
                to[n] = '\0';
        make_ascii(to);
        return sd_bus_message_append(m, "{sv}", "executable", "s", to);
}

static int append_swap(sd_bus_message *m, pid_t pid) {
        char line[256], value[64] = "unreadable: no VmSwap line";
        FILE *f = open_proc(pid, "status");

        if (!f)
                snprintf(value, sizeof value, "unreadable: %s", strerror(errno));
        while (f && fgets(line, sizeof line, f))
                if (strncmp(line, "VmSwap:", 7) == 0)
                        snprintf(value, sizeof value, "%llu", strtoull(line + 7, NULL, 10));
        if (f)
                fclose(f);
        return sd_bus_message_append(m, "{sv}", "swap", "s", value);
}

static int append_model(sd_bus_message *m, User *u) {
        const ModelEntry *e = worker_model(u->worker);
        uint64_t device, inode = worker_model_inode(u->worker, &device);
        int r;

        if (!e)
                return 0;
        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "model");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "a{sv}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}",
                                          "name", "s", e->name, "sha256", "s", e->sha256, "size", "t", e->size,
                                          "device", "t", device, "inode", "t", inode);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "parts");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "s");
        for (size_t i = 0; i < e->n_parts && r >= 0; i++) {
                char path[4096];
                snprintf(path, sizeof path, "%s/%s", e->directory, e->parts[i]);
                make_ascii(path);
                r = sd_bus_message_append(m, "s", path);
        }
        for (int i = 0; i < 6 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

int verify_append(User *u, sd_bus_message *m, const char *json) {
        pid_t pid = worker_pid(u->worker);
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}",
                                          "state", "s", user_state(u), "pid", "u", (uint32_t) pid,
                                          "restarts", "u", worker_n_lost(u->worker));
        if (r >= 0 && pid > 0) {
                static int (*const parts[])(sd_bus_message *m, pid_t pid) = {
                        append_status, append_namespaces, append_limits, append_descriptors, append_executable, append_swap,
                };
                for (size_t i = 0; i < ELEMENTSOF(parts) && r >= 0; i++)
                        r = parts[i](m, pid);
                if (r >= 0)
                        r = append_model(m, u);
                if (r >= 0)
                        r = sd_bus_message_append(m, "{sv}", "worker", "s", json);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}
