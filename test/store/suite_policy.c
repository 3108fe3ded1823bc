/* SPDX-License-Identifier: MIT */
/*
 * test/store/suite_policy.c - dedupe keys, switching off, waiting runs, and what retention takes away.
 */
#include <string.h>

#include "test/store/store_suite.h"

#define DAY (24 * 3600 * SECOND)

static void
a_key_is_taken_once_until_it_expires(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid b = suite_insert_automation(s, "b");
	aut_uuid first = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid second = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid never = suite_id(s);
	aut_uuid got = AUT_UUID_NIL;
	bool taken = false;

	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_dedupe_run(s->db, &a, "k", &got, &s->error));
	EXPECT_OK(aut_store_dedupe_take(s->db, &a, "k", &first, SUITE_NOW, SUITE_NOW + DAY, &taken,
									&s->error));
	EXPECT(taken);
	EXPECT_OK(aut_store_dedupe_take(s->db, &a, "k", &second, SUITE_NOW + DAY - 1,
									SUITE_NOW + 2 * DAY, &taken, &s->error));
	EXPECT(!taken);
	EXPECT_OK(aut_store_dedupe_run(s->db, &a, "k", &got, &s->error));
	EXPECT_ID(first, got);
	/* another automation, another key */
	EXPECT_OK(aut_store_dedupe_take(s->db, &b, "k", &second, SUITE_NOW, SUITE_NOW + DAY, &taken,
									&s->error));
	EXPECT(taken);
	EXPECT_OK(aut_store_dedupe_take(s->db, &a, "l", &never, SUITE_NOW, SUITE_NOW + DAY, &taken,
									&s->error));
	EXPECT(taken);
	/* expired; and of a run that is not there any more */
	EXPECT_OK(aut_store_dedupe_take(s->db, &a, "k", &second, SUITE_NOW + DAY, SUITE_NOW + 2 * DAY,
									&taken, &s->error));
	EXPECT(taken);
	EXPECT_OK(aut_store_dedupe_take(s->db, &a, "l", &first, SUITE_NOW, SUITE_NOW + DAY, &taken,
									&s->error));
	EXPECT(taken);
	EXPECT_OK(aut_store_dedupe_run(s->db, &a, "k", &got, &s->error));
	EXPECT_ID(second, got);
}

static void
switching_off_is_guarded(suite *s)
{
	aut_uuid id = suite_insert_automation(s, "a");
	aut_automation_list list = {0};
	aut_disable_event event = {.automation_id = id, .reason = "why", .source = "manual"};
	int64_t at = 0;
	bool won = false;
	aut_rows rows = {0};

	EXPECT_OK(aut_store_schedule_put(s->db, &id, "* * * * *", "UTC", SUITE_NOW, &s->error));
	EXPECT_OK(aut_store_disable_event_newest(s->db, &id, &at, &s->error));
	EXPECT_INT(AUT_TIME_NONE, at);
	EXPECT_OK(aut_store_schedule_stop(s->db, &id, &s->error));
	EXPECT_OK(aut_store_automation_disable(s->db, &id, "why", "{\"a\":1}", SUITE_NOW + 7, &won,
										   &s->error));
	EXPECT(won);
	EXPECT_OK(aut_store_automation_get(s->db, &s->org, &id, &list, &s->error));
	EXPECT(list.count == 1);
	if (list.count == 1)
	{
		EXPECT_TEXT("INACTIVE", list.items->state);
		EXPECT_TEXT("why", list.items->disabled_reason);
		EXPECT_TEXT("{\"a\":1}", list.items->disabled_detail);
		EXPECT_INT(SUITE_NOW + 7, list.items->disabled_at);
		EXPECT_INT(AUT_TIME_NONE, list.items->next_fire_at);
	}
	aut_automation_list_done(&list);
	EXPECT_OK(
		aut_store_automation_disable(s->db, &id, "late", "{}", SUITE_NOW + 8, &won, &s->error));
	EXPECT(!won);
	EXPECT_OK(aut_store_automation_switch(s->db, &id, &rows, &s->error));
	EXPECT_TEXT("INACTIVE", aut_rows_text(&rows, 0, 0));
	EXPECT_TEXT("{\"a\":1}", aut_rows_text(&rows, 0, 1));
	EXPECT(aut_rows_null(&rows, 0, 2));
	aut_rows_done(&rows);
	for (int i = 0; i < 3; i++)
	{
		event.id = suite_id(s);
		event.created_at = SUITE_NOW + (i == 1 ? 20 : i);
		event.has_run = i == 2;
		event.run_id = event.has_run ? suite_insert_run(s, &id, SUITE_NOW) : AUT_UUID_NIL;
		event.detail = i == 0 ? NULL : "{\"b\":[]}";
		EXPECT_OK(aut_store_disable_event_insert(s->db, &event, &s->error));
	}
	EXPECT_OK(aut_store_disable_event_newest(s->db, &id, &at, &s->error));
	EXPECT_INT(SUITE_NOW + 20, at);
}

