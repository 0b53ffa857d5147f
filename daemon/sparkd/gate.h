/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where sparkd asks policy/: what a call wants, whether it may, and what is told to those who may not. Whatever changes
 * the answer (rules read anew, an answer set or taken back) looks at all that runs and ends what is no longer allowed. */

#include "daemon/sparkd/manager.h"

/* Reads the rule files; logs their problems. Negative: the old ones hold. */
int gate_load_rules(Manager *m);
void gate_done(Manager *m);

/* `given`: ANSWER_ONCE where the user said yes to this very request, else ANSWER_NONE. */
void gate_decide(User *u, const Identity *id, const Want *w, Answer given, Ruling *ret);

/* The first of the wants that is denied, else the first that is to be asked, else that the last is allowed. *ret_w: which
 * one. */
void gate_decide_all(User *u, const Identity *id, const Want *wants, size_t n, Answer given, Ruling *ret, const Want **ret_w);

/* Why not, and what can be done about it: one line. */
void gate_explain(User *u, const Identity *id, const Want *w, const Ruling *r, char *text, size_t size);

/* Fills reterr with NotAllowed and notes it in the ledger. Returns negative. */
int gate_refuse(User *u, const Identity *id, const Want *w, const Ruling *r, sd_bus_error *reterr);

/* What became of asking for them: are all allowed now? Else *ret is why not, and *ret_w which one. */
bool gate_answered(User *u, const Identity *id, const Want *wants, size_t n, Answer answer, Reason reason, Ruling *ret, const Want **ret_w);
/* A Request() of that connection was answered with "once" before. */
bool gate_allowed_once(const Client *c, const Want *wants, size_t n);

/* Keeps an answer: for the session, or in the ledger. Ends what it forbids. */
int gate_keep(User *u, const Identity *id, const Want *w, Answer a);
/* app NULL: all; w NULL: all of the app. Also forgets what was allowed once. */
int gate_reset(User *u, const char *app, const Want *w, uint64_t *ret_n);

/* "session" where one for this session holds, NULL where not. */
const char *gate_session_answer(User *u, const char *app, const Want *w);

/* Ends every turn that is no longer allowed; u NULL: of all users. */
void gate_recheck(Manager *m, User *u);

/* "generate", "tool:open-file" and back. -EINVAL: no such. */
void want_name(const Want *w, char *name, size_t size);
int want_parse(const char *name, Want *ret);
bool want_same(const Want *a, const Want *b);
