/* SPDX-License-Identifier: MIT */
/*
 * core/store/output.c - what a run printed, as a stream of bytes of which the newest are kept.
 *
 * run.output_bytes is the length of the stream so far; chunks are keyed by where they begin in it.  An
 * append says where its bytes begin, so that it can be repeated after a crash without doubling
 * anything: what is there already is left out.  A part that was lost leaves a hole between two chunks,
 * never a shift.  Only the holder of a run appends; the guard on output_bytes turns a second writer
 * into AUT_EBUSY instead of a mixed stream.
 *
 * Old chunks are dropped whole, as soon as the newest `keep` bytes begin after them.
 */
#include "core/store/internal.h"

/* Pieces small enough that dropping whole ones stays close to `keep`. */
#define CHUNK_MAX 65536

static const aut_stmt output_length = {
	.name = "output_length",
	.params = "u",
	.columns = "l",
	.sql = "SELECT output_bytes FROM automation.run WHERE id = $1 LIMIT 1",
};

static const aut_stmt output_grow = {
	.name = "output_grow",
	.params = "ull",
	.columns = "",
	.sql = "UPDATE automation.run SET output_bytes = $3 WHERE id = $1 AND output_bytes = $2",
};

static const aut_stmt output_insert = {
	.name = "output_insert",
	.params = "ulxT",
	.columns = "",
	.sql = "INSERT INTO automation.run_output (run_id, start, data, at) VALUES ($1, $2, $3, $4)",
};

static const aut_stmt output_trim = {
	.name = "output_trim",
	.params = "ul",
	.columns = "",
	.sql = "DELETE FROM automation.run_output"
		   " WHERE run_id = $1 AND start < $2 AND start + length(data) <= $2",
};

/* The chunk that begins at or before $2 may hold it; those before that one cannot.  So the primary key
 * leads to the first chunk and nothing older is looked at. */
static const aut_stmt output_read = {
	.name = "output_read",
	.params = "ull",
	.columns = "lxT",
	.sql = "SELECT o.start, o.data, o.at FROM automation.run_output AS o WHERE o.run_id = $1"
		   " AND o.start >= coalesce((SELECT max(p.start) FROM automation.run_output AS p"
		   " WHERE p.run_id = $1 AND p.start <= $2), $2)"
		   " AND o.start + length(o.data) > $2 ORDER BY o.start LIMIT $3",
};

const aut_stmt *const aut__output_statements[] = {
	&output_length, &output_grow, &output_insert, &output_trim, &output_read, NULL,
};

static aut_status
length_of(aut_db *db, const aut_uuid *run_id, int64_t *out, aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	aut_rows rows = {0};
	aut_status status =
		aut_db_run(db, &output_length, (aut_value[]){aut_v_uuid(run_id)}, &rows, NULL, err);

	if (status == AUT_OK && rows.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "run %s not found", aut_uuid_format(run_id, text));
	if (status == AUT_OK)
		*out = aut_rows_int(&rows, 0, 0);
	aut_rows_done(&rows);
	return status;
}

aut_status
aut_store_output_append(aut_db *db, const aut_uuid *run_id, int64_t start, const void *data,
						size_t len, int64_t now, int64_t keep, aut_error *err)
{
	const char *bytes = data;
	int64_t have = 0;
	int64_t end;
	bool won = false;
	aut_status status;

	if (start < 0 || keep < 0 || len > INT32_MAX || start > INT64_MAX - INT32_MAX)
		return aut_fail(err, AUT_EINVAL, "output of %zu bytes at %lld is out of range", len,
						(long long) start);
	end = start + (int64_t) len;
	status = length_of(db, run_id, &have, err);
	if (status != AUT_OK || end <= have || len == 0)
		return status;
	if (start < have)
	{
		bytes += have - start;
		start = have;
	}
	status = aut__run_guarded(db, &output_grow,
							  (aut_value[]){aut_v_uuid(run_id), aut_v_big(have), aut_v_big(end)},
							  &won, err);
	if (status == AUT_OK && !won)
		status = aut_fail(err, AUT_EBUSY, "somebody else appends to the output of this run");
	while (status == AUT_OK && start < end)
	{
		size_t piece = end - start > CHUNK_MAX ? CHUNK_MAX : (size_t) (end - start);
		aut_value params[] = {
			aut_v_uuid(run_id),
			aut_v_big(start),
			aut_v_bytes(bytes, piece),
			aut_v_time(now),
		};

		status = aut_db_run(db, &output_insert, params, NULL, NULL, err);
		bytes += piece;
		start += (int64_t) piece;
	}
	if (status == AUT_OK && end > keep)
		status =
			aut_db_run(db, &output_trim, (aut_value[]){aut_v_uuid(run_id), aut_v_big(end - keep)},
					   NULL, NULL, err);
	return status;
}

aut_status
aut_store_output_read(aut_db *db, const aut_uuid *run_id, int64_t after, int64_t limit,
					  aut_rows *out, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut_db_run(db, &output_read,
							(aut_value[]){aut_v_uuid(run_id), aut_v_big(after), aut_v_big(limit)},
							&rows, NULL, err);
	if (status == AUT_OK)
		*out = rows;
	else
		aut_rows_done(&rows);
	return status;
}
