/* SPDX-License-Identifier: MIT */
/*
 * core/store/runs.c - making, reading and ending runs.
 *
 * Who may execute a run is claims.c's matter; here is what everybody may do.  A run ends through one
 * statement only (finish), whose guard on the status decides between callback, cancel and watchdog:
 * whoever's UPDATE finds the row first wins, the others are told so and write nothing.
 *
 * No function here decides a rule or reads a clock.
 */
#include <string.h>

#include "core/store/internal.h"

/* ---- statuses ------------------------------------------------------------------------------ */

static const char *const status_names[AUT_RUN_STATUS_COUNT] = {
	[AUT_RUN_PENDING] = "PENDING",     [AUT_RUN_RUNNING] = "RUNNING",
	[AUT_RUN_COMPLETED] = "COMPLETED", [AUT_RUN_FAILED] = "FAILED",
	[AUT_RUN_CANCELLED] = "CANCELLED", [AUT_RUN_SKIPPED] = "SKIPPED",
};

const char *
aut_run_status_name(aut_run_status status)
{
	return (unsigned) status < AUT_RUN_STATUS_COUNT ? status_names[status] : "UNKNOWN";
}

bool
aut_run_status_parse(const char *name, aut_run_status *out)
{
	for (int i = 0; name != NULL && i < AUT_RUN_STATUS_COUNT; i++)
	{
		if (strcmp(name, status_names[i]) == 0)
		{
			*out = (aut_run_status) i;
			return true;
		}
	}
	return false;
}

bool
aut_run_status_terminal(aut_run_status status)
{
	return status != AUT_RUN_PENDING && status != AUT_RUN_RUNNING;
}

/* ---- statements ---------------------------------------------------------------------------- */

/* Without a target, so that the slot's index and the id are both an answer, not an error. */
static const aut_stmt run_insert = {
	.name = "run_insert",
	.params = "uuttTTTujtb",
	.columns = "",
	.sql = "INSERT INTO automation.run"
		   " (id, automation_id, status, trigger_source, scheduled_for, created_at, ready_at,"
		   " trigger_event_id, observability_associations, subject_key, replayed, inline)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, " AUT__INLINE_OF(
			   "$2") ")"
					 " ON CONFLICT DO NOTHING",
};

static const aut_stmt run_input_insert = {
	.name = "run_input_insert",
	.params = "uj",
	.columns = "",
	.sql = "INSERT INTO automation.run_input (run_id, input) VALUES ($1, $2)",
};

static const aut_stmt run_get = {
	.name = "run_get",
	.params = "u",
	.columns = AUT__RUN_TYPES,
	.sql = "SELECT " AUT__RUN_COLUMNS " FROM automation.run AS r WHERE r.id = $1 LIMIT 1",
};

/* index: run_newest_idx; ids are version 7, so their order is the order of creation */
static const aut_stmt run_list = {
	.name = "run_list",
	.params = "ull",
	.columns = AUT__RUN_TYPES,
	.sql = "SELECT " AUT__RUN_COLUMNS " FROM automation.run AS r"
		   " WHERE r.automation_id = $1 ORDER BY r.id DESC LIMIT $2 OFFSET $3",
};

/* index: run_newest_idx */
static const aut_stmt run_list_after = {
	.name = "run_list_after",
	.params = "uul",
	.columns = AUT__RUN_TYPES,
	.sql = "SELECT " AUT__RUN_COLUMNS " FROM automation.run AS r"
		   " WHERE r.automation_id = $1 AND r.id < $2 ORDER BY r.id DESC LIMIT $3",
};

/* Index: the primary key, backwards.  CROSS JOIN keeps SQLite from starting with the automations,
 * which would sort all their runs to show the newest few; PostgreSQL chooses by its statistics. */
static const aut_stmt run_list_org = {
	.name = "run_list_org",
	.params = "ull",
	.columns = AUT__RUN_TYPES,
	.sql =
		"SELECT " AUT__RUN_COLUMNS " FROM automation.run AS r CROSS JOIN automation.automation AS a"
		" WHERE a.id = r.automation_id AND a.org_id = $1 AND a.deleted_at IS NULL"
		" ORDER BY r.id DESC LIMIT $2 OFFSET $3",
};

