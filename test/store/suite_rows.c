/* SPDX-License-Identifier: MIT */
/*
 * test/store/suite_rows.c - the functions of store.h over real tables, but for runs (suite_runs.c).
 */
#include <stdio.h>
#include <string.h>

#include "test/store/store_suite.h"

/* ---- automations --------------------------------------------------------------------------- */

static void
automation_comes_back_whole(suite *s)
{
	aut_automation in = suite_automation(s, "name \xe2\x82\xac '\"; DROP TABLE automation.run; --");
	aut_automation_list list = {0};
	const aut_automation *out;

	in.owner = "alice";
	in.description = "d";
	in.prompt = "p\nq";
	in.preset_metadata = "{\"x\" :  1}";
	in.plugin_spec = "{\"plugin\":[],\"config\":null}";
	in.model = "m";
	in.agent_profile_id = "profile";
	in.trigger = "{\"type\":\"cron\", \"schedule\":\"* * * * *\"}";
	in.trigger_type = "cron";
	in.observability_associations = "[]";
	in.setup_script_path = "setup.sh";
	in.timeout_s = 600;
	in.has_keep_alive = true;
	in.keep_alive = false;
	in.state = "INACTIVE";
	in.disabled_reason = "r";
	in.disabled_detail = "{\"why\":\"x\"}";
	in.disabled_at = SUITE_NOW + 1;
	EXPECT_OK(aut_store_automation_insert(s->db, &in, &s->error));
	EXPECT_OK(aut_store_automation_get(s->db, &s->org, &in.id, &list, &s->error));
	if (list.count != 1)
		return;
	out = list.items;
	EXPECT_ID(in.id, out->id);
	EXPECT_ID(s->org, out->org_id);
	EXPECT_ID(s->user, out->user_id);
	EXPECT_TEXT(in.owner, out->owner);
	EXPECT_TEXT(in.name, out->name);
	EXPECT_TEXT(in.description, out->description);
	EXPECT_TEXT(in.prompt, out->prompt);
	EXPECT_TEXT(in.preset_metadata, out->preset_metadata); /* json keeps the text as it was */
	EXPECT_TEXT(in.plugin_spec, out->plugin_spec);
	EXPECT_TEXT(in.model, out->model);
	EXPECT_TEXT(in.agent_profile_id, out->agent_profile_id);
	EXPECT_TEXT(in.trigger, out->trigger);
	EXPECT_TEXT("cron", out->trigger_type);
	EXPECT_TEXT("[]", out->observability_associations);
	EXPECT_TEXT(in.tarball_path, out->tarball_path);
	EXPECT_TEXT("setup.sh", out->setup_script_path);
	EXPECT_TEXT(in.entrypoint, out->entrypoint);
	EXPECT_INT(600, out->timeout_s);
	EXPECT(out->has_keep_alive && !out->keep_alive);
	EXPECT_TEXT("INACTIVE", out->state);
	EXPECT_TEXT("r", out->disabled_reason);
	EXPECT_TEXT(in.disabled_detail, out->disabled_detail);
	EXPECT_INT(SUITE_NOW + 1, out->disabled_at);
	EXPECT_INT(AUT_TIME_NONE, out->deleted_at);
	EXPECT_INT(AUT_TIME_NONE, out->last_triggered_at);
	EXPECT_INT(AUT_TIME_NONE, out->next_fire_at);
	EXPECT_INT(SUITE_NOW, out->created_at);
	EXPECT_INT(SUITE_NOW, out->updated_at);
	aut_automation_list_done(&list);
}

