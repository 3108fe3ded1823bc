/* SPDX-License-Identifier: MIT */
/*
 * test/store/suite_runs.c - runs over real tables: making, claiming, keeping, ending, cleaning up.
 */
#include <string.h>

#include "test/store/store_suite.h"

/* ---- runs: making and reading ------------------------------------------------------------------ */

static void
a_slot_fires_once(suite *s)
{
	aut_uuid id = suite_insert_automation(s, "a");
	aut_uuid other = suite_insert_automation(s, "b");
	aut_run_list list = {0};
	aut_run_new run = {
		.automation_id = id,
		.trigger_source = "cron",
		.scheduled_for = SUITE_NOW,
		.created_at = SUITE_NOW + 1,
		.ready_at = SUITE_NOW + 2,
		.input = "{\"a\":1}",
	};

	run.id = suite_id(s);
	EXPECT_OK(aut_store_run_insert(s->db, &run, &s->error));
	run.id = suite_id(s);
	EXPECT_STATUS(AUT_EUNIQUE, aut_store_run_insert(s->db, &run, &s->error));
	EXPECT(!s->db->failed); /* an answer, not an error of the database */
	run.automation_id = other;
	EXPECT_OK(aut_store_run_insert(s->db, &run, &s->error));
	run.id = suite_id(s);
	run.scheduled_for = AUT_TIME_NONE; /* by hand as often as one likes */
	EXPECT_OK(aut_store_run_insert(s->db, &run, &s->error));
	run.id = suite_id(s);
	EXPECT_OK(aut_store_run_insert(s->db, &run, &s->error));
	EXPECT_OK(aut_store_run_list(s->db, &other, 10, 0, &list, &s->error));
	EXPECT_INT(3, (int64_t) list.count);
	aut_run_list_done(&list);
}

static void
a_new_run_is_pending_and_empty(suite *s)
{
	aut_uuid id = suite_insert_automation(s, "a");
	aut_run_list list = {0};
	const aut_run *run;
	aut_uuid nobody = suite_id(s);
	aut_run_new fresh = {
		.id = suite_id(s),
		.automation_id = id,
		.scheduled_for = SUITE_NOW,
		.created_at = SUITE_NOW + 1,
		.ready_at = SUITE_NOW + 2,
	};

	EXPECT_OK(aut_store_run_insert(s->db, &fresh, &s->error));
	run = suite_run(s, &fresh.id, &list);
	EXPECT_ID(fresh.id, run->id);
	EXPECT_ID(id, run->automation_id);
	EXPECT_INT(AUT_RUN_PENDING, run->status);
	EXPECT_TEXT(NULL, run->trigger_source);
	EXPECT_INT(SUITE_NOW, run->scheduled_for);
	EXPECT_INT(SUITE_NOW + 1, run->created_at);
	EXPECT_INT(SUITE_NOW + 2, run->ready_at);
	EXPECT_INT(0, run->attempt);
	EXPECT_INT(0, run->output_bytes);
	EXPECT(!run->has_cost && !run->has_exit_code);
	EXPECT(run->worker == NULL && run->bash_command_id == NULL && run->sandbox_id == NULL &&
		   run->error_detail == NULL && run->status_detail == NULL && run->current_phase == NULL &&
		   run->conversation_id == NULL && run->observability_associations == NULL &&
		   run->run_metadata == NULL && run->resolved_runtime == NULL);
	EXPECT(run->timeout_at == AUT_TIME_NONE && run->cleanup_at == AUT_TIME_NONE &&
		   run->started_at == AUT_TIME_NONE && run->completed_at == AUT_TIME_NONE);
	aut_run_list_done(&list);
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_run_get(s->db, &nobody, &list, &s->error));
}

static void
run_lists_are_newest_first(suite *s)
{
	aut_automation foreign = suite_automation(s, "foreign");
	aut_automation deleted = suite_automation(s, "deleted");
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid b = suite_insert_automation(s, "b");
	aut_uuid ids[6];
	aut_run_list list = {0};

	foreign.org_id = suite_id(s);
	deleted.deleted_at = SUITE_NOW;
	EXPECT_OK(aut_store_automation_insert(s->db, &foreign, &s->error));
	EXPECT_OK(aut_store_automation_insert(s->db, &deleted, &s->error));
	for (int i = 0; i < 6; i++)
		ids[i] = suite_insert_run(s, i % 2 == 0 ? &a : &b, SUITE_NOW);
	suite_insert_run(s, &foreign.id, SUITE_NOW);
	suite_insert_run(s, &deleted.id, SUITE_NOW);
	EXPECT_OK(aut_store_run_list(s->db, &a, 2, 0, &list, &s->error));
	EXPECT_INT(2, (int64_t) list.count);
	if (list.count == 2)
	{
		EXPECT_ID(ids[4], list.items[0].id);
		EXPECT_ID(ids[2], list.items[1].id);
	}
	aut_run_list_done(&list);
	EXPECT_OK(aut_store_run_list(s->db, &a, 2, 2, &list, &s->error));
	EXPECT_INT(1, (int64_t) list.count);
	aut_run_list_done(&list);
	EXPECT_OK(aut_store_run_list_org(s->db, &s->org, 4, 1, &list, &s->error));
	EXPECT_INT(4, (int64_t) list.count);
	for (size_t i = 0; i < list.count; i++)
		EXPECT_ID(ids[4 - i], list.items[i].id);
	aut_run_list_done(&list);

	EXPECT_OK(aut_store_run_list_after(s->db, &a, &ids[3], 1, &list, &s->error));
	EXPECT_ID(ids[2], list.count == 1 ? list.items[0].id : AUT_UUID_NIL);
	aut_run_list_done(&list);
	EXPECT_OK(aut_store_run_list_after(s->db, &a, &ids[0], 10, &list, &s->error));
	EXPECT_INT(0, (int64_t) list.count);
	aut_run_list_done(&list);
	EXPECT_OK(aut_store_run_list_org_after(s->db, &s->org, &ids[5], 10, &list, &s->error));
	EXPECT_INT(5, (int64_t) list.count);
	for (size_t i = 0; i < list.count; i++)
		EXPECT_ID(ids[4 - i], list.items[i].id);
	aut_run_list_done(&list);
	EXPECT_STATUS(AUT_EINVAL, aut_store_run_list_after(s->db, &a, &ids[3], -1, &list, &s->error));
}