/* A run that was started and has ended. */
static aut_uuid
ended(suite *s, const aut_uuid *automation_id, aut_run_status status, int64_t at)
{
	aut_run_end end = {.status = status,
					   .from_pending = true,
					   .completed_at = at,
					   .error_detail = "e",
					   .status_detail = "{\"kind\":\"auth\"}"};
	bool won = false;

	end.id = suite_insert_run(s, automation_id, at);
	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	EXPECT(won);
	return end.id;
}

static void
the_newest_ends_are_found(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid ids[4];
	aut_rows rows = {0};

	for (int i = 0; i < 4; i++)
		ids[i] = ended(s, &a, i == 1 ? AUT_RUN_COMPLETED : AUT_RUN_FAILED, SUITE_NOW + i);
	suite_insert_run(s, &a, SUITE_NOW);
	EXPECT_OK(
		aut_store_run_ended_newest(s->db, &a, AUT_RUN_FAILED, AUT_TIME_NONE, 2, &rows, &s->error));
	EXPECT_INT(2, (int64_t) rows.count);
	EXPECT_ID(ids[3], aut_rows_uuid(&rows, 0, 0));
	EXPECT_ID(ids[2], aut_rows_uuid(&rows, 1, 0));
	EXPECT_TEXT("{\"kind\":\"auth\"}", aut_rows_text(&rows, 0, 1));
	EXPECT_INT(SUITE_NOW, aut_rows_time(&rows, 0, 2));
	aut_rows_done(&rows);
	EXPECT_OK(
		aut_store_run_ended_newest(s->db, &a, AUT_RUN_FAILED, SUITE_NOW, 9, &rows, &s->error));
	EXPECT_INT(0, (int64_t) rows.count);
	aut_rows_done(&rows);
	EXPECT_OK(aut_store_run_ended_newest(s->db, &a, AUT_RUN_COMPLETED, AUT_TIME_NONE, 1, &rows,
										 &s->error));
	EXPECT_INT(1, (int64_t) rows.count);
	EXPECT_ID(ids[1], aut_rows_uuid(&rows, 0, 0));
	aut_rows_done(&rows);
}

static void
a_claim_can_be_taken_back_as_skipped(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW), got[1];
	aut_run_list list = {0};
	size_t count = 0;

	EXPECT_OK(aut_store_run_claim(s->db, &(aut_claim){.worker = "me", .now = SUITE_NOW, .limit = 1},
								  got, &count, &s->error));
	EXPECT_OK(aut_store_run_skip_claimed(s->db, &id, "other", SUITE_NOW, "no", "{}", &s->error));
	EXPECT_INT(AUT_RUN_RUNNING, suite_run(s, &id, &list)->status);
	EXPECT_OK(aut_store_run_skip_claimed(s->db, &id, "me", SUITE_NOW + 1, "no",
										 "{\"kind\":\"blocked\"}", &s->error));
	const aut_run *run = suite_run(s, &id, &list);
	EXPECT_INT(AUT_RUN_SKIPPED, run->status);
	EXPECT_INT(0, run->attempt);
	EXPECT_INT(AUT_TIME_NONE, run->started_at);
	EXPECT_INT(SUITE_NOW + 1, run->completed_at);
	EXPECT_TEXT("no", run->error_detail);
	EXPECT_TEXT("{\"kind\":\"blocked\"}", run->status_detail);
	EXPECT(run->worker == NULL && run->current_phase == NULL);
	aut_run_list_done(&list);
}

