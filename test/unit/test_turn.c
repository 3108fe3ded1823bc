/* SPDX-License-Identifier: MIT */
/*
 * test/unit/test_turn.c - units of work over a database made of an array, which fails when told to.
 *
 * The fake keeps what was written in a transaction apart from what was committed, so that every test can
 * ask the one question that matters: is exactly that in the database which the units were told?
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "automation/db.h"

/* ---- the fake database ------------------------------------------------------------------------ */

#define SIZE 512

typedef struct fake_db
{
	aut_db base;
	int64_t rows[SIZE]; /* [0, kept) are committed, [kept, count) belong to the transaction */
	size_t kept, count, mark;
	bool has_savepoints;
	int savepoints, begins, commits, rollbacks;
	/* how often these fail from now on, and with what */
	int begin_fails, commit_fails, savepoint_fails;
	aut_status begin_status, commit_status;
	aut_status lost;
} fake_db;

/* Values that are not kept but do something. */
#define REFUSED INT64_C(-1) /* this statement fails, the transaction goes on */
#define LOSES   INT64_C(-2) /* the transaction is lost */

static const aut_stmt insert = {
	.name = "insert",
	.params = "l",
	.columns = "",
	.sql = "INSERT INTO rows VALUES ($1)",
};
static const aut_stmt look = {
	.name = "look",
	.params = "l",
	.columns = "",
	.sql = "SELECT $1",
};

static aut_status
fake_run(aut_db *base, const aut_stmt *stmt, const aut_value *params, aut_rows *out_rows,
		 int64_t *out_affected, aut_error *err)
{
	fake_db *db = (fake_db *) base;

	(void) out_rows;
	(void) out_affected;
	if (base->failed)
		return aut_fail(err, db->lost, "lost before");
	assert_true(base->in_transaction);
	if (params[0].integer == LOSES)
	{
		base->failed = true;
		db->lost = AUT_EDB;
		return aut_fail(err, AUT_EDB, "lost");
	}
	if (params[0].integer == REFUSED)
		return aut_fail(err, AUT_EUNIQUE, "refused");
	if (stmt == &insert)
	{
		assert_true(db->count < SIZE);
		db->rows[db->count++] = params[0].integer;
	}
	return AUT_OK;
}

static aut_status
fake_begin(aut_db *base, aut_error *err)
{
	fake_db *db = (fake_db *) base;

	assert_false(base->in_transaction);
	db->begins++;
	if (db->begin_fails > 0)
	{
		db->begin_fails--;
		return aut_fail(err, db->begin_status, "no begin");
	}
	base->in_transaction = true;
	return AUT_OK;
}

static void
fake_rollback(aut_db *base)
{
	fake_db *db = (fake_db *) base;

	db->rollbacks++;
	db->count = db->kept;
	base->in_transaction = false;
	base->failed = false;
}

static aut_status
fake_commit(aut_db *base, aut_error *err)
{
	fake_db *db = (fake_db *) base;

	assert_true(base->in_transaction && !base->failed);
	db->commits++;
	if (db->commit_fails > 0)
	{
		db->commit_fails--;
		fake_rollback(base);
		return aut_fail(err, db->commit_status, "no commit");
	}
	db->kept = db->count;
	base->in_transaction = false;
	return AUT_OK;
}

static aut_status
fake_savepoint(aut_db *base, aut_error *err)
{
	fake_db *db = (fake_db *) base;

	if (!db->has_savepoints)
		return aut_fail(err, AUT_EUNSUPPORTED, "no savepoints");
	if (db->savepoint_fails > 0)
	{
		db->savepoint_fails--;
		return aut_fail(err, AUT_ENOMEM, "no savepoint");
	}
	db->savepoints++;
	db->mark = db->count;
	return AUT_OK;
}

static aut_status
fake_release(aut_db *base, aut_error *err)
{
	(void) base;
	(void) err;
	return AUT_OK;
}

static void
fake_rollback_to(aut_db *base)
{
	fake_db *db = (fake_db *) base;

	db->count = db->mark;
}

static void
fake_close(aut_db *base)
{
	(void) base;
}

static const aut_db_ops fake_ops = {
	.version = 1,
	.dialect = AUT_DIALECT_SQLITE,
	.run = fake_run,
	.begin = fake_begin,
	.commit = fake_commit,
	.rollback = fake_rollback,
	.savepoint = fake_savepoint,
	.release = fake_release,
	.rollback_to = fake_rollback_to,
	.close = fake_close,
};

