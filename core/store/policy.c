/* SPDX-License-Identifier: MIT */
/*
 * core/store/policy.c - what rules about many runs need: keys that were used, and what led to an
 * automation being switched off.
 *
 * A dedupe key is taken by an insert that a living key refuses, so of two sessions with one key the
 * second waits for the first one's commit and then finds its run.
 *
 * Switching off by itself is one guarded statement over the few columns it means: what a person changes
 * at the same time is neither overwritten nor overruled.
 */
#include "core/store/internal.h"

/* ---- dedupe keys --------------------------------------------------------------------------- */

static const aut_stmt dedupe_take = {
	.name = "dedupe_take",
	.params = "utuTT",
	.columns = "",
	.sql = "INSERT INTO automation.dedupe AS d (automation_id, dedupe_key, run_id, expires_at)"
		   " VALUES ($1, $2, $3, $4)"
		   " ON CONFLICT (automation_id, dedupe_key) DO UPDATE SET"
		   " run_id = excluded.run_id, expires_at = excluded.expires_at"
		   " WHERE d.expires_at <= $5 OR NOT EXISTS"
		   " (SELECT 1 FROM automation.run AS r WHERE r.id = d.run_id)",
};

static const aut_stmt dedupe_run = {
	.name = "dedupe_run",
	.params = "ut",
	.columns = "u",
	.sql =
		"SELECT run_id FROM automation.dedupe WHERE automation_id = $1 AND dedupe_key = $2 LIMIT 1",
};

/* ---- switching off ------------------------------------------------------------------------- */

/* The row stays and knows when it last fired. */
static const aut_stmt schedule_stop = {
	.name = "schedule_stop",
	.params = "u",
	.columns = "",
	.sql = "UPDATE automation.schedule SET next_fire_at = NULL"
		   " WHERE automation_id = $1 AND next_fire_at IS NOT NULL",
};

static const aut_stmt automation_disable = {
	.name = "automation_disable",
	.params = "utjT",
	.columns = "",
	.sql = "UPDATE automation.automation SET state = 'INACTIVE', disabled_reason = $2,"
		   " disabled_detail = $3, disabled_at = $4, updated_at = $4"
		   " WHERE id = $1 AND state = 'ACTIVE' AND deleted_at IS NULL",
};

/* Waits for transactions that have made runs of it: their reference holds the row. */
static const aut_stmt automation_lock = {
	.name = "automation_lock",
	.params = "u",
	.columns = "u",
	.postgres = "SELECT id FROM automation.automation WHERE id = $1 LIMIT 1 FOR UPDATE",
	.sqlite = "SELECT id FROM automation.automation WHERE id = $1 LIMIT 1",
};

static const aut_stmt disable_event_insert = {
	.name = "disable_event_insert",
	.params = "uuutjtT",
	.columns = "",
	.sql = "INSERT INTO automation.disable_event"
		   " (id, automation_id, run_id, reason, detail, source, created_at)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7)",
};

/* index: disable_event_newest_idx */
static const aut_stmt disable_event_newest = {
	.name = "disable_event_newest",
	.params = "u",
	.columns = "T",
	.sql = "SELECT created_at FROM automation.disable_event WHERE automation_id = $1"
		   " ORDER BY created_at DESC LIMIT 1",
};

/* Index: run_status_idx.  Ids are in the order of creation; the smallest id of the time bounds the walk,
 * the time itself decides (the clock may have been set back since). */
static const aut_stmt run_ended_newest = {
	.name = "run_ended_newest",
	.params = "utuTl",
	.columns = "ujT",
	.sql = "SELECT r.id, r.status_detail, r.created_at FROM automation.run AS r"
		   " WHERE r.automation_id = $1 AND r.status = $2 AND r.id >= $3 AND r.created_at > $4"
		   " ORDER BY r.id DESC LIMIT $5",
};

/* ---- waiting and skipping ------------------------------------------------------------------- */

static const aut_stmt automation_switch = {
	.name = "automation_switch",
	.params = "u",
	.columns = "tjT",
	.sql = "SELECT state, disabled_detail, deleted_at FROM automation.automation WHERE id = $1 "
		   "LIMIT 1",
};

