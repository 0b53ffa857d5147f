/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the questions on a terminal, one at a time. The terminal stays in its line mode: what is typed counts with Enter,
 * Ctrl-C and Ctrl-Z do what they always do, and there is nothing to put back, however this process ends. What was typed
 * before a question came up is thrown away: it was not meant as its answer. A process in the background asks nobody. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

#include "cli/terminal.h"
#include "cli/text-agent.h"
#include "daemon/consent/words.h"

#define AGENT_PATH "/org/spark/Assistant/Agent"
#define AGENT_INTERFACE "org.spark.Assistant.Agent"
#define QUESTIONS_MAX 16u
#define QUESTION_ID_MAX 128u
#define ANSWER_MAX 256u                   /* bytes of a line */

typedef struct Question {
        char *id;
        ConsentWords words;
        uint32_t seconds;                 /* to answer; 0: not told */
        sd_bus_message *call;
} Question;

struct TextAgent {
        Client *client;
        bool own;                         /* questions about this process alone */
        FILE *tty;
        sd_bus_slot *object;
        sd_event_source *input;           /* NULL: nothing is asked now */
        char *sparkd;                     /* unique name; NULL: not registered */
        Question questions[QUESTIONS_MAX];        /* the first one is on the terminal */
        size_t n_questions;
};

static void question_done(Question *q) {
        sd_bus_message_unref(q->call);
        consent_words_done(&q->words);
        free(q->id);
        *q = (Question) {};
}

/* Out of the queue; who calls this calls ask_next() then. */
static void drop_question(TextAgent *a, size_t i) {
        if (i == 0)
                a->input = sd_event_source_disable_unref(a->input);
        question_done(&a->questions[i]);
        memmove(&a->questions[i], &a->questions[i + 1], (--a->n_questions - i) * sizeof a->questions[0]);
        a->questions[a->n_questions] = (Question) {};
}

static void fail_question(TextAgent *a, size_t i, const char *error, const char *why) {
        sd_bus_reply_method_errorf(a->questions[i].call, error, "%s", why);
        drop_question(a, i);
}

/* ---- the terminal ---- */

static void print_choices(TextAgent *a) {
        for (size_t i = 0; i < CONSENT_ANSWERS; i++)
                fprintf(a->tty, "%s[%c] %s", i > 0 ? "  " : "", consent_answers[i].key, consent_answers[i].label);
        if (a->questions[0].seconds > 0)
                fprintf(a->tty, "\nYour answer, within %u seconds: ", a->questions[0].seconds);
        else
                fputs("\nYour answer: ", a->tty);
        fflush(a->tty);
}

static void print_question(TextAgent *a, const ConsentWords *w) {
        fprintf(a->tty, "\n%s", terminal_style(a->tty, STYLE_BOLD));
        terminal_print(a->tty, w->title, strlen(w->title));
        fprintf(a->tty, "%s\n", terminal_style(a->tty, STYLE_NORMAL));
        terminal_print(a->tty, w->body, strlen(w->body));
        fputc('\n', a->tty);
        print_choices(a);
}

static int on_input(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static void ask_next(TextAgent *a) {
        int fd = fileno(a->tty);
        while (a->n_questions > 0 && !a->input) {
                bool foreground = tcgetpgrp(fd) == getpgrp();
                if (!foreground || sd_event_add_io(a->client->event, &a->input, fd, EPOLLIN, on_input, a) < 0) {
                        fail_question(a, 0, SPARK_ERROR_PREFIX "NoAgent", "sparkctl cannot read its terminal now");
                        continue;
                }
                tcflush(fd, TCIFLUSH);
                print_question(a, &a->questions[0].words);
        }
}

static int on_input(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        TextAgent *a = userdata;
        char line[ANSWER_MAX];
        ssize_t n = read(fd, line, sizeof line - 1);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n < 0) {
                fail_question(a, 0, SPARK_ERROR_PREFIX "NoAgent", "the terminal is gone");
                ask_next(a);
                return 0;
        }
        /* Ctrl-D: no answer, which is no consent. */
        const ConsentAnswer *answer = &consent_answers[0];
        if (n > 0) {
                line[n] = 0;
                answer = consent_answer_typed(line);
                /* The rest of a long line is no line of its own. */
                if (!memchr(line, '\n', (size_t) n))
                        tcflush(fd, TCIFLUSH);
        } else
                fputc('\n', a->tty);
        if (!answer) {
                print_choices(a);
                return 0;
        }
        fflush(a->tty);
        sd_bus_reply_method_return(a->questions[0].call, "s", answer->name);
        drop_question(a, 0);
        ask_next(a);
        return 0;
}