/* ---- units ------------------------------------------------------------------------------------- */

typedef struct work
{
	aut_unit unit;
	int64_t writes[4];
	int count; /* of writes */
	bool reads_only;
	aut_status answer;  /* returned after the writes */
	aut_status busy[4]; /* returned by the first runs instead, while not 0 */
	bool swallows;      /* returns AUT_OK whatever its statements said */
	int runs, dones;
	aut_status told;
	char message[80];
	int order;
	size_t kept_when_told;
	fake_db *db;
	aut_turn *turn;
	struct work *adds; /* added in done */
	bool frees_itself;
} work;

static int order;

static aut_status
work_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	work *self = (work *) unit;
	aut_status status = AUT_OK;

	for (int i = 0; status == AUT_OK && i < self->count; i++)
	{
		aut_value params[] = {aut_v_big(self->writes[i])};

		status = aut_db_run(db, self->reads_only ? &look : &insert, params, NULL, NULL, err);
	}
	self->runs++;
	if (self->swallows)
		return AUT_OK;
	if (self->runs <= 4 && self->busy[self->runs - 1] != AUT_OK)
		return aut_fail(err, self->busy[self->runs - 1], "not now");
	return status != AUT_OK ? status : self->answer;
}

static void
work_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	work *self = (work *) unit;

	assert_int_equal(status, err->code);
	self->dones++;
	self->told = status;
	memcpy(self->message, err->message, sizeof(self->message) - 1);
	self->order = ++order;
	self->kept_when_told = self->db != NULL ? self->db->kept : 0;
	if (self->adds != NULL)
		aut_turn_add(self->turn, &self->adds->unit);
	if (self->frees_itself)
		free(self);
}

static fake_db db;
static aut_turn turn;
static work works[100];

static int
setup(void **state)
{
	(void) state;
	memset(&db, 0, sizeof(db));
	memset(works, 0, sizeof(works));
	db.base.ops = &fake_ops;
	db.has_savepoints = true;
	aut_turn_init(&turn, &db.base);
	order = 0;
	for (int i = 0; i < 100; i++)
	{
		works[i].unit.run = work_run;
		works[i].unit.done = work_done;
		works[i].db = &db;
		works[i].turn = &turn;
		works[i].writes[0] = i + 1;
		works[i].count = 1;
	}
	return 0;
}

static void
add(int count)
{
	for (int i = 0; i < count; i++)
		aut_turn_add(&turn, &works[i].unit);
}

static bool
is_kept(int64_t value)
{
	for (size_t i = 0; i < db.kept; i++)
	{
		if (db.rows[i] == value)
			return true;
	}
	return false;
}

static void
expect_idle(void)
{
	assert_false(db.base.in_transaction);
	assert_false(db.base.failed);
	assert_int_equal(db.kept, db.count);
	assert_true(aut_turn_empty(&turn));
}

/* ---- the shared transaction -------------------------------------------------------------------- */

static void
test_turn__empty_flush_touches_nothing(void **state)
{
	(void) state;
	assert_false(aut_turn_flush(&turn));
	assert_int_equal(db.begins, 0);
}

static void
test_turn__units_share_one_commit_and_hear_in_order(void **state)
{
	(void) state;
	add(10);
	assert_int_equal(turn.count, 10);
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(db.begins, 1);
	assert_int_equal(db.commits, 1);
	assert_int_equal(turn.commits, 1);
	assert_int_equal(turn.repeats, 0);
	for (int i = 0; i < 10; i++)
	{
		assert_int_equal(works[i].runs, 1);
		assert_int_equal(works[i].dones, 1);
		assert_int_equal(works[i].told, AUT_OK);
		assert_string_equal(works[i].message, "");
		assert_int_equal(works[i].order, i + 1);
		assert_int_equal(works[i].kept_when_told, 10); /* told after the commit */
	}
	expect_idle();
}

static void
test_turn__one_unit_needs_no_savepoint(void **state)
{
	(void) state;
	add(1);
	aut_turn_flush(&turn);
	assert_int_equal(db.savepoints, 0);
	add(2);
	aut_turn_flush(&turn);
	assert_int_equal(db.savepoints, 2);
}

