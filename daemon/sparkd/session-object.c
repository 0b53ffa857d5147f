/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns org.spark.Assistant.Session: one object per session, found by session_find() alone, so that for anybody but the
 * owner neither methods nor introspection nor properties exist there. */

#include <errno.h>
#include <string.h>

#include "daemon/sparkd/error.h"
#include "daemon/sparkd/message.h"
#include "daemon/sparkd/session.h"
#include "daemon/sparkd/text.h"
#include "daemon/sparkd/turn.h"

static const OptionSpec respond_options[] = { GENERATION_OPTIONS(0) };

typedef struct Part { char *text, *origin; } Part;

typedef struct DevicePart { uint32_t seconds; } DevicePart;

static const OptionSpec part_options[] = {
        { "text", "s", offsetof(Part, text), 0, PROMPT_BYTES_MAX, OPTION_ALWAYS },
        { "origin", "s", offsetof(Part, origin), 0, 32, OPTION_ALWAYS },
};

static const OptionSpec microphone_options[] = {
        { "seconds", "u", offsetof(DevicePart, seconds), 1, RECORDING_SECONDS_MAX, OPTION_ALWAYS },
};

static void part_done(Part *p) {
        free(p->text);
        free(p->origin);
}

/* What the parts of a call have come to. */
typedef struct Parts {
        size_t n, bytes;
        bool records;
        RecordingWish wish;
} Parts;

static int read_device_part(sd_bus_message *m, Capability device, Parts *parts, IgnoredKeys *ignored, sd_bus_error *reterr) {
        const bool microphone = device == CAPABILITY_MICROPHONE;
        DevicePart part = { .seconds = microphone ? RECORDING_SECONDS_DEFAULT : CAMERA_SECONDS };

        int r = options_read(m, microphone_options, microphone ? ELEMENTSOF(microphone_options) : 0, &part, ignored, reterr);
        if (r < 0)
                return r;
        if (parts->records)
                return sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "More than one part of a call is a microphone or a camera");
        parts->records = true;
        parts->wish = (RecordingWish) { .device = device, .seconds = part.seconds };
        return 0;
}

static int read_text_part(Session *s, sd_bus_message *m, Parts *parts, IgnoredKeys *ignored, sd_bus_error *reterr) {
        _cleanup_(part_done) Part part = {};
        Origin origin = ORIGIN_APP;
        int r;

        r = options_read(m, part_options, ELEMENTSOF(part_options), &part, ignored, reterr);
        if (r < 0)
                return r;
        if (!part.text || part.text[0] == '\0')
                return sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "A part has no 'text'");
        if (part.origin && origin_from_name(part.origin, &origin) < 0)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "A part's 'origin' is '%s', it has to be user, app, web, file or message", part.origin);
        parts->bytes += strlen(part.text);
        if (parts->bytes > PROMPT_BYTES_MAX)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "The parts have more than %u bytes together", PROMPT_BYTES_MAX);
        return session_append(s, ROLE_USER, origin, part.text, reterr);
}

static int read_part(Session *s, sd_bus_message *m, Parts *parts, IgnoredKeys *ignored, sd_bus_error *reterr) {
        const char *type;
        char shown[32];
        int r;

        r = sd_bus_message_read(m, "s", &type);
        if (r < 0)
                return r;
        if (strcmp(type, "text") == 0)
                return read_text_part(s, m, parts, ignored, reterr);
        if (strcmp(type, "microphone") == 0)
                return read_device_part(m, CAPABILITY_MICROPHONE, parts, ignored, reterr);
        if (strcmp(type, "camera") == 0)
                return read_device_part(m, CAPABILITY_CAMERA, parts, ignored, reterr);
        text_printable(type, shown, sizeof shown);
        return sd_bus_error_setf(reterr, SPARK_ERROR_UNSUPPORTED_CAPABILITY, "A part is '%s', only 'text', 'microphone' and 'camera' are understood", shown);
}

static int read_parts(Session *s, sd_bus_message *m, Parts *parts, IgnoredKeys *ignored, sd_bus_error *reterr) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(sa{sv})");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'r', "sa{sv}")) > 0) {
                if (++parts->n > PARTS_MAX)
                        return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "More than %u parts in one call", PARTS_MAX);
                r = read_part(s, m, parts, ignored, reterr);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0 && parts->n == 0)
                return sd_bus_error_set(reterr, SPARK_ERROR_INVALID_INPUT, "There is no part");
        return r;
}

