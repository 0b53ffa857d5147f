/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clients that send what they should not, or do not behave: each gets a named error or is cut off, costs sparkd a
 * bounded amount of memory, and everybody else's reply goes on. Runs on a model of random weights. */

#include <sys/socket.h>
#include <sys/un.h>

#include "tests/bus/errors.h"
#include "tests/test.h"

static TestClient client;
static size_t memory_before;

static void check_well(void) {
        char path[PATH_SIZE];
        session_open(&client, 8, path);
        Reply *r = client_finish(&client, path, session_respond(&client, path, "Still there?"));
        CHECK(strcmp(r->reason, "stop") == 0 || strcmp(r->reason, "length") == 0);
        CHECK(call_session(&client, path, "Close", NULL, NULL, "a{sv}", 0) >= 0);
        size_t memory = process_memory(daemon_pid());
        printf("# sparkd: %zu kB, %zu kB at first\n", memory >> 10, memory_before >> 10);
        CHECK(memory < memory_before + MEMORY_SLACK);
}

static void test_connect(void) {
        client_init(&client);
        memory_before = process_memory(daemon_pid());
        check_well();
}

static char *big_text(size_t n) {
        char *text = malloc(n + 1);
        CHECK(text);
        for (size_t i = 0; i < n; i++)
                text[i] = (char) ('a' + i % 26);
        text[n] = '\0';
        return text;
}

static void test_ten_megabytes(void) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *text = big_text(10u << 20);
        char path[PATH_SIZE];
        session_open(&client, 8, path);
        CHECK(call_root(&client, "Ask", &error, NULL, "sa{sv}", text, 0) < 0);
        CHECK_STR(error.name, ERROR("InvalidInput"));
        CHECK(strstr(error.message, "10485760 bytes"));
        sd_bus_error_free(&error);
        CHECK(session_try(&client, path, text, &error) < 0);
        CHECK_STR(error.name, ERROR("InvalidInput"));
        sd_bus_error_free(&error);
        CHECK(call_root(&client, "CreateSession", &error, NULL, "a{sv}", 1, "instructions", "s", text) < 0);
        CHECK_STR(error.name, ERROR("InvalidInput"));
        sd_bus_error_free(&error);
        CHECK(call_root(&client, "CountTokens", &error, NULL, "sa{sv}", text, 0) < 0);
        CHECK_STR(error.name, ERROR("InvalidInput"));
        check_well();
}

static void test_more_than_the_context(void) {
        _cleanup_free_ char *text = big_text(900u << 10);
        char path[PATH_SIZE];
        session_open(&client, 8, path);
        Reply *r = client_finish(&client, path, session_respond(&client, path, text));
        CHECK_STR(r->reason, "error");
        CHECK_STR(r->error, ERROR("ContextFull"));
        unsigned long long requested, available;
        CHECK_INT(sscanf(r->message, "requested %llu tokens, available %llu", &requested, &available), 2);
        CHECK(requested > available && available > 0);
        /* The session is as it was. */
        r = client_finish(&client, path, session_respond(&client, path, "Short."));
        CHECK(strcmp(r->reason, "error") != 0);
        check_well();
}

/* ---- by hand: what no library would send ---- */

static int raw_connect(void) {
        const char *address = getenv("DBUS_SESSION_BUS_ADDRESS");
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        char line[128], hex[32] = "", uid[16];

        CHECK(address && strncmp(address, "unix:path=", 10) == 0);
        snprintf(sa.sun_path, sizeof sa.sun_path, "%.*s", (int) strcspn(address + 10, ","), address + 10);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0);
        CHECK_INT(connect(fd, (struct sockaddr *) &sa, sizeof sa), 0);
        snprintf(uid, sizeof uid, "%u", (unsigned) getuid());
        for (const char *p = uid; *p; p++)
                sprintf(hex + strlen(hex), "%02x", *p);
        int n = snprintf(line, sizeof line, "%cAUTH EXTERNAL %s\r\n", 0, hex);
        CHECK_INT(send(fd, line, (size_t) n, MSG_NOSIGNAL), n);
        CHECK(recv(fd, line, sizeof line, 0) > 3);
        CHECK(strncmp(line, "OK ", 3) == 0);
        CHECK_INT(send(fd, "BEGIN\r\n", 7, MSG_NOSIGNAL), 7);
        return fd;
}

