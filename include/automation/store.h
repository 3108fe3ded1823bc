/* SPDX-License-Identifier: MIT */
/*
 * include/automation/store.h - the tables, and every statement over them as a function.
 *
 * Callers are services and the engine, inside a unit of work (or a SQL function's transaction).  No
 * function here begins or commits, decides a rule, or reads a clock: times come in.
 *
 * Tables (schema `automation`; in SQLite the main schema bears that name, so one text serves both):
 *
 *   automation   definitions (what a person edits)
 *   schedule     hot: the next fire of each cron automation; one row per cron automation
 *   gap          fires missed while nobody was there: one row per gap
 *   run          one row per run; hot while PENDING or RUNNING
 *   run_tally    how many runs of an automation ended how
 *   run_input    the event or input a run was triggered with
 *   run_output   what a run printed, in chunks keyed by byte offset; the newest part is kept (in PostgreSQL
 *                partitioned by spans of time)
 *   dedupe       keys that triggers were given, and the runs they made
 *   disable_event   when and why an automation was switched off
 *   upload, upload_data   tarballs; their bytes, where they are kept in the database
 *   sandbox      the ledger: sandboxes of the cloud we answer for
 *   event, event_trigger, event_generation   deliveries, and under which keys automations are found
 *   custom_webhook, environment   sources of events; variables of automations, sealed
 *   worker       who executes; its lease says until when it is believed alive
 *   meta         schema version (SQLite; in PostgreSQL the extension's version says it)
 *
 * The lease of a claim is its worker's: run.worker names a row of `worker` whose lease_until is renewed
 * by one small update for all runs of that worker, instead of one per run.
 *
 * Strings in results live in the result's arena (or rows) until its _done.
 */
#ifndef AUT_STORE_H
#define AUT_STORE_H

#include "automation/db.h"

/* ---- schema -------------------------------------------------------------------------------- */

#define AUT_STORE_VERSION 1

/* The DDL of a dialect as one text: statements separated by ";\n".  The SQLite driver runs it on an
 * empty file; the extension's install script is checked against the other by a test. */
const char *aut_store_schema(aut_dialect dialect);
/* All declared statements, for tests (NULL after the last). */
const aut_stmt *aut_store_statement(size_t index);

/* ---- runs ---------------------------------------------------------------------------------- */

typedef enum aut_run_status
{
	AUT_RUN_PENDING,
	AUT_RUN_RUNNING,
	AUT_RUN_COMPLETED,
	AUT_RUN_FAILED,
	AUT_RUN_CANCELLED,
	AUT_RUN_SKIPPED
} aut_run_status;
#define AUT_RUN_STATUS_COUNT 6

const char *aut_run_status_name(aut_run_status status); /* "PENDING" … as stored and on the wire */
bool aut_run_status_parse(const char *name, aut_run_status *out);
bool aut_run_status_terminal(aut_run_status status);

typedef struct aut_run
{
	aut_uuid id;
	aut_uuid automation_id;
	aut_run_status status;
	const char *trigger_source; /* "manual", "cron", "event" or NULL */
	int64_t scheduled_for;      /* the slot of a cron fire, or AUT_TIME_NONE */
	int64_t ready_at;           /* not claimed before */
	int attempt;                /* 0 while PENDING, counts claims that may have started something */
	const char *worker;         /* who executes (RUNNING) or executed last */
	const char *bash_command_id;
	const char *sandbox_id;
	int64_t timeout_at;
	int64_t cleanup_at; /* ended, but the backend still holds something of it */
	const char *error_detail;
	const char *status_detail; /* JSON text */
	const char *current_phase;
	const char *conversation_id;
	bool has_cost;
	double cost;
	bool has_exit_code;
	int exit_code;
	int64_t output_bytes;                   /* bytes printed so far, of which the newest are kept */
	const char *observability_associations; /* JSON text */
	const char *run_metadata;               /* JSON text */
	const char *resolved_runtime;           /* JSON text */
	int64_t created_at, started_at, completed_at;
	bool has_trigger_event;
	aut_uuid trigger_event_id; /* of the event that started it; the event may be forgotten */
	const char *subject_key;   /* what that event is about, where its trigger asks */
	bool replayed;             /* by a replay of the event */
} aut_run;

