/* SPDX-License-Identifier: MIT */
/*
 * core/store/claims.c - who executes a run: claim, keep, take over, put back, clean up.
 *
 * The lease of a claim is its worker's: run.worker names a row of `worker`, and one small update of
 * that row keeps all its runs.  A run is held by worker W exactly while status is RUNNING and worker
 * is W; every later step of W is guarded by both, so a worker that was taken for dead and lost a run
 * finds out at its next write.
 *
 * PostgreSQL picks rows with FOR UPDATE SKIP LOCKED, so that workers side by side never wait for each
 * other; SQLite has one writer and needs none of it.  RETURNING promises no order: the ids are sorted
 * here.
 */
#include <stdlib.h>
#include <string.h>

#include "core/store/internal.h"

/* The phase of a claimed run until its command has been started. */
#define PHASE_CLAIMED "Preparing environment"

/* ---- statements ---------------------------------------------------------------------------- */

/*
 * The picked runs become ours.  Their first deadline: the time a place may take ($7, with the margin), and what
 * the automation allows ($5 unless it says, at most $6), in seconds.
 */
#define CLAIMED_POSTGRES                                                                           \
	" UPDATE automation.run AS r SET status = 'RUNNING', worker = $1, started_at = $2,"            \
	" attempt = r.attempt + 1, current_phase = $4, status_detail = NULL,"                          \
	" timeout_at = $2 + (least(coalesce(a.timeout_s, $5), $6) + $7) * interval '1 second'"         \
	" FROM picked JOIN automation.automation AS a ON a.id = picked.automation_id"                  \
	" WHERE r.id = picked.id RETURNING r.id, r.ready_at"
#define CLAIMED_SQLITE(picked)                                                                     \
	"UPDATE automation.run SET status = 'RUNNING', worker = $1, started_at = $2,"                  \
	" attempt = attempt + 1, current_phase = $4, status_detail = NULL,"                            \
	" timeout_at = $2 + (SELECT min(coalesce(a.timeout_s, $5), $6) + $7"                           \
	" FROM automation.automation AS a WHERE a.id = run.automation_id) * 1000000"                   \
	" WHERE id IN (" picked ") RETURNING id, ready_at"

/* Index: run_ready_idx.  What stands there up to ($8, $9) is passed over. */
#define READY_IN_ORDER                                                                             \
	" FROM automation.run AS r WHERE r.status = 'PENDING' AND r.ready_at <= $2"                    \
	" AND (r.ready_at, r.id) > ($8, $9) ORDER BY r.ready_at, r.id LIMIT $3"
#define READY          "SELECT r.id" READY_IN_ORDER
#define READY_POSTGRES "SELECT r.id, r.automation_id" READY_IN_ORDER
static const aut_stmt run_claim = {
	.name = "run_claim",
	.params = "tTltlllTu",
	.columns = "uT",
	.postgres =
		"WITH picked AS MATERIALIZED (" READY_POSTGRES " FOR UPDATE SKIP LOCKED)" CLAIMED_POSTGRES,
	.sqlite = CLAIMED_SQLITE(READY),
};

/*
 * The same for runs the host executes itself, where no agent is ready.  The automation is asked as well: a run
 * made while it was being changed (aut_store_run_inline) may be marked wrongly.  Not by a join: PostgreSQL, while
 * it knows nothing of the tables, would begin with all automations.  Index: run_inline_idx.
 */
#define IS_INLINE "r.inline AND " AUT__INLINE_OF("r.automation_id")
#define INLINE                                                                                     \
	" FROM automation.run AS r WHERE r.status = 'PENDING' AND r.ready_at <= $2 AND " IS_INLINE     \
	" AND (r.ready_at, r.id) > ($8, $9) ORDER BY r.ready_at, r.id LIMIT $3"
static const aut_stmt run_claim_inline = {
	.name = "run_claim_inline",
	.params = "tTltlllTu",
	.columns = "uT",
	.postgres = "WITH picked AS MATERIALIZED (SELECT r.id, r.automation_id" INLINE
				" FOR UPDATE SKIP LOCKED)" CLAIMED_POSTGRES,
	.sqlite = CLAIMED_SQLITE("SELECT r.id" INLINE),
};

