/* SPDX-License-Identifier: MIT */
/*
 * core/store/turn.c - units of work: many pieces of work, one commit.
 *
 * A turn is where transactions begin and end; nothing below does.  All units run in one transaction,
 * because a commit costs far more than a unit.  The price is that a unit which fails after it wrote
 * must be undone without undoing its neighbours:
 *
 *   failed, wrote nothing           only it fails; the others go on
 *   failed after writing, savepoint the driver undoes that unit; the others go on
 *   failed after writing, none      the whole transaction is rolled back and every unit is repeated in
 *   transaction or commit lost      one of its own, so that a bad row costs only itself
 *
 * Units of one kind may be done together (aut_unit.together): then one of the above for all of them, and after
 * a failure each on its own.
 *
 * Savepoints are taken only when there is a neighbour to protect.  A driver that finds them too dear
 * (PostgreSQL's subtransactions) says AUT_EUNSUPPORTED, once per turn.
 *
 * The outside world hears of it only afterwards: done callbacks run when the fate of every unit is
 * known, in the order the units came.  This file never waits and keeps no clock; how long a busy
 * database is waited for is the driver's setting.
 */
#include <string.h>

#include "automation/db.h"

#define TRIES 3 /* of a transaction that fails with AUT_EBUSY */

void
aut_turn_init(aut_turn *turn, aut_db *db)
{
	*turn = (aut_turn){.db = db};
	turn->tail = &turn->head;
}

void
aut_turn_add(aut_turn *turn, aut_unit *unit)
{
	unit->next = NULL;
	unit->status = AUT_OK;
	unit->error = (aut_error) AUT_ERROR_INIT;
	unit->ran = false;
	*turn->tail = unit;
	turn->tail = &unit->next;
	turn->count++;
}

bool
aut_turn_empty(const aut_turn *turn)
{
	return turn->head == NULL;
}

/* Take all units off the turn, so that done callbacks can add to an empty one. */
static aut_unit *
take_all(aut_turn *turn)
{
	aut_unit *head = turn->head;

	turn->head = NULL;
	turn->tail = &turn->head;
	turn->count = 0;
	return head;
}

/* Run one unit; whatever it left in its status and error agrees afterwards. */
static aut_status
run_unit(aut_unit *unit, aut_db *db)
{
	unit->ran = true;
	unit->error = (aut_error) AUT_ERROR_INIT;
	unit->status = unit->run(unit, db, &unit->error);
	if (unit->status == AUT_OK)
		unit->error = (aut_error) AUT_ERROR_INIT;
	else if (unit->error.code != unit->status)
		aut_fail(&unit->error, unit->status, "%s", aut_status_text(unit->status));
	return unit->status;
}

static void
fail_unit(aut_unit *unit, const aut_error *error)
{
	unit->status = error->code;
	unit->error = *error;
}

static aut_status
begin(aut_db *db, aut_error *err)
{
	aut_status status = AUT_EBUSY;

	for (int try = 0; status == AUT_EBUSY && try < TRIES; try++)
		status = aut_db_begin(db, err);
	return status;
}

typedef struct pass
{
	aut_db *db;
	aut_unit *
		*group; /* room for all units of the turn; NULL: there was no memory, each runs alone */
	bool savepoints; /* turns false once the driver has declined one */
} pass;

/* Protect what was written before.  False when the transaction cannot be kept. */
static bool
guard(pass *p, bool *out_guarded)
{
	aut_status status = p->savepoints ? p->db->ops->savepoint(p->db, NULL) : AUT_EUNSUPPORTED;

	if (status == AUT_EUNSUPPORTED)
		p->savepoints = false;
	*out_guarded = status == AUT_OK;
	return status == AUT_OK || status == AUT_EUNSUPPORTED;
}

/* After what was guarded.  *out_undone: nothing of it is left.  False when the transaction cannot be kept. */
static bool
settle(pass *p, bool guarded, uint64_t writes, aut_status status, bool *out_undone)
{
	aut_db *db = p->db;

	*out_undone = status != AUT_OK;
	if (db->failed)
		return false;
	if (status == AUT_OK)
		return !guarded || db->ops->release(db, NULL) == AUT_OK;
	if (guarded)
	{
		db->ops->rollback_to(db);
		return !db->failed;
	}
	return db->writes == writes;
}

