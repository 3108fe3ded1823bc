/* SPDX-License-Identifier: MIT */
/*
 * core/store/sandboxes.c - the statements of the sandbox ledger (include/automation/sandboxes.h).
 *
 * The table is small: a row lives as long as its sandbox.
 */
#include "automation/sandboxes.h"
#include "core/store/internal.h"

#define COLUMNS                                                                                    \
	"id, run_id, org_id, user_id, sandbox_id, state, note, tries, created_at, due_at, delete_at"
#define TYPES "uuuutttiTTT"

static const aut_stmt sandbox_insert = {
	.name = "sandbox_insert",
	.params = "uuuuttT",
	.columns = "",
	.sql = "INSERT INTO automation.sandbox (id, run_id, org_id, user_id, sandbox_id, state, "
		   "created_at)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7)",
};

/* index: sandbox_run_idx */
static const aut_stmt sandbox_of_run = {
	.name = "sandbox_of_run",
	.params = "u",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS " FROM automation.sandbox WHERE run_id = $1"
		   " AND state IN ('CREATING', 'STARTING', 'READY') ORDER BY id DESC LIMIT 100",
};

static const aut_stmt sandbox_created = {
	.name = "sandbox_created",
	.params = "ut",
	.columns = "",
	.sql = "UPDATE automation.sandbox SET sandbox_id = $2, state = 'STARTING' WHERE id = $1",
};

static const aut_stmt sandbox_set = {
	.name = "sandbox_set",
	.params = "utTTt",
	.columns = "",
	.sql = "UPDATE automation.sandbox SET state = $2, due_at = $3, delete_at = $4,"
		   " note = coalesce($5, note), tries = 0 WHERE id = $1",
};

/* index: sandbox_run_idx */
static const aut_stmt sandbox_release = {
	.name = "sandbox_release",
	.params = "utTT",
	.columns = "",
	.sql = "UPDATE automation.sandbox SET state = $2, due_at = $3, delete_at = $4"
		   " WHERE run_id = $1 AND state IN ('STARTING', 'READY')",
};

/* index: sandbox_due_idx */
static const aut_stmt sandbox_due = {
	.name = "sandbox_due",
	.params = "Tl",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS " FROM automation.sandbox WHERE due_at <= $1"
		   " ORDER BY due_at, id LIMIT $2",
};

static const aut_stmt sandbox_take = {
	.name = "sandbox_take",
	.params = "uTT",
	.columns = "",
	.sql = "UPDATE automation.sandbox SET due_at = $3 WHERE id = $1 AND due_at = $2",
};

static const aut_stmt sandbox_recall = {
	.name = "sandbox_recall",
	.params = "T",
	.columns = "",
	.sql = "UPDATE automation.sandbox SET due_at = $1 WHERE state = 'RELEASED' AND due_at > $1"
		   " AND (delete_at <= $1 OR due_at < delete_at)",
};

static const aut_stmt sandbox_again = {
	.name = "sandbox_again",
	.params = "uTt",
	.columns = "",
	.sql = "UPDATE automation.sandbox SET due_at = $2, tries = tries + 1, note = coalesce($3, note)"
		   " WHERE id = $1",
};

/* index: sandbox_due_idx */
static const aut_stmt sandbox_next_due = {
	.name = "sandbox_next_due",
	.params = "",
	.columns = "T",
	.sql = "SELECT due_at FROM automation.sandbox WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1",
};

static const aut_stmt sandbox_delete = {
	.name = "sandbox_delete",
	.params = "u",
	.columns = "",
	.sql = "DELETE FROM automation.sandbox WHERE id = $1",
};

#define NOBODY                                                                                     \
	" NOT EXISTS (SELECT 1 FROM automation.run AS r WHERE r.id = run_id"                           \
	" AND (r.status IN ('PENDING', 'RUNNING') OR r.cleanup_at IS NOT NULL))"

static const aut_stmt sandbox_sweep_released = {
	.name = "sandbox_sweep_released",
	.params = "T",
	.columns = "",
	.sql = "UPDATE automation.sandbox SET state = 'RELEASED', due_at = $1, delete_at = $1"
		   " WHERE state IN ('STARTING', 'READY') AND" NOBODY,
};

static const aut_stmt sandbox_sweep_lost = {
	.name = "sandbox_sweep_lost",
	.params = "Tt",
	.columns = "",
	.sql = "UPDATE automation.sandbox SET state = 'LOST', note = $2"
		   " WHERE state = 'CREATING' AND created_at < $1 AND" NOBODY,
};

static const aut_stmt sandbox_forget = {
	.name = "sandbox_forget",
	.params = "Tl",
	.columns = "",
	.sql = "DELETE FROM automation.sandbox WHERE id IN (SELECT id FROM automation.sandbox"
		   " WHERE state IN ('KEPT', 'LOST') AND created_at < $1 ORDER BY created_at LIMIT $2)",
};

static const aut_stmt sandbox_summary = {
	.name = "sandbox_summary",
	.params = "",
	.columns = "tlTi",
	.sql = "SELECT state, count(*), min(created_at), max(tries) FROM automation.sandbox"
		   " GROUP BY state ORDER BY state LIMIT 10",
};

const aut_stmt *const aut__sandbox_statements[] = {
	&sandbox_insert,     &sandbox_of_run,   &sandbox_created, &sandbox_set,
	&sandbox_release,    &sandbox_due,      &sandbox_take,    &sandbox_recall,
	&sandbox_again,      &sandbox_next_due, &sandbox_delete,  &sandbox_sweep_released,
	&sandbox_sweep_lost, &sandbox_forget,   &sandbox_summary, NULL,
};

void
aut_sandbox_list_done(aut_sandbox_list *list)
{
	if (list == NULL)
		return;
	aut_free(list->items);
	aut_rows_done(&list->rows);
	*list = (aut_sandbox_list){0};
}

