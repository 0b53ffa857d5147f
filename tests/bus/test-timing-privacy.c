/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One app cannot tell from the time to the first token what another has asked. The spy is this program under another
 * name, so another app: it asks what the victim has asked, and what nobody has, and must see no difference. That the
 * difference would be seen is shown by the victim, whose own repetition is many times as quick. On the default model. */

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/bus/client.h"
#include "tests/bus/permissions.h"
#include "tests/test.h"

#define PROMPT_WORDS 400u
#define GUESSES 5u                         /* of each kind, alternating */
#define TOLD_APART 2.0                     /* a factor of the medians; a hit in the cache is one of 10 and more */

typedef struct Times { double known[GUESSES], unknown[GUESSES]; } Times;

static TestClient client;
static char spy_path[256];

static Reply *ask(unsigned salt) {
        _cleanup_free_ char *text = long_prompt(PROMPT_WORDS, salt);
        char path[PATH_SIZE];
        session_open(&client, 1, path);
        return client_finish(&client, path, session_respond(&client, path, text));
}

static int by_size(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return (x > y) - (x < y);
}

static double median(double *v) {
        qsort(v, GUESSES, sizeof *v, by_size);
        return v[GUESSES / 2];
}

/* Salts below 100 are the victim's; each is tried once by each app, since an app's own repetition is quick. */
static int spy(void) {
        Times t;
        client_init(&client);
        for (unsigned i = 0; i < GUESSES; i++) {
                for (unsigned known = 0; known < 2; known++) {
                        const Reply *r = ask(known ? i : 200 + i);
                        if (strcmp(r->reason, "error") == 0 || r->n_cached > 64) {
                                fprintf(stderr, "the spy's %s prompt: %s, %u tokens cached\n", known ? "known" : "unknown", r->reason, r->n_cached);
                                return 1;
                        }
                        (known ? t.known : t.unknown)[i] = r->first_token_ms;
                }
        }
        return write(STDOUT_FILENO, &t, sizeof t) == sizeof t ? 0 : 1;
}

static void test_connect(void) {
        const char *folder = getenv("XDG_RUNTIME_DIR");
        struct stat st;
        CHECK(folder);
        snprintf(spy_path, sizeof spy_path, "%s/spy", folder);
        _cleanup_close_ int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int to = open(spy_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
        CHECK(from >= 0 && to >= 0 && fstat(from, &st) == 0);
        for (off_t done = 0; done < st.st_size;)
                CHECK(sendfile(to, from, &done, (size_t) (st.st_size - done)) > 0);

        client_init(&client);
        rules_write("[App *]\nAllow=generate\n");
        rules_reload(&client);
}

static void test_own_repetition_is_quick(void) {
        double first[GUESSES], again[GUESSES];
        for (unsigned i = 0; i < GUESSES; i++)
                first[i] = ask(i)->first_token_ms;
        for (unsigned i = 0; i < GUESSES; i++) {
                const Reply *r = ask(i);
                again[i] = r->first_token_ms;
                CHECK(r->n_cached > PROMPT_WORDS / 2);
        }
        printf("# the victim: %.1f ms, again %.1f ms\n", median(first), median(again));
        CHECK(median(first) > TOLD_APART * median(again));
}

static void test_spy_sees_nothing(void) {
        Times t;
        int fds[2], status;
        CHECK(pipe(fds) == 0);
        pid_t pid = fork();
        if (pid == 0) {
                dup2(fds[1], STDOUT_FILENO);
                execl(spy_path, spy_path, "--spy", NULL);
                _exit(127);
        }
        close(fds[1]);
        size_t n = 0;
        for (ssize_t k; n < sizeof t && (k = read(fds[0], (char *) &t + n, sizeof t - n)) > 0;)
                n += (size_t) k;
        close(fds[0]);
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        CHECK_INT(status, 0);
        CHECK_INT(n, sizeof t);
        double known = median(t.known), unknown = median(t.unknown);
        printf("# the spy: what the victim asked %.1f ms, what nobody asked %.1f ms\n", known, unknown);
        CHECK(known * TOLD_APART > unknown && unknown * TOLD_APART > known);
}

int main(int argc, char **argv) {
        static const TestCase cases[] = {
                { "connect", test_connect },
                { "an app's own repetition is quick", test_own_repetition_is_quick },
                { "another app's is not", test_spy_sees_nothing },
        };
        if (argc > 1 && strcmp(argv[1], "--spy") == 0)
                return spy();
        return test_main(cases, ELEMENTSOF(cases));
}