typedef struct aut_run_list
{
	aut_run *items;
	size_t count;
	aut_rows rows;
} aut_run_list;
void aut_run_list_done(aut_run_list *list);

typedef struct aut_run_new
{
	aut_uuid id; /* version 7 */
	aut_uuid automation_id;
	const char *trigger_source;
	int64_t scheduled_for; /* AUT_TIME_NONE: none */
	int64_t created_at;
	int64_t ready_at;
	const char *input; /* JSON text for run_input, or NULL */
	/* of runs that events start; NULL: none */
	const aut_uuid *trigger_event_id;
	const char *observability_associations; /* JSON text */
	const char *subject_key;
	bool replayed;
} aut_run_new;

/* EUNIQUE: that slot of that automation has fired already (nothing is written, the transaction is fine:
 * ON CONFLICT DO NOTHING). */
aut_status aut_store_run_insert(aut_db *db, const aut_run_new *run, aut_error *err);
aut_status aut_store_run_get(aut_db *db, const aut_uuid *id, aut_run_list *out,
							 aut_error *err); /* ENOTFOUND */
/* Newest first.  The _after forms give what comes after a place in that order: as fast at any depth. */
aut_status aut_store_run_list(aut_db *db, const aut_uuid *automation_id, int64_t limit,
							  int64_t offset, aut_run_list *out, aut_error *err);
aut_status aut_store_run_list_after(aut_db *db, const aut_uuid *automation_id,
									const aut_uuid *after, int64_t limit, aut_run_list *out,
									aut_error *err);
/* Newest first over all automations of an org that are not deleted. */
aut_status aut_store_run_list_org(aut_db *db, const aut_uuid *org_id, int64_t limit, int64_t offset,
								  aut_run_list *out, aut_error *err);
aut_status aut_store_run_list_org_after(aut_db *db, const aut_uuid *org_id, const aut_uuid *after,
										int64_t limit, aut_run_list *out, aut_error *err);
/* How many there are in each status; costs the same however many have ended. */
aut_status aut_store_run_counts(aut_db *db, const aut_uuid *automation_id,
								int64_t out_counts[AUT_RUN_STATUS_COUNT], aut_error *err);

/* A place in the order in which PENDING runs are claimed; {0}: before the first. */
typedef struct aut_ready
{
	int64_t ready_at;
	aut_uuid id;
} aut_ready;

typedef struct aut_claim
{
	const char *worker;
	int64_t now;
	int64_t limit;
	bool inline_only; /* only runs that the host itself executes (AUT_TARBALL_INLINE) */
	/* Seconds from now to the first deadline: what the automation allows (duration_s when it does not say,
	 * duration_max_s at most) and duration_and_s. */
	int64_t duration_s, duration_max_s, duration_and_s;
	aut_ready after; /* runs up to this one are passed over */
} aut_claim;

/*
 * Claim up to limit PENDING runs that are ready at now, oldest first: RUNNING, started_at = now,
 * worker, attempt + 1, phase, timeout_at.  PostgreSQL: FOR UPDATE SKIP LOCKED.  The ids come back in
 * claim order.
 */
aut_status aut_store_run_claim(aut_db *db, const aut_claim *claim, aut_uuid *out_ids,
							   size_t *out_count, aut_error *err);
/* The first run that is ready at now and comes after a place; ENOTFOUND when there is none. */
aut_status aut_store_run_ready_head(aut_db *db, int64_t now, const aut_ready *after, aut_ready *out,
									aut_error *err);
/* Earliest ready_at of a PENDING run after a place, or AUT_TIME_NONE. */
aut_status aut_store_run_next_ready(aut_db *db, const aut_ready *after, int64_t *out,
									aut_error *err);
/* tarball_path of automations that the host itself executes; the same for their runs alone. */
#define AUT_TARBALL_INLINE "sql://inline"
aut_status aut_store_run_next_ready_inline(aut_db *db, const aut_ready *after, int64_t *out,
										   aut_error *err);
/* The automation has become, or is no more, one that the host itself executes: its PENDING runs are told.
 * A run whose transaction is open meanwhile is not; it is found out when it waits for an agent. */
