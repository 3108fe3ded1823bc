/* SPDX-License-Identifier: MIT */
/*
 * test/store/suite_sandboxes.c - the ledger of cloud sandboxes.
 */
#include <string.h>

#include "automation/sandboxes.h"
#include "test/store/store_suite.h"

static aut_uuid
ask_for(suite *s, const aut_uuid *run_id)
{
	aut_sandbox row = {.id = suite_id(s),
					   .run_id = *run_id,
					   .org_id = s->org,
					   .user_id = s->user,
					   .state = AUT_SANDBOX_CREATING,
					   .created_at = SUITE_NOW};

	EXPECT_OK(aut_store_sandbox_insert(s->db, &row, &s->error));
	return row.id;
}

static void
expect_gone(suite *s, const aut_uuid *id)
{
	EXPECT_OK(aut_store_sandbox_delete(s->db, id, &s->error));
}

static int64_t
count_in(suite *s, const char *state)
{
	aut_rows rows = {0};
	int64_t count = 0;

	EXPECT_OK(aut_store_sandbox_summary(s->db, &rows, &s->error));
	for (size_t i = 0; i < rows.count; i++)
		if (strcmp(aut_rows_text(&rows, i, 0), state) == 0)
			count = aut_rows_int(&rows, i, 1);
	aut_rows_done(&rows);
	return count;
}

static void
a_sandbox_is_known_from_its_intent_to_its_end(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid run = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid first = ask_for(s, &run);
	aut_uuid second = ask_for(s, &run);
	aut_sandbox_list list = {0};
	int64_t due = 0;
	bool won = false;

	EXPECT_OK(aut_store_sandbox_created(s->db, &second, "box-2", &s->error));
	EXPECT_OK(aut_store_sandbox_of_run(s->db, &run, &list, &s->error));
	EXPECT_INT(2, (int64_t) list.count);
	if (list.count == 2)
	{
		EXPECT_ID(second, list.items[0].id); /* newest first */
		EXPECT_TEXT("box-2", list.items[0].sandbox_id);
		EXPECT_TEXT(AUT_SANDBOX_STARTING, list.items[0].state);
		EXPECT(list.items[1].sandbox_id == NULL);
		EXPECT_TEXT(AUT_SANDBOX_CREATING, list.items[1].state);
		EXPECT_ID(s->org, list.items[1].org_id);
		EXPECT_ID(s->user, list.items[1].user_id);
		EXPECT_INT(SUITE_NOW, list.items[1].created_at);
		EXPECT_INT(AUT_TIME_NONE, list.items[1].due_at);
	}
	aut_sandbox_list_done(&list);
	EXPECT_OK(aut_store_sandbox_next_due(s->db, &due, &s->error));
	EXPECT_INT(AUT_TIME_NONE, due);

	/* the end of the run takes what has an id */
	EXPECT_OK(aut_store_sandbox_set(s->db, &second, AUT_SANDBOX_READY, AUT_TIME_NONE, AUT_TIME_NONE,
									NULL, &s->error));
	EXPECT_OK(aut_store_sandbox_release(s->db, &run, AUT_SANDBOX_RELEASED, SUITE_NOW + 5,
										SUITE_NOW + 9, &s->error));
	EXPECT_INT(1, count_in(s, AUT_SANDBOX_CREATING));
	EXPECT_OK(aut_store_sandbox_next_due(s->db, &due, &s->error));
	EXPECT_INT(SUITE_NOW + 5, due);
	EXPECT_OK(aut_store_sandbox_due(s->db, SUITE_NOW + 4, 10, &list, &s->error));
	EXPECT_INT(0, (int64_t) list.count);
	aut_sandbox_list_done(&list);
	EXPECT_OK(aut_store_sandbox_due(s->db, SUITE_NOW + 5, 10, &list, &s->error));
	EXPECT_INT(1, (int64_t) list.count);
	if (list.count == 1)
		EXPECT_INT(SUITE_NOW + 9, list.items[0].delete_at);
	aut_sandbox_list_done(&list);

	/* taken once */
	EXPECT_OK(
		aut_store_sandbox_take(s->db, &second, SUITE_NOW + 5, SUITE_NOW + 60, &won, &s->error));
	EXPECT(won);
	EXPECT_OK(
		aut_store_sandbox_take(s->db, &second, SUITE_NOW + 5, SUITE_NOW + 60, &won, &s->error));
	EXPECT(!won);
	EXPECT_OK(aut_store_sandbox_again(s->db, &second, SUITE_NOW + 70, "busy", &s->error));
	EXPECT_OK(aut_store_sandbox_again(s->db, &second, SUITE_NOW + 80, NULL, &s->error));
	EXPECT_OK(aut_store_sandbox_due(s->db, SUITE_NOW + 80, 10, &list, &s->error));
	EXPECT_INT(1, (int64_t) list.count);
	if (list.count == 1)
	{
		EXPECT_INT(2, list.items[0].tries);
		EXPECT_TEXT("busy", list.items[0].note);
	}
	aut_sandbox_list_done(&list);
	/* whoever took it is gone */
	EXPECT_OK(aut_store_sandbox_recall(s->db, SUITE_NOW + 20, &s->error));
	EXPECT_OK(aut_store_sandbox_next_due(s->db, &due, &s->error));
	EXPECT_INT(SUITE_NOW + 20, due);
	expect_gone(s, &first);
	expect_gone(s, &second);
	EXPECT_INT(0, count_in(s, AUT_SANDBOX_RELEASED));
}