static void
a_task_brings_everything_the_engine_needs(suite *s)
{
	aut_automation a = suite_automation(s, "task");
	aut_run_task task = {0};
	aut_uuid nobody = suite_id(s);
	aut_uuid without_input;
	aut_run_new run = {
		.id = suite_id(s),
		.automation_id = a.id,
		.trigger_source = "event",
		.scheduled_for = AUT_TIME_NONE,
		.created_at = SUITE_NOW,
		.ready_at = SUITE_NOW,
		.input = "{\"event\" : {\"n\":12345678901234567890}}",
	};

	a.model = "m";
	a.agent_profile_id = "p";
	a.observability_associations = "{\"k\":\"v\"}";
	a.timeout_s = 77;
	a.has_keep_alive = a.keep_alive = true;
	EXPECT_OK(aut_store_automation_insert(s->db, &a, &s->error));
	EXPECT_OK(aut_store_run_insert(s->db, &run, &s->error));
	without_input = suite_insert_run(s, &a.id, SUITE_NOW);
	EXPECT_OK(aut_store_run_task(s->db, &run.id, &task, &s->error));
	EXPECT_ID(run.id, task.run.id);
	EXPECT_TEXT("event", task.run.trigger_source);
	EXPECT_ID(s->org, task.org_id);
	EXPECT_ID(s->user, task.user_id);
	EXPECT_TEXT("task", task.automation_name);
	EXPECT_TEXT(a.trigger, task.trigger);
	EXPECT_TEXT("event", task.trigger_type);
	EXPECT_TEXT("m", task.model);
	EXPECT_TEXT("p", task.agent_profile_id);
	EXPECT_TEXT(a.tarball_path, task.tarball_path);
	EXPECT_TEXT(a.entrypoint, task.entrypoint);
	EXPECT_TEXT("{\"k\":\"v\"}", task.observability_associations);
	EXPECT_INT(77, task.timeout_s);
	EXPECT(task.has_keep_alive && task.keep_alive);
	EXPECT_TEXT(run.input, task.input);
	aut_run_task_done(&task);
	EXPECT_OK(aut_store_run_task(s->db, &without_input, &task, &s->error));
	EXPECT_TEXT(NULL, task.input);
	aut_run_task_done(&task);
	EXPECT_STATUS(AUT_ENOTFOUND, aut_store_run_task(s->db, &nobody, &task, &s->error));
}

/* ---- runs: claiming -------------------------------------------------------------------------- */