aut_status aut_store_run_inline(aut_db *db, const aut_uuid *automation_id, bool is_inline,
								aut_error *err);

/* What the engine needs to execute one run: the run beside its automation and input. */
typedef struct aut_run_task
{
	aut_run run;
	aut_uuid org_id, user_id;
	const char *owner; /* database role (extension), else NULL */
	const char *automation_state;
	int64_t automation_deleted_at;
	const char *automation_name;
	const char *trigger;      /* JSON text */
	const char *trigger_type; /* "cron" or "event" */
	const char *model;
	const char *agent_profile_id;
	const char *tarball_path;
	const char *entrypoint;
	const char *observability_associations; /* JSON text of the automation's */
	const char *preset_metadata;            /* JSON text or NULL */
	int64_t timeout_s;                      /* 0: not set */
	bool has_keep_alive, keep_alive;
	bool waits_at_limit;     /* for a free sandbox, where another run would be skipped */
	const char *input;       /* JSON text or NULL */
	const void *environment; /* sealed, or NULL; see environment.h */
	size_t environment_len;
	aut_rows rows;
} aut_run_task;
aut_status aut_store_run_task(aut_db *db, const aut_uuid *run_id, aut_run_task *out,
							  aut_error *err);
/* The tasks of many runs, in the order of ids; those that are gone are left out. */
aut_status aut_store_run_tasks(aut_db *db, const aut_uuid *ids, size_t count, aut_run_task *out,
							   size_t *out_count, aut_error *err);
void aut_run_task_done(aut_run_task *task);

/* RUNNING runs held by a worker, oldest first, after a restart (keyset: id > after). */
aut_status aut_store_run_held(aut_db *db, const char *worker, const aut_uuid *after, int64_t limit,
							  aut_uuid *out_ids, size_t *out_count, aut_error *err);
/* Take over RUNNING runs of workers whose lease ended before now (or who have no row). */
aut_status aut_store_run_adopt(aut_db *db, const char *worker, int64_t now, int64_t limit,
							   aut_uuid *out_ids, size_t *out_count, aut_error *err);

/* What is NULL or AUT_TIME_NONE was not learned by this step and stays. */
typedef struct aut_run_start
{
	aut_uuid id;
	const char *command_id;
	const char *sandbox_id;
	int64_t timeout_at;
} aut_run_start;
/* Guarded by RUNNING and worker; out_won[i] false: that run is no longer ours or has ended. */
aut_status aut_store_run_started(aut_db *db, const char *worker, const char *phase,
								 const aut_run_start *starts, size_t count, bool *out_won,
								 aut_error *err);
/* status_detail and/or timeout_at of a run that goes on (watchdog). NULL detail clears it. */
aut_status aut_store_run_note(aut_db *db, const aut_uuid *id, const char *worker,
							  const char *status_detail, int64_t timeout_at, bool *out_won,
							  aut_error *err);
/* Accepted while PENDING or RUNNING. */
aut_status aut_store_run_phase(aut_db *db, const aut_uuid *id, const char *phase, bool *out_won,
							   aut_error *err);
/* Put a claimed run back (nothing of it was started): PENDING, ready_at, attempt kept. */
aut_status aut_store_run_requeue(aut_db *db, const aut_uuid *id, const char *worker,
								 int64_t ready_at, bool *out_won, aut_error *err);

typedef struct aut_run_end
{
	aut_uuid id;
	aut_run_status status;           /* terminal */
	bool from_pending, from_running; /* guard: status IN (…) */
	bool from_timed_out; /* also FAILED with an error_detail that starts with "Timed out: " */
	int64_t completed_at;
	const char *error_detail;    /* NULL: null */
	const char *status_detail;   /* JSON text; NULL: null */
	const char *conversation_id; /* NULL: kept */
	bool has_cost;
	double cost;
	bool has_exit_code;
	int exit_code;
	int64_t cleanup_at; /* when the backend may be cleaned; set only on runs that were RUNNING */
} aut_run_end;
/* The one statement by which a run ends.  *out_won false: the guard did not hold. */
aut_status aut_store_run_finish(aut_db *db, const aut_run_end *end, bool *out_won, aut_error *err);
/* The same for many different runs, in one statement; not from_timed_out.  out_won has count elements. */
aut_status aut_store_run_finish_each(aut_db *db, const aut_run_end *ends, size_t count,
									 bool *out_won, aut_error *err);