/* index: run_ready_idx */
static const aut_stmt run_ready_head = {
	.name = "run_ready_head",
	.params = "TTu",
	.columns = "uT",
	.sql = "SELECT id, ready_at FROM automation.run WHERE status = 'PENDING' AND ready_at <= $1"
		   " AND (ready_at, id) > ($2, $3) ORDER BY ready_at, id LIMIT 1",
};

/* index: run_inline_idx */
static const aut_stmt run_next_ready_inline = {
	.name = "run_next_ready_inline",
	.params = "Tu",
	.columns = "T",
	.sql = "SELECT r.ready_at FROM automation.run AS r WHERE r.status = 'PENDING' AND " IS_INLINE
		   " AND (r.ready_at, r.id) > ($1, $2) ORDER BY r.ready_at, r.id LIMIT 1",
};

/* index: run_ready_idx */
static const aut_stmt run_next_ready = {
	.name = "run_next_ready",
	.params = "Tu",
	.columns = "T",
	.sql = "SELECT ready_at FROM automation.run WHERE status = 'PENDING'"
		   " AND (ready_at, id) > ($1, $2) ORDER BY ready_at, id LIMIT 1",
};

/* index: run_held_idx */
static const aut_stmt run_held = {
	.name = "run_held",
	.params = "tul",
	.columns = "u",
	.sql = "SELECT id FROM automation.run WHERE status = 'RUNNING' AND worker = $1 AND id > $2"
		   " ORDER BY id LIMIT $3",
};

/* Index: run_held_idx, all of it: runs in flight are few.  The order is the index's, which keeps SQLite
 * from walking the whole table in the order of ids instead.  Attempt and start stay, because the new
 * holder goes on with what the old one began. */
#define ADOPTABLE                                                                                  \
	"WHERE r.status = 'RUNNING' AND r.worker IS DISTINCT FROM $1 AND NOT EXISTS (SELECT 1"         \
	" FROM automation.worker AS w WHERE w.name = r.worker AND w.lease_until >= $2)"                \
	" ORDER BY r.worker, r.id LIMIT $3"

static const aut_stmt run_adopt = {
	.name = "run_adopt",
	.params = "tTl",
	.columns = "u",
	.postgres = "WITH picked AS MATERIALIZED (SELECT r.id FROM automation.run AS r " ADOPTABLE
				" FOR UPDATE OF r SKIP LOCKED)"
				" UPDATE automation.run AS r SET worker = $1 FROM picked WHERE r.id = picked.id"
				" RETURNING r.id",
	.sqlite = "UPDATE automation.run SET worker = $1 WHERE id IN"
			  " (SELECT r.id FROM automation.run AS r " ADOPTABLE ") RETURNING id",
};

/* What is null was not learned by this step and stays. */
#define STARTED(id, worker, command, sandbox, timeout, phase, from)                                \
	"UPDATE automation.run SET"                                                                    \
	" bash_command_id = coalesce(" command ", run.bash_command_id),"                               \
	" sandbox_id = coalesce(" sandbox ", run.sandbox_id),"                                         \
	" timeout_at = coalesce(" timeout ", run.timeout_at),"                                         \
	" current_phase = coalesce(" phase ", run.current_phase)" from " WHERE run.id = " id           \
	" AND run.status = 'RUNNING' AND run.worker = " worker " RETURNING run.id"
static const aut_stmt run_started = {
	.name = "run_started",
	.params = "utttTt",
	.columns = "u",
	.postgres = STARTED(
		"e.id", "e.worker", "e.command", "e.sandbox", "e.timeout", "e.phase",
		" FROM unnest($1, $2, $3, $4, $5, $6) AS e (id, worker, command, sandbox, timeout, phase)"),
	.sqlite = STARTED("$1", "$2", "$3", "$4", "$5", "$6", ""),
	.each = true,
};

static const aut_stmt run_note = {
	.name = "run_note",
	.params = "utjT",
	.columns = "",
	.sql = "UPDATE automation.run SET status_detail = $3, timeout_at = coalesce($4, timeout_at)"
		   " WHERE id = $1 AND status = 'RUNNING' AND worker = $2",
};