static const aut_stmt run_list_org_after = {
	.name = "run_list_org_after",
	.params = "uul",
	.columns = AUT__RUN_TYPES,
	.sql =
		"SELECT " AUT__RUN_COLUMNS " FROM automation.run AS r CROSS JOIN automation.automation AS a"
		" WHERE a.id = r.automation_id AND a.org_id = $1 AND a.deleted_at IS NULL AND r.id < $2"
		" ORDER BY r.id DESC LIMIT $3",
};

#define TASK_TYPES AUT__RUN_TYPES "uuttTtjtttttjjibjxb"
#define TASK                                                                                       \
	"SELECT " AUT__RUN_COLUMNS ", a.org_id, a.user_id, a.owner, a.state, a.deleted_at, a.name,"    \
	" a.trigger, a.trigger_type, a.model, a.agent_profile_id, a.tarball_path, a.entrypoint,"       \
	" a.observability_associations, a.preset_metadata, a.timeout_s, a.keep_alive, i.input, "       \
	"e.sealed, a.wait_at_limit"                                                                    \
	" FROM automation.run AS r"                                                                    \
	" JOIN automation.automation AS a ON a.id = r.automation_id"                                   \
	" LEFT JOIN automation.run_input AS i ON i.run_id = r.id"                                      \
	" LEFT JOIN automation.environment AS e ON e.automation_id = r.automation_id"
static const aut_stmt run_task = {
	.name = "run_task",
	.params = "u",
	.columns = TASK_TYPES,
	.sql = TASK " WHERE r.id = $1 LIMIT 1",
};

static const aut_stmt run_tasks = {
	.name = "run_tasks",
	.params = "u",
	.columns = TASK_TYPES,
	.postgres = TASK " WHERE r.id = ANY ($1)",
	.sqlite = TASK " WHERE r.id = $1",
	.each = true,
};

static const aut_stmt run_phase = {
	.name = "run_phase",
	.params = "ut",
	.columns = "",
	.sql = "UPDATE automation.run SET current_phase = $2"
		   " WHERE id = $1 AND status IN ('PENDING', 'RUNNING')",
};

/* cleanup_at is for what a backend holds, and only a run that was RUNNING made it hold something. */
#define FINISH_OF(status, completed_at, error, detail, conversation, cost, exit_code)              \
	"UPDATE automation.run SET"                                                                    \
	" status = " status ","                                                                        \
	" completed_at = " completed_at ","                                                            \
	" error_detail = " error ","                                                                   \
	" status_detail = " detail ","                                                                 \
	" conversation_id = coalesce(" conversation ", run.conversation_id),"                          \
	" cost = coalesce(" cost ", run.cost),"                                                        \
	" exit_code = coalesce(" exit_code ", run.exit_code)"
#define FINISH FINISH_OF("$2", "$3", "$4", "$5", "$6", "$7", "$8")
#define CLEANUP_OF(at)                                                                             \
	", cleanup_at = CASE WHEN run.status = 'RUNNING' THEN " at " ELSE run.cleanup_at END"
#define GUARD_OF(pending, running)                                                                 \
	" AND ((" pending " AND run.status = 'PENDING') OR (" running " AND run.status = 'RUNNING'))"
static const aut_stmt run_finish = {
	.name = "run_finish",
	.params = "utTtjtdiTbb",
	.columns = AUT__RUN_TYPES,
	.sql = FINISH CLEANUP_OF("$9") " WHERE run.id = $1" GUARD_OF(
		"$10", "$11") " RETURNING " AUT__RUN_COLUMNS_OF("run."),
};

/* The same for many. */
#define FINISHED " RETURNING run.id, run.automation_id, run.status"
static const aut_stmt run_finish_each = {
	.name = "run_finish_each",
	.params = "utTtjtdiTbb",
	.columns = "uut",
	.postgres = FINISH_OF("e.status", "e.completed_at", "e.error", "e.detail", "e.conversation",
						  "e.cost", "e.exit_code")
		CLEANUP_OF("e.cleanup_at") " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS e"
								   " (id, status, completed_at, error, detail, conversation, cost, "
								   "exit_code, cleanup_at,"
								   " pending, running) WHERE run.id = e.id" GUARD_OF(
									   "e.pending", "e.running") FINISHED,
	.sqlite = FINISH CLEANUP_OF("$9") " WHERE run.id = $1" GUARD_OF("$10", "$11") FINISHED,
	.each = true,
};

