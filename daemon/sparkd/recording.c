/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the way to a microphone or a camera and back. sparkd opens no device: a user's agent does, in the user's session, and
 * what it hands over is held here, shown (captures.h) before anybody reads from it, and closed in time whatever becomes of
 * the turn. Refuses descriptors that are no stream: of those the end could not be seen. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/file.h"
#include "daemon/sparkd/agents.h"
#include "daemon/sparkd/charge.h"
#include "daemon/sparkd/error.h"
#include "daemon/sparkd/log.h"
#include "daemon/sparkd/recording.h"
#include "daemon/sparkd/record.h"
#include "daemon/sparkd/text.h"

static const char *device_name(const Recording *r) {
        return capability_info(r->wish.device)->name;
}

/* ---- what it costs ---- */

/* A second that was begun is a second. */
static uint64_t audio_seconds(const Recording *r, uint64_t usec) {
        return r->wish.device == CAPABILITY_MICROPHONE ? (usec + 999999) / 1000000 : 0;
}

int recording_reserve(Recording *r, App *a, const RecordingWish *wish, sd_bus_error *reterr) {
        User *u = a->user;
        int k;

        if (a->n_recordings >= RECORDINGS_PER_APP || u->n_recordings >= RECORDINGS_PER_USER)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "%zu devices are open or being opened for this application, %zu for this user, at most %u and %u",
                                         a->n_recordings, u->n_recordings, RECORDINGS_PER_APP, RECORDINGS_PER_USER);
        Recording reserved = { .state = RECORDING_RESERVED, .wish = *wish, .app = a, .below = UINT64_MAX, .fd = -1 };
        reserved.charged = audio_seconds(&reserved, wish->seconds * UINT64_C(1000000));
        k = charge_audio(a, reserved.charged, reterr);
        if (k < 0)
                return k;
        *r = reserved;
        a->n_recordings++;
        u->n_recordings++;
        return 0;
}

static void record_device(const Recording *r, uint64_t usec, const char *outcome) {
        LedgerUse use = use_of(r->app, r->wish.device, r->reason, outcome);

        use.audio_ms = r->wish.device == CAPABILITY_MICROPHONE ? (usec + 999) / 1000 : 0;
        use.duration_us = usec;
        record_use(r->app->user, &use);
}

/* ---- the end ---- */

static void recording_hang_up(Recording *r) {
        if (r->call) {
                r->call = sd_bus_slot_unref(r->call);
                agent_cancel(r->app->user->manager, r->agent_name, r->agent_path, r->id);
        }
        r->io = sd_event_source_disable_unref(r->io);
        r->timeout = sd_event_source_disable_unref(r->timeout);
        if (r->fd >= 0)
                close(r->fd);
        r->fd = -1;
}

void recording_stop(Recording *r, const char *outcome) {
        if (r->state == RECORDING_NONE)
                return;
        recording_hang_up(r);              /* closed first, told then */
        uint64_t usec = capture_end(&r->capture);
        charge_correct_audio(r->app, r->charged, audio_seconds(r, usec));
        if (r->state != RECORDING_RESERVED)
                record_device(r, usec, outcome);
        r->app->n_recordings--;
        r->app->user->n_recordings--;
        free(r->agent_name);
        free(r->agent_path);
        *r = (Recording) {};
}

/* By itself. */
static void recording_end(Recording *r, const char *error, const char *text) {
        const char *dot = error ? strrchr(error, '.') : NULL;
        uint64_t usec = r->state == RECORDING_OPEN ? manager_now(r->app->user->manager) - r->capture.begun_usec : 0;

        void (*ended)(Recording *, uint64_t, const char *, const char *) = r->ended;
        recording_stop(r, dot ? dot + 1 : "stop");
        ended(r, usec, error, text);
}

/* ---- OPEN ---- */

static int on_hang_up(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        recording_end(userdata, NULL, NULL);
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        Recording *r = userdata;

        if (r->state == RECORDING_OPEN)
                recording_end(r, NULL, NULL);
        else
                recording_end(r, SPARK_ERROR_TIMEOUT, "The agent of this session does not open the device");
        return 0;
}