static void
claims_are_oldest_first_and_only_when_ready(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid late = suite_insert_run(s, &a, SUITE_NOW + 3);
	aut_uuid first = suite_insert_run(s, &a, SUITE_NOW + 1);
	aut_uuid tie = suite_insert_run(s, &a, SUITE_NOW + 1);
	aut_uuid future = suite_insert_run(s, &a, SUITE_NOW + SECOND);
	aut_uuid ids[8];
	size_t count = 99;
	int64_t next = 0;
	aut_ready head = {0};
	aut_run_list list = {0};
	const aut_run *run;

	EXPECT_OK(aut_store_run_next_ready(s->db, &(aut_ready){0}, &next, &s->error));
	EXPECT_INT(SUITE_NOW + 1, next);
	/* what is passed over: the place itself and all before it */
	EXPECT_OK(aut_store_run_ready_head(s->db, SUITE_NOW + 5, &(aut_ready){0}, &head, &s->error));
	EXPECT_ID(first, head.id);
	EXPECT_OK(aut_store_run_ready_head(s->db, SUITE_NOW + 5, &head, &head, &s->error));
	EXPECT_ID(tie, head.id);
	EXPECT_OK(aut_store_run_next_ready(s->db, &head, &next, &s->error));
	EXPECT_INT(1, next > head.ready_at);
	head.ready_at = SUITE_NOW + SECOND;
	EXPECT_OK(aut_store_run_claim(
		s->db, &(aut_claim){.worker = "w1", .now = SUITE_NOW + 5, .limit = 2, .after = head}, ids,
		&count, &s->error));
	EXPECT_INT(0, (int64_t) count);
	EXPECT_STATUS(AUT_ENOTFOUND,
				  aut_store_run_ready_head(s->db, SUITE_NOW + 5, &head, &head, &s->error));
	EXPECT_OK(aut_store_run_claim(s->db,
								  &(aut_claim){.worker = "w1", .now = SUITE_NOW + 5, .limit = 2},
								  ids, &count, &s->error));
	EXPECT_INT(2, (int64_t) count);
	EXPECT_ID(first, ids[0]);
	EXPECT_ID(tie, ids[1]);
	run = suite_run(s, &first, &list);
	EXPECT_INT(AUT_RUN_RUNNING, run->status);
	EXPECT_INT(1, run->attempt);
	EXPECT_INT(SUITE_NOW + 5, run->started_at);
	EXPECT_TEXT("w1", run->worker);
	EXPECT_TEXT("Preparing environment", run->current_phase);
	aut_run_list_done(&list);
	EXPECT_OK(aut_store_run_claim(s->db,
								  &(aut_claim){.worker = "w2", .now = SUITE_NOW + 5, .limit = 8},
								  ids, &count, &s->error));
	EXPECT_INT(1, (int64_t) count);
	EXPECT_ID(late, ids[0]);
	EXPECT_OK(aut_store_run_claim(s->db,
								  &(aut_claim){.worker = "w2", .now = SUITE_NOW + 5, .limit = 8},
								  ids, &count, &s->error));
	EXPECT_INT(0, (int64_t) count);
	EXPECT_OK(aut_store_run_next_ready(s->db, &(aut_ready){0}, &next, &s->error));
	EXPECT_INT(SUITE_NOW + SECOND, next);
	EXPECT_OK(aut_store_run_claim(
		s->db, &(aut_claim){.worker = "w2", .now = SUITE_NOW + SECOND, .limit = 8}, ids, &count,
		&s->error));
	EXPECT_ID(future, ids[0]);
	EXPECT_OK(aut_store_run_next_ready(s->db, &(aut_ready){0}, &next, &s->error));
	EXPECT_INT(AUT_TIME_NONE, next);
}

/* From the automation's own limit, the usual one, and the longest that is allowed. */
static void
a_claim_sets_the_first_deadline(suite *s)
{
	static const struct
	{
		int64_t own, wanted;
	} cases[] = {{0, 600}, {90, 90}, {1800, 1800}, {4000, 1800}};
	aut_claim claim = {
		.worker = "w",
		.now = SUITE_NOW,
		.limit = 8,
		.duration_s = 600,
		.duration_max_s = 1800,
		.duration_and_s = 420,
	};
	aut_uuid runs[5];
	aut_uuid ids[8];
	aut_run_task tasks[5];
	size_t count = 0;

	for (int i = 0; i < 4; i++)
	{
		aut_automation automation = suite_automation(s, "a");

		automation.timeout_s = cases[i].own;
		EXPECT_OK(aut_store_automation_insert(s->db, &automation, &s->error));
		runs[i] = suite_insert_run(s, &automation.id, SUITE_NOW);
	}
	EXPECT_OK(aut_store_run_claim(s->db, &claim, ids, &count, &s->error));
	EXPECT_INT(4, (int64_t) count);
	runs[4] = suite_id(s); /* there is no such run */
	EXPECT_OK(aut_store_run_tasks(s->db, runs, 5, tasks, &count, &s->error));
	EXPECT_INT(4, (int64_t) count);
	for (size_t i = 0; i < count; i++)
	{
		EXPECT_ID(runs[i], tasks[i].run.id);
		EXPECT_TEXT("a", tasks[i].automation_name);
		EXPECT_INT(SUITE_NOW + (cases[i].wanted + 420) * SECOND, tasks[i].run.timeout_at);
		aut_run_task_done(&tasks[i]);
	}
	EXPECT_OK(aut_store_run_tasks(s->db, runs, 0, tasks, &count, &s->error));
	EXPECT_INT(0, (int64_t) count);
}

static void
a_large_backlog_is_claimed_in_order(suite *s)
{
	enum
	{
		TOTAL = 1000,
		BATCH = 128
	};
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid ids[BATCH];
	aut_uuid last = AUT_UUID_NIL;
	size_t count = 0;
	int64_t claimed = 0;

	for (int i = 0; i < TOTAL; i++)
		suite_insert_run(s, &a, SUITE_NOW);
	do
	{
		EXPECT_OK(aut_store_run_claim(s->db,
									  &(aut_claim){.worker = "w", .now = SUITE_NOW, .limit = BATCH},
									  ids, &count, &s->error));
		for (size_t i = 0; i < count; i++)
		{
			EXPECT(memcmp(last.bytes, ids[i].bytes, sizeof(last.bytes)) < 0);
			last = ids[i];
		}
		claimed += (int64_t) count;
	} while (count == BATCH && !s->failed);
	EXPECT_INT(TOTAL, claimed);
}