static void
test_turn__unit_that_failed_without_writing_costs_only_itself(void **state)
{
	(void) state;
	db.has_savepoints = false;
	works[1].count = 0;
	works[1].answer = AUT_ENOTFOUND;
	works[2].reads_only = true;
	works[2].answer = AUT_ECONFLICT;
	add(4);
	aut_turn_flush(&turn);
	assert_int_equal(turn.repeats, 0);
	assert_int_equal(turn.commits, 1);
	assert_int_equal(works[0].told, AUT_OK);
	assert_int_equal(works[1].told, AUT_ENOTFOUND);
	assert_string_equal(works[1].message, aut_status_text(AUT_ENOTFOUND)); /* it left no story */
	assert_int_equal(works[2].told, AUT_ECONFLICT);
	assert_true(is_kept(1) && is_kept(4));
	expect_idle();
}

static void
test_turn__savepoint_undoes_a_unit_that_failed_after_writing(void **state)
{
	(void) state;
	works[1].writes[1] = REFUSED;
	works[1].count = 2;
	add(3);
	aut_turn_flush(&turn);
	assert_int_equal(turn.repeats, 0);
	assert_int_equal(turn.commits, 1);
	assert_int_equal(works[1].told, AUT_EUNIQUE);
	assert_string_equal(works[1].message, "insert: refused");
	assert_true(is_kept(1) && !is_kept(2) && is_kept(3));
	expect_idle();
}

static void
test_turn__without_savepoints_all_are_repeated_one_by_one(void **state)
{
	(void) state;
	db.has_savepoints = false;
	works[1].writes[1] = REFUSED;
	works[1].count = 2;
	add(4);
	aut_turn_flush(&turn);
	assert_int_equal(turn.repeats, 1);
	assert_int_equal(turn.commits, 3);
	assert_int_equal(works[0].runs, 2);
	assert_int_equal(works[3].runs, 1); /* the shared pass stopped before it */
	assert_int_equal(works[1].told, AUT_EUNIQUE);
	for (int i = 0; i < 4; i++)
	{
		assert_int_equal(works[i].dones, 1);
		assert_int_equal(works[i].order, i + 1);
		assert_int_equal(is_kept(i + 1), i != 1);
	}
	expect_idle();
}

static void
test_turn__lost_transaction_is_repeated(void **state)
{
	(void) state;
	works[2].writes[0] = LOSES;
	add(4);
	aut_turn_flush(&turn);
	assert_int_equal(turn.repeats, 1);
	assert_int_equal(works[2].told, AUT_EDB);
	assert_true(is_kept(1) && is_kept(2) && is_kept(4));
	assert_int_equal(db.kept, 3);
	expect_idle();
}

static void
test_turn__unit_that_swallows_a_loss_is_not_committed(void **state)
{
	(void) state;
	works[0].writes[0] = LOSES;
	works[0].swallows = true;
	add(2);
	aut_turn_flush(&turn);
	assert_int_equal(works[0].told, AUT_EDB); /* the commit said so */
	assert_int_equal(works[1].told, AUT_OK);
	assert_int_equal(db.kept, 1);
	expect_idle();
}

static void
test_turn__failed_savepoint_leads_to_a_repeat(void **state)
{
	(void) state;
	db.savepoint_fails = 1;
	add(3);
	aut_turn_flush(&turn);
	assert_int_equal(turn.repeats, 1);
	assert_int_equal(db.kept, 3);
	assert_int_equal(works[0].told, AUT_OK);
	expect_idle();
}

static void
test_turn__failed_commit_is_repeated_one_by_one(void **state)
{
	(void) state;
	db.commit_fails = 1;
	db.commit_status = AUT_EINVAL;
	add(3);
	aut_turn_flush(&turn);
	assert_int_equal(turn.repeats, 1);
	assert_int_equal(turn.commits, 3);
	assert_int_equal(db.kept, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(works[i].told, AUT_OK);
	expect_idle();
}

static void
test_turn__commit_that_never_works_is_told_to_all(void **state)
{
	(void) state;
	db.commit_fails = 1000;
	db.commit_status = AUT_EIO;
	add(3);
	aut_turn_flush(&turn);
	assert_int_equal(turn.commits, 0);
	assert_int_equal(db.commits, 4); /* disk full is not helped by trying again and again */
	assert_int_equal(db.kept, 0);
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(works[i].told, AUT_EIO);
		assert_string_equal(works[i].message, "no commit");
	}
	expect_idle();
}

/* ---- one alone ---------------------------------------------------------------------------------- */

static void
test_turn__single_unit_that_fails_is_undone_and_not_repeated(void **state)
{
	(void) state;
	works[0].writes[1] = REFUSED;
	works[0].count = 2;
	add(1);
	aut_turn_flush(&turn);
	assert_int_equal(works[0].runs, 1);
	assert_int_equal(works[0].told, AUT_EUNIQUE);
	assert_int_equal(turn.repeats, 0);
	assert_int_equal(db.kept, 0);
	expect_idle();
}

