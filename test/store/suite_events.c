/* SPDX-License-Identifier: MIT */
/*
 * test/store/suite_events.c - events, and the index by which they find automations.
 */
#include <string.h>

#include "automation/store_events.h"
#include "test/store/store_suite.h"

static const aut_stmt delete_events = {
	.name = "suite_delete_events",
	.params = "",
	.columns = "",
	.sql = "DELETE FROM automation.event",
};

static aut_event_row
event(suite *s, const char *delivery)
{
	return (aut_event_row){
		.id = suite_id(s),
		.org_id = s->org,
		.source = "github",
		.provider_event_id = delivery,
		.event_key = "push",
		.state = AUT_EVENT_UNMATCHED,
		.why = NULL,
		.matched_count = 0,
		.considered = 3,
		.received_at = SUITE_NOW,
		.headers = "{\"user-agent\":\"x\"}",
		.verdicts = "{\"list\":[]}",
		.body = "{\"a\":\0\xff}",
		.body_len = 8,
	};
}

static bool
insert(suite *s, const aut_event_row *row)
{
	bool is_new = false;

	EXPECT_OK(aut_store_event_insert(s->db, row, &is_new, &s->error));
	return is_new;
}

static void
a_delivery_is_kept_once(suite *s)
{
	aut_event_row first = event(s, "d-1");
	aut_event_row again = event(s, "d-1");
	aut_event_row elsewhere = event(s, "d-1");
	aut_event_row of_other_source = event(s, "d-1");
	aut_event_row unnamed = event(s, NULL);
	aut_event_list list = {0};

	elsewhere.org_id = suite_id(s);
	of_other_source.source = "jira_dc";
	EXPECT(insert(s, &first));
	EXPECT(!insert(s, &again));
	EXPECT(insert(s, &elsewhere));
	EXPECT(insert(s, &of_other_source));
	EXPECT(insert(s, &unnamed));
	unnamed.id = suite_id(s);
	EXPECT(insert(s, &unnamed));
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_event_get(s->db, &s->org, &again.id, &list, &s->error));
	EXPECT_STATUS(AUT_ENOTFOUND,
				  aut_store_event_get(s->db, &s->org, &elsewhere.id, &list, &s->error));
	EXPECT_OK(aut_store_event_get(s->db, &s->org, &first.id, &list, &s->error));
	EXPECT_INT(1, (int64_t) list.count);
	if (list.count == 1)
	{
		const aut_event_row *got = &list.items[0];

		EXPECT_ID(first.id, got->id);
		EXPECT_TEXT("github", got->source);
		EXPECT_TEXT("d-1", got->provider_event_id);
		EXPECT_TEXT("push", got->event_key);
		EXPECT_TEXT(NULL, got->why);
		EXPECT_INT(AUT_EVENT_UNMATCHED, got->state);
		EXPECT_INT(3, got->considered);
		EXPECT_INT(SUITE_NOW, got->received_at);
		EXPECT_TEXT("{\"user-agent\":\"x\"}", got->headers);
		EXPECT_TEXT("{\"list\":[]}", got->verdicts);
		EXPECT_INT(8, (int64_t) got->body_len);
		EXPECT(got->body_len == 8 && memcmp(got->body, first.body, 8) == 0);
	}
	aut_event_list_done(&list);
	EXPECT_OK(aut_db_run(s->db, &delete_events, NULL, NULL, NULL, &s->error));
}