static void
automation_update_replaces_and_soft_deletes(suite *s)
{
	aut_automation a = suite_automation(s, "a");
	aut_automation_list list = {0};
	aut_uuid other_org = suite_id(s);

	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_automation_update(s->db, &a, &s->error));
	EXPECT_OK(aut_store_automation_insert(s->db, &a, &s->error));
	a.name = "b";
	a.prompt = "p";
	a.timeout_s = 5;
	a.has_keep_alive = a.keep_alive = true;
	a.state = "DRAFT";
	a.updated_at = SUITE_NOW + 7;
	EXPECT_OK(aut_store_automation_update(s->db, &a, &s->error));
	EXPECT_OK(aut_store_automation_get(s->db, &s->org, &a.id, &list, &s->error));
	if (list.count == 1)
	{
		EXPECT_TEXT("b", list.items->name);
		EXPECT_TEXT("p", list.items->prompt);
		EXPECT_TEXT("DRAFT", list.items->state);
		EXPECT_INT(5, list.items->timeout_s);
		EXPECT(list.items->keep_alive);
		EXPECT_INT(SUITE_NOW + 7, list.items->updated_at);
		EXPECT_INT(SUITE_NOW, list.items->created_at);
	}
	aut_automation_list_done(&list);
	EXPECT_STATUS(AUT_ENOTFOUND,
				  aut_store_automation_get(s->db, &other_org, &a.id, &list, &s->error));
	a.deleted_at = SUITE_NOW + 8;
	EXPECT_OK(aut_store_automation_update(s->db, &a, &s->error));
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_automation_get(s->db, &s->org, &a.id, &list, &s->error));
	EXPECT_OK(aut_store_automation_by_name(s->db, &s->org, "b", &list, &s->error));
	EXPECT_INT(0, (int64_t) list.count);
	aut_automation_list_done(&list);
}

/* Page by page behind the last row: every one once, as the whole list has them. */
static void
automation_list_after_meets_each_once(suite *s)
{
	aut_automation_list whole = {0}, page = {0};

	for (int i = 0; i < 6; i++)
	{
		aut_automation a = suite_automation(s, "a");

		/* all but two share one time: then the id decides */
		a.created_at = SUITE_NOW + (i < 2 ? i : 2) * SECOND;
		EXPECT_OK(aut_store_automation_insert(s->db, &a, &s->error));
	}
	EXPECT_OK(aut_store_automation_list(s->db, &s->org, AUT_CREATED_BY_ANY, &s->user, 10, 0, &whole,
										NULL, &s->error));
	EXPECT_INT(6, (int64_t) whole.count);
	for (size_t at = 1; at <= whole.count; at++)
	{
		aut_row_place after = {whole.items[at - 1].created_at, whole.items[at - 1].id};

		EXPECT_OK(aut_store_automation_list_after(s->db, &s->org, AUT_CREATED_BY_ME, &s->user,
												  &after, 2, &page, &s->error));
		EXPECT_INT((int64_t) (whole.count - at < 2 ? whole.count - at : 2), (int64_t) page.count);
		for (size_t i = 0; i < page.count && at + i < whole.count; i++)
			EXPECT_ID(whole.items[at + i].id, page.items[i].id);
		aut_automation_list_done(&page);
	}
	aut_automation_list_done(&whole);
}

static void
automation_list_pages_newest_first(suite *s)
{
	aut_uuid others = suite_id(s);
	aut_automation_list list = {0};
	int64_t total = -1;
	char name[8];

	for (int i = 0; i < 7; i++)
	{
		aut_automation a = suite_automation(s, name);

		snprintf(name, sizeof(name), "a%d", i);
		/* the last three share one time: then the id decides */
		a.created_at = SUITE_NOW + (i < 4 ? i : 4) * SECOND;
		if (i == 2)
			a.user_id = others;
		if (i == 5)
			a.deleted_at = SUITE_NOW;
		if (i == 0)
			a.org_id = others;
		EXPECT_OK(aut_store_automation_insert(s->db, &a, &s->error));
	}
	EXPECT_OK(aut_store_automation_list(s->db, &s->org, AUT_CREATED_BY_ANY, &s->user, 3, 1, &list,
										&total, &s->error));
	EXPECT_INT(5, total);
	EXPECT_INT(3, (int64_t) list.count);
	if (list.count == 3)
	{
		EXPECT_TEXT("a4", list.items[0].name);
		EXPECT_TEXT("a3", list.items[1].name);
		EXPECT_TEXT("a2", list.items[2].name);
	}
	aut_automation_list_done(&list);
	EXPECT_OK(aut_store_automation_list(s->db, &s->org, AUT_CREATED_BY_ME, &s->user, 10, 0, &list,
										&total, &s->error));
	EXPECT_INT(4, total);
	EXPECT_INT(4, (int64_t) list.count);
	aut_automation_list_done(&list);
	EXPECT_OK(aut_store_automation_list(s->db, &s->org, AUT_CREATED_BY_OTHERS, &s->user, 10, 0,
										&list, &total, &s->error));
	EXPECT_INT(1, total);
	EXPECT_TEXT("a2", list.count == 1 ? list.items[0].name : NULL);
	aut_automation_list_done(&list);
	EXPECT_OK(aut_store_automation_list(s->db, &s->org, AUT_CREATED_BY_ANY, NULL, 10, 99, &list,
										NULL, &s->error));
	EXPECT_INT(0, (int64_t) list.count);
	aut_automation_list_done(&list);
	EXPECT_STATUS(AUT_EINVAL, aut_store_automation_list(s->db, &s->org, AUT_CREATED_BY_ANY, NULL,
														-1, 0, &list, NULL, &s->error));
	EXPECT_STATUS(AUT_EINVAL, aut_store_automation_list(s->db, &s->org, AUT_CREATED_BY_ANY, NULL, 1,
														-1, &list, NULL, &s->error));
}

