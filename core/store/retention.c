/* SPDX-License-Identifier: MIT */
/*
 * core/store/retention.c - what has been kept long enough.
 *
 * Each function takes away one batch, oldest first, and says whether it was a full one.  Only runs that
 * have ended and hold nothing on a backend go, with their input and output; a batch of runs also ends
 * when enough bytes of output have gone with it, so that it stays a short transaction.  In PostgreSQL
 * rows that somebody holds are left for the next pass instead of being waited for, and what old runs
 * printed is left for the end of its span (spans.c).  What runs printed of which there are too many goes
 * at once: its span may be young.
 */
#include <string.h>

#include "core/store/internal.h"

/* Output that goes in one batch. */
#define BATCH_BYTES_MAX INT64_C(16777216)

#define ENDED                                                                                      \
	" r.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'SKIPPED') AND r.cleanup_at IS NULL"
#define KEPT_COLUMNS(bytes)                                                                        \
	"SELECT r.id, r.automation_id, r.trigger_source, r.created_at, " bytes ", r.status"

/* Index: the primary key, from its beginning.  In PostgreSQL only output without a span goes now. */
#define OLD                                                                                        \
	" FROM automation.run AS r WHERE r.id < $1 AND r.completed_at < $2 AND" ENDED                  \
	" ORDER BY r.id LIMIT $3"
static const aut_stmt run_old = {
	.name = "run_old",
	.params = "uTl",
	.columns = "uutTlt",
	.postgres = KEPT_COLUMNS("CASE WHEN EXISTS (SELECT 1 FROM automation.run_output_default AS o"
							 " WHERE o.run_id = r.id) THEN r.output_bytes ELSE 0 END") OLD
	" FOR UPDATE OF r SKIP LOCKED",
	.sqlite = KEPT_COLUMNS("r.output_bytes") OLD,
};

/* index: run_newest_idx, forwards */
#define BEYOND                                                                                     \
	KEPT_COLUMNS("r.output_bytes")                                                                 \
	" FROM automation.run AS r WHERE r.automation_id = $1 AND r.id <= $2 AND" ENDED                \
	" ORDER BY r.id LIMIT $3"
static const aut_stmt run_beyond = {
	.name = "run_beyond",
	.params = "uul",
	.columns = "uutTlt",
	.postgres = BEYOND " FOR UPDATE OF r SKIP LOCKED",
	.sqlite = BEYOND,
};

/* Index: run_newest_idx, which is walked for as many entries as runs are kept.  Deleted automations, too. */
static const aut_stmt automation_crowded = {
	.name = "automation_crowded",
	.params = "ull",
	.columns = "uu",
	.sql = "SELECT a.id, (SELECT r.id FROM automation.run AS r WHERE r.automation_id = a.id"
		   " ORDER BY r.id DESC LIMIT 1 OFFSET $2) AS beyond"
		   " FROM automation.automation AS a WHERE a.id > $1 ORDER BY a.id LIMIT $3",
};

/* PostgreSQL's alone: in SQLite, and without a span, output goes with its run. */
static const aut_stmt output_delete = {
	.name = "output_delete",
	.params = "u",
	.columns = "",
	.postgres = "DELETE FROM automation.run_output WHERE run_id = $1",
};

static const aut_stmt run_delete = {
	.name = "run_delete",
	.params = "u",
	.columns = "",
	.sql = "DELETE FROM automation.run WHERE id = $1",
};

/* When a manual run goes that was the last one, its automation remembers when it was (automations.c). */
static const aut_stmt run_remember = {
	.name = "run_remember",
	.params = "uT",
	.columns = "",
	.sql = "UPDATE automation.automation SET last_triggered_at = $2"
		   " WHERE id = $1 AND (last_triggered_at IS NULL OR last_triggered_at < $2)"
		   " AND NOT EXISTS (SELECT 1 FROM automation.run AS m WHERE m.automation_id = $1"
		   " AND m.trigger_source = 'manual' AND m.created_at > $2)",
};