static aut_status
read_one(const aut_rows *rows, size_t row, void *out, aut_error *err)
{
	(void) err;
	*(aut_sandbox *) out = (aut_sandbox){
		.id = aut_rows_uuid(rows, row, 0),
		.run_id = aut_rows_uuid(rows, row, 1),
		.org_id = aut_rows_uuid(rows, row, 2),
		.user_id = aut_rows_uuid(rows, row, 3),
		.sandbox_id = aut_rows_text(rows, row, 4),
		.state = aut_rows_text(rows, row, 5),
		.note = aut_rows_text(rows, row, 6),
		.tries = aut_rows_int(rows, row, 7),
		.created_at = aut_rows_time(rows, row, 8),
		.due_at = aut_rows_time(rows, row, 9),
		.delete_at = aut_rows_time(rows, row, 10),
	};
	return AUT_OK;
}

static aut_status
read_list(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_sandbox_list *out,
		  aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status =
		aut__read_items(db, stmt, params, sizeof(aut_sandbox), read_one, &rows, &items, err);

	if (status == AUT_OK)
		*out = (aut_sandbox_list){items, rows.count, rows};
	return status;
}

aut_status
aut_store_sandbox_insert(aut_db *db, const aut_sandbox *sandbox, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(&sandbox->id),        aut_v_uuid(&sandbox->run_id),
		aut_v_uuid(&sandbox->org_id),    aut_v_uuid(&sandbox->user_id),
		aut_v_text(sandbox->sandbox_id), aut_v_text(sandbox->state),
		aut_v_time(sandbox->created_at),
	};

	return aut_db_run(db, &sandbox_insert, params, NULL, NULL, err);
}

aut_status
aut_store_sandbox_of_run(aut_db *db, const aut_uuid *run_id, aut_sandbox_list *out, aut_error *err)
{
	return read_list(db, &sandbox_of_run, (aut_value[]){aut_v_uuid(run_id)}, out, err);
}

aut_status
aut_store_sandbox_created(aut_db *db, const aut_uuid *id, const char *sandbox_id, aut_error *err)
{
	aut_value params[] = {aut_v_uuid(id), aut_v_text(sandbox_id)};

	return aut_db_run(db, &sandbox_created, params, NULL, NULL, err);
}

aut_status
aut_store_sandbox_set(aut_db *db, const aut_uuid *id, const char *state, int64_t due_at,
					  int64_t delete_at, const char *note, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(id),        aut_v_text(state), aut_v_time(due_at),
		aut_v_time(delete_at), aut_v_text(note),
	};

	return aut_db_run(db, &sandbox_set, params, NULL, NULL, err);
}

aut_status
aut_store_sandbox_release(aut_db *db, const aut_uuid *run_id, const char *state, int64_t due_at,
						  int64_t delete_at, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(run_id),
		aut_v_text(state),
		aut_v_time(due_at),
		aut_v_time(delete_at),
	};

	return aut_db_run(db, &sandbox_release, params, NULL, NULL, err);
}

aut_status
aut_store_sandbox_due(aut_db *db, int64_t now, int64_t limit, aut_sandbox_list *out, aut_error *err)
{
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status =
			read_list(db, &sandbox_due, (aut_value[]){aut_v_time(now), aut_v_big(limit)}, out, err);
	return status;
}

aut_status
aut_store_sandbox_take(aut_db *db, const aut_uuid *id, int64_t from, int64_t to, bool *out_won,
					   aut_error *err)
{
	aut_value params[] = {aut_v_uuid(id), aut_v_time(from), aut_v_time(to)};

	return aut__run_guarded(db, &sandbox_take, params, out_won, err);
}

aut_status
aut_store_sandbox_recall(aut_db *db, int64_t now, aut_error *err)
{
	return aut_db_run(db, &sandbox_recall, (aut_value[]){aut_v_time(now)}, NULL, NULL, err);
}

aut_status
aut_store_sandbox_again(aut_db *db, const aut_uuid *id, int64_t due_at, const char *note,
						aut_error *err)
{
	aut_value params[] = {aut_v_uuid(id), aut_v_time(due_at), aut_v_text(note)};

	return aut_db_run(db, &sandbox_again, params, NULL, NULL, err);
}

aut_status
aut_store_sandbox_next_due(aut_db *db, int64_t *out, aut_error *err)
{
	return aut__run_time(db, &sandbox_next_due, NULL, out, err);
}

aut_status
aut_store_sandbox_delete(aut_db *db, const aut_uuid *id, aut_error *err)
{
	return aut_db_run(db, &sandbox_delete, (aut_value[]){aut_v_uuid(id)}, NULL, NULL, err);
}

aut_status
aut_store_sandbox_sweep(aut_db *db, int64_t now, int64_t before, int64_t *out_released,
						int64_t *out_lost, aut_error *err)
{
	aut_value lost[] = {
		aut_v_time(before),
		aut_v_text("the answer to its creation was lost with the process that asked for it"),
	};
	aut_status status = aut_db_run(db, &sandbox_sweep_released, (aut_value[]){aut_v_time(now)},
								   NULL, out_released, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &sandbox_sweep_lost, lost, NULL, out_lost, err);
	return status;
}

aut_status
aut_store_sandbox_forget(aut_db *db, int64_t before, int64_t limit, int64_t *out_count,
						 aut_error *err)
{
	aut_value params[] = {aut_v_time(before), aut_v_big(limit)};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &sandbox_forget, params, NULL, out_count, err);
	return status;
}

aut_status
aut_store_sandbox_summary(aut_db *db, aut_rows *out, aut_error *err)
{
	return aut_db_run(db, &sandbox_summary, NULL, out, NULL, err);
}
