/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is this a build with sanitizers? Their run-time needs system calls and address space that a worker never gets
 * otherwise; this is the only switch that widens the sandbox, and it is the compiler's. */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#  define SANITIZERS 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#    define SANITIZERS 1
#  endif
#endif
#ifndef SANITIZERS
#  define SANITIZERS 0
#endif