/* index: upload_deleted_idx.  Their bytes went when they were deleted, or are due to go. */
static const aut_stmt upload_forget = {
	.name = "upload_forget",
	.params = "Tl",
	.columns = "",
	.sql = "DELETE FROM automation.upload WHERE id IN (SELECT id FROM automation.upload"
		   " WHERE deleted_at < $1 AND object_due_at IS NULL ORDER BY deleted_at LIMIT $2)",
};

/* index: gap_created_idx */
static const aut_stmt gap_forget = {
	.name = "gap_forget",
	.params = "Tl",
	.columns = "",
	.sql = "DELETE FROM automation.gap WHERE (automation_id, first_missed) IN"
		   " (SELECT automation_id, first_missed FROM automation.gap WHERE created_at < $1"
		   " ORDER BY created_at LIMIT $2)",
};

/* index: dedupe_expires_idx */
static const aut_stmt dedupe_forget = {
	.name = "dedupe_forget",
	.params = "Tl",
	.columns = "",
	.sql = "DELETE FROM automation.dedupe WHERE (automation_id, dedupe_key) IN"
		   " (SELECT automation_id, dedupe_key FROM automation.dedupe WHERE expires_at <= $1"
		   " ORDER BY expires_at LIMIT $2)",
};

/* Index: the primary key, from its beginning.  The newest of an automation stays: the health check begins
 * to look there. */
static const aut_stmt disable_event_forget = {
	.name = "disable_event_forget",
	.params = "uTl",
	.columns = "",
	.sql = "DELETE FROM automation.disable_event WHERE id IN"
		   " (SELECT e.id FROM automation.disable_event AS e WHERE e.id < $1 AND e.created_at < $2"
		   " AND EXISTS (SELECT 1 FROM automation.disable_event AS n"
		   " WHERE n.automation_id = e.automation_id AND n.created_at > e.created_at)"
		   " ORDER BY e.id LIMIT $3)",
};

const aut_stmt *const aut__retention_statements[] = {
	&run_old,      &run_beyond,    &automation_crowded, &output_delete, &run_delete,
	&run_remember, &upload_forget, &gap_forget,         &dedupe_forget, &disable_event_forget,
	NULL,
};

/* ---- runs ---------------------------------------------------------------------------------- */

static aut_status
forget_run(aut_db *db, const aut_rows *rows, size_t row, bool with_span, aut_error *err)
{
	aut_uuid id = aut_rows_uuid(rows, row, 0);
	aut_uuid automation_id = aut_rows_uuid(rows, row, 1);
	const aut_value *source = aut_rows_at(rows, row, 2);
	aut_status status = AUT_OK;

	if (!source->null && strcmp(source->data, "manual") == 0)
		status = aut_db_run(
			db, &run_remember,
			(aut_value[]){aut_v_uuid(&automation_id), aut_v_time(aut_rows_time(rows, row, 3))},
			NULL, NULL, err);
	if (status == AUT_OK && with_span && db->ops->dialect == AUT_DIALECT_POSTGRES &&
		aut_rows_int(rows, row, 4) > 0)
		status = aut_db_run(db, &output_delete, (aut_value[]){aut_v_uuid(&id)}, NULL, NULL, err);
	if (status == AUT_OK)
		status = aut_db_run(db, &run_delete, (aut_value[]){aut_v_uuid(&id)}, NULL, NULL, err);
	if (status == AUT_OK)
		status = aut__tally_add(db, &automation_id, aut_rows_text(rows, row, 5), -1, err);
	return status;
}