/* Claim everything that is ready for worker. */
static void
claim_all(suite *s, const char *worker)
{
	aut_uuid ids[32];
	size_t count = 0;

	EXPECT_OK(aut_store_run_claim(s->db,
								  &(aut_claim){.worker = worker, .now = SUITE_NOW, .limit = 32},
								  ids, &count, &s->error));
}

static void
held_runs_page_by_id(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid mine[3];
	aut_uuid got[4];
	size_t count = 0;

	for (int i = 0; i < 3; i++)
		mine[i] = suite_insert_run(s, &a, SUITE_NOW);
	claim_all(s, "w1");
	suite_insert_run(s, &a, SUITE_NOW);
	claim_all(s, "w2");
	EXPECT_OK(aut_store_run_held(s->db, "w1", NULL, 2, got, &count, &s->error));
	EXPECT_INT(2, (int64_t) count);
	EXPECT_ID(mine[0], got[0]);
	EXPECT_ID(mine[1], got[1]);
	EXPECT_OK(aut_store_run_held(s->db, "w1", &got[1], 2, got, &count, &s->error));
	EXPECT_INT(1, (int64_t) count);
	EXPECT_ID(mine[2], got[0]);
}

static void
steps_of_a_run_belong_to_its_holder(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW);
	aut_run_list list = {0};
	const aut_run *run;
	bool won = true;

	aut_run_start start = {id, "c", "b", SUITE_NOW};
	EXPECT_OK(aut_store_run_started(s->db, "w1", "x", &start, 1, &won, &s->error));
	EXPECT(!won); /* not claimed yet */
	claim_all(s, "w1");
	EXPECT_OK(aut_store_run_started(s->db, "w2", "x", &start, 1, &won, &s->error));
	EXPECT(!won);
	start = (aut_run_start){id, NULL, "box", AUT_TIME_NONE};
	EXPECT_OK(aut_store_run_started(s->db, "w1", NULL, &start, 1, &won, &s->error));
	start = (aut_run_start){id, "cmd", NULL, SUITE_NOW + 2};
	EXPECT_OK(
		aut_store_run_started(s->db, "w1", "Starting automation", &start, 1, &won, &s->error));
	EXPECT(won);
	EXPECT_OK(aut_store_run_note(s->db, &id, "w1", "{\"seen\":1}", AUT_TIME_NONE, &won, &s->error));
	EXPECT(won);
	run = suite_run(s, &id, &list);
	EXPECT_TEXT("cmd", run->bash_command_id);
	EXPECT_TEXT("box", run->sandbox_id);
	EXPECT_TEXT("Starting automation", run->current_phase);
	EXPECT_TEXT("{\"seen\":1}", run->status_detail);
	EXPECT_INT(SUITE_NOW + 2, run->timeout_at);
	EXPECT_OK(aut_store_run_note(s->db, &id, "w2", NULL, SUITE_NOW, &won, &s->error));
	EXPECT(!won);
	EXPECT_OK(aut_store_run_note(s->db, &id, "w1", NULL, SUITE_NOW + 3, &won, &s->error));
	run = suite_run(s, &id, &list);
	EXPECT_TEXT(NULL, run->status_detail);
	EXPECT_INT(SUITE_NOW + 3, run->timeout_at);
	aut_run_list_done(&list);
}

static void
a_run_put_back_can_be_claimed_again(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid got[2];
	size_t count = 0;
	aut_run_list list = {0};
	const aut_run *run;
	bool won = true;

	claim_all(s, "w1");
	EXPECT_OK(aut_store_run_requeue(s->db, &id, "w2", SUITE_NOW, &won, &s->error));
	EXPECT(!won);
	EXPECT_OK(aut_store_run_requeue(s->db, &id, "w1", SUITE_NOW + SECOND, &won, &s->error));
	EXPECT(won);
	run = suite_run(s, &id, &list);
	EXPECT_INT(AUT_RUN_PENDING, run->status);
	EXPECT_INT(1, run->attempt);
	EXPECT_TEXT(NULL, run->worker);
	EXPECT_INT(AUT_TIME_NONE, run->started_at);
	EXPECT_INT(AUT_TIME_NONE, run->timeout_at);
	EXPECT_INT(SUITE_NOW + SECOND, run->ready_at);
	EXPECT_OK(aut_store_run_claim(s->db, &(aut_claim){.worker = "w2", .now = SUITE_NOW, .limit = 2},
								  got, &count, &s->error));
	EXPECT_INT(0, (int64_t) count);
	EXPECT_OK(aut_store_run_claim(
		s->db, &(aut_claim){.worker = "w2", .now = SUITE_NOW + SECOND, .limit = 2}, got, &count,
		&s->error));
	EXPECT_INT(1, (int64_t) count);
	EXPECT_INT(2, suite_run(s, &id, &list)->attempt);
	aut_run_list_done(&list);
}

