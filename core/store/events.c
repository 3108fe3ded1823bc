/* SPDX-License-Identifier: MIT */
/*
 * core/store/events.c - deliveries from outside, kept.
 *
 * An event is written once, together with what came of it, and never changed.  A delivery that is known
 * already is told by the unique index: the insert does nothing, in PostgreSQL after waiting for whoever is
 * inserting the same one.  Ids are version 7, so their order is the order of arrival, which is how lists are
 * read and how old events are forgotten.
 */
#include <string.h>

#include "automation/store_events.h"
#include "core/store/internal.h"

static const char *const state_names[AUT_EVENT_STATE_COUNT] = {
	[AUT_EVENT_MATCHED] = "MATCHED",
	[AUT_EVENT_UNMATCHED] = "UNMATCHED",
	[AUT_EVENT_IGNORED] = "IGNORED",
	[AUT_EVENT_UNPARSEABLE] = "UNPARSEABLE",
};

const char *
aut_event_state_name(aut_event_state state)
{
	return (unsigned) state < AUT_EVENT_STATE_COUNT ? state_names[state] : "UNKNOWN";
}

bool
aut_event_state_parse(const char *name, aut_event_state *out)
{
	for (int i = 0; name != NULL && i < AUT_EVENT_STATE_COUNT; i++)
	{
		if (strcmp(name, state_names[i]) == 0)
		{
			*out = (aut_event_state) i;
			return true;
		}
	}
	return false;
}

/* ---- statements ---------------------------------------------------------------------------- */

static const aut_stmt event_insert = {
	.name = "event_insert",
	.params = "uutttttiiTjjx",
	.columns = "",
	.sql = "INSERT INTO automation.event"
		   " (id, org_id, source, provider_event_id, event_key, state, why, matched_count,"
		   " considered, received_at, headers, verdicts, body)"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
		   " ON CONFLICT DO NOTHING",
};

#define COLUMNS                                                                                    \
	"e.id, e.org_id, e.source, e.provider_event_id, e.event_key, e.state, e.why, "                 \
	"e.matched_count, e.considered, e.received_at"
#define TYPES "uutttttiiT"
#define WIDTH 10

static const aut_stmt event_get = {
	.name = "event_get",
	.params = "uu",
	.columns = TYPES "jjx",
	.sql = "SELECT " COLUMNS ", e.headers, e.verdicts, e.body FROM automation.event AS e"
		   " WHERE e.id = $2 AND e.org_id = $1 LIMIT 1",
};

/* index: event_newest_idx, from a place on */
static const aut_stmt event_list = {
	.name = "event_list",
	.params = "uutttl",
	.columns = TYPES,
	.sql = "SELECT " COLUMNS " FROM automation.event AS e WHERE e.org_id = $1 AND e.id < $2"
		   " AND ($3 IS NULL OR e.source = $3) AND ($4 IS NULL OR e.event_key = $4)"
		   " AND ($5 IS NULL OR e.state = $5)"
		   " ORDER BY e.id DESC LIMIT $6",
};

/* index: run_event_idx */
static const aut_stmt event_runs = {
	.name = "event_runs",
	.params = "ul",
	.columns = AUT__RUN_TYPES,
	.sql = "SELECT " AUT__RUN_COLUMNS " FROM automation.run AS r WHERE r.trigger_event_id = $1"
		   " ORDER BY r.id LIMIT $2",
};

/* index: the primary key, from its beginning */
static const aut_stmt event_forget = {
	.name = "event_forget",
	.params = "uTl",
	.columns = "",
	.sql = "DELETE FROM automation.event WHERE id IN"
		   " (SELECT e.id FROM automation.event AS e WHERE e.id < $1 AND e.received_at < $2"
		   " ORDER BY e.id LIMIT $3)",
};

const aut_stmt *const aut__event_statements[] = {
	&event_insert, &event_get, &event_list, &event_runs, &event_forget, NULL,
};

/* ---- functions ----------------------------------------------------------------------------- */

aut_status
aut_store_event_insert(aut_db *db, const aut_event_row *event, bool *out_new, aut_error *err)
{
	aut_value params[] = {
		aut_v_uuid(&event->id),
		aut_v_uuid(&event->org_id),
		aut_v_text(event->source),
		aut_v_text(event->provider_event_id),
		aut_v_text(event->event_key),
		aut_v_text(aut_event_state_name(event->state)),
		aut_v_text(event->why),
		aut_v_int(event->matched_count),
		aut_v_int(event->considered),
		aut_v_time(event->received_at),
		aut_v_json(event->headers),
		aut_v_json(event->verdicts),
		aut_v_bytes(event->body_len > 0 ? event->body : "", event->body_len),
	};

	return aut__run_guarded(db, &event_insert, params, out_new, err);
}

