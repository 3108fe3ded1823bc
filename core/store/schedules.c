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

#define DUE                                                                                        \
	"SELECT automation_id, expr, timezone, next_fire_at FROM automation.schedule"                  \
	" WHERE next_fire_at <= $1"
#define EARLIEST DUE " ORDER BY next_fire_at LIMIT $2"
#define LATEST   DUE " AND next_fire_at > $3 ORDER BY next_fire_at DESC LIMIT $2"
/* index: schedule_next_fire_idx */
static const aut_stmt schedule_due = {
	.name = "schedule_due",
	.params = "Tl",
	.columns = "uttT",
	.postgres = EARLIEST " FOR UPDATE SKIP LOCKED",
	.sqlite = EARLIEST,
};

/* index: schedule_next_fire_idx, backwards */
static const aut_stmt schedule_due_latest = {
	.name = "schedule_due_latest",
	.params = "TlT",
	.columns = "uttT",
	.postgres = LATEST " FOR UPDATE SKIP LOCKED",
	.sqlite = LATEST,
};

/* index: schedule_next_fire_idx */
static const aut_stmt schedule_next = {
	.name = "schedule_next",
	.params = "",
	.columns = "T",
	.sql = "SELECT next_fire_at FROM automation.schedule WHERE next_fire_at IS NOT NULL"
		   " ORDER BY next_fire_at LIMIT 1",
};

/* What a batch of fires makes and moves.  The run without a target, like run_insert: a slot that has fired is an
 * answer, not an error. */
#define RUN_OF_FIRE(values)                                                                        \
	"INSERT INTO automation.run (id, automation_id, status, trigger_source, scheduled_for,"        \
	" created_at, ready_at, inline) " values " ON CONFLICT DO NOTHING"
#define RUN_VALUES(id, automation, slot, now)                                                      \
	id ", " automation ", 'PENDING', 'cron', " slot ", " now ", " now                              \
	   ", " AUT__INLINE_OF(automation)
static const aut_stmt schedule_run = {
	.name = "schedule_run",
	.params = "uuTT",
	.columns = "",
	.postgres = RUN_OF_FIRE("SELECT " RUN_VALUES(
		"e.id", "e.automation", "e.slot",
		"e.now") " FROM unnest($1, $2, $3, $4) AS e (id, automation, slot, now)"),
	.sqlite = RUN_OF_FIRE("VALUES (" RUN_VALUES("$1", "$2", "$3", "$4") ")"),
	.each = true,
};

#define ADVANCE(automation, slot, now, next, from)                                                 \
	"UPDATE automation.schedule SET last_slot = " slot ", last_fire_at = " now                     \
	", next_fire_at = " next from " WHERE automation_id = " automation
static const aut_stmt schedule_advance = {
	.name = "schedule_advance",
	.params = "uTTT",
	.columns = "",
	.postgres = ADVANCE("e.automation", "e.slot", "e.now", "e.next",
						" FROM unnest($1, $2, $3, $4) AS e (automation, slot, now, next)"),
	.sqlite = ADVANCE("$1", "$2", "$3", "$4", ""),
	.each = true,
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
	&schedule_put,        &schedule_delete, &schedule_due,
	&schedule_due_latest, &schedule_next,   &schedule_run,
	&schedule_advance,    &gap_insert,      NULL,
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

static aut_status
find_due(aut_db *db, const aut_stmt *stmt, const aut_value *params, int64_t limit,
		 aut_due_list *out, aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut__read_items(db, stmt, params, sizeof(aut_due), read_due, &rows, &items, err);
	if (status == AUT_OK)
		*out = (aut_due_list){items, rows.count, rows};
	return status;
}

aut_status
aut_store_schedule_due(aut_db *db, int64_t now, int64_t limit, aut_due_list *out, aut_error *err)
{
	return find_due(db, &schedule_due, (aut_value[]){aut_v_time(now), aut_v_big(limit)}, limit, out,
					err);
}

aut_status
aut_store_schedule_due_latest(aut_db *db, int64_t now, int64_t after, int64_t limit,
							  aut_due_list *out, aut_error *err)
{
	return find_due(db, &schedule_due_latest,
					(aut_value[]){aut_v_time(now), aut_v_big(limit), aut_v_time(after)}, limit, out,
					err);
}

aut_status
aut_store_schedule_next(aut_db *db, int64_t *out, aut_error *err)
{
	return aut__run_time(db, &schedule_next, NULL, out, err);
}

aut_status
aut_store_schedule_fire(aut_db *db, const aut_fire *fires, size_t count, int64_t now,
						size_t *out_runs, aut_error *err)
{
	void *items = NULL;
	aut_value *params;
	int64_t made = 0, moved = 0;
	aut_status status = aut__items_alloc(count, 4 * sizeof(aut_value), &items, err);

	if (status != AUT_OK)
		return status;
	params = items;
	for (size_t i = 0; i < count; i++)
	{
		params[4 * i] = aut_v_uuid(&fires[i].run_id);
		params[4 * i + 1] = aut_v_uuid(&fires[i].automation_id);
		params[4 * i + 2] = aut_v_time(fires[i].slot);
		params[4 * i + 3] = aut_v_time(now);
	}
	status = aut_db_run_each(db, &schedule_run, params, count, NULL, &made, err);
	for (size_t i = 0; i < count; i++)
	{
		params[4 * i] = aut_v_uuid(&fires[i].automation_id);
		params[4 * i + 1] = aut_v_time(fires[i].slot);
		params[4 * i + 2] = aut_v_time(now);
		params[4 * i + 3] = aut_v_time(fires[i].next_fire_at);
	}
	if (status == AUT_OK)
		status = aut_db_run_each(db, &schedule_advance, params, count, NULL, &moved, err);
	if (status == AUT_OK && moved != (int64_t) count)
		status = aut_fail(err, AUT_ENOTFOUND, "%lld of %zu automations have no schedule",
						  (long long) ((int64_t) count - moved), count);
	if (status == AUT_OK)
	{
		*out_runs = (size_t) made;
		db->ready_runs += (uint64_t) made;
	}
	aut_free(items);
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