static void
test_turn__busy_unit_is_tried_again(void **state)
{
	(void) state;
	works[0].busy[0] = works[0].busy[1] = AUT_EBUSY;
	add(1);
	aut_turn_flush(&turn);
	assert_int_equal(works[0].told, AUT_OK);
	assert_string_equal(works[0].message, "");
	assert_int_equal(works[0].runs, 3);
	assert_true(is_kept(1));
	expect_idle();
}

static void
test_turn__busy_for_ever_is_given_up(void **state)
{
	(void) state;
	for (int i = 0; i < 4; i++)
		works[0].busy[i] = AUT_EBUSY;
	add(1);
	aut_turn_flush(&turn);
	assert_int_equal(works[0].told, AUT_EBUSY);
	assert_int_equal(works[0].runs, 4); /* the shared pass, and three alone */
	assert_int_equal(db.kept, 0);
	expect_idle();
}

static void
test_turn__busy_commit_is_tried_again(void **state)
{
	(void) state;
	db.commit_fails = 3; /* the shared one and twice the first alone */
	db.commit_status = AUT_EBUSY;
	add(2);
	aut_turn_flush(&turn);
	assert_int_equal(works[0].told, AUT_OK);
	assert_int_equal(works[1].told, AUT_OK);
	assert_int_equal(db.kept, 2);
	expect_idle();
}

/* ---- beginning ---------------------------------------------------------------------------------- */

static void
test_turn__begin_that_is_busy_is_tried_again(void **state)
{
	(void) state;
	db.begin_fails = 2;
	db.begin_status = AUT_EBUSY;
	add(2);
	aut_turn_flush(&turn);
	assert_int_equal(db.kept, 2);
	assert_int_equal(turn.repeats, 0);
	expect_idle();
}

static void
test_turn__begin_that_fails_is_told_to_all_and_nothing_runs(void **state)
{
	(void) state;
	db.begin_fails = 1000;
	db.begin_status = AUT_EIO;
	add(50);
	aut_turn_flush(&turn);
	assert_int_equal(db.begins, 1); /* not once per unit: each might wait for a lock */
	for (int i = 0; i < 50; i++)
	{
		assert_int_equal(works[i].runs, 0);
		assert_int_equal(works[i].dones, 1);
		assert_int_equal(works[i].told, AUT_EIO);
	}
	expect_idle();
}

/* ---- done, cancel ------------------------------------------------------------------------------- */

static void
test_turn__units_added_in_done_belong_to_the_next_flush(void **state)
{
	(void) state;
	works[0].adds = &works[1];
	add(1);
	aut_turn_flush(&turn);
	assert_int_equal(works[1].runs, 0);
	assert_false(aut_turn_empty(&turn));
	assert_int_equal(turn.count, 1);
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(works[1].told, AUT_OK);
	expect_idle();
}

static void
test_turn__unit_may_add_itself_again_in_done(void **state)
{
	(void) state;
	works[0].adds = &works[0];
	add(2);
	aut_turn_flush(&turn);
	works[0].adds = NULL;
	assert_int_equal(works[1].dones, 1);
	aut_turn_flush(&turn);
	assert_int_equal(works[0].dones, 2);
	assert_int_equal(works[1].dones, 1);
	expect_idle();
}

static void
test_turn__unit_may_be_freed_in_done(void **state)
{
	(void) state;
	for (int i = 0; i < 5; i++)
	{
		work *own = calloc(1, sizeof(*own));

		own->unit.run = work_run;
		own->unit.done = work_done;
		own->frees_itself = true;
		aut_turn_add(&turn, &own->unit);
	}
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(order, 5);
	expect_idle();
}

/* ---- units of one kind -------------------------------------------------------------------------- */

static int calls;          /* of together */
static size_t handed[8];   /* units at each of them */
static int64_t group_adds; /* it writes this as well; 0: nothing */
static aut_status group_answer;

static aut_status
work_together(aut_unit *const *units, size_t count, aut_db *base, aut_error *err)
{
	handed[calls++ % 8] = count;
	for (size_t i = 0; i < count; i++)
	{
		aut_value params[] = {aut_v_big(((work *) units[i])->writes[0])};
		aut_status status = aut_db_run(base, &insert, params, NULL, NULL, err);

		if (status != AUT_OK)
			return status;
	}
	if (group_adds != 0)
	{
		aut_value params[] = {aut_v_big(group_adds)};
		aut_status status = aut_db_run(base, &insert, params, NULL, NULL, err);

		if (status != AUT_OK)
			return status;
	}
	return group_answer != AUT_OK ? aut_fail(err, group_answer, "not together") : AUT_OK;
}

