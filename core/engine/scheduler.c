/* SPDX-License-Identifier: MIT */
/*
 * core/engine/scheduler.c - fires.
 *
 * The smallest next_fire_at is known and an alarm is set to it; when it comes, one unit takes the due
 * schedules in batches (O(due)), inserts a run for each and advances it.  The unique index on
 * (automation, slot) makes a fire happen once whatever crashes or races.
 *
 * While a batch was a full one more is due.  Then runs are not claimed (dispatcher.c): what starts them would hold
 * up fires that are late.  And the batch also takes some of those due last, so that thousands due at one
 * instant do not make the few of the next second late.
 *
 * Misfire rule: after a time in which nobody was there (down, suspended) the latest missed slot fires
 * once and the others are recorded as one gap.  A schedule that cannot be evaluated any more (its zone
 * was removed) is taken out of the queue and logged; it does not stop the others.  Nor does one whose
 * run cannot be written: when a batch fails for a reason that waiting does not mend, it is repeated one
 * by one, and what fails alone is put off for some minutes.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/engine/engine_internal.h"

#define GAP_COUNT_MAX 1000 /* slots counted in one gap */
#define PUT_OFF_MS    (10 * 60 * 1000)

typedef struct fire_unit
{
	aut_unit unit;
	aut_engine *engine;
	aut_fire fires[AUT_FIRE_BATCH + AUT_FIRE_LATEST];
	size_t count;
	size_t fired;
	bool more; /* the batch was full */
	int64_t limit;
	bool put_off; /* the first one cannot be fired: let it come again later */
	aut_error why;
	int64_t next_fire_at;
} fire_unit;

typedef struct slots
{
	int64_t slot; /* the one that fires */
	int64_t next;
	int64_t first_missed, last_missed, missed; /* missed 0: none */
} slots;

/* Which slot fires at now for a schedule due since due->next_fire_at, and what was missed before it. */
static aut_status
find_slots(const aut_due *due, int64_t now, slots *out, aut_error *err)
{
	aut_cron cron;
	const aut_tz *tz = NULL;
	aut_status status = aut_cron_parse(due->expr, strlen(due->expr), &cron, err);
	if (status == AUT_OK)
		status = aut_tz_get(due->timezone, &tz, err);
	if (status == AUT_OK)
		status = aut_cron_next(&cron, tz, due->next_fire_at, &out->next, err);
	if (status != AUT_OK)
		return status;
	out->slot = due->next_fire_at;
	out->missed = 0;
	if (out->next == AUT_TIME_NONE || out->next > now)
		return AUT_OK;

	int64_t latest = AUT_TIME_NONE, before = AUT_TIME_NONE;
	status = aut_cron_prev(&cron, tz, now + 1, &latest, err);
	if (status == AUT_OK && latest != AUT_TIME_NONE && latest > due->next_fire_at)
	{
		out->slot = latest;
		out->first_missed = due->next_fire_at;
		status = aut_cron_prev(&cron, tz, latest, &before, err);
		out->last_missed =
			before != AUT_TIME_NONE && before > out->first_missed ? before : out->first_missed;
		for (int64_t at = out->first_missed;
			 status == AUT_OK && at != AUT_TIME_NONE && at < latest && out->missed < GAP_COUNT_MAX;)
		{
			out->missed++;
			status = aut_cron_next(&cron, tz, at, &at, err);
		}
	}
	if (status == AUT_OK)
		status = aut_cron_next(&cron, tz, now > out->slot ? now : out->slot, &out->next, err);
	return status;
}

/* Add a due schedule to the batch, or take it out of the queue where it cannot be evaluated. */
static aut_status
plan_fire(fire_unit *fire, aut_db *db, const aut_due *due, int64_t now, aut_error *err)
{
	slots at;
	aut_error why = AUT_ERROR_INIT;
	aut_status status = find_slots(due, now, &at, &why);
	if (status != AUT_OK)
	{
		char id[AUT_UUID_TEXT_MAX];
		aut_log(AUT_LOG_ERROR, "automation %s does not fire any more: %s",
				aut_uuid_format(&due->automation_id, id), why.message);
		return aut_store_schedule_put(db, &due->automation_id, due->expr, due->timezone,
									  AUT_TIME_NONE, err);
	}
	aut_fire *planned = &fire->fires[fire->count++];
	*planned =
		(aut_fire){.automation_id = due->automation_id, .slot = at.slot, .next_fire_at = at.next};
	status = aut_uuid_v7(now, &planned->run_id, err);
	if (status == AUT_OK && at.missed > 0)
		status = aut_store_gap_insert(db, &due->automation_id, at.first_missed, at.last_missed,
									  at.missed, now, err);
	return status;
}