/* A claim that should not have been: as if it had not been, and skipped. */
static const aut_stmt run_skip_claimed = {
	.name = "run_skip_claimed",
	.params = "utTtj",
	.columns = "u",
	.sql = "UPDATE automation.run SET status = 'SKIPPED', completed_at = $3, error_detail = $4,"
		   " status_detail = $5, attempt = attempt - 1, worker = NULL, started_at = NULL,"
		   " current_phase = NULL"
		   " WHERE id = $1 AND status = 'RUNNING' AND worker = $2 RETURNING automation_id",
};

/* Index: run_ready_idx, from the last one that was told on.  What the host executes itself waits for no
 * backend. */
#define WAITING                                                                                    \
	"SELECT r.id, r.ready_at FROM automation.run AS r WHERE r.status = 'PENDING'"                  \
	" AND (r.ready_at, r.id) > ($1, $2) AND r.ready_at <= $3 AND NOT r.inline"                     \
	" ORDER BY r.ready_at, r.id LIMIT $4"
static const aut_stmt run_wait_next = {
	.name = "run_wait_next",
	.params = "TuTl",
	.columns = "uT",
	.postgres = WAITING " FOR UPDATE OF r SKIP LOCKED",
	.sqlite = WAITING,
};

/* Also where a run that waits for no backend is found out: one made while its automation was being changed
 * (aut_store_run_inline).  The claim writes its own phase over it. */
static const aut_stmt run_wait_phase = {
	.name = "run_wait_phase",
	.params = "ut",
	.columns = "",
	.sql = "UPDATE automation.run SET current_phase = $2, inline = " AUT__INLINE_OF(
		"run.automation_id") " WHERE id = $1 AND status = 'PENDING' AND current_phase IS NULL",
};

const aut_stmt *const aut__policy_statements[] = {
	&dedupe_take,
	&dedupe_run,
	&schedule_stop,
	&automation_disable,
	&disable_event_insert,
	&disable_event_newest,
	&run_ended_newest,
	&automation_switch,
	&run_skip_claimed,
	&run_wait_next,
	&run_wait_phase,
	&automation_lock,
	NULL,
};

/* ---- functions ----------------------------------------------------------------------------- */

aut_status
aut_store_dedupe_take(aut_db *db, const aut_uuid *automation_id, const char *key,
					  const aut_uuid *run_id, int64_t now, int64_t expires_at, bool *out_taken,
					  aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(automation_id), aut_v_text(key), aut_v_uuid(run_id),
		aut_v_time(expires_at),    aut_v_time(now),
	};

	return aut__run_guarded(db, &dedupe_take, params, out_taken, err);
}