static void
events_are_listed_newest_first(suite *s)
{
	static const char *const keys[] = {"push", "issues.opened", "push", "push"};
	aut_event_wanted wanted = {NULL, NULL, NULL};
	aut_event_list list = {0};
	aut_uuid ids[4];

	for (int i = 0; i < 4; i++)
	{
		aut_event_row row = event(s, NULL);

		row.event_key = keys[i];
		row.state = i == 3 ? AUT_EVENT_MATCHED : AUT_EVENT_UNMATCHED;
		ids[i] = row.id;
		EXPECT(insert(s, &row));
	}
	EXPECT_OK(aut_store_event_list(s->db, &s->org, &wanted, NULL, 2, &list, &s->error));
	EXPECT_INT(2, (int64_t) list.count);
	if (list.count == 2)
	{
		EXPECT_ID(ids[3], list.items[0].id);
		EXPECT_ID(ids[2], list.items[1].id);
		EXPECT(list.items[0].body == NULL);
	}
	aut_event_list_done(&list);
	EXPECT_OK(aut_store_event_list(s->db, &s->org, &wanted, &ids[2], 9, &list, &s->error));
	EXPECT_INT(2, (int64_t) list.count);
	aut_event_list_done(&list);
	wanted.key = "push";
	wanted.state = "UNMATCHED";
	wanted.source = "github";
	EXPECT_OK(aut_store_event_list(s->db, &s->org, &wanted, NULL, 9, &list, &s->error));
	EXPECT_INT(2, (int64_t) list.count);
	aut_event_list_done(&list);
	wanted.source = "nobody";
	EXPECT_OK(aut_store_event_list(s->db, &s->org, &wanted, NULL, 9, &list, &s->error));
	EXPECT_INT(0, (int64_t) list.count);
	aut_event_list_done(&list);
	EXPECT_STATUS(AUT_EINVAL,
				  aut_store_event_list(s->db, &s->org, &wanted, NULL, -1, &list, &s->error));
	EXPECT_OK(aut_db_run(s->db, &delete_events, NULL, NULL, NULL, &s->error));
}

static void
runs_name_their_event(suite *s)
{
	aut_event_row row = event(s, NULL);
	aut_run_new run = {.automation_id = suite_insert_automation(s, "a"),
					   .trigger_source = "event",
					   .scheduled_for = AUT_TIME_NONE,
					   .created_at = SUITE_NOW,
					   .ready_at = SUITE_NOW,
					   .trigger_event_id = &row.id,
					   .observability_associations = "{\"repo\":\"o/r\"}",
					   .subject_key = "o/r#1"};
	aut_run_list list = {0};

	EXPECT(insert(s, &row));
	run.id = suite_id(s);
	EXPECT_OK(aut_store_run_insert(s->db, &run, &s->error));
	run.id = suite_id(s);
	run.replayed = true;
	run.subject_key = NULL;
	EXPECT_OK(aut_store_run_insert(s->db, &run, &s->error));
	EXPECT_OK(aut_store_event_runs(s->db, &row.id, 9, &list, &s->error));
	EXPECT_INT(2, (int64_t) list.count);
	if (list.count == 2)
	{
		EXPECT(list.items[0].has_trigger_event);
		EXPECT_ID(row.id, list.items[0].trigger_event_id);
		EXPECT_TEXT("o/r#1", list.items[0].subject_key);
		EXPECT_TEXT("{\"repo\":\"o/r\"}", list.items[0].observability_associations);
		EXPECT(!list.items[0].replayed);
		EXPECT(list.items[1].replayed);
		EXPECT_TEXT(NULL, list.items[1].subject_key);
	}
	aut_run_list_done(&list);
	/* runs outlive their event */
	EXPECT_OK(aut_db_run(s->db, &delete_events, NULL, NULL, NULL, &s->error));
	EXPECT_OK(aut_store_event_runs(s->db, &row.id, 9, &list, &s->error));
	EXPECT_INT(2, (int64_t) list.count);
	aut_run_list_done(&list);
}

static void
old_events_are_forgotten(suite *s)
{
	int64_t count = -1;

	for (int i = 0; i < 4; i++)
	{
		aut_event_row row = event(s, NULL);

		row.received_at = SUITE_NOW + i * SECOND;
		aut_uuid_v7_first(row.received_at, &row.id);
		EXPECT(insert(s, &row));
	}
	EXPECT_OK(aut_store_forget_events(s->db, SUITE_NOW, 9, &count, &s->error));
	EXPECT_INT(0, count);
	EXPECT_OK(aut_store_forget_events(s->db, SUITE_NOW + 2 * SECOND, 1, &count, &s->error));
	EXPECT_INT(1, count);
	EXPECT_OK(aut_store_forget_events(s->db, SUITE_NOW + 2 * SECOND, 9, &count, &s->error));
	EXPECT_INT(1, count);
	EXPECT_OK(aut_store_forget_events(s->db, SUITE_NOW + 9 * SECOND, 9, &count, &s->error));
	EXPECT_INT(2, count);
}

/* ---- the index ------------------------------------------------------------------------------- */