static int
setup_kinds(void **state)
{
	calls = 0;
	group_adds = 0;
	group_answer = AUT_OK;
	(void) setup(state);
	for (int i = 0; i < 10; i += 2) /* every other one */
		works[i].unit.together = work_together;
	return 0;
}

static void
expect_all_told(int count)
{
	for (int i = 0; i < count; i++)
	{
		assert_int_equal(works[i].dones, 1);
		assert_int_equal(works[i].told, AUT_OK);
		assert_int_equal(works[i].order, i + 1);
		assert_true(is_kept(i + 1));
	}
	assert_int_equal(db.kept, count);
	expect_idle();
}

static void
test_turn__units_of_a_kind_run_together_and_hear_in_order(void **state)
{
	(void) state;
	add(10);
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(calls, 1);
	assert_int_equal(handed[0], 5);
	for (int i = 0; i < 10; i++)
		assert_int_equal(works[i].runs, i % 2);
	assert_int_equal(db.commits, 1);
	expect_all_told(10);
	add(10); /* the same units once more */
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(calls, 2);
}

static void
test_turn__a_lone_unit_of_a_kind_runs_by_itself(void **state)
{
	(void) state;
	add(2);
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(calls, 0);
	expect_all_told(2);
}

static void
test_turn__a_kind_that_fails_is_undone_and_run_one_by_one(void **state)
{
	(void) state;
	group_answer = AUT_EINVAL;
	group_adds = 99;
	add(10);
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(calls, 1);
	assert_int_equal(db.commits, 1); /* the savepoint was enough */
	assert_int_equal(turn.repeats, 0);
	expect_all_told(10);
}

static void
test_turn__without_savepoints_a_kind_that_fails_repeats_the_turn(void **state)
{
	(void) state;
	db.has_savepoints = false;
	group_answer = AUT_EINVAL;
	add(10);
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(calls, 1);
	assert_int_equal(turn.repeats, 1);
	assert_int_equal(db.commits, 10);
	expect_all_told(10);
}

static void
test_turn__a_kind_that_loses_the_transaction_repeats_the_turn(void **state)
{
	(void) state;
	group_adds = LOSES;
	add(10);
	assert_true(aut_turn_flush(&turn));
	assert_int_equal(turn.repeats, 1);
	expect_all_told(10);
}

static void *
no_memory(void *payload, size_t size)
{
	(void) payload;
	(void) size;
	return NULL;
}

static void *
no_more_memory(void *payload, void *ptr, size_t size)
{
	(void) ptr;
	return no_memory(payload, size);
}

static void
keep(void *payload, void *ptr)
{
	(void) payload;
	(void) ptr;
}

static void
test_turn__without_memory_units_of_a_kind_run_one_by_one(void **state)
{
	static const aut_allocator none = {no_memory, no_more_memory, keep, NULL};

	(void) state;
	add(10);
	aut_allocator_set(&none);
	assert_true(aut_turn_flush(&turn));
	aut_allocator_set(NULL);
	assert_int_equal(calls, 0);
	expect_all_told(10);
}

static void
test_turn__cancel_tells_everybody_and_runs_nothing(void **state)
{
	(void) state;
	works[1].adds = &works[7];
	add(3);
	aut_turn_cancel(&turn);
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(works[i].runs, 0);
		assert_int_equal(works[i].told, AUT_ECANCELED);
		assert_int_equal(works[i].order, i + 1);
	}
	assert_int_equal(works[7].told, AUT_ECANCELED); /* added meanwhile */
	assert_int_equal(db.begins, 0);
	assert_int_equal(turn.count, 0);
	expect_idle();
}

/* ---- whatever happens --------------------------------------------------------------------------- */

static uint32_t seed = 12345;

static uint32_t
random_below(uint32_t bound)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % bound;
}