static void
automation_names_may_repeat(suite *s)
{
	aut_automation_list list = {0};
	aut_automation older = suite_automation(s, "same");
	aut_automation newer = suite_automation(s, "same");

	newer.created_at = SUITE_NOW + 1;
	EXPECT_OK(aut_store_automation_insert(s->db, &newer, &s->error));
	EXPECT_OK(aut_store_automation_insert(s->db, &older, &s->error));
	suite_insert_automation(s, "Same");
	EXPECT_OK(aut_store_automation_by_name(s->db, &s->org, "same", &list, &s->error));
	EXPECT_INT(2, (int64_t) list.count);
	if (list.count == 2)
	{
		EXPECT_ID(newer.id, list.items[0].id);
		EXPECT_ID(older.id, list.items[1].id);
	}
	aut_automation_list_done(&list);
}

static int64_t
last_triggered(suite *s, const aut_uuid *id)
{
	aut_automation_list list = {0};
	int64_t at = 0;

	EXPECT_OK(aut_store_automation_get(s->db, &s->org, id, &list, &s->error));
	if (list.count == 1)
		at = list.items->last_triggered_at;
	aut_automation_list_done(&list);
	return at;
}

/* A fire of now; the next is a second later than SUITE_NOW. */
static void
fire(suite *s, const aut_uuid *automation_id, int64_t now)
{
	aut_fire one = {*automation_id, suite_id(s), SUITE_NOW, SUITE_NOW + SECOND};
	size_t made = 0;

	EXPECT_OK(aut_store_schedule_fire(s->db, &one, 1, now, &made, &s->error));
	EXPECT_INT(1, (int64_t) made);
}

static void
last_triggered_is_the_later_of_hand_and_clock(suite *s)
{
	aut_uuid id = suite_insert_automation(s, "a");

	EXPECT_OK(aut_store_schedule_put(s->db, &id, "* * * * *", "UTC", SUITE_NOW, &s->error));
	EXPECT_INT(AUT_TIME_NONE, last_triggered(s, &id));
	EXPECT_OK(aut_store_automation_triggered(s->db, &id, SUITE_NOW + 5, &s->error));
	EXPECT_INT(SUITE_NOW + 5, last_triggered(s, &id));
	EXPECT_OK(
		aut_store_automation_triggered(s->db, &id, SUITE_NOW + 3, &s->error)); /* a late writer */
	EXPECT_INT(SUITE_NOW + 5, last_triggered(s, &id));
	fire(s, &id, SUITE_NOW + 9);
	EXPECT_INT(SUITE_NOW + 9, last_triggered(s, &id));
	EXPECT_OK(aut_store_automation_triggered(s->db, &id, SUITE_NOW + 11, &s->error));
	EXPECT_INT(SUITE_NOW + 11, last_triggered(s, &id));
}

/* ---- schedule ------------------------------------------------------------------------------ */