/* The watchdog was wrong. */
static const aut_stmt run_finish_timed_out = {
	.name = "run_finish_timed_out",
	.params = "utTtjtdi",
	.columns = AUT__RUN_TYPES,
	.sql = FINISH
	" WHERE run.id = $1 AND run.status = 'FAILED'"
	" AND substr(run.error_detail, 1, 11) = 'Timed out: ' RETURNING " AUT__RUN_COLUMNS_OF("run."),
};

/* index: run_status_idx */
static const aut_stmt run_skip_pending = {
	.name = "run_skip_pending",
	.params = "ubTtj",
	.columns = "",
	.sql = "UPDATE automation.run SET status = 'SKIPPED', completed_at = $3, error_detail = $4,"
		   " status_detail = $5"
		   " WHERE automation_id = $1 AND status = 'PENDING'"
		   " AND ($2 OR trigger_source IS DISTINCT FROM 'manual')",
};

const aut_stmt *const aut__run_statements[] = {
	&run_insert,      &run_input_insert,   &run_get,
	&run_list,        &run_list_org,       &run_finish_timed_out,
	&run_list_after,  &run_list_org_after, &run_task,
	&run_tasks,       &run_phase,          &run_finish,
	&run_finish_each, &run_skip_pending,   NULL,
};

/* ---- reading ------------------------------------------------------------------------------- */

aut_status
aut__run_read(const aut_rows *rows, size_t row, aut_run *out, aut_error *err)
{
	const char *status = aut_rows_text(rows, row, 2);
	aut_run run = {
		.id = aut_rows_uuid(rows, row, 0),
		.automation_id = aut_rows_uuid(rows, row, 1),
		.trigger_source = aut_rows_text(rows, row, 3),
		.scheduled_for = aut_rows_time(rows, row, 4),
		.ready_at = aut_rows_time(rows, row, 5),
		.attempt = (int) aut_rows_int(rows, row, 6),
		.worker = aut_rows_text(rows, row, 7),
		.bash_command_id = aut_rows_text(rows, row, 8),
		.sandbox_id = aut_rows_text(rows, row, 9),
		.timeout_at = aut_rows_time(rows, row, 10),
		.cleanup_at = aut_rows_time(rows, row, 11),
		.error_detail = aut_rows_text(rows, row, 12),
		.status_detail = aut_rows_text(rows, row, 13),
		.current_phase = aut_rows_text(rows, row, 14),
		.conversation_id = aut_rows_text(rows, row, 15),
		.has_cost = !aut_rows_null(rows, row, 16),
		.cost = aut_rows_real(rows, row, 16),
		.has_exit_code = !aut_rows_null(rows, row, 17),
		.exit_code = (int) aut_rows_int(rows, row, 17),
		.output_bytes = aut_rows_int(rows, row, 18),
		.observability_associations = aut_rows_text(rows, row, 19),
		.run_metadata = aut_rows_text(rows, row, 20),
		.resolved_runtime = aut_rows_text(rows, row, 21),
		.created_at = aut_rows_time(rows, row, 22),
		.started_at = aut_rows_time(rows, row, 23),
		.completed_at = aut_rows_time(rows, row, 24),
		.has_trigger_event = !aut_rows_null(rows, row, 25),
		.trigger_event_id = aut_rows_uuid(rows, row, 25),
		.subject_key = aut_rows_text(rows, row, 26),
		.replayed = aut_rows_bool(rows, row, 27),
	};

	if (!aut_run_status_parse(status, &run.status))
		return aut_fail(err, AUT_ECORRUPT, "a run has the unknown status %s",
						status == NULL ? "null" : status);
	*out = run;
	return AUT_OK;
}

void
aut_run_list_done(aut_run_list *list)
{
	if (list == NULL)
		return;
	aut_free(list->items);
	aut_rows_done(&list->rows);
	*list = (aut_run_list){0};
}

static aut_status
read_one(const aut_rows *rows, size_t row, void *out, aut_error *err)
{
	return aut__run_read(rows, row, out, err);
}