/* The attempt stays counted: its number must never be used twice for one run.  While it was RUNNING, its
 * automation may have become another sort. */
static const aut_stmt run_requeue = {
	.name = "run_requeue",
	.params = "utT",
	.columns = "",
	.sql = "UPDATE automation.run SET status = 'PENDING', ready_at = $3, worker = NULL,"
		   " started_at = NULL, timeout_at = NULL, bash_command_id = NULL, sandbox_id = NULL,"
		   " current_phase = NULL, inline = " AUT__INLINE_OF(
			   "run.automation_id") " WHERE id = $1 AND status = 'RUNNING' AND worker = $2",
};

/* index: run_status_idx */
static const aut_stmt run_inline = {
	.name = "run_inline",
	.params = "ub",
	.columns = "",
	.sql = "UPDATE automation.run SET inline = $2"
		   " WHERE automation_id = $1 AND status = 'PENDING' AND inline <> $2",
};

/* index: run_cleanup_idx */
#define CLEANUP_DUE                                                                                \
	"SELECT r.id FROM automation.run AS r WHERE r.cleanup_at <= $2 AND (r.worker = $1"             \
	" OR NOT EXISTS (SELECT 1 FROM automation.worker AS w"                                         \
	" WHERE w.name = r.worker AND w.lease_until >= $2))"                                           \
	" ORDER BY r.cleanup_at, r.id LIMIT $3"
static const aut_stmt run_cleanup_take = {
	.name = "run_cleanup_take",
	.params = "tTlT",
	.columns = "ut",
	.postgres = "WITH picked AS MATERIALIZED (" CLEANUP_DUE " FOR UPDATE OF r SKIP LOCKED)"
				" UPDATE automation.run AS r SET cleanup_at = $4 FROM picked"
				" WHERE r.id = picked.id RETURNING r.id, r.status",
	.sqlite = "UPDATE automation.run SET cleanup_at = $4 WHERE id IN (" CLEANUP_DUE ")"
			  " RETURNING id, status",
};

/* index: run_cleanup_idx */
static const aut_stmt run_next_cleanup = {
	.name = "run_next_cleanup",
	.params = "t",
	.columns = "T",
	.sql = "SELECT r.cleanup_at FROM automation.run AS r WHERE r.cleanup_at IS NOT NULL"
		   " AND (r.worker = $1 OR NOT EXISTS (SELECT 1 FROM automation.worker AS w"
		   " WHERE w.name = r.worker))"
		   " ORDER BY r.cleanup_at LIMIT 1",
};

/* Only where it changes something: the row would be written anew otherwise. */
#define CLEANUP_SET(id, at, from)                                                                  \
	"UPDATE automation.run SET cleanup_at = " at from " WHERE run.id = " id                        \
	" AND run.cleanup_at IS DISTINCT FROM " at
static const aut_stmt run_cleanup_set = {
	.name = "run_cleanup_set",
	.params = "uT",
	.columns = "",
	.postgres = CLEANUP_SET("e.id", "e.at", " FROM unnest($1, $2) AS e (id, at)"),
	.sqlite = CLEANUP_SET("$1", "$2", ""),
	.each = true,
};

const aut_stmt *const aut__claim_statements[] = {
	&run_claim,       &run_next_ready,   &run_held,
	&run_adopt,       &run_started,      &run_note,
	&run_requeue,     &run_cleanup_take, &run_next_cleanup,
	&run_cleanup_set, &run_claim_inline, &run_next_ready_inline,
	&run_ready_head,  &run_inline,       NULL,
};

/* ---- ids ----------------------------------------------------------------------------------- */

typedef struct ranked
{
	int64_t time;
	aut_uuid id;
} ranked;

static int
compare_ranked(const void *a, const void *b)
{
	const ranked *left = a;
	const ranked *right = b;

	if (left->time != right->time)
		return left->time < right->time ? -1 : 1;
	return memcmp(left->id.bytes, right->id.bytes, sizeof(left->id.bytes));
}

/*
 * Run a statement that returns ids (and perhaps a time to order by) and copy them to the caller's
 * array of limit elements.
 */
