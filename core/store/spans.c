/* SPDX-License-Identifier: MIT */
/*
 * core/store/spans.c - the spans of run_output, in PostgreSQL: made ahead of time, dropped when they are old.
 *
 * A span is a range of run ids, so one of time: some days from midnight to midnight (UTC), as long as leaves
 * about ten of them within the retention.  Every call does one thing at most, because each is a statement
 * that locks the table for as long as its transaction goes on.  The locks are waited for only a moment
 * (schema_output.h): AUT_EBUSY means that another time is better.  SQLite has no spans.
 */
#include "core/store/internal.h"

#define DAY_US (INT64_C(86400) * AUT_US_PER_S)
/* So many spans are as long as runs are kept.  Some more exist: the one that ends, and those to come. */
#define SPANS_KEPT 7

/* Where the last span ends, and are there any runs at all? */
static const aut_stmt span_last = {
	.name = "span_last",
	.params = "",
	.columns = "ub",
	.postgres = "SELECT (SELECT s.until FROM automation._output_spans() AS s ORDER BY s.until DESC "
				"LIMIT 1),"
				" EXISTS (SELECT 1 FROM automation.run) LIMIT 1",
};

static const aut_stmt span_add = {
	.name = "span_add",
	.params = "uu",
	.columns = "b",
	.postgres = "SELECT automation._output_span_add($1, $2) LIMIT 1",
};

static const aut_stmt span_drop = {
	.name = "span_drop",
	.params = "u",
	.columns = "b",
	.postgres = "SELECT automation._output_span_drop($1) LIMIT 1",
};

const aut_stmt *const aut__span_statements[] = {&span_last, &span_add, &span_drop, NULL};

/* Run a statement that says whether it did something. */
static aut_status
run_change(aut_db *db, const aut_stmt *stmt, const aut_value *params, bool *out, aut_error *err)
{
	aut_rows rows = {0};
	aut_status status = aut_db_run(db, stmt, params, &rows, NULL, err);

	if (status == AUT_OK)
		*out = aut_rows_bool(&rows, 0, 0);
	aut_rows_done(&rows);
	return status;
}

static aut_status
drop_old(aut_db *db, int64_t before, bool *out, aut_error *err)
{
	aut_uuid first;

	aut_uuid_v7_first(before, &first);
	return run_change(db, &span_drop, (aut_value[]){aut_v_uuid(&first)}, out, err);
}

static aut_status
add_one(aut_db *db, int64_t begin, int64_t end, bool *out, aut_error *err)
{
	aut_uuid first, until;

	aut_uuid_v7_first(begin, &first);
	aut_uuid_v7_first(end, &until);
	return run_change(db, &span_add, (aut_value[]){aut_v_uuid(&first), aut_v_uuid(&until)}, out,
					  err);
}

/* Make a span for the days to come, if the last one ends before there is one more after the present one. */
static aut_status
add_ahead(aut_db *db, int64_t now, int64_t last_end, int64_t span, bool *out, aut_error *err)
{
	int64_t begin = now - now % DAY_US;
	aut_status status = AUT_OK;

	begin = last_end > begin ? last_end : begin;
	if (begin >= now + span)
		return AUT_OK;
	status = add_one(db, begin, begin + span, out, err);
	/* Something of today was printed before there were spans: they begin tomorrow. */
	if (status == AUT_OK && !*out)
		status = add_one(db, begin + DAY_US, begin + DAY_US + span, out, err);
	return status;
}

aut_status
aut_store_output_spans(aut_db *db, int64_t now, int64_t keep_days, bool *out_more, aut_error *err)
{
	int64_t last_end = 0;
	bool runs = false, changed = false;
	aut_rows rows = {0};
	aut_status status;

	*out_more = false;
	if (db->ops->dialect != AUT_DIALECT_POSTGRES)
		return AUT_OK;
	status = aut_db_run(db, &span_last, NULL, &rows, NULL, err);
	if (status == AUT_OK)
	{
		aut_uuid until = aut_rows_uuid(&rows, 0, 0);

		last_end = aut_rows_null(&rows, 0, 0) ? 0 : aut_uuid_v7_time(&until);
		runs = aut_rows_bool(&rows, 0, 1);
	}
	aut_rows_done(&rows);
	/* Without runs a dump may be on its way in, with spans of its own, and with what they printed before them. */
	if (status != AUT_OK || !runs)
		return status;
	/* While nothing is forgotten by age no span is added; those there are go as soon as their runs have. */
	status = drop_old(db, now - (keep_days > 0 ? keep_days : 1) * DAY_US, &changed, err);
	if (status == AUT_OK && !changed && keep_days > 0)
		status = add_ahead(db, now, last_end, (keep_days + SPANS_KEPT - 1) / SPANS_KEPT * DAY_US,
						   &changed, err);
	*out_more = changed;
	return status;
}