aut_status
aut__read_runs(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_run_list *out,
			   aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status =
		aut__read_items(db, stmt, params, sizeof(aut_run), read_one, &rows, &items, err);

	if (status == AUT_OK)
		*out = (aut_run_list){items, rows.count, rows};
	return status;
}

aut_status
aut_store_run_get(aut_db *db, const aut_uuid *id, aut_run_list *out, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	aut_run_list list = {0};
	aut_status status = aut__read_runs(db, &run_get, (aut_value[]){aut_v_uuid(id)}, &list, err);

	if (status == AUT_OK && list.count == 0)
	{
		status = aut_fail(err, AUT_ENOTFOUND, "run %s not found", aut_uuid_format(id, text));
		aut_run_list_done(&list);
	}
	if (status == AUT_OK)
		*out = list;
	return status;
}

aut_status
aut_store_run_list(aut_db *db, const aut_uuid *automation_id, int64_t limit, int64_t offset,
				   aut_run_list *out, aut_error *err)
{
	aut_status status = aut__check_window(limit, offset, err);

	if (status != AUT_OK)
		return status;
	return aut__read_runs(
		db, &run_list,
		(aut_value[]){aut_v_uuid(automation_id), aut_v_big(limit), aut_v_big(offset)}, out, err);
}

aut_status
aut_store_run_list_org(aut_db *db, const aut_uuid *org_id, int64_t limit, int64_t offset,
					   aut_run_list *out, aut_error *err)
{
	aut_status status = aut__check_window(limit, offset, err);

	if (status != AUT_OK)
		return status;
	return aut__read_runs(db, &run_list_org,
						  (aut_value[]){aut_v_uuid(org_id), aut_v_big(limit), aut_v_big(offset)},
						  out, err);
}

/* Both _after lists: an owner of the runs, a place, a limit. */
static aut_status
list_after(aut_db *db, const aut_stmt *stmt, const aut_uuid *owner, const aut_uuid *after,
		   int64_t limit, aut_run_list *out, aut_error *err)
{
	aut_value params[] = {aut_v_uuid(owner), aut_v_uuid(after), aut_v_big(limit)};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut__read_runs(db, stmt, params, out, err);
	return status;
}

aut_status
aut_store_run_list_after(aut_db *db, const aut_uuid *automation_id, const aut_uuid *after,
						 int64_t limit, aut_run_list *out, aut_error *err)
{
	return list_after(db, &run_list_after, automation_id, after, limit, out, err);
}

aut_status
aut_store_run_list_org_after(aut_db *db, const aut_uuid *org_id, const aut_uuid *after,
							 int64_t limit, aut_run_list *out, aut_error *err)
{
	return list_after(db, &run_list_org_after, org_id, after, limit, out, err);
}

void
aut_run_task_done(aut_run_task *task)
{
	if (task == NULL)
		return;
	aut_rows_done(&task->rows);
	*task = (aut_run_task){0};
}

/* Takes rows over, also when it fails. */
static aut_status
read_task(aut_rows *take_rows, aut_run_task *out, aut_error *err)
{
	aut_run_task task = {.rows = *take_rows};
	const aut_rows *rows = &task.rows;
	size_t at = AUT__RUN_WIDTH;
	aut_status status = aut__run_read(rows, 0, &task.run, err);

	*take_rows = (aut_rows){0};
	if (status != AUT_OK)
	{
		aut_run_task_done(&task);
		return status;
	}
	task.org_id = aut_rows_uuid(rows, 0, at++);
	task.user_id = aut_rows_uuid(rows, 0, at++);
	task.owner = aut_rows_text(rows, 0, at++);
	task.automation_state = aut_rows_text(rows, 0, at++);
	task.automation_deleted_at = aut_rows_time(rows, 0, at++);
	task.automation_name = aut_rows_text(rows, 0, at++);
	task.trigger = aut_rows_text(rows, 0, at++);
	task.trigger_type = aut_rows_text(rows, 0, at++);
	task.model = aut_rows_text(rows, 0, at++);
	task.agent_profile_id = aut_rows_text(rows, 0, at++);
	task.tarball_path = aut_rows_text(rows, 0, at++);
	task.entrypoint = aut_rows_text(rows, 0, at++);
	task.observability_associations = aut_rows_text(rows, 0, at++);
	task.preset_metadata = aut_rows_text(rows, 0, at++);
	task.timeout_s = aut_rows_int(rows, 0, at++);
	task.has_keep_alive = !aut_rows_null(rows, 0, at);
	task.keep_alive = aut_rows_bool(rows, 0, at++);
	task.input = aut_rows_text(rows, 0, at++);
	if (!aut_rows_null(rows, 0, at))
	{
		task.environment = aut_rows_at(rows, 0, at)->data;
		task.environment_len = aut_rows_at(rows, 0, at)->len;
	}
	task.waits_at_limit = aut_rows_bool(rows, 0, ++at);
	*out = task;
	return AUT_OK;
}

