/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the order of an install, which is the safety of it: bytes go to .NAME.part, are synced and digested there, and are
 * renamed only where the digest is right; the description, without which a store has no such model, is renamed last. */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "cli/fetch.h"
#include "cli/install.h"
#include "cli/interrupt.h"
#include "cli/sparkctl.h"
#include "cli/terminal.h"

typedef struct Place {
        char *store;
        int store_fd, part_fd;
        char part[MODEL_NAME_MAX + sizeof "..part"], weights[MODEL_NAME_MAX + sizeof ".gguf"];
        char info[MODEL_NAME_MAX + sizeof ".json"], info_part[MODEL_NAME_MAX + sizeof "..json.part"];
} Place;

static void place_done(Place *p) {
        safe_close(p->part_fd);
        safe_close(p->store_fd);
        free(p->store);
}

static int place_open(const Install *i, Place *ret) {
        const char *name = i->entry->name;
        int r = model_store_writable(i->scope, &ret->store);
        if (r >= 0 && (ret->store_fd = open(ret->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
                r = -errno;
        if (r >= 0 && faccessat(ret->store_fd, ".", W_OK, 0) < 0)
                r = -errno;
        if (r < 0) {
                if (i->scope == MODEL_STORE_SYSTEM && (r == -EACCES || r == -EPERM))
                        return complain(EXIT_REFUSED, "Only root may install for the whole machine. Without --system the model is installed "
                                        "for you alone.");
                return complain(EXIT_FAILED, "Cannot write to the model store%s%s: %s.", ret->store ? " " : "", ret->store ?: "",
                                strerror(-r));
        }
        snprintf(ret->part, sizeof ret->part, ".%s.part", name);
        snprintf(ret->weights, sizeof ret->weights, "%s.gguf", name);
        snprintf(ret->info, sizeof ret->info, "%s.json", name);
        snprintf(ret->info_part, sizeof ret->info_part, ".%s.json.part", name);

        ret->part_fd = openat(ret->store_fd, ret->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (ret->part_fd < 0)
                return complain(EXIT_FAILED, "Cannot write '%s/%s': %s.", ret->store, ret->part, strerror(errno));
        if (flock(ret->part_fd, LOCK_EX | LOCK_NB) < 0)
                return complain(EXIT_FAILED, "'%s' is being installed already.", name);
        /* Who held the lock before may have renamed or removed the file that we opened. */
        struct stat ours, there;
        if (fstat(ret->part_fd, &ours) < 0 || fstatat(ret->store_fd, ret->part, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
            ours.st_ino != there.st_ino)
                return complain(EXIT_FAILED, "Another install of '%s' has just ended; please try again.", name);
        return EXIT_OK;
}

static int check_room(const Install *i, const Place *p, uint64_t have) {
        struct statvfs v;
        char need[SIZE_TEXT_MAX], free_text[SIZE_TEXT_MAX];
        if (i->entry->size <= have || fstatvfs(p->store_fd, &v) < 0)
                return EXIT_OK;
        uint64_t room = (uint64_t) v.f_bavail * v.f_frsize;
        if (i->entry->size - have <= room)
                return EXIT_OK;
        return complain(EXIT_FAILED, "There is no room: %s more are needed in '%s', %s are free.",
                        size_text(i->entry->size - have, need), p->store, size_text(room, free_text));
}

/* ---- fetching ---- */

static int fetch_source(Fetch *f, const char *source) {
        if (strncmp(source, "pypi:", 5) == 0)
                return fetch_pypi(f, source + 5);
        if (strncmp(source, "file:", 5) == 0)
                return fetch_file(f, source + 5);
        return fetch_https(f, source);
}

/* What was fetched before is gone on with where a single server has it; else it is begun anew. */
static int fetch_way(const CatalogueWay *w, Fetch *f) {
        bool resumable = w->n == 1 && strncmp(w->sources[0], "https://", 8) == 0;
        if (!resumable || f->at > f->size_max) {
                f->at = 0;
                if (ftruncate(f->fd, 0) < 0)
                        return -errno;
        }
        /* Whole already: only the digest was missing. */
        if (resumable && f->at == f->size_max)
                return 0;
        int r = 0;
        for (size_t k = 0; k < w->n && r >= 0; k++) {
                if (w->n > 1 && strncmp(w->sources[k], "https://", 8) == 0) {
                        complain(0, "'%s' cannot be joined with others.", w->sources[k]);
                        return -EINVAL;
                }
                r = fetch_source(f, w->sources[k]);
        }
        if (r < 0 && !resumable)
                f->at = 0;
        return r;
}

static int fetch_any(const Install *i, const Place *p, size_t *ret_way) {
        struct stat st;
        if (fstat(p->part_fd, &st) < 0)
                return complain(EXIT_FAILED, "Cannot look at '%s': %s.", p->part, strerror(errno));
        Fetch f = {
                .fd = p->part_fd, .at = (uint64_t) st.st_size, .folder = p->store, .ca_file = i->ca_file, .show = i->show,
                .size_max = i->entry->size > 0 ? i->entry->size : FETCH_SIZE_MAX,
        };
        int r = check_room(i, p, f.at);
        if (r != EXIT_OK)
                return r;
        for (size_t w = 0; w < i->entry->n_ways; w++) {
                r = fetch_way(&i->entry->ways[w], &f);
                if (r == -EINTR)
                        return complain(EXIT_CANCELLED, "Interrupted; the same command goes on.");
                if (r >= 0) {
                        *ret_way = w;
                        return EXIT_OK;
                }
                if (w + 1 < i->entry->n_ways)
                        complain(0, "Trying the next source.");
        }
        if (f.at == 0)
                unlinkat(p->store_fd, p->part, 0);
        return complain(r == -ENOPKG ? EXIT_UNAVAILABLE : EXIT_FAILED, "'%s' was not installed.", i->entry->name);
}

/* ---- checking and naming ---- */

static int check_bytes(const Install *i, const Place *p, uint64_t *ret_size, Digest *ret) {
        const CatalogueEntry *e = i->entry;
        struct stat st;
        char magic[4];
        if (fsync(p->part_fd) < 0 || fstat(p->part_fd, &st) < 0)
                return complain(EXIT_FAILED, "Cannot write '%s/%s': %s.", p->store, p->part, strerror(errno));
        int r = digest_files(&p->part_fd, 1, ret);
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot read '%s/%s': %s.", p->store, p->part, strerror(-r));

        if (e->sha256[0] && strcmp(ret->hex, e->sha256) != 0) {
                unlinkat(p->store_fd, p->part, 0);
                return complain(EXIT_FAILED, "These are other bytes than promised, nothing was installed:\n"
                                "  sha256 %s (%lld bytes)\n  not    %s", ret->hex, (long long) st.st_size, e->sha256);
        }
        /* GGUF's own mark; whether the rest is sound the engine finds out, in its sandbox. */
        if (pread(p->part_fd, magic, sizeof magic, 0) != sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0) {
                unlinkat(p->store_fd, p->part, 0);
                return complain(EXIT_FAILED, "This is no GGUF file, nothing was installed.");
        }
        *ret_size = (uint64_t) st.st_size;
        return EXIT_OK;
}

static int write_info(const Install *i, const Place *p, uint64_t size, const Digest *digest, size_t way) {
        const CatalogueEntry *e = i->entry;
        const CatalogueWay *w = &e->ways[way];
        json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:[s]}", "name", e->name, "title", e->title, "kind", e->kind,
                              "licence", e->licence, "size", (json_int_t) size, "sha256", digest->hex, "source", w->sources[0],
                              "parts", p->weights);
        if (!j)
                return -ENOMEM;
        _cleanup_free_ char *text = json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        json_decref(j);
        if (!text)
                return -ENOMEM;
        _cleanup_close_ int fd = openat(p->store_fd, p->info_part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return -errno;
        size_t n = strlen(text);
        text[n++] = '\n';                 /* over the NUL: the text is not a string from here on */
        ssize_t k = write(fd, text, n);
        if (k < 0 || (size_t) k != n)
                return k < 0 ? -errno : -ENOSPC;
        if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

static int give_name(const Install *i, const Place *p, uint64_t size, const Digest *digest, size_t way) {
        int r = write_info(i, p, size, digest, way);
        /* The machine's models are read by everybody, whatever the umask of who installs. */
        if (r >= 0 && (fchmod(p->part_fd, 0644) < 0 || renameat(p->store_fd, p->part, p->store_fd, p->weights) < 0 ||
                       renameat(p->store_fd, p->info_part, p->store_fd, p->info) < 0 || fsync(p->store_fd) < 0))
                r = -errno;
        if (r < 0)
                return complain(EXIT_FAILED, "Cannot put the model in its place in '%s': %s.", p->store, strerror(-r));
        return EXIT_OK;
}

/* EXIT_OK with *ret_done where there is nothing to do. */
static int look_first(const Install *i, bool *ret_done) {
        _cleanup_(model_entry_freep) ModelEntry *e = NULL;
        int fds[MODEL_PARTS_MAX], r = model_store_find(i->scope, i->entry->name, &e);
        size_t n = 0;
        *ret_done = false;
        if (r < 0)
                return EXIT_OK;           /* missing, or broken: it is written anew */
        r = model_entry_open(e, fds, &n);
        for (size_t k = 0; r >= 0 && k < n; k++)
                close(fds[k]);
        if (r < 0)
                return EXIT_OK;
        if (i->entry->sha256[0] && strcmp(e->sha256, i->entry->sha256) == 0) {
                if (i->show)
                        printf("%s is installed already, in %s.\n", e->name, e->directory);
                *ret_done = true;
                return EXIT_OK;
        }
        return complain(EXIT_FAILED, "Another model is installed as '%s'. 'sparkctl model remove %s' removes it; --name gives the new "
                        "one another name.", e->name, e->name);
}

static int install_blocked(const Install *i) {
        bool done;
        int r = look_first(i, &done);
        if (r != EXIT_OK || done)
                return r;
        _cleanup_(place_done) Place p = { .store_fd = -EBADF, .part_fd = -EBADF };
        if ((r = place_open(i, &p)) != EXIT_OK)
                return r;
        char size_words[SIZE_TEXT_MAX];
        if (i->show && i->entry->size > 0)
                printf("Installing %s (%s, %s) to %s\n", i->entry->name, size_text(i->entry->size, size_words), i->entry->licence,
                       p.store);
        fflush(stdout);

        size_t way = 0;
        uint64_t size = 0;
        Digest digest;
        if ((r = fetch_any(i, &p, &way)) != EXIT_OK || (r = check_bytes(i, &p, &size, &digest)) != EXIT_OK)
                return r;
        if ((r = give_name(i, &p, size, &digest, way)) != EXIT_OK)
                return r;
        if (i->show)
                printf("Installed %s; sha256 %s\n", i->entry->name, digest.hex);
        return EXIT_OK;
}

int install_model(const Install *i) {
        sigset_t ours = interrupts(), before;
        sigprocmask(SIG_BLOCK, &ours, &before);
        int r = install_blocked(i);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return r;
}

int installed_digest(const ModelEntry *e, Digest *ret) {
        int fds[MODEL_PARTS_MAX];
        size_t n;
        int r = model_entry_open(e, fds, &n);
        if (r < 0)
                return r;
        r = digest_files(fds, n, ret);
        while (n > 0)
                close(fds[--n]);
        return r;
}