/* As aut_store_run_finish, and the run as it then is; empty when the guard did not hold. */
aut_status aut_store_run_finish_get(aut_db *db, const aut_run_end *end, aut_run_list *out,
									aut_error *err);
/* End all PENDING runs of an automation as SKIPPED (manual ones only if asked). */
aut_status aut_store_run_skip_pending(aut_db *db, const aut_uuid *automation_id, bool manual_too,
									  int64_t now, const char *error_detail,
									  const char *status_detail, int64_t *out_count,
									  aut_error *err);

/* End a run that was claimed in the same transaction as SKIPPED, as if it had not been claimed. */
aut_status aut_store_run_skip_claimed(aut_db *db, const aut_uuid *id, const char *worker,
									  int64_t now, const char *error_detail,
									  const char *status_detail, aut_error *err);
/* Give up to limit PENDING runs that are ready and have no phase this one, in the order of their claim,
 * from a place on (0 and the nil id: all), which moves.  out_ids has room for limit. */
aut_status aut_store_run_waiting(aut_db *db, const char *phase, int64_t now, int64_t limit,
								 int64_t *after_ready_at, aut_uuid *after_id, aut_uuid *out_ids,
								 size_t *out_count, aut_error *err);

/* *out_taken: the key was free (never used, expired, or its run is gone) and is now of run_id. */
aut_status aut_store_dedupe_take(aut_db *db, const aut_uuid *automation_id, const char *key,
								 const aut_uuid *run_id, int64_t now, int64_t expires_at,
								 bool *out_taken, aut_error *err);
aut_status aut_store_dedupe_run(aut_db *db, const aut_uuid *automation_id, const char *key,
								aut_uuid *out, aut_error *err); /* ENOTFOUND */

/* Take ended runs whose clean-up is due, of this worker (or whose worker's lease has ended): it is due again
 * at again_at, should nothing come of it.  The arrays have limit elements; no order. */
aut_status aut_store_run_cleanup_take(aut_db *db, const char *worker, int64_t now, int64_t again_at,
									  int64_t limit, aut_uuid *out_ids,
									  aut_run_status *out_statuses, size_t *out_count,
									  aut_error *err);
aut_status aut_store_run_next_cleanup(aut_db *db, const char *worker, int64_t *out, aut_error *err);
/* cleanup_at = at (AUT_TIME_NONE: done) of these runs. */
aut_status aut_store_run_cleanup_set(aut_db *db, const aut_uuid *ids, size_t count, int64_t at,
									 aut_error *err);

/* ---- output -------------------------------------------------------------------------------- */

/* Append bytes at offset `start` of the run's stream (start == output_bytes, or beyond it where a part
 * was lost) and drop whole chunks so that at least `keep` newest bytes stay.  Repeating an append that
 * is already there does nothing. */
aut_status aut_store_output_append(aut_db *db, const aut_uuid *run_id, int64_t start,
								   const void *data, size_t len, int64_t now, int64_t keep,
								   aut_error *err);
/* Chunks that hold bytes at or after `after`, in order: columns start (l), data (x), at (T). */
aut_status aut_store_output_read(aut_db *db, const aut_uuid *run_id, int64_t after, int64_t limit,
								 aut_rows *out, aut_error *err);

/* ---- automations --------------------------------------------------------------------------- */

/* Where a row stands in a list that is ordered by created_at and id. */
typedef struct aut_row_place
{
	int64_t created_at;
	aut_uuid id;
} aut_row_place;

typedef struct aut_automation
{
	aut_uuid id, org_id, user_id;
	const char *owner; /* database role (extension), else NULL */
	const char *name, *description, *prompt;
	const char *preset_metadata, *plugin_spec; /* JSON text */
	const char *model;
	const char *agent_profile_id;
	const char *trigger;                    /* JSON text, normalized */
	const char *trigger_type;               /* "cron" or "event" */
	const char *observability_associations; /* JSON text */
	const char *tarball_path, *setup_script_path, *entrypoint;
	int64_t timeout_s; /* 0: null */
	bool has_keep_alive, keep_alive;
	bool wait_at_limit; /* its runs wait for a free sandbox instead of being skipped */
	const char *state;  /* "ACTIVE", "INACTIVE", "DRAFT" */
	const char *disabled_reason, *disabled_detail /* JSON text */;
	int64_t disabled_at, deleted_at;
	int64_t last_triggered_at; /* the later of manual and cron */
	int64_t created_at, updated_at;
	int64_t next_fire_at;          /* from schedule; AUT_TIME_NONE: none */
	const char *environment_names; /* JSON text, a list, or NULL; from environment */
} aut_automation;

