/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sparkctl verify: the facts of the running worker against what docs/security.md promises, a line a layer. What the
 * kernel says (through sparkd, from /proc) decides; where the kernel does not show it to sparkd, the worker's own account
 * stands in and is marked as such, for a taken-over worker could lie there. The model's digest is computed here, over the
 * very file that the worker has mapped. A fact that is missing never passes. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/catalogue.h"
#include "cli/client.h"
#include "cli/digest.h"
#include "cli/terminal.h"

#define LOAD_SECONDS_MAX 120
#define DIGITS "0123456789"

typedef enum Verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_ABSENT, VERDICT_NOTE } Verdict;

static const struct { const char *word; Style style; } verdicts[] = {
        [VERDICT_PASS]   = { "pass",   STYLE_GOOD   },
        [VERDICT_FAIL]   = { "FAIL",   STYLE_BAD    },
        [VERDICT_ABSENT] = { "absent", STYLE_WARN   },
        [VERDICT_NOTE]   = { "note",   STYLE_NORMAL },
};

typedef struct Finding {
        Verdict verdict;
        char text[320];
} Finding;

typedef struct Facts {
        const json_t *all;                /* as they came */
        json_t *worker;                   /* its own account; NULL: it does not answer */
} Facts;

static void found(Finding *f, Verdict v, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void found(Finding *f, Verdict v, const char *format, ...) {
        f->verdict = v;
        va_list ap;
        va_start(ap, format);
        vsnprintf(f->text, sizeof f->text, format, ap);
        va_end(ap);
}

/* A line of one of the kernel's tables; NULL where it is not there or could not be read. */
static const char *kernel(const Facts *f, const char *table, const char *key) {
        const char *s = json_string_value(json_object_get(json_object_get(f->all, table), key));
        return s && strncmp(s, "unreadable", strlen("unreadable")) != 0 ? s : NULL;
}

static const json_t *account(const Facts *f, const char *object, const char *key) {
        return json_object_get(object ? json_object_get(f->worker, object) : f->worker, key);
}

/* ---- the layers ---- */

static void look_user(const Facts *f, Finding *r) {
        const char *uid = kernel(f, "status", "Uid");
        int n = uid ? (int) strspn(uid, DIGITS) : 0;
        if (n == 0)
                found(r, VERDICT_FAIL, "its user cannot be read");
        else
                found(r, n == 1 && uid[0] == '0' ? VERDICT_FAIL : VERDICT_PASS, "uid %.*s", n, uid);
}

static void look_seccomp(const Facts *f, Finding *r) {
        const char *mode = kernel(f, "status", "Seccomp");
        const char *digest = json_string_value(account(f, "seccomp", "filter_digest"));
        if (mode && strcmp(mode, "2") == 0)
                found(r, VERDICT_PASS, "all but a list is deadly, filter %s", digest ?: "of unknown digest");
        else
                found(r, VERDICT_FAIL, "mode %s, 2 expected", mode ?: "unreadable");
}

static void look_privileges(const Facts *f, Finding *r) {
        const char *v = kernel(f, "status", "NoNewPrivs");
        found(r, v && strcmp(v, "1") == 0 ? VERDICT_PASS : VERDICT_FAIL, "no_new_privs %s", v ?: "unreadable");
}

static void look_capabilities(const Facts *f, Finding *r) {
        static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapAmb" };
        for (size_t i = 0; i < ELEMENTSOF(sets); i++) {
                const char *v = kernel(f, "status", sets[i]);
                if (!v || v[strspn(v, "0")]) {
                        found(r, VERDICT_FAIL, "%s is %s, 0 expected", sets[i], v ?: "unreadable");
                        return;
                }
        }
        found(r, VERDICT_PASS, "none held, none to be gained");
}

/* One namespace: by the kernel's word, else by the worker's. `layer`: its key in the account, NULL: it has none. */
static void look_namespace(const Facts *f, const char *ns, const char *layer, const char *good, const char *bad, Finding *r) {
        const char *v = kernel(f, "namespaces", ns);
        const json_t *own = layer ? account(f, "layers", layer) : NULL;
        if (v)
                found(r, strcmp(v, "own") == 0 ? VERDICT_PASS : VERDICT_ABSENT, "%s", strcmp(v, "own") == 0 ? good : bad);
        else if (json_is_boolean(own))
                found(r, json_is_true(own) ? VERDICT_PASS : VERDICT_ABSENT, "%s (by the worker's account)", json_is_true(own) ? good : bad);
        else
                found(r, VERDICT_ABSENT, "not shown by the kernel");
}

static void look_network(const Facts *f, Finding *r) {
        look_namespace(f, "net", "network_namespace", "own namespace, no interface but a dead loopback",
                       "shared; only the filter keeps it away", r);
}

static void look_files(const Facts *f, Finding *r) {
        look_namespace(f, "mnt", "mount_namespace", "own namespace", "shared; only the filter keeps it away", r);
        const json_t *empty = account(f, "layers", "empty_root");
        size_t n = strlen(r->text);
        if (r->verdict == VERDICT_PASS && json_is_boolean(empty)) {
                if (!json_is_true(empty))
                        r->verdict = VERDICT_ABSENT;
                snprintf(r->text + n, sizeof r->text - n, json_is_true(empty) ? ", its root is empty" : ", but its root is not empty");
        }
}

static void look_processes(const Facts *f, Finding *r) {
        /* /proc/PID/status names a process once per PID namespace that it is in. */
        const char *nspid = kernel(f, "status", "NSpid");
        bool nested = nspid && nspid[strspn(nspid, DIGITS)];
        if (nspid)
                found(r, nested ? VERDICT_PASS : VERDICT_ABSENT, nested ? "own namespace, sees no other process" : "shared; only the filter keeps it away");
        else
                look_namespace(f, "pid", NULL, "own namespace", "shared", r);
}

static void look_ipc(const Facts *f, Finding *r) {
        look_namespace(f, "ipc", "ipc_namespace", "own namespace", "shared; only the filter keeps it away", r);
}

static void look_landlock(const Facts *f, Finding *r) {
        const json_t *abi = account(f, "layers", "landlock_abi");
        if (!json_is_integer(abi))
                found(r, VERDICT_ABSENT, "the worker does not say");
        else if (json_integer_value(abi) > 0)
                found(r, VERDICT_PASS, "no path allowed, ABI %lld (by the worker's account)", (long long) json_integer_value(abi));
        else
                found(r, VERDICT_ABSENT, "this kernel has none");
}

/* What a worker may hold: nothing, its socket, pipes, the model, and on 2 wherever sparkd's messages go. */
static bool descriptor_expected(const Facts *f, const char *number, const char *to) {
        static const char *const kinds[] = { "/dev/null", "socket:", "pipe:", "anon_inode:" };
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (strncmp(to, kinds[i], strlen(kinds[i])) == 0)
                        return true;
        const json_t *part;
        size_t i;
        json_array_foreach(json_object_get(json_object_get(f->all, "model"), "parts"), i, part)
                if (strcmp(json_string_value(part) ?: "", to) == 0)
                        return true;
        return strcmp(number, "2") == 0;
}

static void look_descriptors(const Facts *f, Finding *r) {
        const json_t *all = json_object_get(f->all, "descriptors"), *to;
        const char *number;
        size_t n = 0;
        if (json_object_size(all) == 0 || json_object_get(all, "")) {
                const char *why = json_string_value(json_object_get(all, ""));
                found(r, VERDICT_NOTE, "the kernel does not show them to your sparkd (%s)", why ? why + strcspn(why, " ") + 1 : "no answer");
                return;
        }
        json_object_foreach((json_t *) all, number, to) {
                n++;
                if (!descriptor_expected(f, number, json_string_value(to) ?: "")) {
                        found(r, VERDICT_FAIL, "%s leads to %s", number, json_string_value(to) ?: "?");
                        return;
                }
        }
        found(r, VERDICT_PASS, "%zu, none leads to a file but the model's", n);
}

static void look_dumps(const Facts *f, Finding *r) {
        const json_t *dumpable = account(f, NULL, "dumpable");
        const char *core = kernel(f, "limits", "Max core file size");
        if (!core || core[0] != '0')
                found(r, VERDICT_FAIL, "a core file may have %s bytes", core ?: "unknown");
        else if (!json_is_boolean(dumpable) || json_is_true(dumpable))
                found(r, VERDICT_FAIL, "the process is dumpable");
        else
                found(r, VERDICT_PASS, "none is written, no other process may look in");
}

static void look_swap(const Facts *f, Finding *r) {
        const char *v = json_string_value(json_object_get(f->all, "swap"));
        if (!v || v[strspn(v, DIGITS)] || !v[0])
                found(r, VERDICT_NOTE, "%s", v ?: "unreadable");
        else
                found(r, strcmp(v, "0") == 0 ? VERDICT_PASS : VERDICT_NOTE, strcmp(v, "0") == 0 ? "nothing of it was swapped out" :
                      "%s kB of it are on the swap device", v);
}

static void look_memory(const Facts *f, Finding *r) {
        const char *limit = kernel(f, "limits", "Max data size"), *now = kernel(f, "status", "VmRSS");
        char words[SIZE_TEXT_MAX];
        uint64_t bytes = limit ? strtoull(limit, NULL, 10) : 0;
        if (bytes > 0)
                found(r, VERDICT_PASS, "at most %s of its own; %s in use with the model", size_text(bytes, words), now ?: "?");
        else
                found(r, VERDICT_NOTE, "no limit but the machine's; %s in use with the model", now ?: "?");
}

/* The parts, opened as the worker's were: the first has to be the same inode. */
static int model_digest(const json_t *model, Digest *ret, const char **ret_problem) {
        int fds[MODEL_PARTS_MAX];
        size_t n = 0, i;
        const json_t *part;
        int r = 0;
        *ret_problem = NULL;
        json_array_foreach(json_object_get(model, "parts"), i, part) {
                if (n == MODEL_PARTS_MAX || (fds[n] = open(json_string_value(part) ?: "", O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
                        r = -errno;
                        break;
                }
                n++;
        }
        struct stat st;
        if (r >= 0 && n > 0 && fstat(fds[0], &st) >= 0 &&
            ((json_int_t) st.st_ino != json_integer_value(json_object_get(model, "inode")) ||
             (json_int_t) st.st_dev != json_integer_value(json_object_get(model, "device"))))
                *ret_problem = "the file was replaced after the worker had opened it";
        if (r >= 0 && n == 0)
                r = -ENOENT;
        if (r >= 0 && !*ret_problem)
                r = digest_files(fds, n, ret);
        while (n > 0)
                close(fds[--n]);
        return r;
}

static void look_model(const Facts *f, Finding *r) {
        const json_t *model = json_object_get(f->all, "model");
        const char *name = json_string_value(json_object_get(model, "name"));
        const char *expected = json_string_value(json_object_get(model, "sha256")), *problem;
        _cleanup_(catalogue_entry_freep) CatalogueEntry *known = NULL;
        Digest d;
        if (!name) {
                found(r, VERDICT_FAIL, "none is known");
                return;
        }
        int e = model_digest(model, &d, &problem);
        if (e < 0 || problem) {
                found(r, VERDICT_FAIL, "%s: %s", name, e < 0 ? strerror(-e) : problem);
                return;
        }
        (void) catalogue_find(name, &known, NULL);
        if (known && strcmp(known->sha256, d.hex) != 0)
                found(r, VERDICT_FAIL, "%s: sha256 %s is not the catalogue's", name, d.hex);
        else if (!known && (!expected || strcmp(expected, d.hex) != 0))
                found(r, VERDICT_FAIL, "%s: sha256 %s is not what it was installed with", name, d.hex);
        else
                found(r, VERDICT_PASS, "%s, sha256 %.16s…, as %s", name, d.hex, known ? "in the catalogue" : "installed");
}

static void look_build(const Facts *f, Finding *r) {
        const char *build = json_string_value(account(f, NULL, "build"));
        if (!f->worker)
                found(r, VERDICT_FAIL, "the worker does not answer");
        else if (json_is_true(account(f, NULL, "sanitizers")))
                found(r, VERDICT_NOTE, "%s, with sanitizers: a wider filter, for tests alone", build ?: "?");
        else
                found(r, VERDICT_PASS, "%s, pid %lld, %s", build ?: "?", (long long) json_integer_value(json_object_get(f->all, "pid")),
                      json_string_value(account(f, "model", "kernels")) ?: "?");
}

static const struct {
        const char *name;
        void (*look)(const Facts *f, Finding *r);
} layers[] = {
        { "Worker",           look_build        },
        { "User",             look_user         },
        { "System calls",     look_seccomp      },
        { "Privileges",       look_privileges   },
        { "Capabilities",     look_capabilities },
        { "Network",          look_network      },
        { "Files",            look_files        },
        { "Landlock",         look_landlock     },
        { "Processes",        look_processes    },
        { "IPC",              look_ipc          },
        { "Open descriptors", look_descriptors  },
        { "Core dumps",       look_dumps        },
        { "Swap",             look_swap         },
        { "Memory",           look_memory       },
        { "Model",            look_model        },
};

/* ---- asking for the facts ---- */

static const char help[] =
        "sparkctl verify [OPTION…]\n\n"
        "Shows how the process that computes is contained: facts that the kernel tells about it, a line a layer, and the\n"
        "model's digest against the catalogue. Starts the worker where none runs.\n\n"
        "  pass     the layer holds\n"
        "  FAIL     it does not, though it has to; exit status 1\n"
        "  absent   this kernel or container does not grant it; the other layers stand\n"
        "  note     worth knowing\n"
        "\nOptions:\n"
        COMMON_HELP;

static int get_facts(Client *c, json_t **ret, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_dropp) sd_bus_message *reply = NULL;
        int r = sd_bus_call_method(c->bus, SPARK_NAME, SPARK_PATH, SPARK_DEBUG_INTERFACE, "Verify", reterr, &reply, "a{sv}", 0);
        return r < 0 ? r : message_to_json(reply, ret);
}

static bool answers(const json_t *facts) {
        const char *worker = json_string_value(json_object_get(facts, "worker"));
        return worker && worker[0];
}

/* A worker that does not run yet is started and waited for: what is not there has no facts. */
static int wait_for_facts(Client *c, json_t **ret, sd_bus_error *reterr) {
        for (int i = 0;; i++) {
                json_t *facts = NULL;
                int r = get_facts(c, &facts, reterr);
                if (r < 0)
                        return r;
                const char *state = json_string_value(json_object_get(facts, "state")) ?: "";
                if (answers(facts) || strcmp(state, "unavailable") == 0 || i == LOAD_SECONDS_MAX * 5) {
                        *ret = facts;
                        return 0;
                }
                json_decref(facts);
                if (i == 0 && (r = sd_bus_call_method(c->bus, SPARK_NAME, SPARK_PATH, SPARK_INTERFACE, "Prewarm", reterr, NULL, "a{sv}", 0)) < 0)
                        return r;
                nanosleep(&(struct timespec) { .tv_nsec = 200 * 1000 * 1000 }, NULL);
        }
}

static int print_findings(const Finding *findings, const unsigned *counts) {
        for (size_t i = 0; i < ELEMENTSOF(layers); i++) {
                const Finding *f = &findings[i];
                printf("%s%-6s%s  %-16s  ", terminal_style(stdout, verdicts[f->verdict].style), verdicts[f->verdict].word,
                       terminal_style(stdout, STYLE_NORMAL), layers[i].name);
                terminal_print(stdout, f->text, strlen(f->text));
                putchar('\n');
        }
        printf("\n%u pass, %u FAIL, %u absent, %u to note\n", counts[VERDICT_PASS], counts[VERDICT_FAIL], counts[VERDICT_ABSENT],
               counts[VERDICT_NOTE]);
        return EXIT_OK;
}

static int print_findings_json(const Finding *findings, const json_t *facts, bool good) {
        json_t *list = json_array();
        for (size_t i = 0; i < ELEMENTSOF(layers); i++)
                json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "layer", layers[i].name, "verdict",
                                                      verdicts[findings[i].verdict].word, "text", findings[i].text));
        return print_json(json_pack("{s:b, s:o, s:O}", "good", good, "layers", list, "facts", facts));
}