typedef struct Raw { unsigned char data[1024]; size_t n; } Raw;

static void raw_align(Raw *m, size_t to) {
        while (m->n % to)
                m->data[m->n++] = 0;
}

static void raw_u32(Raw *m, uint32_t v) {
        raw_align(m, 4);
        memcpy(m->data + m->n, &v, 4);
        m->n += 4;
}

static void raw_string(Raw *m, const char *s, size_t n) {
        raw_u32(m, (uint32_t) n);
        memcpy(m->data + m->n, s, n);
        m->n += n;
        m->data[m->n++] = 0;
}

static void raw_field(Raw *m, unsigned char code, const char *signature, const char *s) {
        raw_align(m, 8);
        m->data[m->n++] = code;
        m->data[m->n++] = 1;
        m->data[m->n++] = (unsigned char) signature[0];
        m->data[m->n++] = 0;
        if (signature[0] == 'g') {
                m->data[m->n++] = (unsigned char) strlen(s);
                memcpy(m->data + m->n, s, strlen(s) + 1);
                m->n += strlen(s) + 1;
        } else
                raw_string(m, s, strlen(s));
}

/* A method call whose body is one string of n bytes, whatever they are, and an empty a{sv}. */
static Raw raw_call(uint32_t serial, const char *destination, const char *path, const char *interface, const char *member, const char *signature, const char *text, size_t n) {
        Raw m = {}, body = {};
        if (text) {
                raw_string(&body, text, n);
                raw_u32(&body, 0);
                raw_align(&body, 8);
        }
        memcpy(m.data, (unsigned char[]) { 'l', 1, 0, 1 }, 4);
        m.n = 4;
        raw_u32(&m, (uint32_t) body.n);
        raw_u32(&m, serial);
        raw_u32(&m, 0);
        raw_field(&m, 1, "o", path);
        raw_field(&m, 2, "s", interface);
        raw_field(&m, 3, "s", member);
        raw_field(&m, 6, "s", destination);
        if (text)
                raw_field(&m, 8, "g", signature);
        uint32_t fields = (uint32_t) (m.n - 16);
        memcpy(m.data + 12, &fields, 4);
        raw_align(&m, 8);
        memcpy(m.data + m.n, body.data, body.n);
        m.n += body.n;
        return m;
}