/* The earliest slot that is some minutes away becomes the next; those before it are a gap. */
static aut_status
put_off(fire_unit *fire, aut_db *db, const aut_due *due, int64_t now, aut_error *err)
{
	aut_cron cron;
	const aut_tz *tz = NULL;
	char id[AUT_UUID_TEXT_MAX];
	int64_t next = AUT_TIME_NONE, last = due->next_fire_at, missed = 0;
	aut_status status = aut_cron_parse(due->expr, strlen(due->expr), &cron, err);

	if (status == AUT_OK)
		status = aut_tz_get(due->timezone, &tz, err);
	if (status == AUT_OK)
		status = aut_cron_next(&cron, tz, now + PUT_OFF_MS * AUT_US_PER_MS, &next, err);
	for (int64_t at = last; status == AUT_OK && at != AUT_TIME_NONE && missed < GAP_COUNT_MAX &&
							(next == AUT_TIME_NONE || at < next);)
	{
		last = at;
		missed++;
		status = aut_cron_next(&cron, tz, at, &at, err);
	}
	if (status == AUT_OK)
		status = aut_store_gap_insert(db, &due->automation_id, due->next_fire_at, last, missed, now,
									  err);
	if (status == AUT_OK)
		status =
			aut_store_schedule_put(db, &due->automation_id, due->expr, due->timezone, next, err);
	aut_log(AUT_LOG_ERROR, "automation %s cannot fire and is put off: %s",
			aut_uuid_format(&due->automation_id, id), fire->why.message);
	return status;
}

static aut_status
plan_fires(fire_unit *fire, aut_db *db, aut_due_list *take_due, int64_t now, aut_error *err)
{
	aut_status status = AUT_OK;

	for (size_t i = 0; status == AUT_OK && i < take_due->count; i++)
		status = plan_fire(fire, db, &take_due->items[i], now, err);
	aut_due_list_done(take_due);
	return status;
}

static aut_status
fire_due(fire_unit *fire, aut_db *db, int64_t now, aut_error *err)
{
	aut_due_list due = {0};
	int64_t last = AUT_TIME_NONE;
	aut_status status = aut_store_schedule_due(db, now, fire->limit, &due, err);

	if (status != AUT_OK)
		return status;
	fire->more = due.count == (size_t) fire->limit;
	if (fire->put_off)
	{
		if (due.count > 0)
			status = put_off(fire, db, &due.items[0], now, err);
		aut_due_list_done(&due);
		return status;
	}
	if (due.count == AUT_FIRE_BATCH)
		last = due.items[due.count - 1].next_fire_at;
	status = plan_fires(fire, db, &due, now, err);
	if (status == AUT_OK && last != AUT_TIME_NONE)
	{
		status = aut_store_schedule_due_latest(db, now, last, AUT_FIRE_LATEST, &due, err);
		if (status == AUT_OK)
			status = plan_fires(fire, db, &due, now, err);
	}
	if (status == AUT_OK)
		status = aut_store_schedule_fire(db, fire->fires, fire->count, now, &fire->fired, err);
	return status;
}

static aut_status
fire_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	fire_unit *fire = (fire_unit *) (void *) ((char *) unit - offsetof(fire_unit, unit));
	int64_t now = aut__engine_now(fire->engine);
	fire->count = fire->fired = 0;
	fire->more = false;
	aut_status status = AUT_OK;
	if (fire->engine->next_fire_at != AUT_TIME_NONE && fire->engine->next_fire_at <= now)
		status = fire_due(fire, db, now, err);
	if (status == AUT_OK)
		status = aut_store_schedule_next(db, &fire->next_fire_at, err);
	return status;
}

static void
fire_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	fire_unit *fire = (fire_unit *) (void *) ((char *) unit - offsetof(fire_unit, unit));
	aut_engine *engine = fire->engine;
	engine->units_in_flight--;
	engine->fire_busy = false;
	if (status != AUT_OK)
	{
		engine->want_fire = true;
		fire->more = false;
		fire->put_off = !fire->put_off && fire->limit == 1 && aut__blames_a_row(status);
		fire->why = *err;
		if (aut__blames_a_row(status))
			fire->limit = 1;
		aut__engine_db_trouble(engine, "firing schedules", err);
		return;
	}
	fire->put_off = false;
	if (fire->limit < AUT_FIRE_BATCH)
		fire->limit = fire->limit * 2 < AUT_FIRE_BATCH ? fire->limit * 2 : AUT_FIRE_BATCH;
	engine->stats.fires += fire->fired;
	engine->next_fire_at = fire->next_fire_at;
	engine->stats.next_fire_at = fire->next_fire_at;
	if (fire->more)
		engine->want_fire = true;
	if (fire->fired > 0)
		engine->want_claim = engine->claim_news = engine->want_waiting = true;
}

aut_status
aut__scheduler_init(aut_engine *engine, aut_error *err)
{
	engine->fire = aut_calloc(1, sizeof *engine->fire);
	if (engine->fire == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the scheduler");
	engine->fire->engine = engine;
	engine->fire->limit = AUT_FIRE_BATCH;
	engine->fire->unit.run = fire_run;
	engine->fire->unit.done = fire_done;
	engine->next_fire_at = AUT_TIME_NONE;
	engine->stats.next_fire_at = AUT_TIME_NONE;
	engine->want_fire = true;
	return AUT_OK;
}

void
aut__scheduler_done(aut_engine *engine)
{
	aut_free(engine->fire);
}

bool
aut__scheduler_is_behind(const aut_engine *engine)
{
	return engine->fire->more;
}

void
aut__scheduler_step(aut_engine *engine)
{
	if (engine->fire_busy)
		return;
	bool due =
		engine->next_fire_at != AUT_TIME_NONE && engine->next_fire_at <= aut__engine_now(engine);
	if (!due && !engine->want_fire)
		return;
	engine->want_fire = false;
	engine->fire_busy = true;
	engine->units_in_flight++;
	aut_turn_add(engine->options.turn, &engine->fire->unit);
	if (due)
		engine->want_claim = engine->claim_news = true; /* in the same transaction, right after */
}
