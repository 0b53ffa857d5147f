/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names of the errors that sparkd answers with, as dbus/org.spark.Assistant.xml promises them. */

#define SPARK_ERROR(name) "org.spark.Assistant.Error." name

#define SPARK_ERROR_UNAVAILABLE SPARK_ERROR("Unavailable")
#define SPARK_ERROR_CONTEXT_FULL SPARK_ERROR("ContextFull")
#define SPARK_ERROR_INVALID_INPUT SPARK_ERROR("InvalidInput")
#define SPARK_ERROR_UNSUPPORTED_CAPABILITY SPARK_ERROR("UnsupportedCapability")
#define SPARK_ERROR_BUSY SPARK_ERROR("Busy")
#define SPARK_ERROR_QUOTA_EXCEEDED SPARK_ERROR("QuotaExceeded")
#define SPARK_ERROR_RATE_LIMITED SPARK_ERROR("RateLimited")
#define SPARK_ERROR_NOT_ALLOWED SPARK_ERROR("NotAllowed")
#define SPARK_ERROR_CANCELLED SPARK_ERROR("Cancelled")
#define SPARK_ERROR_TIMEOUT SPARK_ERROR("Timeout")
#define SPARK_ERROR_NO_DEVICE SPARK_ERROR("NoDevice")
#define SPARK_ERROR_WORKER_LOST SPARK_ERROR("WorkerLost")
#define SPARK_ERROR_FAILED SPARK_ERROR("Failed")