/* 1: the connection lives and something came back, 0: it was cut off. */
static int raw_ask(const char *text, size_t n) {
        unsigned char in[4096];
        int fd = raw_connect();
        Raw hello = raw_call(1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", NULL, 0);
        CHECK_INT(send(fd, hello.data, hello.n, MSG_NOSIGNAL), hello.n);
        CHECK(recv(fd, in, sizeof in, 0) > 0);
        Raw ask = raw_call(2, "org.spark.Assistant", "/org/spark/Assistant", "org.spark.Assistant", "CountTokens", "sa{sv}", text, n);
        CHECK_INT(send(fd, ask.data, ask.n, MSG_NOSIGNAL), ask.n);
        ssize_t got;
        bool answered = false;
        /* The bus' own NameAcquired may come first; our answer is a return (2) or an error (3). */
        while (!answered && (got = recv(fd, in, sizeof in, 0)) > 0)
                for (ssize_t i = 0; i + 1 < got; i++)
                        answered |= in[i] == 'l' && (in[i + 1] == 2 || in[i + 1] == 3);
        close(fd);
        return answered;
}

static void test_raw_strings(void) {
        CHECK_INT(raw_ask("abc", 3), 1);                 /* the tool works */
        CHECK_INT(raw_ask("a\xff\xfe" "b", 4), 0);       /* not UTF-8: the bus cuts the sender off */
        CHECK_INT(raw_ask("a\xed\xa0\x80", 4), 0);       /* a surrogate */
        CHECK_INT(raw_ask("a\0b", 3), 0);                /* NUL inside */
        CHECK_INT(raw_ask("\xc0\x80", 2), 0);            /* NUL in disguise */
        check_well();
}

/* ---- behaviour ---- */

static void test_ten_thousand_sessions(void) {
        TestClient many[20];
        unsigned opened = 0, refused = 0;
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                client_init(&many[i]);
        for (unsigned i = 0; i < 10000; i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                if (call_root(&many[i % ELEMENTSOF(many)], "CreateSession", &error, NULL, "a{sv}", 0) >= 0)
                        opened++;
                else {
                        CHECK_STR(error.name, ERROR("QuotaExceeded"));
                        refused++;
                }
        }
        CHECK(opened >= 400 && opened <= 512);
        CHECK_INT(opened + refused, 10000);
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                client_done(&many[i]);
        check_well();
}

static void test_vanishing(void) {
        char path[PATH_SIZE], mine[PATH_SIZE];
        session_open(&client, 200, mine);
        uint64_t turn = session_respond(&client, mine, "Go on.");
        for (int i = 0; i < 20; i++) {
                TestClient passing;
                client_init(&passing);
                session_open(&passing, 1u << 20, path);
                session_respond(&passing, path, "Go on for ever.");
                if (i & 1)
                        client_first_text(&passing, path, 1);
                client_done(&passing);
        }
        Reply *r = client_finish(&client, mine, turn);
        CHECK(strcmp(r->reason, "error") != 0);
        check_well();
}

/* Speaks and speaks and does not read for so long; then reads it all. Returns how many turns ended with Timeout. */
static unsigned speak_without_reading(unsigned seconds) {
        enum { SESSIONS = 40, ROUNDS = 6 };
        TestClient deaf;
        char paths[SESSIONS][PATH_SIZE];
        unsigned n_sent = 0, n_cut_off = 0;

        client_init(&deaf);
        for (size_t i = 0; i < SESSIONS; i++)
                session_open(&deaf, 1u << 20, paths[i]);
        for (unsigned round = 0; round < ROUNDS; round++) {
                for (size_t i = 0; i < SESSIONS; i++) {
                        sd_bus_message *m = NULL;
                        CHECK(sd_bus_message_new_method_call(deaf.bus, &m, "org.spark.Assistant", paths[i], "org.spark.Assistant.Session", "Respond") >= 0);
                        CHECK(sd_bus_message_append(m, "a(sa{sv})a{sv}", 1, "text", 1, "text", "s", "Go on.", 0) >= 0);
                        CHECK(sd_bus_send(deaf.bus, m, NULL) >= 0);
                        CHECK(sd_bus_flush(deaf.bus) >= 0);
                        sd_bus_message_unref(m);
                        n_sent++;
                }
                check_well();
        }
        sleep(seconds);
        check_well();

        /* What it was sent is whole: no turn has two ends, no text comes after one. */
        for (int quiet = 0; quiet < 50; ) {
                int r = sd_bus_process(deaf.bus, NULL);
                CHECK(r >= 0);
                if (r == 0)
                        quiet = sd_bus_wait(deaf.bus, 100000) > 0 ? 0 : quiet + 1;
        }
        unsigned n_ends = 0;
        for (size_t i = 0; i < deaf.n_replies; i++) {
                Reply *reply = deaf.replies + i;
                if (reply->n_finished != 1)
                        printf("# turn %llu: %zu bytes in %zu deltas, %u ends\n", (unsigned long long) reply->turn, reply->size, reply->n_deltas, reply->n_finished);
                CHECK(!reply->broken);
                CHECK_INT(reply->n_finished, 1);
                n_ends++;
                n_cut_off += strcmp(reply->error, ERROR("Timeout")) == 0;
        }
        CHECK(n_ends >= SESSIONS && n_ends <= n_sent);
        client_done(&deaf);
        check_well();
        return n_cut_off;
}

static void test_slow_reading(void) {
        CHECK_INT(speak_without_reading(0), 0);
}

/* Beyond what is kept for it, and for longer than it is waited for: DELTA_STALL_USEC. */
static void test_never_reading(void) {
        CHECK(speak_without_reading(35) > 0);
}

TEST_MAIN({ "connect", test_connect }, { "ten megabytes", test_ten_megabytes }, { "more than the context", test_more_than_the_context },
          { "raw strings", test_raw_strings }, { "ten thousand sessions", test_ten_thousand_sessions },
          { "vanishing", test_vanishing }, { "slow reading", test_slow_reading }, { "never reading", test_never_reading })
