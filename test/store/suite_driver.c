/* SPDX-License-Identifier: MIT */
/*
 * test/store/suite_driver.c - what a driver promises whatever the tables: values come back as they went
 * in, bad data and errors become the right kinds, transactions hold, turns isolate bad units.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "test/store/store_suite.h"

/* ---- values -------------------------------------------------------------------------------- */

/* One text for all dialects: PostgreSQL takes the types from the declaration. */
static const aut_stmt echo = {
	.name = "suite_echo",
	.params = "ildbtjxuT",
	.columns = "ildbtjxuT",
	.sql = "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 LIMIT 1",
};

/* The order of first appearance differs from the numbers. */
static const aut_stmt swapped = {
	.name = "suite_swapped",
	.params = "tt",
	.columns = "ttt",
	.sql = "SELECT $2, $1, $2 LIMIT 1",
};

static void
value_extremes_come_back(suite *s)
{
	static const char bytes[] = {0, (char) 0xff, 'a', 0, '\\', '\''};
	aut_uuid id = {{0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0}};
	aut_rows rows = {0};
	aut_value high[] = {
		aut_v_int(INT32_MAX),
		aut_v_big(INT64_MAX),
		aut_v_real(DBL_MAX),
		aut_v_bool(true),
		aut_v_text("gr\xc3\xbc\xc3\x9f' \"\\ \xf0\x9f\x98\x80\n\t$1"),
		aut_v_json("{ \"b\" : 1,\n \"a\": [1.0, \"\\u0000\"], \"a\": 2 }"),
		aut_v_bytes(bytes, sizeof(bytes)),
		aut_v_uuid(&id),
		aut_v_time(AUT_TIME_MAX),
	};
	aut_value low[] = {
		aut_v_int(INT32_MIN),
		aut_v_big(INT64_MIN),
		aut_v_real(-DBL_MIN),
		aut_v_bool(false),
		aut_v_text(""),
		aut_v_json("0"),
		aut_v_bytes("", 0),
		aut_v_uuid(&AUT_UUID_NIL),
		aut_v_time(INT64_C(-210866803200000000)),
	};

	EXPECT_OK(aut_db_run(s->db, &echo, high, &rows, NULL, &s->error));
	EXPECT(rows.count == 1 && rows.width == 9);
	EXPECT_INT(INT32_MAX, aut_rows_int(&rows, 0, 0));
	EXPECT_INT(INT64_MAX, aut_rows_int(&rows, 0, 1));
	EXPECT(aut_rows_real(&rows, 0, 2) == DBL_MAX);
	EXPECT(aut_rows_bool(&rows, 0, 3));
	EXPECT_TEXT(high[4].data, aut_rows_text(&rows, 0, 4));
	EXPECT_TEXT(high[5].data, aut_rows_text(&rows, 0, 5));
	EXPECT(aut_rows_at(&rows, 0, 6)->len == sizeof(bytes) && aut_rows_text(&rows, 0, 6) != NULL &&
		   memcmp(aut_rows_text(&rows, 0, 6), bytes, sizeof(bytes)) == 0);
	EXPECT_ID(id, aut_rows_uuid(&rows, 0, 7));
	EXPECT_INT(AUT_TIME_MAX, aut_rows_time(&rows, 0, 8));
	aut_rows_done(&rows);

	EXPECT_OK(aut_db_run(s->db, &echo, low, &rows, NULL, &s->error));
	EXPECT_INT(INT32_MIN, aut_rows_int(&rows, 0, 0));
	EXPECT_INT(INT64_MIN, aut_rows_int(&rows, 0, 1));
	EXPECT(aut_rows_real(&rows, 0, 2) == -DBL_MIN);
	EXPECT(!aut_rows_bool(&rows, 0, 3) && !aut_rows_null(&rows, 0, 3));
	EXPECT_TEXT("", aut_rows_text(&rows, 0, 4));
	EXPECT_TEXT("0", aut_rows_text(&rows, 0, 5));
	EXPECT(!aut_rows_null(&rows, 0, 6) && aut_rows_at(&rows, 0, 6)->len == 0);
	EXPECT_ID(AUT_UUID_NIL, aut_rows_uuid(&rows, 0, 7));
	EXPECT(!aut_rows_null(&rows, 0, 7));
	EXPECT_INT(INT64_C(-210866803200000000), aut_rows_time(&rows, 0, 8));
	aut_rows_done(&rows);
}