static void
waiting_runs_are_told_so_once(suite *s)
{
	aut_automation inline_one = suite_automation(s, "inline");
	aut_uuid a = suite_insert_automation(s, "a"), ids[3], got[2], after = AUT_UUID_NIL;
	aut_run_list list = {0};
	int64_t at = 0;
	size_t count = 0;
	bool won;

	inline_one.tarball_path = AUT_TARBALL_INLINE;
	EXPECT_OK(aut_store_automation_insert(s->db, &inline_one, &s->error));
	suite_insert_run(s, &inline_one.id, SUITE_NOW);
	for (int i = 0; i < 3; i++)
		ids[i] = suite_insert_run(s, &a, SUITE_NOW + i);
	EXPECT_OK(aut_store_run_phase(s->db, &ids[1], "mine", &won, &s->error));
	EXPECT_OK(aut_store_run_waiting(s->db, "waits", SUITE_NOW + 1, 2, &at, &after, got, &count,
									&s->error));
	EXPECT_INT(2, (int64_t) count);
	EXPECT_ID(ids[0], got[0]);
	EXPECT_ID(ids[1], after);
	EXPECT_INT(SUITE_NOW + 1, at);
	EXPECT_TEXT("waits", suite_run(s, &ids[0], &list)->current_phase);
	EXPECT_TEXT("mine", suite_run(s, &ids[1], &list)->current_phase);
	EXPECT_OK(aut_store_run_waiting(s->db, "waits", SUITE_NOW + 1, 2, &at, &after, got, &count,
									&s->error));
	EXPECT_INT(0, (int64_t) count);
	EXPECT_OK(aut_store_run_waiting(s->db, "waits", SUITE_NOW + 2, 2, &at, &after, got, &count,
									&s->error));
	EXPECT_INT(1, (int64_t) count);
	EXPECT_ID(ids[2], got[0]);
	aut_run_list_done(&list);
}

/* The automation becomes SQL, or a program, without anybody telling its runs. */
static void
change_sort(suite *s, aut_automation *automation, bool is_inline)
{
	automation->tarball_path = is_inline ? AUT_TARBALL_INLINE : "https://x.test/a.tgz";
	EXPECT_OK(aut_store_automation_update(s->db, automation, &s->error));
}

/* Claim what the host executes itself: the first run, or the nil uuid. */
static aut_uuid
claim_inline(suite *s)
{
	aut_uuid got[4] = {AUT_UUID_NIL};
	size_t count = 0;
	int64_t next = 0;

	EXPECT_OK(aut_store_run_claim(
		s->db, &(aut_claim){.worker = "w", .now = SUITE_NOW + 9, .limit = 4, .inline_only = true},
		got, &count, &s->error));
	EXPECT(count <= 1);
	EXPECT_OK(aut_store_run_next_ready_inline(s->db, &(aut_ready){0}, &next, &s->error));
	EXPECT_INT(AUT_TIME_NONE, next);
	return got[0];
}

static void
runs_of_the_host_are_told_apart(suite *s)
{
	aut_automation other = suite_automation(s, "other"), sql = suite_automation(s, "sql");
	aut_uuid ids[3], got[1], after = AUT_UUID_NIL;
	aut_ready head;
	int64_t at = 0;
	size_t count = 0;
	bool won;

	sql.tarball_path = AUT_TARBALL_INLINE;
	EXPECT_OK(aut_store_automation_insert(s->db, &other, &s->error));
	EXPECT_OK(aut_store_automation_insert(s->db, &sql, &s->error));
	ids[0] = suite_insert_run(s, &other.id, SUITE_NOW);
	ids[1] = suite_insert_run(s, &sql.id, SUITE_NOW + 1);
	EXPECT_OK(aut_store_run_next_ready_inline(s->db, &(aut_ready){0}, &at, &s->error));
	EXPECT_INT(SUITE_NOW + 1, at);
	EXPECT_ID(ids[1], claim_inline(s));
	/* told of a change, waiting runs change sides; those that run do so when they are put back */
	change_sort(s, &sql, false);
	EXPECT_OK(aut_store_run_inline(s->db, &sql.id, false, &s->error));
	EXPECT_OK(aut_store_run_requeue(s->db, &ids[1], "w", SUITE_NOW + 1, &won, &s->error));
	EXPECT(won);
	EXPECT_ID(AUT_UUID_NIL, claim_inline(s));
	change_sort(s, &sql, true);
	EXPECT_OK(aut_store_run_inline(s->db, &sql.id, true, &s->error));
	EXPECT_ID(ids[1], claim_inline(s));
	EXPECT_OK(aut_store_run_requeue(s->db, &ids[1], "w", SUITE_NOW + 1, &won, &s->error));
	/* not told (made while the change was under way): marked as what the host executes, it is passed over */
	change_sort(s, &sql, false);
	EXPECT_ID(AUT_UUID_NIL, claim_inline(s));
	EXPECT_OK(aut_store_run_ready_head(
		s->db, SUITE_NOW + 9, &(aut_ready){.ready_at = SUITE_NOW, .id = ids[0]}, &head, &s->error));
	EXPECT_ID(ids[1], head.id);
	/* and the other way round, it is found when it waits for an agent */
	ids[2] = suite_insert_run(s, &sql.id, SUITE_NOW + 2);
	change_sort(s, &sql, true);
	EXPECT_ID(ids[1], claim_inline(s));
	at = SUITE_NOW;
	after = ids[0];
	EXPECT_OK(aut_store_run_waiting(s->db, "waits", SUITE_NOW + 9, 1, &at, &after, got, &count,
									&s->error));
	EXPECT_INT(1, (int64_t) count);
	EXPECT_ID(ids[2], got[0]);
	EXPECT_ID(ids[2], claim_inline(s));
}

