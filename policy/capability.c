/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the table of capabilities. Everything else (rules, answers, the ledger, prompts) takes names and sentences from
 * here, so that a new capability is one line. */

#include <errno.h>
#include <string.h>

#include "policy/capability.h"

static const CapabilityInfo capabilities[CAPABILITY_MAX_] = {
        [CAPABILITY_GENERATE]       = { "generate",       "ask the assistant",                                     false },
        [CAPABILITY_IMAGE]          = { "image",          "show the assistant pictures",                           false },
        [CAPABILITY_AUDIO]          = { "audio",          "have the assistant listen to recordings",               false },
        [CAPABILITY_MICROPHONE]     = { "microphone",     "listen through the microphone and get the words",       false },
        [CAPABILITY_CAMERA]         = { "camera",         "look through the camera and get a description",         false },
        [CAPABILITY_MICROPHONE_RAW] = { "microphone-raw", "get the microphone's sound itself",                     true },
        [CAPABILITY_CAMERA_RAW]     = { "camera-raw",     "get the camera's pictures themselves",                  true },
        [CAPABILITY_SPEAK]          = { "speak",          "speak through the loudspeaker",                         false },
        [CAPABILITY_MEMORY]         = { "memory",         "have the assistant remember things between sessions",   false },
        [CAPABILITY_BACKGROUND]     = { "background",     "have the assistant work while you do something else",   false },
        [CAPABILITY_REMOTE]         = { "remote",         "send what it asks to a model outside this computer",    true },
        [CAPABILITY_TOOL]           = { "tool",           "have the assistant use a tool as you",                  true },
};

const CapabilityInfo *capability_info(Capability c) {
        return (unsigned) c < CAPABILITY_MAX_ ? &capabilities[c] : NULL;
}

bool tool_name_valid(const char *name) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
        return n >= 1 && n <= TOOL_NAME_MAX && name[n] == 0;
}

int capability_parse(const char *name, Capability *ret, const char **ret_tool) {
        if (strncmp(name, "tool:", 5) == 0) {
                if (strcmp(name + 5, "*") != 0 && !tool_name_valid(name + 5))
                        return -EINVAL;
                *ret = CAPABILITY_TOOL;
                *ret_tool = name + 5;
                return 0;
        }
        for (size_t i = 0; i < CAPABILITY_MAX_; i++)
                if (i != CAPABILITY_TOOL && strcmp(capabilities[i].name, name) == 0) {
                        *ret = (Capability) i;
                        *ret_tool = "";
                        return 0;
                }
        return -EINVAL;
}