static void
null_comes_back_as_null(suite *s)
{
	aut_value params[9];
	aut_rows rows = {0};

	for (int i = 0; i < 9; i++)
		params[i] = aut_v_null(echo.params[i]);
	EXPECT_OK(aut_db_run(s->db, &echo, params, &rows, NULL, &s->error));
	for (size_t i = 0; i < 9; i++)
		EXPECT(aut_rows_null(&rows, 0, i));
	EXPECT_INT(0, aut_rows_int(&rows, 0, 0));
	EXPECT_TEXT(NULL, aut_rows_text(&rows, 0, 4));
	EXPECT_ID(AUT_UUID_NIL, aut_rows_uuid(&rows, 0, 7));
	EXPECT_INT(AUT_TIME_NONE, aut_rows_time(&rows, 0, 8));
	EXPECT(aut_rows_null(&rows, 7, 0) && aut_rows_null(&rows, 0, 99)); /* beyond the result */
	aut_rows_done(&rows);
}

static void
parameters_go_by_number_not_by_appearance(suite *s)
{
	aut_rows rows = {0};
	aut_value params[] = {aut_v_text("one"), aut_v_text("two")};

	EXPECT_OK(aut_db_run(s->db, &swapped, params, &rows, NULL, &s->error));
	EXPECT_TEXT("two", aut_rows_text(&rows, 0, 0));
	EXPECT_TEXT("one", aut_rows_text(&rows, 0, 1));
	EXPECT_TEXT("two", aut_rows_text(&rows, 0, 2));
	aut_rows_done(&rows);
}

/* Refused before the database sees it, so that the transaction goes on. */
static void
data_no_database_could_keep_is_refused(suite *s)
{
	aut_rows rows = {0};
	struct
	{
		size_t at;
		aut_value value;
	} bad[] = {
		{0, aut_v_int((int64_t) INT32_MAX + 1)},
		{2, aut_v_real(NAN)},
		{2, aut_v_real(INFINITY)},
		{4, aut_v_textn("a\0b", 3)},
		{4, aut_v_text("\xc3(")},
		{4, aut_v_text("\xed\xa0\x80")},
		{8, aut_v_time(INT64_C(-210866803200000001))},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		aut_value params[9];

		for (int k = 0; k < 9; k++)
			params[k] = aut_v_null(echo.params[k]);
		params[bad[i].at] = bad[i].value;
		EXPECT_STATUS(AUT_EINVAL, aut_db_run(s->db, &echo, params, &rows, NULL, &s->error));
		EXPECT(strstr(s->error.message, "suite_echo") != NULL);
		EXPECT(rows.cells == NULL);
	}
	EXPECT(!s->db->failed);
	suite_insert_automation(s, "still fine");
}

static void
a_wrong_type_is_our_own_mistake(suite *s)
{
	aut_rows rows = {0};
	aut_value params[] = {aut_v_text("one"), aut_v_big(2)};

	EXPECT_STATUS(AUT_EINTERNAL, aut_db_run(s->db, &swapped, params, &rows, NULL, &s->error));
	EXPECT_STATUS(AUT_EINTERNAL, aut_db_run(s->db, &swapped, params, NULL, NULL, &s->error));
}