/* ---- retention --------------------------------------------------------------------------------- */

static bool
is_there(suite *s, const aut_uuid *id)
{
	aut_run_list list = {0};
	aut_status status = aut_store_run_get(s->db, id, &list, NULL);

	EXPECT(status == AUT_OK || status == AUT_ENOTFOUND);
	aut_run_list_done(&list);
	return status == AUT_OK;
}

static void
old_runs_go_with_all_that_is_theirs(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid old = ended(s, &a, AUT_RUN_COMPLETED, SUITE_NOW);
	aut_uuid pending = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid held = ended(s, &a, AUT_RUN_FAILED, SUITE_NOW);
	aut_uuid recent = ended(s, &a, AUT_RUN_CANCELLED, SUITE_NOW + DAY);
	aut_disable_event event = {.id = suite_id(s),
							   .automation_id = a,
							   .run_id = old,
							   .has_run = true,
							   .reason = "r",
							   .source = "consecutive_failures",
							   .created_at = SUITE_NOW};
	aut_automation_list list = {0};
	aut_rows rows = {0};
	int64_t count = 0;
	bool more = true;

	EXPECT_OK(aut_store_output_append(s->db, &old, 0, "text", 4, SUITE_NOW, 100, &s->error));
	EXPECT_OK(aut_store_run_cleanup_set(s->db, &held, 1, SUITE_NOW, &s->error));
	EXPECT_OK(aut_store_disable_event_insert(s->db, &event, &s->error));
	EXPECT_OK(aut_store_forget_old_runs(s->db, SUITE_NOW, 10, 100, &count, &more, &s->error));
	EXPECT_INT(0, count);
	EXPECT(!more);
	EXPECT_OK(aut_store_forget_old_runs(s->db, SUITE_NOW + 1, 10, 100, &count, &more, &s->error));
	EXPECT_INT(1, count);
	EXPECT(!is_there(s, &old) && is_there(s, &pending) && is_there(s, &held) &&
		   is_there(s, &recent));
	EXPECT_OK(aut_store_output_read(s->db, &old, 0, 10, &rows, &s->error));
	EXPECT_INT(0, (int64_t) rows.count);
	aut_rows_done(&rows);
	EXPECT_OK(
		aut_store_forget_old_runs(s->db, SUITE_NOW + 2 * DAY, 1, 100, &count, &more, &s->error));
	EXPECT(count == 1 && more);
	/* nothing is left to tell when it was triggered, so the automation remembers */
	EXPECT_OK(aut_store_run_cleanup_set(s->db, &held, 1, AUT_TIME_NONE, &s->error));
	EXPECT_OK(
		aut_store_forget_old_runs(s->db, SUITE_NOW + 2 * DAY, 10, 100, &count, &more, &s->error));
	EXPECT_INT(1, count);
	EXPECT_OK(aut_store_automation_get(s->db, &s->org, &a, &list, &s->error));
	EXPECT_INT(SUITE_NOW, list.count == 1 ? list.items->last_triggered_at : -1);
	aut_automation_list_done(&list);
}