static int arm(Recording *r, uint64_t usec) {
        r->timeout = sd_event_source_disable_unref(r->timeout);
        return sd_event_add_time_relative(r->app->user->manager->event, &r->timeout, CLOCK_MONOTONIC, usec, 0, on_timeout, r);
}

static int take_descriptor(Recording *r, sd_bus_message *m) {
        mode_t type;
        int fd, k;

        k = sd_bus_message_read(m, "h", &fd);
        if (k >= 0)
                k = file_type(fd, &type);
        if (k < 0)
                return k;
        if (type != S_IFIFO && type != S_IFSOCK)
                return -EPROTOTYPE;
        r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (r->fd < 0)
                return -errno;
        k = sd_event_add_io(r->app->user->manager->event, &r->io, r->fd, EPOLLRDHUP, on_hang_up, r);
        return k < 0 ? k : arm(r, r->wish.seconds * UINT64_C(1000000));
}

/* ---- OPENING ---- */

static int recording_ask(Recording *r, sd_bus_error *reterr);

static int on_opened(sd_bus_message *m, void *userdata, sd_bus_error *ignored) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Recording *r = userdata;
        int k;

        r->call = sd_bus_slot_unref(r->call);
        if (sd_bus_message_is_method_error(m, NULL)) {
                log_info("Agent %s of user %u opens no %s: %s", r->agent_name, (unsigned) r->app->user->uid, device_name(r), sd_bus_message_get_error(m)->message);
                if (recording_ask(r, &error) < 0)          /* the next one, if there is one */
                        recording_end(r, error.name ?: SPARK_ERROR_FAILED, error.message ?: "The agent cannot be called");
                return 0;
        }
        k = take_descriptor(r, m);
        if (k < 0) {
                log_notice("What agent %s of user %u gave as a %s cannot be used: %s", r->agent_name, (unsigned) r->app->user->uid, device_name(r), strerror(-k));
                recording_end(r, SPARK_ERROR_NO_DEVICE, "What the agent of this session opened is no stream");
                return 0;
        }
        r->state = RECORDING_OPEN;
        capture_begin(&r->capture, r->app, r->wish.device);
        return 0;
}

static int recording_call(Recording *r, const Agent *a) {
        Manager *manager = r->app->user->manager;
        sd_bus_message *m = NULL;
        int k;

        r->below = a->number;
        free(r->agent_name);
        free(r->agent_path);
        r->agent_name = strdup(a->name);
        r->agent_path = strdup(a->path);
        if (!r->agent_name || !r->agent_path)
                return -ENOMEM;
        snprintf(r->id, sizeof r->id, "%llu", (unsigned long long) ++manager->last_consent);
        k = sd_bus_message_new_method_call(manager->bus, &m, r->agent_name, r->agent_path, AGENT_INTERFACE,
                                           r->wish.device == CAPABILITY_CAMERA ? "OpenCamera" : "OpenMicrophone");
        if (k >= 0)
                k = sd_bus_message_set_auto_start(m, false);
        if (k >= 0)
                k = sd_bus_message_append(m, "sa{sv}", r->id, 4,
                                          "app", "s", r->asker.app,
                                          "kind", "s", identity_kind_name(r->asker.kind),
                                          "certainty", "s", certainty_name(r->asker.certainty),
                                          "seconds", "u", r->wish.seconds);
        /* Our own timer is the one that ends it. */
        if (k >= 0)
                k = sd_bus_call_async(manager->bus, &r->call, m, on_opened, r, DEVICE_OPEN_USEC * 2);
        sd_bus_message_unref(m);
        return k < 0 ? k : arm(r, DEVICE_OPEN_USEC);
}

static int recording_ask(Recording *r, sd_bus_error *reterr) {
        const bool asked = r->below != UINT64_MAX;
        const Agent *a = agent_find(r->app->user, &r->asker, r->below);

        if (a)
                return recording_call(r, a);
        return sd_bus_error_setf(reterr, SPARK_ERROR_NO_DEVICE, asked ? "No agent of this session can open a %s" : "There is no agent in this session that could open a %s",
                                 device_name(r));
}

int recording_open(Recording *r, const Identity *asker, Reason why, sd_bus_error *reterr) {
        r->asker = *asker;
        r->reason = why;
        r->state = RECORDING_OPENING;
        return recording_ask(r, reterr);
}