static aut_status
forget_runs(aut_db *db, const aut_stmt *candidates, const aut_value *params, int64_t limit,
			int64_t kept_bytes, int64_t *out_count, bool *out_more, aut_error *err)
{
	aut_rows rows = {0};
	int64_t bytes = 0;
	size_t done = 0;
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, candidates, params, &rows, NULL, err);
	while (status == AUT_OK && done < rows.count && bytes < BATCH_BYTES_MAX)
	{
		int64_t printed = aut_rows_int(&rows, done, 4);

		status = forget_run(db, &rows, done, candidates == &run_beyond, err);
		bytes += printed < kept_bytes ? printed : kept_bytes;
		done++;
	}
	if (status == AUT_OK)
	{
		*out_count = (int64_t) done;
		*out_more = done < rows.count || (limit > 0 && done == (size_t) limit);
	}
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_forget_old_runs(aut_db *db, int64_t before, int64_t limit, int64_t kept_bytes,
						  int64_t *out_count, bool *out_more, aut_error *err)
{
	aut_uuid first;

	/* created before it ended: what began later cannot be due */
	aut_uuid_v7_first(before, &first);
	return forget_runs(db, &run_old,
					   (aut_value[]){aut_v_uuid(&first), aut_v_time(before), aut_v_big(limit)},
					   limit, kept_bytes, out_count, out_more, err);
}

aut_status
aut_store_forget_crowded_runs(aut_db *db, aut_uuid *after, int64_t automations, int64_t keep,
							  int64_t limit, int64_t kept_bytes, int64_t *out_count, bool *out_more,
							  aut_error *err)
{
	aut_value page[] = {aut_v_uuid(after), aut_v_big(keep), aut_v_big(automations)};
	aut_rows rows = {0};
	int64_t count = 0;
	bool more = false;
	aut_status status = aut__check_window(automations, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &automation_crowded, page, &rows, NULL, err);
	for (size_t i = 0; status == AUT_OK && !more && i < rows.count; i++)
	{
		aut_uuid id = aut_rows_uuid(&rows, i, 0);
		aut_uuid beyond = aut_rows_uuid(&rows, i, 1);
		int64_t gone = 0;

		if (!aut_rows_null(&rows, i, 1))
			status = forget_runs(
				db, &run_beyond,
				(aut_value[]){aut_v_uuid(&id), aut_v_uuid(&beyond), aut_v_big(limit - count)},
				limit - count, kept_bytes, &gone, &more, err);
		count += gone;
		if (status == AUT_OK && !more)
			*after = id; /* nothing (more) of it to take */
	}
	if (status == AUT_OK)
	{
		*out_count = count;
		*out_more = more || rows.count == (size_t) automations;
	}
	aut_rows_done(&rows);
	return status;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static aut_status
forget(aut_db *db, const aut_stmt *stmt, int64_t before, int64_t limit, int64_t *out_count,
	   aut_error *err)
{
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, stmt, (aut_value[]){aut_v_time(before), aut_v_big(limit)}, NULL,
							out_count, err);
	return status;
}

aut_status
aut_store_forget_uploads(aut_db *db, int64_t before, int64_t limit, int64_t *out_count,
						 aut_error *err)
{
	return forget(db, &upload_forget, before, limit, out_count, err);
}

aut_status
aut_store_forget_gaps(aut_db *db, int64_t before, int64_t limit, int64_t *out_count, aut_error *err)
{
	return forget(db, &gap_forget, before, limit, out_count, err);
}

aut_status
aut_store_forget_dedupe_keys(aut_db *db, int64_t now, int64_t limit, int64_t *out_count,
							 aut_error *err)
{
	return forget(db, &dedupe_forget, now, limit, out_count, err);
}

aut_status
aut_store_forget_disable_events(aut_db *db, int64_t before, int64_t limit, int64_t *out_count,
								aut_error *err)
{
	aut_uuid first;
	aut_status status = aut__check_window(limit, 0, err);

	aut_uuid_v7_first(before, &first);
	if (status == AUT_OK)
		status = aut_db_run(db, &disable_event_forget,
							(aut_value[]){aut_v_uuid(&first), aut_v_time(before), aut_v_big(limit)},
							NULL, out_count, err);
	return status;
}