static size_t
found(suite *s, const char *scope, const char *path, const char *text, aut_uuid *out_first)
{
	aut_trigger_probe probe = {.org_id = s->org, .source = "github", .scope = scope, .path = path};
	json_t *payload = json_pack("{s:s}", "ref", text);
	aut_uuid after = {{0}};
	aut_rows rows = {0};
	size_t count;

	if (path[0] != '\0')
		EXPECT(aut_event_literal(payload, path, &probe.literal));
	json_decref(payload);
	EXPECT_OK(aut_store_trigger_find(s->db, &probe, &after, 100, &rows, &s->error));
	count = rows.count;
	if (count > 0 && out_first != NULL)
		*out_first = aut_rows_uuid(&rows, 0, 0);
	aut_rows_done(&rows);
	return count;
}

static void
stamp_moves(suite *s, int64_t *stamp, bool moves)
{
	int64_t now = -1;

	EXPECT_OK(aut_store_trigger_stamp(s->db, &s->org, &now, &s->error));
	EXPECT_INT(moves, now != *stamp);
	*stamp = now;
}

static void
the_index_follows_the_automation(suite *s)
{
	aut_automation a = suite_automation(s, "a");
	aut_rows rows = {0};
	const char *next = "";
	int64_t stamp = 0;
	aut_uuid first;
	bool won = false;

	EXPECT_OK(aut_store_trigger_stamp(s->db, &s->org, &stamp, &s->error));
	EXPECT_OK(aut_store_automation_insert(s->db, &a, &s->error)); /* by hand only */
	stamp_moves(s, &stamp, false);

	a.trigger = "{\"type\":\"event\",\"source\":\"github\",\"on\":[\"push\",\"issues.*\",\"*ed\"],"
				"\"filter\":\"ref == 'main' && x\"}";
	EXPECT_OK(aut_store_automation_update(s->db, &a, &s->error));
	stamp_moves(s, &stamp, true);
	EXPECT_INT(1, (int64_t) found(s, "=push", "ref", "main", &first));
	EXPECT_ID(a.id, first);
	EXPECT_INT(1, (int64_t) found(s, ".issues", "ref", "main", NULL));
	EXPECT_INT(1, (int64_t) found(s, "*", "ref", "main", NULL));
	EXPECT_INT(0, (int64_t) found(s, "*", "ref", "other", NULL));
	EXPECT_INT(0, (int64_t) found(s, "*", "", "", NULL));
	aut_trigger_probe probe = {.org_id = s->org, .source = "github", .scope = "*", .path = ""};
	EXPECT_OK(aut_store_trigger_next_path(s->db, &probe, &rows, &next, &s->error));
	EXPECT_TEXT("ref", next);
	aut_rows_done(&rows);
	EXPECT_OK(aut_store_trigger_beyond(s->db, &probe, 9, &rows, &s->error));
	EXPECT_INT(1, (int64_t) rows.count);
	aut_rows_done(&rows);
	probe.path = "ref";
	EXPECT_OK(aut_store_trigger_next_path(s->db, &probe, &rows, &next, &s->error));
	EXPECT(next == NULL);
	aut_rows_done(&rows);

	EXPECT_OK(aut_store_automation_disable(s->db, &a.id, "why", "{}", SUITE_NOW, &won, &s->error));
	EXPECT(won);
	stamp_moves(s, &stamp, true);
	EXPECT_INT(1, (int64_t) found(s, "=push", "ref", "main", NULL));
	EXPECT_OK(aut_store_trigger_definition(s->db, &a.id, &rows, &s->error));
	EXPECT_INT(1, (int64_t) rows.count);
	if (rows.count == 1)
		EXPECT_TEXT("INACTIVE", aut_rows_text(&rows, 0, 1));
	aut_rows_done(&rows);

	a.deleted_at = SUITE_NOW;
	EXPECT_OK(aut_store_automation_update(s->db, &a, &s->error));
	stamp_moves(s, &stamp, true);
	EXPECT_INT(0, (int64_t) found(s, "=push", "ref", "main", NULL));
	EXPECT_OK(aut_store_trigger_definition(s->db, &a.id, &rows, &s->error));
	EXPECT_INT(0, (int64_t) rows.count);
	aut_rows_done(&rows);
	EXPECT_OK(aut_store_automation_update(s->db, &a, &s->error));
	stamp_moves(s, &stamp, false);
}

const suite_test suite_event_tests[] = {
	{"a_delivery_is_kept_once", a_delivery_is_kept_once, false},
	{"events_are_listed_newest_first", events_are_listed_newest_first, false},
	{"runs_name_their_event", runs_name_their_event, false},
	{"old_events_are_forgotten", old_events_are_forgotten, false},
	{"the_index_follows_the_automation", the_index_follows_the_automation, false},
	{NULL, NULL, false},
};