/* ---- the object ---- */

/* A variant of strings, into room for CONSENT_CAPABILITIES_MAX. */
static int read_capabilities(sd_bus_message *m, const char **ret, size_t *ret_n) {
        const char *name;
        size_t n = 0;
        int r = sd_bus_message_enter_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(m, "s", &name)) > 0) {
                if (n >= CONSENT_CAPABILITIES_MAX)
                        return -E2BIG;
                ret[n++] = name;
        }
        if (r >= 0 && (r = sd_bus_message_exit_container(m)) >= 0)
                r = sd_bus_message_exit_container(m);
        *ret_n = n;
        return r;
}

/* What is missing, or of another type, counts as not known. */
static int read_details(sd_bus_message *m, uint32_t *ret_pid, uint32_t *ret_seconds, ConsentWords *ret) {
        ConsentDetails d = { .app = "?", .kind = "", .certainty = "", .leaves = "" };
        const char *capabilities[CONSENT_CAPABILITIES_MAX];
        const struct { const char *key, *type; void *ret; } details[] = {
                { "app", "s", &d.app }, { "kind", "s", &d.kind }, { "certainty", "s", &d.certainty }, { "leaves", "s", &d.leaves },
                { "pid", "u", &d.pid }, { "seconds", "u", ret_seconds }, { "capabilities", "as", NULL },
        };
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key, *type;
                size_t i = 0;
                if ((r = sd_bus_message_read(m, "s", &key)) < 0 || (r = sd_bus_message_peek_type(m, NULL, &type)) < 0)
                        return r;
                while (i < ELEMENTSOF(details) && (strcmp(details[i].key, key) != 0 || strcmp(details[i].type, type) != 0))
                        i++;
                if (i == ELEMENTSOF(details))
                        r = sd_bus_message_skip(m, "v");
                else if (details[i].ret)
                        r = sd_bus_message_read(m, "v", type, details[i].ret);
                else
                        r = read_capabilities(m, capabilities, &d.n_capabilities);
                if (r < 0 || (r = sd_bus_message_exit_container(m)) < 0)
                        return r;
        }
        d.capabilities = capabilities;
        *ret_pid = d.pid;
        return r < 0 ? r : consent_words(&d, ret);
}

static bool from_sparkd(TextAgent *a, sd_bus_message *m) {
        const char *sender = sd_bus_message_get_sender(m);
        return sender && a->sparkd && strcmp(sender, a->sparkd) == 0;
}