static void
due_schedules_come_earliest_first(suite *s)
{
	aut_uuid ids[5];
	aut_due_list due = {0};
	int64_t next = 0;

	EXPECT_OK(aut_store_schedule_next(s->db, &next, &s->error));
	EXPECT_INT(AUT_TIME_NONE, next);
	for (int i = 0; i < 5; i++)
	{
		ids[i] = suite_insert_automation(s, "a");
		EXPECT_OK(aut_store_schedule_put(s->db, &ids[i], "*/5 * * * *", "Europe/Berlin",
										 i == 4 ? AUT_TIME_NONE : SUITE_NOW + (3 - i) * SECOND,
										 &s->error));
	}
	EXPECT_OK(aut_store_schedule_next(s->db, &next, &s->error));
	EXPECT_INT(SUITE_NOW, next);
	EXPECT_OK(aut_store_schedule_due(s->db, SUITE_NOW - 1, 10, &due, &s->error));
	EXPECT_INT(0, (int64_t) due.count);
	aut_due_list_done(&due);
	EXPECT_OK(aut_store_schedule_due(s->db, SUITE_NOW + 2 * SECOND, 10, &due, &s->error));
	EXPECT_INT(3, (int64_t) due.count);
	for (size_t i = 0; i < due.count; i++)
	{
		EXPECT_ID(ids[3 - i], due.items[i].automation_id);
		EXPECT_INT(SUITE_NOW + (int64_t) i * SECOND, due.items[i].next_fire_at);
		EXPECT_TEXT("*/5 * * * *", due.items[i].expr);
		EXPECT_TEXT("Europe/Berlin", due.items[i].timezone);
	}
	aut_due_list_done(&due);
	EXPECT_OK(aut_store_schedule_due_latest(s->db, SUITE_NOW + 2 * SECOND, SUITE_NOW, 9, &due,
											&s->error));
	EXPECT_INT(2, (int64_t) due.count);
	EXPECT_INT(SUITE_NOW + 2 * SECOND, due.items[0].next_fire_at);
	EXPECT_INT(SUITE_NOW + SECOND, due.items[1].next_fire_at);
	aut_due_list_done(&due);
	EXPECT_OK(aut_store_schedule_due(s->db, SUITE_NOW + 9 * SECOND, 1, &due, &s->error));
	EXPECT_INT(1, (int64_t) due.count);
	aut_due_list_done(&due);
	EXPECT_STATUS(AUT_EINVAL, aut_store_schedule_due(s->db, SUITE_NOW, -1, &due, &s->error));
}

static void
schedule_put_replaces_and_delete_removes(suite *s)
{
	aut_uuid id = suite_insert_automation(s, "a");
	int64_t next = 0;

	EXPECT_OK(aut_store_schedule_put(s->db, &id, "1 * * * *", "UTC", SUITE_NOW, &s->error));
	fire(s, &id, SUITE_NOW + 1);
	EXPECT_OK(aut_store_schedule_next(s->db, &next, &s->error));
	EXPECT_INT(SUITE_NOW + SECOND, next);
	EXPECT_OK(aut_store_schedule_put(s->db, &id, "2 * * * *", "UTC", AUT_TIME_NONE, &s->error));
	EXPECT_OK(aut_store_schedule_next(s->db, &next, &s->error));
	EXPECT_INT(AUT_TIME_NONE, next);
	EXPECT_INT(SUITE_NOW + 1, last_triggered(s, &id)); /* replacing keeps what happened */
	EXPECT_OK(aut_store_schedule_delete(s->db, &id, &s->error));
	EXPECT_OK(aut_store_schedule_delete(s->db, &id, &s->error)); /* twice is fine */
	EXPECT_INT(AUT_TIME_NONE, last_triggered(s, &id));
}