static void
affected_counts_changed_rows(suite *s)
{
	static const aut_stmt touch = {
		.name = "suite_touch",
		.params = "t",
		.columns = "",
		.sql = "UPDATE automation.automation SET model = $1",
	};
	aut_value params[] = {aut_v_text("m")};
	uint64_t writes = s->db->writes;
	int64_t affected = -1;

	EXPECT_OK(aut_db_run(s->db, &touch, params, NULL, &affected, &s->error));
	EXPECT_INT(0, affected);
	for (int i = 0; i < 3; i++)
		suite_insert_automation(s, "a");
	EXPECT_OK(aut_db_run(s->db, &touch, params, NULL, &affected, &s->error));
	EXPECT_INT(3, affected);
	EXPECT_INT(5, (int64_t) (s->db->writes - writes));
}

/* ---- errors -------------------------------------------------------------------------------- */

static void
a_duplicate_is_EUNIQUE(suite *s)
{
	aut_automation automation = suite_automation(s, "a");

	EXPECT_OK(aut_store_automation_insert(s->db, &automation, &s->error));
	EXPECT_STATUS(AUT_EUNIQUE, aut_store_automation_insert(s->db, &automation, &s->error));
	EXPECT_TEXT("23505", s->error.sqlstate);
	EXPECT(strncmp(s->error.message, "automation_insert: ", 19) == 0);
}

static void
data_the_tables_refuse_is_EINVAL(suite *s)
{
	aut_automation automation = suite_automation(s, "a");
	aut_uuid nobody = suite_id(s);
	aut_run_new run = {
		.id = suite_id(s),
		.automation_id = nobody,
		.scheduled_for = AUT_TIME_NONE,
		.created_at = SUITE_NOW,
		.ready_at = SUITE_NOW,
	};

	EXPECT_STATUS(AUT_EINVAL, aut_store_run_insert(s->db, &run, &s->error));
	EXPECT_TEXT("23503", s->error.sqlstate);
	automation.name = NULL;
	EXPECT_STATUS(AUT_EINVAL, aut_store_automation_insert(s->db, &automation, &s->error));
	EXPECT_TEXT("23502", s->error.sqlstate);
	automation.name = "a";
	automation.state = "SLEEPING";
	EXPECT_STATUS(AUT_EINVAL, aut_store_automation_insert(s->db, &automation, &s->error));
	EXPECT_TEXT("23514", s->error.sqlstate);
}

static void
a_statement_the_database_does_not_know_is_an_error_value(suite *s)
{
	static const aut_stmt nonsense = {
		.name = "suite_nonsense",
		.params = "",
		.columns = "l",
		.sql = "SELECT nothing FROM automation.nowhere LIMIT 1",
	};
	aut_rows rows = {0};

	for (int i = 0; i < 3; i++)
	{
		EXPECT_STATUS(AUT_EDB, aut_db_run(s->db, &nonsense, NULL, &rows, NULL, &s->error));
		EXPECT(s->error.message[0] != '\0');
	}
	suite_insert_automation(s, "still fine");
}

static void
many_errors_leave_the_handle_usable(suite *s)
{
	aut_automation automation = suite_automation(s, "a");

	EXPECT_OK(aut_store_automation_insert(s->db, &automation, &s->error));
	for (int i = 0; i < 300 && !s->failed; i++)
	{
		EXPECT_OK(aut_db_begin(s->db, &s->error));
		EXPECT_STATUS(AUT_EUNIQUE, aut_store_automation_insert(s->db, &automation, &s->error));
		aut_db_rollback(s->db);
	}
	suite_insert_automation(s, "b");
}

/* ---- transactions -------------------------------------------------------------------------- */

static const aut_stmt count_automations = {
	.name = "suite_count_automations",
	.params = "",
	.columns = "l",
	.sql = "SELECT count(*) FROM automation.automation LIMIT 1",
};

static void
rollback_undoes_and_commit_keeps(suite *s)
{
	EXPECT_OK(aut_db_begin(s->db, &s->error));
	EXPECT(s->db->in_transaction);
	suite_insert_automation(s, "a");
	EXPECT_INT(1, suite_count(s, &count_automations));
	aut_db_rollback(s->db);
	EXPECT(!s->db->in_transaction);
	EXPECT_INT(0, suite_count(s, &count_automations));
	EXPECT_OK(aut_db_begin(s->db, &s->error));
	suite_insert_automation(s, "a");
	suite_insert_automation(s, "b");
	EXPECT_OK(aut_db_commit(s->db, &s->error));
	EXPECT(!s->db->in_transaction);
	aut_db_rollback(s->db); /* fine without a transaction, and undoes nothing */
	EXPECT_INT(2, suite_count(s, &count_automations));
}