static int on_request(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        TextAgent *a = userdata;
        uint32_t pid = 0;
        const char *id;
        if (!from_sparkd(a, m))
                return sd_bus_error_set(reterr, SD_BUS_ERROR_ACCESS_DENIED, "only sparkd may ask");
        if (a->n_questions >= QUESTIONS_MAX)
                return sd_bus_error_set(reterr, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many questions wait for an answer");
        Question *q = &a->questions[a->n_questions];
        int r = sd_bus_message_read(m, "s", &id);
        if (r < 0)
                return r;
        if (strlen(id) > QUESTION_ID_MAX || (r = read_details(m, &pid, &q->seconds, &q->words)) < 0)
                return sd_bus_error_set(reterr, SD_BUS_ERROR_INVALID_ARGS, "there is nothing in it that could be asked");
        if (a->own && pid != (uint32_t) getpid()) {
                question_done(q);
                return sd_bus_error_set(reterr, SPARK_ERROR_PREFIX "NoAgent", "sparkctl asks about itself alone here");
        }
        if (!(q->id = strdup(id))) {
                question_done(q);
                return -ENOMEM;
        }
        q->call = sd_bus_message_ref(m);
        a->n_questions++;
        ask_next(a);
        return 1;
}

static int on_cancel(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        TextAgent *a = userdata;
        const char *id;
        int r = sd_bus_message_read(m, "s", &id);
        if (r < 0)
                return r;
        if (!from_sparkd(a, m))
                return sd_bus_error_set(reterr, SD_BUS_ERROR_ACCESS_DENIED, "only sparkd may ask");
        for (size_t i = 0; i < a->n_questions; i++)
                if (strcmp(a->questions[i].id, id) == 0) {
                        if (a->input && i == 0) {
                                fprintf(a->tty, "\n(withdrawn: the time is over, or no answer is needed any more)\n");
                                fflush(a->tty);
                        }
                        fail_question(a, i, SPARK_ERROR_PREFIX "Cancelled", "withdrawn");
                        ask_next(a);
                        break;
                }
        return sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("RequestConsent", "sa{sv}", "s", on_request, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Cancel", "s", "", on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int text_agent_new(Client *client, bool own, TextAgent **ret) {
        _cleanup_(text_agent_freep) TextAgent *a = calloc(1, sizeof *a);
        if (!a)
                return -ENOMEM;
        a->client = client;
        a->own = own;
        if (!terminal_is(stderr))
                return -ENOTTY;
        _cleanup_close_ int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -ENOTTY;
        if (!(a->tty = fdopen(fd, "r+")))
                return -errno;
        TAKE_FD(fd);
        int r = sd_bus_add_object_vtable(client->bus, &a->object, AGENT_PATH, AGENT_INTERFACE, vtable, a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

TextAgent *text_agent_free(TextAgent *a) {
        if (!a)
                return NULL;
        if (a->input)
                fputc('\n', a->tty);
        for (size_t i = 0; i < a->n_questions; i++) {
                sd_bus_reply_method_errorf(a->questions[i].call, SPARK_ERROR_PREFIX "NoAgent", "sparkctl has ended");
                question_done(&a->questions[i]);
        }
        sd_event_source_disable_unref(a->input);
        sd_bus_slot_unref(a->object);
        if (a->sparkd)
                sd_bus_call_method_async(a->client->bus, NULL, a->sparkd, SPARK_PATH, SPARK_PERMISSIONS_INTERFACE, "UnregisterAgent",
                                         NULL, NULL, "o", AGENT_PATH);
        free(a->sparkd);
        if (a->tty)
                fclose(a->tty);
        free(a);
        return NULL;
}

static int set_sparkd(TextAgent *a, const char *name) {
        char *copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        free(a->sparkd);
        a->sparkd = copy;
        return 0;
}

int text_agent_register(TextAgent *a, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *reply = NULL;
        int r = sd_bus_call_method(a->client->bus, SPARK_NAME, SPARK_PATH, SPARK_PERMISSIONS_INTERFACE, "RegisterAgent", reterr, &reply,
                                   "oa{sv}", AGENT_PATH, 1, "kind", "s", "text");
        return r < 0 ? r : set_sparkd(a, sd_bus_message_get_sender(reply));
}

int text_agent_register_async(TextAgent *a, const char *sparkd) {
        int r = set_sparkd(a, sparkd);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(a->client->bus, NULL, sparkd, SPARK_PATH, SPARK_PERMISSIONS_INTERFACE, "RegisterAgent", NULL,
                                        NULL, "oa{sv}", AGENT_PATH, 1, "kind", "s", "text");
}

const char *text_agent_sparkd(const TextAgent *a) {
        return a->sparkd;
}

void text_agent_forget(TextAgent *a) {
        if (a->input) {
                fputc('\n', a->tty);
                fflush(a->tty);
        }
        while (a->n_questions > 0)
                drop_question(a, a->n_questions - 1);
        free(a->sparkd);
        a->sparkd = NULL;
}