static void
a_batch_of_fires_makes_a_run_a_slot(suite *s)
{
	aut_automation inline_one = suite_automation(s, "sql");
	aut_fire fires[4];
	aut_run_list list = {0};
	size_t made = 0;
	int64_t next = 0;

	inline_one.tarball_path = AUT_TARBALL_INLINE;
	EXPECT_OK(aut_store_automation_insert(s->db, &inline_one, &s->error));
	for (int i = 0; i < 4; i++)
	{
		fires[i] = (aut_fire){
			.automation_id = i == 3 ? inline_one.id : suite_insert_automation(s, "a"),
			.run_id = suite_id(s),
			.slot = SUITE_NOW + i,
			.next_fire_at = i == 0 ? AUT_TIME_NONE : SUITE_NOW + (10 - i) * SECOND,
		};
		EXPECT_OK(aut_store_schedule_put(s->db, &fires[i].automation_id, "* * * * *", "UTC",
										 SUITE_NOW, &s->error));
	}
	/* nothing at all; one alone; and all, of which one has fired */
	EXPECT_OK(aut_store_schedule_fire(s->db, fires, 0, SUITE_NOW, &made, &s->error));
	EXPECT_INT(0, (int64_t) made);
	EXPECT_OK(aut_store_schedule_fire(s->db, &fires[1], 1, SUITE_NOW + 5, &made, &s->error));
	EXPECT_INT(1, (int64_t) made);
	fires[1].run_id = suite_id(s);
	EXPECT_OK(aut_store_schedule_fire(s->db, fires, 4, SUITE_NOW + 7, &made, &s->error));
	EXPECT_INT(3, (int64_t) made);
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_run_get(s->db, &fires[1].run_id, &list, &s->error));
	EXPECT_OK(aut_store_run_get(s->db, &fires[2].run_id, &list, &s->error));
	EXPECT_INT(AUT_RUN_PENDING, list.items[0].status);
	EXPECT_TEXT("cron", list.items[0].trigger_source);
	EXPECT_INT(SUITE_NOW + 2, list.items[0].scheduled_for);
	EXPECT_INT(SUITE_NOW + 7, list.items[0].ready_at);
	EXPECT_INT(SUITE_NOW + 7, list.items[0].created_at);
	aut_run_list_done(&list);
	for (int i = 0; i < 4; i++)
		EXPECT_INT(SUITE_NOW + 7, last_triggered(s, &fires[i].automation_id));
	EXPECT_OK(aut_store_schedule_next(s->db, &next, &s->error));
	EXPECT_INT(SUITE_NOW + 7 * SECOND, next); /* the first one's is over */
	EXPECT_OK(aut_store_run_next_ready_inline(s->db, &(aut_ready){0}, &next, &s->error));
	EXPECT_INT(SUITE_NOW + 7, next);
}

static void
a_fire_without_its_schedule_is_told(suite *s)
{
	aut_fire fires[2];
	size_t made;

	for (int i = 0; i < 2; i++)
		fires[i] = (aut_fire){suite_insert_automation(s, "a"), suite_id(s), SUITE_NOW, SUITE_NOW};
	EXPECT_OK(aut_store_schedule_put(s->db, &fires[0].automation_id, "* * * * *", "UTC", SUITE_NOW,
									 &s->error));
	EXPECT_STATUS(AUT_ENOTFOUND,
				  aut_store_schedule_fire(s->db, fires, 2, SUITE_NOW, &made, &s->error));
	EXPECT_STATUS(AUT_ENOTFOUND,
				  aut_store_schedule_fire(s->db, &fires[1], 1, SUITE_NOW, &made, &s->error));
}

static const aut_stmt read_gaps = {
	.name = "suite_read_gaps",
	.params = "",
	.columns = "TTl",
	.sql = "SELECT first_missed, last_missed, missed FROM automation.gap ORDER BY first_missed "
		   "LIMIT 9",
};

static void
a_gap_grows_instead_of_doubling(suite *s)
{
	aut_uuid id = suite_insert_automation(s, "a");
	aut_rows rows = {0};

	EXPECT_OK(aut_store_gap_insert(s->db, &id, SUITE_NOW, SUITE_NOW + 60 * SECOND, 2,
								   SUITE_NOW + 99, &s->error));
	EXPECT_OK(aut_store_gap_insert(s->db, &id, SUITE_NOW, SUITE_NOW + 120 * SECOND, 3,
								   SUITE_NOW + 99, &s->error));
	EXPECT_OK(aut_db_run(s->db, &read_gaps, NULL, &rows, NULL, &s->error));
	EXPECT_INT(1, (int64_t) rows.count);
	EXPECT_INT(SUITE_NOW + 120 * SECOND, aut_rows_time(&rows, 0, 1));
	EXPECT_INT(3, aut_rows_int(&rows, 0, 2));
	aut_rows_done(&rows);
}

/* ---- output ------------------------------------------------------------------------------------ */