static const aut_stmt count_output = {
	.name = "suite_count_output",
	.params = "",
	.columns = "l",
	.sql = "SELECT count(*) FROM automation.run_output LIMIT 1",
};
/* Chunks that lie in no span. */
static const aut_stmt count_loose = {
	.name = "suite_count_loose",
	.params = "",
	.columns = "l",
	.postgres = "SELECT count(*) FROM automation.run_output_default LIMIT 1",
	.sqlite = "SELECT 0 FROM automation.sqlite_master LIMIT 1",
};
static const aut_stmt count_spans = {
	.name = "suite_count_spans",
	.params = "",
	.columns = "l",
	.postgres = "SELECT count(*) FROM automation._output_spans() LIMIT 1",
	.sqlite = "SELECT 0 FROM automation.sqlite_master LIMIT 1",
};

/* Look after spans until there is nothing left to do; returns how many there are. */
static int64_t
spans(suite *s, int64_t now, int64_t keep_days)
{
	bool more = true;

	for (int i = 0; i < 9 && more && !s->failed; i++)
		EXPECT_OK(aut_store_output_spans(s->db, now, keep_days, &more, &s->error));
	EXPECT(!more);
	return suite_count(s, &count_spans);
}

static void
old_output_goes_with_its_span(suite *s)
{
	int64_t has_spans = s->db->ops->dialect == AUT_DIALECT_POSTGRES, count = 0, made;
	aut_uuid a = suite_insert_automation(s, "a"), old, held, loose;
	bool more = false;

	made = aut_uuid_v7_time(&a);
	EXPECT_INT(0, spans(s, made, 14)); /* nothing has run yet */
	loose = ended(s, &a, AUT_RUN_COMPLETED, SUITE_NOW);
	EXPECT_OK(aut_store_output_append(s->db, &loose, 0, "loose", 5, SUITE_NOW, 100, &s->error));
	EXPECT_INT(0, spans(s, made, 0)); /* nothing is forgotten by age */
	/* of today something was printed already, so they begin tomorrow */
	EXPECT_INT(has_spans, spans(s, made, 14));
	EXPECT_INT(has_spans, suite_count(s, &count_loose));
	EXPECT_OK(aut_store_forget_old_runs(s->db, SUITE_NOW + 1, 9, 100, &count, &more, &s->error));
	EXPECT_INT(1, count);
	EXPECT_INT(0, suite_count(s, &count_output)); /* without a span it goes with its run */
	held = ended(s, &a, AUT_RUN_FAILED, SUITE_NOW);
	EXPECT_INT(0, spans(s, made + 90 * DAY, 0)); /* nobody printed anything there */
	EXPECT_INT(has_spans * 2, spans(s, made, 14));
	EXPECT_INT(has_spans * 2, spans(s, made + 1, 14)); /* and that is enough for now */
	old = ended(s, &a, AUT_RUN_COMPLETED, SUITE_NOW);
	EXPECT_OK(aut_store_run_cleanup_set(s->db, &held, 1, SUITE_NOW, &s->error));
	EXPECT_OK(aut_store_output_append(s->db, &old, 0, "old", 3, SUITE_NOW, 100, &s->error));
	EXPECT_OK(aut_store_output_append(s->db, &held, 0, "held", 4, SUITE_NOW, 100, &s->error));
	EXPECT_INT(0, suite_count(s, &count_loose));
	EXPECT_OK(aut_store_forget_old_runs(s->db, SUITE_NOW + 1, 9, 100, &count, &more, &s->error));
	EXPECT(count == 1 && !is_there(s, &old) && is_there(s, &held));
	/* what it printed waits for the end of the span, and that for the last run */
	EXPECT_INT(1 + has_spans, suite_count(s, &count_output));
	EXPECT_INT(has_spans, spans(s, made + 90 * DAY, 0));
	EXPECT_INT(1 + has_spans, suite_count(s, &count_output));
	EXPECT_OK(aut_store_run_cleanup_set(s->db, &held, 1, AUT_TIME_NONE, &s->error));
	EXPECT_OK(aut_store_forget_old_runs(s->db, SUITE_NOW + 1, 9, 100, &count, &more, &s->error));
	EXPECT_INT(1, count);
	(void) suite_insert_run(s, &a, SUITE_NOW); /* one that has printed nothing keeps nothing */
	EXPECT_INT(0, spans(s, made + 90 * DAY, 0));
	EXPECT_INT(0, suite_count(s, &count_output));
}