aut_status
aut_store_run_task(aut_db *db, const aut_uuid *run_id, aut_run_task *out, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	aut_rows rows = {0};
	aut_status status =
		aut_db_run(db, &run_task, (aut_value[]){aut_v_uuid(run_id)}, &rows, NULL, err);

	if (status == AUT_OK && rows.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "run %s not found", aut_uuid_format(run_id, text));
	if (status == AUT_OK)
		status = read_task(&rows, out, err);
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_run_tasks(aut_db *db, const aut_uuid *ids, size_t count, aut_run_task *out,
					size_t *out_count, aut_error *err)
{
	aut_rows rows = {0};
	void *params = NULL;
	aut__index *index = NULL;
	aut_status status = aut__items_alloc(count, sizeof(aut_value), &params, err);

	*out_count = 0;
	for (size_t i = 0; status == AUT_OK && i < count; i++)
		((aut_value *) params)[i] = aut_v_uuid(&ids[i]);
	if (status == AUT_OK)
		status = aut_db_run_each(db, &run_tasks, params, count, &rows, NULL, err);
	if (status == AUT_OK)
		status = aut__index_rows(&rows, &index, err);
	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		aut_rows one = {0};
		size_t row;

		if (!aut__index_find(index, rows.count, &ids[i], &row))
			continue;
		status = aut__rows_copy(&rows, row, TASK_TYPES, &one, err);
		if (status == AUT_OK)
			status = read_task(&one, &out[*out_count], err);
		if (status == AUT_OK)
			++*out_count;
	}
	aut_free(index);
	aut_free(params);
	aut_rows_done(&rows);
	return status;
}

/* ---- writing ------------------------------------------------------------------------------- */

aut_status
aut_store_run_insert(aut_db *db, const aut_run_new *run, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	bool inserted = false;
	aut_value params[] = {
		aut_v_uuid(&run->id),
		aut_v_uuid(&run->automation_id),
		aut_v_text(aut_run_status_name(AUT_RUN_PENDING)),
		aut_v_text(run->trigger_source),
		aut_v_time(run->scheduled_for),
		aut_v_time(run->created_at),
		aut_v_time(run->ready_at),
		aut_v_uuid(run->trigger_event_id),
		aut_v_json(run->observability_associations),
		aut_v_text(run->subject_key),
		aut_v_bool(run->replayed),
	};
	aut_status status = aut__run_guarded(db, &run_insert, params, &inserted, err);

	if (status != AUT_OK)
		return status;
	if (!inserted)
		return aut_fail(err, AUT_EUNIQUE, "automation %s has a run for that time already",
						aut_uuid_format(&run->automation_id, text));
	db->ready_runs += run->ready_at <= run->created_at;
	if (run->input == NULL)
		return AUT_OK;
	return aut_db_run(db, &run_input_insert,
					  (aut_value[]){aut_v_uuid(&run->id), aut_v_json(run->input)}, NULL, NULL, err);
}

aut_status
aut_store_run_phase(aut_db *db, const aut_uuid *id, const char *phase, bool *out_won,
					aut_error *err)
{
	return aut__run_guarded(db, &run_phase, (aut_value[]){aut_v_uuid(id), aut_v_text(phase)},
							out_won, err);
}