typedef struct aut_automation_list
{
	aut_automation *items;
	size_t count;
	aut_rows rows;
} aut_automation_list;
void aut_automation_list_done(aut_automation_list *list);

/* next_fire_at, environment_names and last_triggered_at of the struct are ignored; see the schedule functions. */
aut_status aut_store_automation_insert(aut_db *db, const aut_automation *automation,
									   aut_error *err);
aut_status aut_store_automation_update(aut_db *db, const aut_automation *automation,
									   aut_error *err);
/* Live ones of the org (deleted ones are ENOTFOUND). */
aut_status aut_store_automation_get(aut_db *db, const aut_uuid *org_id, const aut_uuid *id,
									aut_automation_list *out, aut_error *err);
/* All live ones with that name in the org, newest first (the command line and SQL look up by name). */
aut_status aut_store_automation_by_name(aut_db *db, const aut_uuid *org_id, const char *name,
										aut_automation_list *out, aut_error *err);
typedef enum aut_created_by
{
	AUT_CREATED_BY_ANY,
	AUT_CREATED_BY_ME,
	AUT_CREATED_BY_OTHERS
} aut_created_by;
/* created_at DESC, id DESC. */
aut_status aut_store_automation_list(aut_db *db, const aut_uuid *org_id, aut_created_by by,
									 const aut_uuid *user_id, int64_t limit, int64_t offset,
									 aut_automation_list *out, int64_t *out_total, aut_error *err);
/* The same order, what comes after a place. */
aut_status aut_store_automation_list_after(aut_db *db, const aut_uuid *org_id, aut_created_by by,
										   const aut_uuid *user_id, const aut_row_place *after,
										   int64_t limit, aut_automation_list *out, aut_error *err);
/* Remember that it was triggered at that time, unless it is known to have been later. */
aut_status aut_store_automation_triggered(aut_db *db, const aut_uuid *id, int64_t at,
										  aut_error *err);
/* INACTIVE, if it is ACTIVE and live. */
aut_status aut_store_automation_disable(aut_db *db, const aut_uuid *id, const char *reason,
										const char *detail /* JSON text */, int64_t now,
										bool *out_won, aut_error *err);
/* Until the end of the transaction nobody makes a run of it; waits for those who have made one. */
aut_status aut_store_automation_lock(aut_db *db, const aut_uuid *id, aut_error *err);
/* One row, or none: state (t), disabled_detail (j), deleted_at (T); deleted ones, too. */
aut_status aut_store_automation_switch(aut_db *db, const aut_uuid *id, aut_rows *out,
									   aut_error *err);

typedef struct aut_disable_event
{
	aut_uuid id, automation_id, run_id;
	bool has_run;
	const char *reason, *detail /* JSON text or NULL */, *source;
	int64_t created_at;
} aut_disable_event;
aut_status aut_store_disable_event_insert(aut_db *db, const aut_disable_event *event,
										  aut_error *err);
/* When it was last switched off, or AUT_TIME_NONE. */
aut_status aut_store_disable_event_newest(aut_db *db, const aut_uuid *automation_id, int64_t *out,
										  aut_error *err);
/* The newest runs that ended so, of those created after `since` (AUT_TIME_NONE: all): id (u),
 * status_detail (j), created_at (T). */
aut_status aut_store_run_ended_newest(aut_db *db, const aut_uuid *automation_id,
									  aut_run_status status, int64_t since, int64_t limit,
									  aut_rows *out, aut_error *err);


/* ---- schedule ------------------------------------------------------------------------------ */