static void
test_turn__what_units_are_told_is_what_is_kept(void **state)
{
	for (int round = 0; round < 3000; round++)
	{
		int count = 1 + (int) random_below(12);

		setup(state);
		db.has_savepoints = random_below(2) == 0;
		db.commit_fails = random_below(3) == 0 ? (int) random_below(6) : 0;
		db.commit_status = random_below(2) == 0 ? AUT_EBUSY : AUT_EIO;
		db.savepoint_fails = random_below(10) == 0 ? 1 : 0;
		db.begin_fails = random_below(10) == 0 ? (int) random_below(5) : 0;
		db.begin_status = random_below(2) == 0 ? AUT_EBUSY : AUT_EIO;
		for (int i = 0; i < count; i++)
		{
			work *w = &works[i];

			w->count = 1 + (int) random_below(3);
			w->writes[1] = random_below(6) == 0 ? REFUSED : random_below(8) == 0 ? LOSES : 1000 + i;
			w->writes[2] = random_below(6) == 0 ? LOSES : 2000 + i;
			w->answer = random_below(6) == 0 ? AUT_ECONFLICT : AUT_OK;
			w->busy[0] = random_below(8) == 0 ? AUT_EBUSY : AUT_OK;
			w->busy[1] = random_below(3) == 0 ? w->busy[0] : AUT_OK;
		}
		add(count);
		assert_true(aut_turn_flush(&turn));
		for (int i = 0; i < count; i++)
		{
			assert_int_equal(works[i].dones, 1);
			assert_int_equal(works[i].order, i + 1);
			assert_int_equal(is_kept(i + 1), works[i].told == AUT_OK);
			if (works[i].told == AUT_OK && works[i].count > 2)
				assert_true(is_kept(1000 + i) && is_kept(2000 + i));
			if (works[i].told != AUT_OK)
				assert_false(is_kept(1000 + i) || is_kept(2000 + i));
		}
		expect_idle();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_turn__empty_flush_touches_nothing, setup),
		cmocka_unit_test_setup(test_turn__units_share_one_commit_and_hear_in_order, setup),
		cmocka_unit_test_setup(test_turn__one_unit_needs_no_savepoint, setup),
		cmocka_unit_test_setup(test_turn__unit_that_failed_without_writing_costs_only_itself,
							   setup),
		cmocka_unit_test_setup(test_turn__savepoint_undoes_a_unit_that_failed_after_writing, setup),
		cmocka_unit_test_setup(test_turn__without_savepoints_all_are_repeated_one_by_one, setup),
		cmocka_unit_test_setup(test_turn__lost_transaction_is_repeated, setup),
		cmocka_unit_test_setup(test_turn__unit_that_swallows_a_loss_is_not_committed, setup),
		cmocka_unit_test_setup(test_turn__failed_savepoint_leads_to_a_repeat, setup),
		cmocka_unit_test_setup(test_turn__failed_commit_is_repeated_one_by_one, setup),
		cmocka_unit_test_setup(test_turn__commit_that_never_works_is_told_to_all, setup),
		cmocka_unit_test_setup(test_turn__single_unit_that_fails_is_undone_and_not_repeated, setup),
		cmocka_unit_test_setup(test_turn__busy_unit_is_tried_again, setup),
		cmocka_unit_test_setup(test_turn__busy_for_ever_is_given_up, setup),
		cmocka_unit_test_setup(test_turn__busy_commit_is_tried_again, setup),
		cmocka_unit_test_setup(test_turn__begin_that_is_busy_is_tried_again, setup),
		cmocka_unit_test_setup(test_turn__begin_that_fails_is_told_to_all_and_nothing_runs, setup),
		cmocka_unit_test_setup(test_turn__units_added_in_done_belong_to_the_next_flush, setup),
		cmocka_unit_test_setup(test_turn__unit_may_add_itself_again_in_done, setup),
		cmocka_unit_test_setup(test_turn__unit_may_be_freed_in_done, setup),
		cmocka_unit_test_setup(test_turn__units_of_a_kind_run_together_and_hear_in_order,
							   setup_kinds),
		cmocka_unit_test_setup(test_turn__a_lone_unit_of_a_kind_runs_by_itself, setup_kinds),
		cmocka_unit_test_setup(test_turn__a_kind_that_fails_is_undone_and_run_one_by_one,
							   setup_kinds),
		cmocka_unit_test_setup(test_turn__without_savepoints_a_kind_that_fails_repeats_the_turn,
							   setup_kinds),
		cmocka_unit_test_setup(test_turn__a_kind_that_loses_the_transaction_repeats_the_turn,
							   setup_kinds),
		cmocka_unit_test_setup(test_turn__without_memory_units_of_a_kind_run_one_by_one,
							   setup_kinds),
		cmocka_unit_test_setup(test_turn__cancel_tells_everybody_and_runs_nothing, setup),
		cmocka_unit_test_setup(test_turn__what_units_are_told_is_what_is_kept, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
