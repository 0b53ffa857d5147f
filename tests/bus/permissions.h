/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For tests of Permissions: an agent that answers as it is told, rule files that change, and what is listed. */

#include "tests/bus/client.h"

#define PERMISSIONS BUS_NAME ".Permissions"

typedef struct TestAgent {
        sd_bus *bus;
        sd_bus_slot *slot;
        sd_bus_message *open;              /* RequestConsent not answered yet; the latest */
        const char *answer;                /* to all that come; NULL: none */
        unsigned n_asked, n_cancelled;
        bool has_devices, holds_opening;   /* a pipe for each; or: no answer to OpenMicrophone */
        bool gives_file;                   /* what cannot be a device */
        unsigned n_opened;                 /* OpenMicrophone and OpenCamera */
        uint32_t seconds;
        int device;                        /* its end of the latest; -1: none, or closed */
        sd_bus_message *opening;
        char request[64], cancelled[64], app[512], certainty[32], capabilities[512];
        uint32_t pid;
} TestAgent;

void agent_init(TestAgent *a);             /* registers */
void agent_done(TestAgent *a);
void agent_process(TestAgent *a, uint64_t usec);
void agent_answer(TestAgent *a, const char *answer);

int permissions_new_call(TestClient *c, const char *method, sd_bus_message **ret);
#define call_permissions(client, ...) call_interface(client, PERMISSIONS, __VA_ARGS__)

/* The only rule file from now on; and: sparkd reads it. */
void rules_write(const char *text);
void rules_reload(TestClient *c);

typedef struct Listed {
        size_t n;
        struct { char app[512], capability[64], answer[16], decision[16], reason[32], outcome[32], state[16]; uint64_t tokens, audio_ms; } entries[2000];
} Listed;

void list_permissions(TestClient *c, Listed *ret);
void ledger_of(TestClient *c, const char *app, Listed *ret);
void monitored(TestClient *c, Listed *ret);
bool listed(const Listed *l, const char *app, const char *capability);