static const aut_stmt count_chunks = {
	.name = "suite_count_chunks",
	.params = "",
	.columns = "l",
	.sql = "SELECT count(*) FROM automation.run_output LIMIT 1",
};

/* The kept output from `after` on, as one text; "|" where a part is missing. */
static const char *
output_text(suite *s, const aut_uuid *run, int64_t after)
{
	static char text[4096];
	aut_rows rows = {0};
	size_t len = 0;
	int64_t end = -1;

	EXPECT_OK(aut_store_output_read(s->db, run, after, 100, &rows, &s->error));
	for (size_t i = 0; i < rows.count; i++)
	{
		const aut_value *data = aut_rows_at(&rows, i, 1);
		int64_t start = aut_rows_int(&rows, i, 0);

		if (end >= 0 && start != end)
			text[len++] = '|';
		if (len + data->len < sizeof(text) - 2)
			memcpy(text + len, data->data, data->len);
		len += data->len;
		end = start + (int64_t) data->len;
	}
	text[len] = '\0';
	aut_rows_done(&rows);
	return text;
}

static void
output_can_be_appended_again_without_doubling(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid nobody = suite_id(s);
	aut_run_list list = {0};

	EXPECT_OK(aut_store_output_append(s->db, &id, 0, "hello ", 6, SUITE_NOW, 1000, &s->error));
	EXPECT_OK(aut_store_output_append(s->db, &id, 6, "world", 5, SUITE_NOW, 1000, &s->error));
	EXPECT_OK(aut_store_output_append(s->db, &id, 6, "world", 5, SUITE_NOW, 1000, &s->error));
	EXPECT_OK(
		aut_store_output_append(s->db, &id, 0, "hello world", 11, SUITE_NOW, 1000, &s->error));
	EXPECT_TEXT("hello world", output_text(s, &id, 0));
	EXPECT_OK(
		aut_store_output_append(s->db, &id, 6, "world, again", 12, SUITE_NOW, 1000, &s->error));
	EXPECT_TEXT("hello world, again", output_text(s, &id, 0));
	EXPECT_INT(18, suite_run(s, &id, &list)->output_bytes);
	EXPECT_OK(aut_store_output_append(s->db, &id, 18, "", 0, SUITE_NOW, 1000, &s->error));
	EXPECT_INT(3, suite_count(s, &count_chunks));
	/* a part was lost */
	EXPECT_OK(aut_store_output_append(s->db, &id, 30, "end", 3, SUITE_NOW, 1000, &s->error));
	EXPECT_TEXT("hello world, again|end", output_text(s, &id, 0));
	EXPECT_INT(33, suite_run(s, &id, &list)->output_bytes);
	EXPECT_STATUS(AUT_ENOTFOUND,
				  aut_store_output_append(s->db, &nobody, 0, "x", 1, SUITE_NOW, 9, &s->error));
	EXPECT_STATUS(AUT_EINVAL,
				  aut_store_output_append(s->db, &id, -1, "x", 1, SUITE_NOW, 9, &s->error));
	aut_run_list_done(&list);
}

static void
output_reads_from_any_byte(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW);
	aut_rows rows = {0};

	EXPECT_TEXT("", output_text(s, &id, 0));
	EXPECT_OK(aut_store_output_append(s->db, &id, 2, "cd", 2, SUITE_NOW, 1000, &s->error));
	EXPECT_OK(aut_store_output_append(s->db, &id, 4, "e\0\xff", 3, SUITE_NOW + 1, 1000, &s->error));
	EXPECT_TEXT("cde", output_text(s, &id, 0)); /* before what is kept */
	EXPECT_TEXT("cde", output_text(s, &id, 3)); /* in the middle: whole chunks */
	EXPECT_OK(aut_store_output_read(s->db, &id, 4, 10, &rows, &s->error));
	EXPECT_INT(1, (int64_t) rows.count);
	EXPECT_INT(4, aut_rows_int(&rows, 0, 0));
	EXPECT_INT(3, (int64_t) aut_rows_at(&rows, 0, 1)->len);
	EXPECT(rows.count == 1 && memcmp(aut_rows_text(&rows, 0, 1), "e\0\xff", 3) == 0);
	EXPECT_INT(SUITE_NOW + 1, aut_rows_time(&rows, 0, 2));
	aut_rows_done(&rows);
	EXPECT_OK(aut_store_output_read(s->db, &id, 7, 10, &rows, &s->error));
	EXPECT_INT(0, (int64_t) rows.count); /* the end */
	aut_rows_done(&rows);
	EXPECT_OK(aut_store_output_read(s->db, &id, 0, 1, &rows, &s->error));
	EXPECT_INT(1, (int64_t) rows.count);
	aut_rows_done(&rows);
}