static aut_status
run_for_ids(aut_db *db, const aut_stmt *stmt, const aut_value *params, int64_t limit, bool sort,
			aut_uuid *out_ids, size_t *out_count, aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	ranked *list;
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, stmt, params, &rows, NULL, err);
	if (status == AUT_OK && rows.count > (size_t) limit)
		status = aut_fail(err, AUT_EINTERNAL, "%s: more rows than asked for", stmt->name);
	if (status == AUT_OK)
		status = aut__items_alloc(rows.count, sizeof(ranked), &items, err);
	if (status != AUT_OK)
		goto out;

	list = items;
	for (size_t i = 0; i < rows.count; i++)
	{
		list[i].id = aut_rows_uuid(&rows, i, 0);
		list[i].time = rows.width > 1 ? aut_rows_time(&rows, i, 1) : 0;
	}
	if (sort && rows.count > 1)
		qsort(list, rows.count, sizeof(ranked), compare_ranked);
	for (size_t i = 0; i < rows.count; i++)
		out_ids[i] = list[i].id;
	*out_count = rows.count;
out:
	aut_free(items);
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_run_claim(aut_db *db, const aut_claim *claim, aut_uuid *out_ids, size_t *out_count,
					aut_error *err)
{
	aut_value params[] = {
		aut_v_text(claim->worker),        aut_v_time(claim->now),
		aut_v_big(claim->limit),          aut_v_text(PHASE_CLAIMED),
		aut_v_big(claim->duration_s),     aut_v_big(claim->duration_max_s),
		aut_v_big(claim->duration_and_s), aut_v_time(claim->after.ready_at),
		aut_v_uuid(&claim->after.id),
	};

	return run_for_ids(db, claim->inline_only ? &run_claim_inline : &run_claim, params,
					   claim->limit, true, out_ids, out_count, err);
}

aut_status
aut_store_run_ready_head(aut_db *db, int64_t now, const aut_ready *after, aut_ready *out,
						 aut_error *err)
{
	aut_value params[] = {aut_v_time(now), aut_v_time(after->ready_at), aut_v_uuid(&after->id)};
	aut_rows rows = {0};
	aut_status status = aut_db_run(db, &run_ready_head, params, &rows, NULL, err);

	if (status == AUT_OK && rows.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "no run is ready");
	else if (status == AUT_OK)
		*out = (aut_ready){aut_rows_time(&rows, 0, 1), aut_rows_uuid(&rows, 0, 0)};
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_run_held(aut_db *db, const char *worker, const aut_uuid *after, int64_t limit,
				   aut_uuid *out_ids, size_t *out_count, aut_error *err)
{
	aut_value params[] = {
		aut_v_text(worker),
		aut_v_uuid(after == NULL ? &AUT_UUID_NIL : after),
		aut_v_big(limit),
	};

	return run_for_ids(db, &run_held, params, limit, false, out_ids, out_count, err);
}

aut_status
aut_store_run_adopt(aut_db *db, const char *worker, int64_t now, int64_t limit, aut_uuid *out_ids,
					size_t *out_count, aut_error *err)
{
	aut_value params[] = {aut_v_text(worker), aut_v_time(now), aut_v_big(limit)};

	return run_for_ids(db, &run_adopt, params, limit, true, out_ids, out_count, err);
}

aut_status
aut_store_run_cleanup_take(aut_db *db, const char *worker, int64_t now, int64_t again_at,
						   int64_t limit, aut_uuid *out_ids, aut_run_status *out_statuses,
						   size_t *out_count, aut_error *err)
{
	aut_value params[] = {aut_v_text(worker), aut_v_time(now), aut_v_big(limit),
						  aut_v_time(again_at)};
	aut_rows rows = {0};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &run_cleanup_take, params, &rows, NULL, err);
	if (status == AUT_OK && rows.count > (size_t) limit)
		status = aut_fail(err, AUT_EINTERNAL, "run_cleanup_take: more rows than asked for");
	for (size_t i = 0; status == AUT_OK && i < rows.count; i++)
	{
		out_ids[i] = aut_rows_uuid(&rows, i, 0);
		if (!aut_run_status_parse(aut_rows_text(&rows, i, 1), &out_statuses[i]))
			status = aut_fail(err, AUT_ECORRUPT, "a run has an unknown status");
	}
	if (status == AUT_OK)
		*out_count = rows.count;
	aut_rows_done(&rows);
	return status;
}