/* One of the two ways to an end, counted. */
static aut_status
finish(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_run_list *out, aut_error *err)
{
	aut_status status = aut__read_runs(db, stmt, params, out, err);

	if (status == AUT_OK && out->count > 0)
		status = aut__tally_add(db, &out->items[0].automation_id, params[1].data, 1, err);
	if (status == AUT_OK && out->count > 0 && stmt == &run_finish_timed_out)
		status = aut__tally_add(db, &out->items[0].automation_id,
								aut_run_status_name(AUT_RUN_FAILED), -1, err);
	return status;
}

#define FINISH_PARAMS 11

static void
finish_params(const aut_run_end *end, aut_value out[FINISH_PARAMS])
{
	const aut_value params[FINISH_PARAMS] = {
		aut_v_uuid(&end->id),
		aut_v_text(aut_run_status_name(end->status)),
		aut_v_time(end->completed_at),
		aut_v_text(end->error_detail),
		aut_v_json(end->status_detail),
		aut_v_text(end->conversation_id),
		end->has_cost ? aut_v_real(end->cost) : aut_v_null('d'),
		end->has_exit_code ? aut_v_int(end->exit_code) : aut_v_null('i'),
		aut_v_time(end->cleanup_at),
		aut_v_bool(end->from_pending),
		aut_v_bool(end->from_running),
	};

	memcpy(out, params, sizeof(params));
}

aut_status
aut_store_run_finish_get(aut_db *db, const aut_run_end *end, aut_run_list *out, aut_error *err)
{
	aut_value params[FINISH_PARAMS];
	aut_run_list list = {0};
	aut_status status;

	AUT_CHECK(aut_run_status_terminal(end->status));
	finish_params(end, params);
	status = finish(db, &run_finish, params, &list, err);

	if (status == AUT_OK && list.count == 0 && end->from_timed_out)
	{
		aut_run_list_done(&list);
		status = finish(db, &run_finish_timed_out, params, &list, err);
	}
	if (status == AUT_OK)
		*out = list;
	else
		aut_run_list_done(&list);
	return status;
}

aut_status
aut_store_run_finish(aut_db *db, const aut_run_end *end, bool *out_won, aut_error *err)
{
	aut_run_list list = {0};
	aut_status status = aut_store_run_finish_get(db, end, &list, err);

	if (status == AUT_OK && out_won != NULL)
		*out_won = list.count > 0;
	aut_run_list_done(&list);
	return status;
}

aut_status
aut_store_run_finish_each(aut_db *db, const aut_run_end *ends, size_t count, bool *out_won,
						  aut_error *err)
{
	aut_rows rows = {0};
	void *params = NULL;
	aut__index *index = NULL;
	aut_status status;

	for (size_t i = 0; i < count; i++)
		AUT_CHECK(aut_run_status_terminal(ends[i].status));
	status = aut__items_alloc(count, FINISH_PARAMS * sizeof(aut_value), &params, err);
	for (size_t i = 0; status == AUT_OK && i < count; i++)
		finish_params(&ends[i], (aut_value *) params + i * FINISH_PARAMS);
	if (status == AUT_OK)
		status = aut_db_run_each(db, &run_finish_each, params, count, &rows, NULL, err);
	if (status == AUT_OK)
		status = aut__tally_add_each(db, &rows, err);
	if (status == AUT_OK)
		status = aut__index_rows(&rows, &index, err);
	for (size_t i = 0; status == AUT_OK && i < count; i++)
		out_won[i] = aut__index_find(index, rows.count, &ends[i].id, NULL);
	aut_free(index);
	aut_free(params);
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_run_skip_pending(aut_db *db, const aut_uuid *automation_id, bool manual_too, int64_t now,
						   const char *error_detail, const char *status_detail, int64_t *out_count,
						   aut_error *err)
{
	int64_t affected = 0;
	aut_value params[] = {
		aut_v_uuid(automation_id), aut_v_bool(manual_too),    aut_v_time(now),
		aut_v_text(error_detail),  aut_v_json(status_detail),
	};
	aut_status status = aut_db_run(db, &run_skip_pending, params, NULL, &affected, err);

	if (status == AUT_OK && affected > 0)
		status =
			aut__tally_add(db, automation_id, aut_run_status_name(AUT_RUN_SKIPPED), affected, err);
	if (status == AUT_OK && out_count != NULL)
		*out_count = affected;
	return status;
}