static void
runs_of_the_dead_are_adopted(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid of_dead = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid of_living, of_gone, mine;
	aut_uuid got[4];
	size_t count = 0;
	aut_run_list list = {0};

	claim_all(s, "dead");
	of_living = suite_insert_run(s, &a, SUITE_NOW);
	claim_all(s, "living");
	of_gone = suite_insert_run(s, &a, SUITE_NOW);
	claim_all(s, "gone");
	mine = suite_insert_run(s, &a, SUITE_NOW);
	claim_all(s, "me");
	EXPECT_OK(aut_store_worker_lease(s->db, "dead", 1, SUITE_NOW, SUITE_NOW + 1, &s->error));
	EXPECT_OK(aut_store_worker_lease(s->db, "living", 2, SUITE_NOW, SUITE_NOW + 1, &s->error));
	EXPECT_OK(aut_store_worker_lease(s->db, "gone", 3, SUITE_NOW, SUITE_NOW + SECOND, &s->error));
	EXPECT_OK(aut_store_run_adopt(s->db, "me", SUITE_NOW + 1, 4, got, &count, &s->error));
	EXPECT_INT(0, (int64_t) count); /* everybody is alive */
	EXPECT_OK(
		aut_store_worker_lease(s->db, "living", 2, SUITE_NOW + 1, SUITE_NOW + SECOND, &s->error));
	EXPECT_OK(aut_store_worker_leave(s->db, "gone", &s->error));
	EXPECT_OK(aut_store_run_adopt(s->db, "me", SUITE_NOW + 2, 1, got, &count, &s->error));
	EXPECT_INT(1, (int64_t) count);
	EXPECT_ID(of_dead, got[0]);
	EXPECT_OK(aut_store_run_adopt(s->db, "me", SUITE_NOW + 2, 4, got, &count, &s->error));
	EXPECT_INT(1, (int64_t) count);
	EXPECT_ID(of_gone, got[0]);
	EXPECT_TEXT("me", suite_run(s, &of_dead, &list)->worker);
	EXPECT_INT(1, suite_run(s, &of_dead, &list)->attempt);
	EXPECT_TEXT("living", suite_run(s, &of_living, &list)->worker);
	EXPECT_TEXT("me", suite_run(s, &mine, &list)->worker);
	aut_run_list_done(&list);
}

/* ---- runs: ending ------------------------------------------------------------------------------ */

static void
the_first_end_wins(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW);
	aut_run_list list = {0};
	const aut_run *run;
	bool won = true;
	aut_run_end end = {
		.id = id,
		.status = AUT_RUN_COMPLETED,
		.from_running = true,
		.completed_at = SUITE_NOW + 9,
		.conversation_id = "conv",
		.has_cost = true,
		.cost = 0.25,
		.has_exit_code = true,
		.exit_code = 3,
		.cleanup_at = SUITE_NOW + 10,
	};

	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	EXPECT(!won); /* still PENDING */
	claim_all(s, "w1");
	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	EXPECT(won);
	run = suite_run(s, &id, &list);
	EXPECT_INT(AUT_RUN_COMPLETED, run->status);
	EXPECT_INT(SUITE_NOW + 9, run->completed_at);
	EXPECT_TEXT("conv", run->conversation_id);
	EXPECT(run->has_cost && run->cost == 0.25);
	EXPECT(run->has_exit_code && run->exit_code == 3);
	EXPECT_INT(SUITE_NOW + 10, run->cleanup_at);
	EXPECT_TEXT("w1", run->worker);
	end.status = AUT_RUN_CANCELLED;
	end.from_pending = true;
	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	EXPECT(!won);
	EXPECT_INT(AUT_RUN_COMPLETED, suite_run(s, &id, &list)->status);
	aut_run_list_done(&list);
}

/* What is counted is what is there, whatever happened on the way. */
static void
expect_counts(suite *s, const aut_uuid *automation_id)
{
	int64_t counts[AUT_RUN_STATUS_COUNT];
	int64_t there[AUT_RUN_STATUS_COUNT] = {0};
	aut_run_list list = {0};

	EXPECT_OK(aut_store_run_list(s->db, automation_id, 1000, 0, &list, &s->error));
	for (size_t i = 0; i < list.count; i++)
		there[list.items[i].status]++;
	EXPECT_OK(aut_store_run_counts(s->db, automation_id, counts, &s->error));
	for (int i = 0; i < AUT_RUN_STATUS_COUNT; i++)
		suite_int(s, __FILE__, __LINE__, aut_run_status_name((aut_run_status) i), there[i],
				  counts[i]);
	aut_run_list_done(&list);
}