/* ---- times --------------------------------------------------------------------------------- */

aut_status
aut_store_run_next_ready(aut_db *db, const aut_ready *after, int64_t *out, aut_error *err)
{
	aut_value params[] = {aut_v_time(after->ready_at), aut_v_uuid(&after->id)};

	return aut__run_time(db, &run_next_ready, params, out, err);
}

aut_status
aut_store_run_next_ready_inline(aut_db *db, const aut_ready *after, int64_t *out, aut_error *err)
{
	aut_value params[] = {aut_v_time(after->ready_at), aut_v_uuid(&after->id)};

	return aut__run_time(db, &run_next_ready_inline, params, out, err);
}

aut_status
aut_store_run_next_cleanup(aut_db *db, const char *worker, int64_t *out, aut_error *err)
{
	return aut__run_time(db, &run_next_cleanup, (aut_value[]){aut_v_text(worker)}, out, err);
}

/* ---- steps of the holder ------------------------------------------------------------------- */

#define STARTED_PARAMS 6

aut_status
aut_store_run_started(aut_db *db, const char *worker, const char *phase,
					  const aut_run_start *starts, size_t count, bool *out_won, aut_error *err)
{
	aut_rows rows = {0};
	void *params = NULL;
	aut__index *index = NULL;
	aut_status status = aut__items_alloc(count, STARTED_PARAMS * sizeof(aut_value), &params, err);

	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		const aut_run_start *start = &starts[i];
		const aut_value values[STARTED_PARAMS] = {
			aut_v_uuid(&start->id),        aut_v_text(worker),
			aut_v_text(start->command_id), aut_v_text(start->sandbox_id),
			aut_v_time(start->timeout_at), aut_v_text(phase),
		};

		memcpy((aut_value *) params + i * STARTED_PARAMS, values, sizeof(values));
	}
	if (status == AUT_OK)
		status = aut_db_run_each(db, &run_started, params, count, &rows, NULL, err);
	if (status == AUT_OK)
		status = aut__index_rows(&rows, &index, err);
	for (size_t i = 0; status == AUT_OK && i < count; i++)
		out_won[i] = aut__index_find(index, rows.count, &starts[i].id, NULL);
	aut_free(index);
	aut_free(params);
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_run_note(aut_db *db, const aut_uuid *id, const char *worker, const char *status_detail,
				   int64_t timeout_at, bool *out_won, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(id),
		aut_v_text(worker),
		aut_v_json(status_detail),
		aut_v_time(timeout_at),
	};

	return aut__run_guarded(db, &run_note, params, out_won, err);
}

aut_status
aut_store_run_requeue(aut_db *db, const aut_uuid *id, const char *worker, int64_t ready_at,
					  bool *out_won, aut_error *err)
{
	return aut__run_guarded(db, &run_requeue,
							(aut_value[]){aut_v_uuid(id), aut_v_text(worker), aut_v_time(ready_at)},
							out_won, err);
}

aut_status
aut_store_run_inline(aut_db *db, const aut_uuid *automation_id, bool is_inline, aut_error *err)
{
	return aut_db_run(db, &run_inline,
					  (aut_value[]){aut_v_uuid(automation_id), aut_v_bool(is_inline)}, NULL, NULL,
					  err);
}

aut_status
aut_store_run_cleanup_set(aut_db *db, const aut_uuid *ids, size_t count, int64_t at, aut_error *err)
{
	void *params = NULL;
	aut_status status = aut__items_alloc(count, 2 * sizeof(aut_value), &params, err);

	for (size_t i = 0; status == AUT_OK && i < count; i++)
	{
		((aut_value *) params)[2 * i] = aut_v_uuid(&ids[i]);
		((aut_value *) params)[2 * i + 1] = aut_v_time(at);
	}
	if (status == AUT_OK)
		status = aut_db_run_each(db, &run_cleanup_set, params, count, NULL, NULL, err);
	aut_free(params);
	return status;
}