static void
old_output_is_dropped_in_whole_chunks(suite *s)
{
	static char big[200000];
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW);
	aut_rows rows = {0};
	int64_t kept = 0;

	for (int i = 0; i < 10; i++)
		EXPECT_OK(aut_store_output_append(s->db, &id, i * 4, "abcd", 4, SUITE_NOW, 10, &s->error));
	EXPECT_INT(3, suite_count(s, &count_chunks)); /* 12 bytes: at least the 10 newest */
	EXPECT_TEXT("abcdabcdabcd", output_text(s, &id, 0));
	memset(big, 'x', sizeof(big));
	EXPECT_OK(
		aut_store_output_append(s->db, &id, 40, big, sizeof(big), SUITE_NOW, 100000, &s->error));
	EXPECT_OK(aut_store_output_read(s->db, &id, 0, 100, &rows, &s->error));
	for (size_t i = 0; i < rows.count; i++)
		kept += (int64_t) aut_rows_at(&rows, i, 1)->len;
	EXPECT(kept >= 100000 && kept < 100000 + 70000);
	aut_rows_done(&rows);
}

/* ---- uploads and workers ------------------------------------------------------------------------ */

static void
uploads_keep_their_bytes_until_deleted(suite *s)
{
	static unsigned char bytes[1024 * 1024];
	aut_uuid others = suite_id(s);
	aut_upload upload = {
		.id = suite_id(s),
		.org_id = s->org,
		.user_id = s->user,
		.name = "x.tar",
		.description = "d",
		.status = "COMPLETED",
		.size_bytes = sizeof(bytes),
		.created_at = SUITE_NOW,
		.updated_at = SUITE_NOW,
		.deleted_at = AUT_TIME_NONE,
	};
	aut_upload failed = upload;
	aut_upload_list list = {0};
	aut_rows data = {0};
	int64_t total = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char) (i * 31 + (i >> 8));
	failed.id = suite_id(s);
	failed.status = "FAILED";
	failed.error_message = "too large";
	failed.size_bytes = -1;
	failed.created_at = SUITE_NOW + 1;
	EXPECT_OK(aut_store_upload_insert(s->db, &upload, bytes, sizeof(bytes), &s->error));
	EXPECT_OK(aut_store_upload_insert(s->db, &failed, NULL, 0, &s->error));
	EXPECT_OK(aut_store_upload_data(s->db, &upload.id, &data, &s->error));
	EXPECT(data.count == 1 && aut_rows_at(&data, 0, 0)->len == sizeof(bytes) &&
		   memcmp(aut_rows_at(&data, 0, 0)->data, bytes, sizeof(bytes)) == 0);
	aut_rows_done(&data);
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_upload_data(s->db, &failed.id, &data, &s->error));
	EXPECT_OK(
		aut_store_upload_list(s->db, &s->org, &s->user, NULL, 10, 0, &list, &total, &s->error));
	EXPECT_INT(2, total);
	EXPECT_INT(2, (int64_t) list.count);
	if (list.count == 2)
	{
		EXPECT_ID(failed.id, list.items[0].id);
		EXPECT_INT(-1, list.items[0].size_bytes);
		EXPECT_TEXT("too large", list.items[0].error_message);
		EXPECT_TEXT("x.tar", list.items[1].name);
		EXPECT_TEXT("d", list.items[1].description);
		EXPECT_INT(sizeof(bytes), list.items[1].size_bytes);
		EXPECT_ID(s->user, list.items[1].user_id);
	}
	aut_upload_list_done(&list);
	EXPECT_OK(aut_store_upload_list_after(s->db, &s->org, &s->user, NULL,
										  &(aut_row_place){failed.created_at, failed.id}, 10, &list,
										  &s->error));
	EXPECT_ID(upload.id, list.count == 1 ? list.items[0].id : AUT_UUID_NIL);
	aut_upload_list_done(&list);
	EXPECT_OK(aut_store_upload_list_after(s->db, &s->org, &s->user, "FAILED",
										  &(aut_row_place){failed.created_at, failed.id}, 10, &list,
										  &s->error));
	EXPECT_INT(0, (int64_t) list.count);
	aut_upload_list_done(&list);
	EXPECT_OK(aut_store_upload_list(s->db, &s->org, &s->user, "COMPLETED", 10, 0, &list, &total,
									&s->error));
	EXPECT_INT(1, total);
	aut_upload_list_done(&list);
	EXPECT_OK(
		aut_store_upload_list(s->db, &s->org, &others, NULL, 10, 0, &list, &total, &s->error));
	EXPECT_INT(0, total);
	aut_upload_list_done(&list);
	EXPECT_OK(aut_store_upload_delete(s->db, &upload.id, SUITE_NOW + 5, &s->error));
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_upload_delete(s->db, &upload.id, SUITE_NOW, &s->error));
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_upload_data(s->db, &upload.id, &data, &s->error));
	EXPECT_OK(aut_store_upload_get(s->db, &upload.id, &list, &s->error));
	EXPECT_INT(SUITE_NOW + 5, list.count == 1 ? list.items->deleted_at : 0);
	aut_upload_list_done(&list);
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_upload_get(s->db, &others, &list, &s->error));
}