aut_status
aut_store_dedupe_run(aut_db *db, const aut_uuid *automation_id, const char *key, aut_uuid *out,
					 aut_error *err)
{
	aut_rows rows = {0};
	aut_status status =
		aut_db_run(db, &dedupe_run, (aut_value[]){aut_v_uuid(automation_id), aut_v_text(key)},
				   &rows, NULL, err);

	if (status == AUT_OK && rows.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "no run has that dedupe key");
	if (status == AUT_OK)
		*out = aut_rows_uuid(&rows, 0, 0);
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_schedule_stop(aut_db *db, const aut_uuid *automation_id, aut_error *err)
{
	return aut_db_run(db, &schedule_stop, (aut_value[]){aut_v_uuid(automation_id)}, NULL, NULL,
					  err);
}

aut_status
aut_store_automation_disable(aut_db *db, const aut_uuid *id, const char *reason, const char *detail,
							 int64_t now, bool *out_won, aut_error *err)
{
	aut_value params[] = {aut_v_uuid(id), aut_v_text(reason), aut_v_json(detail), aut_v_time(now)};

	bool won = false;
	aut_status status = aut__run_guarded(db, &automation_disable, params, &won, err);

	/* events must not take it for active any more */
	if (status == AUT_OK && won)
		status = aut__trigger_index_touch(db, id, err);
	if (status == AUT_OK && out_won != NULL)
		*out_won = won;
	return status;
}

aut_status
aut_store_automation_lock(aut_db *db, const aut_uuid *id, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status =
		aut_db_run(db, &automation_lock, (aut_value[]){aut_v_uuid(id)}, &rows, NULL, err);

	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_disable_event_insert(aut_db *db, const aut_disable_event *event, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(&event->id),
		aut_v_uuid(&event->automation_id),
		event->has_run ? aut_v_uuid(&event->run_id) : aut_v_null('u'),
		aut_v_text(event->reason),
		aut_v_json(event->detail),
		aut_v_text(event->source),
		aut_v_time(event->created_at),
	};

	return aut_db_run(db, &disable_event_insert, params, NULL, NULL, err);
}

aut_status
aut_store_disable_event_newest(aut_db *db, const aut_uuid *automation_id, int64_t *out,
							   aut_error *err)
{
	return aut__run_time(db, &disable_event_newest, (aut_value[]){aut_v_uuid(automation_id)}, out,
						 err);
}

aut_status
aut_store_run_ended_newest(aut_db *db, const aut_uuid *automation_id, aut_run_status status,
						   int64_t since, int64_t limit, aut_rows *out, aut_error *err)
{
	int64_t time = since != AUT_TIME_NONE ? since : 0;
	aut_uuid first;
	aut_status result = aut__check_window(limit, 0, err);

	aut_uuid_v7_first(time, &first);
	aut_value params[] = {
		aut_v_uuid(automation_id), aut_v_text(aut_run_status_name(status)),
		aut_v_uuid(&first),        aut_v_time(time),
		aut_v_big(limit),
	};

	if (result == AUT_OK)
		result = aut_db_run(db, &run_ended_newest, params, out, NULL, err);
	return result;
}

aut_status
aut_store_automation_switch(aut_db *db, const aut_uuid *id, aut_rows *out, aut_error *err)
{
	return aut_db_run(db, &automation_switch, (aut_value[]){aut_v_uuid(id)}, out, NULL, err);
}

aut_status
aut_store_run_skip_claimed(aut_db *db, const aut_uuid *id, const char *worker, int64_t now,
						   const char *error_detail, const char *status_detail, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(id),           aut_v_text(worker),        aut_v_time(now),
		aut_v_text(error_detail), aut_v_json(status_detail),
	};

	aut_rows rows = {0};
	aut_status status = aut_db_run(db, &run_skip_claimed, params, &rows, NULL, err);

	if (status == AUT_OK && rows.count > 0)
	{
		aut_uuid automation_id = aut_rows_uuid(&rows, 0, 0);

		status = aut__tally_add(db, &automation_id, aut_run_status_name(AUT_RUN_SKIPPED), 1, err);
	}
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_run_waiting(aut_db *db, const char *phase, int64_t now, int64_t limit,
					  int64_t *after_ready_at, aut_uuid *after_id, aut_uuid *out_ids,
					  size_t *out_count, aut_error *err)
{
	aut_value params[] = {
		aut_v_time(*after_ready_at),
		aut_v_uuid(after_id),
		aut_v_time(now),
		aut_v_big(limit),
	};
	aut_rows rows = {0};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &run_wait_next, params, &rows, NULL, err);
	if (status == AUT_OK && rows.count > (size_t) limit)
		status = aut_fail(err, AUT_EINTERNAL, "more runs than asked for");
	for (size_t i = 0; status == AUT_OK && i < rows.count; i++)
	{
		out_ids[i] = aut_rows_uuid(&rows, i, 0);
		status =
			aut_db_run(db, &run_wait_phase,
					   (aut_value[]){aut_v_uuid(&out_ids[i]), aut_v_text(phase)}, NULL, NULL, err);
		*after_ready_at = aut_rows_time(&rows, i, 1);
		*after_id = out_ids[i];
	}
	if (status == AUT_OK)
		*out_count = rows.count;
	aut_rows_done(&rows);
	return status;
}
