/* SPDX-License-Identifier: MIT */
/*
 * core/store/tally.c - how many runs of an automation ended how.
 *
 * A page of runs says how many there are in each status.  Those that have not ended are few and counted
 * from their index; those that have ended may be millions and are kept as a sum, changed by the statements
 * that end runs (runs.c, policy.c) and by retention that takes them away, in the same transaction.
 *
 * In PostgreSQL many sessions end runs at once, each in a transaction that may stay open for long, and must
 * not wait for each other: every backend adds to rows of its own (slot = its process id).  The janitor
 * folds the rows of backends that are gone into slot 0.  A process id that is used again only goes on with
 * the row of its predecessor.
 */
#include <stdlib.h>
#include <string.h>

#include "core/store/internal.h"

#define ADD(values)                                                                                \
	"INSERT INTO automation.run_tally AS t (automation_id, status, slot, runs) " values            \
	" ON CONFLICT (automation_id, status, slot) DO UPDATE SET runs = t.runs + excluded.runs"
static const aut_stmt tally_add = {
	.name = "tally_add",
	.params = "utl",
	.columns = "",
	.postgres =
		ADD("SELECT a, s, pg_catalog.pg_backend_pid(), n FROM unnest($1, $2, $3) AS e (a, s, n)"),
	.sqlite = ADD("VALUES ($1, $2, 0, $3)"),
	.each = true,
};

/* Index: run_status_idx for those that have not ended, the primary key for the sums. */
#define COUNTS(type)                                                                               \
	"SELECT status, count(*) FROM automation.run"                                                  \
	" WHERE automation_id = $1 AND status IN ('PENDING', 'RUNNING') GROUP BY status"               \
	" UNION ALL SELECT status, sum(runs)" type " FROM automation.run_tally"                        \
	" WHERE automation_id = $1 GROUP BY status LIMIT 6"
static const aut_stmt run_counts = {
	.name = "run_counts",
	.params = "u",
	.columns = "tl",
	.postgres = COUNTS("::bigint"),
	.sqlite = COUNTS(""),
};

/* Index: run_tally_slot_idx.  The sums of SQLite are in slot 0 from the beginning. */
static const aut_stmt tally_fold = {
	.name = "tally_fold",
	.params = "l",
	.columns = "l",
	.postgres =
		"WITH gone AS (DELETE FROM automation.run_tally WHERE (automation_id, status, slot) IN"
		" (SELECT t.automation_id, t.status, t.slot FROM automation.run_tally AS t"
		" WHERE t.slot <> 0 AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_get_activity(NULL) AS "
		"b"
		" WHERE b.pid = t.slot) LIMIT $1 FOR UPDATE OF t SKIP LOCKED)"
		" RETURNING automation_id, status, runs),"
		" added AS (INSERT INTO automation.run_tally AS t (automation_id, status, slot, runs)"
		" SELECT automation_id, status, 0, sum(runs) FROM gone GROUP BY automation_id, status"
		" ON CONFLICT (automation_id, status, slot) DO UPDATE SET runs = t.runs + excluded.runs)"
		" SELECT count(*) FROM gone",
	.sqlite = "SELECT count(*) FROM automation.run_tally WHERE slot <> 0 LIMIT $1",
};

const aut_stmt *const aut__tally_statements[] = {&tally_add, &run_counts, &tally_fold, NULL};

aut_status
aut__tally_add(aut_db *db, const aut_uuid *automation_id, const char *run_status, int64_t count,
			   aut_error *err)
{
	return aut_db_run_each(
		db, &tally_add,
		(aut_value[]){aut_v_uuid(automation_id), aut_v_text(run_status), aut_v_big(count)}, 1, NULL,
		NULL, err);
}

typedef struct ended
{
	aut_uuid automation_id;
	const char *status;
} ended;

static int
compare_ended(const void *a, const void *b)
{
	const ended *left = a, *right = b;
	int order = memcmp(left->automation_id.bytes, right->automation_id.bytes, sizeof(aut_uuid));

	return order != 0 ? order : strcmp(left->status, right->status);
}

aut_status
aut__tally_add_each(aut_db *db, const aut_rows *rows, aut_error *err)
{
	void *items = NULL, *params = NULL;
	ended *list;
	size_t sums = 0;
	aut_status status = aut__items_alloc(rows->count, sizeof(ended), &items, err);

	if (status == AUT_OK)
		status = aut__items_alloc(rows->count, 3 * sizeof(aut_value), &params, err);
	if (status != AUT_OK || rows->count == 0)
		goto out;
	list = items;
	for (size_t i = 0; i < rows->count; i++)
		list[i] = (ended){aut_rows_uuid(rows, i, 1), aut_rows_text(rows, i, 2)};
	qsort(list, rows->count, sizeof(ended), compare_ended);
	for (size_t i = 0; i < rows->count; i++)
	{
		aut_value *sum = (aut_value *) params + 3 * sums;

		if (i > 0 && compare_ended(&list[i - 1], &list[i]) == 0)
		{
			sum[-1].integer++; /* the last one's count */
			continue;
		}
		sum[0] = aut_v_uuid(&list[i].automation_id);
		sum[1] = aut_v_text(list[i].status);
		sum[2] = aut_v_big(1);
		sums++;
	}
	status = aut_db_run_each(db, &tally_add, params, sums, NULL, NULL, err);
out:
	aut_free(items);
	aut_free(params);
	return status;
}

aut_status
aut_store_run_counts(aut_db *db, const aut_uuid *automation_id,
					 int64_t out_counts[AUT_RUN_STATUS_COUNT], aut_error *err)
{
	int64_t counts[AUT_RUN_STATUS_COUNT] = {0};
	aut_rows rows = {0};
	aut_status status =
		aut_db_run(db, &run_counts, (aut_value[]){aut_v_uuid(automation_id)}, &rows, NULL, err);

	for (size_t i = 0; status == AUT_OK && i < rows.count; i++)
	{
		aut_run_status of;

		if (aut_run_status_parse(aut_rows_text(&rows, i, 0), &of))
			counts[of] = aut_rows_int(&rows, i, 1);
	}
	if (status == AUT_OK)
		memcpy(out_counts, counts, sizeof(counts));
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_tally_fold(aut_db *db, int64_t limit, int64_t *out_count, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &tally_fold, (aut_value[]){aut_v_big(limit)}, &rows, NULL, err);
	if (status == AUT_OK)
		*out_count = aut_rows_int(&rows, 0, 0);
	aut_rows_done(&rows);
	return status;
}
