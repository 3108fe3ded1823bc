/* SPDX-License-Identifier: MIT */
/*
 * core/store/schedules.c - when each cron automation fires next, and what it missed.
 *
 * The hottest table: one narrow row per cron automation, found by an index over the next fire, so that
 * the cost of a turn is the number of automations that are due, never the number there are.  A row
 * whose next fire is null does not fire (paused, ended) but keeps its history.  Which slot comes next
 * is the schedule room's business; here it is only stored.
 */
#include "core/store/internal.h"

static const aut_stmt schedule_put = {
	.name = "schedule_put",
	.params = "uttT",
	.columns = "",
	.sql = "INSERT INTO automation.schedule (automation_id, expr, timezone, next_fire_at)"
		   " VALUES ($1, $2, $3, $4)"
		   " ON CONFLICT (automation_id) DO UPDATE SET expr = excluded.expr,"
		   " timezone = excluded.timezone, next_fire_at = excluded.next_fire_at",
};

static const aut_stmt schedule_delete = {
	.name = "schedule_delete",
	.params = "u",
	.columns = "",
	.sql = "DELETE FROM automation.schedule WHERE automation_id = $1",
};

/* index: schedule_next_fire_idx */
static const aut_stmt schedule_due = {
	.name = "schedule_due",
	.params = "Tl",
	.columns = "uttT",
	.postgres = "SELECT automation_id, expr, timezone, next_fire_at FROM automation.schedule"
				" WHERE next_fire_at <= $1 ORDER BY next_fire_at LIMIT $2 FOR UPDATE SKIP LOCKED",
	.sqlite = "SELECT automation_id, expr, timezone, next_fire_at FROM automation.schedule"
			  " WHERE next_fire_at <= $1 ORDER BY next_fire_at LIMIT $2",
};

/* index: schedule_next_fire_idx */
static const aut_stmt schedule_next = {
	.name = "schedule_next",
	.params = "",
	.columns = "T",
	.sql = "SELECT next_fire_at FROM automation.schedule WHERE next_fire_at IS NOT NULL"
		   " ORDER BY next_fire_at LIMIT 1",
};

static const aut_stmt schedule_advance = {
	.name = "schedule_advance",
	.params = "uTTT",
	.columns = "",
	.sql = "UPDATE automation.schedule SET last_slot = $2, last_fire_at = $3, next_fire_at = $4"
		   " WHERE automation_id = $1",
};

/* Recorded again, a gap that began at the same time has only grown. */
static const aut_stmt gap_insert = {
	.name = "gap_insert",
	.params = "uTTlT",
	.columns = "",
	.sql =
		"INSERT INTO automation.gap (automation_id, first_missed, last_missed, missed, created_at)"
		" VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (automation_id, first_missed) DO UPDATE SET"
		" last_missed = excluded.last_missed, missed = excluded.missed",
};

const aut_stmt *const aut__schedule_statements[] = {
	&schedule_put,     &schedule_delete, &schedule_due, &schedule_next,
	&schedule_advance, &gap_insert,      NULL,
};

aut_status
aut_store_schedule_put(aut_db *db, const aut_uuid *automation_id, const char *expr,
					   const char *timezone, int64_t next_fire_at, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(automation_id),
		aut_v_text(expr),
		aut_v_text(timezone),
		aut_v_time(next_fire_at),
	};

	return aut_db_run(db, &schedule_put, params, NULL, NULL, err);
}

aut_status
aut_store_schedule_delete(aut_db *db, const aut_uuid *automation_id, aut_error *err)
{
	return aut_db_run(db, &schedule_delete, (aut_value[]){aut_v_uuid(automation_id)}, NULL, NULL,
					  err);
}

void
aut_due_list_done(aut_due_list *list)
{
	if (list == NULL)
		return;
	aut_free(list->items);
	aut_rows_done(&list->rows);
	*list = (aut_due_list){0};
}

static aut_status
read_due(const aut_rows *rows, size_t row, void *out, aut_error *err)
{
	(void) err;
	*(aut_due *) out = (aut_due){
		.automation_id = aut_rows_uuid(rows, row, 0),
		.expr = aut_rows_text(rows, row, 1),
		.timezone = aut_rows_text(rows, row, 2),
		.next_fire_at = aut_rows_time(rows, row, 3),
	};
	return AUT_OK;
}

aut_status
aut_store_schedule_due(aut_db *db, int64_t now, int64_t limit, aut_due_list *out, aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status =
			aut__read_items(db, &schedule_due, (aut_value[]){aut_v_time(now), aut_v_big(limit)},
							sizeof(aut_due), read_due, &rows, &items, err);
	if (status == AUT_OK)
		*out = (aut_due_list){items, rows.count, rows};
	return status;
}

aut_status
aut_store_schedule_next(aut_db *db, int64_t *out, aut_error *err)
{
	return aut__run_time(db, &schedule_next, NULL, out, err);
}

aut_status
aut_store_schedule_advance(aut_db *db, const aut_uuid *automation_id, int64_t slot,
						   int64_t fired_at, int64_t next_fire_at, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	bool found = false;
	aut_value params[] = {
		aut_v_uuid(automation_id),
		aut_v_time(slot),
		aut_v_time(fired_at),
		aut_v_time(next_fire_at),
	};
	aut_status status = aut__run_guarded(db, &schedule_advance, params, &found, err);

	if (status == AUT_OK && !found)
		status = aut_fail(err, AUT_ENOTFOUND, "automation %s has no schedule",
						  aut_uuid_format(automation_id, text));
	return status;
}

aut_status
aut_store_gap_insert(aut_db *db, const aut_uuid *automation_id, int64_t first_missed,
					 int64_t last_missed, int64_t count, int64_t now, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(automation_id), aut_v_time(first_missed), aut_v_time(last_missed),
		aut_v_big(count),          aut_v_time(now),
	};

	return aut_db_run(db, &gap_insert, params, NULL, NULL, err);
}
