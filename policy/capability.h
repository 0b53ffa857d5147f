/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an app may want from Spark: one const table. `tool` alone is a family: "tool:NAME". */

#include <stdbool.h>
#include <stddef.h>

#define TOOL_NAME_MAX 64u

typedef enum Capability {
        CAPABILITY_GENERATE,
        CAPABILITY_IMAGE,
        CAPABILITY_AUDIO,
        CAPABILITY_MICROPHONE,
        CAPABILITY_CAMERA,
        CAPABILITY_MICROPHONE_RAW,
        CAPABILITY_CAMERA_RAW,
        CAPABILITY_SPEAK,
        CAPABILITY_MEMORY,
        CAPABILITY_BACKGROUND,
        CAPABILITY_REMOTE,
        CAPABILITY_TOOL,
        CAPABILITY_MAX_,
} Capability;

typedef struct CapabilityInfo {
        const char *name;
        const char *sentence;           /* for a person, after the app's name: "listen through the microphone" */
        bool leaves_machine;            /* what the app sees or says may reach another party */
} CapabilityInfo;

const CapabilityInfo *capability_info(Capability c);

/* "microphone", "tool:open-file"; *ret_tool points into `name`, or is "" (for "tool:*" it is "*"). -EINVAL: no such. */
int capability_parse(const char *name, Capability *ret, const char **ret_tool);

/* 1 … TOOL_NAME_MAX bytes of [A-Za-z0-9._-]. */
bool tool_name_valid(const char *name);