static void
begin_and_commit_refuse_the_wrong_moment(suite *s)
{
	EXPECT_STATUS(AUT_EINTERNAL, aut_db_commit(s->db, &s->error));
	EXPECT_OK(aut_db_begin(s->db, &s->error));
	EXPECT_STATUS(AUT_EINTERNAL, aut_db_begin(s->db, &s->error));
	aut_db_rollback(s->db);
}

static void
after_an_error_rollback_makes_a_new_start(suite *s)
{
	aut_automation automation = suite_automation(s, "a");

	EXPECT_OK(aut_store_automation_insert(s->db, &automation, &s->error));
	EXPECT_OK(aut_db_begin(s->db, &s->error));
	suite_insert_automation(s, "b");
	EXPECT_STATUS(AUT_EUNIQUE, aut_store_automation_insert(s->db, &automation, &s->error));
	if (s->db->failed)
	{
		/* the transaction is lost: the same answer to everything, and no commit */
		EXPECT_STATUS(AUT_EUNIQUE,
					  aut_store_automation_triggered(s->db, &automation.id, 1, &s->error));
		EXPECT_STATUS(AUT_EDB, aut_db_commit(s->db, &s->error));
		EXPECT(!s->db->failed && !s->db->in_transaction);
		EXPECT_INT(1, suite_count(s, &count_automations));
	}
	else
	{
		EXPECT_OK(aut_db_commit(s->db, &s->error));
		EXPECT_INT(2, suite_count(s, &count_automations));
	}
	EXPECT_OK(aut_db_begin(s->db, &s->error));
	suite_insert_automation(s, "c");
	EXPECT_OK(aut_db_commit(s->db, &s->error));
}

static void
savepoints_undo_a_part_or_are_declined(suite *s)
{
	aut_status status;

	EXPECT_OK(aut_db_begin(s->db, &s->error));
	suite_insert_automation(s, "a");
	status = s->db->ops->savepoint(s->db, &s->error);
	EXPECT(status == AUT_OK || status == AUT_EUNSUPPORTED);
	if (status == AUT_OK)
	{
		suite_insert_automation(s, "b");
		s->db->ops->rollback_to(s->db);
		EXPECT_OK(s->db->ops->savepoint(s->db, &s->error));
		suite_insert_automation(s, "c");
		EXPECT_OK(s->db->ops->release(s->db, &s->error));
		EXPECT_INT(2, suite_count(s, &count_automations));
	}
	EXPECT_OK(aut_db_commit(s->db, &s->error));
	EXPECT_INT(status == AUT_OK ? 2 : 1, suite_count(s, &count_automations));
}

/* ---- turns --------------------------------------------------------------------------------- */

typedef struct insert_unit
{
	aut_unit unit;
	suite *s;
	aut_automation automation;
	bool twice;      /* insert it twice: the second one fails after the first wrote */
	bool refuse;     /* fail without writing */
	aut_status seen; /* what done was told */
	int order;
} insert_unit;

static int done_order;

static aut_status
insert_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	insert_unit *self = (insert_unit *) unit;
	aut_status status;

	if (self->refuse)
		return aut_fail(err, AUT_ECONFLICT, "refused");
	status = aut_store_automation_insert(db, &self->automation, err);
	if (status == AUT_OK && self->twice)
		status = aut_store_automation_insert(db, &self->automation, err);
	return status;
}

static void
insert_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	insert_unit *self = (insert_unit *) unit;

	self->seen = err->code == status ? status : AUT_EINTERNAL;
	self->order = ++done_order;
}