typedef struct aut_due
{
	aut_uuid automation_id;
	const char *expr;
	const char *timezone;
	int64_t next_fire_at;
} aut_due;
typedef struct aut_due_list
{
	aut_due *items;
	size_t count;
	aut_rows rows;
} aut_due_list;
void aut_due_list_done(aut_due_list *list);

/* Insert or replace; next AUT_TIME_NONE: does not fire (paused, ended). */
aut_status aut_store_schedule_put(aut_db *db, const aut_uuid *automation_id, const char *expr,
								  const char *timezone, int64_t next_fire_at, aut_error *err);
aut_status aut_store_schedule_stop(aut_db *db, const aut_uuid *automation_id,
								   aut_error *err); /* does not fire */
aut_status aut_store_schedule_delete(aut_db *db, const aut_uuid *automation_id, aut_error *err);
/* Earliest first, locked with SKIP LOCKED in PostgreSQL. */
aut_status aut_store_schedule_due(aut_db *db, int64_t now, int64_t limit, aut_due_list *out,
								  aut_error *err);
/* The same from the other end, of those due after a time: latest first. */
aut_status aut_store_schedule_due_latest(aut_db *db, int64_t now, int64_t after, int64_t limit,
										 aut_due_list *out, aut_error *err);
aut_status aut_store_schedule_next(aut_db *db, int64_t *out,
								   aut_error *err); /* AUT_TIME_NONE: none */
typedef struct aut_fire
{
	aut_uuid automation_id;
	aut_uuid run_id; /* of the run it makes; version 7 */
	int64_t slot;
	int64_t next_fire_at;
} aut_fire;
/*
 * A run for each of them, ready at now, and its schedule moves on.  Automations differ.  A slot that has fired
 * already makes no run: *out_runs counts those made.  A schedule that is not there is ENOTFOUND.
 */
aut_status aut_store_schedule_fire(aut_db *db, const aut_fire *fires, size_t count, int64_t now,
								   size_t *out_runs, aut_error *err);
aut_status aut_store_gap_insert(aut_db *db, const aut_uuid *automation_id, int64_t first_missed,
								int64_t last_missed, int64_t count, int64_t now, aut_error *err);

/* ---- uploads ------------------------------------------------------------------------------- */

typedef struct aut_upload
{
	aut_uuid id, org_id, user_id;
	const char *name, *description;
	const char *status; /* "UPLOADING", "COMPLETED", "FAILED" */
	const char *error_message;
	int64_t size_bytes; /* -1: null */
	int64_t created_at, updated_at, deleted_at;
	const char *store; /* where the bytes are: "database" (or NULL), "local", "s3", "gcs" */
	int64_t
		object_due_at; /* when to see to the object outside of the database; AUT_TIME_NONE: never */
} aut_upload;
typedef struct aut_upload_list
{
	aut_upload *items;
	size_t count;
	aut_rows rows;
} aut_upload_list;
void aut_upload_list_done(aut_upload_list *list);

/* data NULL: no content (FAILED). */
aut_status aut_store_upload_insert(aut_db *db, const aut_upload *upload, const void *data,
								   size_t len, aut_error *err);
/* Whatever its owner and deletion: the caller judges. */
aut_status aut_store_upload_get(aut_db *db, const aut_uuid *id, aut_upload_list *out,
								aut_error *err);
/* One row: data (x).  ENOTFOUND when the content is gone. */
aut_status aut_store_upload_data(aut_db *db, const aut_uuid *id, aut_rows *out, aut_error *err);
aut_status aut_store_upload_list(aut_db *db, const aut_uuid *org_id, const aut_uuid *user_id,
								 const char *status /* NULL: all */, int64_t limit, int64_t offset,
								 aut_upload_list *out, int64_t *out_total, aut_error *err);
aut_status aut_store_upload_list_after(aut_db *db, const aut_uuid *org_id, const aut_uuid *user_id,
									   const char *status /* NULL: all */,
									   const aut_row_place *after, int64_t limit,
									   aut_upload_list *out, aut_error *err);
/* What is outside of the database becomes due at once. */
aut_status aut_store_upload_delete(aut_db *db, const aut_uuid *id, int64_t now, aut_error *err);
/* Keep others from deleting it until the end of the transaction (where they could meanwhile). */
aut_status aut_store_upload_hold(aut_db *db, const aut_uuid *id, aut_error *err);