static void
many_runs_end_at_once(suite *s)
{
	enum
	{
		RUNS = 20
	};
	aut_uuid automations[] = {suite_insert_automation(s, "a"), suite_insert_automation(s, "b")};
	aut_uuid ids[RUNS];
	aut_run_end ends[RUNS] = {0};
	aut_run_task tasks[RUNS];
	aut_run_list list = {0};
	bool won[RUNS];
	size_t count = 0;

	for (int i = 0; i < RUNS; i++)
		ids[i] = suite_insert_run(s, &automations[i % 2], SUITE_NOW);
	claim_all(s, "w1");
	for (int i = 0; i < RUNS; i++)
	{
		ends[i] = (aut_run_end){
			.id = ids[RUNS - 1 - i],
			.status = i % 4 == 0 ? AUT_RUN_FAILED : AUT_RUN_COMPLETED,
			.from_running = true,
			.completed_at = SUITE_NOW + i,
			.error_detail = i % 4 == 0 ? "broke, 'so' {\"to\", NULL}" : NULL,
			.status_detail = i % 4 == 0 ? "{\"a\":[1,null]}" : NULL,
			.has_cost = i % 3 == 0,
			.cost = 0.5,
			.has_exit_code = i % 2 == 0,
			.exit_code = i,
			.cleanup_at = i % 5 == 0 ? AUT_TIME_NONE : SUITE_NOW + 100 + i,
		};
	}
	ends[7].from_running = false; /* the guard does not hold */
	ends[8].from_running = false;
	ends[8].from_pending = true;
	EXPECT_OK(aut_store_run_finish_each(s->db, ends, RUNS, won, &s->error));
	for (int i = 0; i < RUNS; i++)
	{
		const aut_run *run = suite_run(s, &ends[i].id, &list);
		bool ended = i != 7 && i != 8;

		EXPECT_INT(ended, won[i]);
		EXPECT_INT(ended ? ends[i].status : AUT_RUN_RUNNING, run->status);
		EXPECT_INT(ended ? ends[i].completed_at : AUT_TIME_NONE, run->completed_at);
		EXPECT_TEXT(ended ? ends[i].error_detail : NULL, run->error_detail);
		EXPECT_TEXT(ended ? ends[i].status_detail : NULL, run->status_detail);
		EXPECT_INT(ended && ends[i].has_cost, run->has_cost);
		EXPECT_INT(ended && ends[i].has_exit_code, run->has_exit_code);
		EXPECT_INT(run->has_exit_code ? i : 0, run->exit_code);
		EXPECT_INT(ended ? ends[i].cleanup_at : AUT_TIME_NONE, run->cleanup_at);
	}
	expect_counts(s, &automations[0]);
	expect_counts(s, &automations[1]);
	EXPECT_OK(aut_store_run_finish_each(s->db, ends, RUNS, won, &s->error));
	for (int i = 0; i < RUNS; i++)
		EXPECT(!won[i]); /* the first end wins */
	EXPECT_OK(aut_store_run_finish_each(s->db, ends, 0, won, &s->error));

	EXPECT_OK(aut_store_run_cleanup_set(s->db, ids, RUNS / 2, AUT_TIME_NONE, &s->error));
	for (int i = 0; i < RUNS; i++)
	{
		int end = RUNS - 1 - i;
		bool due = i >= RUNS / 2 && end != 7 && end != 8 && end % 5 != 0;

		EXPECT_INT(due ? SUITE_NOW + 100 + end : AUT_TIME_NONE,
				   suite_run(s, &ids[i], &list)->cleanup_at);
	}
	aut_run_list_done(&list);

	ids[4] = AUT_UUID_NIL; /* gone */
	EXPECT_OK(aut_store_run_tasks(s->db, ids, RUNS, tasks, &count, &s->error));
	EXPECT_INT(RUNS - 1, count);
	for (size_t i = 0; i < count; i++)
	{
		EXPECT(aut_uuid_equal(&ids[i < 4 ? i : i + 1], &tasks[i].run.id)); /* in that order */
		EXPECT_TEXT(i % 2 == (i < 4 ? 0 : 1) ? "a" : "b", tasks[i].automation_name);
		aut_run_task_done(&tasks[i]);
	}
}

static void
a_pending_run_ends_without_clean_up(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW);
	aut_run_list list = {0};
	const aut_run *run;
	bool won = false;
	aut_run_end end = {
		.id = id,
		.status = AUT_RUN_CANCELLED,
		.from_pending = true,
		.from_running = true,
		.completed_at = SUITE_NOW,
		.error_detail = "by hand",
		.status_detail = "{}",
		.cleanup_at = SUITE_NOW,
	};

	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	EXPECT(won);
	run = suite_run(s, &id, &list);
	EXPECT_INT(AUT_RUN_CANCELLED, run->status);
	EXPECT_TEXT("by hand", run->error_detail);
	EXPECT_TEXT("{}", run->status_detail);
	EXPECT_INT(AUT_TIME_NONE, run->cleanup_at);
	EXPECT(!run->has_cost && !run->has_exit_code);
	aut_run_list_done(&list);
}