static void
a_bad_unit_costs_only_itself(suite *s)
{
	enum
	{
		COUNT = 20
	};
	insert_unit units[COUNT];
	aut_turn turn;

	aut_turn_init(&turn, s->db);
	done_order = 0;
	for (int i = 0; i < COUNT; i++)
	{
		units[i] = (insert_unit){
			.unit = {.run = insert_run, .done = insert_done},
			.s = s,
			.automation = suite_automation(s, "a"),
			.twice = i == 7,
			.refuse = i == 3,
			.seen = AUT_EDB,
		};
		aut_turn_add(&turn, &units[i].unit);
	}
	EXPECT(aut_turn_flush(&turn));
	for (int i = 0; i < COUNT; i++)
	{
		EXPECT_INT(i == 7 ? AUT_EUNIQUE : i == 3 ? AUT_ECONFLICT : AUT_OK, units[i].seen);
		EXPECT_INT(i + 1, units[i].order);
	}
	EXPECT_INT(COUNT - 2, suite_count(s, &count_automations));
	EXPECT(aut_turn_empty(&turn) && !aut_turn_flush(&turn));
	EXPECT(!s->db->in_transaction && !s->db->failed);
}

static void
good_units_share_one_commit(suite *s)
{
	insert_unit units[50];
	aut_turn turn;

	aut_turn_init(&turn, s->db);
	for (size_t i = 0; i < 50; i++)
	{
		units[i] = (insert_unit){
			.unit = {.run = insert_run, .done = insert_done},
			.s = s,
			.automation = suite_automation(s, "a"),
			.refuse = i == 9,
		};
		aut_turn_add(&turn, &units[i].unit);
	}
	EXPECT(aut_turn_flush(&turn));
	EXPECT_INT(1, (int64_t) turn.commits);
	EXPECT_INT(0, (int64_t) turn.repeats);
	EXPECT_INT(49, suite_count(s, &count_automations));
}

/* ---- the door ------------------------------------------------------------------------------ */

static void
a_door_declines_to_begin(suite *s)
{
	if ((s->flags & AUT_SUITE_DOOR) == 0)
		return;
	EXPECT_STATUS(AUT_EUNSUPPORTED, aut_db_begin(s->db, &s->error));
	EXPECT_STATUS(AUT_EUNSUPPORTED, s->db->ops->savepoint(s->db, &s->error));
	EXPECT(!s->db->failed);
}

const suite_test suite_driver_tests[] = {
	{"value_extremes_come_back", value_extremes_come_back, false},
	{"null_comes_back_as_null", null_comes_back_as_null, false},
	{"parameters_go_by_number_not_by_appearance", parameters_go_by_number_not_by_appearance, false},
	{"data_no_database_could_keep_is_refused", data_no_database_could_keep_is_refused, false},
	{"a_wrong_type_is_our_own_mistake", a_wrong_type_is_our_own_mistake, false},
	{"affected_counts_changed_rows", affected_counts_changed_rows, false},
	{"a_duplicate_is_EUNIQUE", a_duplicate_is_EUNIQUE, true},
	{"data_the_tables_refuse_is_EINVAL", data_the_tables_refuse_is_EINVAL, true},
	{"a_statement_the_database_does_not_know_is_an_error_value",
	 a_statement_the_database_does_not_know_is_an_error_value, true},
	{"many_errors_leave_the_handle_usable", many_errors_leave_the_handle_usable, true},
	{"rollback_undoes_and_commit_keeps", rollback_undoes_and_commit_keeps, true},
	{"begin_and_commit_refuse_the_wrong_moment", begin_and_commit_refuse_the_wrong_moment, true},
	{"after_an_error_rollback_makes_a_new_start", after_an_error_rollback_makes_a_new_start, true},
	{"savepoints_undo_a_part_or_are_declined", savepoints_undo_a_part_or_are_declined, true},
	{"a_bad_unit_costs_only_itself", a_bad_unit_costs_only_itself, true},
	{"good_units_share_one_commit", good_units_share_one_commit, true},
	{"a_door_declines_to_begin", a_door_declines_to_begin, false},
	{NULL, NULL, false},
};