/* Those of which there are too many take theirs along, since their span may last. */
static void
crowded_runs_take_their_output_along(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a"), after = AUT_UUID_NIL, first, second;
	int64_t made = aut_uuid_v7_time(&a), count = 0;
	bool more = false;

	first = ended(s, &a, AUT_RUN_COMPLETED, SUITE_NOW);
	second = ended(s, &a, AUT_RUN_COMPLETED, SUITE_NOW);
	(void) spans(s, made, 14);
	EXPECT_OK(aut_store_output_append(s->db, &first, 0, "first", 5, SUITE_NOW, 100, &s->error));
	EXPECT_OK(aut_store_output_append(s->db, &second, 0, "second", 6, SUITE_NOW, 100, &s->error));
	EXPECT_INT(0, suite_count(s, &count_loose));
	EXPECT_OK(aut_store_forget_crowded_runs(s->db, &after, 9, 1, 9, 100, &count, &more, &s->error));
	EXPECT(count == 1 && !is_there(s, &first) && is_there(s, &second));
	EXPECT_INT(1, suite_count(s, &count_output));
	EXPECT_OK(aut_store_forget_old_runs(s->db, SUITE_NOW + 1, 9, 100, &count, &more, &s->error));
	(void) suite_insert_run(s, &a, SUITE_NOW);
	EXPECT_INT(0, spans(s, made + 90 * DAY, 0));
	EXPECT_INT(0, suite_count(s, &count_output));
}

static void
only_the_newest_runs_of_an_automation_stay(suite *s)
{
	aut_uuid many[7], few[2], after = AUT_UUID_NIL;
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid b = suite_insert_automation(s, "b");
	int64_t count = 0, total = 0;
	bool more = true;
	int batches = 0;

	for (int i = 0; i < 7; i++)
		many[i] = i == 1 ? suite_insert_run(s, &a, SUITE_NOW)
						 : ended(s, &a, AUT_RUN_COMPLETED, SUITE_NOW);
	for (int i = 0; i < 2; i++)
		few[i] = ended(s, &b, AUT_RUN_FAILED, SUITE_NOW);
	while (more && batches++ < 20)
	{
		EXPECT_OK(
			aut_store_forget_crowded_runs(s->db, &after, 1, 3, 2, 100, &count, &more, &s->error));
		EXPECT(count <= 2);
		total += count;
	}
	EXPECT(batches < 20);
	EXPECT_INT(3, total);
	for (int i = 0; i < 7; i++)
		EXPECT(is_there(s, &many[i]) == (i == 1 || i >= 4)); /* what waits is not taken */
	EXPECT(is_there(s, &few[0]) && is_there(s, &few[1]));
}

static void
the_rest_goes_by_age(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_upload upload = {.id = suite_id(s),
						 .org_id = s->org,
						 .user_id = s->user,
						 .name = "u",
						 .status = "COMPLETED",
						 .size_bytes = 1,
						 .created_at = SUITE_NOW,
						 .updated_at = SUITE_NOW,
						 .deleted_at = AUT_TIME_NONE};
	aut_uuid kept = upload.id;
	aut_upload_list list = {0};
	aut_uuid run = suite_insert_run(s, &a, SUITE_NOW);
	int64_t count = -1;
	bool taken;

	EXPECT_OK(aut_store_upload_insert(s->db, &upload, "x", 1, &s->error));
	upload.id = suite_id(s);
	EXPECT_OK(aut_store_upload_insert(s->db, &upload, "x", 1, &s->error));
	EXPECT_OK(aut_store_upload_delete(s->db, &upload.id, SUITE_NOW, &s->error));
	EXPECT_OK(aut_store_forget_uploads(s->db, SUITE_NOW, 10, &count, &s->error));
	EXPECT_INT(0, count);
	EXPECT_OK(aut_store_forget_uploads(s->db, SUITE_NOW + 1, 10, &count, &s->error));
	EXPECT_INT(1, count);
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_upload_get(s->db, &upload.id, &list, &s->error));
	EXPECT_OK(aut_store_upload_get(s->db, &kept, &list, &s->error));
	aut_upload_list_done(&list);

	for (int i = 0; i < 3; i++)
		EXPECT_OK(aut_store_gap_insert(s->db, &a, SUITE_NOW + i, SUITE_NOW + i, 1, SUITE_NOW + i,
									   &s->error));
	EXPECT_OK(aut_store_forget_gaps(s->db, SUITE_NOW + 2, 1, &count, &s->error));
	EXPECT_INT(1, count);
	EXPECT_OK(aut_store_forget_gaps(s->db, SUITE_NOW + 2, 9, &count, &s->error));
	EXPECT_INT(1, count);

	EXPECT_OK(
		aut_store_dedupe_take(s->db, &a, "k", &run, SUITE_NOW, SUITE_NOW + 5, &taken, &s->error));
	EXPECT_OK(aut_store_forget_dedupe_keys(s->db, SUITE_NOW + 4, 9, &count, &s->error));
	EXPECT_INT(0, count);
	EXPECT_OK(aut_store_forget_dedupe_keys(s->db, SUITE_NOW + 5, 9, &count, &s->error));
	EXPECT_INT(1, count);
}