static void
a_late_callback_overrules_a_time_out_only(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid timed_out = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid failed = suite_insert_run(s, &a, SUITE_NOW);
	aut_run_list list = {0};
	bool won = false;
	aut_run_end end = {
		.id = timed_out,
		.status = AUT_RUN_FAILED,
		.from_running = true,
		.completed_at = SUITE_NOW,
		.error_detail = "Timed out: no answer",
		.cleanup_at = SUITE_NOW + 5,
	};
	aut_run_end late = {
		.id = timed_out,
		.status = AUT_RUN_COMPLETED,
		.from_running = true,
		.from_timed_out = true,
		.completed_at = SUITE_NOW + 1,
		.cleanup_at = AUT_TIME_NONE,
	};

	claim_all(s, "w1");
	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	end.id = failed;
	end.error_detail = "timed out: not the watchdog's words";
	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	late.from_timed_out = false;
	EXPECT_OK(aut_store_run_finish(s->db, &late, &won, &s->error));
	EXPECT(!won);
	late.from_timed_out = true;
	EXPECT_OK(aut_store_run_finish(s->db, &late, &won, &s->error));
	EXPECT(won);
	EXPECT_INT(AUT_RUN_COMPLETED, suite_run(s, &timed_out, &list)->status);
	EXPECT_TEXT(NULL, list.count == 1 ? list.items->error_detail : "");
	EXPECT_INT(SUITE_NOW + 5,
			   list.count == 1 ? list.items->cleanup_at : 0); /* still to be cleaned */
	late.id = failed;
	EXPECT_OK(aut_store_run_finish(s->db, &late, &won, &s->error));
	EXPECT(!won);
	aut_run_list_done(&list);
}

static void
phases_are_kept_while_a_run_is_not_over(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid id = suite_insert_run(s, &a, SUITE_NOW);
	aut_run_list list = {0};
	bool won = false;
	aut_run_end end = {
		.id = id,
		.status = AUT_RUN_CANCELLED,
		.from_pending = true,
		.completed_at = SUITE_NOW,
		.cleanup_at = AUT_TIME_NONE,
	};

	EXPECT_OK(aut_store_run_phase(s->db, &id, "Waiting", &won, &s->error));
	EXPECT(won);
	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	EXPECT_OK(aut_store_run_phase(s->db, &id, "too late", &won, &s->error));
	EXPECT(!won);
	EXPECT_TEXT("Waiting", suite_run(s, &id, &list)->current_phase);
	aut_run_list_done(&list);
}

static void
pending_runs_are_skipped_but_manual_ones_only_if_asked(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid manual = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid running = suite_insert_run(s, &a, SUITE_NOW - 1);
	aut_uuid got[1];
	size_t claimed = 0;
	aut_run_new cron = {
		.id = suite_id(s),
		.automation_id = a,
		.trigger_source = "cron",
		.scheduled_for = SUITE_NOW,
		.created_at = SUITE_NOW,
		.ready_at = SUITE_NOW,
	};
	aut_run_new unknown = cron;
	aut_run_list list = {0};
	int64_t counts[AUT_RUN_STATUS_COUNT];
	int64_t skipped = 0;

	unknown.id = suite_id(s);
	unknown.trigger_source = NULL;
	unknown.scheduled_for = AUT_TIME_NONE;
	EXPECT_OK(aut_store_run_claim(s->db,
								  &(aut_claim){.worker = "w", .now = SUITE_NOW - 1, .limit = 1},
								  got, &claimed, &s->error));
	EXPECT_OK(aut_store_run_insert(s->db, &cron, &s->error));
	EXPECT_OK(aut_store_run_insert(s->db, &unknown, &s->error));
	EXPECT_OK(aut_store_run_skip_pending(s->db, &a, false, SUITE_NOW + 1, "off", "{\"k\":1}",
										 &skipped, &s->error));
	EXPECT_INT(2, skipped);
	EXPECT_INT(AUT_RUN_PENDING, suite_run(s, &manual, &list)->status);
	EXPECT_INT(AUT_RUN_RUNNING, suite_run(s, &running, &list)->status);
	EXPECT_INT(AUT_RUN_SKIPPED, suite_run(s, &cron.id, &list)->status);
	EXPECT_TEXT("off", list.count == 1 ? list.items->error_detail : NULL);
	EXPECT_TEXT("{\"k\":1}", list.count == 1 ? list.items->status_detail : NULL);
	EXPECT_OK(aut_store_run_skip_pending(s->db, &a, true, SUITE_NOW + 1, "off", NULL, &skipped,
										 &s->error));
	EXPECT_INT(1, skipped);
	EXPECT_OK(aut_store_run_counts(s->db, &a, counts, &s->error));
	EXPECT_INT(0, counts[AUT_RUN_PENDING]);
	EXPECT_INT(1, counts[AUT_RUN_RUNNING]);
	EXPECT_INT(3, counts[AUT_RUN_SKIPPED]);
	EXPECT_INT(0, counts[AUT_RUN_FAILED]);
	aut_run_list_done(&list);
}