static void
what_nobody_answers_for_is_swept(suite *s)
{
	aut_uuid a = suite_insert_automation(s, "a");
	aut_uuid living = suite_insert_run(s, &a, SUITE_NOW), gone = suite_id(s);
	aut_uuid ended = suite_insert_run(s, &a, SUITE_NOW),
			 cleaning = suite_insert_run(s, &a, SUITE_NOW);
	aut_uuid of[] = {living, ended, cleaning, gone, ended, gone};
	aut_uuid rows[6];
	aut_run_end end = {.status = AUT_RUN_CANCELLED,
					   .from_pending = true,
					   .completed_at = SUITE_NOW,
					   .cleanup_at = AUT_TIME_NONE};
	int64_t released = 0, lost = 0, forgotten = 0;
	bool won = false;

	end.id = ended;
	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	end.id = cleaning;
	EXPECT_OK(aut_store_run_finish(s->db, &end, &won, &s->error));
	EXPECT_OK(aut_store_run_cleanup_set(s->db, &cleaning, 1, SUITE_NOW + SECOND, &s->error));
	for (size_t i = 0; i < 6; i++)
	{
		rows[i] = ask_for(s, &of[i]);
		if (i < 4)
			EXPECT_OK(aut_store_sandbox_created(s->db, &rows[i], "box", &s->error));
	}
	/* those of the run that ended and of the one that is gone; what was just asked for may have an answer */
	EXPECT_OK(
		aut_store_sandbox_sweep(s->db, SUITE_NOW + SECOND, SUITE_NOW, &released, &lost, &s->error));
	EXPECT_INT(2, released);
	EXPECT_INT(0, lost);
	EXPECT_OK(aut_store_sandbox_sweep(s->db, SUITE_NOW + SECOND, SUITE_NOW + 1, &released, &lost,
									  &s->error));
	EXPECT_INT(0, released);
	EXPECT_INT(2, lost);
	EXPECT_INT(2, count_in(s, AUT_SANDBOX_STARTING));
	EXPECT_INT(2, count_in(s, AUT_SANDBOX_LOST));
	EXPECT_OK(aut_store_sandbox_forget(s->db, SUITE_NOW, 10, &forgotten, &s->error));
	EXPECT_INT(0, forgotten);
	EXPECT_OK(aut_store_sandbox_forget(s->db, SUITE_NOW + 1, 10, &forgotten, &s->error));
	EXPECT_INT(2, forgotten);
	for (size_t i = 0; i < 6; i++)
		expect_gone(s, &rows[i]);
}

#define TEST(name)                                                                                 \
	{                                                                                              \
#name, name, false                                                                         \
	}

const suite_test suite_sandbox_tests[] = {
	TEST(a_sandbox_is_known_from_its_intent_to_its_end),
	TEST(what_nobody_answers_for_is_swept),
	{NULL, NULL, false},
};