/* ---- uploads whose bytes are outside of the database ------------------------------------------- */

/*
 * Such a record is UPLOADING while its object is written, without a transaction.  message NULL: it is
 * there whole, COMPLETED.  Else FAILED, and what may be there is due to be deleted, as it is when the
 * record was deleted or given up meanwhile.
 */
aut_status aut_store_upload_settle(aut_db *db, const aut_uuid *id, const char *message,
								   int64_t size_bytes, int64_t now, aut_error *err);
/* Those whose object is due, at most limit; each is due again at `again` unless it is told done.  One
 * that is UPLOADING still was given up by its writer, and is FAILED from now on. */
aut_status aut_store_objects_due(aut_db *db, int64_t now, int64_t again, int64_t limit,
								 aut_upload_list *out, aut_error *err);
aut_status aut_store_object_done(aut_db *db, const aut_uuid *id, int64_t again, aut_error *err);
/* AUT_TIME_NONE: none. */
aut_status aut_store_objects_next(aut_db *db, int64_t *out, aut_error *err);
/* Delete those that were made before that time and that no automation uses: no live one, and no deleted
 * one of which a run has not ended.  Looks at the next `page` behind *after, which moves. */
aut_status aut_store_delete_unused_uploads(aut_db *db, int64_t before, int64_t now,
										   aut_row_place *after, int64_t page, int64_t *out_count,
										   bool *out_more, aut_error *err);

/* ---- retention ----------------------------------------------------------------------------- */

/*
 * Each takes away at most limit rows, oldest first.  Runs go with their input and output, only when
 * they have ended and nothing of them is left on a backend; kept_bytes is how much of a run's output is
 * kept at most, for the bound on what goes at once.  *out_more: there may be more.
 */
aut_status aut_store_forget_old_runs(aut_db *db, int64_t before, int64_t limit, int64_t kept_bytes,
									 int64_t *out_count, bool *out_more, aut_error *err);
/* Of the next `automations` automations in the order of ids, the runs beyond the newest `keep`; *after
 * moves behind those that are finished. */
aut_status aut_store_forget_crowded_runs(aut_db *db, aut_uuid *after, int64_t automations,
										 int64_t keep, int64_t limit, int64_t kept_bytes,
										 int64_t *out_count, bool *out_more, aut_error *err);
/*
 * PostgreSQL keeps output in spans of time, and drops one when the runs that printed it are gone, instead of
 * deleting what was in it (core/store/spans.c).  Drops an old one, or makes one for the days to come; keep_days
 * is how long runs are kept (0: for good).  Not within a transaction with other work.  AUT_EBUSY: somebody
 * holds the table.  *out_more: something was done, and there may be more.
 */
aut_status aut_store_output_spans(aut_db *db, int64_t now, int64_t keep_days, bool *out_more,
								  aut_error *err);
/* Records of uploads that were deleted before that time. */
aut_status aut_store_forget_uploads(aut_db *db, int64_t before, int64_t limit, int64_t *out_count,
									aut_error *err);
aut_status aut_store_forget_gaps(aut_db *db, int64_t before, int64_t limit, int64_t *out_count,
								 aut_error *err);
aut_status aut_store_forget_dedupe_keys(aut_db *db, int64_t now, int64_t limit, int64_t *out_count,
										aut_error *err);
/* Events that came in, with their delivery ids (store_events.h). */
aut_status aut_store_forget_events(aut_db *db, int64_t before, int64_t limit, int64_t *out_count,
								   aut_error *err);
/* How automations were switched off, but for the newest of each. */
aut_status aut_store_forget_disable_events(aut_db *db, int64_t before, int64_t limit,
										   int64_t *out_count, aut_error *err);

/* Tidy up what counts ended runs; nothing is lost. */
aut_status aut_store_tally_fold(aut_db *db, int64_t limit, int64_t *out_count, aut_error *err);

/* ---- workers ------------------------------------------------------------------------------- */

aut_status aut_store_worker_lease(aut_db *db, const char *name, int64_t pid, int64_t now,
								  int64_t lease_until, aut_error *err); /* insert or renew */
aut_status aut_store_worker_leave(aut_db *db, const char *name, aut_error *err);

#endif
