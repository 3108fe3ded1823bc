/* SPDX-License-Identifier: MIT */
/*
 * include/automation/sandboxes.h - the ledger of cloud sandboxes: what we made, and what must still
 * happen to it.
 *
 * A row is written before a sandbox is asked for and gets the sandbox's id when the answer is there, so
 * that a crash leaves nothing unaccounted for: what has an id is adopted or deleted; a creation that was
 * in flight is known as such (its sandbox may exist, and cannot be told from the user's own).  A row goes
 * when its sandbox is known to be gone.
 *
 *   CREATING ──id──▶ STARTING ──placed──▶ READY ──run ended──▶ RELEASED ──deleted──▶ (no row)
 *      │                 └── did not start ─────────────────────▲  │
 *      └─ answer lost ──▶ LOST                                     └─ keep_alive ──▶ KEPT
 *
 * Like store.h: no function here begins or commits, and times come in.
 */
#ifndef AUT_SANDBOXES_H
#define AUT_SANDBOXES_H

#include "automation/store.h"

#define AUT_SANDBOX_CREATING "CREATING" /* asked for */
#define AUT_SANDBOX_STARTING "STARTING" /* it has an id; nothing was done in it */
#define AUT_SANDBOX_READY    "READY"    /* its run may have been started in it */
#define AUT_SANDBOX_RELEASED "RELEASED" /* to be deleted at delete_at, until then paused */
#define AUT_SANDBOX_KEPT     "KEPT"     /* its automation says keep_alive: its user's now */
#define AUT_SANDBOX_LOST     "LOST"     /* asked for, and the answer was lost: it may exist */

typedef struct aut_sandbox
{
	aut_uuid id; /* of the row, version 7 */
	aut_uuid run_id, org_id, user_id;
	const char *sandbox_id; /* NULL: not known */
	const char *state;
	const char *note; /* what went wrong, or NULL */
	int64_t tries;    /* attempts to pause or delete it that failed */
	int64_t created_at;
	int64_t due_at;    /* when something is to be done about it, or AUT_TIME_NONE */
	int64_t delete_at; /* RELEASED */
} aut_sandbox;

typedef struct aut_sandbox_list
{
	aut_sandbox *items;
	size_t count;
	aut_rows rows;
} aut_sandbox_list;
void aut_sandbox_list_done(aut_sandbox_list *list);

aut_status aut_store_sandbox_insert(aut_db *db, const aut_sandbox *sandbox, aut_error *err);
/* CREATING, STARTING and READY ones of a run, newest first. */
aut_status aut_store_sandbox_of_run(aut_db *db, const aut_uuid *run_id, aut_sandbox_list *out,
									aut_error *err);
/* Its id is known. */
aut_status aut_store_sandbox_created(aut_db *db, const aut_uuid *id, const char *sandbox_id,
									 aut_error *err);
/* A new state with its times and note (NULL: kept). */
aut_status aut_store_sandbox_set(aut_db *db, const aut_uuid *id, const char *state, int64_t due_at,
								 int64_t delete_at, const char *note, aut_error *err);
/* The run has ended: what it has (STARTING, READY) becomes RELEASED or KEPT. */
aut_status aut_store_sandbox_release(aut_db *db, const aut_uuid *run_id, const char *state,
									 int64_t due_at, int64_t delete_at, aut_error *err);
/* Those that are due, earliest first. */
aut_status aut_store_sandbox_due(aut_db *db, int64_t now, int64_t limit, aut_sandbox_list *out,
								 aut_error *err);
/* Move due_at of one that is due at `from`; *out_won false: somebody else has it. */
aut_status aut_store_sandbox_take(aut_db *db, const aut_uuid *id, int64_t from, int64_t to,
								  bool *out_won, aut_error *err);
/* After a start: what was taken by a process that is gone, or waits to be repeated, is due at once.  Doing
 * it twice is harmless. */
aut_status aut_store_sandbox_recall(aut_db *db, int64_t now, aut_error *err);
/* Acting on it failed: tries + 1, due again at that time. */
aut_status aut_store_sandbox_again(aut_db *db, const aut_uuid *id, int64_t due_at, const char *note,
								   aut_error *err);
aut_status aut_store_sandbox_next_due(aut_db *db, int64_t *out,
									  aut_error *err); /* AUT_TIME_NONE: none */
aut_status aut_store_sandbox_delete(aut_db *db, const aut_uuid *id, aut_error *err);
/*
 * Sandboxes that nobody answers for any more, because their run has ended and is cleaned up, or is
 * gone: those with an id are RELEASED, those without one that were asked for before `before` are LOST.
 */
aut_status aut_store_sandbox_sweep(aut_db *db, int64_t now, int64_t before, int64_t *out_released,
								   int64_t *out_lost, aut_error *err);
/* Rows of KEPT and LOST ones from before that time. */
aut_status aut_store_sandbox_forget(aut_db *db, int64_t before, int64_t limit, int64_t *out_count,
									aut_error *err);
/* What doctor reports: rows of state (t), number (l), oldest (T), most tries (i). */
aut_status aut_store_sandbox_summary(aut_db *db, aut_rows *out, aut_error *err);

#endif
