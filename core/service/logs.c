/* SPDX-License-Identifier: MIT */
/*
 * core/service/logs.c - a run's output as text, from a byte offset on.
 *
 * The store keeps bytes in chunks, of which the oldest may be gone and some may be missing; a reader
 * wants text.  Bytes that are not UTF-8 (and NUL) become U+FFFD.  A character is never split between
 * two answers: one whose end has not been read yet is held back, and `next` stays before it, unless no
 * more can come.  On both sides of a hole the text is judged on its own, so that no character is made
 * of halves that never belonged together.
 *
 * An ended run may still have output on its way: the engine fetches the rest while it cleans up.  So
 * `complete` waits for the clean-up, but no longer than a while, lest a reader wait for an agent that
 * is gone.
 */
#include <string.h>

#include "core/service/internal.h"

#define LIMIT_MAX INT64_C(1048576)
/* A character has at most four bytes; an answer with room for one always gets on. */
#define LIMIT_MIN      INT64_C(4)
#define CHUNKS_AT_ONCE 16
#define SETTLE_US      (10 * AUT_US_PER_S)

/* Text under construction. */
typedef struct reading
{
	aut_buf raw;   /* of the stretch without holes that is being read */
	aut_buf text;  /* what is finished */
	int64_t at;    /* offset in the stream after what was read */
	int64_t end;   /* read no further */
	int64_t first; /* offset of the first byte that was there, or -1 */
	bool ran_dry;  /* no chunk follows */
} reading;

/* Turn the stretch into text, all of it or up to the last whole character. */
static aut_status
settle(reading *r, bool whole)
{
	size_t len =
		whole ? r->raw.len : aut_utf8_boundary(r->raw.data != NULL ? r->raw.data : "", r->raw.len);
	aut_status status = aut_utf8_sanitize(&r->text, r->raw.data != NULL ? r->raw.data : "", len);

	r->at -= (int64_t) (r->raw.len - len);
	aut_buf_clear(&r->raw);
	return status;
}

/* Take one chunk; false when the limit is reached. */
static bool
take(reading *r, int64_t start, const char *data, size_t len, aut_status *status)
{
	int64_t from = start > r->at ? start : r->at;
	int64_t to = start + (int64_t) len < r->end ? start + (int64_t) len : r->end;

	/* a hole: what stands before it will not be continued */
	if (start > r->at)
		*status = settle(r, true);
	if (*status != AUT_OK || from >= to)
		return *status == AUT_OK && start < r->end;
	r->at = from;
	if (r->first < 0)
		r->first = from;
	if (*status == AUT_OK)
		*status = aut_buf_append(&r->raw, data + (from - start), (size_t) (to - from));
	r->at = to;
	return *status == AUT_OK && to < r->end;
}

static aut_status
read_chunks(const aut_call *call, const aut_uuid *run_id, int64_t limit, reading *r, aut_error *err)
{
	aut_status status = AUT_OK;
	bool more = true;

	while (status == AUT_OK && more)
	{
		aut_rows rows = {0};

		status = aut_store_output_read(call->db, run_id, r->at, CHUNKS_AT_ONCE, &rows, err);
		more = status == AUT_OK && rows.count == CHUNKS_AT_ONCE;
		r->ran_dry = status == AUT_OK && !more;
		for (size_t i = 0; status == AUT_OK && i < rows.count; i++)
		{
			const aut_value *data = aut_rows_at(&rows, i, 1);

			/* the limit counts bytes that are there, not those of a hole in front */
			if (r->first < 0)
				r->end =
					(aut_rows_int(&rows, i, 0) > r->at ? aut_rows_int(&rows, i, 0) : r->at) + limit;
			if (!take(r, aut_rows_int(&rows, i, 0), data->data, data->len, &status))
			{
				more = false;
				r->ran_dry = false;
				break;
			}
		}
		aut_rows_done(&rows);
	}
	if (status == AUT_ENOMEM || status == AUT_ELIMIT)
		return aut_fail(err, status, "no room for the output of a run");
	return status;
}

static json_t *
logs_json(const aut_run *run, int64_t after, const reading *r, bool complete)
{
	json_t *out = json_object();
	bool good = aut_json_set(out, "run_id", aut_json_uuid(&run->id));

	good = good && aut_json_set(out, "status", json_string(aut_run_status_name(run->status)));
	good = good && aut_json_set(out, "after", json_integer(after));
	good = good && aut_json_set(out, "next", json_integer(r->at));
	good = good && aut_json_set(out, "total", json_integer(run->output_bytes));
	good = good && aut_json_set(out, "truncated", json_boolean(r->first > after));
	good = good && aut_json_set(out, "complete", json_boolean(complete));
	good = good && aut_json_set(
					   out, "data",
					   json_stringn_nocheck(r->text.data != NULL ? r->text.data : "", r->text.len));
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

/* Has the run ended, and is the end of its output in? */
static bool
is_final(const aut_call *call, const aut_run *run)
{
	if (!aut_run_status_terminal(run->status))
		return false;
	return run->cleanup_at == AUT_TIME_NONE || run->completed_at == AUT_TIME_NONE ||
		   call->now_us - run->completed_at > SETTLE_US;
}

static aut_status
logs(const aut_call *call, const aut_run *run, int64_t after, int64_t limit, json_t **out,
	 aut_error *err)
{
	reading r = {.at = after < run->output_bytes ? after : run->output_bytes, .first = -1};
	bool final = is_final(call, run);
	aut_status status;

	if (limit < LIMIT_MIN)
		limit = LIMIT_MIN;
	after = r.at;
	r.end = r.at;
	aut_buf_init(&r.raw, (size_t) limit);
	aut_buf_init(&r.text, (size_t) limit * 3); /* one bad byte becomes three good ones */
	status = read_chunks(call, &run->id, limit, &r, err);
	if (status == AUT_OK)
	{
		/* what stops short of the end goes on in the next answer; so may what stops at it */
		status = settle(&r, final && (r.ran_dry || r.at >= run->output_bytes));
		if (status != AUT_OK)
			aut_fail(err, status, "no room for the output of a run");
		/* bytes that are counted but not there were dropped or lost: they will not come */
		if (r.ran_dry && r.at < run->output_bytes && (final || r.first < 0))
		{
			if (r.first < 0)
				r.first = run->output_bytes;
			r.at = run->output_bytes;
		}
	}
	if (status == AUT_OK)
		status = aut__give(logs_json(run, after, &r, final && r.at >= run->output_bytes), out, err);
	aut_buf_done(&r.raw);
	aut_buf_done(&r.text);
	return status;
}

aut_status
aut_service_run_logs(aut_call *call, const aut_uuid *run_id, int64_t after, int64_t limit,
					 json_t **out, aut_error *err)
{
	aut_run_task task = {0};
	aut_status status = aut__may_view(call, err);

	if (status == AUT_OK && (after < 0 || limit < 1 || limit > LIMIT_MAX))
		status = aut_fail(err, AUT_EINVAL, "after must not be negative, limit must be 1 to %lld",
						  (long long) LIMIT_MAX);
	if (status == AUT_OK)
		status = aut__run_load(call, run_id, &task, err);
	if (status == AUT_OK && !aut_uuid_equal(&task.org_id, &call->who->org_id))
		status = aut_fail(err, AUT_ENOTFOUND, "Run not found");
	if (status == AUT_OK)
		status = logs(call, &task.run, after, limit, out, err);
	aut_run_task_done(&task);
	return status;
}