static int64_t
count_disable_events(suite *s, const aut_uuid *id)
{
	static const aut_stmt count = {
		.name = "suite_count_disable_events",
		.params = "u",
		.columns = "l",
		.sql = "SELECT count(*) FROM automation.disable_event WHERE automation_id = $1 LIMIT 1",
	};
	aut_rows rows = {0};
	int64_t n = -1;

	EXPECT_OK(aut_db_run(s->db, &count, (aut_value[]){aut_v_uuid(id)}, &rows, NULL, &s->error));
	if (rows.count == 1)
		n = aut_rows_int(&rows, 0, 0);
	aut_rows_done(&rows);
	return n;
}

static void
old_switchings_off_are_forgotten_but_the_newest(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a"), b = suite_insert_automation(s, "b");
	aut_disable_event event = {.reason = "why", .source = "manual"};
	int64_t count = -1, at = 0;

	for (int i = 0; i < 5; i++)
	{
		event.automation_id = i == 4 ? b : a;
		event.created_at = SUITE_NOW + i * AUT_US_PER_S;
		EXPECT_OK(aut_uuid_v7(event.created_at, &event.id, &s->error));
		EXPECT_OK(aut_store_disable_event_insert(s->db, &event, &s->error));
	}
	EXPECT_OK(aut_store_forget_disable_events(s->db, SUITE_NOW, 9, &count, &s->error));
	EXPECT_INT(0, count);
	EXPECT_OK(aut_store_forget_disable_events(s->db, SUITE_NOW + DAY, 1, &count, &s->error));
	EXPECT_INT(1, count);
	EXPECT_OK(aut_store_forget_disable_events(s->db, SUITE_NOW + DAY, 9, &count, &s->error));
	EXPECT_INT(2, count);
	EXPECT_OK(aut_store_forget_disable_events(s->db, SUITE_NOW + DAY, 9, &count, &s->error));
	EXPECT_INT(0, count);
	EXPECT_INT(1, count_disable_events(s, &a));
	EXPECT_INT(1, count_disable_events(s, &b));
	EXPECT_OK(aut_store_disable_event_newest(s->db, &a, &at, &s->error));
	EXPECT_INT(SUITE_NOW + 3 * AUT_US_PER_S, at);
}

#define TEST(name)                                                                                 \
	{                                                                                              \
#name, name, false                                                                         \
	}

const suite_test suite_policy_tests[] = {
	TEST(a_key_is_taken_once_until_it_expires),
	TEST(switching_off_is_guarded),
	TEST(old_switchings_off_are_forgotten_but_the_newest),
	TEST(the_newest_ends_are_found),
	TEST(a_claim_can_be_taken_back_as_skipped),
	TEST(waiting_runs_are_told_so_once),
	TEST(runs_of_the_host_are_told_apart),
	TEST(old_runs_go_with_all_that_is_theirs),
	TEST(old_output_goes_with_its_span),
	TEST(crowded_runs_take_their_output_along),
	TEST(only_the_newest_runs_of_an_automation_stay),
	TEST(the_rest_goes_by_age),
	{NULL, NULL, false},
};
