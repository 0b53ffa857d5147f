/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the queue of questions: which may be on the screen, which way each is asked, and that every call gets exactly one
 * answer. One question an app is shown at a time, so that an app cannot cover the screen; the rest wait, up to a cap. */

#include <string.h>

#include "daemon/agent/app-name.h"
#include "daemon/agent/limits.h"
#include "daemon/agent/mirror.h"
#include "daemon/agent/questions.h"

#define ERROR_PREFIX "org.spark.Assistant.Error."

static const AskFunction ways[] = { ask_by_notification, ask_by_dialog };

struct Questions {
        const AskContext *context;
        GQueue list;
};

typedef struct Question {
        Questions *questions;
        GDBusMethodInvocation *call;    /* NULL: answered; what is shown is on its way out */
        char *sender, *id, *app;
        GStrv capabilities;
        ConsentWords words;
        GCancellable *cancellable;
        size_t way;
        gboolean shown;
} Question;

static void show(Question *question);

static Question *question_free(Question *question) {
        if (!question)
                return NULL;
        g_clear_object(&question->call);
        g_clear_object(&question->cancellable);
        g_free(question->sender);
        g_free(question->id);
        g_free(question->app);
        g_strfreev(question->capabilities);
        consent_words_done(&question->words);
        g_free(question);
        return NULL;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Question, question_free)

static void fail(Question *question, const char *name, const char *why) {
        if (question->call)
                g_dbus_method_invocation_return_dbus_error(g_steal_pointer(&question->call), name, why);
}

static void show_next(Questions *q) {
        size_t n_shown = 0;
        for (GList *l = q->list.head; l; l = l->next)
                n_shown += ((Question *) l->data)->shown;
        for (GList *l = q->list.head; l && n_shown < QUESTIONS_SHOWN_MAX; l = l->next) {
                Question *question = l->data;
                gboolean may = !question->shown;
                for (GList *other = q->list.head; other && may; other = other->next) {
                        const Question *o = other->data;
                        may = !o->shown || strcmp(o->app, question->app) != 0;
                }
                if (may) {
                        show(question);
                        n_shown++;
                }
        }
}

static void on_answer(GObject *source, GAsyncResult *result, gpointer userdata) {
        Question *question = userdata;
        Questions *q = question->questions;
        g_autoptr(GError) error = NULL;
        const char *answer = ask_finish(result, &error);
        if (!answer && question->call && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED) &&
            question->way + 1 < G_N_ELEMENTS(ways)) {
                g_debug("not asked: %s", error->message);
                question->way++;
                show(question);
                return;
        }
        if (answer && question->call) {
                mirror_answer(q->context->session, question->app, (const char *const *) question->capabilities, answer);
                g_dbus_method_invocation_return_value(g_steal_pointer(&question->call), g_variant_new("(s)", answer));
        } else
                fail(question, ERROR_PREFIX "NoAgent", error ? error->message : "nobody was asked");
        g_queue_remove(&q->list, question);
        question_free(question);
        show_next(q);
}

static void show(Question *question) {
        question->shown = TRUE;
        ways[question->way](question->questions->context, &question->words, question->cancellable, on_answer, question);
}

static void withdraw(Question *question) {
        fail(question, ERROR_PREFIX "Cancelled", "withdrawn");
        if (question->shown)
                g_cancellable_cancel(question->cancellable);    /* on_answer() sees to the rest */
        else {
                g_queue_remove(&question->questions->list, question);
                question_free(question);
        }
}

Questions *questions_new(const AskContext *context) {
        Questions *q = g_new0(Questions, 1);
        q->context = context;
        g_queue_init(&q->list);
        return q;
}

Questions *questions_free(Questions *q) {
        if (!q)
                return NULL;
        g_autoptr(GList) all = g_list_copy(q->list.head);
        for (GList *l = all; l; l = l->next)
                withdraw(l->data);
        /* Ways to ask end by a turn of the main loop. */
        while (q->list.head)
                g_main_context_iteration(NULL, TRUE);
        g_free(q);
        return NULL;
}

/* Words of what was asked, or an error's name. Every string of a message is UTF-8; words.c sees to the rest. */
static const char *read_details(Question *question, GVariant *details) {
        ConsentDetails d = { .app = "?", .kind = "", .certainty = "", .leaves = "" };
        g_variant_lookup(details, "app", "&s", &d.app);
        g_variant_lookup(details, "kind", "&s", &d.kind);
        g_variant_lookup(details, "certainty", "&s", &d.certainty);
        g_variant_lookup(details, "leaves", "&s", &d.leaves);
        g_variant_lookup(details, "pid", "u", &d.pid);
        if (!g_variant_lookup(details, "capabilities", "^as", &question->capabilities))
                return "org.freedesktop.DBus.Error.InvalidArgs";
        d.capabilities = (const char *const *) question->capabilities;
        d.n_capabilities = g_strv_length(question->capabilities);
        g_autofree char *name = app_name(d.app);
        d.name = name;
        question->app = g_strdup(d.app);
        return consent_words(&d, &question->words) < 0 ? "org.freedesktop.DBus.Error.InvalidArgs" : NULL;
}

static Question *find(Questions *q, GDBusConnection *bus, const char *sender, const char *id) {
        for (GList *l = q->list.head; l; l = l->next) {
                Question *question = l->data;
                if (question->call && g_dbus_method_invocation_get_connection(question->call) == bus &&
                    strcmp(question->sender, sender) == 0 && (!id || strcmp(question->id, id) == 0))
                        return question;
        }
        return NULL;
}

void questions_add(Questions *q, GDBusMethodInvocation *call) {
        g_autoptr(Question) question = g_new0(Question, 1);
        g_autoptr(GVariant) details = NULL;
        question->questions = q;
        question->call = call;
        question->sender = g_strdup(g_dbus_method_invocation_get_sender(call));
        question->cancellable = g_cancellable_new();
        g_variant_get(g_dbus_method_invocation_get_parameters(call), "(s@a{sv})", &question->id, &details);

        const char *error = read_details(question, details);
        if (error)
                fail(question, error, "there is nothing in it that could be asked");
        else if (strlen(question->id) > QUESTION_ID_MAX ||
                 find(q, g_dbus_method_invocation_get_connection(call), question->sender, question->id))
                fail(question, "org.freedesktop.DBus.Error.InvalidArgs", "the question's number is too long, or in use");
        else if (g_queue_get_length(&q->list) >= QUESTIONS_MAX)
                fail(question, "org.freedesktop.DBus.Error.LimitsExceeded", "too many questions wait for an answer");
        else {
                g_queue_push_tail(&q->list, g_steal_pointer(&question));
                show_next(q);
        }
}

void questions_cancel(Questions *q, GDBusConnection *bus, const char *sender, const char *id) {
        for (Question *question; (question = find(q, bus, sender, id));)
                withdraw(question);
}
