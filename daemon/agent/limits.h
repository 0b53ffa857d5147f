/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What others can make the agent keep. */

#define QUESTIONS_MAX 16u               /* asked and waiting, all together */
#define QUESTIONS_SHOWN_MAX 3u          /* on the screen at a time; of these one an app */
#define QUESTION_ID_MAX 128u            /* bytes of a question's number */
#define NOTIFICATION_CALL_MS 5000       /* for the notification server to take a notification */
#define DIALOG_ANSWER_MAX 16u           /* bytes that the dialog may say */