static const aut_stmt read_workers = {
	.name = "suite_read_workers",
	.params = "",
	.columns = "tlTTT",
	.sql = "SELECT name, pid, started_at, renewed_at, lease_until FROM automation.worker"
		   " ORDER BY name LIMIT 9",
};

static void
a_lease_is_one_row_per_worker(suite *s)
{
	aut_rows rows = {0};

	EXPECT_OK(aut_store_worker_lease(s->db, "w", 11, SUITE_NOW, SUITE_NOW + 5, &s->error));
	EXPECT_OK(aut_store_worker_lease(s->db, "w", 12, SUITE_NOW + 3, SUITE_NOW + 8, &s->error));
	EXPECT_OK(aut_db_run(s->db, &read_workers, NULL, &rows, NULL, &s->error));
	EXPECT_INT(1, (int64_t) rows.count);
	EXPECT_INT(12, aut_rows_int(&rows, 0, 1));
	EXPECT_INT(SUITE_NOW, aut_rows_time(&rows, 0, 2));
	EXPECT_INT(SUITE_NOW + 3, aut_rows_time(&rows, 0, 3));
	EXPECT_INT(SUITE_NOW + 8, aut_rows_time(&rows, 0, 4));
	aut_rows_done(&rows);
	EXPECT_OK(aut_store_worker_leave(s->db, "w", &s->error));
	EXPECT_OK(aut_store_worker_leave(s->db, "w", &s->error));
	EXPECT_OK(aut_db_run(s->db, &read_workers, NULL, &rows, NULL, &s->error));
	EXPECT_INT(0, (int64_t) rows.count);
	aut_rows_done(&rows);
}

#define TEST(name)                                                                                 \
	{                                                                                              \
#name, name, false                                                                         \
	}

const suite_test suite_rows_tests[] = {
	TEST(automation_comes_back_whole),
	TEST(automation_update_replaces_and_soft_deletes),
	TEST(automation_list_pages_newest_first),
	TEST(automation_list_after_meets_each_once),
	TEST(automation_names_may_repeat),
	TEST(last_triggered_is_the_later_of_hand_and_clock),
	TEST(due_schedules_come_earliest_first),
	TEST(schedule_put_replaces_and_delete_removes),
	TEST(a_batch_of_fires_makes_a_run_a_slot),
	TEST(a_fire_without_its_schedule_is_told),
	TEST(a_gap_grows_instead_of_doubling),
	TEST(output_can_be_appended_again_without_doubling),
	TEST(output_reads_from_any_byte),
	TEST(old_output_is_dropped_in_whole_chunks),
	TEST(uploads_keep_their_bytes_until_deleted),
	TEST(a_lease_is_one_row_per_worker),
	{NULL, NULL, false},
};