static int method_respond(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        _cleanup_(ignored_keys_done) IgnoredKeys ignored = {};
        Session *s = userdata;
        size_t n_before = s->transcript.n_messages;
        Generation g = s->generation;
        Parts parts = {};
        Turn *t;
        int r;

        if (s->turn)
                return sd_bus_error_setf(reterr, SPARK_ERROR_BUSY, "Turn %llu of this session is not finished, 1 of 1; the position after it is 1",
                                         (unsigned long long) s->turn->number);
        r = read_parts(s, m, &parts, &ignored, reterr);
        if (r >= 0)
                r = options_read(m, respond_options, ELEMENTSOF(respond_options), &g, &ignored, reterr);
        if (r >= 0)
                r = turn_begin(s, &g, &ignored, parts.records ? &parts.wish : NULL, n_before, &t, reterr);
        if (r < 0) {
                session_truncate(s, n_before);
                return r;
        }
        r = sd_bus_reply_method_return(m, "t", t->number);
        turns_schedule(s->user);
        return r;
}

static int method_cancel(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Session *s = userdata;
        uint64_t number;
        int r;

        r = sd_bus_message_read(m, "t", &number);
        if (r < 0)
                return r;
        r = no_options(m, reterr);
        if (r < 0)
                return r;
        if (number == 0 || number > s->last_turn)
                return sd_bus_error_setf(reterr, SPARK_ERROR_INVALID_INPUT, "There is no turn %llu, the last one is %llu",
                                         (unsigned long long) number, (unsigned long long) s->last_turn);
        r = sd_bus_reply_method_return(m, NULL);
        if (s->turn && s->turn->number == number)
                turn_cancel(s->turn);
        return r;
}

static int method_fork(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Session *s = userdata, *fork;
        int r;

        r = no_options(m, reterr);
        if (r < 0)
                return r;
        r = session_fork(s, &fork, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "o", fork->path);
}

static int method_transcript(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Session *s = userdata;
        sd_bus_message *reply = NULL;
        int r;

        r = no_options(m, reterr);
        if (r < 0)
                return r;
        r = reply_list(m, "(sa{sv})", &reply);
        for (size_t i = 0; r >= 0 && i < s->transcript.n_messages; i++) {
                const TranscriptMessage *said = s->transcript.messages + i;
                r = sd_bus_message_append(reply, "(sa{sv})", role_name(said->role), 2,
                                          "text", "s", said->text, "origin", "s", origin_name(said->origin));
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return message_send(reply, r);
}

static int method_close(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        int r;

        r = no_options(m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_reply_method_return(m, NULL);
        session_close(userdata);
        return r;
}

static const sd_bus_vtable session_vtable[] = {
        SD_BUS_VTABLE_START(0),

        SD_BUS_METHOD_WITH_ARGS("Respond",
                                SD_BUS_ARGS("a(sa{sv})", parts, "a{sv}", options),
                                SD_BUS_RESULT("t", turn),
                                method_respond, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Cancel",
                                SD_BUS_ARGS("t", turn, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                method_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Fork",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("o", session),
                                method_fork, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Transcript",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(sa{sv})", transcript),
                                method_transcript, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Close",
                                SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_NO_RESULT,
                                method_close, SD_BUS_VTABLE_UNPRIVILEGED),

        SD_BUS_SIGNAL_WITH_ARGS("Delta", SD_BUS_ARGS("t", turn, "s", text), 0),
        SD_BUS_SIGNAL_WITH_ARGS("Finished", SD_BUS_ARGS("t", turn, "s", reason, "a{sv}", usage), 0),
        SD_BUS_VTABLE_END,
};

static int find_session(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found, sd_bus_error *reterr) {
        sd_bus_message *m = sd_bus_get_current_message(bus);
        Session *s = m ? session_find(userdata, path, sd_bus_message_get_sender(m)) : NULL;

        *ret_found = s;
        return s ? 1 : 0;
}

int session_object_add(Manager *m) {
        return sd_bus_add_fallback_vtable(m->bus, NULL, SPARK_SESSION_PREFIX, SPARK_SESSION_INTERFACE, session_vtable, find_session, m);
}