void
aut_event_list_done(aut_event_list *list)
{
	if (list == NULL)
		return;
	aut_free(list->items);
	aut_rows_done(&list->rows);
	*list = (aut_event_list){0};
}

static aut_status
read_one(const aut_rows *rows, size_t row, void *out, aut_error *err)
{
	const char *state = aut_rows_text(rows, row, 5);
	aut_event_row event = {
		.id = aut_rows_uuid(rows, row, 0),
		.org_id = aut_rows_uuid(rows, row, 1),
		.source = aut_rows_text(rows, row, 2),
		.provider_event_id = aut_rows_text(rows, row, 3),
		.event_key = aut_rows_text(rows, row, 4),
		.why = aut_rows_text(rows, row, 6),
		.matched_count = aut_rows_int(rows, row, 7),
		.considered = aut_rows_int(rows, row, 8),
		.received_at = aut_rows_time(rows, row, 9),
	};

	if (!aut_event_state_parse(state, &event.state))
		return aut_fail(err, AUT_ECORRUPT, "an event has the unknown state %s",
						state == NULL ? "null" : state);
	if (rows->width > WIDTH)
	{
		const aut_value *body = aut_rows_at(rows, row, WIDTH + 2);

		event.headers = aut_rows_text(rows, row, WIDTH);
		event.verdicts = aut_rows_text(rows, row, WIDTH + 1);
		event.body = body->data;
		event.body_len = body->len;
	}
	*(aut_event_row *) out = event;
	return AUT_OK;
}

static aut_status
read_list(aut_db *db, const aut_stmt *stmt, const aut_value *params, aut_event_list *out,
		  aut_error *err)
{
	aut_rows rows = {0};
	void *items = NULL;
	aut_status status =
		aut__read_items(db, stmt, params, sizeof(aut_event_row), read_one, &rows, &items, err);

	if (status == AUT_OK)
		*out = (aut_event_list){items, rows.count, rows};
	return status;
}

aut_status
aut_store_event_get(aut_db *db, const aut_uuid *org_id, const aut_uuid *id, aut_event_list *out,
					aut_error *err)
{
	char text[AUT_UUID_TEXT_MAX];
	aut_event_list list = {0};
	aut_status status =
		read_list(db, &event_get, (aut_value[]){aut_v_uuid(org_id), aut_v_uuid(id)}, &list, err);

	if (status == AUT_OK && list.count == 0)
		status = aut_fail(err, AUT_ENOTFOUND, "event %s not found", aut_uuid_format(id, text));
	if (status == AUT_OK)
		*out = list;
	else
		aut_event_list_done(&list);
	return status;
}

aut_status
aut_store_event_list(aut_db *db, const aut_uuid *org_id, const aut_event_wanted *wanted,
					 const aut_uuid *before, int64_t limit, aut_event_list *out, aut_error *err)
{
	aut_uuid last;
	aut_status status = aut__check_window(limit, 0, err);

	memset(last.bytes, 0xff, sizeof last.bytes);
	aut_value params[] = {
		aut_v_uuid(org_id),         aut_v_uuid(before != NULL ? before : &last),
		aut_v_text(wanted->source), aut_v_text(wanted->key),
		aut_v_text(wanted->state),  aut_v_big(limit),
	};

	if (status == AUT_OK)
		status = read_list(db, &event_list, params, out, err);
	return status;
}

aut_status
aut_store_event_runs(aut_db *db, const aut_uuid *event_id, int64_t limit, aut_run_list *out,
					 aut_error *err)
{
	aut_status status = aut__check_window(limit, 0, err);

	if (status == AUT_OK)
		status = aut__read_runs(db, &event_runs,
								(aut_value[]){aut_v_uuid(event_id), aut_v_big(limit)}, out, err);
	return status;
}

aut_status
aut_store_forget_events(aut_db *db, int64_t before, int64_t limit, int64_t *out_count,
						aut_error *err)
{
	aut_uuid first;
	aut_status status = aut__check_window(limit, 0, err);

	aut_uuid_v7_first(before, &first);
	if (status == AUT_OK)
		status = aut_db_run(db, &event_forget,
							(aut_value[]){aut_v_uuid(&first), aut_v_time(before), aut_v_big(limit)},
							NULL, out_count, err);
	return status;
}