int verb_verify(Context *c, int argc, char **argv) {
        int r = options_parse(c, argc, argv, "verify", help, NULL, 0);
        if (r != OPTIONS_READ)
                return r;
        if (optind < argc)
                return usage_error("verify", "'%s': verify takes no arguments; 'sparkctl model verify' checks models.", argv[optind]);

        _cleanup_(client_done) Client client = {};
        r = client_open(c, &client);
        if (r != EXIT_OK)
                return r;
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(json_dropp) json_t *all = NULL, *worker = NULL;
        if ((r = wait_for_facts(&client, &all, &error)) < 0)
                return client_error(c, "get the facts", &error, r);
        if (json_integer_value(json_object_get(all, "pid")) == 0)
                return complain(EXIT_UNAVAILABLE, "No worker runs, and none can be started; 'sparkctl status' says why.");
        worker = json_loads(json_string_value(json_object_get(all, "worker")) ?: "", JSON_REJECT_DUPLICATES, NULL);

        Facts facts = { all, worker };
        Finding findings[ELEMENTSOF(layers)];
        unsigned counts[ELEMENTSOF(verdicts)] = {};
        for (size_t i = 0; i < ELEMENTSOF(layers); i++) {
                layers[i].look(&facts, &findings[i]);
                counts[findings[i].verdict]++;
        }
        bool good = counts[VERDICT_FAIL] == 0;
        r = c->json ? print_findings_json(findings, all, good) : print_findings(findings, counts);
        return r != EXIT_OK ? r : good ? EXIT_OK : EXIT_FAILED;
}
