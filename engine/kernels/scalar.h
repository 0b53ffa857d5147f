/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The scalar level's attention, in a file of its own (scalar-attend.c). */

#include "engine/kernels/attend.h"

void scalar_kv_store(KvType type, const KvBlock *block, uint32_t slot, const float *k, const float *v);
void scalar_attend(const AttendArgs *a);
