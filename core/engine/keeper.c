/* SPDX-License-Identifier: MIT */
/*
 * core/engine/keeper.c - deletes objects outside of the database whose uploads are gone or failed.
 *
 *   resting ──due──▶ unit: which? ──▶ deletes, all at once ──▶ unit: these are done ──▶ due again
 *
 * The record says what is due until the object's end is known (core/store/objects.c), so nothing is
 * forgotten by a crash, and a store that is away is asked again a quarter of an hour later.
 */
#include <stddef.h>
#include <string.h>

#include "core/engine/engine_internal.h"

#define FIRST_MS 5000
#define MORE_MS  250
#define REST_MS  60000   /* where uploads are kept outside */
#define IDLE_MS  3600000 /* where they are not, but may have been */
#define AGAIN_S  900
#define BATCH    32

typedef struct kept
{
	struct keeper *keeper;
	aut_object_call *call;
	bool gone;
} kept;

typedef struct keeper
{
	aut_unit unit;
	aut_engine *engine;
	bool busy, again; /* again: something became due meanwhile */
	aut_upload_list list;
	kept items[BATCH];
	size_t waiting; /* deletes without an answer */
	int64_t again_at, next_at;
} keeper;

static keeper *
keeper_of(aut_unit *unit)
{
	return (keeper *) (void *) ((char *) unit - offsetof(keeper, unit));
}

static void
rest(keeper *k, int64_t ms)
{
	aut_engine *engine = k->engine;
	aut_upload_list_done(&k->list);
	k->busy = false;
	engine->keeper_due_mono_us = aut__engine_mono(engine) + (k->again ? 0 : ms * AUT_US_PER_MS);
	k->again = false;
	aut_loop_wake(engine->options.loop);
}

static void
add_unit(keeper *k, aut_status (*run)(aut_unit *, aut_db *, aut_error *),
		 void (*done)(aut_unit *, aut_status, const aut_error *))
{
	k->unit = (aut_unit){.run = run, .done = done};
	k->engine->units_in_flight++;
	aut_turn_add(k->engine->options.turn, &k->unit);
	aut_loop_wake(k->engine->options.loop);
}

/* ---- what was deleted ---------------------------------------------------------------------- */

static aut_status
settle_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	keeper *k = keeper_of(unit);
	aut_status status = AUT_OK;
	for (size_t i = 0; i < k->list.count && status == AUT_OK; i++)
		if (k->items[i].gone)
			status = aut_store_object_done(db, &k->list.items[i].id, k->again_at, err);
	return status;
}

static void
settle_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	keeper *k = keeper_of(unit);
	k->engine->units_in_flight--;
	if (status != AUT_OK)
		aut__engine_db_trouble(k->engine, "deleting objects", err);
	rest(k, k->list.count == BATCH ? MORE_MS : REST_MS);
}

static void
settle_if_last(keeper *k)
{
	if (k->waiting == 0)
		add_unit(k, settle_run, settle_done);
}

static void
deleted(void *payload, aut_status status, const void *data, size_t len, const aut_error *error)
{
	kept *item = payload;
	(void) data;
	(void) len;
	item->call = NULL;
	item->gone = status == AUT_OK;
	if (!item->gone)
		aut_log(AUT_LOG_WARNING, "an object is left for now: %s", error->message);
	item->keeper->waiting--;
	settle_if_last(item->keeper);
}

/* ---- what is due ---------------------------------------------------------------------------- */

static aut_status
pick_run(aut_unit *unit, aut_db *db, aut_error *err)
{
	keeper *k = keeper_of(unit);
	int64_t now = aut__engine_now(k->engine);
	k->again_at = now + AGAIN_S * AUT_US_PER_S;
	aut_upload_list_done(&k->list); /* of a run that is repeated */
	aut_status status = aut_store_objects_due(db, now, k->again_at, BATCH, &k->list, err);
	return status == AUT_OK ? aut_store_objects_next(db, &k->next_at, err) : status;
}

static void
pick_done(aut_unit *unit, aut_status status, const aut_error *err)
{
	keeper *k = keeper_of(unit);
	aut_engine *engine = k->engine;
	engine->units_in_flight--;
	if (status != AUT_OK)
	{
		aut__engine_db_trouble(engine, "looking for objects to delete", err);
		rest(k, REST_MS);
		return;
	}
	if (k->list.count == 0 || engine->stopping)
	{
		bool outside = strcmp(engine->options.settings->file_store, AUT_STORE_DATABASE) != 0;
		rest(k, outside || k->next_at != AUT_TIME_NONE ? REST_MS : IDLE_MS);
		return;
	}
	k->waiting = k->list.count + 1; /* one for this loop */
	for (size_t i = 0; i < k->list.count; i++)
	{
		const aut_upload *upload = &k->list.items[i];
		char name[AUT_OBJECT_NAME_MAX];
		aut_error error = AUT_ERROR_INIT;
		k->items[i] = (kept){.keeper = k};
		aut_object_name(&upload->org_id, &upload->user_id, &upload->id, name);
		status = aut_object_delete(engine->objects, upload->store, name, deleted, &k->items[i],
								   &k->items[i].call, &error);
		if (status != AUT_OK)
			deleted(&k->items[i], status, NULL, 0, &error);
	}
	k->waiting--;
	settle_if_last(k);
}

/* ---- life ---------------------------------------------------------------------------------- */

aut_status
aut__keeper_init(aut_engine *engine, aut_error *err)
{
	engine->keeper = aut_calloc(1, sizeof *engine->keeper);
	if (engine->keeper == NULL)
		return aut_fail(err, AUT_ENOMEM, "no memory for the keeper of objects");
	engine->keeper->engine = engine;
	engine->keeper_due_mono_us = aut__engine_mono(engine) + FIRST_MS * AUT_US_PER_MS;
	return AUT_OK;
}

void
aut__keeper_done(aut_engine *engine)
{
	keeper *k = engine->keeper;
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->list.count && k->waiting > 0; i++)
		aut_object_cancel(k->items[i].call);
	aut_upload_list_done(&k->list);
	aut_free(k);
	engine->keeper = NULL;
}

void
aut__keeper_wake(aut_engine *engine)
{
	if (engine->keeper->busy)
		engine->keeper->again = true;
	else
		engine->keeper_due_mono_us = aut__engine_mono(engine);
}

void
aut__keeper_step(aut_engine *engine)
{
	keeper *k = engine->keeper;
	if (k->busy || aut__engine_mono(engine) < engine->keeper_due_mono_us)
		return;
	k->busy = true;
	engine->keeper_due_mono_us = AUT_TIME_MAX;
	add_unit(k, pick_run, pick_done);
}