static void
clean_up_is_due_for_me_and_for_the_dead(suite *s)
{
	static const char *const workers[] = {"me", "other", "dead"};
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid ids[3];
	aut_uuid got[4];
	aut_run_status statuses[4];
	aut_run_list list = {0};
	size_t count = 0;
	int64_t next = 0;
	bool won;

	EXPECT_OK(aut_store_run_next_cleanup(s->db, "me", &next, &s->error));
	EXPECT_INT(AUT_TIME_NONE, next);
	for (int i = 0; i < 3; i++)
	{
		aut_run_end end = {
			.status = AUT_RUN_COMPLETED,
			.from_running = true,
			.completed_at = SUITE_NOW,
			.cleanup_at = SUITE_NOW + 30 - i * 10,
		};

		end.id = ids[i] = suite_insert_run(s, &a, SUITE_NOW);
		claim_all(s, workers[i]);
		EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
		EXPECT_OK(aut_store_worker_lease(s->db, workers[i], i, SUITE_NOW,
										 i == 2 ? SUITE_NOW : SUITE_NOW + SECOND, &s->error));
	}
	EXPECT_OK(aut_store_run_next_cleanup(s->db, "me", &next, &s->error));
	EXPECT_INT(SUITE_NOW + 30, next);
	EXPECT_OK(aut_store_run_cleanup_take(s->db, "me", SUITE_NOW + 9, SUITE_NOW + 99, 4, got,
										 statuses, &count, &s->error));
	EXPECT_INT(0, (int64_t) count);
	EXPECT_OK(aut_store_run_cleanup_take(s->db, "me", SUITE_NOW + 30, SUITE_NOW + 99, 4, got,
										 statuses, &count, &s->error));
	EXPECT_INT(2, (int64_t) count);
	EXPECT(aut_uuid_equal(&ids[2], &got[0]) || aut_uuid_equal(&ids[2], &got[1]));
	EXPECT(aut_uuid_equal(&ids[0], &got[0]) || aut_uuid_equal(&ids[0], &got[1]));
	EXPECT_INT(AUT_RUN_COMPLETED, statuses[0]);
	EXPECT_INT(SUITE_NOW + 99, suite_run(s, &ids[0], &list)->cleanup_at);
	EXPECT_OK(aut_store_run_cleanup_set(s->db, &ids[0], 1, AUT_TIME_NONE, &s->error));
	EXPECT_OK(aut_store_run_cleanup_set(s->db, &ids[2], 1, SUITE_NOW + 40, &s->error));
	EXPECT_OK(aut_store_run_cleanup_take(s->db, "me", SUITE_NOW + 30, SUITE_NOW + 99, 4, got,
										 statuses, &count, &s->error));
	EXPECT_INT(0, (int64_t) count);
	EXPECT_OK(aut_store_worker_leave(s->db, "dead", &s->error));
	EXPECT_OK(aut_store_run_next_cleanup(s->db, "me", &next, &s->error));
	EXPECT_INT(SUITE_NOW + 40, next);
	aut_run_list_done(&list);
}

static void
ended_runs_are_counted_as_they_come_and_go(suite *s)
{
	static const aut_run_status ends[] = {AUT_RUN_COMPLETED, AUT_RUN_FAILED, AUT_RUN_CANCELLED,
										  AUT_RUN_SKIPPED};
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid b = suite_insert_automation(s, "b");
	int64_t count = 0;
	bool more = false;
	bool won = false;

	for (int i = 0; i < 24; i++)
	{
		aut_run_end end = {
			.id = suite_insert_run(s, i % 5 == 0 ? &b : &a, SUITE_NOW),
			.status = ends[i % 4],
			.from_running = i % 3 != 0,
			.from_pending = i % 3 == 0,
			.completed_at = SUITE_NOW + i,
			.error_detail = "Timed out: x",
			.cleanup_at = AUT_TIME_NONE,
		};
		aut_run_end late = end;

		if (end.from_running && i % 7 != 0)
			claim_all(s, "w");
		EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
		EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
		EXPECT(!won); /* and not counted again */
		late.status = AUT_RUN_COMPLETED;
		late.from_timed_out = i % 8 == 1;
		EXPECT_OK(aut_store_run_finish(s->db, &late, &won, &s->error));
		expect_counts(s, &a);
		expect_counts(s, &b);
	}
	EXPECT_OK(aut_store_tally_fold(s->db, 100, &count, &s->error));
	EXPECT_INT(0, count); /* this process is not gone */
	EXPECT_OK(aut_store_forget_old_runs(s->db, SUITE_NOW + 365 * 86400 * SECOND, 7, 1000, &count,
										&more, &s->error));
	EXPECT_INT(7, count);
	expect_counts(s, &a);
	expect_counts(s, &b);
}

#define TEST(name)                                                                                 \
	{                                                                                              \
#name, name, false                                                                         \
	}

const suite_test suite_runs_tests[] = {
	TEST(a_slot_fires_once),
	TEST(a_new_run_is_pending_and_empty),
	TEST(run_lists_are_newest_first),
	TEST(a_task_brings_everything_the_engine_needs),
	TEST(claims_are_oldest_first_and_only_when_ready),
	TEST(a_claim_sets_the_first_deadline),
	TEST(a_large_backlog_is_claimed_in_order),
	TEST(held_runs_page_by_id),
	TEST(steps_of_a_run_belong_to_its_holder),
	TEST(a_run_put_back_can_be_claimed_again),
	TEST(runs_of_the_dead_are_adopted),
	TEST(the_first_end_wins),
	TEST(many_runs_end_at_once),
	TEST(a_pending_run_ends_without_clean_up),
	TEST(a_late_callback_overrules_a_time_out_only),
	TEST(phases_are_kept_while_a_run_is_not_over),
	TEST(pending_runs_are_skipped_but_manual_ones_only_if_asked),
	TEST(clean_up_is_due_for_me_and_for_the_dead),
	TEST(ended_runs_are_counted_as_they_come_and_go),
	{NULL, NULL, false},
};