/* One unit inside the transaction it shares.  Returns false when the transaction cannot be kept. */
static bool
run_shared(pass *p, aut_unit *unit)
{
	uint64_t writes = p->db->writes;
	bool guarded, undone;

	if (!guard(p, &guarded))
		return false;
	return settle(p, guarded, writes, run_unit(unit, p->db), &undone);
}

/* This unit and those behind it that are of its kind. */
static bool
run_kind(pass *p, aut_unit *unit)
{
	uint64_t writes = p->db->writes;
	aut_error error = AUT_ERROR_INIT;
	size_t count = 0;
	bool guarded, undone;

	for (aut_unit *at = unit; p->group != NULL && unit->together != NULL && at != NULL;
		 at = at->next)
	{
		if (!at->ran && at->together == unit->together)
			p->group[count++] = at;
	}
	if (count < 2)
		return run_shared(p, unit);
	if (!guard(p, &guarded) ||
		!settle(p, guarded, writes, unit->together(p->group, count, p->db, &error), &undone))
		return false;
	for (size_t i = 0; i < count; i++)
	{
		p->group[i]->status = AUT_OK;
		p->group[i]->error = (aut_error) AUT_ERROR_INIT;
		if (!undone)
			p->group[i]->ran = true;
		else if (!run_shared(p, p->group[i]))
			return false;
	}
	return true;
}

/* All units in one transaction.  Returns false when they must be repeated one by one. */
static bool
pass_together(aut_turn *turn, aut_unit *head, size_t count)
{
	aut_db *db = turn->db;
	pass p = {.db = db, .savepoints = count > 1};
	aut_error error = AUT_ERROR_INIT;
	bool kept = true;

	if (begin(db, &error) != AUT_OK)
	{
		/* No unit's fault, and repeating one by one would wait for the same lock count times. */
		for (aut_unit *unit = head; unit != NULL; unit = unit->next)
			fail_unit(unit, &error);
		return true;
	}
	p.group = count > 1 ? aut_calloc(count, sizeof(aut_unit *)) : NULL;
	for (aut_unit *unit = head; unit != NULL && kept; unit = unit->next)
		kept = unit->ran || run_kind(&p, unit);
	aut_free(p.group);
	if (!kept)
	{
		aut_db_rollback(db);
		/* Alone there is nobody to protect: its own error is the outcome, unless waiting helps. */
		return count == 1 && head->status != AUT_OK && head->status != AUT_EBUSY;
	}
	if (aut_db_commit(db, &error) != AUT_OK)
		return false;
	turn->commits++;
	return true;
}

/* One unit in a transaction of its own. */
static void
run_alone(aut_turn *turn, aut_unit *unit)
{
	aut_db *db = turn->db;
	aut_error error = AUT_ERROR_INIT;

	for (int try = 0; try < TRIES; try++)
	{
		if (begin(db, &error) != AUT_OK)
		{
			fail_unit(unit, &error);
			return;
		}
		if (run_unit(unit, db) != AUT_OK)
			aut_db_rollback(db);
		else if (aut_db_commit(db, &error) != AUT_OK)
			fail_unit(unit, &error);
		else
			turn->commits++;
		if (unit->status != AUT_EBUSY)
			return;
	}
}

bool
aut_turn_flush(aut_turn *turn)
{
	size_t count = turn->count;
	aut_unit *head = take_all(turn);
	aut_unit *next;

	if (head == NULL)
		return false;
	if (!pass_together(turn, head, count))
	{
		turn->repeats++;
		for (aut_unit *unit = head; unit != NULL; unit = unit->next)
			run_alone(turn, unit);
	}
	for (aut_unit *unit = head; unit != NULL; unit = next)
	{
		next = unit->next; /* done may free its unit or add it again */
		unit->next = NULL;
		if (unit->done != NULL)
			unit->done(unit, unit->status, &unit->error);
	}
	return true;
}

void
aut_turn_cancel(aut_turn *turn)
{
	/* One at a time, so that what a done callback adds is cancelled as well. */
	while (turn->head != NULL)
	{
		aut_unit *unit = turn->head;

		turn->head = unit->next;
		if (turn->head == NULL)
			turn->tail = &turn->head;
		turn->count--;
		unit->next = NULL;
		unit->status = aut_fail(&unit->error, AUT_ECANCELED, "cancelled: shutting down");
		if (unit->done != NULL)
			unit->done(unit, unit->status, &unit->error);
	}
}
