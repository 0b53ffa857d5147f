/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* spark-agent-dialog: one question in a window. Standard input has the words, the title on the first line; the name of the
 * answer goes to standard output; nothing there says that no window could be shown (exit status 1). Closing the window or
 * Escape is "deny".
 *
 * Labels are plain text, never markup. What allows something reacts only after a moment, and never to the Enter of
 * somebody who was typing when the window came up: the keyboard begins on "Deny". Drawn by Cairo: a graphics driver is
 * a lot of code for six lines of text. */

#include <glib-unix.h>
#include <gtk/gtk.h>
#include <string.h>

#include "daemon/consent/words.h"

#define INPUT_MAX (64u << 10)
#define SETTLE_MS 700u                  /* until buttons that allow something react */
#define LABEL_CHARACTERS 56             /* a line's width */

typedef struct Dialog {
        GMainLoop *loop;
        GtkWidget *window, *allow[CONSENT_ANSWERS];
        const char *answer;             /* NULL: withdrawn */
} Dialog;

static char *read_words(void) {
        g_autoptr(GString) s = g_string_new(NULL);
        char block[4096];
        for (size_t n; (n = fread(block, 1, sizeof block, stdin)) > 0;) {
                g_string_append_len(s, block, (gssize) n);
                if (s->len > INPUT_MAX)
                        return NULL;
        }
        return s->len > 0 && g_utf8_validate_len(s->str, s->len, NULL) ? g_string_free(g_steal_pointer(&s), FALSE) : NULL;
}

static void answer(Dialog *d, const char *name) {
        d->answer = name;
        g_main_loop_quit(d->loop);
}

static void on_clicked(GtkButton *button, gpointer userdata) {
        answer(userdata, g_object_get_data(G_OBJECT(button), "answer"));
}

static gboolean on_close(GtkWindow *window, gpointer userdata) {
        answer(userdata, consent_answers[0].name);
        return TRUE;
}

static gboolean on_escape(GtkWidget *widget, GVariant *arguments, gpointer userdata) {
        answer(userdata, consent_answers[0].name);
        return TRUE;
}

static gboolean on_settled(gpointer userdata) {
        Dialog *d = userdata;
        for (size_t i = 0; i < CONSENT_ANSWERS; i++)
                if (d->allow[i])
                        gtk_widget_set_sensitive(d->allow[i], TRUE);
        return G_SOURCE_REMOVE;
}

static gboolean on_terminate(gpointer userdata) {
        answer(userdata, NULL);
        return G_SOURCE_CONTINUE;
}

static GtkWidget *label(const char *text, const char *class) {
        GtkWidget *w = gtk_label_new(text);
        gtk_label_set_wrap(GTK_LABEL(w), TRUE);
        gtk_label_set_wrap_mode(GTK_LABEL(w), PANGO_WRAP_WORD_CHAR);
        gtk_label_set_max_width_chars(GTK_LABEL(w), LABEL_CHARACTERS);
        gtk_label_set_width_chars(GTK_LABEL(w), LABEL_CHARACTERS);
        gtk_label_set_xalign(GTK_LABEL(w), 0);
        if (class)
                gtk_widget_add_css_class(w, class);
        return w;
}

/* "Allow _once": the word that begins with the letter that sparkctl knows it by, too. */
static GtkWidget *button(Dialog *d, size_t i) {
        const ConsentAnswer *a = &consent_answers[i];
        const char *letter = a->label;
        while (*letter && (g_ascii_tolower(*letter) != a->key || (letter > a->label && letter[-1] != ' ')))
                letter++;
        g_autofree char *text = g_strdup_printf("%.*s_%s", (int) (letter - a->label), a->label, letter);
        GtkWidget *w = gtk_button_new_with_mnemonic(text);
        g_object_set_data(G_OBJECT(w), "answer", (gpointer) a->name);
        g_signal_connect(w, "clicked", G_CALLBACK(on_clicked), d);
        if (strcmp(a->name, "deny") != 0 && strcmp(a->name, "never") != 0) {
                gtk_widget_set_sensitive(w, FALSE);
                d->allow[i] = w;
        }
        return w;
}

static void build(Dialog *d, const char *title, const char *body) {
        d->window = gtk_window_new();
        gtk_window_set_title(GTK_WINDOW(d->window), "Spark");
        gtk_window_set_resizable(GTK_WINDOW(d->window), FALSE);
        gtk_window_set_icon_name(GTK_WINDOW(d->window), "dialog-question");

        GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 12);
        gtk_widget_set_margin_top(box, 18);
        gtk_widget_set_margin_bottom(box, 18);
        gtk_widget_set_margin_start(box, 18);
        gtk_widget_set_margin_end(box, 18);
        gtk_box_append(GTK_BOX(box), label(title, "title-4"));
        if (body[0])
                gtk_box_append(GTK_BOX(box), label(body, NULL));

        GtkWidget *buttons = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);
        GtkWidget *first = NULL;
        for (size_t i = 0; i < CONSENT_ANSWERS; i++) {
                GtkWidget *w = button(d, i);
                gtk_box_append(GTK_BOX(buttons), w);
                first = first ?: w;
        }
        gtk_box_append(GTK_BOX(box), buttons);
        gtk_window_set_child(GTK_WINDOW(d->window), box);
        gtk_window_set_focus(GTK_WINDOW(d->window), first);

        GtkEventController *keys = gtk_shortcut_controller_new();
        gtk_shortcut_controller_add_shortcut(GTK_SHORTCUT_CONTROLLER(keys), gtk_shortcut_new(
                gtk_keyval_trigger_new(GDK_KEY_Escape, 0), gtk_callback_action_new(on_escape, d, NULL)));
        gtk_widget_add_controller(d->window, keys);
        g_signal_connect(d->window, "close-request", G_CALLBACK(on_close), d);
}

int main(int argc, char **argv) {
        g_setenv("GSK_RENDERER", "cairo", TRUE);
        g_setenv("GIO_USE_VFS", "local", TRUE);
        g_autofree char *words = read_words();
        if (argc > 1 || !words) {
                g_printerr("spark-agent-dialog: is started by spark-agent, with a question on standard input\n");
                return 2;
        }
        char *end = strchr(words, '\n');
        const char *body = "";
        if (end) {
                *end = 0;
                body = g_strchomp(end + 1);
        }
        if (!gtk_init_check())
                return 1;

        Dialog d = { .loop = g_main_loop_new(NULL, FALSE) };
        build(&d, words, body);
        g_unix_signal_add(SIGTERM, on_terminate, &d);
        g_timeout_add(SETTLE_MS, on_settled, &d);
        gtk_window_present(GTK_WINDOW(d.window));
        g_main_loop_run(d.loop);
        gtk_window_destroy(GTK_WINDOW(d.window));
        g_main_loop_unref(d.loop);
        if (!d.answer)
                return 1;
        g_print("%s\n", d.answer);
        return 0;
}
